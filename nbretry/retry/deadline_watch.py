"""Deadlines while a provider is asked, at next to no cost for each chunk.

With an event loop one timer watches an attempt: whoever reads the chunks sets `Watch.fresh` for each content, and only
when the timer goes off is it looked at and the timer set anew. (A timeout made or moved for each chunk costs
thousands of nanoseconds, an attribute ten.) For code without an event loop there is one in a thread, see `watched`.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from nbretry._errors import APITimeoutError
from nbretry.retry import async_bridge
from nbretry.retry.contract import is_content
from nbretry.retry.deadlines import Deadlines
from nbretry.types import Reasoning, Status

__all__ = ["Watch", "is_sign_of_life", "watched"]

_PARTS = 10
"""An idle provider is noticed at most this part of the limit late."""

_LONG = 86400.0
"""Seconds after which it is looked again where no limit is near."""

_AGAIN = 0.05
"""Seconds after which a provider that has swallowed its cancellation is cancelled again."""


def is_sign_of_life(chunk: Any) -> bool:
    """Whether a chunk shows that an answer is on its way: content, reasoning, or word of what is being done."""
    return isinstance(chunk, Reasoning | Status) or is_content(chunk)


class Watch:
    """The deadlines of one attempt in an event loop. It cancels the task that waits for the provider.

    Args:
        deadlines: the limits.

    Attributes:
        fresh: set by the reader for each sign of life.
        name: of the limit that has passed; None while none has.
    """

    __slots__ = (
        "_cancels",
        "_content",
        "_deadlines",
        "_generator",
        "_is_waiting",
        "_loop",
        "_since",
        "_started",
        "_task",
        "_timer",
        "fresh",
        "name",
    )

    def __init__(self, deadlines: Deadlines) -> None:
        self.fresh = False
        self.name: str | None = None
        self._deadlines = deadlines
        self._timer: asyncio.TimerHandle | None = None
        self._cancels: list[asyncio.Task[Any]] = []

    def start(self, generator: Any = None, is_waiting: Callable[[], bool] = lambda: True) -> None:
        """Begin to watch.

        Args:
            generator: the asynchronous generator that reads the chunks, where it is one: while it is held up by whoever
                reads from it, no time passes for the provider. Otherwise the running task is the reader.
            is_waiting: of a task, whether it waits for the provider and for nothing else.
        """
        if not self._deadlines:
            return
        task = asyncio.current_task()
        if task is None:
            return
        self._task = task
        self._generator = None if generator is None else weakref.ref(generator)
        self._is_waiting = is_waiting if generator is None else lambda: self._generator_is_waiting()
        self._loop = task.get_loop()
        self._started = self._since = self._loop.time()
        self._content = False
        self._arm(self._due()[0])

    def stop(self) -> None:
        """The attempt is over. A task that was cancelled is not any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._cancels:
            task.uncancel()
        self._cancels.clear()

    def failure(self) -> APITimeoutError | None:
        """What the attempt has failed with, where a limit has passed."""
        return None if self.name is None else APITimeoutError(self._deadlines.message(self.name))

    def _due(self) -> tuple[float, str]:
        """When the next limit passes, by the loop's time, and which."""
        limits = self._deadlines
        dues = []
        if limits.total is not None:
            dues.append((self._started + limits.total, "total"))
        if self._content:
            if limits.idle is not None:
                dues.append((self._since + limits.idle, "idle"))
        elif limits.first_content is not None:
            dues.append((self._started + limits.first_content, "first_content"))
        return min(dues, default=(self._loop.time() + _LONG, ""))

    def _arm(self, due: float) -> None:
        if self._deadlines.idle is not None:
            due = min(due, self._loop.time() + self._deadlines.idle / _PARTS)
        self._look_at(due)

    def _look_at(self, moment: float) -> None:
        self._timer = self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        waiting = self._is_waiting()
        if self.fresh or (self._content and not waiting):
            self.fresh = False
            self._content = True
            self._since = now
        due, name = self._due()
        if self.name is None and now < due:
            self._arm(due)
            return
        if waiting:
            self.name = self.name or name
            self._cancel()
        self._look_at(now + _AGAIN)

    def _generator_is_waiting(self) -> bool:
        generator = self._generator() if self._generator is not None else None
        return generator is not None and generator.ag_running

    def _cancel(self) -> None:
        task = self._waiting_task()
        if task is not None:
            self._cancels.append(task)
            task.cancel()

    def _waiting_task(self) -> asyncio.Task[Any] | None:
        """The task that reads the chunks now. It may change with every chunk: `asyncio.wait_for` makes one for each."""
        generator = self._generator() if self._generator is not None else None
        if generator is None:
            return self._task
        for task in (self._task, *asyncio.all_tasks(self._loop)):
            if not task.done() and _awaits(task, generator):
                return task
        return None


def _awaits(task: asyncio.Task[Any], generator: Any) -> bool:
    """Whether what a task awaits leads, step by step, to this asynchronous generator."""
    awaited: Any = task.get_coro()
    while awaited is not None:
        if awaited is generator:
            return True
        if inspect.iscoroutine(awaited):
            awaited = awaited.cr_await
        elif inspect.isasyncgen(awaited):
            awaited = awaited.ag_await
        elif inspect.isgenerator(awaited):
            awaited = awaited.gi_yieldfrom
        else:  # the step of an asynchronous generator, and other wrappers, which say nowhere else what they wrap
            inner = (one for one in gc.get_referents(awaited) if _is_step(one))
            awaited = next(inner, None)
    return False


def _is_step(value: Any) -> bool:
    return inspect.isasyncgen(value) or inspect.iscoroutine(value) or inspect.isgenerator(value)


def watched(ask: Callable[[], AsyncIterator[Any]], watch: Watch) -> AsyncGenerator[Any, None]:
    """The chunks of a provider, watched in here: for a loop that is only there to read them.

    Args:
        ask: asks the provider.
        watch: its deadlines.

    Raises:
        APITimeoutError: a limit has passed; the provider's stream is closed.
    """
    reference: list[weakref.ref[Any]] = []

    async def listen() -> AsyncGenerator[Any, None]:
        chunks = ask()
        watch.start(reference[0]())
        try:
            async for chunk in chunks:
                watch.fresh = watch.fresh or is_sign_of_life(chunk)
                yield chunk
        except (Exception, asyncio.CancelledError):
            if watch.name is None:
                raise
        finally:
            watch.stop()
            await async_bridge.aclose(chunks)
        failure = watch.failure()
        if failure is not None:
            raise failure

    generator = listen()
    reference.append(weakref.ref(generator))
    return generator
