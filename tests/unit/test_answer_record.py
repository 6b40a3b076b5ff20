"""An answer through JSON, pickle and copy: whatever happened in its run, it comes back saying the same."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry.answer import Answer, fold
from nbretry.attempts import Attempt
from nbretry.errors import RateLimitError, RecordedError
from nbretry.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSkipped,
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
from nbretry.renderers.answer import answer_bundle
from nbretry.types import Usage

PROTOCOLS = range(2, 6)


class Client:
    """What an SDK's exception holds: it has no pickle and no copy."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class OfAnSDK(Exception):
    """An exception that can neither be pickled nor made again from its arguments."""

    def __init__(self, message: str, *, response: object) -> None:
        super().__init__(message)
        self.response = response
        self.client = Client()
        self.status_code = 503


def unpicklable(message: str) -> OfAnSDK:
    return OfAnSDK(message, response=Client())


words = st.text(max_size=12)
seconds = st.floats(0, 1e6)
counts = st.none() | st.integers(0, 10**9)
exceptions = st.one_of(
    words.map(ValueError),
    words.map(unpicklable),
    st.builds(RateLimitError, words, status_code=st.just(429), retry_after=st.none() | seconds),
)
messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "assistant"]),
            "content": words | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": words}), max_size=2),
        }
    ),
    max_size=3,
).map(tuple)
prices = st.none() | st.tuples(st.floats(0, 100), st.floats(0, 100))


@st.composite
def runs(draw: st.DrawFn) -> list[Event]:
    """The events of any run, of which the end may be missing; attempts may be asked beside each other."""
    events: list[Event] = [RunStarted(draw(seconds), ("A", "B"), draw(words), draw(words), draw(messages))]
    running: list[int] = []
    for number in range(1, draw(st.integers(0, 4)) + 1):
        if draw(st.booleans()):
            events.append(AttemptSkipped(number, draw(words), draw(words), draw(exceptions), draw(seconds)))
            continue
        events.append(
            AttemptStarted(
                number, draw(words), draw(words), draw(seconds), draw(st.none() | st.integers(0)), draw(prices)
            )
        )
        running.append(number)
        for _ in range(draw(st.integers(0, 6))):
            asked = draw(st.sampled_from(running))
            happens = {
                StatusChanged: lambda asked=asked: StatusChanged(asked, draw(words)),
                ResponseIdentified: lambda asked=asked: ResponseIdentified(
                    asked, draw(words), draw(words), draw(words)
                ),
                FirstContent: lambda asked=asked: FirstContent(asked, draw(seconds)),
                TextDelta: lambda asked=asked: TextDelta(asked, draw(words)),
                ReasoningDelta: lambda asked=asked: ReasoningDelta(asked, draw(words)),
                UsageReported: lambda asked=asked: UsageReported(asked, Usage(draw(counts), draw(counts))),
            }
            events.append(happens[draw(st.sampled_from(list(happens)))]())
        ended = draw(st.sampled_from([*running, 0]))
        if ended:
            running.remove(ended)
            step = draw(st.sampled_from(["retry", "fallback", "continue", "stop"]))
            end: list[Event] = [
                AttemptFailed(ended, draw(exceptions), step, draw(seconds), draw(seconds)),
                AttemptSucceeded(ended, draw(st.none() | words), draw(seconds)),
                AttemptCancelled(ended, draw(words), draw(seconds)),
            ]
            events.append(draw(st.sampled_from(end)))
            if not running:
                running.append(ended)  # what a provider says after its end must do no harm either
    ends = [None, RunCompleted(draw(seconds)), RunFailed(draw(exceptions), draw(seconds)), RunCancelled(draw(seconds))]
    last = draw(st.sampled_from(ends))
    return events if last is None else [*events, last]


def said(answer: Answer) -> dict[str, Any]:
    """Everything that an answer tells."""
    names = [name for name in dir(Answer) if isinstance(getattr(Answer, name), property)]
    told = {name: getattr(answer, name) for name in names if name != "exceptions"}
    told["error"] = None if answer.error is None else str(answer.error)
    told["exceptions"] = {name: str(exception) for name, exception in answer.exceptions.items()}
    told["lines"] = [(attempt, attempt.error, attempt.cost) for attempt in answer.attempts]
    return told


@given(runs())
def test_record_comes_back(events: list[Event]) -> None:
    """Whatever happened in a run, its record goes through JSON and back, and the answer says what it said."""
    answer = fold(events)
    record = json.loads(json.dumps(answer.to_dict()))
    again = Answer.from_dict(record)
    assert record == answer.to_dict()
    assert again.to_dict() == answer.to_dict()
    assert said(again) == said(answer)
    assert (again, hash(again)) == (answer, hash(answer))
    assert all(isinstance(exception, RecordedError) for exception in again.exceptions.values())
    if answer.state == "failed":
        assert str(again.failure()) == str(answer.failure())


