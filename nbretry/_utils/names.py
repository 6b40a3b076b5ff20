"""What may name a provider or a conversation: what can be typed after an option."""

from __future__ import annotations

__all__ = ["is_name", "name_refused", "split_name"]


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


def split_name(written: str) -> tuple[str, str]:
    """The name of a provider and that of its model, from ``name`` or ``name:model``.

    A model's name may have colons itself, as ``ollama:qwen2:7b``.

    Args:
        written: as it stands after ``-p``.

    Returns:
        Both without spaces around them; the model is empty where none is named.

    Raises:
        ValueError: there is a colon with nothing before it or nothing after it; the text is one line that says so.
    """
    name, colon, model = (part.strip() for part in written.partition(":"))
    if colon and not name:
        raise ValueError(f"{written!r} names no provider: write one before the colon")
    if colon and not model:
        raise ValueError(f"{written!r} names no model: write one behind the colon, or leave the colon out")
    return name, model
