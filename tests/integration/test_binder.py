"""Binder, built from the files in ``binder/`` as Binder builds it, up to the answer of the model in the first tutorial.

Everything here shares one image; building it costs most of the time.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import nbformat
import pytest
from binder_steps import BINDERHUB, REPO2DOCKER, ROOT, Image, Server, python_version, tracked_files
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from unable import unable

from nbretry.providers.local.model import DEFAULT_MODEL

pytestmark = pytest.mark.local_model

FIRST = "notebooks/01-quickstart.ipynb"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    if sys.platform != "linux":
        unable("Binder runs on Linux, and so do the steps that make its image")
    with tempfile.TemporaryDirectory(prefix="binder-", ignore_cleanup_errors=True) as directory:
        image = Image(Path(directory) / "home", Path(directory) / "environment")
        image.build()
        yield image


@pytest.fixture(scope="module")
def server(image: Image) -> Iterator[Server]:
    with image.serve(BINDERHUB) as server:
        yield server


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def group(name: str) -> list[Requirement]:
    """The requirements of a dependency group, those of the groups in it as well."""
    found: list[Requirement] = []
    for entry in pyproject()["dependency-groups"][name]:
        found += [Requirement(entry)] if isinstance(entry, str) else group(entry["include-group"])
    return found


def installed(image: Image) -> dict[str, str]:
    """The version of each package in the image."""
    places = [str(place) for place in image.prefix.glob("lib/python*/site-packages")]
    return {canonicalize_name(found.name): found.version for found in distributions(path=places)}


def test_every_file_is_executed_here() -> None:
    """In binder/ there is nothing that Binder would use and these tests do not."""
    used = {"runtime.txt", "requirements.txt", "postBuild", "jupyter_server_config.json"}
    assert {file.name for file in tracked_files() if file.parts[0] == "binder"} == {"README.md", *used}


def test_python_is_a_supported_one() -> None:
    """The Python of binder/runtime.txt is one that the package allows, which Binder itself does not look at."""
    assert python_version() in SpecifierSet(pyproject()["project"]["requires-python"])


def test_versions_are_the_tested_ones(image: Image) -> None:
    """Every package has the version with which everything was tested, and no package misses another."""
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines if "==" in line}
    others = {name: version for name, version in installed(image).items() if tested.get(name) != version}
    assert others.keys() == {"nbretry", "pip"}, f"not the tested versions: {others}"
    image.run("pip", "check", "--disable-pip-version-check")


def test_has_what_make_lab_has(image: Image) -> None:
    """Binder has all packages with which `make lab` opens the tutorials, in versions that pyproject.toml allows."""
    versions = installed(image)
    missing = [
        str(requirement)
        for requirement in group("tutorials")
        if not requirement.specifier.contains(versions.get(canonicalize_name(requirement.name), "0.dev0"))
    ]
    assert not missing


def test_has_what_the_tutorials_import(image: Image) -> None:
    """Every package that a tutorial imports is there."""
    modules: dict[str, str] = {}
    for path in sorted((image.home / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                for node in ast.walk(ast.parse(TransformerManager().transform_cell(cell.source))):
                    if isinstance(node, ast.Import):
                        modules |= {alias.name: path.name for alias in node.names}
                    elif isinstance(node, ast.ImportFrom) and node.module:
                        modules[node.module] = path.name
    assert "nbretry.providers" in modules
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    image.run("python", "-c", program, *sorted(modules))


def test_model_is_there_after_the_build(image: Image) -> None:
    """The build leaves the model's file in the home directory, which the session has as well."""
    files = [file for file in image.home.rglob("*.gguf") if file.name == DEFAULT_MODEL.file_name]
    assert [file.stat().st_size for file in files] == [DEFAULT_MODEL.size]


def test_opens_on_the_first_tutorial(server: Server) -> None:
    """A link to Binder that names no page leads to JupyterLab with the first tutorial open."""
    page = server.get("")
    assert page.path.endswith(f"/lab/tree/{FIRST}")
    assert page.opened == FIRST


def test_opens_on_the_first_tutorial_with_repo2docker(image: Image) -> None:
    """So does the server that repo2docker starts on somebody's own machine."""
    with image.serve(REPO2DOCKER) as server:
        assert server.get("").opened == FIRST


def test_nothing_covers_the_first_page(server: Server) -> None:
    """JupyterLab does not ask about news in a window over the tutorial, as it would in each new session."""
    assert "@jupyterlab/apputils-extension:announcements" in server.get("").settings["disabledExtensions"]


def test_link_opens_any_notebook(server: Server) -> None:
    """A link that ends as binder/README.md says opens the notebook that it names."""
    ending = re.search(r"\?urlpath=(lab/tree/notebooks/NAME\.ipynb)", (ROOT / "binder" / "README.md").read_text())
    assert ending
    names = [file["name"] for file in server.call("api/contents/notebooks")["content"] if file["type"] == "notebook"]
    assert Path(FIRST).name in names
    for name in names:
        assert server.get(ending[1].replace("NAME.ipynb", name)).opened == f"notebooks/{name}"


def test_first_tutorial_runs(image: Image, server: Server) -> None:
    """The first tutorial runs from top to bottom on Binder, and its model is the file that the build has fetched."""
    (file,) = image.home.rglob(DEFAULT_MODEL.file_name)
    before = file.stat()
    notebook = nbformat.from_dict(server.call(f"api/contents/{FIRST}")["content"])
    with server.kernel(FIRST) as kernel:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                ran = kernel.run(cell.source)
                meant_to_fail = "raises-exception" in cell.metadata.get("tags", [])
                assert ran.status == "ok" or meant_to_fail, f"{cell.source}\n{ran.error}"

        ran = kernel.run("%%ask -p local -t 0 --max-tokens 12\nName a colour.")
        assert ran.status == "ok", ran.error
        told = kernel.run("import json, os; print(json.dumps([_answer.provider, _answer.text, os.getcwd()]))").printed
        provider, text, place = json.loads(told)
        assert provider == "local"
        assert text.strip()
        assert Path(place) == (image.home / FIRST).parent.resolve()

        fetch = "from nbretry.providers.local.model import ensure_model; ensure_model()"
        ran = kernel.run(f"os.environ['NBRETRY_CACHE_DIR'] = '../elsewhere'; {fetch}")
        assert ran.error.startswith("APIConnectionError: the model could not be fetched"), "a fetch would go unnoticed"
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
