"""Show a run in the output of a cell, as ordinary outputs that need no kernel once they are saved.

While an answer arrives, its finished parts are sent once, each as an output of its own, and the tail is repainted. At
the end they are replaced by one output with the whole answer, followed by the report.

Before the text arrives, the output shows the last lines of the model's reasoning, if it gives any. When the text
begins, the reasoning becomes a collapsed output above it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from nbretry.answer import Answer
from nbretry.attempts import Attempt
from nbretry.events import (
    AttemptFailed,
    Event,
    FirstContent,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
)
from nbretry.notebook.output.repainted import Bundle, RepaintedOutput, WholeAnswer, provenance
from nbretry.renderers.by_format import bundle_of
from nbretry.renderers.code_colours import HAS_CODE, STYLE_SHEET
from nbretry.renderers.growing_text import GrowingHtml, GrowingText
from nbretry.renderers.painter import LONGEST_DRAWN, answer_html, with_style
from nbretry.renderers.reasoning import ThoughtTail, reasoning_html, reasoning_text, thinking_html
from nbretry.renderers.report import report_html, report_text, status_line
from nbretry.renderers.tables import line_html
from nbretry.types import Format

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["CellOutput", "display_answer"]


class CellOutput(RepaintedOutput):
    """Renderer for a cell of a notebook.

    Args:
        shell: the shell whose running cell is painted into.
        captured: as for `RepaintedOutput`.
        output_format: the format of the answer.
        publish: as for `RepaintedOutput`. If it is given, the answer is one output from the beginning.
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
        self._in_parts = output_format == "markdown" and publish is None
        self._answer = Answer()
        self._tail = ThoughtTail()
        self._thinking = False
        self._reasoned_by: int | None = None
        self._text = GrowingText()
        self._parts = 0
        self._is_styled = False
        self._whole = GrowingHtml(partial(answer_html, is_part=True))
        self._end = WholeAnswer(partial(bundle_of, output_format, final=True))
        self.prepare = self._end.prepare

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
            if isinstance(event, AttemptFailed) and not answer.text:
                self._text, self._parts, self._is_styled = GrowingText(), 0, False  # what there was is withdrawn
            if isinstance(event, RunStarted) or not answer.text:
                self.paint_now()

    def paint(self) -> None:
        """Show the answer so far, below its collapsed reasoning, or what is going on before it."""
        answer = self._answer
        if not answer.text:
            self._reasoned_by = None
            self.show(self._waiting())
            self.places.blank_from(1)
            return
        place = self._collapse_reasoning(answer)
        if self._in_parts:
            parts, tail = self._text.feed(answer.text) if len(answer.text) <= LONGEST_DRAWN else ([], "")
            drawn = [answer_html(part, is_part=True) for part in (*parts, tail)]
            if not self._is_styled and any(HAS_CODE in html for html in drawn):
                self._is_styled = True
                drawn.insert(0, STYLE_SHEET)  # once, for all parts
            for html in drawn[:-1]:
                self.show({"text/html": html}, place=place + self._parts)
                self._parts += 1
            self.show({"text/html": drawn[-1] + line_html(_progress(answer))}, place=place + self._parts)
            self.places.blank_from(place + self._parts + 1)
        else:
            if self._format == "markdown":
                shown = with_style(self._whole.of(answer.text))
            else:
                shown = bundle_of(self._format, answer.text, final=False)["text/html"]
            self.show({"text/html": shown + line_html(_progress(answer))}, place=place)
            self.places.blank_from(place + 1)

    def _collapse_reasoning(self, answer: Answer) -> int:
        """Show the reasoning collapsed above the answer, if there was any before the text.

        Here it is shown once. What comes after the text has begun is added at the end, see `paint_end`.

        Returns:
            The place of the next output.
        """
        attempt = answer.reasoned_by
        if attempt is None or (self._reasoned_by is None and self._parts):
            self._reasoned_by = None
            return 0
        if self._reasoned_by != attempt.number:
            self._reasoned_by = attempt.number
            self.show({"text/html": reasoning_html(answer), "text/plain": reasoning_text(answer)})
        return 1

    def _waiting(self) -> Bundle:
        """Return what is going on before the answer's text."""
        line = status_line(self._answer)
        running = [attempt for attempt in self._answer.attempts if attempt.state == "running"]
        thinker = next((attempt for attempt in reversed(running) if attempt.reasoning), None)
        thought = "" if thinker is None else thinking_html(thinker.path, self._tail.of(thinker))
        shown = "\n".join(line.splitlines()[:-1]) if thought else line
        html = line_html(shown) if shown else ""
        return {"text/html": html + thought, "text/plain": line}

    def paint_end(self, answer: Answer) -> None:
        """Paint an answer that has ended, and its report."""
        outputs: list[tuple[Bundle, Bundle | None]] = []
        if answer.reasoned_by is not None:
            outputs.append(({"text/html": reasoning_html(answer), "text/plain": reasoning_text(answer)}, None))
        if answer.text:
            outputs.append((self._end.of(answer.text), {"nbretry": provenance(answer)}))
        report = {"text/html": report_html(answer), "text/plain": report_text(answer)}
        outputs.append((report, None if answer.text else {"nbretry": provenance(answer)}))
        self.places.leave(outputs)


def _progress(answer: Answer) -> str:
    """Return the line below an answer that is still arriving: who is answering, and whose text was withdrawn."""
    line = f"… {answer.provider or ''}"
    if answer.attempt is not None and answer.attempt.model:
        line += f" · {answer.attempt.model}"
    if len(answer.text) > LONGEST_DRAWN:
        line += f" · {len(answer.text):,} characters so far"
    withdrawn = [attempt for attempt in answer.attempts if attempt.given_up]
    return line + "".join(f" · {_withdrawn(attempt)}" for attempt in withdrawn[-1:])


def _withdrawn(attempt: Attempt) -> str:
    return f"the text of {attempt.path}, which broke off, was withdrawn"


def display_answer(shell: InteractiveShell, answer: Answer) -> None:
    """Show a complete answer, as its cell showed it."""
    CellOutput(shell, captured=True).paint_end(answer)
