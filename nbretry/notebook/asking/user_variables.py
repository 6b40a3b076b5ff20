"""The answers in a user's variables, and how they are shown where they are a cell's value."""

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
    """A list of answers that shows itself as a table; so does a slice of it."""

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
    """Put an answer into the user's variables.

    Args:
        shell: the user's.
        answer: becomes ``_answer``, and the last of ``_answers``.
        into: another variable for it.
    """
    shell.user_ns[ANSWER_VARIABLE] = answer
    shell.user_ns[ANSWERS_VARIABLE] = Answers(default_session().answers)
    if into:
        shell.user_ns[into] = answer


def keep_late_in_shell(shell: InteractiveShell, answer: Answer) -> None:
    """The same for an answer that may have ended after its cell: ``_answer`` stays that of the one asked last.

    Args:
        shell: the user's.
        answer: becomes the last of ``_answers``.
    """
    before = shell.user_ns.get(ANSWER_VARIABLE)
    was_asked_later = isinstance(before, Answer) and (before.started_at or 0.0) > (answer.started_at or 0.0)
    keep_in_shell(shell, before if was_asked_later else answer)


_shown: list[object] = []
"""What the running cell has shown while it came, so that it is not shown again as the cell's value."""


def remember_shown(value: object) -> None:
    """The running cell has shown this answer or comparison."""
    _shown.append(value)


def was_shown(value: object) -> bool:
    """Whether the running cell has shown this answer or comparison already."""
    return any(value is shown for shown in _shown)


def forget_shown() -> None:
    """A new cell runs, in which nothing has been shown."""
    _shown.clear()


def show_answer(shell: InteractiveShell, answer: Answer) -> None:
    """Show an answer that is the value of a cell, unless this cell has shown it while it came."""
    if not was_shown(answer):
        from nbretry.notebook.output.cell_output import display_answer

        display_answer(shell, answer)


def show_in(shell: InteractiveShell) -> None:
    """Let an answer that is a cell's value be shown as its own cell showed it, and in that cell not twice.

    `nbretry.ask` needs this where the extension is not loaded; where it is, or at a second call, this does nothing.

    Args:
        shell: the user's.
    """
    if shell.display_formatter is None or Answer in shell.display_formatter.ipython_display_formatter:
        return

    shell.display_formatter.ipython_display_formatter.for_type(Answer, partial(show_answer, shell))
    shell.events.register("pre_run_cell", _begin_cell)


def _begin_cell(info: Any) -> None:
    forget_shown()
