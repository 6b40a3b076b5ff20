"""Asking the same provider again: how often, after which waits, and never once text has come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from played import HELLO, METHODS, Listen, VirtualClock, listen_async, listen_sync, provider

from nbretry.errors import (
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    RateLimitError,
    RetryProviderError,
    ServerError,
)
from nbretry.providers import IterListProvider, RetryProvider
from nbretry.retry.policy import RetryPolicy

NO = ValueError("no")


@pytest.mark.parametrize("method", METHODS)
def test_the_waits_are_those_of_the_policy(listen: Listen, method: str) -> None:
    """Between the tries of one provider the run waits as long as the policy says, jitter and all."""
    clock = VirtualClock(1.0, 0.5, 0.25)
    a = provider("A", [NO], [NO], [NO], ["a"], method=method)
    assert listen(RetryProvider([a], False, True, max_retries=5, clock=clock)).chunks == ["a"]
    policy = RetryPolicy()
    assert clock.waits == [policy.backoff(1) * 1.0, policy.backoff(2) * 0.5, policy.backoff(3) * 0.25]
    assert len(a.script.calls) == 4


@pytest.mark.parametrize("max_retries", [1, 2, 3, 7])
def test_max_retries_is_how_often_one_provider_is_asked(listen: Listen, max_retries: int) -> None:
    """``max_retries`` counts all tries of one provider, the first included; after the last one nothing is waited."""
    clock = VirtualClock()
    a = provider("A", [NO])
    heard = listen(RetryProvider([a], True, True, max_retries, clock=clock))
    assert isinstance(heard.error, RetryProviderError)
    assert [attempt.number for attempt in heard.error.attempts] == list(range(1, max_retries + 1))
    assert (len(a.script.calls), len(clock.waits)) == (max_retries, max_retries - 1)


def test_there_is_no_wait_before_the_next_provider(listen: Listen) -> None:
    """A failed provider is followed by the next one at once."""
    clock = VirtualClock()
    chain = RetryProvider([provider("A", [NO]), provider("B", [NO]), provider("C", ["c"])], False, clock=clock)
    assert listen(chain).chunks == ["c"]
    assert clock.waits == []


def test_after_the_last_try_of_one_the_next_follows_at_once(listen: Listen) -> None:
    """With ``single_provider_retry`` the waits are between the tries of one provider only."""
    clock = VirtualClock()
    chain = RetryProvider([provider("A", [NO]), provider("B", [NO], ["b"])], False, True, 3, clock=clock)
    assert listen(chain).chunks == ["b"]
    assert clock.waits == [0.5, 1.0, 0.5]


@pytest.mark.parametrize("method", ["create_completion", "create_async_generator"])
def test_no_try_is_made_after_text_has_come(listen: Listen, method: str) -> None:
    """A stream that breaks off after text is not begun again: the answer never reads "Hello Hello Hello world"."""
    clock = VirtualClock()
    broken = provider("A", ["Hello ", NO], ["Hello ", NO], ["Hello ", "world"], method=method)
    heard = listen(RetryProvider([broken], False, True, 3, clock=clock))
    assert (heard.text, heard.error) == ("Hello ", NO)
    assert (len(broken.script.calls), clock.waits) == (1, [])


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (ServerError("no", status_code=500), 3),
        (RateLimitError("no", status_code=429), 3),
        (AuthenticationError("no", status_code=401), 1),
        (NotFoundError("no", status_code=404), 1),
    ],
)
def test_what_cannot_help_is_not_tried_again(listen: Listen, error: Exception, tries: int) -> None:
    """A provider that refuses the key or has no such model is asked once, and the next one answers."""
    a = provider("A", [error])
    chain = RetryProvider([a, provider("B", ["b"])], False, True, 3, clock=VirtualClock())
    assert listen(chain).chunks == ["b"]
    assert len(a.script.calls) == tries


def test_a_wrong_request_stops_the_run(listen: Listen) -> None:
    """Where the request itself is wrong nobody else is asked, and the error says so."""
    b = provider("B", ["b"])
    chain = RetryProvider([provider("A", [BadRequestError("no", status_code=400)]), b], False, True)
    error = listen(chain).error
    assert isinstance(error, RetryProviderError)
    assert str(error).splitlines()[0].startswith("the request itself was refused")
    assert b.script.calls == []


@pytest.mark.parametrize(("retry_after", "waits", "text"), [(7.0, [7.0], "again"), (3600.0, [], "other")])
def test_retry_after_is_waited_for_or_passed_by(listen: Listen, retry_after: float, waits: Any, text: str) -> None:
    """A wait that the provider asks for is kept to the second; one that is too long leads to the next provider."""
    clock = VirtualClock(0.123)
    a = provider("A", [RateLimitError("no", status_code=429, retry_after=retry_after)], ["again"])
    chain = RetryProvider([a, provider("B", ["other"])], False, True, clock=clock)
    assert listen(chain).chunks == [text]
    assert clock.waits == waits


def test_a_policy_of_ones_own_decides(listen: Listen) -> None:
    """A policy handed to `RetryProvider` takes the place of the two arguments."""
    clock = VirtualClock()
    a = provider("A", [NO], [NO], ["a"])
    policy = RetryPolicy(max_attempts=3, backoff_initial=2.0, backoff_max=3.0)
    assert listen(RetryProvider([a], policy=policy, clock=clock)).chunks == ["a"]
    assert clock.waits == [2.0, 3.0]


def test_iter_list_provider_never_asks_twice(listen: Listen) -> None:
    """`IterListProvider` asks each provider once."""
    a = provider("A", [NO], ["late"])
    assert isinstance(listen(IterListProvider([a])).error, RetryProviderError)
    assert len(a.script.calls) == 1


def test_the_settings_can_be_changed_between_two_runs(listen: Listen) -> None:
    """``single_provider_retry`` and ``max_retries`` are ordinary attributes, read at the start of each run."""
    a = provider("A", [NO])
    chain = RetryProvider([a], clock=VirtualClock())
    listen(chain)
    chain.single_provider_retry, chain.max_retries = True, 4
    listen(chain)
    assert len(a.script.calls) == 1 + 4


def test_cancelling_a_wait_ends_the_run() -> None:
    """A run that is cancelled while it waits asks nobody again."""
    a, b = provider("A", [NO]), provider("B", ["b"])

    async def main() -> None:
        waiting = asyncio.Event()

        class Endless(VirtualClock):
            async def asleep(self, seconds: float) -> None:
                waiting.set()
                await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(listen_async(RetryProvider([a, b], False, True, clock=Endless())))
        await waiting.wait()
        task.cancel()
        heard = await task
        assert isinstance(heard.error, asyncio.CancelledError)

    asyncio.run(main())
    assert (len(a.script.calls), b.script.calls) == (1, [])


def test_an_interrupted_wait_ends_the_run() -> None:
    """An interrupt from the keyboard while a synchronous run waits passes through, and nobody is asked again."""
    a, b = provider("A", [NO]), provider("B", ["b"])

    class Interrupted(VirtualClock):
        def sleep(self, seconds: float) -> None:
            raise KeyboardInterrupt

    heard = listen_sync(RetryProvider([a, b], False, True, clock=Interrupted()))
    assert isinstance(heard.error, KeyboardInterrupt)
    assert (len(a.script.calls), b.script.calls) == (1, [])


class Slippery:
    """An asynchronous stream that hangs, and that cannot be closed without an error."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def __aiter__(self) -> Slippery:
        return self

    async def __anext__(self) -> str:
        self.asked.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody answers")

    async def aclose(self) -> None:
        raise RuntimeError("cannot close")


