"""Render a run live in an interactive terminal, with the answer as rich text.

Finished Markdown is printed once and stays in the terminal's scrollback. Only the block that is still growing is
redrawn, so a long answer costs no more for each token than a short one, and scrolls like ordinary text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from nbretry._utils.redaction import MaskedStream, mask
from nbretry._utils.text import printable
from nbretry.answer import Answer
from nbretry.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSkipped,
    Event,
    FirstContent,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
)
from nbretry.renderers.reasoning import ThoughtTail
from nbretry.renderers.report import attempt_line, seconds, status_line, summary

__all__ = ["TerminalRenderer", "finished_blocks"]

_REFRESHES = 12
"""How many times per second the growing block is redrawn."""

_CODE_THEME = "ansi_dark"
"""Uses the terminal's own colours and background, so that code is readable on light and on dark."""

_THOUGHT_SHOWN = 160
"""Maximum characters of the end of the reasoning to show while the model is thinking."""

_SETTLED = 60
"""Characters that must arrive before the Markdown is searched for finished blocks again; more in a long block."""


class TerminalRenderer:
    """A renderer that shows a run live in a terminal.

    Args:
        out: a terminal.
        console: the console to draw with, instead of a new one for ``out``.
    """

    def __init__(self, out: TextIO, console: Console | None = None) -> None:
        self._console = console or Console(file=out, highlight=False, emoji=False, markup=False)
        self._live: Live | None = None
        self._text = MaskedStream()
        self._growing = ""
        self._unlooked = 0
        self._answer = Answer()
        self._thinks_since: float | None = None
        self._thought = ""
        self._tail = ThoughtTail()

    def __call__(self, event: Event, answer: Answer) -> None:
        """Process an event; the live view shows it at the next refresh."""
        self._answer = answer
        match event:
            case RunStarted():
                self._live = Live(
                    get_renderable=self._view,
                    console=self._console,
                    refresh_per_second=_REFRESHES,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()
            case TextDelta():
                self._grow(self._text.feed(event.text))
            case ReasoningDelta():
                self._thinks_since = self._thinks_since or time.monotonic()
                self._thought = self._tail.of(answer.attempts[event.attempt - 1])
            case FirstContent():
                self._end_thought()
            case AttemptFailed():
                attempt = answer.attempts[event.attempt - 1]
                self._settle(give_up=not attempt.contributed)
                self._note(attempt_line(attempt))
                if attempt.given_up:
                    told = f"{attempt.path} broke off: the text above is given up, what follows is new"
                    self._print(Text(f"{printable(mask(told))}\n", style="yellow"))
            case AttemptSkipped() | AttemptCancelled():
                self._note(attempt_line(answer.attempts[event.attempt - 1]))
            case RunCompleted() | RunFailed() | RunCancelled():
                self._end_thought()
                self._settle()
                self._stop()
                self._note(f"{'✓' if isinstance(event, RunCompleted) else '■'} {summary(answer)}")

    def _grow(self, text: str) -> None:
        """Add text to the answer, and print the blocks that are finished now."""
        self._growing += printable(text)
        self._unlooked += len(text)
        if self._unlooked > max(_SETTLED, len(self._growing) // 10):
            self._unlooked = 0
            finished, self._growing = finished_blocks(self._growing)
            if finished:
                self._print(_Lines(finished))

    def _settle(self, give_up: bool = True) -> None:
        """Take in text that was held back, and print the block that was growing.

        Args:
            give_up: False to print no block yet, because the next attempt goes on with it.
        """
        self._growing += printable(self._text.flush())
        if give_up and self._growing.strip():
            rest, self._growing = self._growing, ""
            self._print(_Lines(rest))

    def _end_thought(self) -> None:
        if self._thinks_since is not None:
            took, self._thinks_since = time.monotonic() - self._thinks_since, None
            words = len(self._answer.reasoning.split())
            self._note(f"thought for {seconds(took)}: {words:,} words, in _answer.reasoning")

    def _note(self, line: str) -> None:
        self._print(Text(f"  {printable(mask(line))}\n", style="dim"))

    def _print(self, what: RenderableType) -> None:
        self._console.print(what, end="")

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _view(self) -> RenderableType:
        """Return what each refresh draws: the growing block, or what the run is waiting for."""
        answer = self._answer
        if self._growing.strip():
            return _Lines(self._growing, grows=True)
        if answer.text:
            return Text("")
        waiting: list[RenderableType] = [
            Spinner("dots", Text(printable(line), style="dim"), style="dim")
            for line in status_line(answer).splitlines()[-1:]
        ]
        if self._thinks_since is not None:
            thought = " ".join(self._thought.split())[-_THOUGHT_SHOWN:]
            waiting.append(Text(f"  {printable(thought)}", style="dim italic"))
        return Group(*waiting)


class _Lines:
    """Markdown without blank lines around it; while it grows, only the last lines that fit into the terminal."""

    def __init__(self, text: str, grows: bool = False) -> None:
        # Write out the targets of links: an untrusted link behind harmless words could lead anywhere.
        self._content = Markdown(text, code_theme=_CODE_THEME, hyperlinks=False)
        self._grows = grows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Any]:
        lines = console.render_lines(self._content, options, pad=False)
        filled = [number for number, line in enumerate(lines) if any(segment.text.strip() for segment in line)]
        lines = lines[filled[0] : filled[-1] + 1] if filled else []
        if self._grows:
            lines = lines[-max(1, console.size.height - 2) :]
        for line in lines:
            yield from line
            yield Segment.line()
        if lines and not self._grows:
            yield Segment.line()


def finished_blocks(text: str) -> tuple[str, str]:
    """Split growing Markdown into the blocks that are finished and the rest.

    Args:
        text: the Markdown so far.

    Returns:
        The finished part, and the part that may still change.
    """
    from markdown_it import MarkdownIt

    if not re.search(r"\n[ \t]*\n|\n[ \t]*(?:#|```|~~~)", text):
        return "", text
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    starts = [token.map[0] for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
    if len(starts) < 2:
        return "", text
    lines = text.split("\n")  # not splitlines: in Markdown, U+2028 does not end a line
    return "\n".join([*lines[: starts[-1]], ""]), "\n".join(lines[starts[-1] :])
