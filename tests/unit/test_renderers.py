"""The views of a run: the report, the terminal, the log."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page import Page

from nbretry._utils.redaction import remember_secret
from nbretry.answer import Answer, fold
from nbretry.errors import APIConnectionError, RateLimitError, RetryProviderError
from nbretry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    StatusChanged,
    TextDelta,
    UsageReported,
)
from nbretry.renderers.console import ConsoleRenderer
from nbretry.renderers.report import attempt_line, report_html, report_text, seconds, status_line, summary
from nbretry.renderers.tables import table_html
from nbretry.session.runlog import JsonLinesRenderer, read_events
from nbretry.types import Usage

HOSTILE = "<script>alert('x')</script>&\"'"
SECRET = "a-secret-of-these-tests"


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


# --- the report -------------------------------------------------------------------------------------------------------


def run_of(*events: Event) -> Answer:
    return fold([RunStarted(1_700_000_000.0, ("first", "second"), "", "0" * 64), *events])


FAILED = (
    AttemptStarted(1, "first", "big", 0.0),
    AttemptFailed(1, APIConnectionError("refused"), "fallback", 0.0, 0.5),
)
ANSWERED = (
    AttemptStarted(2, "second", "small", 0.5),
    FirstContent(2, 0.75),
    TextDelta(2, "An answer."),
    UsageReported(2, Usage(5, 3)),
    AttemptSucceeded(2, "stop", 2.0),
    RunCompleted(2.0),
)


def test_summary_of_an_answer() -> None:
    """One line says who answered, the model, the times, the tokens, and who had failed."""
    text = "second · small · first token 0.75 s · total 2.00 s · 3 tokens · failed: first"
    assert summary(run_of(*FAILED, *ANSWERED)) == text


def test_summary_of_a_failure() -> None:
    """Where nobody answered, the line says so and names everyone who failed."""
    failure = AttemptFailed(2, RateLimitError("slow down"), "stop", 0.0, 1.0)
    answer = run_of(
        *FAILED, AttemptStarted(2, "second", "small", 0.5), failure, RunFailed(RetryProviderError("x"), 1.0)
    )
    assert summary(answer) == "nobody answered · total 1.00 s · failed: first, second"


def test_summary_of_a_stopped_answer() -> None:
    """A stopped answer is marked as such."""
    answer = run_of(*FAILED, *ANSWERED[:3], RunCancelled(1.5))
    assert summary(answer).startswith("stopped · second · small · first token 0.75 s · total 1.50 s")


def test_summary_of_nothing() -> None:
    """An answer without an attempt says that nobody was asked."""
    assert summary(Answer()) == "nobody was asked"


def test_report_lists_every_attempt() -> None:
    """Under the line stands each attempt with its result, as text and as a table with a time line."""
    answer = run_of(*FAILED, *ANSWERED)
    assert report_text(answer).splitlines()[1:] == [
        "  1. ✗ first · big · APIConnectionError: refused · 0.50 s",
        "  2. ✓ second · small · answered · first token 0.25 s · 1.50 s · 3 tokens",
    ]
    page = Page(report_html(answer))
    page.assert_well_formed()
    page.assert_harmless()
    assert page.tags.count("tr") == 3
    assert page.tags.count("img") == 1
    assert "APIConnectionError: refused" in page.text


def test_report_of_one_success_is_one_line() -> None:
    """Where nothing failed there is nothing to list."""
    attempt = AttemptStarted(1, "first", "", 0.0)
    answer = run_of(attempt, FirstContent(1, 0.1), TextDelta(1, "x"), AttemptSucceeded(1, None, 0.2), RunCompleted(0.2))
    assert report_text(answer) == "first · first token 0.10 s · total 0.20 s"


@given(*[st.text(max_size=20).map(lambda text: text + HOSTILE)] * 5)
def test_report_escapes_every_word(provider: str, model: str, message: str, given_up: str, status: str) -> None:
    """No name, model, message or text of a stranger becomes a tag in the report."""
    answer = fold(
        [
            RunStarted(0.0, (provider, provider), "", ""),
            AttemptStarted(1, provider, model, 0.0),
            FirstContent(1, 0.1),
            TextDelta(1, given_up),
            AttemptFailed(1, ValueError(message), "retry", 1.0, 0.2),
            AttemptStarted(2, provider, model, 1.2),
            StatusChanged(2, status),
        ]
    )
    page = Page(report_html(answer))
    page.assert_well_formed()
    page.assert_harmless()
    assert page.text.count("<script>alert('x')</script>") >= 4
    assert isinstance(status_line(answer), str)


def test_report_masks_secrets() -> None:
    """A secret in a name, a model, a message or a given-up text is masked in every form of the report."""
    answer = fold(
        [
            RunStarted(0.0, (SECRET,), "", ""),
            AttemptStarted(1, SECRET, SECRET, 0.0),
            FirstContent(1, 0.1),
            TextDelta(1, SECRET),
            AttemptFailed(1, ValueError(SECRET), "fallback", 0.0, 0.2),
            AttemptStarted(2, "second", SECRET, 0.3),
            StatusChanged(2, SECRET),
        ]
    )
    forms = (report_html(answer), report_text(answer), status_line(answer), attempt_line(answer.attempts[0]))
    for form in (*forms, summary(answer)):
        assert SECRET not in form
        assert "[secret]" in form


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ms"),
        (0.0034, "3 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.10 s"),
        (1.5, "1.50 s"),
        (9.99, "9.99 s"),
        (12, "12 s"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    """A duration has as many digits as say something."""
    assert seconds(value) == text


# --- the terminal -----------------------------------------------------------------------------------------------------


def painted(*events: Event) -> tuple[str, str, str]:
    """What goes to standard output, to standard error, and to a terminal where both meet."""
    out, err, both = io.StringIO(), io.StringIO(), io.StringIO()

    class Tee(io.StringIO):
        def __init__(self, other: io.StringIO) -> None:
            super().__init__()
            self.other = other

        def write(self, text: str) -> int:
            both.write(text)
            return self.other.write(text)

    render = ConsoleRenderer(Tee(out), Tee(err))
    answer = Answer()
    for event in (RunStarted(0.0, ("first", "second"), "", ""), *events):
        answer = answer.apply(event)
        render(event, answer)
    return out.getvalue(), err.getvalue(), both.getvalue()


def test_terminal_parts_answer_and_attempts() -> None:
    """The answer alone goes to standard output; the attempts and the closing line go to standard error."""
    out, err, both = painted(*FAILED, *ANSWERED)
    assert out == "An answer.\n"
    assert err.splitlines() == [
        "  ✗ first · big · APIConnectionError: refused · 0.50 s",
        "  ✓ second · small · first token 0.75 s · total 2.00 s · 3 tokens · failed: first",
    ]
    assert both.splitlines()[1] == "An answer."


def test_terminal_parts_a_given_up_text_from_the_answer() -> None:
    """A text that was given up has the failure on a line of its own behind it, before the next one's text."""
    begun = (FirstContent(1, 0.1), TextDelta(1, "half an"))
    _, _, both = painted(FAILED[0], *begun, FAILED[1], *ANSWERED)
    lines = [line.split(" · ")[0] for line in both.splitlines()]
    divider = "──── first broke off: the text above is given up, what follows is new ────"
    assert lines == ["half an", "  ✗ first", divider, "An answer.", "  ✓ second"]


