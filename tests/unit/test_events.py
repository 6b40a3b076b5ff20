"""Events as facts, and their way through JSON and back."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry import events
from nbretry.errors import RateLimitError, RecordedError, RetryProviderError
from nbretry.events import (
    AttemptFailed,
    AttemptSkipped,
    Event,
    RunFailed,
    RunStarted,
    TextDelta,
    UsageReported,
    from_json,
    to_json,
)
from nbretry.types import Usage

KINDS: tuple[Any, ...] = get_args(Event)


def by_name(kind: Any) -> str:
    return str(kind.__name__)


st.register_type_strategy(
    BaseException,
    st.builds(
        RecordedError,
        st.from_regex(r"[A-Z]\w{0,12}", fullmatch=True),
        st.from_regex(r"[\w .:]{0,30}", fullmatch=True),
        status_code=st.none() | st.integers(400, 599),
        retry_after=st.none() | st.floats(0, 1e6),
    ),
)
st.register_type_strategy(
    Usage, st.builds(Usage, st.none() | st.integers(0), st.none() | st.integers(0), st.booleans())
)


any_messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "assistant"]),
            "content": st.just("Why?")
            | st.just([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]),
        }
    ),
    max_size=3,
).map(tuple)


def any_event(kind: Any) -> st.SearchStrategy[Any]:
    """Any event of a class, from the types of its fields; times are finite, texts have no secret in them."""
    hints = typing.get_type_hints(kind)
    strategies = {
        name: st.floats(allow_nan=False, allow_infinity=False)
        if hint is float
        else st.text(st.characters(codec="utf-8", exclude_characters="-_./:@"))
        if hint is str
        else st.none() | st.tuples(st.floats(0, 1e3), st.floats(0, 1e3))
        if name == "price"
        else any_messages
        if name == "messages"
        else st.from_type(hint)
        for name, hint in hints.items()
    }
    return st.builds(kind, **strategies)


def same(one: Any, other: Any) -> bool:
    """Whether two events say the same; exceptions are compared by what a record keeps of them."""
    return type(one) is type(other) and to_json(one) == to_json(other)


@pytest.mark.parametrize("kind", KINDS, ids=by_name)
@given(data=st.data())
def test_every_event_comes_back_from_json(kind: Any, data: st.DataObject) -> None:
    """What is written as JSON and read again is the same event, exceptions as far as a record keeps them."""
    event = data.draw(any_event(kind))
    back = from_json(json.loads(json.dumps(to_json(event))))
    assert same(back, event)
    if not isinstance(event, AttemptFailed | AttemptSkipped | RunFailed):
        assert back == event


@pytest.mark.parametrize("kind", KINDS, ids=by_name)
def test_every_event_is_a_frozen_fact_that_says_what_it_is(kind: Any) -> None:
    """Each class is a frozen dataclass with slots and a docstring, and stands in ``__all__``."""
    assert kind.__dataclass_params__.frozen
    assert "__dict__" not in dir(kind)
    assert kind.__doc__
    assert kind.__name__ in events.__all__


def test_the_union_has_every_event_of_the_module() -> None:
    """No event class was forgotten in `Event`."""
    defined = {value for value in vars(events).values() if dataclasses.is_dataclass(value) and value is not Usage}
    assert defined == set(KINDS)
    assert isinstance(Event, types.UnionType)


def test_a_foreign_exception_comes_back_as_a_record() -> None:
    """Type, message, status and ``retry_after`` of an exception survive; the object itself does not."""
    error = RateLimitError("slow down", status_code=429, retry_after=2.5, provider="P")
    back = from_json(to_json(AttemptFailed(1, error, "retry", 2.5, 0.1)))
    assert isinstance(back, AttemptFailed)
    assert isinstance(back.exception, RecordedError)
    recorded = (back.exception.type_name, str(back.exception), back.exception.status_code, back.exception.retry_after)
    assert recorded == ("RateLimitError", "slow down", 429, 2.5)
    assert same(from_json(to_json(back)), back)


def test_the_error_of_a_run_is_written_without_its_answer() -> None:
    """`RunFailed` keeps type and text of its error, in a form that JSON takes."""
    event = RunFailed(RetryProviderError("every provider failed:\nA: ValueError: no"), 1.0)
    assert json.loads(json.dumps(to_json(event)))["exception"] == {
        "type": "RetryProviderError",
        "message": "every provider failed:\nA: ValueError: no",
    }


def test_an_event_is_written_under_the_name_of_its_class() -> None:
    """The record of an event is its fields beside the name of its class, and nothing else."""
    assert to_json(TextDelta(2, "Hel")) == {"event": "TextDelta", "attempt": 2, "text": "Hel"}
    assert to_json(RunStarted(1.5, ("A", "B"), "m", "0f")) == {
        "event": "RunStarted",
        "started_at": 1.5,
        "providers": ["A", "B"],
        "model": "m",
        "request_sha256": "0f",
        "messages": [],
    }
    assert to_json(UsageReported(1, Usage(3, None)))["usage"] == {"prompt_tokens": 3, "completion_tokens": None}


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ({}, "not an event of a run: None"),
        ({"event": "Explosion"}, "not an event of a run: 'Explosion'"),
        ({"event": None}, "not an event of a run"),
        ({"event": "TextDelta", "attempt": 1}, "the fields of TextDelta do not fit"),
        ({"event": "TextDelta", "attempt": 1, "text": "a", "more": 1}, "the fields of TextDelta do not fit"),
        ({"event": "UsageReported", "attempt": 1, "usage": {"tokens": 1}}, "the fields of UsageReported do not fit"),
        ({"event": "RunFailed", "exception": {"type": "X"}, "at": 1.0}, "the fields of RunFailed do not fit"),
        (
            {
                "event": "RunStarted",
                "started_at": 1.0,
                "providers": [],
                "model": "",
                "request_sha256": "",
                "messages": "x",
            },
            "the fields of RunStarted do not fit: a message is a dict",
        ),
    ],
)
def test_what_is_no_event_is_refused(record: dict[str, Any], complaint: str) -> None:
    """A record of something else, or with other fields, is a `ValueError` that says which."""
    with pytest.raises(ValueError, match=complaint):
        from_json(record)


def test_a_record_from_before_the_messages_were_kept_is_read() -> None:
    """A log that was written without the messages is read as one of which none are known."""
    record = to_json(RunStarted(1.5, ("A", "B"), "m", "0f"))
    del record["messages"]
    assert from_json(record) == RunStarted(1.5, ("A", "B"), "m", "0f")


def test_secrets_in_messages_are_masked_and_images_kept() -> None:
    """In JSON the messages have no secret at any depth, an image keeps its data, and what JSON has not is put in words;
    the event's own representation does not show them."""
    key = "sk-" + "0123456789abcdefghij"
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 40}=="}}
    messages = ({"role": "user", "content": [{"type": "text", "text": f"with {key}"}, image, {"data": b"1"}]},)
    event = RunStarted(1.5, ("A",), "m", "0f", messages)
    assert to_json(event)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "with [secret]"}, image, {"data": "b'1'"}]}
    ]
    assert key not in repr(event)
    assert key in str(event.messages), "the event itself has what was sent"


def test_reading_a_record_does_not_change_it() -> None:
    """`from_json` leaves the dict that it was given as it was."""
    record = to_json(AttemptFailed(1, ValueError("no"), "stop", 0.0, 0.1))
    before = json.dumps(record)
    from_json(record)
    assert json.dumps(record) == before
