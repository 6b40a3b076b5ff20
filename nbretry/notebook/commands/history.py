"""``%nbretry history``: list the conversations, show one, and save them to a file or load them from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nbretry._utils.redaction import mask
from nbretry.errors import ConfigError
from nbretry.notebook.commands.word_parser import WordParser
from nbretry.notebook.output.single_output import Output
from nbretry.renderers.history import conversation_html, conversation_text, history_html, history_text
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """List the conversations, show one of them, or save or load them."""
    parser = WordParser()
    parser.add_argument("name", nargs="?")
    parser.add_argument("--save", metavar="FILE")
    parser.add_argument("--load", metavar="FILE")
    parsed = parser.parse_args(words)
    conversations, output = default_session().conversations, Output(shell)
    names = None if parsed.name is None else [parsed.name]
    if parsed.save is not None and parsed.load is not None:
        raise ConfigError("--save and --load do not go together: write one of them")
    if parsed.save is not None:
        output.show_line(_told(conversations.save(parsed.save, names), "saved to", parsed.save))
    elif parsed.load is not None:
        output.show_line(_told(conversations.load(parsed.load, names), "loaded from", parsed.load))
    elif parsed.name is not None:
        conversation = conversations.get(parsed.name)
        output.show(conversation_html(conversation), conversation_text(conversation))
    else:
        listed = [conversations.open(name) for name in conversations.names()]
        output.show(history_html(listed), history_text(listed))


def _told(turns: Mapping[str, int], what: str, path: str) -> str:
    total = sum(turns.values())
    each = f": {', '.join(f'{name} ({number})' for name, number in turns.items())}" if turns else ""
    return mask(f"{total} turn{'' if total == 1 else 's'} {what} {path}{each}")
