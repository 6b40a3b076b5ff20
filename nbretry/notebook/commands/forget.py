"""``%nbretry forget``: forget conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbretry.errors import ConfigError
from nbretry.notebook.commands.word_parser import WordParser
from nbretry.notebook.output.single_output import Output
from nbretry.session.options import DEFAULT_CONVERSATION, names_in
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Forget the named conversations, the default one if none is named, or all of them."""
    parser = WordParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--all", action="store_true")
    parsed = parser.parse_args(words)
    conversations = default_session().conversations
    names = names_in(parsed.names)
    if parsed.all:
        if names:
            raise ConfigError("--all forgets every conversation: name none beside it")
        forgotten = conversations.forget_all()
    else:
        forgotten = list(dict.fromkeys(names or [DEFAULT_CONVERSATION]))
        conversations.forget(*forgotten)
    line = f"{', '.join(forgotten)} {'is' if len(forgotten) == 1 else 'are'} forgotten"
    Output(shell).show_line(line if forgotten else "there is no conversation to forget")
