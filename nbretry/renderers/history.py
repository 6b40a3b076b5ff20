"""Render conversations as a table, and the turns of one conversation, as text and as HTML.

The HTML is static and its colours follow those of the page. Nothing in a question or an answer runs or loads anything.
A long question is cut, with a note of how much is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from nbretry._utils.redaction import mask
from nbretry._utils.serialization import whole_characters
from nbretry._utils.text import printable
from nbretry.prompts.conversations import Conversation
from nbretry.prompts.turn import Turn, text_of
from nbretry.renderers.painter import AS_WRITTEN, markdown_html, with_style
from nbretry.renderers.tables import cell_html, cell_text, table_text

__all__ = ["conversation_html", "conversation_text", "history_html", "history_text"]

_HEADS = ("Conversation", "Turns", "Last answer by", "Asked", "Last question")
_NOTHING = "—"
_NONE_YET = "There is no conversation yet: %%ask -c begins one."
_LONGEST_FIRST_WORDS = 60
_LONGEST_QUESTION = 4000

_CELL = "padding:0.2em 1em 0.2em 0;text-align:left;vertical-align:top"
_SMALL = "font-size:0.85em;line-height:1.5"
_RULE = "rgba(128,128,128,0.35)"
_QUESTION = (
    f"border-left:3px solid {_RULE};margin:0 0 0.6em;padding:0 0 0 0.8em;white-space:pre-wrap;overflow-wrap:anywhere"
)
_ANSWER = "overflow-x:auto;overflow-wrap:break-word"
_WHO = "font-size:0.85em;opacity:0.75;margin:0.8em 0 0.3em"


def history_text(conversations: Sequence[Conversation]) -> str:
    """Return a table for a terminal: the length of each conversation, the last question and who answered it.

    Args:
        conversations: the conversations to list; empty ones show dashes.
    """
    if not conversations:
        return _NONE_YET
    return "\n".join(table_text(_HEADS, [[whole_characters(cell) for cell in _cells(one)] for one in conversations]))


def history_html(conversations: Sequence[Conversation]) -> str:
    """Return the same table as HTML for a notebook cell.

    Args:
        conversations: the conversations to list; empty ones show dashes.
    """
    if not conversations:
        return f'<div style="{_SMALL};opacity:0.75">{escape(_NONE_YET)}</div>'
    head = "".join(f'<th style="{_CELL};font-weight:600;white-space:nowrap">{name}</th>' for name in _HEADS)
    return (
        f'<div class="nbretry-history {AS_WRITTEN}" style="{_SMALL};margin:0.2em 0;overflow-x:auto">'
        '<table style="border-collapse:collapse;margin:0;font-size:1em">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, conversations))}</tbody></table></div>"
    )


def conversation_text(conversation: Conversation) -> str:
    """Return the turns of a conversation as plain text, one below the other."""
    parts = [_plain(_heading(conversation))]
    system: str | None = None
    for turn in conversation.turns:
        if turn.system != system:
            parts.append(_plain(_system_line(turn)))
        system = turn.system
        parts.append(f"{_plain(_asked_line(turn))}\n{printable(_question(turn))}")
        parts.append(f"{_plain(_answered_line(turn))}\n{printable(mask(whole_characters(turn.answer))).rstrip()}")
    return "\n\n".join(parts)


def conversation_html(conversation: Conversation) -> str:
    """Return the turns of a conversation as HTML: questions as they were sent, answers rendered from Markdown."""
    parts = [f'<div style="{_SMALL};font-weight:600">{_escaped(_heading(conversation))}</div>']
    system: str | None = None
    for turn in conversation.turns:
        if turn.system != system:
            parts.append(f'<div style="{_WHO};white-space:pre-wrap">{_escaped(_system_line(turn))}</div>')
        system = turn.system
        parts.append(f'<div style="{_WHO}">{_escaped(_asked_line(turn))}</div>')
        parts.append(f'<div dir="auto" style="{_QUESTION}">{escape(_question(turn))}</div>')
        parts.append(f'<div style="{_WHO}">{_escaped(_answered_line(turn))}</div>')
        html = markdown_html(whole_characters(turn.answer))
        parts.append(f'<div class="{AS_WRITTEN}" dir="auto" style="{_ANSWER}">{html}</div>')
    return with_style(f'<div class="nbretry-conversation" style="margin:0.2em 0">{"".join(parts)}</div>')


def _row(conversation: Conversation) -> str:
    *cells, question = _cells(conversation)
    row = "".join(f'<td style="{_CELL};white-space:nowrap">{_escaped(cell)}</td>' for cell in cells)
    return f'<tr>{row}<td style="{_CELL};min-width:16em"><bdi>{_escaped(question)}</bdi></td></tr>'


def _cells(conversation: Conversation) -> tuple[str, ...]:
    turns = conversation.turns
    if not turns:
        return conversation.name, "0", _NOTHING, _NOTHING, _NOTHING
    last = turns[-1]
    who = f"{last.provider or _NOTHING}{', stopped' if last.state == 'stopped' else ''}"
    return conversation.name, str(len(turns)), who, _time(last) or _NOTHING, _first_words(last)


def _first_words(turn: Turn) -> str:
    # Mask before cutting: half of a secret would not be recognized.
    words = " ".join(mask(whole_characters(text_of(turn.question))).split())
    return words if len(words) <= _LONGEST_FIRST_WORDS else f"{words[: _LONGEST_FIRST_WORDS - 1].rstrip()}…"


def _heading(conversation: Conversation) -> str:
    number = len(conversation)
    return f"{conversation.name}: {number} turn{'' if number == 1 else 's'}"


def _system_line(turn: Turn) -> str:
    return f"System prompt: {turn.system or 'none'}"


def _asked_line(turn: Turn) -> str:
    at = _time(turn)
    return f"You, {at}:" if at else "You:"


def _answered_line(turn: Turn) -> str:
    who = " · ".join(name for name in (turn.provider, turn.model) if name) or "Answer"
    return f"{who}, stopped:" if turn.state == "stopped" else f"{who}:"


def _question(turn: Turn) -> str:
    text = mask(whole_characters(text_of(turn.question)))
    left_out = len(text) - _LONGEST_QUESTION
    return text if left_out <= 0 else f"{text[:_LONGEST_QUESTION]} … ({left_out:,} more characters)"


def _time(turn: Turn) -> str:
    """Return when the question was asked, in the local time zone; empty if unknown."""
    if turn.asked_at is None:
        return ""
    return datetime.fromtimestamp(turn.asked_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def _plain(text: str) -> str:
    return cell_text(whole_characters(text))


def _escaped(text: str) -> str:
    return cell_html(whole_characters(text))
