"""A run as plain text: attempts apart from the answer, secrets masked, nothing that steers a terminal."""

from __future__ import annotations

import io

import pytest
from two_attempts import ANSWERED, FAILED

from nbretry._utils.redaction import remember_secret
from nbretry.answer import Answer
from nbretry.events import (
    AttemptFailed,
    Event,
    FirstContent,
    RunStarted,
    TextDelta,
)
from nbretry.renderers.console import ConsoleRenderer

SECRET = "a-secret-of-these-tests"


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


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
