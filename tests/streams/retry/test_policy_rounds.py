"""The second round: the next provider is asked at once, and those whose failure was passing are asked again later."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from played import HELLO, VirtualClock, listen_sync, provider

from nbretry.errors import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    EmptyResponseError,
    NotFoundError,
    RateLimitError,
    RetryProviderError,
    ServerError,
)
from nbretry.providers import RetryProvider
from nbretry.retry.policy import RetryPolicy

DOWN = ServerError("down", status_code=500)


def run(*takes: list[list[Any]], chance: float = 1.0, **policy: Any) -> tuple[list[str], list[float], Any]:
    """The order of asking, the waits, and what was heard; provider A says the first list of takes, B the second, …"""
    asked: list[str] = []
    providers = []
    for name, plays in zip("ABCDEFGH", takes, strict=False):
        made = provider(name, *plays)
        begin = made.script.begin

        def noting(*args: Any, name: str = name, begin: Any = begin) -> Any:
            asked.append(name)
            return begin(*args)

        made.script.begin = noting
        providers.append(made)
    clock = VirtualClock(chance)
    heard = listen_sync(RetryProvider(providers, False, clock=clock, policy=RetryPolicy(**{"rounds": 2, **policy})))
    return asked, clock.waits, heard


def test_the_next_one_is_asked_at_once() -> None:
    """In the first round nothing is waited for."""
    asked, waits, heard = run([[DOWN]], [[DOWN]], [["yes"]])
    assert (asked, waits, heard.text) == (["A", "B", "C"], [], "yes")


def test_the_second_round_waits() -> None:
    """The second round begins with who may be asked first, after the backoff that began with its failure."""
    asked, waits, heard = run([[DOWN], ["back"]], [[DOWN]])
    assert (asked, waits, heard.text) == (["A", "B", "A"], [0.5], "back")
    asked, waits, heard = run([[DOWN]], [[DOWN]], chance=0.2)
    assert (asked, waits) == (["A", "B", "A", "B"], [0.1])


def test_waits_grow_with_the_rounds() -> None:
    """Each round's longest wait is twice that of the one before."""
    asked, waits, _ = run([[DOWN]], rounds=4)
    assert (asked, waits) == (["A"] * 4, [0.5, 1.0, 2.0])
    asked, waits, _ = run([[DOWN]], rounds=2, max_attempts=2)
    assert (asked, waits) == (["A"] * 4, [0.5, 1.0, 2.0])


@pytest.mark.parametrize("error", [AuthenticationError, NotFoundError, ContextLengthError])
def test_who_cannot_answer_is_not_asked_again(error: Any) -> None:
    """A wrong key, an unknown model or a prompt that is too long is the same in the second round."""
    asked, waits, heard = run([[error("no")]], [[DOWN], ["back"]])
    assert (asked, waits, heard.text) == (["A", "B", "B"], [0.5], "back")


def test_a_wrong_request_ends_it() -> None:
    """400 ends the run, in the second round too."""
    wrong = BadRequestError("no", status_code=400)
    assert run([[DOWN]], [[wrong]], [["never"]])[0] == ["A", "B"]
    assert run([[DOWN], [wrong]], [[DOWN], ["never"]])[0] == ["A", "B", "A"]


def test_retry_after_is_obeyed_exactly() -> None:
    """Who said when to come back is asked at that moment and not before; one who said too long is not asked again."""
    busy = RateLimitError("wait", status_code=429, retry_after=7.0)
    too_busy = RateLimitError("wait", status_code=429, retry_after=31.0)
    asked, waits, heard = run([[busy], ["back"]], [[too_busy], ["never"]], chance=0.123)
    assert (asked, waits, heard.text) == (["A", "B", "A"], [7.0], "back")
    asked, waits, heard = run([[busy], ["back"]], [[DOWN]], chance=0.5)
    assert (asked, waits) == (["A", "B", "B", "A"], [0.25, 6.75])


def test_an_empty_answer_comes_back() -> None:
    """An answer without content, and one that breaks off before content, are passing failures."""
    asked, _, heard = run([[], ["full"]], [[APIConnectionError("lost")]])
    assert (asked, heard.text) == (["A", "B", "A"], "full")


def test_every_attempt_is_kept() -> None:
    """The error of a failed run has the attempts of both rounds in order."""
    _, _, heard = run([[DOWN]], [[]])
    assert isinstance(heard.error, RetryProviderError)
    kinds = [type(attempt.exception) for attempt in heard.error.attempts]
    assert kinds == [ServerError, EmptyResponseError, ServerError, EmptyResponseError]
    assert [attempt.number for attempt in heard.error.attempts] == [1, 2, 3, 4]
    assert str(heard.error).startswith("every provider failed")


def test_one_round_is_the_contract() -> None:
    """Without a policy each provider is asked once."""
    made = provider("A", [DOWN])
    listen_sync(RetryProvider([made], False, clock=VirtualClock()), "", HELLO)
    assert len(made.script.calls) == 1


@given(
    fails=st.lists(st.lists(st.sampled_from([0.0, 1.0, 9.0, 29.0, None]), max_size=4), min_size=1, max_size=4),
    rounds=st.integers(1, 3),
    chance=st.floats(0, 1),
)
def test_nobody_is_asked_too_early(fails: list[list[float | None]], rounds: int, chance: float) -> None:
    """Whatever fails and whenever, nobody is asked before it said it could be, nor more often than the rounds allow."""
    clock = VirtualClock(chance)
    ready: dict[int, float] = {}
    asked: list[int] = []

    def make(number: int, waits: list[float | None]) -> Any:
        class One:
            @staticmethod
            def create_completion(model: str, messages: Any, **options: Any) -> Any:
                assert clock.now >= ready.get(number, 0.0) - 1e-9
                asked.append(number)
                tries = asked.count(number)
                if tries > len(waits):
                    yield "yes"
                    return
                wait = waits[tries - 1]
                ready[number] = clock.now + (wait or 0.0)
                raise RateLimitError("no", status_code=429, retry_after=wait)

        return One

    providers = [make(number, waits) for number, waits in enumerate(fails)]
    heard = listen_sync(RetryProvider(providers, False, clock=clock, policy=RetryPolicy(rounds=rounds)))
    assert all(asked.count(number) <= rounds for number in range(len(fails)))
    answers = any(len(waits) < rounds for waits in fails)
    assert (heard.text == "yes") is answers
