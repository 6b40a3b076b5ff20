"""Deadlines while a provider is asked, at next to no cost for each chunk.

With an event loop one timer watches an attempt: whoever reads the chunks sets `Watch.fresh` for each content, and only
when the timer goes off is it looked at and the timer set anew. (A timeout made or moved for each chunk costs
thousands of nanoseconds, an attribute ten.) Without an event loop the provider is read in a thread of its own.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from nbretry.deadlines import Deadlines
from nbretry.errors import APITimeoutError
from nbretry.providers import bridge
from nbretry.providers.base import is_content
from nbretry.types import Reasoning, Status

__all__ = ["Watch", "is_sign_of_life", "iterate_watched"]

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


_END = object()


def iterate_watched(
    make: Callable[[], Iterator[Any]], deadlines: Deadlines, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[Any]:
    """The chunks of a synchronous iterator, which is made and read in a thread of its own so that it can be given up.

    Args:
        make: makes the iterator.
        deadlines: the limits.
        monotonic: seconds that never run backwards.

    Raises:
        APITimeoutError: a limit has passed. The thread closes the iterator as soon as its present step returns.
    """
    arrived: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(bridge.READ_AHEAD)
    stopped = threading.Event()

    def hand_over(item: tuple[Any, BaseException | None]) -> None:
        while not stopped.is_set():
            try:
                arrived.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def pump() -> None:
        chunks: Any = None
        try:
            chunks = make()
            for chunk in chunks:
                hand_over((chunk, None))
                if stopped.is_set():
                    return
            hand_over((_END, None))
        except BaseException as exception:
            hand_over((_END, exception))
        finally:
            bridge.close(chunks)

    thread = bridge.thread_like_this(pump, "nbretry-provider")
    started = since = monotonic()
    content = False
    try:
        thread.start()
        while True:
            dues = [(limit, name) for limit, name in _dues(deadlines, started, since, content) if limit is not None]
            due, name = min(dues, default=(float("inf"), ""))
            try:
                # A bound, as an unbounded wait cannot be interrupted from the keyboard on every system.
                chunk, exception = arrived.get(timeout=max(0.0, min(0.2, due - monotonic())))
            except queue.Empty:
                if monotonic() >= due:
                    raise APITimeoutError(deadlines.message(name)) from None
                continue
            if exception is not None:
                raise exception
            if chunk is _END:
                return
            if monotonic() >= due and name == "total":
                raise APITimeoutError(deadlines.message(name))
            alive = is_sign_of_life(chunk)
            handed_over = monotonic()
            yield chunk
            if alive:
                content = True
                since = monotonic()
            else:  # while it is held up by whoever reads it, no time passes for the provider
                since += monotonic() - handed_over
    finally:
        stopped.set()
        thread.join(bridge.CLOSING_PATIENCE)


def _dues(deadlines: Deadlines, started: float, since: float, content: bool) -> list[tuple[float | None, str]]:
    def after(begun: float, limit: float | None) -> float | None:
        return None if limit is None else begun + limit

    gap = (
        (after(since, deadlines.idle), "idle")
        if content
        else (after(started, deadlines.first_content), "first_content")
    )
    return [(after(started, deadlines.total), "total"), gap]
