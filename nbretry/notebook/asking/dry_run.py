"""``%%ask --dry-run``: show in the cell what would be sent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbretry.notebook.asking.prepare import Prepared
from nbretry.notebook.output.single_output import Output
from nbretry.renderers.dry_run import dry_run_html, dry_run_text
from nbretry.session.plan import plan
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["show_dry_run"]


def show_dry_run(shell: InteractiveShell, prepared: Prepared) -> None:
    """Show the messages, the providers in order and an estimate of tokens. Nothing is sent, and nothing is kept.

    Args:
        shell: the user's shell.
        prepared: the question and its options.

    Raises:
        ConfigError: the question is empty, or a provider's name is unknown.
        RetryNoProviderError: there is no provider to ask.
    """
    asked, question = prepared.asked, prepared.question
    if asked.compare is not None:
        question = replace(question, providers=asked.compare)
    found = plan(default_session(), question)
    notes = []
    if asked.compare is not None:
        notes.append("all of them would be asked at the same time")
    if asked.conversation:
        begins = "would start afresh" if asked.new or not question.history else "would go on"
        notes.append(f"the conversation {asked.conversation} {begins}")
    if question.response_format is not None:
        notes.append("providers that keep to a form of JSON would be told it as well")
    Output(shell).show(dry_run_html(found, notes), dry_run_text(found, notes))
