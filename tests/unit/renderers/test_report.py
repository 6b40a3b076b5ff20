"""The report of a run: one line for an answer, and a line for each attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page import Page
from two_attempts import ANSWERED, FAILED

from nbretry._utils.redaction import remember_secret
from nbretry.answer import Answer, fold
from nbretry.errors import RateLimitError, RetryProviderError
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
)
from nbretry.renderers.report import attempt_line, report_html, report_text, seconds, status_line, summary

HOSTILE = "<script>alert('x')</script>&\"'"
SECRET = "a-secret-of-these-tests"


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


# --- the report -------------------------------------------------------------------------------------------------------


def run_of(*events: Event) -> Answer:
    return fold([RunStarted(1_700_000_000.0, ("first", "second"), "", "0" * 64), *events])


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
