"""What the panel shows of an answer, painted while it grows at intervals as in a cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbretry.answer import Answer
from nbretry.events import Event, FirstContent, ReasoningDelta, RunCancelled, RunCompleted, RunFailed, TextDelta
from nbretry.notebook.repainting import RepaintedOutput
from nbretry.renderers.compare import markdown_html
from nbretry.renderers.reasoning import ThoughtTail, reasoning_html, thinking_html
from nbretry.renderers.report import report_html, status_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["PanelPainter", "Picture"]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be seen of an answer.

    Attributes:
        reasoning: safe HTML.
        text: safe HTML.
        note: plain text: what goes on, or went wrong.
        report: safe HTML; empty before the end.
    """

    reasoning: str = ""
    text: str = ""
    note: str = ""
    report: str = ""


class PanelPainter(RepaintedOutput):
    """Renderer for the panel.

    Args:
        shell: the user's.
        show: is handed an answer and its picture.
        attempts_changed: is called after that where an attempt has begun or ended.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        show: Callable[[Answer, Picture], None],
        attempts_changed: Callable[[], None],
    ) -> None:
        super().__init__(shell, captured=False)
        self._show_picture = show
        self._tell_attempts = attempts_changed
        self._answer = Answer()
        self._tail = ThoughtTail()
        self._attempts_changed = False

    def __call__(self, event: Event, answer: Answer) -> None:
        """Paint this event, now or soon; the last state is always painted."""
        self._answer = answer
        if not isinstance(event, TextDelta | ReasoningDelta):
            self._attempts_changed = True
        if isinstance(event, RunCompleted | RunFailed | RunCancelled):
            self.paint_now()
            return
        if isinstance(event, FirstContent | ReasoningDelta):
            self.content_came(anew=isinstance(event, FirstContent))
        self.paint_soon()

    def paint(self) -> None:
        """Show the answer so far."""
        self._show_picture(self._answer, self._picture_of(self._answer))
        if self._attempts_changed:
            self._attempts_changed = False
            self._tell_attempts()

    def _picture_of(self, answer: Answer) -> Picture:
        text = _in_new_tabs(markdown_html(answer.text)) if answer.text else ""
        if answer.duration is not None:
            return Picture(reasoning_html(answer), text, "", report_html(answer))
        if answer.text:
            return Picture(reasoning_html(answer), text, f"{answer.provider}: answering …")
        thinkers = [attempt for attempt in answer.attempts if attempt.state == "running" and attempt.reasoning]
        thinking = thinking_html(thinkers[-1].path, self._tail.of(thinkers[-1])) if thinkers else ""
        return Picture(thinking, "", status_line(answer))


def _in_new_tabs(html: str) -> str:
    """The same with links that do not lead away from the notebook, as a widget's otherwise do."""
    return html.replace('<a href="', '<a target="_blank" rel="noopener noreferrer" href="')  # in text it is escaped
