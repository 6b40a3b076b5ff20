"""What a person sees in JupyterLab of a stream that dies midway, a provider that rests, and one that was too slow."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import PROVIDERS
from lab import NotebookPage, Server
from playwright.sync_api import Page, expect

DYING = """
from nbretry.errors import StreamInterruptedError
from nbretry.providers import ScriptedProvider
from nbretry.session.session import default_session
from nbretry.testing import simulate

default_session().prices.set("whole", 0.6, 2.4)
default_session().prices.set("dying", 0.6, 2.4)
nbretry.register("limited", simulate("429 retry-after=120 message='slow down'"))

class Dying:  # says the beginning of a text, and dies when it is told to
    async def create_async_generator(self, model, messages, **options):
        for words in ("The sky ", "is blue ", "because "):
            yield words
        await told("text-was-seen-{theme}")
        raise StreamInterruptedError("the stream ended before it said that it was done")

nbretry.register("dying", Dying())
nbretry.register("silent", simulate("hang"))
nbretry.register("whole", ScriptedProvider.words("Air scatters **blue** light most.", name="whole", delay=0.1))
"""
CELL = "%%ask -p limited,dying,silent,whole --hedge-after 3\nWhy is the sky blue?"


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_output_follows_the_run(page: Page, server: Server, pictures: Path, theme: str) -> None:
    """Given-up text is seen while it comes, goes when the next one answers, and stays readable under its attempt."""
    server.set_theme(f"JupyterLab {theme}")
    server.write(f"retry-{theme}.ipynb", [PROVIDERS + DYING.replace("{theme}", theme), CELL, CELL])
    notebook = NotebookPage(page, server, f"retry-{theme}.ipynb")
    notebook.run(0)
    notebook.wait_until_idle(0)
    notebook.cell(0).evaluate("element => element.style.display = 'none'")
    notebook.run(1)
    expect(notebook.output(1).first).to_contain_text("The sky is blue because")
    notebook.screenshot(pictures / f"dying-{theme.lower()}.png", 1)
    server.tell(f"text-was-seen-{theme}")
    notebook.wait_until_idle(1)
    expect(notebook.output(1).first).to_have_text("Air scatters blue light most.")
    report = notebook.cell(1).locator("details.nbretry-report")
    expect(report.locator("summary").first).to_contain_text("failed: limited, dying")
    report.locator("summary").first.click()
    expect(report).to_contain_text("StreamInterruptedError")
    expect(report).to_contain_text("cancelled: whole was quicker")
    report.get_by_text("the text it had sent").click()
    expect(report).to_contain_text("The sky is blue because")
    notebook.run(2)
    notebook.wait_until_idle(2)
    again = notebook.cell(2).locator("details.nbretry-report")
    again.locator("summary").first.click()
    expect(again).to_contain_text("skipped: resting")
    notebook.screenshot(pictures / f"retry-{theme.lower()}.png", 1, 2)
