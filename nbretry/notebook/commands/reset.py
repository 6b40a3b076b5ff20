"""``%nbretry reset``: end the cooldown of providers that have failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbretry._utils.names import split_name
from nbretry.notebook.output.single_output import Output
from nbretry.session.options import names_in
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """End the cooldown of the named providers, or of all, so that they can be asked again at once."""
    written, session = names_in(words), default_session()
    session.health.reset(None if written is None else [session.provider(one) for one in written])
    # All models of a provider share its cooldown, so the line names only the provider.
    who = "everybody" if written is None else ", ".join(dict.fromkeys(split_name(one)[0] for one in written))
    Output(shell).show_line(f"{who} may be asked again at once")
