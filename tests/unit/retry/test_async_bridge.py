"""Streams across the border between code with an event loop and code without one, in both directions."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nbretry.retry import async_bridge

PATIENCE = 20.0
variable = contextvars.ContextVar("variable", default="unset")


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before.clear()
    before.update(threading.enumerate())
    yield
    assert wait_until(lambda: not bridge_threads()), bridge_threads()


before: set[threading.Thread] = set()
"""The threads that ran when the test began."""


def bridge_threads() -> list[threading.Thread]:
    return [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("nbretry")]


def wait_until(condition: Callable[[], bool]) -> bool:
    limit = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < limit:
        time.sleep(0.001)
    return condition()


class Source:
    """Counts for ever, in both forms, and keeps note of what happens to it."""

    def __init__(self, end: int | None = None, error: BaseException | None = None) -> None:
        self.read = 0
        self.closed_in: threading.Thread | None = None
        self.context = ""
        self._numbers = range(end) if end is not None else itertools.count()
        self._error = error

    def sync(self) -> Iterator[str]:
        self.context = variable.get()
        try:
            for number in self._numbers:
                self.read += 1
                yield str(number)
            if self._error:
                raise self._error
        finally:
            self.closed_in = threading.current_thread()

    async def asynchronous(self) -> Any:
        self.context = variable.get()
        try:
            for number in self._numbers:
                await asyncio.sleep(0)
                self.read += 1
                yield str(number)
            if self._error:
                raise self._error
        finally:
            self.closed_in = threading.current_thread()


def in_loop(main: Callable[[], Any]) -> Any:
    """Run a coroutine function, and see that it leaves no task behind."""

    async def checked() -> Any:
        result = await main()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(checked())


@pytest.fixture(params=["outside", "inside"])
def anywhere(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], Any]:
    """Runs synchronous code outside of any event loop, and inside a running one."""
    if request.param == "outside":
        return lambda call: call()

    def inside(call: Callable[[], Any]) -> Any:
        async def main() -> Any:
            return call()

        return in_loop(main)

    return inside


def test_an_asynchronous_source_is_read_by_synchronous_code(anywhere: Any) -> None:
    """Every chunk arrives in order, outside of an event loop and inside a running one."""
    assert anywhere(lambda: list(async_bridge.as_iterator(Source(500).asynchronous()))) == [str(i) for i in range(500)]


def test_a_synchronous_source_is_read_in_the_loop() -> None:
    """Every chunk arrives in order, and the loop goes on meanwhile."""

    async def main() -> list[str]:
        return [chunk async for chunk in async_bridge.iterate_in_thread(Source(500).sync)]

    assert in_loop(main) == [str(i) for i in range(500)]


async def coroutine_of(result: Any) -> Any:
    await asyncio.sleep(0)
    return result


@pytest.mark.parametrize(
    ("make", "chunks"),
    [
        (lambda: "one", ["one"]),
        (lambda: None, [None]),
        (lambda: 7, [7]),
        (lambda: {"a": 1}, [{"a": 1}]),
        (lambda: b"bytes", [b"bytes"]),
        (lambda: ["a", "b"], ["a", "b"]),
        (lambda: iter("ab"), ["a", "b"]),
        (lambda: Source(2).asynchronous(), ["0", "1"]),
        (lambda: coroutine_of("one"), ["one"]),
        (lambda: coroutine_of(["a", "b"]), ["a", "b"]),
        (lambda: coroutine_of(Source(2).asynchronous()), ["0", "1"]),
    ],
)
def test_whatever_a_function_gives_has_chunks(make: Any, chunks: list[Any], anywhere: Any) -> None:
    """One value, an iterable, an asynchronous one and a coroutine of any of them are read alike in both directions."""

    async def main() -> list[Any]:
        return [chunk async for chunk in async_bridge.as_async_iterator(make())]

    assert anywhere(lambda: list(async_bridge.as_iterator(make()))) == chunks
    assert in_loop(main) == chunks


def test_one_value_costs_no_thread() -> None:
    """A coroutine that gives one string is awaited where it is: no thread is started for it."""

    async def main() -> list[threading.Thread]:
        async for _ in async_bridge.as_async_iterator(coroutine_of("one")):
            return bridge_threads()
        raise AssertionError("nothing came")

    assert asyncio.run(main()) == []


def test_closing_closes_an_asynchronous_source(anywhere: Any) -> None:
    """When `close` returns, the source's own ``finally`` has run, in its thread and with its loop still alive."""
    source = Source()

    def read_two() -> None:
        chunks = async_bridge.as_iterator(source.asynchronous())
        assert [next(chunks), next(chunks)] == ["0", "1"]
        async_bridge.close(chunks)
        assert source.closed_in not in (None, threading.current_thread())
        assert bridge_threads() == []

    anywhere(read_two)


def test_closing_closes_a_synchronous_source() -> None:
    """When `aclose` returns, the source's own ``finally`` has run, in the thread in which it was read."""
    source = Source()

    async def main() -> None:
        chunks = async_bridge.iterate_in_thread(source.sync)
        assert [await anext(chunks), await anext(chunks)] == ["0", "1"]
        await async_bridge.aclose(chunks)
        assert source.closed_in not in (None, threading.current_thread())

    in_loop(main)


