"""A single output of the running cell, as the subcommands of ``%nbretry`` and ``%%ask --dry-run`` use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbretry.notebook.output.places import Bundle, Places, is_captured
from nbretry.renderers.tables import line_html

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Output"]


class Output:
    """One output of the running cell, which can show a temporary line first.

    Args:
        shell: the shell whose cell is running.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        # Neither a capture nor a terminal can replace an output.
        self._places = Places(shell, once=is_captured(shell) or not hasattr(shell, "kernel"))

    def show_for_now(self, line: str) -> None:
        """Show a line until something else is shown."""
        self._places.show(0, _bundle(line_html(line), line))
        self._places.painted()

    def show_line(self, line: str) -> None:
        """Show a line of text."""
        self.show(line_html(line), line)

    def show(self, html: str, text: str) -> None:
        """Show HTML with its plain text, in place of what was shown before."""
        self._places.leave([(_bundle(html, text), None)])


def _bundle(html: str, text: str) -> Bundle:
    return {"text/html": html, "text/plain": text}
