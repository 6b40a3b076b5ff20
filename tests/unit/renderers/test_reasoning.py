"""How a model's reasoning is shown: its end while it comes, folded afterwards, and in a terminal that it is there."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry.answer import Answer, fold
from nbretry.attempts import Attempt
from nbretry.events import (
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunStarted,
    TextDelta,
)
from nbretry.renderers.compare import comparison_html, comparison_text
from nbretry.renderers.console import ConsoleRenderer
from nbretry.renderers.reasoning import ThoughtTail, reasoning_html, reasoning_text, thinking_html

KEY = "sk-" + "0123456789abcdefghij"
BEGUN: list[Event] = [RunStarted(0.0, ("A",), "", ""), AttemptStarted(1, "A", "", 0.5)]
END: list[Event] = [FirstContent(1, 4.0), TextDelta(1, "So."), AttemptSucceeded(1, "stop", 5.0), RunCompleted(5.0)]


def thought(*fragments: str) -> Answer:
    return fold([*BEGUN, *(ReasoningDelta(1, fragment) for fragment in fragments), *END])


def test_a_folded_reasoning_says_how_long_it_is() -> None:
    """The closed line has the words, with a comma in thousands, and the seconds before the answer; it opens to all."""
    html = reasoning_html(thought("many " * 1234))
    assert "<summary" in html
    assert ">reasoning (1,234 words, 3.50 s)</summary>" in html
    assert html.count("many") == 1234
    assert " open>" not in html
    assert reasoning_text(thought("many " * 1234)) == "reasoning: 1,234 words, in the answer's .reasoning"
    assert "reasoning (1 word, 3.50 s)" in reasoning_html(thought("one"))
    assert (reasoning_html(thought()), reasoning_text(thought())) == ("", "")


def test_a_reasoning_that_was_stopped_says_how_long_it_took() -> None:
    """Where no answer came the time is that until the end; while it runs there is none."""
    thinks = [*BEGUN, ReasoningDelta(1, "one two")]
    assert "reasoning (2 words, 1.50 s)" in reasoning_html(fold([*thinks, RunCancelled(2.0)]))
    assert "reasoning (2 words)" in reasoning_html(fold(thinks))


def test_words_are_escaped_and_masked() -> None:
    """Neither a tag nor a secret of a reasoning or of a provider's name comes through."""
    folded = reasoning_html(thought(f"</pre><script>{KEY}</script>"))
    live = thinking_html(f"<b>{KEY}", "</pre><i>")
    assert "&lt;/pre&gt;&lt;script&gt;[secret]&lt;/script&gt;" in folded
    assert "&lt;b&gt;[secret]: thinking" in live
    assert "&lt;/pre&gt;&lt;i&gt;" in live
    assert live.count("</pre>") == folded.count("</pre>") == 1


def attempt(reasoning: str, number: int = 1) -> Attempt:
    return Attempt(number, "A", "", 0.0, reasoning=reasoning)


def test_the_tail_is_the_last_lines() -> None:
    """Of a long reasoning the last six lines are shown, or the end of one line, with a sign that there is more."""
    assert ThoughtTail().of(attempt("one\ntwo. ")) == "one\ntwo."
    lines = [f"line {i}." for i in range(20)]
    assert ThoughtTail().of(attempt("\n".join(lines) + "\n")) == "… " + "\n".join(lines[-6:])
    tail = ThoughtTail().of(attempt("word. " * 1000))
    assert tail.startswith("… word. word. ")
    assert 580 <= len(tail) <= 602
    assert ThoughtTail().of(attempt("")) == ""


def test_the_tail_begins_anew_with_another_attempt() -> None:
    """Nothing of one attempt's reasoning is shown as another one's."""
    tail = ThoughtTail()
    assert tail.of(attempt("first. ")) == "first."
    assert tail.of(attempt("second. ", number=2)) == "second."
    assert tail.of(attempt("second. third. ", number=2)) == "second. third."


IN_ONE_LINE = st.text(st.characters(exclude_categories=["Cc", "Zl", "Zp"]), max_size=30)
"""The tail has only the last lines."""


@given(IN_ONE_LINE, st.lists(st.integers(1, 20), min_size=1), IN_ONE_LINE)
def test_a_secret_in_pieces_is_in_no_tail(before: str, cuts: list[int], after: str) -> None:
    """Wherever a reasoning is cut into pieces, no state of its tail has a part of the key in it."""
    whole = f"{before} {KEY} {after}"
    tail = ThoughtTail()
    shown = ""
    for end in sorted({min(len(whole), sum(cuts[:count])) for count in range(len(cuts) + 1)} | {len(whole)}):
        shown = tail.of(attempt(whole[:end]))
        assert KEY[:8] not in shown
    assert "[secret]" in shown


def test_a_terminal_says_once_that_it_thinks() -> None:
    """Beside the answer, which has none of it, one line says that a provider thinks; each provider has one."""
    out, err = io.StringIO(), io.StringIO()
    paint = ConsoleRenderer(out, err)
    answer = Answer()
    other = AttemptStarted(2, "B", "", 0.6)
    thoughts = [ReasoningDelta(1, "one"), other, ReasoningDelta(2, "two"), ReasoningDelta(1, "three")]
    for event in (*BEGUN, *thoughts, *END[:2], ReasoningDelta(1, "late"), *END[2:]):
        answer = answer.apply(event)
        paint(event, answer)
    assert out.getvalue() == "So.\n"
    assert err.getvalue().splitlines()[:2] == ["  … A: thinking", "  … B: thinking"]
    assert err.getvalue().count("thinking") == 2


@pytest.mark.parametrize("others_run", [True, False])
def test_a_column_has_its_reasoning_at_the_end(others_run: bool) -> None:
    """In a comparison the reasoning stands folded above its answer once all have ended, and is not sent before."""
    answers = [thought("deep thought"), fold(BEGUN) if others_run else thought()]
    html = comparison_html(["A", "B"], answers)
    assert html.count("deep thought") == (0 if others_run else 1)
    assert comparison_text(["A", "B"], answers).startswith(
        "== A ==\nreasoning: 2 words, in the answer's .reasoning\nSo.\n\nA · first token"
    )
