"""What `%load_ext nbretry` costs: no SDK, no widgets, no connection, no process, nothing that stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import Kernel, kernel

WATCH = """
import sys, threading
before = set(sys.modules)
threads = set(threading.enumerate())
opened = []
reaching_out = {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.fork", "os.posix_spawn"}
def watch(event, arguments):
    if event in reaching_out:
        opened.append(event)
sys.addaudithook(watch)"""

LATER = (
    "anthropic",
    "httpx",
    "httpx2",
    "ipywidgets",
    "markdown_it",
    "openai",
    "platformdirs",
    "pydantic",
    "tqdm",
    "xllamacpp",
)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("loading"), WATCH, "%load_ext nbretry") as running:
        yield running


def loaded(fresh: Kernel) -> set[str]:
    """Packages that have been loaded since the kernel was ready."""
    return set(fresh.value("sorted({name.partition('.')[0] for name in set(sys.modules) - before})"))


def test_loading_imports_no_sdk_and_no_widgets(fresh: Kernel) -> None:
    """The extension loads no SDK, no widgets and none of what only some answers need."""
    assert "nbretry" in loaded(fresh)
    assert not loaded(fresh) & set(LATER)


def test_loading_opens_nothing(fresh: Kernel) -> None:
    """The extension opens no connection, looks up no host, starts no process and no thread."""
    assert fresh.value("opened") == []
    assert fresh.value("len(set(threading.enumerate()) - threads)") == 0


def test_loading_says_nothing(tmp_path: Path) -> None:
    """Loading prints nothing and shows nothing, and defines no variable of the user's."""
    with kernel(tmp_path, "names = None; names = set(dir())") as nb:
        ran = nb.run("%load_ext nbretry")
        assert ran.outputs == []
        assert nb.value("sorted(n for n in set(dir()) - names if not n.startswith('_'))") == []


def test_own_provider_needs_no_sdk(fresh: Kernel) -> None:
    """A question that a provider of the user's own answers loads no SDK either, and opens nothing."""
    fresh.run("""
class Own:
    @classmethod
    async def create_async_generator(cls, model, messages, **options):
        yield "An answer."
import nbretry
nbretry.register("own", Own)""")
    ran = fresh.run("%%ask -p own\nWhy?")
    assert ran.markdown == "An answer."
    assert not loaded(fresh) & set(LATER)
    assert fresh.value("opened") == []


def test_naming_a_service_opens_nothing(fresh: Kernel) -> None:
    """A mistake in the name of a service is told without anybody being called."""
    assert "did you mean 'openai'" in fresh.run("%ask -p opnai Why?").traceback
    assert fresh.value("opened") == []