def test_terminal_is_not_steered_by_a_stranger() -> None:
    """Control characters of a model or an exception do not reach the terminal; line feeds and tabs do."""
    evil = "a\x1b[2Jb\x07c\x9bd\x7fe\rf\n\tg"
    failure = AttemptFailed(1, ValueError("x\x1b]0;title\x07y"), "fallback", 0.0, 0.5)
    text = (ANSWERED[0], ANSWERED[1], TextDelta(2, evil), *ANSWERED[3:])
    out, err, _ = painted(FAILED[0], failure, *text)
    assert out == "a[2Jbcdef\n\tg\n"
    assert "\x1b" not in err
    assert "\x07" not in err


def test_terminal_masks_a_secret_in_fragments() -> None:
    """A secret that comes in two fragments is masked, though the first one could have been written already."""
    fragments = (TextDelta(2, f"key {SECRET[:9]}"), TextDelta(2, f"{SECRET[9:]} end"))
    out, _, _ = painted(*FAILED, *ANSWERED[:2], *fragments, *ANSWERED[3:])
    assert out == "key [secret] end\n"


# --- the log ----------------------------------------------------------------------------------------------------------


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


def test_a_column_of_short_words_claims_no_width() -> None:
    """In a table, room is held free for a long text, and not where there is a word or two."""
    table = table_html(("State",), [("ready",), ("failed once: ServerError: it is overloaded",)], wide=[0])
    assert ["min-width" in cell for cell in table.split("<td")[1:]] == [False, True]
