"""`%%ask` in Notebook 7: the same answer, the same line under it, the same interrupt."""

from __future__ import annotations

import json
from pathlib import Path

from cells import PROVIDERS
from lab import ClassicPage, Server
from playwright.sync_api import Page, expect

SIMULATED = """
from nbretry.testing import simulate
nbretry.register("busy", simulate("429"))
nbretry.register("wise", simulate("reasoning='The short waves …' 'The **sky** ' delay=0.1 'is blue.'"))
"""


def test_question_and_interrupt(page: Page, server: Server, pictures: Path) -> None:
    """A failover streams, its report opens, the interrupt button keeps the partial answer, and the file has it all."""
    name = "seven.ipynb"
    server.write(name, [PROVIDERS + SIMULATED, "%%ask -p busy,wise\nWhy is the sky blue?", "%%ask -p slow\nCount."])
    notebook = ClassicPage(page, server, name)
    for index in (0, 1):
        notebook.run(index)
        notebook.wait_until_idle(index)
    expect(notebook.cell(1).locator("strong", has_text="sky")).to_be_visible()
    summary = notebook.cell(1).locator("details.nbretry-report > summary")
    expect(summary).to_contain_text("wise · simulated · first token")
    summary.click()
    expect(notebook.cell(1).locator("details.nbretry-report tbody tr")).to_have_count(2)
    notebook.run(2)
    expect(notebook.output(2).first).to_contain_text("word20")
    notebook.interrupt()
    notebook.wait_until_idle(2)
    expect(notebook.cell(2)).to_contain_text("stopped · slow")
    expect(notebook.cell(2)).to_contain_text("KeyboardInterrupt: stopped")
    notebook.screenshot(pictures / "notebook7.png", 1, 2)
    notebook.save()
    saved = json.loads((server.root / name).read_text(encoding="utf-8"))
    assert "is blue." in json.dumps(saved["cells"][1]["outputs"])
    assert "word20" in json.dumps(saved["cells"][2]["outputs"])
