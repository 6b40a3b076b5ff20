"""Any schedule of failures, over any providers of mixed kinds: the run does what a page of plain code says it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import METHODS, VirtualClock, listen_async, listen_sync, provider

from nbretry.answer import Answer
from nbretry.errors import (
    AuthenticationError,
    BadRequestError,
    EmptyResponseError,
    RateLimitError,
    RetryNoProviderError,
    RetryProviderError,
    ServerError,
)
from nbretry.providers import RetryProvider


class Told:
    """A foreign chunk that is no content."""

    def __repr__(self) -> str:
        return "Told()"


TOLD = Told()
FAILURES = [
    None,
    ValueError("bug"),
    ServerError("down", status_code=500),
    RateLimitError("wait", status_code=429, retry_after=2.0),
    RateLimitError("wait long", status_code=429, retry_after=9999.0),
    AuthenticationError("who", status_code=401),
    BadRequestError("what", status_code=400),
]
AGAIN_AFTER = {ValueError: None, ServerError: None, EmptyResponseError: None, RateLimitError: 2.0}


@dataclass
class Plan:
    """One provider: its kind, and what it says call for call, a failure at the end of a take where there is one."""

    name: str
    method: str
    on: str
    takes: list[list[Any]]

    def made(self) -> Any:
        return provider(self.name, *self.takes, method=self.method, on=self.on)


@dataclass
class Outcome:
    """What a run comes to."""

    chunks: list[Any] = field(default_factory=list)
    attempts: list[tuple[str, str]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    end: str = "nobody answered"


def expected(plans: list[Plan], tries: int, chance: float) -> Outcome:
    """The contract and the retry table once more, in plain code, for a clock whose chance is always the same."""
    outcome = Outcome()
    for plan in plans:
        for n in range(1, tries + 1):
            take = plan.takes[min(n, len(plan.takes)) - 1]
            failure = take[-1] if take and isinstance(take[-1], Exception) else None
            said = [chunk for chunk in take if chunk and not isinstance(chunk, Exception)]
            if plan.method == "create_async":  # says all at once, or nothing
                said = ["".join(said)] if said and not failure else []
            outcome.chunks += said
            has_content = any(isinstance(chunk, str) for chunk in said)
            if has_content and failure is None:
                outcome.attempts.append((plan.name, "answered"))
                outcome.end = "answered"
                return outcome
            error = failure or EmptyResponseError()
            outcome.attempts.append((plan.name, type(error).__name__))
            if has_content:
                outcome.end = "broke off"
                return outcome
            if isinstance(error, BadRequestError):
                return outcome
            if n == tries or isinstance(error, AuthenticationError) or "long" in str(error):
                break
            exact = AGAIN_AFTER[type(error)]
            outcome.waits.append(min(8.0, 0.5 * 2 ** (n - 1)) * chance if exact is None else exact)
    return outcome


def takes(method: str, prefix: str) -> st.SearchStrategy[list[list[Any]]]:
    word = st.sampled_from(["", f"{prefix}a ", f"{prefix}b ", f"{prefix}c "])
    chunk = word if method == "create_async" else word | st.sampled_from([None, TOLD])
    end = st.sampled_from(FAILURES).map(lambda failure: [failure] if failure else [])
    take = st.builds(list.__add__, st.lists(chunk, max_size=3), end)
    return st.lists(take, min_size=1, max_size=3)


@st.composite
def plans(draw: st.DrawFn) -> list[Plan]:
    found = []
    for number in range(draw(st.integers(0, 3))):
        method = draw(st.sampled_from(METHODS))
        name = draw(st.sampled_from(["A", "B", "C"]))
        on = draw(st.sampled_from(["class", "instance"]))
        found.append(Plan(name, method, on, draw(takes(method, f"{number}"))))
    return found


def drop_none(items: list[Any]) -> list[Any]:
    return [item for item in items if item is not None]


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("nbretry")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def check_error(error: BaseException | None, outcome: Outcome, asked: list[Plan]) -> None:
    """See that a run ended with the right error, which has every attempt in order."""
    if outcome.end == "answered":
        assert error is None
    elif outcome.end == "broke off":
        assert type(error).__name__ == outcome.attempts[-1][1]
    elif not asked:
        assert isinstance(error, RetryNoProviderError)
    else:
        assert isinstance(error, RetryProviderError)
        found = [(attempt.provider, type(attempt.exception).__name__) for attempt in error.attempts]
        assert found == outcome.attempts
        assert [attempt.number for attempt in error.attempts] == list(range(1, len(found) + 1))
        assert {name: type(e).__name__ for name, e in error.exceptions.items()} == dict(found)
        assert str(error).count("\n") == len(found)


async def fold_events(chain: RetryProvider) -> tuple[Answer, list[Any]]:
    answer, texts = Answer(), []
    try:
        async with aclosing(chain.stream_events("", "question")) as events:
            async for event in events:
                answer = answer.apply(event)
                texts.append(getattr(event, "text", None))
    except (RetryProviderError, RetryNoProviderError):
        pass
    return answer, drop_none(texts)


def answer_is_right(answer: Answer, outcome: Outcome) -> None:
    """See that the folded answer has the winner's text alone, and every attempt with its failure and its wait."""
    words = [chunk for chunk in outcome.chunks if isinstance(chunk, str)]
    assert answer.text == "".join(words)
    assert answer.state == ("completed" if outcome.end == "answered" else "failed")
    found = [(a.provider, type(a.exception).__name__ if a.exception else a.state) for a in answer.attempts]
    assert found == outcome.attempts
    assert [a.wait_for for a in answer.attempts if a.wait_for] == [wait for wait in outcome.waits if wait]
    assert [a.state for a in answer.attempts if a.state == "answered"] == ["answered"] * (outcome.end == "answered")


