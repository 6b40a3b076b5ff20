"""Paint a run into the running cell, as ordinary outputs that need no kernel once they are saved.

The answer is one output that is repainted while it grows; the report is a second output that comes at the end. If the
model sends reasoning, the end of it is shown until the answer's text begins. From then on the reasoning is folded, in
an output of its own above the answer.
"""

from __future__ import annotations

from collections.abc import Callable
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
from nbretry.notebook.output.repainted import Bundle, RepaintedOutput, provenance
from nbretry.renderers.by_format import bundle_of
from nbretry.renderers.reasoning import ThoughtTail, reasoning_html, reasoning_text, thinking_html
from nbretry.renderers.report import report_html, report_text, status_line
from nbretry.renderers.tables import line_html
from nbretry.types import Format

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["CellOutput", "display_answer"]


class CellOutput(RepaintedOutput):
    """Renderer that paints a run into the running cell of a notebook.

    Args:
        shell: the shell whose running cell is painted into.
        captured: as for `RepaintedOutput`.
        output_format: the format that the answer should have.
        publish: as for `RepaintedOutput`.
    """

    def __init__(
        self,
        shell: InteractiveShell,
        captured: bool | None = None,
        output_format: Format = "markdown",
        publish: Callable[..., None] | None = None,
    ) -> None:
        super().__init__(shell, captured, publish)
        self._format = output_format
        self._answer = Answer()
        self._tail = ThoughtTail()
        self._thinking = False
        self._folded: tuple[int, str] | None = None

    def __call__(self, event: Event, answer: Answer) -> None:
        """Paint this event, now or soon; the last state is always painted."""
        self._answer = answer
        if isinstance(event, RunCompleted | RunFailed | RunCancelled):
            self.cancel_paint()
            self.paint_end(answer)
        elif isinstance(event, TextDelta | ReasoningDelta):
            if isinstance(event, ReasoningDelta) and not answer.text:
                self._thinking = True
                self.content_came()
            self.paint_soon()
        else:
            if isinstance(event, FirstContent):
                self.content_came(anew=self._thinking)
                self._thinking = False
            if isinstance(event, RunStarted) or not answer.text:
                self.paint_now()

    def paint(self) -> None:
        """Show the answer so far, below its folded reasoning; before its text begins, show the status."""
        answer = self._answer
        place = 0
        if not answer.text:
            self._folded = None
            self.show(self._waiting())
        else:
            place = self._fold_reasoning(answer)
            self.show(bundle_of(self._format, answer.text, final=False), place=place)
        self.blank_from(place + 1)

    def _fold_reasoning(self, answer: Answer) -> int:
        """Show the reasoning above the answer, if there is any.

        It is painted when the text begins, and again at the end if it has grown since.

        Returns:
            The index of the next output.
        """
        attempt = answer.reasoned_by
        if attempt is None:
            self._folded = None
            return 0
        if self._folded is None or self._folded[0] != attempt.number or answer.duration is not None:
            html = reasoning_html(answer)
            if self._folded != (attempt.number, html):
                self.show({"text/html": html, "text/plain": reasoning_text(answer)})
            self._folded = attempt.number, html
        return 1

    def _waiting(self) -> Bundle:
        """Return what to show before the answer's text: the status and the end of the reasoning."""
        line = status_line(self._answer)
        running = [attempt for attempt in self._answer.attempts if attempt.state == "running"]
        thinker = next((attempt for attempt in reversed(running) if attempt.reasoning), None)
        thought = "" if thinker is None else thinking_html(thinker.path, self._tail.of(thinker))
        shown = "\n".join(line.splitlines()[:-1]) if thought else line
        html = line_html(shown) if shown else ""
        return {"text/html": html + thought, "text/plain": line}

    def paint_end(self, answer: Answer) -> None:
        """Paint an answer that has ended, and its report."""
        metadata = {"nbretry": provenance(answer)}
        report = {"text/html": report_html(answer), "text/plain": report_text(answer)}
        place = self._fold_reasoning(answer)
        if answer.text:
            self.show(bundle_of(self._format, answer.text, final=True), metadata, place)
            self.show(report, place=place + 1)
        else:
            self.show(report, metadata, place)
        self.blank_from(place + 1 + bool(answer.text))


def display_answer(shell: InteractiveShell, answer: Answer) -> None:
    """Show an answer that has ended, as its own cell showed it."""
    CellOutput(shell, captured=True).paint_end(answer)
