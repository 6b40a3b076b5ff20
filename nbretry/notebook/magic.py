"""``%%ask`` and ``%ask``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from IPython.core.magic import no_var_expand

from nbretry.answer import Answer
from nbretry.notebook import awaiting, lines
from nbretry.notebook.asking import STOPPED, ask_in_shell, forget_shown, was_shown
from nbretry.notebook.comparing import COMPARISON_STOPPED, Comparison, compare_in_shell, display_comparison
from nbretry.options import Asked, magic_help, parse_magic_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["ask_cell", "register", "unregister"]


class AskMagic:
    """The magic of one shell.

    Args:
        shell: where it is registered.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._cells = awaiting.AwaitedCells(
            shell, "ask", f"__import__({__name__!r}, fromlist=['ask_cell']).ask_cell", self._is_registered
        )

        # IPython shows this function's docstring for %%ask?, and reads from it that {…} and $… of a line stay as typed.
        def ask(line: str, cell: str | None = None) -> Answer | Comparison | None:
            return self._run(line, cell)

        no_var_expand(ask)
        ask.__doc__ = magic_help()
        self._function = ask

    def install(self) -> None:
        """Register the magic and what lets cells be awaited."""
        self._shell.register_magic_function(self._function, "line_cell", "ask")  # type: ignore[arg-type]  # typed as a method
        self._cells.install()
        lines.install(self._shell)
        self._shell.events.register("pre_run_cell", self._forget_shown)
        self._display_formatter().for_type(Answer, self._show)
        self._display_formatter().for_type(Comparison, self._show_comparison)

    def uninstall(self) -> None:
        """Undo `install`."""
        if self._is_registered():
            for kind in ("line", "cell"):
                del self._shell.magics_manager.magics[kind]["ask"]
        self._cells.uninstall()
        lines.uninstall(self._shell)
        self._shell.events.unregister("pre_run_cell", self._forget_shown)
        self._display_formatter().pop(Answer, None)
        self._display_formatter().pop(Comparison, None)

    async def run_awaited(self, line: str, cell: str) -> None:
        """Ask from a cell that the kernel awaits."""
        asked = parse_magic_line(line, cell)
        try:
            await self._ask(asked)
            return
        except asyncio.CancelledError:
            pass  # raised below, outside, so that no chain of exceptions is shown with it
        raise _stopped(asked)

    def _run(self, line: str, cell: str | None) -> Answer | Comparison | None:
        asked = parse_magic_line(line, cell)
        try:
            answer = awaiting.run(lambda: self._ask(asked))
            return answer if cell is None else None
        except KeyboardInterrupt:
            pass
        raise _stopped(asked)

    async def _ask(self, asked: Asked) -> Answer | Comparison:
        if asked.compare is not None:
            return await compare_in_shell(self._shell, asked.question, asked.compare, asked.into)
        return await ask_in_shell(self._shell, asked.question, asked.into)

    def _show(self, answer: Answer) -> None:
        """Show an answer that is the value of a cell, unless this cell has shown it while it came."""
        if not was_shown(answer):
            from nbretry.notebook.output import display_answer

            display_answer(self._shell, answer)

    def _show_comparison(self, comparison: Comparison) -> None:
        if not was_shown(comparison):
            display_comparison(self._shell, comparison)

    def _forget_shown(self, info: Any) -> None:
        forget_shown()

    def _display_formatter(self) -> Any:
        assert self._shell.display_formatter is not None  # every shell that can display has one
        return self._shell.display_formatter.ipython_display_formatter

    def _is_registered(self) -> bool:
        return self._shell.magics_manager.magics["cell"].get("ask") is self._function


def _stopped(asked: Asked) -> awaiting.Stopped:
    return awaiting.Stopped(STOPPED if asked.compare is None else COMPARISON_STOPPED)


_magics: dict[InteractiveShell, AskMagic] = {}


async def ask_cell(line: str, cell: str) -> None:
    """What a rewritten ``%%ask`` cell awaits."""
    from IPython import get_ipython

    await _magics[get_ipython()].run_awaited(line, cell)


def register(shell: InteractiveShell) -> None:
    """Give a shell ``%%ask`` and ``%ask``; a second call does nothing."""
    if shell not in _magics:
        magic = _magics[shell] = AskMagic(shell)
        magic.install()


def unregister(shell: InteractiveShell) -> None:
    """Take them away again."""
    magic = _magics.pop(shell, None)
    if magic is not None:
        magic.uninstall()