async def close_in_loop(chain: RetryProvider, after: int) -> None:
    async with aclosing(chain.create_async_generator("", "question")) as chunks:  # type: ignore[type-var]
        for _ in range(after):
            if await anext(chunks, None) is None:
                return


def close_without_loop(chain: RetryProvider, after: int) -> None:
    chunks = chain.create_completion("", "question")  # type: ignore[arg-type]
    for _ in range(after):
        next(chunks, None)
    chunks.close()  # type: ignore[attr-defined]


@given(
    plans=plans(),
    tries=st.integers(0, 4),
    chance=st.sampled_from([0.0, 0.3, 1.0]),
    closed_after=st.integers(0, 3),
)
@settings(max_examples=1000)
def test_any_run_does_what_the_contract_says(
    loop: asyncio.Runner, plans: list[Plan], tries: int, chance: float, closed_after: int
) -> None:
    """Chunks, attempts, waits and the end of any run are those of the plain code, and alike for every driver; every
    stream that was opened is closed, also where the run is closed half way."""
    outcome = expected(plans, max(tries, 1), chance)

    def drive(ask: Any) -> Any:
        clock = VirtualClock(chance)
        providers = [plan.made() for plan in plans]
        heard = ask(RetryProvider(providers, False, tries > 0, tries, clock=clock))
        assert clock.waits == [wait for wait in outcome.waits if wait]
        assert all(each.script.all_closed for each in providers)
        assert sum(len(each.script.calls) for each in providers) == len(outcome.attempts)
        return heard

    for ask in (listen_sync, lambda chain: loop.run(listen_async(chain))):
        heard = drive(ask)
        assert heard.chunks == outcome.chunks
        check_error(heard.error, outcome, plans)
    answer, texts = drive(lambda chain: loop.run(fold_events(chain)))
    assert texts == [chunk for chunk in outcome.chunks if isinstance(chunk, str)]
    answer_is_right(answer, outcome)
    for close in (close_without_loop, lambda chain, after: loop.run(close_in_loop(chain, after))):
        providers = [plan.made() for plan in plans]
        with suppress(RetryNoProviderError, RetryProviderError, *map(type, drop_none(FAILURES))):
            close(RetryProvider(providers, False, clock=VirtualClock()), closed_after)
        assert all(each.script.all_closed for each in providers)


QUESTIONS = ("one", "two")


def two_runs(plans: list[list[Plan]], tries: int) -> tuple[RetryProvider, list[Any]]:
    """One `RetryProvider` whose providers answer two questions as two plans say."""
    providers = []
    for one, two in zip(*plans, strict=True):
        made = one.made()
        made.script.to_question = {"one": tuple(one.takes), "two": tuple(two.takes)}
        providers.append(made)
    return RetryProvider(providers, False, True, tries, clock=VirtualClock()), providers


@st.composite
def pairs_of_plans(draw: st.DrawFn) -> list[list[Plan]]:
    one = draw(plans())
    return [one, [Plan(plan.name, plan.method, plan.on, draw(takes(plan.method, "x"))) for plan in one]]


def check_pair(chain: RetryProvider, providers: list[Any], pair: list[list[Plan]], tries: int, heard: Any) -> None:
    outcomes = [expected(plans, tries, 1.0) for plans in pair]
    for question, plans, outcome in zip(QUESTIONS, pair, outcomes, strict=True):
        chunks, error = heard[question]
        assert chunks == outcome.chunks
        check_error(error, outcome, plans)
    assert isinstance(chain._clock, VirtualClock)
    assert sorted(chain._clock.waits) == sorted(wait for outcome in outcomes for wait in outcome.waits)
    assert all(each.script.all_closed for each in providers)


def take_turns(chain: RetryProvider, turns: list[bool]) -> dict[str, tuple[list[Any], Any]]:
    """Two synchronous runs on one object, of which now the one and now the other is asked for its next chunk."""
    streams = {q: chain.create_completion("", [{"role": "user", "content": q}]) for q in QUESTIONS}
    heard: dict[str, tuple[list[Any], Any]] = {}
    chunks: dict[str, list[Any]] = {question: [] for question in QUESTIONS}
    while len(heard) < len(QUESTIONS):
        question = QUESTIONS[turns.pop() if turns else "one" in heard]
        if question in heard:
            continue
        try:
            chunks[question].append(next(streams[question]))
        except StopIteration:
            heard[question] = chunks[question], None
        except Exception as error:
            heard[question] = chunks[question], error
    return heard


async def at_once(chain: RetryProvider) -> dict[str, tuple[list[Any], Any]]:
    """Two asynchronous runs on one object, in two tasks of one loop."""
    messages = [[{"role": "user", "content": question}] for question in QUESTIONS]
    runs = await asyncio.gather(*(listen_async(chain, "", each) for each in messages))
    return dict(zip(QUESTIONS, ((run.chunks, run.error) for run in runs), strict=True))


@given(pair=pairs_of_plans(), tries=st.integers(1, 3), turns=st.lists(st.booleans(), max_size=12))
@settings(max_examples=300)
def test_two_runs_on_one_object_do_not_mix(
    loop: asyncio.Runner, pair: list[list[Plan]], tries: int, turns: list[bool]
) -> None:
    """Two runs on one object each go as if alone: synchronous ones taken chunk by chunk in any order, and
    asynchronous ones in two tasks."""
    for ask in (lambda chain: take_turns(chain, turns), lambda chain: loop.run(at_once(chain))):
        chain, providers = two_runs(pair, tries)
        check_pair(chain, providers, pair, tries, ask(chain))
