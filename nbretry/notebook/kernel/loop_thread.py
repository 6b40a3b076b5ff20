"""One event loop in a daemon thread, for tasks that keep running even while a cell blocks the main thread."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["close", "spawn"]

_Result = TypeVar("_Result")

_PATIENCE = 2.0
"""Seconds that cancelled tasks have to end when the process ends."""


class _LoopThread:
    """The event loop and its thread, created at first use, and again in a forked process, where the thread is gone."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._run, name="nbretry-background", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def spawn(
        self, make: Callable[[], Coroutine[Any, Any, _Result]], ended: Callable[[asyncio.Task[_Result]], None]
    ) -> Callable[[], None]:
        tasks: list[asyncio.Task[_Result]] = []

        def create() -> None:
            task = self._loop.create_task(make())
            tasks.append(task)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(ended)

        def cancel() -> None:
            if tasks and not tasks[0].cancelling():
                tasks[0].cancel()

        def cancel_soon() -> None:
            if self.alive:
                self._call_soon(cancel)

        # The task gets the caller's context variables, so that the caller's span is the parent of its spans.
        self._call_soon(create, context=contextvars.copy_context())
        return cancel_soon

    def close(self) -> None:
        if self.alive:
            self._call_soon(lambda: self._tasks.add(self._loop.create_task(self._end())))
            self._thread.join(2 * _PATIENCE)

    def _call_soon(self, callback: Callable[[], Any], context: contextvars.Context | None = None) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, context=context)
        except RuntimeError:
            return  # the loop has been closed since, at the end of the process

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        if not self._tasks:
            self._loop.close()

    async def _end(self) -> None:
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_PATIENCE)
        await self._loop.shutdown_asyncgens()  # which closes the providers' connections
        self._tasks -= {asyncio.current_task()}
        self._loop.stop()


_current: _LoopThread | None = None
_lock = threading.Lock()


def spawn(
    make: Callable[[], Coroutine[Any, Any, _Result]], ended: Callable[[asyncio.Task[_Result]], None]
) -> Callable[[], None]:
    """Run a coroutine in the thread.

    Args:
        make: returns the coroutine; it is called in the thread, with a copy of the caller's context variables.
        ended: called with the task when it has ended, in the thread.

    Returns:
        A function that cancels the task. You can call it from any thread. It returns at once, and does nothing if the
        task has been cancelled or has ended.

    Raises:
        RuntimeError: this process cannot start a thread.
    """
    global _current
    with _lock:
        if _current is None or not _current.alive:
            _current = _LoopThread()
        return _current.spawn(make, ended)


def close() -> None:
    """Cancel all tasks and end the thread. Called at the end of the process; the next `spawn` starts a new thread."""
    if _current is not None:
        _current.close()


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held the lock at the fork


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
