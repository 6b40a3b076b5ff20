"""Long texts cut so that they fit, and that they were cut is to be seen."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["cut_end", "cut_middle", "cut_note", "nearest", "one_line"]

_LONGEST_LINE = 500


def cut_note(count: int) -> str:
    """What stands in place of so many characters."""
    return f"[… {count:,} characters cut …]"


def cut_middle(text: str, limit: int) -> str:
    """A text with so much of its middle cut that it fits, and a note in its place.

    Args:
        text: secrets must be masked before, as half a secret cannot be known as one.
        limit: characters; where not even the note fits, the note is all that is left.
    """
    if len(text) <= limit:
        return text
    kept = max(0, limit - len(cut_note(len(text))) - 2)
    head, tail = text[: kept - kept // 2], text[len(text) - kept // 2 :]
    return "\n".join(part for part in (head, cut_note(len(text) - kept), tail) if part)


def cut_end(text: str, longest: int) -> str:
    """A text of at most so many characters, the last of them an ellipsis where more is missing."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def one_line(text: str, longest: int = _LONGEST_LINE) -> str:
    """The text without line breaks, and shortened where it is very long."""
    return cut_end(" ".join(text.split()), longest)


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a line that refuses a word: ``; did you mean 'x'?`` where a known one is near, else all of them."""
    import difflib  # for a mistake only

    by_lower_case = {name.lower(): name for name in reversed(known)}
    close = difflib.get_close_matches(word, known, n=1) or [
        by_lower_case[name] for name in difflib.get_close_matches(word.lower(), list(by_lower_case), n=1)
    ]
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
