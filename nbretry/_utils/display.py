"""Which function draws a record in a notebook.

Records, as `nbretry.answer.Answer`, are below the renderers and do not import them. The package's ``__init__`` says
here who draws them; a program may say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

__all__ = ["Painter", "bundle_of", "set_painter"]

Painter: TypeAlias = Callable[[Any], Mapping[str, str]]
"""Takes an object, and returns its representations by MIME type; ``text/plain`` is one of them."""

_painter: Painter | None = None


def set_painter(painter: Painter | None) -> None:
    """Have a function draw every record from now on; None for plain text only."""
    global _painter
    _painter = painter


def bundle_of(value: object) -> dict[str, str]:
    """The representations of a record by MIME type, drawn by the painter, or its plain text where there is none."""
    return {"text/plain": str(value)} if _painter is None else dict(_painter(value))
