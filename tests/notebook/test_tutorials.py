"""The notebooks that people read run as they stand, on the real local model, and say what their text claims."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kernel import environment
from nbclient import NotebookClient
from page import Page

import nbretry
from nbretry.providers.local_model import ensure_model

pytestmark = pytest.mark.local_model

NOTEBOOKS = sorted((Path(nbretry.__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module", autouse=True)
def model() -> None:
    """Fetched once for each machine, so that no test waits for it."""
    ensure_model()


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each notebook as "Run All" leaves it; a cell that fails fails here."""
    documents = {}
    for path in NOTEBOOKS:
        directory = tmp_path_factory.mktemp(path.stem)
        document = nbformat.read(path, as_version=4)
        client = NotebookClient(document, timeout=120, resources={"metadata": {"path": str(directory)}})
        client.execute(env=environment(directory))
        documents[path.stem] = document
    return documents


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_valid_and_clean(path: Path) -> None:
    """A notebook fits the format, has an id for each cell, and was saved after a good run that names no machine."""
    document = nbformat.read(path, as_version=4)
    nbformat.validate(document)
    assert document.nbformat_minor >= 5
    for cell in document.cells:
        assert cell.id
        if cell.cell_type == "code":
            said = json.dumps(cell.outputs)
            assert "error" not in {output.output_type for output in cell.outputs}
            places = (str(Path.home()), "/home/", "/tmp/", "/Users/", ":\\\\Users")
            assert not [place for place in places if place in said]
            assert "NBVAL" not in cell.source, "a comment in a cell of %%ask is part of the question"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(executed: dict[str, Any], path: Path) -> None:
    """Run from top to bottom, no cell fails and every question has its answer and its report."""
    asked = 0
    for cell in executed[path.stem].cells:
        outputs = cell.get("outputs", [])
        assert not any(output.output_type == "error" for output in outputs)
        if cell.source.startswith("%%ask"):
            asked += 1
            answer, report = outputs
            assert answer.data["text/markdown"].strip()
            assert answer.metadata["nbretry"]["state"] == "completed"
            assert "text/html" in report.data
    assert asked


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_passes_nbval(tmp_path: Path, path: Path) -> None:
    """nbval, with which others test notebooks, passes it too."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(tmp_path / "pytest.ini"),
        "--nbval-lax",
        str(path),
    ]
    ran = subprocess.run(
        [sys.executable, *command],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


def test_quickstart_falls_back_to_the_local_model(executed: dict[str, Any]) -> None:
    """In the quickstart two providers really fail, and the local model then answers."""
    cells = executed["01-quickstart"].cells
    failover = next(cell for cell in cells if "-p nobody-there,overloaded,local" in cell.source)
    record = failover.outputs[0].metadata["nbretry"]
    assert (record["provider"], record["model"]) == ("local", "SmolLM2-135M-Instruct")
    assert [(attempt["provider"], attempt["state"]) for attempt in record["attempts"]] == [
        ("nobody-there", "failed"),
        ("overloaded", "failed"),
        ("local", "answered"),
    ]
    assert [attempt["exception"]["type"] for attempt in record["attempts"][:2]] == ["APIConnectionError", "ServerError"]
    assert record["attempts"][1]["exception"]["status_code"] == 503
    assert 0 < record["usage"]["completion_tokens"] <= 60
    assert "failed: nobody-there, overloaded" in Page(failover.outputs[1].data["text/html"]).text


def test_quickstart_prints_the_attempts(executed: dict[str, Any]) -> None:
    """The quickstart's own cells print what its text says about the attempts."""
    printed = "".join(
        output.text
        for cell in executed["01-quickstart"].cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    )
    assert "1 nobody-there failed\n2 overloaded failed\n3 local answered\n" in printed
    assert "['scripted: failed', 'local: answered']" in printed


def test_first_question_needs_no_name(executed: dict[str, Any]) -> None:
    """Without a key and without a name, the local model answers the first question."""
    first = next(cell for cell in executed["01-quickstart"].cells if cell.source.startswith("%%ask"))
    assert first.outputs[0].metadata["nbretry"]["provider"] == "local"
    assert "stderr" not in {output.get("name") for output in first.outputs}, "the model wrote its log into the notebook"
