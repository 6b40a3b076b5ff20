"""The views of a comparison: columns in a cell, and text in a terminal."""

from __future__ import annotations

import io

import pytest
from hostile import AnswerPage, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from page import Page
from short_runs import SECRET, failed, run_of, stopped, whole

from nbretry._utils.redaction import remember_secret
from nbretry.answer import Answer
from nbretry.errors import RetryProviderError
from nbretry.events import (
    AttemptStarted,
    Event,
    FirstContent,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
)
from nbretry.renderers.code_colours import STYLE_SHEET
from nbretry.renderers.compare import ComparisonConsole, comparison_html, comparison_text, headings
from nbretry.renderers.painter import AS_WRITTEN


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


def test_headings() -> None:
    """A name that comes once stands as it is, and so does one with another model; others are numbered."""
    assert headings(["a", "b", "a", "c", "a"]) == ["a (1)", "b", "a (2)", "c", "a (3)"]
    assert headings(["a:x", "a:y", "a", "a:y"]) == ["a:x", "a:y (1)", "a", "a:y (2)"]


def test_columns_have_heading_text_and_line() -> None:
    """The words of each column stand together: heading, text, what went wrong, the line."""
    answers = [whole("a", "**Yes.**"), failed("b", "refused", "Per"), stopped("c", "Perhaps"), Answer()]
    page = Page(comparison_html(["a", "b", "c", "d"], answers))
    page.assert_well_formed()
    page.assert_harmless()
    assert " ".join(page.text.split()) == (
        "✓ aYes. a · first token 0.50 s · total 2.00 s"
        "✗ bPer ✗ APIConnectionError: refusedb broke off · first token 0.10 s · total 1.00 s"
        "■ cPerhaps stopped · c · first token 0.50 s · total 1.50 s"
        "… dasking …"
    )
    assert "strong" in page.tags
    assert "details" not in page.tags, "they would close with each repaint"


def test_ended_columns_open_to_their_attempts() -> None:
    """Once all have ended, each line opens to a table of its own."""
    page = Page(comparison_html(["a", "b"], [whole("a", "Yes."), failed("b", "refused")]))
    page.assert_well_formed()
    assert page.tags.count("details") == 2
    assert page.tags.count("table") == 2


def test_growing_column_tells_who_answers() -> None:
    """While the text comes, the line says since when, and that it goes on."""
    growing = run_of("a", FirstContent(1, 0.5), TextDelta(1, "Y"))
    assert "a · first token 0.50 s …" in Page(comparison_html(["a"], [growing])).text
    assert comparison_text(["a"], [growing]) == "== a ==\nY\n\na · first token 0.50 s …"
    assert comparison_text(["a"], [run_of("a")]) == "== a ==\nasking a …"


def test_text_has_one_under_the_other() -> None:
    """As plain text the answers stand under each other, the model's words as written."""
    assert comparison_text(["a", "b"], [whole("a", "<b>*Yes*</b>\n"), failed("b", "refused")]) == (
        "== a ==\n<b>*Yes*</b>\n\na · first token 0.50 s · total 2.00 s\n\n"
        "== b ==\nnobody answered · total 1.00 s · failed: b\n  1. ✗ b · APIConnectionError: refused · 1.00 s"
    )


def test_secrets_are_masked_in_both() -> None:
    """A secret is masked in a heading, a text and an error."""
    for answer in (whole("a", f"It is {SECRET}."), failed("a", SECRET, f"`{SECRET}`")):
        for shown in (comparison_html([SECRET], [answer]), comparison_text([SECRET], [answer])):
            assert SECRET not in shown
            assert shown.count("[secret]") >= 2


@settings(max_examples=100)
@given(st.lists(texts(), min_size=1, max_size=3))
def test_no_answer_leaves_its_column(answers: list[str]) -> None:
    """Whatever models write, each answer is in a column of its own, and nothing is active."""
    html = comparison_html(["a"] * len(answers), [run_of("a", FirstContent(1, 0.5), TextDelta(1, x)) for x in answers])
    page = AnswerPage(html)
    page.assert_well_formed()
    page.assert_harmless()
    assert html.count('<div class="nbretry-column"') == len(answers)


def test_answers_are_drawn_for_a_column() -> None:
    """Headings fit a column, code has its colours, and formulas are found, with no other MathJax in the column."""
    text = "# One\n\n##### Five\n\n```python\nx = 1\n```\n\n$y$ for $5"
    html = comparison_html(["a"], [whole("a", text)])
    assert "<h3>One</h3>\n<h6>Five</h6>" in html
    assert html.startswith(STYLE_SHEET)
    assert f'<div class="{AS_WRITTEN}" dir="auto"' in html
    assert '<span class="mathjax_process tex2jax_process">$y$</span> for $5' in html
    assert STYLE_SHEET not in comparison_html(["a"], [whole("a", "no code")])


def test_answers_in_a_terminal_are_not_mixed() -> None:
    """However their fragments come, each answer is written whole under its heading, in the order of their ends."""
    out, err = io.StringIO(), io.StringIO()
    console = ComparisonConsole(out, err, ["a", "b", "c"])
    events: list[tuple[int, str, Event]] = []
    for place, name, answer in ((0, "a", "One \x1b[2Jtwo."), (1, "b", "Three four.\n\n")):
        events.append((place, name, RunStarted(0.0, (name,), "", "")))
        events.append((place, name, AttemptStarted(1, name, "", 0.0)))
        events.append((place, name, FirstContent(1, 0.5)))
        events += [(place, name, TextDelta(1, word)) for word in answer.split(" ")]
        events.append((place, name, RunCompleted(2.0)))
    answers = [Answer(), Answer(), Answer()]
    half = len(events) // 2
    for place, _, event in (step for pair in zip(events[half:], events[:half], strict=True) for step in pair):
        answers[place] = answers[place].apply(event)
        console(place, event, answers[place])
    console(2, RunFailed(RetryProviderError("x"), 1.0), failed("c", "refused"))
    assert out.getvalue() == "== b ==\nThreefour.\n\n== a ==\nOne[2Jtwo.\n\n== c ==\n"
    assert err.getvalue().splitlines() == [
        "  ✓ b · first token 0.50 s · total 2.00 s",
        "  ✓ a · first token 0.50 s · total 2.00 s",
        "  ✗ c · APIConnectionError: refused · 1.00 s",
        "  ■ nobody answered · total 1.00 s · failed: c",
    ]
