"""Several providers asked at once, their answers side by side in one output of the cell.

The output is repainted while the answers grow, all of them together, at intervals that grow with them; the last state
is always painted.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nbretry.answer import Answer
from nbretry.events import Event
from nbretry.notebook.asking import ANSWER_VARIABLE, remember_shown
from nbretry.notebook.awaiting import wakeful_loop
from nbretry.notebook.output import _is_captured, _provenance
from nbretry.renderers.compare import ComparisonConsole, comparison_html, comparison_text, headings, markdown_html
from nbretry.session import PaintColumn, Question, default_session, first_answered

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = [
    "ANSWERS_VARIABLE",
    "COMPARISON_STOPPED",
    "Comparison",
    "ComparisonOutput",
    "compare_in_shell",
    "display_comparison",
]

ANSWERS_VARIABLE = "_answers"
COMPARISON_STOPPED = f"stopped; what there is of the answers is in {ANSWERS_VARIABLE}"

_SHORTEST_INTERVAL = 0.06
_LONGEST_INTERVAL = 1.0
_INTERVAL_PER_SECOND = 0.02
_INTERVALS_PER_PAINT = 5  # long texts take a while to become HTML: the loop is for the streams first


class Comparison(list[Answer]):
    """The answers of several providers to one question, in the order in which those were named.

    As the value of a cell it shows them side by side.

    Args:
        names: of the providers.
        answers: one for each name.
    """

    def __init__(self, names: Sequence[str], answers: Iterable[Answer]) -> None:
        super().__init__(answers)
        self.names = list(names)


async def compare_in_shell(
    shell: InteractiveShell, question: Question, names: Sequence[str], into: str | None = None
) -> Comparison:
    """Ask several at once, show their answers where this shell shows things, and keep them, however they ended.

    All are kept in the user's ``_answers``, and the first that is whole in ``_answer``.

    Args:
        shell: the user's.
        question: what is asked.
        names: of the providers.
        into: another variable for all answers.

    Raises:
        RetryProviderError: nobody answered.
        Exception: as for `Session.compare`.
    """
    kept: list[Comparison] = []

    def keep(answers: list[Answer]) -> None:
        comparison = Comparison(names, answers)
        kept.append(comparison)
        shell.user_ns[ANSWERS_VARIABLE] = comparison
        shell.user_ns[ANSWER_VARIABLE] = first_answered(comparison)
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


class ComparisonOutput:
    """Renderer for a cell of a notebook.

    Args:
        shell: the shell whose running cell is painted into.
        names: of the providers.
    """

    def __init__(self, shell: InteractiveShell, names: Sequence[str]) -> None:
        self._shell = shell
        self._headings = headings(names)
        self._answers = [Answer()] * len(names)
        self._display_id = uuid.uuid4().hex
        self._captured = _is_captured(shell)
        self._shown = False
        self._painted_at = 0.0
        self._paint_took = 0.0
        self._content_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        markdown_html("")  # loads the parser now, and not while somebody's time to the first token is measured

    def __call__(self, column: int, event: Event, answer: Answer) -> None:
        """Paint this event, now or soon; the last state is always painted."""
        self._answers[column] = answer
        if all(one.duration is not None for one in self._answers):
            self.paint_end(self._answers)
        elif not self._captured:
            self._paint_soon()

    def paint_end(self, answers: Sequence[Answer]) -> None:
        """Paint answers that have all ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        data = {
            "text/html": comparison_html(self._headings, answers),
            "text/plain": comparison_text(self._headings, answers),
        }
        self._show(data, {"nbretry": {"compare": [_provenance(answer)["nbretry"] for answer in answers]}})

    def _paint_soon(self) -> None:
        if self._timer is not None:
            return
        wait = self._painted_at + self._interval() - time.monotonic()
        if wait <= 0:
            self._paint()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait, self._on_timer)

    def _interval(self) -> float:
        if self._content_since is None and any(answer.text for answer in self._answers):
            self._content_since = time.monotonic()
        streaming_for = 0.0 if self._content_since is None else time.monotonic() - self._content_since
        growing = min(_LONGEST_INTERVAL, max(_SHORTEST_INTERVAL, streaming_for * _INTERVAL_PER_SECOND))
        return max(growing, self._paint_took * _INTERVALS_PER_PAINT)

    def _on_timer(self) -> None:
        self._timer = None
        self._paint()

    def _paint(self) -> None:
        begun = time.monotonic()
        self._show({"text/html": comparison_html(self._headings, self._answers)}, {})
        self._painted_at = time.monotonic()
        self._paint_took = self._painted_at - begun

    def _show(self, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        if self._captured:
            self._shell.display_pub.publish(data, metadata)
            return
        self._shell.display_pub.publish(data, metadata, transient={"display_id": self._display_id}, update=self._shown)
        self._shown = True


def display_comparison(shell: InteractiveShell, comparison: Comparison) -> None:
    """Show a comparison that is at its end, as its cell showed it."""
    output = ComparisonOutput(shell, comparison.names)
    output._captured = True
    output.paint_end(comparison)
