"""Kernels for the notebook tests; the tests of one module share one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import Kernel, kernel
from tutorial import Executed, run

PROVIDERS = Path(__file__).with_name("kernel_cell.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("notebook"), "%load_ext nbretry", PROVIDERS) as running:
        yield running


@pytest.fixture
def nb(shared_kernel: Kernel) -> Kernel:
    """The module's kernel, its book empty."""
    shared_kernel.run("Book.opened = Book.closed = 0; Book.prompts.clear(); Book.release.clear()")
    return shared_kernel


@pytest.fixture
def providers() -> str:
    """A cell that registers the providers, for a test with a kernel of its own."""
    return PROVIDERS


@pytest.fixture(scope="class")
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Executed:
    """The notebook of a class of `tutorial.Tutorial`, run once for all its tests."""
    return run(request.cls.stem, tmp_path_factory.mktemp(request.cls.stem))
