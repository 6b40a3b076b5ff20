"""Between code with an event loop and code without one.

Each stream runs where it was written to run: an asynchronous one in one task of one event loop, a synchronous one in
one thread. Chunks cross over through a small buffer, so that a stream is never read far ahead of whoever consumes it.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import queue
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from nbretry._errors import APITimeoutError, ProviderError, describe

__all__ = [
    "CLOSING_PATIENCE",
    "READ_AHEAD",
    "aclose",
    "as_async_iterator",
    "as_iterator",
    "call_in_thread",
    "cancellation",
    "class_or_instance_method",
    "close",
    "iterate_in_thread",
    "within",
]

READ_AHEAD = 64
"""Chunks that a source is read ahead of its reader at most."""

CLOSING_PATIENCE = 0.25
"""Seconds for which the end of a thread is waited for."""

_GIVEN_UP = 1.0
"""Seconds for which the end of what was given up is waited for."""

_END = object()

_Result = TypeVar("_Result")
_Parameters = ParamSpec("_Parameters")

logger = logging.getLogger("nbretry")


class class_or_instance_method(Generic[_Parameters, _Result]):
    """A method bound to the instance where there is one, else to the class, as providers may be either."""

    def __init__(self, function: Callable[Concatenate[Any, _Parameters], _Result]) -> None:
        self._function = function
        self.__doc__ = function.__doc__
        self.__name__: str = function.__name__

    def __get__(self, instance: Any, owner: type) -> Callable[_Parameters, _Result]:
        bound: Callable[_Parameters, _Result] = self._function.__get__(owner if instance is None else instance)
        return bound


def as_iterator(result: Any) -> Iterator[Any]:
    """The chunks of what a provider's function gave: an iterable, one chunk, a coroutine, an asynchronous iterator."""
    if hasattr(result, "__aiter__") or inspect.isawaitable(result):
        return _iterate_async(result)
    if _is_one_chunk(result):
        return iter([result])
    return iter(result)


def as_async_iterator(result: Any) -> AsyncIterator[Any]:
    """The same in the running loop, where an ordinary iterator is read in a thread.

    An asynchronous iterator is given back as it is, so that it costs nothing for each chunk.
    """
    if hasattr(result, "__aiter__"):
        return result  # type: ignore[no-any-return]
    if inspect.isawaitable(result):
        return _await_chunks(result)
    return _one_chunk(result) if _is_one_chunk(result) else iterate_in_thread(lambda: result)


def _is_one_chunk(result: Any) -> bool:
    return isinstance(result, str | bytes | Mapping) or not hasattr(result, "__iter__")


async def _one_chunk(chunk: Any) -> AsyncIterator[Any]:
    yield chunk


async def _await_chunks(result: Awaitable[Any]) -> AsyncIterator[Any]:
    chunks = as_async_iterator(await result)
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        await aclose(chunks)


async def iterate_in_thread(call: Callable[[], Any]) -> AsyncIterator[Any]:
    """The chunks of a synchronous call, read in a thread of its own, so that the running loop goes on meanwhile.

    On closing, the thread is asked to close the generator as soon as its current step returns, and is waited for a
    quarter of a second: a provider that blocks must not hold up whoever pressed Stop.
    """
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()
    buffer: deque[tuple[Any, BaseException | None]] = deque()
    room = threading.Semaphore(READ_AHEAD)
    stopped = threading.Event()
    ended = asyncio.Event()

    def notify(event: asyncio.Event) -> None:
        try:
            loop.call_soon_threadsafe(event.set)
        except RuntimeError:  # the loop was closed with the stream still open
            stopped.set()
            room.release()

    def hand_over(chunk: Any, exception: BaseException | None = None) -> None:
        buffer.append((chunk, exception))
        notify(arrived)

    def pump() -> None:
        try:
            chunks = as_iterator(call())
            try:
                for chunk in chunks:
                    room.acquire()
                    if stopped.is_set():
                        return
                    hand_over(chunk)
            finally:
                close(chunks)
            hand_over(_END)
        except BaseException as exception:
            hand_over(_END, exception)
        finally:
            notify(ended)

    thread = _thread_like_this(pump, "nbretry-provider")
    try:
        thread.start()  # in here, as an interrupt may come while the thread starts
        while True:
            while buffer:
                chunk, exception = buffer.popleft()
                if exception is not None:
                    raise exception
                if chunk is _END:
                    return
                room.release()
                yield chunk
            arrived.clear()
            if not buffer:
                await arrived.wait()
    finally:
        stopped.set()
        room.release()
        try:
            async with asyncio.timeout(CLOSING_PATIENCE):
                await ended.wait()
        except TimeoutError:
            pass


