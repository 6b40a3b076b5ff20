"""The function that draws answers in a notebook.

Records such as `nbretry.answer.Answer` are in a lower layer than the renderers and do not import them. The package's
``__init__`` registers the function that draws them here; a program can register another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

__all__ = ["Painter", "bundle_of", "set_painter"]

Painter: TypeAlias = Callable[[Any], Mapping[str, str]]
"""Function that takes an object and returns its representations by MIME type; ``text/plain`` is one of them."""

_painter: Painter | None = None


def set_painter(painter: Painter | None) -> None:
    """Set the function that draws every record from now on; None for plain text only."""
    global _painter
    _painter = painter


def bundle_of(value: object) -> dict[str, str]:
    """Return a record's representations by MIME type, from the painter, or only plain text if no painter is set."""
    return {"text/plain": str(value)} if _painter is None else dict(_painter(value))
