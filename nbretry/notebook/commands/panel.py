"""``%nbretry panel``: the same as ``%%ask`` in a panel, with a provider picker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbretry.doctor import names_in
from nbretry.errors import ConfigError
from nbretry.notebook.panel_state import PanelState
from nbretry.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Show a panel that offers the providers that are asked where nobody is named, or these."""
    if not hasattr(shell, "kernel"):
        raise ConfigError("the panel needs a notebook; in a terminal ask with %ask, or with nbretry ask")
    state = PanelState(default_session(), names_in(words))
    from nbretry.notebook.panel import Panel

    shell.display_pub.publish(Panel(shell, state)._repr_mimebundle_())
