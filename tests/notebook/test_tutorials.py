"""Every notebook of the project, executed on the real local model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TUTORIALS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))


def _executed(path: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=300, resources=resources, extra_arguments=["--log-level=ERROR"]).execute()
    return notebook


def _records(notebook: nbformat.NotebookNode) -> list[dict[str, object]]:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.metadata["nbretry"] for output in outputs if "nbretry" in output.get("metadata", {})]


def test_there_are_tutorials() -> None:
    """The notebooks are where these tests look for them."""
    assert NOTEBOOKS / "01-quickstart.ipynb" in TUTORIALS


@pytest.mark.local_model
def test_the_quickstart_tells_what_it_promises() -> None:
    """The local model answers at once, and after two providers that failed; the record and the report say so."""
    notebook = _executed(NOTEBOOKS / "01-quickstart.ipynb")
    first, second = _records(notebook)
    assert first["provider"] == "local"
    assert second["provider"] == "local"
    assert [attempt["provider"] for attempt in second["attempts"]] == ["nobody-there", "overloaded", "local"]
    assert [attempt["state"] for attempt in second["attempts"]] == ["failed", "failed", "answered"]
    answers = [
        output.data["text/markdown"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "text/markdown" in output.get("data", {})
    ]
    assert len(answers) == 2
    assert all(len(answer.split()) > 5 for answer in answers)
    printed = "".join(
        output.text
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream"
    )
    assert "1 nobody-there failed\n2 overloaded failed\n3 local answered\n" in printed
    assert "['scripted: failed', 'local: answered']" in printed


@pytest.mark.local_model
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_nbval(path: Path, tmp_path: Path) -> None:
    """Run again by nbval, no cell fails and the outputs tagged for comparison are the saved ones."""
    config = tmp_path / "pytest.ini"  # ours makes errors of warnings, also of nbval's own
    config.write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        str(config),
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
