"""Ask several providers at once and show their answers side by side in one output of the cell.

All answers are repainted together while they grow, at intervals that get longer over time. The last state is always
painted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from nbretry.answer import Answer
from nbretry.events import Event, FirstContent
from nbretry.notebook.asking.user_variables import keep_in_shell, remember_shown, show_in
from nbretry.notebook.kernel.awaited_cells import wakeful_loop
from nbretry.notebook.output.repainted import Bundle, RepaintedOutput, provenance
from nbretry.renderers.compare import ComparisonConsole, column_text_html, comparison_html, comparison_text, headings
from nbretry.renderers.growing_text import GrowingHtml
from nbretry.session.question import Question
from nbretry.session.runs import PaintColumn, first_answered
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = [
    "COMPARISON_STOPPED",
    "COMPARISON_VARIABLE",
    "Comparison",
    "ComparisonOutput",
    "compare_in_shell",
    "display_comparison",
]

COMPARISON_VARIABLE = "_comparison"
COMPARISON_STOPPED = f"stopped; what there is of the answers is in {COMPARISON_VARIABLE}"


class Comparison(list[Answer]):
    """The answers of several providers to one question, in the order in which the providers were named.

    As the value of a cell it shows the answers side by side.

    Args:
        names: names of the providers.
        answers: one for each name.
    """

    def __init__(self, names: Sequence[str], answers: Iterable[Answer]) -> None:
        super().__init__(answers)
        self.names = list(names)


async def compare_in_shell(
    shell: InteractiveShell, question: Question, names: Sequence[str], into: str | None = None
) -> Comparison:
    """Ask several providers at once, show their answers in this shell, and keep them, however their runs ended.

    The user's ``_comparison`` gets all answers. They also become the last of ``_answers``, and the first complete one
    becomes ``_answer``; if none is complete, the first with text, or else the first.

    Args:
        shell: the user's shell.
        question: the question.
        names: names of the providers.
        into: name of another variable for all answers.

    Raises:
        RetryProviderError: every provider failed.
        Exception: as for `Session.compare`.
    """
    kept: list[Comparison] = []

    def keep(answers: list[Answer]) -> None:
        comparison = Comparison(names, answers)
        kept.append(comparison)
        shell.user_ns[COMPARISON_VARIABLE] = comparison
        keep_in_shell(shell, first_answered(comparison))
        show_in(shell)
        if into:
            shell.user_ns[into] = comparison
        remember_shown(comparison)

    with wakeful_loop():
        await default_session().compare(question, names, _renderer(shell, names), keep)
    return kept[-1]


def _renderer(shell: InteractiveShell, names: Sequence[str]) -> PaintColumn:
    if not hasattr(shell, "kernel"):
        return ComparisonConsole(sys.stdout, sys.stderr, headings(names))
    return ComparisonOutput(shell, names)


class ComparisonOutput(RepaintedOutput):
    """Renderer that paints a comparison into the running cell of a notebook.

    Args:
        shell: the shell whose running cell is painted into.
        names: names of the providers.
        captured: as for `RepaintedOutput`.
    """

    def __init__(self, shell: InteractiveShell, names: Sequence[str], captured: bool | None = None) -> None:
        super().__init__(shell, captured)
        self._headings = headings(names)
        self._answers = [Answer()] * len(names)
        self._texts = [GrowingHtml(partial(column_text_html, is_part=True)) for _ in names]
        column_text_html("")  # loads the parser now, so that this is not part of a measured time to the first token

    def __call__(self, column: int, event: Event, answer: Answer) -> None:
        """Paint this event, now or soon; the last state is always painted."""
        self._answers[column] = answer
        if isinstance(event, FirstContent):
            self.content_came()
        if all(one.duration is not None for one in self._answers):
            self.cancel_paint()
            self.paint_end(self._answers)
        else:
            self.paint_soon()

    def picture(self) -> Bundle:
        """Return all answers so far, side by side."""
        texts = [column.of(answer.text) for column, answer in zip(self._texts, self._answers, strict=True)]
        return {"text/html": comparison_html(self._headings, self._answers, texts)}

    def paint_end(self, answers: Sequence[Answer]) -> None:
        """Paint the answers when all of them have ended."""
        data = {
            "text/html": comparison_html(self._headings, answers),
            "text/plain": comparison_text(self._headings, answers),
        }
        self.places.leave([(data, {"nbretry": {"compare": [provenance(answer) for answer in answers]}})])


def display_comparison(shell: InteractiveShell, comparison: Comparison) -> None:
    """Show a comparison that has ended, as its own cell showed it."""
    ComparisonOutput(shell, comparison.names, captured=True).paint_end(comparison)
