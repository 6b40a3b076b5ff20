"""The fold from events to an answer: pure, cheap, and the same from a record as from the run."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry.answer import Answer, fold
from nbretry.attempts import Attempt
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
from nbretry.providers import RetryProvider, ScriptedProvider
from nbretry.renderers.answer import answers_html, answers_text
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
    assert fold([*begun, ReasoningDelta(1, "a\ud800b")]).reasoning == "a?b"


ASKED = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Why?"}]})
TOLD: list[Event] = [
    RunStarted(1000.0, ("A",), "m", "0f", ASKED),
    AttemptStarted(1, "A", "m", 0.0),
    FirstContent(1, 0.1),
    TextDelta(1, "Because."),
]


def test_a_conversation_can_go_on_from_the_messages() -> None:
    """`messages` is what was sent with the answer after it, also a partial one; without any text there is no answer."""
    assert fold(TOLD).messages == [*ASKED, {"role": "assistant", "content": "Because."}]
    assert fold(TOLD[:3]).messages == list(ASKED)
    assert fold(WON).messages == [{"role": "assistant", "content": "Hello"}], "of old logs the question is not known"
    assert Answer().messages == []


def test_the_messages_are_new_each_time() -> None:
    """Whoever changes the messages, at whatever depth, does not change the answer."""
    answer = fold(TOLD)
    messages = answer.messages
    messages[1]["content"][0]["text"] = "other"
    messages.append({"role": "user", "content": "And?"})
    assert answer.messages == [*ASKED, {"role": "assistant", "content": "Because."}]


def test_a_run_keeps_the_messages_as_they_were_sent() -> None:
    """What is done to the conversation after the run does not change what the answer says was sent."""
    conversation = [{"role": "user", "content": "Why?"}]
    answer = asyncio.run(RetryProvider([ScriptedProvider("'Because.'")]).answer("", conversation))
    conversation[0]["content"] = "other"
    conversation.append({"role": "user", "content": "And?"})
    assert answer.messages == [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]
    follow_up = [*answer.messages, {"role": "user", "content": "And?"}]
    again = asyncio.run(RetryProvider([ScriptedProvider("'So.'")]).answer("", follow_up))
    assert again.messages == [*follow_up, {"role": "assistant", "content": "So."}]


@pytest.mark.parametrize("messages", ["Why?", None, 5, ({"role": "user", "content": "Why?"}, "And?")])
def test_messages_of_another_form_do_not_break_a_run(messages: Any) -> None:
    """A conversation that is none by its type is handed on all the same, and kept as far as it has messages."""
    answer = asyncio.run(RetryProvider([ScriptedProvider("'Because.'")]).answer("", messages))
    asked = [{"role": "user", "content": "Why?"}] if messages not in (None, 5) else []
    assert answer.messages == [*asked, {"role": "assistant", "content": "Because."}]


def answered(text: str) -> Answer:
    return fold([*TOLD[:3], TextDelta(1, text)])


def test_the_code_of_an_answer() -> None:
    """`code` is what stands in the fence; of an answer in words there is none."""
    assert answered("Try this:\n\n```python\nprint(1)\n```\nIt prints.").code == "print(1)"
    assert answered("There is no code for that.").code == ""
    assert Answer().code == ""


def test_the_json_of_an_answer() -> None:
    """`json()` is the parsed value, and an answer without one is a `ValueError` of one line."""
    assert answered('Here:\n```json\n{"a": [1, 2]}\n```').json() == {"a": [1, 2]}
    with pytest.raises(ValueError, match="the answer is no JSON") as caught:
        answered("There is none.").json()
    assert "\n" not in str(caught.value)


def test_reasoning_is_of_those_whose_text_it_is() -> None:
    """The reasoning is that of the attempt that answers; where one went on from another's text without thinking itself,
    of the one that had begun; one that was given up does not count."""
    begun: list[Event] = [
        STARTED,
        AttemptStarted(1, "A", "m", 0.0),
        ReasoningDelta(1, "first"),
        FirstContent(1, 0.5),
        TextDelta(1, "half"),
    ]
    assert fold(begun).reasoning == "first"
    following: list[Event] = [AttemptStarted(2, "B", "m", 1.0), FirstContent(2, 1.5), TextDelta(2, "more")]
    assert fold([*begun, failed(1, "fallback"), *following]).reasoning == ""
    assert fold([*begun, failed(1, "fallback"), *following]).reasoned_by is None
    goes_on = fold([*begun, failed(1, "continue"), *following])
    assert (goes_on.reasoning, goes_on.reasoned_by) == ("first", goes_on.attempts[0])
    thinks = [following[0], ReasoningDelta(2, "second"), *following[1:]]
    assert fold([*begun, failed(1, "continue"), *thinks]).reasoning == "second"


def test_equal_answers_say_the_same() -> None:
    """Answers are equal by what they say, whatever way they came to it, and equal ones have one hash."""
    in_pieces = [*TOLD[:3], TextDelta(1, "Bec"), TextDelta(1, "ause.")]
    assert fold(TOLD) == fold(in_pieces)
    assert hash(fold(TOLD)) == hash(fold(in_pieces))
    assert fold(TOLD) != fold(TOLD[:3])
    assert fold(TOLD) != fold([RunStarted(1000.0, ("A",), "m", "0f"), *TOLD[1:]])
    assert fold(TOLD) != "Because."
    assert Answer() == Answer()


def test_how_an_answer_is_shown_by_itself() -> None:
    """An answer that nobody has painted is one bundle: reasoning, text and report, harmless and without secrets."""
    key = "sk-" + "0123456789abcdefghij"
    events = [*TOLD[:2], ReasoningDelta(1, f"<b>{key}</b>"), FirstContent(1, 0.1), TextDelta(1, f"<x>**bold** {key}")]
    answer = fold([*events, AttemptSucceeded(1, "stop", 1.0), RunCompleted(1.0)])
    bundle = answer._repr_mimebundle_()
    assert sorted(bundle) == ["text/html", "text/markdown", "text/plain"]
    assert not [text for text in bundle.values() if key in text]
    for words in ("<strong>bold</strong>", "&lt;x&gt;", "&lt;b&gt;[secret]&lt;/b&gt;", "nbretry-report", "first token"):
        assert words in bundle["text/html"]
    assert bundle["text/markdown"] == "&lt;x>**bold** \\[secret\\]"
    assert bundle["text/plain"].startswith(
        "reasoning: 1 word, in the answer's .reasoning\n\n<x>**bold** [secret]\n\nA · m"
    )


def test_how_answers_are_shown_as_a_table() -> None:
    """Each answer is a line with its place from the end, the question's first words, provider, state and time."""
    long = {"role": "user", "content": "Why is the sky blue? " * 20}
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}
    answers = [
        fold(TOLD),
        fold([RunStarted(0.0, ("A",), "", "", (long,)), RunFailed(ValueError("no"), 2.0)]),
        fold([RunStarted(0.0, ("A",), "", "", (image,)), RunCancelled(1.0)]),
    ]
    lines = answers_text(answers).splitlines()
    assert lines[0].split() == ["Question", "Provider", "State", "Took"]
    assert lines[1].split() == ["[-3]", "Why?", "A", "running", "—"]
    assert lines[2].startswith("[-2]  Why is the sky blue? Why is")
    assert lines[2].split()[-4:] == ["—", "failed", "2.00", "s"]
    assert "[image]" in lines[3]
    html = answers_html(answers)
    assert all(words in html for words in ("[-3]", "Why?", "stopped", "[-1]"))
    assert answers_text([]) == "There is no answer yet."
    assert "There is no answer yet." in answers_html([])
