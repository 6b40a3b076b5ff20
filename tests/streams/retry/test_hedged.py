"""Hedging: where one provider says nothing for a while, the next is asked beside it; who speaks first wins."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from played import HELLO, listen_sync
from virtual_time import LoopClock, Timed, answer_or_what_there_is, run_virtually

from nbretry.answer import Answer
from nbretry.errors import (
    BadRequestError,
    ConfigError,
    RateLimitError,
    RetryProviderError,
    ServerError,
    StreamInterruptedError,
)
from nbretry.providers import RetryProvider, ScriptedProvider
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.health import Cooldown
from nbretry.retry.policy import RetryPolicy, check_hedge_after

DOWN = ServerError("down", status_code=503)


def ask(*providers: Any, hedge_after: Any = 2.0, **settings: Any) -> Answer:
    async def main() -> Answer:
        chain = RetryProvider(providers, False, hedge_after=hedge_after, clock=LoopClock(), **settings)
        return await answer_or_what_there_is(chain)

    answer: Answer = run_virtually(main())
    return answer


def states(answer: Answer) -> list[tuple[str, str]]:
    return [(attempt.provider, attempt.state) for attempt in answer.attempts]


def test_a_quick_answer_starts_nobody() -> None:
    """Where content comes in time nobody else is asked."""
    other = Timed("other", ["x"])
    assert ask(Timed("quick", [1, "a", 50, "b"]), other).text == "ab"
    assert other.calls == []


def test_the_second_wins() -> None:
    """The next one is asked when the time has passed; its content wins, and the first is cancelled and closed."""
    slow, quick = Timed("slow", [10, "slow"]), Timed("quick", [1, "quick"])
    answer = ask(slow, quick)
    assert (answer.text, answer.provider, answer.duration) == ("quick", "quick", 3.0)
    assert quick.asked_at == [2.0]
    assert states(answer) == [("slow", "cancelled"), ("quick", "answered")]
    assert (slow.closed, quick.closed) == (1, 1)
    assert answer.attempts[0].ended == 3.0


def test_the_first_wins_all_the_same() -> None:
    """The first may still be the quicker one: then the second is cancelled, and no text of it is heard."""
    slow, late = Timed("slow", [3, "a", 5, "b"]), Timed("late", [2, "never"])
    answer = ask(slow, late)
    assert (answer.text, answer.provider) == ("ab", "slow")
    assert states(answer) == [("slow", "answered"), ("late", "cancelled")]
    assert late.closed == 1


def test_three_side_by_side() -> None:
    """Each time that passes without content starts one more."""
    providers = [Timed("a", [100, "x"]), Timed("b", [100, "x"]), Timed("c", [1, "c"])]
    assert ask(*providers).text == "c"
    assert [provider.asked_at for provider in providers] == [[0.0], [2.0], [4.0]]


def test_a_failure_is_followed_at_once() -> None:
    """A provider that fails before the time has passed is followed by the next without waiting."""
    other = Timed("other", ["x"])
    assert ask(Timed("down", [1, DOWN]), other).text == "x"
    assert other.asked_at == [1.0]


def test_a_failure_beside_another() -> None:
    """Where one of two fails, the other goes on; only when both have failed the next is asked."""
    first, second, third = Timed("a", [5, DOWN]), Timed("b", [6, DOWN]), Timed("c", ["c"])
    answer = ask(first, second, third, hedge_after=4.5)
    assert answer.text == "c"
    assert third.asked_at == [9.0], "4.5 s after the second one"
    assert states(answer) == [("a", "failed"), ("b", "cancelled"), ("c", "answered")]


def test_all_fail() -> None:
    """Where all fail the error has each of them."""
    answer = ask(Timed("a", [5, DOWN]), Timed("b", [1, DOWN]))
    assert (answer.state, states(answer)) == ("failed", [("a", "failed"), ("b", "failed")])


def test_a_wrong_request_ends_the_run() -> None:
    """After 400 nobody else is asked; who is being asked already may still answer."""
    third = Timed("c", ["c"])
    wrong = BadRequestError("no", status_code=400)
    answer = ask(Timed("a", [3, wrong]), Timed("b", [3, wrong]), third)
    assert (answer.state, third.calls) == ("failed", [])


def test_a_second_round() -> None:
    """In a second round a provider is asked again after its wait, hedged or not."""
    flaky = Timed("flaky", [DOWN], ["back"])
    answer = ask(flaky, Timed("down", [DOWN]), policy=RetryPolicy(rounds=2, backoff_initial=1.0))
    assert (answer.text, flaky.asked_at) == ("back", [0.0, 1.0])


def test_deadlines_hold_for_each() -> None:
    """Each of those that are asked side by side has its own deadline."""
    answer = ask(Timed("a", [99, "x"]), Timed("b", [99, "x"]), deadlines=Deadlines(first_content=5))
    ends = [(attempt.ended, attempt.error) for attempt in answer.attempts]
    assert ends == [
        (5.0, "APITimeoutError: no content came within 5 s"),
        (7.0, "APITimeoutError: no content came within 5 s"),
    ]


def test_a_winner_that_dies() -> None:
    """A winner that breaks off is followed as `on_break` says."""
    answer = ask(
        Timed("a", [99, "x"]),
        Timed("b", ["half", StreamInterruptedError("cut")]),
        Timed("c", ["whole"]),
        on_break="restart",
    )
    assert answer.text == "whole"
    assert states(answer) == [("a", "cancelled"), ("b", "failed"), ("c", "answered")]


def test_a_quantile_of_what_was() -> None:
    """A quantile starts nobody before five times are known, and then goes by them."""
    one = Timed("one", [1, "x"], [1, "x"], [1, "x"], [1, "x"], [3, "x"], [99, "x"])
    two = Timed("two", ["two"])

    async def main() -> list[str]:
        chain = RetryProvider([one, two], False, hedge_after="p75", clock=LoopClock())
        return [(await chain.answer("", HELLO)).text for _ in range(6)]

    assert run_virtually(main()) == ["x"] * 5 + ["two"]
    assert two.asked_at == [1 * 4 + 3 + 1.0]


def test_cancelling_closes_all() -> None:
    """Stopping a run closes everybody who is being asked."""
    providers = [Timed("a", [99, "x"]), Timed("b", [99, "x"])]

    async def main() -> None:
        chain = RetryProvider(providers, False, hedge_after=1)
        task = asyncio.create_task(chain.answer("", HELLO))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtually(main())
    assert [provider.closed for provider in providers] == [1, 1]


def test_closing_the_stream_closes_all() -> None:
    """So does closing the stream of chunks in the middle of the answer."""
    slow, quick = Timed("slow", [99, "x"]), Timed("quick", ["a", 1, "b", 1, "c"])

    async def main() -> str:
        chain = RetryProvider([slow, quick], False, hedge_after=1)
        async with aclosing(chain.create_async_generator("", HELLO)) as chunks:
            return str(await anext(chunks))

    assert run_virtually(main()) == "a"
    assert (slow.closed, quick.closed) == (1, 1)


def test_a_long_answer_comes_whole_and_in_order() -> None:
    """An answer that is read more slowly than it comes is not lost, and its provider's deadline does not run."""
    words = [f"w{number} " for number in range(1000)]

    async def main() -> list[str]:
        chain = RetryProvider([Timed("a", words)], False, hedge_after=1, deadlines=Deadlines(idle=5))
        heard = []
        async for chunk in chain.create_async_generator("", HELLO):
            heard.append(chunk)
            await asyncio.sleep(1)
        return heard

    assert run_virtually(main()) == words