def test_an_error_while_closing_does_not_undo_a_cancellation() -> None:
    """Where a provider's stream cannot be closed, a cancelled run is cancelled all the same: nobody else is asked."""
    b = provider("B", ["b"])

    async def main() -> None:
        stream = Slippery()
        hangs = type("Hangs", (), {"create_async_generator": staticmethod(lambda model, messages, **options: stream)})
        task = asyncio.create_task(listen_async(RetryProvider([hangs, b], shuffle=False)))
        await stream.asked.wait()
        task.cancel()
        assert isinstance((await task).error, asyncio.CancelledError)

    asyncio.run(main())
    assert b.script.calls == []


class ClosesBadly:
    """A synchronous stream that plays its chunks, and that cannot be closed without an error."""

    def __init__(self, *chunks: Any) -> None:
        self._chunks = iter(chunks)

    def __iter__(self) -> ClosesBadly:
        return self

    def __next__(self) -> str:
        chunk = next(self._chunks)
        if isinstance(chunk, Exception):
            raise chunk
        return str(chunk)

    def close(self) -> None:
        raise RuntimeError("cannot close")


def test_an_error_while_closing_spoils_no_answer_and_hides_no_failure(listen: Listen) -> None:
    """An answer that came whole is whole, and a failure is told as it was, though the stream could not be closed."""

    def closes_badly(*chunks: Any) -> Any:
        made = staticmethod(lambda model, messages, **options: ClosesBadly(*chunks))
        return type("A", (), {"create_completion": made})

    assert listen(RetryProvider([closes_badly("whole")])).chunks == ["whole"]
    assert listen(RetryProvider([closes_badly("half", NO)])).error is NO
    error = listen(RetryProvider([closes_badly(NO)])).error
    assert isinstance(error, RetryProviderError)
    assert error.attempts[0].exception is NO


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_a_stop_out_of_a_call_is_a_failure(listen: Listen, kind: type[Exception]) -> None:
    """A `StopIteration` out of a provider's function is its failure, and the next provider is asked."""

    def create_completion(model: str, messages: Any, **options: Any) -> Any:
        raise kind

    a = type("A", (), {"create_completion": staticmethod(create_completion)})
    assert listen(RetryProvider([a, provider("B", ["b"])], shuffle=False)).chunks == ["b"]


