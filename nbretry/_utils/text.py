"""Helpers that shorten a text visibly, put it on one line, and suggest a known word for a misspelled one."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["cut_end", "cut_middle", "cut_note", "nearest", "one_line"]

_LONGEST_LINE = 500


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
