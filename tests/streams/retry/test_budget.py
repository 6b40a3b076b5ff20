"""Tokens and money of every attempt, and a limit that is not passed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from played import HELLO, VirtualClock, listen_sync
from virtual_time import LoopClock, Timed, answer_or_what_there_is, run_virtually

from nbretry.answer import Answer
from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigError,
    CostLimitError,
    RetryProviderError,
    ServerError,
    StreamInterruptedError,
)
from nbretry.prices import PriceTable, estimate_prompt_tokens, estimate_tokens
from nbretry.providers import RetryProvider, ScriptedProvider
from nbretry.renderers.report import report_html, report_text
from nbretry.retry.budget import Budget
from nbretry.retry.deadlines import Deadlines
from nbretry.session.question import Question
from nbretry.session.session import Session
from nbretry.types import Reasoning, Usage

PROMPT = estimate_prompt_tokens(HELLO)
PRICES = PriceTable({"dear": (1000.0, 2000.0), "cheap": (1.0, 2.0)})
TEXT = "an answer of some words "


def answer_of(*providers: Any, **settings: Any) -> Answer:
    async def main() -> Answer:
        chain = RetryProvider(providers, False, clock=LoopClock(), **{"prices": PRICES, **settings})
        return await answer_or_what_there_is(chain)

    answer: Answer = run_virtually(main())
    return answer


def test_tokens_of_the_wire_count() -> None:
    """What the provider has counted is what is paid, and no estimate."""
    answer = answer_of(Timed("dear", ["x", Usage(7, 5)]))
    assert answer.usage == Usage(7, 5)
    assert answer.cost == pytest.approx((7 * 1000 + 5 * 2000) / 1e6)
    assert not answer.cost_estimated
    assert "5 tokens · $0.017" in report_text(answer)


def test_tokens_that_nobody_counted_are_estimated() -> None:
    """Otherwise both counts are estimates from the text, and marked as such wherever they are shown."""
    answer = answer_of(Timed("dear", [TEXT]))
    assert answer.usage == Usage(PROMPT, estimate_tokens(TEXT), estimated=True)
    assert answer.cost_estimated
    assert f"≈ {estimate_tokens(TEXT)} tokens · ≈ $" in report_text(answer)
    assert "≈" in report_html(answer)
    assert answer.to_dict()["usage"]["estimated"] is True


def test_half_a_count_is_kept() -> None:
    """Where only the answer's tokens were counted they stand as counted, and the cost is an estimate."""
    answer = answer_of(Timed("dear", ["x", Usage(None, 5)]))
    assert answer.usage == Usage(None, 5)
    assert answer.cost == pytest.approx((PROMPT * 1000 + 5 * 2000) / 1e6)
    assert answer.cost_estimated


def test_failed_attempts_cost_too() -> None:
    """A stream that broke off, one that said nothing in time and one that was quicker: each has its tokens; one that
    refused has none."""
    answer = answer_of(
        Timed("refusing", [ServerError("no", status_code=500)]),
        Timed("breaking", [TEXT, StreamInterruptedError("cut")]),
        Timed("silent", [99, "x"]),
        Timed("cheap", ["x", Usage(1, 1)]),
        deadlines=Deadlines(first_content=5),
        on_break="restart",
        prices=PriceTable(dict.fromkeys(("refusing", "breaking", "silent", "cheap"), (1, 1))),
    )
    usages = [attempt.usage for attempt in answer.attempts]
    assert usages == [None, Usage(PROMPT, estimate_tokens(TEXT), True), Usage(PROMPT, 0, True), Usage(1, 1)]
    assert answer.cost == pytest.approx((PROMPT + estimate_tokens(TEXT) + PROMPT + 2) / 1e6)


def test_a_hedged_attempt_costs_too() -> None:
    """The one that was cancelled was asked, and its prompt is counted."""
    answer = answer_of(Timed("dear", [99, "x"]), Timed("cheap", ["x", Usage(1, 1)]), hedge_after=1)
    assert [attempt.state for attempt in answer.attempts] == ["cancelled", "answered"]
    assert answer.cost == pytest.approx((PROMPT * 1000 + 3) / 1e6)


def test_a_continued_answer_is_counted_once() -> None:
    """Each provider is counted for its own text."""
    answer = answer_of(
        Timed("dear", ["one two three ", StreamInterruptedError("cut")]), Timed("cheap", ["four"]), on_break="continue"
    )
    completions = [attempt.usage.completion_tokens for attempt in answer.attempts if attempt.usage]
    assert completions == [estimate_tokens("one two three "), estimate_tokens("four")]


def test_without_prices_no_cost() -> None:
    """Without a table nothing is estimated and no cost is claimed."""
    answer = answer_of(Timed("dear", ["x"]), prices=None)
    assert (answer.usage, answer.cost) == (None, None)