async def call_in_thread(call: Callable[[], _Result]) -> _Result:
    """What a synchronous call gives, made in a thread of its own, so that the running loop goes on meanwhile.

    Whoever cancels it waits for a quarter of a second at most, and the thread does not keep the program from ending.
    """
    results: list[_Result] = [result async for result in iterate_in_thread(lambda: iter([call()]))]
    return results[0]


async def within(seconds: float, work: Coroutine[Any, Any, _Result], what: str, *, grace: float = 0.0) -> _Result:
    """The result of a coroutine that is given up after a time, also where it does not end when it is cancelled.

    Args:
        seconds: the limit that is told.
        work: the coroutine.
        what: did not come, in a few words.
        grace: seconds more, for a coroutine that looks after the limit by itself.

    Raises:
        APITimeoutError: the time has passed.
        ProviderError: the coroutine was cancelled, and not from here.
        Exception: whatever the coroutine raises.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, if only here
    try:
        await asyncio.wait({task}, timeout=seconds + grace)
        if not task.done():
            raise APITimeoutError(f"{what} came within {seconds:g} s")
        if task.cancelled():
            raise ProviderError("it cancelled its own answer")
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_GIVEN_UP)


def _iterate_async(result: Any) -> Iterator[Any]:
    """The chunks of an asynchronous iterator or coroutine, run in one task of a new event loop in another thread.

    On closing, the task is cancelled, which closes the iterator, and is waited for as long as a thread is above.
    """
    arrived: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
    taken = 0
    started = threading.Event()
    stopped = threading.Event()
    running: dict[str, Any] = {}

    async def pump() -> None:
        room = asyncio.Semaphore(READ_AHEAD)
        running.update(loop=asyncio.get_running_loop(), task=asyncio.current_task(), room=room)
        started.set()
        if stopped.is_set():
            close(result)
            return
        chunks = as_async_iterator(result)
        try:
            async for chunk in chunks:
                await room.acquire()
                if stopped.is_set():  # where the iterator has swallowed the cancellation
                    return
                arrived.put((chunk, None))
        finally:
            await aclose(chunks)

    def run() -> None:
        try:
            # Not asyncio.run: nest_asyncio replaces that with one that needs a loop of the main thread.
            with asyncio.Runner() as runner:
                try:
                    runner.run(pump())
                finally:
                    # Before the loop is closed, which waits for whatever else the provider has left running in it.
                    arrived.put((_END, sys.exception()))
        except BaseException as exception:
            arrived.put((_END, exception))
        finally:
            started.set()

    thread = _thread_like_this(run, "nbretry-loop")
    try:
        thread.start()
        while True:
            try:
                # A bound, as an unbounded wait cannot be interrupted from the keyboard on every system.
                chunk, exception = arrived.get(timeout=0.2)
            except queue.Empty:
                continue
            if chunk is _END:
                if exception is not None:
                    raise exception
                return
            taken += 1
            if taken % (READ_AHEAD // 2) == 0:
                _call_in_loop(running, lambda: [running["room"].release() for _ in range(READ_AHEAD // 2)])
            yield chunk
    finally:
        if not sys.is_finalizing():  # no other thread runs any more while the interpreter ends
            stopped.set()
            if started.wait(CLOSING_PATIENCE):
                _call_in_loop(running, lambda: running["task"].cancel())
                thread.join(CLOSING_PATIENCE)


def _thread_like_this(function: Callable[[], Any], name: str) -> threading.Thread:
    """A thread, not yet started, in which a function sees the context variables of this one."""
    return threading.Thread(target=contextvars.copy_context().run, args=(function,), name=name, daemon=True)


def _call_in_loop(running: dict[str, Any], callback: Callable[[], Any]) -> None:
    try:
        running["loop"].call_soon_threadsafe(callback)
    except (KeyError, RuntimeError):
        return  # the loop has ended, and with it what the callback was for


def cancellation() -> Callable[[], bool]:
    """Tells from now on whether the running task has been cancelled, also where that was swallowed on its way."""
    first = asyncio.current_task()
    before = 0 if first is None else first.cancelling()

    def cancelled() -> bool:
        task = asyncio.current_task()  # a generator may be read by a task of its own for each chunk
        return task is not None and task.cancelling() > (before if task is first else 0)

    return cancelled


def close(iterator: Any) -> None:
    """Close an iterator, where it can be closed.

    What goes wrong in that is logged and not raised: it would take the place of the answer, or of the failure or the
    interrupt for which the iterator is being closed.
    """
    close = getattr(iterator, "close", None)
    if callable(close):
        try:
            close()
        except Exception as error:
            _log_closing(error)


async def aclose(iterator: Any) -> None:
    """As `close`, for an asynchronous iterator."""
    aclose = getattr(iterator, "aclose", None)
    if callable(aclose):
        try:
            await aclose()
        except Exception as error:
            _log_closing(error)


def _log_closing(error: Exception) -> None:
    logger.debug("closing a stream failed: %s", describe(error))
