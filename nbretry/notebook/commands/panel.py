"""``%nbretry panel``: show a panel that asks like ``%%ask``, with a provider picker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Show the panel. If the words name providers, it offers those."""
    from nbretry.notebook.panel.widget import panel

    panel(words or None)._ipython_display_()