def test_a_limit_is_not_passed() -> None:
    """A request that would pass what is left of ``max_cost`` is not sent; a cheaper provider is asked instead."""
    dear, cheap = ScriptedProvider(name="dear"), ScriptedProvider(name="cheap")
    chain = RetryProvider([dear, cheap], False, prices=PRICES, max_cost=0.03, clock=VirtualClock())
    asked = []
    for _ in range(4):
        answer = asyncio.run(chain.answer("", HELLO, max_tokens=4))
        asked.append(answer.provider)
    assert asked == ["dear", "dear", "cheap", "cheap"]
    assert len(dear.calls) == 2
    skipped = answer.attempts[0]
    assert (skipped.state, type(skipped.exception)) == ("skipped", CostLimitError)
    assert "of max_cost $0.030" in str(skipped.exception)
    assert chain.spent is not None
    assert chain.spent <= 0.03


def test_the_longest_answer_counts_before_it_is_asked() -> None:
    """With ``max_tokens`` the answer is counted at its longest before the request is sent."""
    dear = ScriptedProvider(name="dear")
    chain = RetryProvider([dear], False, prices=PRICES, max_cost=0.1)
    heard = listen_sync(chain, max_tokens=100)
    assert isinstance(heard.error, RetryProviderError)
    assert "asking it would cost about $0.2" in str(heard.error)
    assert dear.calls == []


def test_the_contracts_generators_are_counted() -> None:
    """Chunks that come without events are counted as well, also of a stream that is closed half way."""
    chain = RetryProvider([ScriptedProvider("'four ' 'more ' hang", name="dear")], False, prices=PRICES, max_cost=9)
    chunks = chain.create_completion("", HELLO, stream=True)
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert chain.spent == pytest.approx((PROMPT * 1000 + estimate_tokens("four ") * 2000) / 1e6)


def test_a_session_knows_what_it_has_spent() -> None:
    """A session adds up all its questions, and its limit holds for them together."""
    session = Session(prices=PRICES)
    dear = ScriptedProvider(name="dear")
    for _ in range(3):
        asyncio.run(session.ask(Question("Hello", [dear]), lambda event, answer: None))
    costs = [answer.cost for answer in session.answers if answer.cost is not None]
    assert len(costs) == 3
    assert session.budget.spent == pytest.approx(sum(costs))
    session.budget.limit = session.budget.spent
    with pytest.raises(RetryProviderError, match="max_cost"):
        asyncio.run(session.ask(Question("Hello", [dear]), lambda event, answer: None))
    assert len(dear.calls) == 3


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_a_wrong_limit_is_told(limit: float) -> None:
    """A limit that is no amount of money is one line."""
    with pytest.raises(ConfigError, match="should be an amount of US dollars from 0"):
        RetryProvider([], max_cost=limit)


@pytest.mark.parametrize(
    "play",
    [
        [AuthenticationError("no", status_code=401)],
        [APIConnectionError("refused")],
        [APITimeoutError("silent")],
        [Reasoning("let me think " * 50), "x"],
        [TEXT, StreamInterruptedError("cut")],
        [Usage(7, 5)],
    ],
    ids=lambda play: type(play[0]).__name__,
)
def test_what_is_spent_is_what_the_answers_cost(play: list[Any]) -> None:
    """The limit counts an attempt as the answer does: nothing for one that was refused, reasoning as well as text."""

    async def main() -> None:
        chain = RetryProvider([Timed("dear", play)], False, clock=LoopClock(), prices=PRICES, max_cost=9)
        answer = await answer_or_what_there_is(chain)
        assert chain.spent == pytest.approx(answer.cost or 0.0)

    run_virtually(main())


@pytest.mark.parametrize("budget", [Budget(1.5), Budget(None, Budget(1.5))], ids=["own", "whole"])
def test_several_at_once_do_not_pass_the_limit_together(budget: Budget) -> None:
    """What one question may cost is set aside while it is under way, and given back when its cost is known."""
    slow = Timed("dear", [1, "x", Usage(0, 1)])

    async def main() -> list[Any]:
        chain = RetryProvider([slow], False, clock=LoopClock(), prices=PRICES, max_cost=budget)
        first = await asyncio.gather(*(chain.answer("", HELLO) for _ in range(9)), return_exceptions=True)
        await chain.answer("", HELLO)
        return first

    answered = [one for one in run_virtually(main()) if isinstance(one, Answer)]
    assert len(answered) == 1, "another one would have been reckoned with another dollar"
    assert len(slow.calls) == 2
    assert budget.taken == budget.spent == pytest.approx(2 * 0.002)
