"""What a test says where it cannot run: aloud, and in CI, where none may be passed over, as a failure."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

__all__ = ["unable"]


def unable(reason: str) -> NoReturn:
    """End the test, or all that need a fixture, for this reason."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
