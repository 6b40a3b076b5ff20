"""The magics ``%%ask`` and ``%ask``, as they are registered in a shell.

``%load_ext`` waits until this module is imported, so it imports little. The work is done in
`nbretry.notebook.asking.run`, which is imported at the first question.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.magic import needs_local_scope, no_var_expand

from nbretry.notebook.kernel import awaited_cells
from nbretry.notebook.kernel.per_shell import PerShell
from nbretry.notebook.magics import line_questions

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbretry.answer import Answer
    from nbretry.notebook.asking.compare import Comparison

__all__ = ["AskMagic", "ask_cell", "register", "unregister"]

_ANSWER = ("nbretry.answer", "Answer")
_COMPARISON = ("nbretry.notebook.asking.compare", "Comparison")


class AskMagic:
    """The ``%%ask`` and ``%ask`` magic of one shell.

    Args:
        shell: the IPython shell to register it in.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._cells = awaited_cells.AwaitedCells(
            shell, "ask", f"__import__({__name__!r}, fromlist=['ask_cell']).ask_cell", self._is_registered
        )

        # Attributes of this function tell IPython to keep {…} and $… in a line as typed, and what %%ask? shows.
        def ask(line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
            """Ask a language model. If a provider fails, nbretry asks the next one."""
            from nbretry.notebook.asking.run import answer_now

            return answer_now(shell, line, cell, local_ns)

        no_var_expand(ask)
        needs_local_scope(ask)
        ask.getdoc = _help  # type: ignore[attr-defined]
        self._function = ask

    def install(self) -> None:
        """Register the magic, the transformers of cells and lines, and the display of answers and comparisons."""
        self._shell.register_magic_function(self._function, "line_cell", "ask")  # type: ignore[arg-type]  # typed as a method
        self._cells.install()
        line_questions.install(self._shell)
        self._shell.events.register("pre_run_cell", self._forget_shown)
        self._display_formatter().for_type_by_name(*_ANSWER, self._show_answer)
        self._display_formatter().for_type_by_name(*_COMPARISON, self._show_comparison)

    def uninstall(self) -> None:
        """Undo `install`."""
        if self._is_registered():
            for kind in ("line", "cell"):
                del self._shell.magics_manager.magics[kind]["ask"]
        self._cells.uninstall()
        line_questions.uninstall(self._shell)
        self._shell.events.unregister("pre_run_cell", self._forget_shown)
        for module, name in (_ANSWER, _COMPARISON):
            self._display_formatter().pop(f"{module}.{name}", None)

    def _show_answer(self, answer: Answer) -> None:
        from nbretry.notebook.asking.user_variables import show_answer

        show_answer(self._shell, answer)

    def _show_comparison(self, comparison: Comparison) -> None:
        from nbretry.notebook.asking.run import show_comparison

        show_comparison(self._shell, comparison)

    def _forget_shown(self, info: Any) -> None:
        # If the module is not imported yet, no answer has been shown, so do not import it for this.
        forget = getattr(sys.modules.get("nbretry.notebook.asking.user_variables"), "forget_shown", None)
        if forget is not None:
            forget()

    def _display_formatter(self) -> Any:
        assert self._shell.display_formatter is not None  # every shell that can display has one
        return self._shell.display_formatter.ipython_display_formatter

    def _is_registered(self) -> bool:
        return self._shell.magics_manager.magics["cell"].get("ask") is self._function


def _help() -> str:
    from nbretry.session.options import magic_help

    return magic_help()


async def ask_cell(line: str, cell: str) -> None:
    """Answer the question of a ``%%ask`` cell that was rewritten to await this."""
    from IPython import get_ipython

    from nbretry.notebook.asking.run import answer_awaited

    await answer_awaited(get_ipython(), line, cell)


_magics = PerShell(AskMagic)
register, unregister = _magics.register, _magics.unregister
