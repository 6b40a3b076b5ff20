"""``%nbretry cost``: show what all questions together have cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbretry.errors import ConfigError
from nbretry.notebook.output.single_output import Output
from nbretry.prices import dollars
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Show how much was spent, and the limit."""
    if words:
        raise ConfigError(f"%nbretry cost takes no more words, and not {words[0]!r}")
    budget = default_session().limited_budget()
    limit = "no limit is set" if budget.limit is None else f"the limit is {dollars(budget.limit)}"
    Output(shell).show_line(f"{dollars(budget.spent, estimated=budget.spent > 0)} spent; {limit}")
