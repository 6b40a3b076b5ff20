"""A bridge between code with an event loop and code without one.

Each stream runs where it was written to run: an asynchronous one in one task of one event loop, a synchronous one in
one thread. Chunks pass through a small buffer, so a stream is never read far ahead of its consumer.
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

from nbretry._utils.exceptions import describe
from nbretry.errors import APITimeoutError, ProviderError

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
"""Maximum number of chunks that a source is read ahead of its reader."""

CLOSING_PATIENCE = 0.25
"""Seconds to wait for a thread to end."""

_GIVEN_UP = 1.0
"""Seconds to wait for a cancelled coroutine to end."""

_END = object()

_Result = TypeVar("_Result")
_Parameters = ParamSpec("_Parameters")

logger = logging.getLogger("nbretry")


class class_or_instance_method(Generic[_Parameters, _Result]):
    """A method bound to the instance if there is one, otherwise to the class: a provider may be either."""

    def __init__(self, function: Callable[Concatenate[Any, _Parameters], _Result]) -> None:
        self._function = function
        self.__doc__ = function.__doc__
        self.__name__: str = function.__name__

    def __get__(self, instance: Any, owner: type) -> Callable[_Parameters, _Result]:
        bound: Callable[_Parameters, _Result] = self._function.__get__(owner if instance is None else instance)
        return bound


def as_iterator(result: Any) -> Iterator[Any]:
    """Return an iterator over the chunks in the result of a provider's function.

    Args:
        result: an iterable, one chunk, a coroutine or an asynchronous iterator.
    """
    if hasattr(result, "__aiter__") or inspect.isawaitable(result):
        return _iterate_async(result)
    if _is_one_chunk(result):
        return iter([result])
    return iter(result)


def as_async_iterator(result: Any) -> AsyncIterator[Any]:
    """Return an asynchronous iterator over the same chunks as `as_iterator`, for the running loop.

    An ordinary iterator is read in a thread. An asynchronous one is returned as it is, so it adds no cost per chunk.
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
    """Yield the chunks of a synchronous call, read in its own thread so that the running loop is not blocked.

    Closing asks the thread to close the generator as soon as its current step returns, and waits up to
    `CLOSING_PATIENCE` (a quarter of a second) for it: a provider that blocks must not delay a user who pressed Stop.
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
        thread.start()  # inside the try, because an interrupt may arrive while the thread starts
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
    """Return the result of a synchronous call, made in its own thread so that the running loop is not blocked.

    Cancelling it takes a quarter of a second at most, and the thread does not keep the program from ending.
    """
    results: list[_Result] = [result async for result in iterate_in_thread(lambda: iter([call()]))]
    return results[0]


async def within(seconds: float, work: Coroutine[Any, Any, _Result], what: str, *, grace: float = 0.0) -> _Result:
    """Return the result of a coroutine, or give it up after a time limit, even if it ignores its cancellation.

    Args:
        seconds: the time limit, as the error message states it.
        work: the coroutine.
        what: what did not arrive, in a few words for the error message, such as ``no content``.
        grace: additional seconds to wait, for a coroutine that enforces the limit itself.

    Raises:
        APITimeoutError: the time limit has passed.
        ProviderError: the coroutine was cancelled by something else.
        Exception: whatever the coroutine raises.
    """
    task = asyncio.ensure_future(work)
    # Look at the exception in any case: asyncio logs one that is never retrieved.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
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
    """Yield the chunks of an asynchronous iterator or coroutine, run in one task of a new event loop in another thread.

    Closing cancels the task, which closes the iterator, and waits up to `CLOSING_PATIENCE` seconds for its thread.
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
                if stopped.is_set():  # the iterator may have swallowed the cancellation
                    return
                arrived.put((chunk, None))
        finally:
            await aclose(chunks)

    def run() -> None:
        try:
            # Not asyncio.run: nest_asyncio replaces it with a function that needs a loop of the main thread.
            with asyncio.Runner() as runner:
                try:
                    runner.run(pump())
                finally:
                    # Before the loop is closed: closing waits for everything the provider has left running in it.
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
                # With a timeout: on some systems Ctrl+C cannot interrupt a wait without one.
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
        if not sys.is_finalizing():  # other threads no longer run while the interpreter shuts down
            stopped.set()
            if started.wait(CLOSING_PATIENCE):
                _call_in_loop(running, lambda: running["task"].cancel())
                thread.join(CLOSING_PATIENCE)


def _thread_like_this(function: Callable[[], Any], name: str) -> threading.Thread:
    """Return a thread, not yet started, in which a function sees the context variables of this one."""
    return threading.Thread(target=contextvars.copy_context().run, args=(function,), name=name, daemon=True)


def _call_in_loop(running: dict[str, Any], callback: Callable[[], Any]) -> None:
    try:
        running["loop"].call_soon_threadsafe(callback)
    except (KeyError, RuntimeError):
        return  # the loop has ended, so the callback has nothing left to do


def cancellation() -> Callable[[], bool]:
    """Return a function that tells whether the running task has been cancelled since this call.

    It also notices a cancellation that something else has swallowed.
    """
    first = asyncio.current_task()
    before = 0 if first is None else first.cancelling()

    def cancelled() -> bool:
        task = asyncio.current_task()  # each chunk of a generator may be read by another task
        return task is not None and task.cancelling() > (before if task is first else 0)

    return cancelled


def close(iterator: Any) -> None:
    """Close an iterator if it can be closed.

    An error in closing is logged, not raised: it would replace the answer, or the failure or interrupt because of
    which the iterator is being closed.
    """
    close = getattr(iterator, "close", None)
    if callable(close):
        try:
            close()
        except Exception as error:
            _log_closing(error)


async def aclose(iterator: Any) -> None:
    """Close an asynchronous iterator; otherwise the same as `close`."""
    aclose = getattr(iterator, "aclose", None)
    if callable(aclose):
        try:
            await aclose()
        except Exception as error:
            _log_closing(error)


def _log_closing(error: Exception) -> None:
    logger.debug("closing a stream failed: %s", describe(error))
