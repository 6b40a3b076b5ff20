"""The log of events: it folds back to the same answer, and has no secret in it."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_attempts import ANSWERED, FAILED

from nbretry._utils.redaction import remember_secret
from nbretry.answer import Answer, fold
from nbretry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    RunCompleted,
    RunStarted,
    TextDelta,
)
from nbretry.session.runlog import JsonLinesRenderer, read_events

SECRET = "a-secret-of-these-tests"


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


def logged(*events: Event) -> str:
    out = io.StringIO()
    render = JsonLinesRenderer(out)
    answer = Answer()
    for event in events:
        answer = answer.apply(event)
        render(event, answer)
    return out.getvalue()


def test_log_folds_back_to_the_same_answer() -> None:
    """A log of JSON lines reads back into events that come to the answer that was seen."""
    events = (RunStarted(0.0, ("first", "second"), "", "0" * 64), *FAILED, *ANSWERED)
    log = logged(*events)
    seen, read = fold(events), fold(read_events(log.splitlines(keepends=True)))
    assert read.to_dict() == seen.to_dict()
    assert [json.loads(line)["event"] for line in log.splitlines()][:2] == ["RunStarted", "AttemptStarted"]


@given(st.lists(st.text(min_size=1, max_size=30), max_size=6))
def test_log_keeps_any_text(fragments: list[str]) -> None:
    """Whatever characters an answer has, line ends of other worlds included, the log has them on one line an event."""
    text = [TextDelta(1, fragment) for fragment in fragments if fragment.isprintable() or fragment < "\ud800"]
    events = (RunStarted(0.0, ("a",), "", ""), AttemptStarted(1, "a", "", 0.0), FirstContent(1, 0.1), *text)
    log = logged(*events, AttemptSucceeded(1, None, 1.0), RunCompleted(1.0))
    assert fold(read_events(io.StringIO(log))).text == "".join(event.text for event in text)


def test_log_masks_secrets() -> None:
    """A secret in a text, also in fragments of it, in a model's name or in an exception is masked in the log."""
    failure = AttemptFailed(1, ValueError(SECRET), "fallback", 0.0, 0.5)
    text = (TextDelta(2, SECRET[:5]), TextDelta(2, SECRET[5:]))
    log = logged(
        RunStarted(0.0, ("a", "b"), SECRET, ""),
        AttemptStarted(1, "a", SECRET, 0.0),
        failure,
        *ANSWERED[:2],
        *text,
        *ANSWERED[3:],
    )
    assert SECRET not in log
    assert fold(read_events(log.splitlines())).text == "[secret]"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 of the log: "),
        ('{"event": "Nothing"}', "line 2 of the log: not an event of a run: 'Nothing'"),
        ('{"event": "TextDelta"}', "line 2 of the log: the fields of TextDelta do not fit"),
        ("[]", "line 2 of the log: "),
        ('"text"', "line 2 of the log: "),
    ],
)
def test_wrong_line_of_a_log_is_named(line: str, message: str) -> None:
    """A log that is not one says which line is wrong, and empty lines are none."""
    first = logged(RunStarted(0.0, (), "", ""))
    with pytest.raises(ValueError, match=message):
        list(read_events([first, line, "\n"]))
