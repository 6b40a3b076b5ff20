"""What may name a provider or a conversation: what can be typed after an option."""

from __future__ import annotations

__all__ = ["is_name", "name_refused"]


def is_name(text: str) -> bool:
    """Whether a text is letters, digits, ``_``, ``-`` and ``.``, and at least one of them."""
    return bool(text) and all(character.isalnum() or character in "_-." for character in text)


def name_refused(text: str, what: str) -> str:
    """What is told of a text that is no name.

    Args:
        text: what was written.
        what: it should name, as ``a provider``.
    """
    return f"{text!r} cannot name {what}: use letters, digits, '_', '-' and '.'"
