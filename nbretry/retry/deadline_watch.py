"""Enforce the deadlines of a running attempt, at almost no cost per chunk.

In an event loop, one timer watches an attempt. The reader of the chunks sets `Watch.fresh` for each sign of life; the
timer looks at it only when it goes off, and is then set again. (Creating or moving a timeout for each chunk costs
thousands of nanoseconds, setting an attribute ten.) For code without an event loop, see `watched`: it runs in an event
loop in a thread.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from nbretry.errors import APITimeoutError
from nbretry.retry import async_bridge
from nbretry.retry.contract import is_content
from nbretry.retry.deadlines import Deadlines
from nbretry.types import Reasoning, Status

__all__ = ["Watch", "is_sign_of_life", "watched"]

_PARTS = 10
"""How often the idle limit is checked while it runs: an idle provider is noticed at most a tenth of the limit late."""

_LONG = 86400.0
"""Seconds until the next check while no limit applies."""

_AGAIN = 0.05
"""Seconds until a provider that has swallowed its cancellation is cancelled again."""


def is_sign_of_life(chunk: Any) -> bool:
    """Return whether a chunk shows that an answer is on its way: content, reasoning or a status."""
    return isinstance(chunk, Reasoning | Status) or is_content(chunk)


class Watch:
    """The deadlines of one attempt in an event loop, enforced by cancelling the task that waits for the provider.

    Args:
        deadlines: the limits.

    Attributes:
        fresh: whether there was a sign of life since the last check; the reader sets it.
        name: the name of the limit that has passed; None while none has.
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
        """Start watching.

        Args:
            generator: the asynchronous generator that reads the chunks, if it is a generator that does. While its
                consumer holds it up, the idle time does not run and nothing is cancelled. By default the running task
                is the reader.
            is_waiting: returns whether that task is waiting for the provider and for nothing else; not used with a
                generator.
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
        """Stop watching, because the attempt is over, and undo the cancellations of its tasks."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._cancels:
            task.uncancel()
        self._cancels.clear()

    def failure(self) -> APITimeoutError | None:
        """Return the error of the attempt if a limit has passed, otherwise None."""
        return None if self.name is None else APITimeoutError(self._deadlines.message(self.name))

    def _due(self) -> tuple[float, str]:
        """Return when the next limit passes, in the loop's time, and its name (empty if no limit applies)."""
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
        """Return the task that reads the chunks now; None if there is none.

        It may change with every chunk: before Python 3.12, `asyncio.wait_for` creates a task for each.
        """
        generator = self._generator() if self._generator is not None else None
        if generator is None:
            return self._task
        for task in (self._task, *asyncio.all_tasks(self._loop)):
            if not task.done() and _awaits(task, generator):
                return task
        return None


def _awaits(task: asyncio.Task[Any], generator: Any) -> bool:
    """Return whether the chain of what a task awaits leads to this asynchronous generator."""
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
        else:  # the step of an asynchronous generator or another wrapper: only its referents show what it wraps
            inner = (one for one in gc.get_referents(awaited) if _is_step(one))
            awaited = next(inner, None)
    return False


def _is_step(value: Any) -> bool:
    return inspect.isasyncgen(value) or inspect.iscoroutine(value) or inspect.isgenerator(value)


def watched(ask: Callable[[], AsyncIterator[Any]], watch: Watch) -> AsyncGenerator[Any, None]:
    """Return a provider's chunks as a generator that enforces the deadlines, for an event loop that only reads them.

    Args:
        ask: asks the provider, and returns its chunks.
        watch: the watch of its deadlines.

    Raises:
        APITimeoutError: a limit has passed; the provider's stream is closed. The generator raises it.
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
