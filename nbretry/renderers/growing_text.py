"""Split Markdown that is still growing into parts that are finished, and a tail that is drawn again and again.

What is finished is sent to the notebook once. So the amount of data grows with the text and not with its square.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from nbretry._utils.redaction import MaskedStream, mask
from nbretry.renderers import painter

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["GrowingHtml", "GrowingText"]

_LONGEST_TAIL = 1_200
"""Characters of the tail beyond which finished blocks are cut off."""

_LONGEST_BLOCK = 2_000
"""Characters beyond which the last block itself is cut, as a long list or much code."""

_LOOKED_AT = 300
"""Characters after a cut between words, in which the rest of a secret would be found."""

_INDENTED_CODE = 4
_SHORTEST_ITEM = 2
"""Number of spaces before a line that make it code, and before one that belongs to an item of a list."""

_FENCE = re.compile("`{3,}|~{3,}")

_MOST_PARTS = 8
"""Number of parts that are returned at once, as whoever draws them holds up the event loop."""

_WINDOW = 6_000
"""Characters that are parsed at once."""


class GrowingText:
    """A text that grows at its end."""

    def __init__(self) -> None:
        self._done = 0
        self._prefix = ""
        self._read = 0
        self._masked = MaskedStream()

    def feed(self, text: str) -> tuple[list[str], str]:
        """Return the parts that are finished now, and the tail.

        Each is Markdown of its own. If a block is cut, the tail begins with what its rest needs, as the fence of code.
        The parts of a text that has come all at once are returned by several calls.

        Args:
            text: the whole text so far; it starts with the text of the previous call.
        """
        text = text.replace("\r\n", "\n").replace("\r", "\n")  # as the parser does, which counts lines
        self._masked.feed(text[self._read :])
        self._read = len(text)
        decided = len(text) - self._masked.held  # what comes after it may be the beginning of a secret
        parts: list[str] = []
        while len(text) - self._done > _LONGEST_TAIL and len(parts) < _MOST_PARTS:
            window = self._prefix + text[self._done : min(decided, self._done + _WINDOW)]
            cut, part, prefix = _cut(window, len(self._prefix))
            rest = text[self._done + cut - len(self._prefix) :][:_WINDOW]
            if not cut or mask(part) + mask(rest) != mask(part + rest):  # a secret would be cut in half
                break
            parts.append(part if not prefix else part.removesuffix("\n") + _end_of(prefix))
            self._done += cut - len(self._prefix)
            self._prefix = prefix
        is_behind = len(parts) == _MOST_PARTS
        return parts, self._prefix + text[self._done : self._done + _WINDOW if is_behind else None]


class GrowingHtml:
    """The HTML of a text that grows at its end; what is finished is drawn once.

    Args:
        draw: returns the HTML of Markdown.
    """

    def __init__(self, draw: Callable[[str], str]) -> None:
        self._draw = draw
        self._begin_again()

    def _begin_again(self) -> None:
        self._text = ""
        self._growing = GrowingText()
        self._drawn: list[str] = []

    def of(self, text: str) -> str:
        """Return the HTML of the whole text so far; of a very long one, of its beginning."""
        if not text.startswith(self._text):
            self._begin_again()
        self._text = text
        if len(text) > painter.LONGEST_DRAWN:
            return "".join([*self._drawn, f"<p>… {len(text):,} characters so far</p>"])
        parts, tail = self._growing.feed(text)
        self._drawn += [self._draw(part) for part in parts]
        return "".join([*self._drawn, self._draw(tail)])


def _cut(window: str, after: int) -> tuple[int, str, str]:
    """Return where to cut, what is before it, and what the rest has to begin with; 0 for not yet.

    Args:
        window: the tail, as far as it is looked at.
        after: number of characters at its beginning that must not be cut.
    """
    is_full = len(window) >= _WINDOW
    line = window.rfind("\n") + 1
    if line > max(after, len(window) // 2):  # what an unfinished line will be is not known yet
        window = window[:line]
    tokens = [token for token in painter.parser().parse(window) if token.map and token.nesting >= 0]
    blocks = [token for token in tokens if token.level == 0]
    starts = _offsets(window)
    if len(blocks) > 1 and blocks[-1].map:
        cut = starts[blocks[-1].map[0]]
        if cut > after:
            return cut, window[:cut], ""
    if len(window) < _LONGEST_BLOCK:
        return 0, "", ""
    if not blocks:  # only definitions of links, which are not shown, or empty lines
        cut = window.rfind("\n") + 1
        return (cut, window[:cut], "") if cut > after and is_full else (0, "", "")
    cut, prefix = _cut_block(window, after, blocks[-1], tokens, starts)
    if cut <= max(after, len(prefix)):
        return (len(window), window, prefix) if is_full else (0, "", "")
    return cut, window[:cut], prefix


def _cut_block(window: str, after: int, block: Token, tokens: list[Token], starts: list[int]) -> tuple[int, str]:
    """Return where to cut a long block, and what the rest has to begin with.

    A list is cut between items, code and tables between lines, text between words.
    """
    assert block.map is not None
    prefix = ""
    cut = window.rfind("\n", 0, -1) + 1
    items = [token.map[0] for token in tokens if token.type == "list_item_open" and token.level == 1 and token.map]
    items = [line for line in items if line >= block.map[0]]
    code, table = (
        next((token for token in tokens if token.type == kind and _is_around(token, cut, starts)), None)
        for kind in ("fence", "table_open")
    )
    if block.type in ("bullet_list_open", "ordered_list_open") and len(items) > 1:
        cut = starts[items[-1]]
    elif code is not None and code.map:
        prefix = _beginning_again(window[starts[code.map[0]] : starts[code.map[0] + 1]])
    elif table is not None and table.map:
        begin = starts[table.map[0]]
        prefix = _beginning_again(window[begin : starts[table.map[0] + 2]])
    elif cut <= after:
        cut = window.rfind(" ", 0, len(window) - _LOOKED_AT) + 1
    return cut, prefix


def _is_around(block: Token, place: int, starts: list[int]) -> bool:
    """Return whether the lines before and after this place are in this block."""
    assert block.map is not None
    return starts[block.map[0]] < place < starts[min(block.map[1], len(starts) - 1)]


def _beginning_again(opening: str) -> str:
    """Return the first line of code, or the head of a table, for the rest of it, which may be indented in a list."""
    fence = opening.lstrip(" ")
    indentation = len(opening) - len(fence)
    if indentation < _INDENTED_CODE:
        return opening
    items, rest = divmod(indentation - _SHORTEST_ITEM, _INDENTED_CODE)
    return ("-" + " " * (_INDENTED_CODE - 1)) * items + "-" + " " * (rest + _SHORTEST_ITEM - 1) + fence


def _end_of(prefix: str) -> str:
    """Return what ends a block that begins with this line: for code its closing fence, on a line of its own."""
    found = _FENCE.search(prefix)
    return f"\n{' ' * found.start() if '>' not in prefix else prefix[: found.start()]}{found[0]}" if found else ""


def _offsets(text: str) -> list[int]:
    """Return where each line begins."""
    offsets = [0]
    for line in text.split("\n"):
        offsets.append(offsets[-1] + len(line) + 1)
    return offsets
