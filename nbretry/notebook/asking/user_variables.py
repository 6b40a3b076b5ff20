"""Keep answers in the user's variables, and show them when they are a cell's value."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from nbretry.answer import Answer
from nbretry.renderers.answer import answers_html, answers_text
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = [
    "ANSWERS_VARIABLE",
    "ANSWER_VARIABLE",
    "Answers",
    "forget_shown",
    "keep_in_shell",
    "keep_late_in_shell",
    "remember_shown",
    "show_answer",
    "show_in",
    "was_shown",
]

ANSWER_VARIABLE = "_answer"
ANSWERS_VARIABLE = "_answers"


class Answers(list[Answer]):
    """A list of answers that is displayed as a table; so is a slice of it."""

    @overload
    def __getitem__(self, place: SupportsIndex, /) -> Answer: ...
    @overload
    def __getitem__(self, place: slice, /) -> Answers: ...
    def __getitem__(self, place: SupportsIndex | slice, /) -> Answer | Answers:
        found = super().__getitem__(place)
        return found if isinstance(found, Answer) else Answers(found)

    def __repr__(self) -> str:
        return answers_text(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/html": answers_html(self), "text/plain": answers_text(self)}


def keep_in_shell(shell: InteractiveShell, answer: Answer, into: str | None = None) -> None:
    """Put an answer into the user's variables, and the session's last answers into ``_answers``.

    Args:
        shell: the user's shell.
        answer: becomes ``_answer``.
        into: name of another variable for the answer.
    """
    shell.user_ns[ANSWER_VARIABLE] = answer
    shell.user_ns[ANSWERS_VARIABLE] = Answers(default_session().answers)
    if into:
        shell.user_ns[into] = answer


def keep_late_in_shell(shell: InteractiveShell, answer: Answer) -> None:
    """Do the same as `keep_in_shell` for an answer that may have ended after its cell.

    ``_answer`` stays the answer to the question that was asked last.

    Args:
        shell: the user's shell.
        answer: becomes ``_answer``, unless that is the answer to a later question.
    """
    before = shell.user_ns.get(ANSWER_VARIABLE)
    was_asked_later = isinstance(before, Answer) and (before.started_at or 0.0) > (answer.started_at or 0.0)
    keep_in_shell(shell, before if was_asked_later else answer)


_shown: list[object] = []
"""The answers and comparisons that the running cell has shown while they streamed.

They are not shown again as the cell's value.
"""


def remember_shown(value: object) -> None:
    """Remember that the running cell has shown this answer or comparison."""
    _shown.append(value)


def was_shown(value: object) -> bool:
    """Return whether the running cell has shown this answer or comparison already."""
    return any(value is shown for shown in _shown)


def forget_shown() -> None:
    """Forget what has been shown, as a new cell begins."""
    _shown.clear()


def show_answer(shell: InteractiveShell, answer: Answer) -> None:
    """Show an answer that is the value of a cell, unless this cell has shown it while it streamed."""
    if not was_shown(answer):
        from nbretry.notebook.output.cell_output import display_answer

        display_answer(shell, answer)


def show_in(shell: InteractiveShell) -> None:
    """Register a formatter that shows an answer that is a cell's value as its own cell showed it, but not twice there.

    `nbretry.ask` needs this if the extension is not loaded. If it is, or at a second call, this does nothing.

    Args:
        shell: the user's shell.
    """
    if shell.display_formatter is None or Answer in shell.display_formatter.ipython_display_formatter:
        return

    from nbretry.notebook.cells import recorder

    recorder.register(shell)  # an answer is shown in the place of its own outputs only if it knows of all others
    shell.display_formatter.ipython_display_formatter.for_type(Answer, partial(show_answer, shell))
    shell.events.register("pre_run_cell", _begin_cell)


def _begin_cell(info: Any) -> None:
    forget_shown()