def test_without_an_event_loop() -> None:
    """Code without an event loop is hedged as well."""
    chain = RetryProvider([ScriptedProvider("hang"), ScriptedProvider("'quick'")], False, hedge_after=0.05)
    assert listen_sync(chain).text == "quick"


@pytest.mark.parametrize("value", [-1, "often", "90", "p", "p100", float("nan"), True])
def test_a_wrong_value_is_told(value: Any) -> None:
    """What is neither seconds nor a quantile is one line that says what would be right."""
    with pytest.raises(ConfigError, match="should be seconds from 0, or a quantile such as 'p90'"):
        check_hedge_after(value)
    for fine in (None, 0, 1.5, "p50", "p99.9"):
        check_hedge_after(fine)


def test_retry_after_holds_beside_another() -> None:
    """One that said when to come back is asked at that moment and not before, although another one says nothing."""
    busy = Timed("busy", [3, RateLimitError("wait", status_code=429, retry_after=20.0)], ["back"])
    answer = ask(busy, Timed("slow", [99, "x"]), policy=RetryPolicy(max_attempts=2))
    assert (answer.text, busy.asked_at) == ("back", [0.0, 23.0])


class Panic(BaseException):
    """As an extension in Rust raises it: no `Exception`."""


def test_what_is_no_exception_passes_through() -> None:
    """What a provider raises that is no `Exception` ends the run at once, and nobody waits for it for ever."""
    other = Timed("other", [99, "x"])

    async def main() -> None:
        async with asyncio.timeout(50):
            await RetryProvider([Timed("a", [5, Panic()]), other], False, hedge_after=1).answer("", HELLO)

    with pytest.raises(Panic):
        run_virtually(main())
    assert other.closed == 1


def test_a_loser_that_goes_on_is_closed() -> None:
    """One that lost and swallows its cancellation is closed as soon as it says something more."""
    closed = []

    class Stubborn:
        @staticmethod
        async def create_async_generator(model: str, messages: Any, **options: Any) -> Any:
            try:
                for _ in range(500):
                    try:
                        await asyncio.sleep(5)
                    except asyncio.CancelledError:
                        yield ""
                    yield "late"
            finally:
                closed.append(True)

    assert ask(Stubborn, Timed("quick", ["quick"]), hedge_after=1).text == "quick"
    assert closed == [True]


def test_closing_that_is_cancelled_frees_the_trial() -> None:
    """A run that is cancelled again while its providers are being closed still gives back what it holds."""

    class SlowToClose:
        @staticmethod
        async def create_async_generator(model: str, messages: Any, **options: Any) -> Any:
            if not calls:
                calls.append(model)
                raise DOWN
            try:
                await asyncio.sleep(99)
                yield "x"
            finally:
                closing.set()
                await asyncio.sleep(0.1)

    calls: list[str] = []
    closing = asyncio.Event()

    async def main() -> str:
        chain = RetryProvider([SlowToClose], hedge_after=1, clock=LoopClock(), cooldown=Cooldown(1, rest_initial=1.0))
        with pytest.raises(RetryProviderError):
            await chain.answer("", HELLO)
        await asyncio.sleep(2)
        trial = asyncio.create_task(chain.answer("", HELLO))
        await asyncio.sleep(2)
        assert chain.health()[0].state == "on trial"
        trial.cancel()
        await closing.wait()
        trial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trial
        await asyncio.sleep(1)
        return chain.health()[0].state

    assert run_virtually(main()) == "ready"