def test_a_stream_that_was_never_begun_can_be_closed() -> None:
    """Closing a stream of which nothing was read asks nobody, and leaves nothing behind to warn of."""
    a = provider("A", ["a"], method="create_async")

    async def main() -> None:
        await RetryProvider([a]).create_async_generator("", HELLO).aclose()  # type: ignore[attr-defined]
        await RetryProvider([a]).stream_events("", HELLO).aclose()

    RetryProvider([a]).create_completion("", HELLO).close()  # type: ignore[attr-defined]
    asyncio.run(main())
    assert a.script.calls == []


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot say")


def test_an_exception_that_cannot_be_shown_is_a_failure_like_any_other(listen: Listen) -> None:
    """An exception whose own text raises does not end the run: the next provider is asked."""
    a = provider("A", [Unspeakable()])
    assert listen(RetryProvider([a, provider("B", ["b"])], shuffle=False)).chunks == ["b"]
    assert "A: Unspeakable" in str(listen(RetryProvider([a])).error)


class Mistaken:
    """A provider whose own code raises before it can be asked."""

    @property
    def default_model(self) -> str:
        raise RuntimeError("no model")

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> Any:
        yield "never"


def test_a_provider_whose_own_code_raises_has_failed(listen: Listen) -> None:
    """What a provider's attributes raise is its failure like any other, and the next one answers."""
    chain = RetryProvider([Mistaken(), provider("B", ["b"])], False, clock=VirtualClock())
    assert listen(chain).chunks == ["b"]
    heard = listen(RetryProvider([Mistaken()], clock=VirtualClock()))
    assert isinstance(heard.error, RetryProviderError)
    assert "Mistaken: RuntimeError: no model" in str(heard.error)
