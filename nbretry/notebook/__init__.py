"""The floor that knows IPython: the magics, their output in a cell, and `ask`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbretry.notebook.asking import ask

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["ask", "load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext nbretry`` does: register ``%%ask``, ``%ask`` and ``%nbretry``."""
    from nbretry.notebook import command, magic

    magic.register(shell)
    command.register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> Any:
    """What ``%unload_ext nbretry`` does: take ``%%ask``, ``%ask`` and ``%nbretry`` away again."""
    from nbretry.notebook import command, magic

    magic.unregister(shell)
    command.unregister(shell)