@given(runs(), st.sampled_from(PROTOCOLS))
def test_pickle_comes_back(events: list[Event], protocol: int) -> None:
    """An answer and its attempts can be pickled also where their exceptions cannot."""
    answer = fold(events)
    again = pickle.loads(pickle.dumps(answer, protocol))
    assert said(again) == said(answer)
    assert again == answer
    attempts = pickle.loads(pickle.dumps(answer.attempts, protocol))
    assert [attempt.to_dict() for attempt in attempts] == [attempt.to_dict() for attempt in answer.attempts]


@given(runs())
def test_log_folds_to_the_same_answer(events: list[Event]) -> None:
    """The JSON lines of a run fold to an answer that is equal, messages and all."""
    lines = [json.dumps(to_json(event)) for event in events]
    assert fold(from_json(json.loads(line)) for line in lines) == fold(events)


@given(runs(), runs())
def test_equal_is_what_says_the_same(one: list[Event], other: list[Event]) -> None:
    """Two answers are equal exactly if their records are, and then they have one hash."""
    left, right = fold(one), fold(other)
    assert (left == right) == (left.to_dict() == right.to_dict())
    assert left == fold(one)
    assert hash(left) == hash(fold(one))
    assert len({left, fold(one)}) == 1


@given(runs())
def test_attempt_comes_back(events: list[Event]) -> None:
    """Each attempt's record goes through JSON and back for itself."""
    for attempt in fold(events).attempts:
        record = json.loads(json.dumps(attempt.to_dict()))
        again = Attempt.from_dict(record)
        assert again == attempt
        assert again.to_dict() == attempt.to_dict()
        assert (again.error, again.cost) == (attempt.error, attempt.cost)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copy_is_the_same(duplicate: Callable[[Any], Any]) -> None:
    """As an answer cannot change, a copy of it is itself, its exceptions' own objects included."""
    answer = fold([RunStarted(0.0, ("A",), "", ""), AttemptStarted(1, "A", "", 0.0)])
    answer = answer.apply(AttemptFailed(1, unpicklable("no"), "stop", 0.0, 1.0))
    assert duplicate(answer) is answer
    assert duplicate([answer])[0].exceptions["A"] is answer.exceptions["A"]
    assert duplicate(answer.attempts[0]) is answer.attempts[0]


def test_answer_that_came_back_goes_on() -> None:
    """A record of a run that has not ended gives an answer to which more can come, and the first stays as it was."""
    begun = fold([RunStarted(0.0, ("A",), "", ""), AttemptStarted(1, "A", "", 0.0), FirstContent(1, 0.1)])
    begun = Answer.from_dict(begun.apply(TextDelta(1, "Hel")).to_dict())
    ended = begun.apply(TextDelta(1, "lo")).apply(AttemptSucceeded(1, "stop", 1.0)).apply(RunCompleted(1.0))
    assert (begun.text, ended.text, ended.state, ended.provider) == ("Hel", "Hello", "completed", "A")


def test_exception_of_an_sdk_comes_back_as_a_record() -> None:
    """Of an exception that has no pickle its type's name, its message and its status are kept."""
    event = AttemptFailed(1, unpicklable("busy"), "stop", 0.0, 1.0)
    with pytest.raises(TypeError):
        pickle.dumps(event.exception)
    answer = fold([RunStarted(0.0, ("A",), "", ""), AttemptStarted(1, "A", "", 0.0), event])
    back = pickle.loads(pickle.dumps(answer)).exceptions["A"]
    assert isinstance(back, RecordedError)
    assert (back.type_name, str(back), back.status_code) == ("OfAnSDK", "busy", 503)


def test_secrets_of_exceptions_are_in_no_record() -> None:
    """A key in an exception's message is in neither the record nor the pickle nor any representation."""
    key = "sk-" + "0123456789abcdefghij"
    events: list[Event] = [
        RunStarted(0.0, ("A",), "", ""),
        AttemptStarted(1, "A", "", 0.0),
        AttemptFailed(1, ValueError(f"wrong key {key}"), "stop", 0.0, 1.0),
        RunFailed(ValueError(f"wrong key {key}"), 1.0),
    ]
    answer = fold(events)
    bundle = answer._repr_mimebundle_()
    for shown in (json.dumps(answer.to_dict()), repr(answer), str(answer), repr(answer.attempts), *bundle.values()):
        assert key not in shown
    assert key.encode() not in pickle.dumps(answer, 0)


def test_message_that_json_has_not_is_put_in_words() -> None:
    """A message may hold what a provider of one's own takes: the answer gives that back, its record has it in words."""
    image = Client()
    sent = {"role": "user", "content": [{"image": image, "size": (1, 2)}]}
    answer = fold([RunStarted(0.0, ("A",), "", "", (sent,))])
    assert answer.messages == [sent]
    assert answer.messages[0]["content"][0]["image"] is image
    record = json.loads(json.dumps(answer.to_dict()))
    assert record["messages"][0]["content"][0]["image"].startswith("<")
    assert Answer.from_dict(record) == answer
    assert pickle.loads(pickle.dumps(answer)) == answer


GOOD = fold(
    [
        RunStarted(5.0, ("A",), "", "0f", ({"role": "user", "content": "Why?"},)),
        AttemptStarted(1, "A", "m", 0.0),
        FirstContent(1, 0.5),
        TextDelta(1, "So."),
        UsageReported(1, Usage(3, 1)),
        AttemptSucceeded(1, "stop", 1.0),
        RunCompleted(1.0),
    ]
).to_dict()


