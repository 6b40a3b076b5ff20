"""Valid names of providers and conversations: names that can be typed after an option."""

from __future__ import annotations

__all__ = ["is_name", "name_refused", "split_name"]


def is_name(text: str) -> bool:
    """Return whether a text is a valid name: one or more letters, digits, ``_``, ``-`` and ``.``."""
    return bool(text) and all(character.isalnum() or character in "_-." for character in text)


def name_refused(text: str, what: str) -> str:
    """Return the error message for a text that is not a valid name.

    Args:
        text: the text that was typed.
        what: what it should name, such as ``a provider``.
    """
    return f"{text!r} cannot name {what}: use letters, digits, '_', '-' and '.'"


def split_name(written: str) -> tuple[str, str]:
    """Split ``name`` or ``name:model`` into the name of a provider and that of its model.

    A model's name may contain colons itself, as in ``ollama:qwen2:7b``.

    Args:
        written: the text as typed after ``-p``.

    Returns:
        Both names without spaces around them; the model is empty if none is given.

    Raises:
        ValueError: there is a colon with nothing before it or nothing after it; the message is one line that says so.
    """
    name, colon, model = (part.strip() for part in written.partition(":"))
    if colon and not name:
        raise ValueError(f"{written!r} names no provider: write one before the colon")
    if colon and not model:
        raise ValueError(f"{written!r} names no model: write one behind the colon, or leave the colon out")
    return name, model
