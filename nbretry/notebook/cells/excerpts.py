"""Excerpts of long texts for a model: cut with a visible note, and fenced so that nothing inside ends the fence."""

from __future__ import annotations

import re

from nbretry._utils.redaction import mask
from nbretry._utils.text import cut_middle, cut_note

__all__ = ["LONGEST_EXCERPT", "Excerpt", "cut_middle", "cut_note", "fenced", "plain"]

LONGEST_EXCERPT = 20_000
"""How many characters of one text are kept: half of them from its beginning, half from its end."""

_HALF = LONGEST_EXCERPT // 2
# A cut may split a secret, and half a secret cannot be recognized. So more is held than is shown.
_MARGIN = 4_000
_HELD = _HALF + _MARGIN
_PENDING = 8_000

_STEERING = re.compile(
    r"""
      \x1b\[[0-?]*[ -/]*[@-~]               # colours and the cursor
    | \x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?    # titles and links
    | \x1b[@-_]?
    | [\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\ud800-\udfff]
    """,
    re.VERBOSE,
)


def plain(text: str) -> str:
    """Return a text as a terminal would show it: without colours, and with only the last state of overwritten lines."""
    return _last_states(_STEERING.sub("", text)).replace("\r", "")


def _last_states(text: str) -> str:
    """Remove what a carriage return has overwritten, such as the earlier states of a progress bar."""
    if "\r" not in text:
        return text
    return "\n".join(_last_state(line) for line in text.replace("\r\n", "\n").split("\n"))


def _last_state(line: str) -> str:
    # A carriage return at the end has not overwritten anything yet.
    kept = line.rstrip("\r")
    return kept.rpartition("\r")[2] + line[len(kept) :]


def _joined(head: str, count: int, tail: str) -> str:
    return "\n".join(part for part in (head, cut_note(count), tail) if part)


def fenced(text: str, language: str = "") -> str:
    """Return a text as a fenced block; its fence is longer than any fence inside."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


class Excerpt:
    """A growing text of which only the beginning and the end are kept.

    Args:
        text: the first part of it.
    """

    __slots__ = ("__weakref__", "_cut", "_head", "_pending", "_pending_size", "_tail")

    def __init__(self, text: str = "") -> None:
        self._head = self._tail = ""
        self._cut = 0
        self._pending: list[str] = []
        self._pending_size = 0
        self.append(text)

    def append(self, text: str) -> None:
        """Add a text to the end."""
        self._pending.append(text)
        self._pending_size += len(text)
        if self._pending_size > _PENDING:
            self._settle()

    def replace(self, text: str) -> None:
        """Start over with this text."""
        self._head = self._tail = ""
        self._cut = self._pending_size = 0
        self._pending.clear()
        self.append(text)

    @property
    def size(self) -> int:
        """Number of characters that are held."""
        return len(self._head) + len(self._tail) + self._pending_size

    def text(self) -> str:
        """Return the kept text, without colours and with secrets masked; a note says how much was cut."""
        held_head, held_tail, cut = self._with(_last_states("".join(self._pending)))
        if not cut:
            return cut_middle(mask(plain(held_head + held_tail)), LONGEST_EXCERPT)
        head, tail = mask(plain(held_head)), mask(plain(held_tail))
        cut += min(_MARGIN, len(head)) + min(_MARGIN, len(tail))
        return _joined(head[:-_MARGIN], cut, tail[_MARGIN:])

    def _settle(self) -> None:
        added = _last_states("".join(self._pending))
        # A line that has not ended may still be overwritten.
        end = added.rfind("\n") + 1
        if len(added) - end > _PENDING // 2:
            end = len(added)
        self._pending = [added[end:]]
        self._pending_size = len(added) - end
        self._head, self._tail, self._cut = self._with(added[:end])

    def _with(self, added: str) -> tuple[str, str, int]:
        """Return head, tail and the number of characters cut between them, after adding this text at the end."""
        room = _HELD - len(self._head)
        head, added = self._head + added[:room], added[room:]
        if not added:
            return head, self._tail, self._cut
        excess = max(0, len(self._tail) + len(added) - _HELD)
        tail = (self._tail + added)[excess:] if len(added) < _HELD else added[-_HELD:]
        return head, tail, self._cut + excess
