"""The fold from events to an answer: pure, cheap, and the same from a record as from the run."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry.answer import Answer, Attempt, fold
from nbretry.errors import RetryNoProviderError, RetryProviderError
from nbretry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    ReasoningDelta,
    ResponseIdentified,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    StatusChanged,
    TextDelta,
    UsageReported,
    from_json,
    to_json,
)
from nbretry.types import Usage

STARTED = RunStarted(1000.0, ("A", "B"), "m", "0f" * 32)


def failed(number: int, next_step: Any = "fallback", at: float = 1.0, wait_for: float = 0.0) -> AttemptFailed:
    return AttemptFailed(number, ValueError(f"no {number}"), next_step, wait_for, at)


WON: list[Event] = [
    STARTED,
    AttemptStarted(1, "A", "m", 0.0),
    StatusChanged(1, "loading"),
    failed(1, "retry", 0.5, 0.25),
    AttemptStarted(2, "A", "m", 0.75),
    FirstContent(2, 1.0),
    TextDelta(2, "given "),
    TextDelta(2, "up"),
    UsageReported(2, Usage(1, 1)),
    failed(2, "fallback", 2.0),
    AttemptStarted(3, "B", "m", 2.0),
    ResponseIdentified(3, "m-2026", "req-1", "C"),
    ReasoningDelta(3, "let me "),
    ReasoningDelta(3, "think"),
    FirstContent(3, 2.5),
    TextDelta(3, "Hel"),
    TextDelta(3, "lo"),
    UsageReported(3, Usage(7, 2)),
    AttemptSucceeded(3, "stop", 3.0),
    RunCompleted(3.0),
]
LOST: list[Event] = [
    STARTED,
    AttemptStarted(1, "A", "m", 0.0),
    failed(1),
    AttemptStarted(2, "B", "m", 1.0),
    FirstContent(2, 1.5),
    TextDelta(2, "half"),
    failed(2, "stop", 2.0),
    RunFailed(RetryProviderError("no"), 2.0),
]
STOPPED: list[Event] = [*WON[:17], RunCancelled(2.75)]


def test_an_answer_before_any_event_is_empty() -> None:
    """An `Answer()` is pending, and knows nothing yet."""
    answer = Answer()
    assert (answer.state, answer.text, answer.attempts, answer.attempt) == ("pending", "", (), None)
    assert (answer.provider, answer.model, answer.usage, answer.error, answer.duration) == (None,) * 5
    assert (answer.reasoning, answer.exceptions, answer.providers) == ("", {}, ())


def test_a_won_run() -> None:
    """The answer of a run that was won has the winner's text, names, usage and times, and every attempt."""
    answer = fold(WON)
    assert (answer.state, answer.text, str(answer)) == ("completed", "Hello", "Hello")
    assert (answer.provider, answer.model, answer.finish_reason) == ("B → C", "m-2026", "stop")
    assert (answer.usage, answer.reasoning) == (Usage(7, 2), "let me think")
    assert (answer.started_at, answer.time_to_first_content, answer.duration) == (1000.0, 2.5, 3.0)
    assert [(a.number, a.provider, a.state, a.next_step) for a in answer.attempts] == [
        (1, "A", "failed", "retry"),
        (2, "A", "failed", "fallback"),
        (3, "B", "answered", None),
    ]
    assert answer.attempts[0].wait_for == 0.25
    assert (answer.attempts[2].time_to_first_content, answer.attempts[2].duration) == (0.5, 1.0)
    assert (answer.attempts[2].request_id, answer.attempts[2].path) == ("req-1", "B → C")
    assert {name: str(e) for name, e in answer.exceptions.items()} == {"A": "no 2"}
    assert answer.raise_for_failure() is None  # type: ignore[func-returns-value]


def test_given_up_text_stays_under_its_attempt() -> None:
    """What a failed attempt had sent is with that attempt, and no part of the answer of another."""
    answer = fold(WON)
    assert [attempt.given_up for attempt in answer.attempts] == ["", "given up", ""]
    assert "given" not in answer.text
    assert fold(WON[:9]).text == "given up"
    assert fold(WON[:10]).text == ""


def test_a_run_that_broke_off_keeps_its_partial_text() -> None:
    """A run that ended after text keeps the text, and its error says who broke off and has every attempt."""
    answer = fold(LOST)
    assert (answer.state, answer.text, answer.provider) == ("failed", "half", "B")
    with pytest.raises(RetryProviderError, match="B broke off after it had begun to answer") as caught:
        answer.raise_for_failure()
    assert caught.value.attempts == answer.attempts
    assert caught.value.answer is answer
    assert str(caught.value).splitlines()[1:] == ["A: ValueError: no 1", "B: ValueError: no 2"]


def test_a_stopped_run_keeps_its_partial_text() -> None:
    """A run that was stopped keeps the text so far, and its running attempt is marked as stopped."""
    answer = fold(STOPPED)
    assert (answer.state, answer.text, answer.duration) == ("stopped", "Hello", 2.75)
    assert [attempt.state for attempt in answer.attempts] == ["failed", "failed", "stopped"]


@pytest.mark.parametrize(
    ("events", "head"),
    [
        ([STARTED, AttemptStarted(1, "A", "m", 0.0), failed(1, "stop")], "the request itself was refused"),
        (
            [STARTED, *(e for n in (1, 2) for e in (AttemptStarted(n, "A", "m", 0.0), failed(n)))],
            "every provider failed",
        ),
        (
            [RunStarted(0.0, ("A",), "", ""), AttemptStarted(1, "A", "m", 0.0), failed(1, "stop")],
            "the provider failed",
        ),
    ],
)
def test_the_error_says_in_its_first_line_what_happened(events: list[Event], head: str) -> None:
    """A refused request, one provider and several are told apart in the error's first line."""
    assert str(fold(events).failure()).splitlines()[0].startswith(head)


