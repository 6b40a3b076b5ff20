"""What a person sees in JupyterLab of questions that are answered in the background."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from cells import PROVIDERS
from lab import PATIENCE, NotebookPage, Server
from playwright.sync_api import Page, expect

COUNTING = """
import time
nbretry.register("evens", Provider(" ".join(f"even{i}" for i in range(0, 300, 2)), delay=0.05))
nbretry.register("odds", Provider(" ".join(f"odd{i}" for i in range(1, 300, 2)), delay=0.05))
"""
EVENS = "%%ask --background -p evens -o evens\nCount."
ODDS = "%%ask --background -p nobody-there,odds -o odds\nCount."
BUSY = "for number in range(6):\n    print('working', number)\n    time.sleep(1)"


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_each_streams_into_its_own_cell(page: Page, server: Server, pictures: Path, theme: str) -> None:
    """Two cells end at once; while a third one blocks the kernel both answers grow, each in its cell, and end there."""
    server.set_theme(f"JupyterLab {theme}")
    name = f"background-{theme}.ipynb"
    server.write(name, [PROVIDERS + COUNTING, EVENS, ODDS, BUSY, "await evens; await odds; print(evens, odds)"])
    notebook = NotebookPage(page, server, name)
    notebook.run(0)
    notebook.wait_until_idle(0)
    notebook.cell(0).evaluate("element => element.style.display = 'none'")
    for index in (1, 2):
        notebook.run(index)
        notebook.wait_until_idle(index)
        expect(notebook.cell(index)).not_to_contain_text("298" if index == 1 else "299")
    notebook.run(3)
    expect(notebook.cell(3)).to_contain_text("working 1", timeout=PATIENCE)
    seen = [notebook.output(index).first.inner_text() for index in (1, 2)]
    expect(notebook.cell(3)).to_contain_text("working 2", timeout=PATIENCE)
    later = [notebook.output(index).first.inner_text() for index in (1, 2)]
    expect(notebook.cell(3).locator(".jp-InputPrompt")).to_have_text("[*]:", timeout=PATIENCE)
    notebook.screenshot(pictures / f"background-streaming-{theme.lower()}.png", 1, 3)
    for before, after in zip(seen, later, strict=True):
        assert len(after) > len(before)
        assert after.startswith(before.strip())
    notebook.wait_until_idle(3)
    expect(notebook.output(3)).to_have_count(1)
    expect(notebook.output(3)).to_have_text("".join(f"working {number}\n" for number in range(6)), use_inner_text=False)
    notebook.run(4)
    notebook.wait_until_idle(4)
    for index, last, other in ((1, "even298", "odd"), (2, "odd299", "even")):
        expect(notebook.output(index).first).to_contain_text(last)
        expect(notebook.output(index).first).not_to_contain_text(other)
        expect(notebook.cell(index).locator("details.nbretry-report > summary")).to_have_count(1)
    expect(notebook.cell(2).locator("summary")).to_contain_text("failed: nobody-there")
    notebook.screenshot(pictures / f"background-ended-{theme.lower()}.png", 1, 4)
    notebook.save()
    saved = nbformat.read(server.root / name, as_version=4)
    nbformat.validate(saved)
    for cell, last in ((saved.cells[1], "even298"), (saved.cells[2], "odd299")):
        answers = [output.data["text/markdown"] for output in cell.outputs if "text/markdown" in output.data]
        assert [last in answer for answer in answers] == [True]
        assert [output.metadata["nbretry"]["state"] for output in cell.outputs if output.metadata] == ["completed"]


def test_it_ends_while_nothing_runs(page: Page, server: Server, pictures: Path) -> None:
    """With the kernel idle an answer goes on as well; its report, once opened, stays open when other cells run."""
    server.write(
        "idle.ipynb",
        [PROVIDERS + COUNTING, "%%ask --background -p evens\nCount.", "print(1 + 1)", "_background[-1].stop()"],
    )
    notebook = NotebookPage(page, server, "idle.ipynb")
    notebook.run(0)
    notebook.wait_until_idle(0)
    notebook.cell(0).evaluate("element => element.style.display = 'none'")
    notebook.run(1)
    expect(notebook.output(1).first).to_contain_text("even298", timeout=PATIENCE)
    summary = notebook.cell(1).locator("details.nbretry-report > summary")
    summary.click()
    expect(notebook.cell(1).locator("details.nbretry-report tbody tr")).to_be_visible()
    notebook.run(2)
    notebook.wait_until_idle(2)
    expect(notebook.cell(1).locator("details.nbretry-report tbody tr")).to_be_visible()
    notebook.screenshot(pictures / "background-idle.png", 1, 2)
    # Run again: the outputs of the second run alone, though the first one's were there.
    notebook.run(1)
    expect(notebook.output(1).first).to_contain_text("even10", timeout=PATIENCE)
    notebook.run(3)
    expect(notebook.cell(1).locator("summary")).to_contain_text("stopped · evens")
    expect(notebook.cell(1)).not_to_contain_text("even298")
    expect(notebook.cell(1).locator("summary")).to_have_count(1)
