"""A single output of the running cell, as the subcommands of ``%nbretry`` and ``%%ask --dry-run`` use it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from nbretry.notebook.output.repainted import is_captured
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
        self._shell = shell
        self._display_id = uuid.uuid4().hex
        self._shown = False
        # Neither a capture nor a terminal can replace an output.
        self._only_once = is_captured(shell) or not hasattr(shell, "kernel")

    def show_for_now(self, line: str) -> None:
        """Show a line until something else is shown."""
        if not self._only_once:
            self.show_line(line)

    def show_line(self, line: str) -> None:
        """Show a line of text."""
        self.show(line_html(line), line)

    def show(self, html: str, text: str) -> None:
        """Show HTML with its plain text, in place of what was shown before."""
        data: dict[str, Any] = {"text/html": html, "text/plain": text}
        if self._only_once:
            self._shell.display_pub.publish(data)
            return
        self._shell.display_pub.publish(data, transient={"display_id": self._display_id}, update=self._shown)
        self._shown = True
