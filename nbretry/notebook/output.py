"""A run painted into the output of a cell, as ordinary outputs that need no kernel once they are saved.

The answer is one output that is repainted while it grows; the report is a second output that comes at the end.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from nbretry.answer import Answer
from nbretry.events import (
    Event,
    FirstContent,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
)
from nbretry.notebook.repainting import Bundle, RepaintedOutput, provenance
from nbretry.redaction import mask
from nbretry.renderers.markdown import safe_markdown
from nbretry.renderers.report import report_html, report_text, status_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["CellOutput", "display_answer"]


class CellOutput(RepaintedOutput):
    """Renderer for a cell of a notebook.

    Args:
        shell: the shell whose running cell is painted into.
        captured: as for `RepaintedOutput`.
    """

    def __init__(self, shell: InteractiveShell, captured: bool | None = None) -> None:
        super().__init__(shell, captured)
        self._answer = Answer()

    def __call__(self, event: Event, answer: Answer) -> None:
        """Paint this event, now or soon; the last state is always painted."""
        self._answer = answer
        if isinstance(event, RunCompleted | RunFailed | RunCancelled):
            self.cancel_paint()
            self.paint_end(answer)
        elif isinstance(event, TextDelta | ReasoningDelta):
            self.paint_soon()
        else:
            if isinstance(event, FirstContent):
                self.content_came()
            if isinstance(event, RunStarted) or not answer.text:
                self.paint_now()

    def picture(self) -> Bundle:
        """The answer so far, or what is going on before it."""
        if self._answer.text:
            return {"text/markdown": safe_markdown(self._answer.text)}
        line = status_line(self._answer)
        return {
            "text/html": f'<div style="font-size:0.85em;opacity:0.75;white-space:pre-wrap">{escape(line)}</div>',
            "text/plain": line,
        }

    def paint_end(self, answer: Answer) -> None:
        """Paint an answer that has ended, and its report."""
        metadata = {"nbretry": provenance(answer)}
        report = {"text/html": report_html(answer), "text/plain": report_text(answer)}
        if answer.text:
            text = {"text/markdown": safe_markdown(answer.text), "text/plain": mask(answer.text)}
            self.show(text, metadata)
            self.publish(report)
        else:
            self.show(report, metadata)


def display_answer(shell: InteractiveShell, answer: Answer) -> None:
    """Show an answer that is at its end, as its cell showed it."""
    CellOutput(shell, captured=True).paint_end(answer)
