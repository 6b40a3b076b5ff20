"""A run in a terminal that can be painted on: the answer as rich text, live.

What is finished of the Markdown is printed once and stays in the terminal's history; only the block that still grows is
painted again and again, so a long answer costs no more for each token than a short one, and scrolls as text does.
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
from nbretry.renderers.console import printable
from nbretry.renderers.reasoning import ThoughtTail
from nbretry.renderers.report import attempt_line, seconds, status_line, summary

__all__ = ["TerminalRenderer", "finished_blocks"]

_REFRESHES = 12
"""How often the block that grows is painted in a second."""

_CODE_THEME = "ansi_dark"
"""The terminal's own colours on its own background, so that it reads on light and on dark."""

_THOUGHT_SHOWN = 160
"""Characters of the end of the reasoning that are shown while the model thinks."""

_SETTLED = 60
"""Characters that come before the Markdown is looked at again for finished blocks; in a long block more."""


class TerminalRenderer:
    """Paints a run on a terminal.

    Args:
        out: a terminal.
        console: what paints, in place of one for ``out``.
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
        """Take note of this event; it is painted soon."""
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
        """More of the answer has come; what is finished of it is printed."""
        self._growing += printable(text)
        self._unlooked += len(text)
        if self._unlooked > max(_SETTLED, len(self._growing) // 10):
            self._unlooked = 0
            finished, self._growing = finished_blocks(self._growing)
            if finished:
                self._print(_Lines(finished))

    def _settle(self, give_up: bool = True) -> None:
        """Print what was still growing: nothing more comes, or, where an answer goes on after a break, not yet."""
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
        """What is painted again and again: the block that grows, or what is being waited for."""
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
    """The lines of a Markdown without empty ones around it; of what grows only those that the terminal has room for."""

    def __init__(self, text: str, grows: bool = False) -> None:
        # Links are written out: a stranger's link under innocent words could lead anywhere.
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
    """Part a Markdown that grows into the blocks that are finished and the rest.

    Args:
        text: the Markdown so far.

    Returns:
        What is finished, and what may still change.
    """
    from markdown_it import MarkdownIt

    if not re.search(r"\n[ \t]*\n|\n[ \t]*(?:#|```|~~~)", text):
        return "", text
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    starts = [token.map[0] for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
    if len(starts) < 2:
        return "", text
    lines = text.split("\n")  # as Markdown counts them: U+2028 ends none
    return "\n".join([*lines[: starts[-1]], ""]), "\n".join(lines[starts[-1] :])
