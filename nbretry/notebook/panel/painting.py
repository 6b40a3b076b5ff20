"""The panel's renderer, which repaints an answer at intervals while it grows, as in a cell.

The panel changes less than 20 times a second: the text about 12 times, the lines of the attempts 4 times.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nbretry.answer import Answer
from nbretry.events import Event, FirstContent, ReasoningDelta, RunCancelled, RunCompleted, RunFailed, TextDelta
from nbretry.notebook.output.repainted import RepaintedOutput, WholeAnswer
from nbretry.renderers.attempts import attempt_lines_html, changes_with_time, failures_html
from nbretry.renderers.growing_text import GrowingHtml
from nbretry.renderers.painter import answer_html, with_style
from nbretry.renderers.reasoning import ThoughtTail, reasoning_html, thinking_html
from nbretry.renderers.report import report_html

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["PanelPainter", "Picture"]

_TICK = 0.25
"""Seconds between two updates of what changes as time passes."""

_SHORTEST_INTERVAL = 0.08
"""Minimum seconds between two paints of the text."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the panel shows of an answer.

    Attributes:
        reasoning: safe HTML.
        text: safe HTML.
        note: plain text: what is going on, or went wrong.
        report: safe HTML; empty until the answer has ended.
    """

    reasoning: str = ""
    text: str = ""
    note: str = ""
    report: str = ""


class PanelPainter(RepaintedOutput):
    """Renderer for the panel.

    Args:
        shell: the user's IPython shell.
        show: called with an answer and its picture.
        show_attempts: called with the lines of all attempts, as safe HTML, also when only time has passed.
        attempts_changed: called with the failures, as safe HTML, when an attempt has begun or ended.
    """

    shortest_interval = _SHORTEST_INTERVAL

    def __init__(
        self,
        shell: InteractiveShell,
        show: Callable[[Answer, Picture], None],
        show_attempts: Callable[[str], None],
        attempts_changed: Callable[[str], None],
    ) -> None:
        super().__init__(shell, captured=False, publish=_no_output)
        self._show_picture = show
        self._show_attempts = show_attempts
        self._tell_attempts = attempts_changed
        self._answer = Answer()
        self._tail = ThoughtTail()
        self._text = GrowingHtml(partial(answer_html, is_part=True))
        self._end = WholeAnswer(answer_html)
        self.prepare = self._end.prepare
        self._began_at: float | None = None
        self._attempts_changed = False
        self._tick_timer: asyncio.TimerHandle | None = None

    def __call__(self, event: Event, answer: Answer) -> None:
        """Paint what this event changes, now or soon. The last state is always painted."""
        if self._began_at is None:
            self._began_at = time.monotonic()
        self._answer = answer
        if not isinstance(event, TextDelta | ReasoningDelta):
            self._attempts_changed = True
        if isinstance(event, RunCompleted | RunFailed | RunCancelled):
            self.close()
            self.paint_now()
            return
        if isinstance(event, FirstContent | ReasoningDelta):
            self.content_came(anew=isinstance(event, FirstContent))
        self.paint_soon()
        if self._tick_timer is None:
            self._tick()

    def close(self) -> None:
        """Cancel all scheduled paints."""
        self.cancel_paint()
        if self._tick_timer is not None:
            self._tick_timer.cancel()
            self._tick_timer = None

    def paint(self) -> None:
        """Show the answer so far."""
        if self._attempts_changed:
            self._attempts_changed = False
            # Before the text: the attempts are above it, and would push it down if they were painted later.
            self._paint_attempts()
            self._tell_attempts(failures_html(self._answer))
        picture = self._picture_of(self._answer)
        self._painted_size = len(picture.text)
        self._show_picture(self._answer, picture)

    def _tick(self) -> None:
        if changes_with_time(self._answer):
            self._paint_attempts()
        self._tick_timer = asyncio.get_running_loop().call_later(_TICK, self._tick)

    def _paint_attempts(self) -> None:
        is_over = self._answer.duration is not None or self._began_at is None
        now = None if is_over else time.monotonic() - (self._began_at or 0.0)
        self._show_attempts(attempt_lines_html(self._answer, now))

    def _picture_of(self, answer: Answer) -> Picture:
        if answer.duration is not None:
            drawn = self._end.of(answer.text) if answer.text else ""
            return Picture(reasoning_html(answer), drawn, "", report_html(answer))
        if answer.text:
            return Picture(reasoning_html(answer), with_style(self._text.of(answer.text)))
        thinkers = [attempt for attempt in answer.attempts if attempt.state == "running" and attempt.reasoning]
        return Picture(thinking_html(thinkers[-1].path, self._tail.of(thinkers[-1])) if thinkers else "")


def _no_output(*arguments: object, **named: object) -> None:
    """The panel shows what is painted in its widgets, and nothing in the cell."""
