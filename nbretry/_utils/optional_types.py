"""Knows the values of other people's packages without importing any of them."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["is_a"]


def is_a(value: Any, module: str, *names: str) -> bool:
    """Whether a value is an instance of a class that one of these names stands for in a module.

    Args:
        value: anything.
        module: where the classes can be had; where it has not been loaded, nothing is an instance of them.
        *names: of the classes.
    """
    loaded = sys.modules.get(module)
    kinds = (getattr(loaded, name, None) for name in names)
    return any(isinstance(kind, type) and isinstance(value, kind) for kind in kinds)