def changed(**changes: Any) -> dict[str, Any]:
    return {**GOOD, **changes}


def with_attempt(**changes: Any) -> dict[str, Any]:
    return changed(attempts=[{**GOOD["attempts"][0], **changes}])


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (None, "no record of an answer: it is None, and should be a dict"),
        ([1, 2], "no record of an answer: it is [1, 2], and should be a dict"),
        ({}, "no record of an answer: 'state' is missing, and should be one of pending, running, "),
        (changed(stat="x"), "no record of an answer: it has 'stat'; did you mean 'state'?"),
        (changed(state="done"), "'state' is 'done', and should be one of pending, running, completed, failed, stopped"),
        (changed(text=5), "'text' is 5, and should be a text"),
        (changed(messages="Why?"), "'messages' is 'Why?', and should be a list of dicts"),
        (changed(messages=[{"role": "user", "content": "Why?"}]), "should be a list that ends with the answer's text"),
        (changed(providers=["A", 2]), "'providers' is ['A', 2], and should be a list of names"),
        (changed(duration="1 s"), "'duration' is '1 s', and should be a number"),
        (changed(duration=True), "'duration' is True, and should be a number"),
        (changed(chosen=2), "'chosen' is 2, and should be the number of an attempt"),
        (changed(chosen=-1), "'chosen' is -1, and should be a whole number of 0 or more"),
        (changed(error="no"), "no record of an answer, 'error': it is 'no', and should be a dict"),
        (changed(attempts={}), "'attempts' is {}, and should be a list of dicts"),
        (changed(attempts=[]), "'chosen' is 1, and should be the number of an attempt"),
        (
            changed(attempts=[*GOOD["attempts"], *GOOD["attempts"]]),
            "should be a list with the numbers 1, 2, 3 and so on",
        ),
        (with_attempt(number=0), "no record of an attempt: 'number' is 0, and should be a whole number from 1"),
        (with_attempt(number=None), "'number' is missing, and should be a whole number from 1"),
        (with_attempt(started=None), "'started' is missing, and should be a number"),
        (with_attempt(state="won"), "'state' is 'won', and should be one of running, answered, failed"),
        (with_attempt(state=["won"]), "'state' is ['won'], and should be one of running, answered, failed"),
        (with_attempt(next_step="jump"), "'next_step' is 'jump', and should be one of retry, fallback, continue, stop"),
        (with_attempt(contributed="yes"), "'contributed' is 'yes', and should be true or false"),
        (with_attempt(price=[1.0]), "'price' is [1.0], and should be a list of two numbers"),
        (with_attempt(price=[1.0, -2.0]), "'price' is [1.0, -2.0], and should be a list of numbers of 0 or more"),
        (with_attempt(price=[True, 2.0]), "'price' is [True, 2.0], and should be a list of numbers of 0 or more"),
        (changed(started_at=float("nan")), "'started_at' is nan, and should be a number"),
        (changed(duration=10**400), "'duration' is 1000000000000000"),
        (with_attempt(usage={"completion_tokens": float("inf")}), "'completion_tokens' is inf, and should be a number"),
        (with_attempt(usage={"tokens": 3}), "no record of an attempt, 'usage': it has 'tokens'"),
        (
            with_attempt(exception={"type": 1}),
            "no record of an attempt, 'exception': 'type' is 1, and should be a text",
        ),
        (with_attempt(text="x"), "no record of an attempt: it has 'text'"),
    ],
)
def test_what_is_no_record_is_refused(record: Any, complaint: str) -> None:
    """What is no record of an answer is a `ValueError` of one line that says what does not fit and what would."""
    with pytest.raises(ValueError, match="no record of") as caught:
        Answer.from_dict(record)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_half_a_character_of_a_record_is_replaced() -> None:
    """A record with half a character, which JSON can hold, gives an answer that can be shown and saved."""
    record = json.loads('{"state": "completed", "text": "a\\ud800", "providers": []}')
    answer = Answer.from_dict(record)
    assert answer.text == "a?"
    json.dumps(answer_bundle(answer), ensure_ascii=False).encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_broken_record_is_read_or_refused(data: st.DataObject) -> None:
    """A record of which any field has any other value is either read, and then is a record again, or a `ValueError`."""
    record = changed(**{data.draw(st.sampled_from(list(GOOD))): data.draw(json_values)})
    if data.draw(st.booleans()):
        record = with_attempt(**{data.draw(st.sampled_from(list(GOOD["attempts"][0]))): data.draw(json_values)})
    try:
        answer = Answer.from_dict(record)
    except ValueError:
        return
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer


def test_record_of_a_saved_cell_is_read() -> None:
    """The record in an output's metadata, which has neither text nor messages, gives the report again."""
    record = changed()
    for name in ("text", "reasoning", "messages"):
        del record[name]
    answer = Answer.from_dict(record)
    assert (answer.text, answer.messages, answer.provider, answer.usage) == ("", [], "A", Usage(3, 1))