def test_nobody_to_ask() -> None:
    """A run without attempts ends with `RetryNoProviderError`."""
    answer = fold([RunStarted(0.0, (), "", ""), RunFailed(RetryNoProviderError("nobody"), 0.0)])
    with pytest.raises(RetryNoProviderError):
        answer.raise_for_failure()


@pytest.mark.parametrize("events", [WON, LOST, STOPPED], ids=["won", "lost", "stopped"])
def test_old_answers_stay_as_they_were(events: list[Event]) -> None:
    """Each answer on the way still says at the end what it said when it was made."""
    answers, said = [Answer()], [Answer().to_dict()]
    for event in events:
        answers.append(answers[-1].apply(event))
        said.append(fold(events[: len(answers) - 1]).to_dict())
    assert [answer.to_dict() for answer in answers] == said
    assert [answer.text for answer in answers] == [record["text"] for record in said]


words = st.lists(st.text(max_size=3), max_size=8)


@given(before=words, one=words, other=words, read_first=st.booleans())
def test_branching_from_an_old_answer_harms_nobody(
    before: list[str], one: list[str], other: list[str], read_first: bool
) -> None:
    """Two ways on from one answer, taken turn by turn, do not see each other's text, nor does the answer itself."""
    root = fold([STARTED, AttemptStarted(1, "A", "m", 0.0), *(TextDelta(1, word) for word in before)])
    if read_first:
        assert root.text == "".join(before)
    left, right = root, root
    for i in range(max(len(one), len(other))):
        left = left.apply(TextDelta(1, one[i])) if i < len(one) else left
        right = right.apply(TextDelta(1, other[i])) if i < len(other) else right
    assert left.text == "".join(before + one)
    assert right.text == "".join(before + other)
    assert root.text == "".join(before)


@pytest.mark.parametrize("events", [WON, LOST, STOPPED], ids=["won", "lost", "stopped"])
def test_a_record_folds_to_the_same_answer(events: list[Event]) -> None:
    """The JSON lines of a run, read again, fold to an answer with the same record, the same text and the same error."""
    lines = [json.dumps(to_json(event)) for event in events]
    answer, again = fold(events), fold(from_json(json.loads(line)) for line in lines)
    assert again.to_dict() == answer.to_dict()
    assert again.attempts == answer.attempts
    assert [attempt.error for attempt in again.attempts] == [attempt.error for attempt in answer.attempts]
    if answer.state == "failed":
        assert str(again.failure()) == str(answer.failure())


@pytest.mark.parametrize("events", [WON, LOST, STOPPED, []], ids=["won", "lost", "stopped", "empty"])
def test_the_record_of_an_answer_is_plain(events: list[Event]) -> None:
    """`to_dict` gives what JSON takes, without what is unknown."""
    record = fold(events).to_dict()
    assert json.loads(json.dumps(record)) == record
    assert None not in record.values()
    assert all(None not in attempt.values() for attempt in record["attempts"])


def test_an_answer_cannot_be_changed_by_its_views() -> None:
    """The properties of an answer cannot be set, and its attempts are frozen."""
    answer = fold(WON)
    with pytest.raises(AttributeError):
        answer.text = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.attempts[0].given_up = "other"  # type: ignore[misc]


def test_a_second_identification_takes_the_place_of_the_first() -> None:
    """Where a provider passes the question on twice, the one who took it last is named, beside the provider itself."""
    events = [
        AttemptStarted(1, "A", "m", 0.0),
        ResponseIdentified(1, provider="B"),
        ResponseIdentified(1, provider="C"),
    ]
    (attempt,) = fold(events).attempts
    assert (attempt.provider, attempt.passed_to, attempt.path, attempt.model) == ("A", "C", "A → C", "m")


def test_a_long_text_is_folded_in_linear_time() -> None:
    """A text of many fragments shares one list of them among its answers: no fragment is copied."""
    answer = fold([STARTED, AttemptStarted(1, "A", "m", 0.0)])
    first = answer.apply(TextDelta(1, "x"))
    last = first
    for _ in range(10_000):
        last = last.apply(TextDelta(1, "x"))
    assert last._fragments is first._fragments
    assert (len(last.text), first.text) == (10_001, "x")


def test_how_an_answer_and_an_attempt_are_shown() -> None:
    """The representation of an answer says state, provider, attempts and the text, shortened."""
    assert repr(fold(WON)) == "<Answer completed from B → C, 3 attempts: 'Hello'>"
    long = fold([STARTED, AttemptStarted(1, "A", "m", 0.0), FirstContent(1, 0.1), TextDelta(1, "x" * 100)])
    assert repr(long) == f"<Answer running from A, 1 attempts: '{'x' * 59}…'>"
    assert Attempt(1, "A", "m", 0.0).error is None


def test_half_a_character_does_no_harm() -> None:
    """A lone surrogate in a model's text, which no output and no file can hold, is replaced."""
    begun = [STARTED, AttemptStarted(1, "A", "m", 0.0), FirstContent(1, 0.1)]
    assert fold([*begun, TextDelta(1, "a\ud800b")]).text == "a?b"
    assert fold([*begun, TextDelta(1, "\ud83d"), TextDelta(1, "\ude00")]).text == "??"
