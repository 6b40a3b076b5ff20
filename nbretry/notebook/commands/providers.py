"""``%nbretry providers``: show which providers can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbretry.notebook.output.single_output import Output
from nbretry.renderers.roster import roster_html, roster_text
from nbretry.session.options import names_in
from nbretry.session.plan import roster
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Show the named providers, or those that are asked by default. No request is sent."""
    session = default_session()
    names = names_in(words)
    entries = roster(session, session.default_providers() if names is None else names)
    shown = {entry.provider for entry in entries}
    others = [name for name in session.names() if name not in shown] if names is None else []
    Output(shell).show(roster_html(entries, others), roster_text(entries, others))
