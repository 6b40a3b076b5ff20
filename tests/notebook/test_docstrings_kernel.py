"""The examples of the names that need a kernel, run in one as the cells that they are."""

from __future__ import annotations

import doctest
from collections.abc import Iterator

import pytest
from kernel import Kernel, Ran, kernel
from public_names import IN_KERNEL, Public, public_names

HOW = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("examples"), "%reset -f") as running:
        yield running


@pytest.fixture
def nb(shared_kernel: Kernel) -> Kernel:
    """The module's kernel, in which nothing is loaded and no name is set."""
    shared_kernel.run("%unload_ext nbretry")
    shared_kernel.run("%reset -f")
    return shared_kernel


def shown(ran: Ran) -> str:
    """What a cell prints and shows, as text."""
    return ran.printed + ran.plain + "\n"


@pytest.mark.parametrize("name", IN_KERNEL)
def test_the_example_runs(nb: Kernel, name: str) -> None:
    """An example gives what it says, each of its lines in a cell of its own."""
    public: Public = next(public for public in public_names() if public.name == name)
    assert any(example.want for example in public.examples)
    for example in public.examples:
        ran = nb.run(example.source.rstrip("\n"))
        assert not ran.failed, ran.traceback
        got = shown(ran) if ran.outputs else ""
        assert doctest.OutputChecker().check_output(example.want, got, HOW), (example.source, example.want, got)
