"""Long texts with so much of their middle cut that they fit, and a visible note in its place."""

from __future__ import annotations

__all__ = ["cut_middle", "cut_note"]


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
