"""Every notebook that people read is tested."""

from __future__ import annotations

import test_tutorial_quickstart
from tutorial import NOTEBOOKS

MODULES = (test_tutorial_quickstart,)


def test_every_notebook_is_tested() -> None:
    """Each file in ``notebooks/`` has a class of its own among the tests."""
    tested = {value.stem for module in MODULES for value in vars(module).values() if hasattr(value, "stem")}
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == tested