def test_read_ahead_is_bounded_for_synchronous_code() -> None:
    """An asynchronous source is read a few dozen chunks ahead of its reader and no further."""
    source = Source()
    chunks = async_bridge.as_iterator(source.asynchronous())
    next(chunks)
    assert wait_until(lambda: source.read > async_bridge.READ_AHEAD)
    time.sleep(0.01)
    assert source.read == async_bridge.READ_AHEAD + 1
    for _ in range(10 * async_bridge.READ_AHEAD):
        next(chunks)
    time.sleep(0.01)
    assert source.read <= 12 * async_bridge.READ_AHEAD
    async_bridge.close(chunks)


def test_read_ahead_is_bounded_in_the_loop() -> None:
    """A synchronous source is read a few dozen chunks ahead of its reader and no further."""
    source = Source()

    async def main() -> None:
        chunks = async_bridge.iterate_in_thread(source.sync)
        await anext(chunks)
        assert wait_until(lambda: source.read > async_bridge.READ_AHEAD)
        await asyncio.sleep(0.01)
        assert source.read <= async_bridge.READ_AHEAD + 2
        await async_bridge.aclose(chunks)

    in_loop(main)


def test_a_blocked_source_does_not_hold_up_the_loop_or_its_cancellation() -> None:
    """While a synchronous provider blocks, other tasks run, and a cancelled reader is done at once."""
    release, closed = threading.Event(), threading.Event()

    def blocked() -> Iterator[str]:
        try:
            release.wait(PATIENCE)
            yield "late"
        finally:
            closed.set()

    async def main() -> float:
        async def read() -> list[str]:
            return [chunk async for chunk in async_bridge.iterate_in_thread(blocked)]

        task = asyncio.create_task(read())
        await asyncio.sleep(0.005)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - begun

    assert in_loop(main) < PATIENCE
    assert not closed.is_set()
    release.set()
    assert closed.wait(PATIENCE)


def test_a_source_that_swallows_its_cancellation_is_given_up() -> None:
    """An asynchronous source that catches the cancellation and goes on is closed at its next chunk."""
    swallowed = threading.Event()
    closed = threading.Event()

    async def stubborn() -> Any:
        try:
            yield "first"
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                swallowed.set()
            while True:
                yield "more"
        finally:
            closed.set()

    chunks = async_bridge.as_iterator(stubborn())
    assert next(chunks) == "first"
    async_bridge.close(chunks)
    assert swallowed.is_set()
    assert closed.wait(PATIENCE)


def test_what_a_source_leaves_running_does_not_hold_up_its_end() -> None:
    """The end of an asynchronous source arrives although a task that it began resists being cancelled."""
    release = threading.Event()

    async def resists() -> None:
        while not release.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                continue

    async def source() -> Any:
        task = asyncio.create_task(resists())
        await asyncio.sleep(0)
        yield "whole"
        del task

    begun = time.monotonic()
    assert list(async_bridge.as_iterator(source())) == ["whole"]
    assert time.monotonic() - begun < PATIENCE
    release.set()


def test_context_variables_are_carried_along() -> None:
    """A source sees the context variables of whoever asked for it, in both directions."""
    one, other = Source(1), Source(1)

    async def main() -> None:
        async for _ in async_bridge.iterate_in_thread(other.sync):
            pass

    token = variable.set("carried")
    try:
        list(async_bridge.as_iterator(one.asynchronous()))
        in_loop(main)
    finally:
        variable.reset(token)
    assert (one.context, other.context) == ("carried", "carried")


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_exceptions_are_carried_along_with_their_traceback(kind: type[BaseException], anywhere: Any) -> None:
    """What a source raises is raised where it is read: the same object, its traceback leading into the source."""
    error = kind("here")

    async def read_in_loop() -> None:
        async for _ in async_bridge.iterate_in_thread(Source(1, error).sync):
            pass

    for read, frame in (
        (lambda: anywhere(lambda: list(async_bridge.as_iterator(Source(1, error).asynchronous()))), "asynchronous"),
        (lambda: asyncio.run(read_in_loop()), "sync"),
    ):
        with pytest.raises(kind) as caught:
            read()
        if kind is not asyncio.CancelledError:  # of which asyncio makes a new one where it leaves a task
            assert caught.value is error
            assert frame in [entry.name for entry in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_a_stop_that_is_raised_by_a_function_is_no_end(kind: type[Exception]) -> None:
    """A `StopIteration` out of a provider's call is an error and does not pass for the end of its stream."""

    def call() -> Any:
        raise kind

    async def main() -> None:
        async for _ in async_bridge.iterate_in_thread(call):
            pass

    with pytest.raises((RuntimeError, StopAsyncIteration)):
        asyncio.run(main())


class BadlyClosed:
    """Cannot be closed without an error."""

    def close(self) -> None:
        raise ValueError("cannot close")

    async def aclose(self) -> None:
        raise ValueError("cannot close")


def test_an_error_while_closing_is_not_raised() -> None:
    """`close` and `aclose` pass over what goes wrong in closing, and over what cannot be closed at all."""

    async def main() -> None:
        await async_bridge.aclose(BadlyClosed())
        await async_bridge.aclose(object())

    async_bridge.close(BadlyClosed())
    async_bridge.close(object())
    asyncio.run(main())
