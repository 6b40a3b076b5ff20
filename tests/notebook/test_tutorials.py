"""Every notebook that people read is tested."""

from __future__ import annotations

import test_tutorial_data
import test_tutorial_failover
import test_tutorial_panel
import test_tutorial_providers
import test_tutorial_quickstart
from tutorial import NOTEBOOKS, Tutorial

MODULES = (
    test_tutorial_quickstart,
    test_tutorial_providers,
    test_tutorial_failover,
    test_tutorial_panel,
    test_tutorial_data,
)


def test_every_notebook_is_tested() -> None:
    """Each file in ``notebooks/`` has a class of its own among the tests."""
    classes = [value for module in MODULES for value in vars(module).values() if isinstance(value, type)]
    tested = {one.stem for one in classes if issubclass(one, Tutorial) and one is not Tutorial}
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == tested
