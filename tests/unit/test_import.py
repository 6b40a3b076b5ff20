"""What importing costs: no SDK, no IPython, no connection; and every public name can be had."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys

import pytest

import nbretry

HEAVY = (
    "IPython",
    "ipywidgets",
    "ipykernel",
    "openai",
    "anthropic",
    "httpx",
    "httpx2",
    "aiohttp",
    "genai_prices",
    "requests",
    "pydantic",
    "xllamacpp",
    "rich",
    "tqdm",
    "nest_asyncio2",
)


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a statement loads in a new interpreter, which may not open a socket meanwhile."""
    script = f"""
import json, sys

def no_connection(event, arguments):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen"):
        raise AssertionError(event)

sys.addaudithook(no_connection)
before = set(sys.modules)
{statement}
print(json.dumps(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "import nbretry",
        "from nbretry.providers import RetryProvider, IterListProvider",
        "from nbretry.providers.retry_provider import IterListProvider, RetryProvider, raise_exceptions",
        "from nbretry.errors import RetryProviderError, RetryNoProviderError",
        "from nbretry.types import Messages, CreateResult, AsyncResult, ProviderType",
        "from nbretry import Answer, RetryPolicy, RetryProvider, RetryProviderError",
        "from nbretry.providers import *",
        "import nbretry.session.session",
        "import nbretry.cli",
    ],
)
def test_nothing_heavy_is_loaded(statement: str) -> None:
    """Importing loads no IPython, no widgets and no SDK, starts no program and opens no connection."""
    loaded = modules_after(statement)
    assert "nbretry" in loaded
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)


def test_importing_the_package_loads_next_to_nothing() -> None:
    """`import nbretry` loads no other module of its own, and not even asyncio."""
    assert "asyncio" not in modules_after("import nbretry")


@pytest.mark.parametrize("module", ["nbretry", "nbretry.providers", "nbretry.errors", "nbretry.types"])
def test_every_public_name_can_be_had(module: str) -> None:
    """Each name in ``__all__`` resolves, and is shown by ``dir``."""
    home = importlib.import_module(module)
    assert [name for name in home.__all__ if not hasattr(home, name)] == []
    assert set(home.__all__) <= set(dir(home))
    assert len(set(home.__all__)) == len(home.__all__)


@pytest.mark.parametrize("module", ["nbretry", "nbretry.providers"])
def test_an_unknown_name_is_an_attribute_error(module: str) -> None:
    """A name that is not there is refused as by any module."""
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
        importlib.import_module(module).nothing  # noqa: B018
    with pytest.raises(ImportError):
        exec(f"from {module} import nothing")


def test_the_version_is_that_of_the_package() -> None:
    """``__version__`` is a version number."""
    assert all(part.isdigit() for part in nbretry.__version__.split("."))


@pytest.mark.parametrize("path", ["errors.RateLimitError", "renderers.jsonlines.read_runs", "__version__"])
def test_documented_paths_need_no_import_of_their_own(path: str) -> None:
    """After `import nbretry` alone, the documented modules are there as attributes."""
    assert "nbretry" in modules_after(f"import nbretry; nbretry.{path}")


@pytest.mark.parametrize("name", nbretry.errors.__all__)
def test_the_source_of_an_error_can_be_found(name: str) -> None:
    """`Error??` in a notebook, and `{{ Error }}` in a prompt, show the class as it is written."""
    assert inspect.getsource(getattr(nbretry.errors, name)).startswith(f"class {name}(")


@pytest.mark.parametrize("package", ["nbretry", "nbretry.providers", "nbretry.session", "nbretry.notebook"])
def test_what_is_loaded_late_is_listed_at_once(package: str) -> None:
    """Tab completion and `dir` know every public name of a package before it is first used."""
    statement = f"import {package} as package; assert set(package.__all__) <= set(dir(package))"
    assert "nbretry" in modules_after(statement)
