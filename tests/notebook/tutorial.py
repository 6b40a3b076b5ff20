"""What holds for every tutorial: it is saved whole, runs from top to bottom, and passes nbval."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from kernel import KERNEL_NAME, answers_of, config, environment, reports_of
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SANITIZE = Path(__file__).with_name("nbval_sanitize.cfg")

AT_MOST = 120.0
"""Seconds that a whole tutorial may take, as its readers are promised."""

HERE = [re.escape(str(place)) for place in (NOTEBOOKS.parent, Path.home())]
PLACES = re.compile("|".join([*HERE, r"/(home|tmp|Users|root)/", r":\\\\Users"]))
"""Paths of a machine, as JSON has them."""


@dataclass
class Executed:
    """A notebook as "Run All" leaves it."""

    document: Any

    def cell(self, words: str) -> Any:
        """The one code cell that has these words in its source."""
        found = [cell for cell in self.document.cells if cell.cell_type == "code" and words in cell.source]
        assert len(found) == 1, f"{len(found)} cells have {words!r}"
        return found[0]

    def record(self, words: str) -> dict[str, Any]:
        """The provenance record that the cell with these words left."""
        found = [o.metadata["nbretry"] for o in self.cell(words).outputs if "nbretry" in o.get("metadata", {})]
        assert len(found) == 1, f"{len(found)} records under the cell with {words!r}"
        return dict(found[0])

    def attempts(self, words: str) -> list[tuple[str, str]]:
        """Provider and state of each attempt that the cell with these words made."""
        return [(attempt["provider"], attempt["state"]) for attempt in self.record(words)["attempts"]]

    def printed(self, words: str) -> str:
        """What the cell with these words printed."""
        return "".join(output.text for output in self.cell(words).outputs if output.output_type == "stream")

    def answer(self, words: str) -> str:
        """The text of the answers that the cell with these words shows."""
        return "\n".join(answers_of(self.cell(words)))

    def report(self, words: str) -> str:
        """The HTML of the reports under the cell with these words."""
        return "\n".join(reports_of(self.cell(words)))

    def shown(self, words: str, mime: str) -> str:
        """What the cell with these words shows in this form, one output after the other."""
        outputs = self.cell(words).outputs
        return "\n".join(output.data[mime] for output in outputs if mime in output.get("data", {}))


def saved(stem: str) -> Executed:
    """A notebook as it lies in the repository."""
    return Executed(nbformat.read(NOTEBOOKS / f"{stem}.ipynb", as_version=4))


def run(stem: str, directory: Path) -> Executed:
    """Run a notebook from top to bottom; a cell that fails, and is not tagged as one that does, raises."""
    begun = time.monotonic()
    executed = saved(stem)
    resources = {"metadata": {"path": str(directory)}}
    how = {"timeout": AT_MOST, "kernel_name": KERNEL_NAME, "config": config()}
    NotebookClient(executed.document, resources=resources, **how).execute(env=environment(directory))
    assert time.monotonic() - begun < AT_MOST
    return executed


class Tutorial:
    """The claims about one tutorial; a class for each inherits them and adds its own.

    Attributes:
        stem: the name of the notebook.
        strict: whether nbval compares the outputs with the saved ones, but for cells tagged ``nbval-ignore-output``.
    """

    stem: ClassVar[str]
    strict: ClassVar[bool] = False

    def test_is_saved_whole(self) -> None:
        """The saved file ran in one go from top to bottom, announces the failures it shows, and names no machine."""
        document = saved(self.stem).document
        nbformat.validate(document)
        assert document.nbformat_minor >= 5
        counts = [cell.execution_count for cell in document.cells if cell.cell_type == "code"]
        assert counts == list(range(1, len(counts) + 1)), "run it from top to bottom in a fresh kernel: make tutorials"
        for cell in document.cells:
            assert cell.id
            said = json.dumps(cell)
            assert not PLACES.findall(said)
            if cell.cell_type == "code":
                failed = "error" in {output.output_type for output in cell.outputs}
                tags = cell.metadata.get("tags", [])
                assert failed == ("raises-exception" in tags) == ("nbval-raises-exception" in tags)
                assert "NBVAL" not in cell.source, "a comment in a cell of %%ask is part of the question"

    def test_runs(self, ran: Executed) -> None:
        """Run from top to bottom, no cell fails but those that say so, and every question has its report."""
        asked = 0
        for cell in ran.document.cells:
            failed = any(output.output_type == "error" for output in cell.get("outputs", []))
            assert failed == ("raises-exception" in cell.metadata.get("tags", []))
            if cell.cell_type == "code" and cell.source.startswith("%%ask"):
                asked += 1
                assert reports_of(cell) or "--compare" in cell.source or "--dry-run" in cell.source, cell.source
        assert asked

    def test_passes_nbval(self, tmp_path: Path) -> None:
        """nbval, with which others test notebooks, passes it too."""
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        # A copy, as nbval runs a notebook in the directory where it lies.
        shutil.copy(NOTEBOOKS / f"{self.stem}.ipynb", tmp_path)
        how = ["--nbval" if self.strict else "--nbval-lax", "--nbval-sanitize-with", str(SANITIZE)]
        alone = ["-p", "no:cacheprovider", "-c", str(tmp_path / "pytest.ini"), "--nbval-kernel-name", KERNEL_NAME]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *how, *alone, str(tmp_path / f"{self.stem}.ipynb")],
            env=environment(tmp_path, NBRETRY_PAINT="once"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=AT_MOST * 2,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout
