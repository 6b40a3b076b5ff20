"""Run ``%%ask`` and ``%ask``. This module is loaded at the first question, together with the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbretry.notebook.asking.ask import STOPPED, ask_in_shell
from nbretry.notebook.asking.compare import COMPARISON_STOPPED, Comparison, compare_in_shell, display_comparison
from nbretry.notebook.asking.prepare import Prepared, prepare
from nbretry.notebook.asking.user_variables import was_shown
from nbretry.notebook.kernel import awaited_cells
from nbretry.session.options import Asked, parse_magic_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["answer_awaited", "answer_now", "answer_prepared", "show_comparison"]


async def answer_awaited(shell: InteractiveShell, line: str, cell: str) -> None:
    """Ask from a cell that the kernel awaits.

    Args:
        shell: the user's shell.
        line: the text after ``%%ask``.
        cell: the lines below it.
    """
    prepared = _prepare(shell, line, cell, shell.user_ns)
    if _is_shown_at_once(shell, prepared):
        return
    if prepared.asked.background:
        _start(shell, prepared)
        return
    try:
        await _ask(shell, prepared)
        return
    except asyncio.CancelledError:
        pass  # raised below, outside the handler, so that no chain of exceptions is shown
    raise _stopped(prepared.asked)


def answer_now(shell: InteractiveShell, line: str, cell: str | None, local_ns: Mapping[str, Any] | None) -> Any:
    """Ask from code that cannot await.

    Args:
        shell: the user's shell.
        line: the text after ``%ask`` or ``%%ask``.
        cell: the lines below it; None for ``%ask``.
        local_ns: local variables of the function that asks; None at the top level.

    Returns:
        For ``%ask`` what `answer_prepared` returns; for ``%%ask`` None.
    """
    variables = shell.user_ns
    answer = answer_prepared(
        shell, _prepare(shell, line, cell, variables if local_ns is None else {**variables, **local_ns})
    )
    return answer if cell is None else None


def answer_prepared(shell: InteractiveShell, prepared: Prepared) -> Any:
    """Ask, start in the background or show what would be sent, as the options say, from code that cannot await.

    Args:
        shell: the user's shell.
        prepared: the question and its options.

    Returns:
        The `Answer`, the value that its format makes of it, a `Comparison` or a `BackgroundAnswer`; None for a dry run.

    Raises:
        KeyboardInterrupt: the user interrupted.
    """
    if _is_shown_at_once(shell, prepared):
        return None
    if prepared.asked.background:
        return _start(shell, prepared)
    try:
        return awaited_cells.run(lambda: _ask(shell, prepared))
    except KeyboardInterrupt:
        pass  # raised below, outside the handler, so that no chain of exceptions is shown
    raise _stopped(prepared.asked)


def show_comparison(shell: InteractiveShell, comparison: Comparison) -> None:
    """Show a comparison that is the value of a cell, unless this cell has shown it while it streamed."""
    if not was_shown(comparison):
        display_comparison(shell, comparison)


def _prepare(shell: InteractiveShell, line: str, cell: str | None, namespace: Mapping[str, Any]) -> Prepared:
    return prepare(shell, parse_magic_line(line, cell), namespace)


def _is_shown_at_once(shell: InteractiveShell, prepared: Prepared) -> bool:
    """Show what would be sent if this is a dry run, and return whether it is one."""
    if prepared.asked.dry_run:
        from nbretry.notebook.asking.dry_run import show_dry_run

        show_dry_run(shell, prepared)
    return prepared.asked.dry_run


def _start(shell: InteractiveShell, prepared: Prepared) -> Any:
    from nbretry.notebook.asking.background import start

    return start(shell, prepared)


async def _ask(shell: InteractiveShell, prepared: Prepared) -> Any:
    asked = prepared.asked
    if asked.compare is not None:
        return await compare_in_shell(shell, prepared.question, asked.compare, asked.into)
    return await ask_in_shell(shell, prepared)


def _stopped(asked: Asked) -> awaited_cells.Stopped:
    return awaited_cells.Stopped(STOPPED if asked.compare is None else COMPARISON_STOPPED)
