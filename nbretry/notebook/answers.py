"""The answers that a user's variables hold: how they are shown where they are a cell's value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from nbretry.answer import Answer
from nbretry.notebook.asking import forget_shown
from nbretry.renderers.answer import answers_html, answers_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Answers", "show_in"]


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


def show_in(shell: InteractiveShell) -> None:
    """Let an answer that is a cell's value be shown as its own cell showed it, and in that cell not twice.

    `nbretry.ask` needs this where the extension is not loaded; where it is, or at a second call, this does nothing.

    Args:
        shell: the user's.
    """
    if shell.display_formatter is None or Answer in shell.display_formatter.ipython_display_formatter:
        return

    def show(answer: Answer) -> None:
        from nbretry.notebook.answering import show_answer

        show_answer(shell, answer)

    shell.display_formatter.ipython_display_formatter.for_type(Answer, show)
    shell.events.register("pre_run_cell", _begin_cell)


def _begin_cell(info: Any) -> None:
    forget_shown()
