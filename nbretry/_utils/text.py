"""Helpers that shorten a text visibly, put it on one line, make it printable, and suggest a known word."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["cut_end", "cut_middle", "cut_note", "nearest", "one_line", "printable"]

_LONGEST_LINE = 500
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def cut_note(count: int) -> str:
    """Return the note that replaces this many characters."""
    return f"[… {count:,} characters cut …]"


def cut_middle(text: str, limit: int) -> str:
    """Cut the middle out of a text so that it fits, and put a note in its place.

    Args:
        text: the text. Mask secrets first, because half a secret is not recognized as one.
        limit: the limit in characters. If not even the note fits, only the note is left.
    """
    if len(text) <= limit:
        return text
    kept = max(0, limit - len(cut_note(len(text))) - 2)
    head, tail = text[: kept - kept // 2], text[len(text) - kept // 2 :]
    return "\n".join(part for part in (head, cut_note(len(text) - kept), tail) if part)


def cut_end(text: str, longest: int) -> str:
    """Cut a text to at most this many characters; the last one is an ellipsis if something is missing."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def one_line(text: str, longest: int = _LONGEST_LINE) -> str:
    """Return the text without line breaks, shortened if it is very long."""
    return cut_end(" ".join(text.split()), longest)


def nearest(word: str, known: Sequence[str]) -> str:
    """Return the end of an error message about an unknown word.

    It is ``; did you mean 'x'?`` if a known word is similar, else a list of all known words.
    """
    import difflib  # needed only after a mistake

    by_lower_case = {name.lower(): name for name in reversed(known)}
    close = difflib.get_close_matches(word, known, n=1) or [
        by_lower_case[name] for name in difflib.get_close_matches(word.lower(), list(by_lower_case), n=1)
    ]
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def printable(text: str) -> str:
    """Return text without what would steer a terminal or reorder a line.

    Removed are control characters except line feed and tab, and the characters that set the direction of text. Half a
    character, as in the path of a file, becomes a question mark.
    """
    return _UNSEEN.sub("", text).encode("utf-8", "replace").decode("utf-8")
