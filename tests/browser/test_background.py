"""What a person sees in JupyterLab of questions that are answered in the background."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from cells import PROVIDERS
from lab import PATIENCE, NotebookPage, Server
from playwright.sync_api import Page, expect

COUNTING = """
class Counting:  # until it is told to end
    def __init__(self, word, first, end):
        self.word, self.first, self.end = word, first, end

    async def create_async_generator(self, model, messages, **options):
        number = self.first
        while not was_told(self.end):
            yield f"{self.word}{number} "
            number += 2
            await asyncio.sleep(0.05)
        yield f"the last {self.word}"

for word, first in (("even", 0), ("odd", 1)):
    nbretry.register(word + "s", Counting(word, first, "END"))
"""
EVENS = "%%ask --background -p evens -o evens\nCount."
ODDS = "%%ask --background -p nobody-there,odds -o odds\nCount."
BUSY = """for number in range(3):
    print('working', number)
    time.sleep(1)
while not was_told("END"):
    time.sleep(0.1)
print('worked')"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_each_streams_into_its_own_cell(page: Page, server: Server, pictures: Path, theme: str) -> None:
    """Two cells end at once; while a third one blocks the kernel both answers grow, each in its cell, and end there."""
    server.set_theme(f"JupyterLab {theme}")
    name = f"background-{theme}.ipynb"
    end = f"both-were-seen-{theme}"
    cells = [PROVIDERS + COUNTING, EVENS, ODDS, BUSY, "await evens; await odds; print(evens, odds)"]
    server.write(name, [cell.replace("END", end) for cell in cells])
    notebook = NotebookPage(page, server, name)
    notebook.run(0)
    notebook.wait_until_idle(0)
    notebook.cell(0).evaluate("element => element.style.display = 'none'")
    for index in (1, 2):
        notebook.run(index)
        notebook.wait_until_idle(index)
    notebook.run(3)
    expect(notebook.cell(3)).to_contain_text("working 1", timeout=PATIENCE)
    seen = [notebook.longer_text(index) for index in (1, 2)]
    expect(notebook.cell(3)).to_contain_text("working 2", timeout=PATIENCE)
    later = [notebook.longer_text(index, before) for index, before in zip((1, 2), seen, strict=True)]
    expect(notebook.cell(3).locator(".jp-InputPrompt")).to_have_text("[*]:", timeout=PATIENCE)
    notebook.screenshot(pictures / f"background-streaming-{theme.lower()}.png", 1, 3)
    for before, after in zip(seen, later, strict=True):
        assert after.startswith(before)
        assert "the last" not in after
    server.tell(end)
    notebook.wait_until_idle(3)
    expect(notebook.output(3)).to_have_count(1)
    expect(notebook.output(3)).to_have_text("working 0\nworking 1\nworking 2\nworked\n", use_inner_text=False)
    notebook.run(4)
    notebook.wait_until_idle(4)
    for index, last, other in ((1, "the last even", "odd"), (2, "the last odd", "even")):
        expect(notebook.output(index).first).to_contain_text(last)
        expect(notebook.output(index).first).not_to_contain_text(other)
        expect(notebook.cell(index).locator("details.nbretry-report > summary")).to_have_count(1)
    expect(notebook.cell(2).locator("summary")).to_contain_text("failed: nobody-there")
    notebook.screenshot(pictures / f"background-ended-{theme.lower()}.png", 1, 4)
    notebook.save()
    saved = nbformat.read(server.root / name, as_version=4)
    nbformat.validate(saved)
    for cell, last in ((saved.cells[1], "the last even"), (saved.cells[2], "the last odd")):
        answers = [output.data["text/plain"] for output in cell.outputs if "text/markdown" in output.data]
        assert [last in answer for answer in answers] == [True]
        assert [output.metadata["nbretry"]["state"] for output in cell.outputs if output.metadata] == ["completed"]


def test_it_ends_while_nothing_runs(page: Page, server: Server, pictures: Path) -> None:
    """With the kernel idle an answer goes on as well; its report, once opened, stays open when other cells run."""
    cells = ["%%ask --background -p evens\nCount.", "print(1 + 1)", "_background[-1].stop()"]
    server.write("idle.ipynb", [PROVIDERS + COUNTING.replace("END", "nothing-runs"), *cells])
    notebook = NotebookPage(page, server, "idle.ipynb")
    notebook.run(0)
    notebook.wait_until_idle(0)
    notebook.cell(0).evaluate("element => element.style.display = 'none'")
    notebook.run(1)
    notebook.wait_until_idle(1)
    expect(notebook.output(1).first).to_contain_text("even10", timeout=PATIENCE)
    server.tell("nothing-runs")
    expect(notebook.output(1).first).to_contain_text("the last even", timeout=PATIENCE)
    summary = notebook.cell(1).locator("details.nbretry-report > summary")
    summary.click()
    expect(notebook.cell(1).locator("details.nbretry-report tbody tr")).to_be_visible()
    notebook.run(2)
    notebook.wait_until_idle(2)
    expect(notebook.cell(1).locator("details.nbretry-report tbody tr")).to_be_visible()
    notebook.screenshot(pictures / "background-idle.png", 1, 2)
    (server.root / "nothing-runs").unlink()
    # Run again: the outputs of the second run alone, though the first one's were there.
    notebook.run(1)
    expect(notebook.output(1).first).to_contain_text("even10", timeout=PATIENCE)
    notebook.run(3)
    expect(notebook.cell(1).locator("summary")).to_contain_text("stopped · evens")
    expect(notebook.cell(1)).not_to_contain_text("the last even")
    expect(notebook.cell(1).locator("summary")).to_have_count(1)
