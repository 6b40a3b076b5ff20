"""``%nbretry reset``: end the rests of providers that have failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbretry.doctor import names_in
from nbretry.notebook.commands.showing import Output
from nbretry.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Let these providers, or all, be asked again at once."""
    names, session = names_in(words), default_session()
    session.health.reset(None if names is None else [session.provider(name) for name in names])
    Output(shell).show_line(f"{'everybody' if names is None else ', '.join(names)} may be asked again at once")
