"""A run on a terminal: what stays on it, what is painted meanwhile, and what a stranger's text cannot do."""

from __future__ import annotations

import asyncio
import io
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nbretry._utils.redaction import remember_secret
from nbretry.errors import RetryProviderError
from nbretry.renderers.terminal import TerminalRenderer, finished_blocks
from nbretry.session.question import Question
from nbretry.session.session import Session
from nbretry.testing import simulate

MARKDOWN = """# Rayleigh

Light is **scattered** by `molecules`.

```python
def shade(wavelength):

    return wavelength ** -4
```

1. blue
2. red

| colour | nm |
| --- | --- |
| blue | 450 |

The end, [really](https://example.org/why).
"""


def ask(*plays: str, width: int = 100, height: int = 40) -> str:
    """What a terminal was sent by a run in which providers with these scripts are asked one after the other."""
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=True, color_system="standard", width=width, height=height, legacy_windows=False
    )
    session = Session()
    for number, play in enumerate(plays):
        session.register(f"p{number}", simulate(play))
    question = Question("Why?", [f"p{number}" for number in range(len(plays))])
    with suppress(RetryProviderError):  # of which the renderer has told
        asyncio.run(session.ask(question, TerminalRenderer(out, console)))
    return out.getvalue()


def stays(sent: str) -> list[str]:
    """The lines that are on the terminal at the end, without colours: what was painted over is gone."""
    lines: list[str] = [""]
    row = 0
    for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", sent):
        if token == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif token == "\x1b[2K":
            lines[row] = ""
        elif token.endswith("A") and token.startswith("\x1b"):
            row -= int(token[2:-1] or 1)
        elif not token.startswith("\x1b") and token != "\r":
            lines[row] += token
    below = lines[row + 1 :]  # what was painted there while the answer came
    assert not any(line.strip() for line in below)
    return [line.rstrip() for line in lines[: row + 1]]


def script(text: str, size: int) -> str:
    """A play that says a text in pieces."""
    return " ".join(repr(text[start : start + size]) for start in range(0, len(text), size))


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_markdown_stays_rendered(size: int) -> None:
    """However it is cut, the answer stands there once, rendered, and under it who answered."""
    lines = stays(ask(script(MARKDOWN, size)))
    text = "\n".join(lines)
    for words in ("Rayleigh", "Light is scattered by molecules.", "return wavelength ** -4", "450"):
        assert text.count(words) == 1
    assert next(line.split() for line in lines if "blue" in line) == ["1", "blue"]
    assert "The end, really (https://example.org/why)." in text
    assert "**" not in text.replace("** -4", "")
    assert "```" not in text
    assert lines[-2].startswith("  ✓ p0 · simulated · first token ")


def test_given_up_text_is_marked() -> None:
    """A stream that breaks off is told with its exception, its text is said to be given up, the next one is whole."""
    text = "\n".join(stays(ask("'Half an ' 'ans' cut", "'All of it.'")))
    half, failed, given_up, whole = (
        text.index(s) for s in ("Half an ans", "✗ p0", "the text above is given", "All of it.")
    )
    assert half < failed < given_up < whole
    assert text.count("Half an ans") == 1


def test_nobody_answers() -> None:
    """Each failure stands there, and no half of anything."""
    lines = stays(ask("500", "401"))
    assert any("✗ p0" in line and "500" in line for line in lines)
    assert any("✗ p1" in line and "401" in line for line in lines)
    assert any(line.startswith("  ■ nobody answered") for line in lines)


def test_reasoning_is_no_part_of_the_answer() -> None:
    """While the model thinks its words are to be seen; in the end one line says how long it thought."""
    sent = ask("reasoning='first this ' delay=0.3 reasoning='then that' delay=0.3 'Because.'")
    assert "first this" in sent
    lines = stays(sent)
    assert not any("first this" in line for line in lines)
    assert any(line.startswith("  thought for ") and line.endswith("4 words, in _answer.reasoning") for line in lines)


def test_what_grows_is_no_higher_than_the_terminal() -> None:
    """A block longer than the terminal is painted with its last lines only, and stays whole in the end."""
    code = "```\n" + "\n".join(f"line {number}" for number in range(200)) + "\n```\n"
    sent = ask(script(code, 60), height=10)
    ups = [int(count or 1) for count in re.findall(r"\x1b\[(\d*)A", sent)]
    assert max(ups, default=0) < 12
    assert [line.strip() for line in stays(sent) if "line " in line] == [f"line {number}" for number in range(200)]


def test_secrets_and_control_characters() -> None:
    """A key in the answer is masked however it is cut, and an escape sequence of a stranger does nothing."""
    remember_secret("hunter2hunter2")
    sent = ask("'the key is hunter2' 'hunter2, ok' '\\x1b]0;title\\x07 \\x1b[31mred'")
    assert "hunter2" not in sent
    assert "[secret]" in sent
    assert "\x1b]0;" not in sent
    assert "\x07" not in sent


def test_links_are_written_out() -> None:
    """No link is hidden under other words."""
    sent = ask(repr("[your bank](https://evil.example/)"))
    assert "\x1b]8;" not in sent
    assert "https://evil.example/" in "".join(stays(sent))


@given(
    st.lists(
        st.sampled_from(["a", "# b\n", "\n", "\n\n", "```\n", "- c\n", "> d\n", "    e\n", "|x|\n|-|\n", "\u2028"]),
        max_size=30,
    )
)
def test_blocks_are_parted_without_loss(pieces: list[str]) -> None:
    """What is finished and what grows are together the text, and what is finished stays so whatever follows."""
    text = "".join(pieces)
    finished, growing = finished_blocks(text)
    assert finished + growing == text
    assert finished_blocks(text + "\n\nmore\n\nand more")[0].startswith(finished)


def test_line_separator_ends_no_block() -> None:
    """A U+2028, which is no line of Markdown, does not cut a finished block in two."""
    code = "```\na\u2028b\u2028c\n\nd\n```\n"
    assert finished_blocks(f"{code}\nmore") == (f"{code}\n", "more")
