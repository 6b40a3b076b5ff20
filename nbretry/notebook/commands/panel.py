"""``%nbretry panel``: the same as ``%%ask`` in a panel, with a provider picker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Show the panel, with these providers where some are named."""
    from nbretry.notebook.panel.widget import panel

    panel(words or None)._ipython_display_()
