"""`%%ask`, its other forms, the interrupt and the first tutorial on other versions, and the README's table of them all.

What runs here is a part of what ``make matrix`` runs: the lowest versions, another Python, and a loop that the old
nest-asyncio has patched.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from kernel import config, environment
from matrix import FAILED, NOT_FOUND, README, Row, declared, known, row_of
from nbclient import NotebookClient
from unable import unable
from versions import (
    HERE,
    LOWEST,
    NEWEST,
    PATCHED,
    PYTHONS,
    RUNNING,
    CannotInstall,
    Environment,
    Outcome,
    Stack,
    interpreter,
)

TUTORIAL = "test_tutorial_quickstart"
CASES = {
    "the lowest": (LOWEST, ("test_paths", "test_interrupt", "test_streaming", "test_panel", TUTORIAL)),
    "the newest on another Python": (NEWEST, ("test_paths", "test_interrupt", TUTORIAL)),
    "patched before ours": (PATCHED, ("test_paths", "test_interrupt", TUTORIAL)),
}
OF_THE_PANEL = "an_answer or failover or stopping or hostile or one_panel or left_behind or session_is_one"
PART = f"not passes_nbval and not partial_answer and (not test_panel or {OF_THE_PANEL})"
"""Of the panel its main parts, and a tutorial only once: all of it is for the matrix."""


def environment_for(stack: Stack) -> Environment:
    """Where a case runs: the newest on another Python where there is one, the patched one in this environment."""
    if stack.patched:
        return Environment(Path(sys.executable), stack)
    python = RUNNING
    if stack is NEWEST:
        python = next((other for other in reversed(PYTHONS) if other != RUNNING and interpreter(other)), RUNNING)
    command = interpreter(python)
    assert command is not None, f"{python} has just been found"
    try:
        return Environment.of(python, command, stack)
    except CannotInstall as error:
        unable(f"the versions could not be installed: {error}")


@pytest.mark.local_model
@pytest.mark.parametrize(("stack", "stems"), CASES.values(), ids=CASES)
def test_versions(stack: Stack, stems: tuple[str, ...]) -> None:
    """A question streams, fails, is stopped and stands in every kind of cell with these versions, and 01 runs."""
    if reason := stack.cannot(RUNNING):
        unable(reason)
    outcome = environment_for(stack).test([HERE / f"{stem}.py" for stem in stems], "-k", PART)
    print(outcome.output[-200:])
    assert not outcome.failed, outcome.output[-20_000:]
    assert {stem for stem, passed in outcome.passed.items() if passed} == set(stems)


def test_old_nest_asyncio_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said to be patched before ours is patched by the old one before the first cell's first line."""
    if reason := PATCHED.cannot(RUNNING):
        unable(reason)
    cell = nbformat.v4.new_code_cell("import asyncio\nprint(asyncio.run.__module__)")
    variables = Environment(Path(sys.executable), PATCHED).kernel(tmp_path)
    monkeypatch.setenv("JUPYTER_PATH", variables["JUPYTER_PATH"])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    client = NotebookClient(notebook, kernel_name=variables["NBRETRY_TEST_KERNEL"], config=config())
    client.execute(env=environment(tmp_path))
    assert notebook.cells[0].outputs[0].text == "nest_asyncio\n"


def test_table_is_that_of_the_matrix() -> None:
    """The README's table has each declared Python with each stack, says when it was run, and that nothing failed."""
    rows = known(README.read_text(encoding="utf-8"))
    assert list(rows) == declared()
    assert any(row.versions for row in rows.values())
    for row in rows.values():
        assert not row.failed
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row.day)
        if row.versions:
            assert re.match(r"[1-9]\d* passed", row.tests)
            assert re.fullmatch(r"([1-9]\d*) of \1", row.tutorials)
        else:
            assert row.tests.startswith(("not run: ", NOT_FOUND)), "nothing was run, and there is no reason"


def test_row_says_what_did_not_go_well() -> None:
    """A row names how many failed and why others were not run, and is read from the README as it was written."""
    outcome = Outcome(
        passed=Counter({"test_paths": 3, "test_tutorial_data": 2, "test_tutorial_panel": 1}),
        failed=("test_paths::test_one", "test_tutorial_panel::test_runs"),
        not_run=Counter({"no subshells": 2}),
    )
    stems = ["test_paths", "test_tutorial_data", "test_tutorial_panel"]
    row = row_of(LOWEST, ["3.11.7", "8.18.0", "6.29.0", "8.1.0", "2.0.0"], outcome, stems, "2026-11-23")
    assert row.tests == f"3 passed, 1 {FAILED}, 2 not run (no subshells)"
    assert row.tutorials == f"1 of 2, {FAILED}"
    assert row.key == ("3.11", "lowest")
    missing = Row("3.14", "newest", (), NOT_FOUND, "–", "2026-11-23")
    assert [Row.read(str(one)) for one in (row, missing)] == [row, missing]
    assert [one.failed for one in (row, missing)] == [True, False]


def test_only_a_python_that_starts_is_found() -> None:
    """An interpreter is its own command, and one that nobody has is none."""
    assert interpreter(RUNNING) == [sys.executable]
    assert interpreter("3.99") is None
