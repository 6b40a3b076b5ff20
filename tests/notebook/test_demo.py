"""What ``nbretry demo`` tells in the terminal."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from nbretry.demo import run_demo

ASKED = """\
import nbretry
from nbretry.testing import simulate

%load_ext nbretry
nbretry.register("busy", simulate("503"))
nbretry.register("good", simulate("'All' ' is' ' well.'"))
%ask -p busy,good How is it"""


def test_tells_what_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Headings, what is asked, who fails and who answers stand in their order, also a failure that is meant to be."""
    fails = nbformat.v4.new_code_cell("%ask -p busy Anybody", metadata={"tags": ["raises-exception"]})
    cells = [
        nbformat.v4.new_markdown_cell("# First\n\nIt is not told.\n\n```python\n# of code\n```\n#tag"),
        nbformat.v4.new_code_cell(ASKED),
        nbformat.v4.new_markdown_cell("## If nobody answers"),
        fails,
        nbformat.v4.new_code_cell("print('reached')"),
        nbformat.v4.new_markdown_cell("## The end"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "it.ipynb")
    status = run_demo(tmp_path / "it.ipynb", tmp_path / "out" / "it.ipynb")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    expected = [
        "# First",
        "│ %ask -p busy,good How is it",
        "All is well.",
        "1. ✗ busy · simulated · ServerError: the script says 503",
        "## If nobody answers",
        "RetryProviderError: every provider failed:",
        "reached",
    ]
    places = [[line.startswith(words) for line in lines].index(True) for words in expected]
    assert places == sorted(places)
    assert not {"It is not told.", "# of code", "#tag", "## The end"} & set(lines), "only headings of code are told"
    assert status == 0
    executed = nbformat.read(tmp_path / "out" / "it.ipynb", as_version=4)
    assert executed.cells[-2].outputs[0].text == "reached\n"


def test_a_failure_is_told_by_the_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell that fails, and is not meant to, ends it with the status 1; what came before is kept."""
    cells = [nbformat.v4.new_code_cell("print('reached')"), nbformat.v4.new_code_cell("1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "it.ipynb")
    assert run_demo(tmp_path / "it.ipynb", tmp_path / "out.ipynb") == 1
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().out
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text == "reached\n"
