"""Any schedule of delays and failures under any settings: what must hold of every run, whatever happens in it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import LoopClock, Timed, run_virtually

from nbretry.answer import Answer, fold
from nbretry.errors import (
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    RateLimitError,
    RetryProviderError,
    ServerError,
    StreamInterruptedError,
)
from nbretry.events import AttemptFailed, Event, TextDelta, from_json, to_json
from nbretry.providers import RetryProvider
from nbretry.renderers.report import report_html, report_text, status_line
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.health import Cooldown
from nbretry.retry.policy import RetryPolicy

FAILURES = [
    ServerError("down", status_code=500),
    StreamInterruptedError("cut"),
    RateLimitError("wait", status_code=429, retry_after=2.0),
    RateLimitError("wait long", status_code=429, retry_after=99.0),
    AuthenticationError("who", status_code=401),
    BadRequestError("what", status_code=400),
    ValueError("bug"),
]
SECONDS = st.sampled_from([0.1, 0.5, 1.0, 3.0, 7.0, 50.0])


@dataclass
class Schedule:
    """Providers with what they do call for call, and how they are asked."""

    plays: list[list[list[Any]]]
    settings: dict[str, Any]

    def providers(self) -> list[Timed]:
        return [Timed(f"p{number}", *plays) for number, plays in enumerate(self.plays)]


def play(number: int) -> st.SearchStrategy[list[Any]]:
    step = SECONDS | st.sampled_from(["", f"{number}a ", f"{number}b ", f"{number}c "])
    end = st.sampled_from([*FAILURES, None, None]).map(lambda failure: [] if failure is None else [failure])
    return st.builds(list.__add__, st.lists(step, max_size=5), end)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    count = draw(st.integers(1, 4))
    plays = [draw(st.lists(play(number), min_size=1, max_size=3)) for number in range(count)]
    limit = st.none() | st.sampled_from([0.75, 2.0, 5.0])
    chosen = {
        "policy": RetryPolicy(
            max_attempts=draw(st.integers(1, 3)),
            rounds=draw(st.integers(1, 3)),
            on_break=draw(st.sampled_from(["raise", "restart", "continue"])),
        ),
        "deadlines": Deadlines(first_content=draw(limit), idle=draw(limit), total=draw(st.none() | st.just(20.0))),
        "hedge_after": draw(st.none() | st.sampled_from([0, 0.6, 2.0, "p50"])),
        "cooldown": draw(st.none() | st.builds(Cooldown, failures=st.integers(1, 2), rest_initial=st.just(3.0))),
        "max_cost": draw(st.none() | st.just(5.0)),
    }
    return Schedule(plays, chosen)


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("nbretry")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


async def follow(chain: RetryProvider, events: list[Event], question: str = "question") -> None:
    answer = Answer()
    with suppress(RetryProviderError):
        async with aclosing(chain.stream_events("", question)) as stream:
            async for event in stream:
                events.append(event)
                answer = answer.apply(event)
                answer_is_sound(answer)


def answer_is_sound(answer: Answer) -> None:
    """See that every view of an answer can be made at any moment of its run."""
    status_line(answer)
    report_text(answer)
    report_html(answer)
    assert [attempt.number for attempt in answer.attempts] == list(range(1, len(answer.attempts) + 1))


def own_text(schedule: Schedule, answer: Answer) -> list[str]:
    """What the winner can have said: the texts of its plays."""
    assert answer.attempt is not None
    plays = schedule.plays[int(answer.attempt.provider[1:])]
    return ["".join(item for item in one if isinstance(item, str)) for one in plays]


def check(schedule: Schedule, providers: list[Timed], events: list[Event], clock: LoopClock) -> None:
    answer = fold(events)
    policy: RetryPolicy = schedule.settings["policy"]
    hedged = schedule.settings["hedge_after"] is not None
    assert all(provider.closed == len(provider.calls) for provider in providers)
    assert answer.state in ("completed", "failed")
    states = [attempt.state for attempt in answer.attempts]
    assert "running" not in states
    assert states.count("answered") == (answer.state == "completed")
    asked = [attempt for attempt in answer.attempts if attempt.state != "skipped"]
    calls = sum(len(provider.calls) for provider in providers)
    # One that is asked beside others may have lost before it could begin.
    assert calls <= len(asked) if hedged else calls == len(asked)
    for provider in providers:
        assert len(provider.calls) <= policy.rounds * policy.max_attempts
    if not hedged:
        assert clock.waits == [attempt.wait_for for attempt in answer.attempts if attempt.wait_for]
        starts = [attempt.started for attempt in asked]
        ends = [attempt.ended or 0.0 for attempt in asked]
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False)), "one after the other"
    if answer.state == "completed" and policy.on_break != "continue":
        assert answer.text in own_text(schedule, answer), "the winner's text alone"
    if policy.on_break != "continue":
        assert not any(attempt.contributed for attempt in answer.attempts)
    deadlines: Deadlines = schedule.settings["deadlines"]
    for attempt in asked:
        if deadlines.total is not None and attempt.duration is not None:
            assert attempt.duration <= deadlines.total + 0.01
        # Text that may repeat the text so far is held back for a moment.
        held_back = policy.on_break == "continue"
        if deadlines.first_content is not None and attempt.time_to_first_content is not None and not held_back:
            assert attempt.time_to_first_content <= deadlines.first_content + 0.01
        if isinstance(attempt.exception, APITimeoutError):
            assert deadlines
    refused = [event for event in events if isinstance(event, AttemptFailed) and "what" in str(event.exception)]
    if refused and not hedged and refused[0].next_step == "stop":
        assert answer.attempts[-1].number == refused[0].attempt


def chain_of(schedule: Schedule) -> tuple[RetryProvider, list[Timed], LoopClock]:
    """A `RetryProvider` that plays a schedule from its beginning."""
    providers, clock = schedule.providers(), LoopClock(0.5)
    return RetryProvider(providers, False, clock=clock, **schedule.settings), providers, clock


@given(schedule=schedules())
@settings(max_examples=600, deadline=None)
def test_any_schedule(schedule: Schedule) -> None:
    """Streams are closed, attempts whole and in order, waits as told, limits hold, and nothing is spliced; the log of a
    run folds back to its answer; the contract's generator yields one provider's text, or one that goes on from it."""
    chain, providers, clock = chain_of(schedule)
    events: list[Event] = []
    run_virtually(follow(chain, events))
    check(schedule, providers, events, clock)
    log = io.StringIO("\n".join(json.dumps(to_json(event)) for event in events))
    again = fold(from_json(json.loads(line)) for line in log)
    assert again.to_dict() == fold(events).to_dict()
    check_generator(schedule)


def check_generator(schedule: Schedule) -> None:
    """See that what the contract's generator has yielded never has to be taken back."""
    chain, providers, _ = chain_of(schedule)
    heard: list[Any] = []

    async def main() -> BaseException | None:
        try:
            async for chunk in chain.create_async_generator("", [{"role": "user", "content": "x"}]):
                heard.append(chunk)
        except Exception as error:
            return error
        return None

    error = run_virtually(main())
    assert all(provider.closed == len(provider.calls) for provider in providers)
    if schedule.settings["policy"].on_break != "continue":
        assert len({chunk[0] for chunk in heard}) <= 1, "one provider's text"
        if heard and error is not None:
            assert not isinstance(error, RetryProviderError), "what the provider raised, as it was"
    if not heard:
        assert isinstance(error, RetryProviderError)


@given(schedule=schedules(), stop_after=st.just(0.0) | SECONDS)
@settings(max_examples=300, deadline=None)
def test_stopping_any_schedule(schedule: Schedule, stop_after: float) -> None:
    """Of two runs on one object one is stopped at any moment: it closes its streams, asks nobody after that and leaves
    no task; both have their own attempts and one provider's text."""
    chain, providers, _ = chain_of(schedule)
    stopped: list[Event] = []
    whole: list[Event] = []

    async def main() -> None:
        task = asyncio.create_task(follow(chain, stopped, "stopped"))
        other = asyncio.create_task(follow(chain, whole, "whole"))
        await asyncio.sleep(stop_after)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        asked = requests(providers, "stopped")
        await other
        asked_by_other = requests(providers, "whole")
        await asyncio.sleep(500)
        assert (requests(providers, "stopped"), requests(providers, "whole")) == (asked, asked_by_other)

    run_virtually(main())
    assert all(provider.closed == len(provider.calls) for provider in providers)
    assert fold(whole).state in ("completed", "failed")
    for events in (whole, stopped):
        answer = fold(events)
        if schedule.settings["policy"].on_break != "continue":
            assert len({fragment[0] for fragment in answer.text.split()}) <= 1
        deltas = {event.attempt for event in events if isinstance(event, TextDelta)}
        assert deltas <= {attempt.number for attempt in answer.attempts}


def requests(providers: list[Timed], question: str) -> int:
    """How many requests were made for a question."""
    return sum(question in repr(messages) for provider in providers for _, messages in provider.calls)
