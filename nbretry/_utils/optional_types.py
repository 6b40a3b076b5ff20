"""Instance checks for classes of optional packages, without importing those packages."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["is_a"]


def is_a(value: Any, module: str, *names: str) -> bool:
    """Return whether a value is an instance of one of these classes of a module.

    Args:
        value: any value.
        module: name of the module that has the classes. If it is not loaded, no value is an instance of them.
        *names: names of the classes.
    """
    loaded = sys.modules.get(module)
    kinds = (getattr(loaded, name, None) for name in names)
    return any(isinstance(kind, type) and isinstance(value, kind) for kind in kinds)
