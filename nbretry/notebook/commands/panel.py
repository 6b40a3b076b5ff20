"""``%nbretry panel``: the same as ``%%ask`` in a panel, with a provider picker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Show a panel that offers the providers that are asked where nobody is named, or these."""
    from nbretry.notebook.panel import panel

    shell.display_pub.publish(panel(words)._repr_mimebundle_())
