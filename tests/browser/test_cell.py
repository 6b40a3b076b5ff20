"""What a person sees of ``%%ask`` in JupyterLab."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import nbformat
import pytest
from cells import PROVIDERS
from lab import NotebookPage, Server, wait_for_what_loads
from playwright.sync_api import Page, Request, expect

FAILOVER = "%%ask -p nobody-there,overloaded,local -t 0 --max-tokens 60\nName three colours of the rainbow."
OVERLOADED = "from nbretry.providers import ScriptedProvider\nnbretry.register('overloaded', ScriptedProvider('503'))"


def open_ready(page: Page, server: Server, name: str, *cells: str) -> NotebookPage:
    """A notebook of these cells, of which the first, the providers, has been run and is out of sight."""
    server.write(name, [PROVIDERS + OVERLOADED, *cells])
    notebook = NotebookPage(page, server, name)
    notebook.run(0)
    notebook.wait_until_idle(0)
    expect(notebook.output(0)).to_have_count(0)
    notebook.cell(0).evaluate("element => element.style.display = 'none'")
    return notebook


def test_the_answer_is_seen_growing(page: Page, server: Server, pictures: Path) -> None:
    """While the tokens come, the text in the cell grows, and always from the same beginning; the line below it says who
    answers. At the end one output has all of it."""
    notebook = open_ready(page, server, "growing.ipynb", "%%ask -p slow\nCount.")
    notebook.run(1)
    expect(notebook.output(1).first).to_contain_text("word")
    seen: list[str] = []
    for _ in range(5):
        seen.append(notebook.longer_text(1, seen[-1] if seen else ""))
    notebook.screenshot(pictures / "streaming.png")
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(seen))
    expect(notebook.cell(1)).to_contain_text("… slow")
    expect(notebook.cell(1)).to_contain_text("word300")  # in several parts
    notebook.interrupt()
    notebook.wait_until_idle(1)
    expect(notebook.cell(1)).not_to_contain_text("… slow")
    expect(notebook.output(1)).to_have_count(3)
    expect(notebook.output(1).first).to_contain_text("word0 word1 ")
    expect(notebook.output(1).first).to_contain_text("word300")


SHOWS_ANSWERS = """import ipywidgets
nbretry.register("sky", Provider("The sky is blue.", 0.05))
button = ipywidgets.Button(description="Ask it")
out = ipywidgets.Output()

@button.on_click
def ask(_):
    with out:
        print("clicked")
        x = %ask -p sky Why?

ipywidgets.VBox([button, out])"""


def test_an_output_widget_shows_answers(page: Page, server: Server, pictures: Path) -> None:
    """Answers of cells, of a button and in the background come into an Output widget, each with its report."""
    inside = [
        "with out:\n    x = %ask -p nobody-there,sky Why?",
        "with out:\n    print('printed')\n    y = await nbretry.ask('Why?', providers=['sky'])",
    ]
    later = "with out:\n    print('in the background')\n    z = %ask --background -p sky Why?"
    notebook = open_ready(page, server, "widget.ipynb", SHOWS_ANSWERS, *inside, "print(x.text, y.text)", later)
    for index in range(1, 5):
        notebook.run(index)
        notebook.wait_until_idle(index)
    shown = notebook.cell(1)
    expect(shown.locator(".nbretry-answer")).to_have_count(2)
    page.get_by_role("button", name="Ask it").click()
    expect(shown).to_contain_text("clicked")
    expect(shown.locator("details.nbretry-report")).to_have_count(3)
    expect(shown.locator(".nbretry-answer")).to_have_text(["The sky is blue."] * 3)
    expect(shown).to_contain_text("printed")
    expect(shown).not_to_contain_text("…")
    for index in (2, 3):
        expect(notebook.output(index)).to_have_count(0)
    notebook.run(5)
    expect(shown.locator("details.nbretry-report")).to_have_count(4)
    expect(shown.locator(".nbretry-answer")).to_have_text(["The sky is blue."] * 4)
    expect(shown).to_contain_text("in the background")
    expect(shown).not_to_contain_text("asking")
    notebook.screenshot(pictures / "output-widget.png", 1)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_failover_shows_who_answered_and_why_the_others_did_not(
    page: Page, server: Server, pictures: Path, theme: str
) -> None:
    """After two real failures the local model answers; the line under it opens to every attempt."""
    server.set_theme(f"JupyterLab {theme}")
    notebook = open_ready(page, server, f"failover-{theme}.ipynb", FAILOVER)
    notebook.run(1)
    notebook.wait_until_idle(1)
    summary = notebook.cell(1).locator("details.nbretry-report > summary")
    expect(summary).to_contain_text("local · SmolLM2-135M-Instruct · first token")
    expect(summary).to_contain_text("failed: nobody-there, overloaded")
    rows = notebook.cell(1).locator("details.nbretry-report tbody tr")
    expect(rows.first).not_to_be_visible()
    summary.click()
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("APIConnectionError: cannot connect to")
    expect(rows.nth(1)).to_contain_text("ServerError")
    expect(rows.nth(2)).to_contain_text("answered")
    expect(notebook.cell(1).get_by_alt_text("time line of 3 attempts")).to_be_visible()
    notebook.screenshot(pictures / f"failover-{theme.lower()}.png", 1)


def test_the_interrupt_button_stops_the_answer_and_keeps_it(page: Page, server: Server, pictures: Path) -> None:
    """The toolbar's interrupt ends the cell; the partial text stays, the line says that it was stopped."""
    notebook = open_ready(page, server, "interrupt.ipynb", "%%ask -p slow\nCount.", "print(_answer.state, 1 + 1)")
    notebook.run(1)
    expect(notebook.output(1).first).to_contain_text("word20")
    notebook.interrupt()
    notebook.wait_until_idle(1)
    expect(notebook.cell(1)).to_contain_text("stopped · slow")
    expect(notebook.cell(1)).to_contain_text("KeyboardInterrupt: stopped")
    assert "word20" in notebook.output(1).first.inner_text()
    assert "word4999" not in notebook.output(1).first.inner_text()
    notebook.run(2)
    expect(notebook.output(2).first).to_contain_text("stopped 2")
    notebook.screenshot(pictures / "interrupted.png", 1, 2)


def test_a_cell_that_nobody_answered_shows_a_short_error(page: Page, server: Server, pictures: Path) -> None:
    """If every provider fails, the error under the cell is a line for each attempt and no traceback."""
    notebook = open_ready(page, server, "failure.ipynb", "%%ask -p nobody-there,overloaded\nIs anybody there?")
    notebook.run(1)
    notebook.wait_until_idle(1)
    error = notebook.cell(1).locator("[data-mime-type='application/vnd.jupyter.error'], .jp-RenderedError, pre").last
    lines = error.inner_text().strip().splitlines()
    assert lines[0].startswith("RetryProviderError: every provider failed")
    names = [line.split(":")[0] for line in lines[1:]]
    assert names[:2] == ["nobody-there", "overloaded"]
    assert sorted(names[2:]) == names[:2], "the second round"
    notebook.screenshot(pictures / "failure.png", 1)


def test_a_saved_notebook_reads_the_same_with_no_kernel(page: Page, server: Server, pictures: Path) -> None:
    """Reopened where its kernel does not exist and its outputs are not trusted, it shows the answer and the report."""
    notebook = open_ready(page, server, "saved.ipynb", FAILOVER)
    notebook.run(1)
    notebook.wait_until_idle(1)
    answer = notebook.output(1).first.inner_text()
    notebook.save()
    saved = nbformat.read(server.root / "saved.ipynb", as_version=4)
    nbformat.validate(saved)
    assert sum("text/markdown" in output.get("data", {}) for output in saved.cells[1].outputs) == 1
    saved.metadata.kernelspec = {"name": "gone", "display_name": "Gone", "language": "gone"}
    saved.metadata.language_info = {"name": "gone"}
    nbformat.write(saved, server.root / "reopened.ipynb")

    reopened = NotebookPage(page, server, "reopened.ipynb", wait_for_kernel=False)
    dialog = page.locator(".jp-Dialog")
    dialog.wait_for()
    dialog.get_by_text("No Kernel", exact=True).last.click()
    expect(reopened.output(1).first).to_have_text(answer, use_inner_text=True)
    reopened.cell(1).locator("summary").first.click()
    expect(reopened.cell(1).locator("details tbody tr")).to_have_count(3)
    expect(reopened.cell(1)).to_contain_text("failed: nobody-there, overloaded")
    expect(reopened.cell(1).get_by_alt_text("time line of 3 attempts")).to_be_visible()
    reopened.screenshot(pictures / "reopened.png", 1)


def test_a_hostile_answer_does_nothing(page: Page, server: Server, pictures: Path) -> None:
    """Scripts, event handlers, styles and remote images in an answer neither run nor load, and cover nothing."""
    notebook = open_ready(page, server, "hostile.ipynb", "%%ask -p hostile\nHello.")
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    notebook.run(1)
    notebook.wait_until_idle(1)
    expect(notebook.output(1).first).to_contain_text("After.")
    wait_for_what_loads(page)
    page.remove_listener("request", note)
    assert page.evaluate("() => window.hostile") is None
    assert not [url for url in asked if "remote.invalid" in url]
    assert notebook.output(1).first.locator("img, script, style").count() == 0
    assert notebook.cell(1).locator("a[href^='javascript']").count() == 0
    notebook.screenshot(pictures / "hostile.png", 1)


def test_a_narrow_page_does_not_cut_the_report(page: Page, server: Server, pictures: Path) -> None:
    """At 600 pixels the open report stays within the cell and scrolls by itself."""
    page.set_viewport_size({"width": 600, "height": 900})
    notebook = open_ready(page, server, "narrow.ipynb", FAILOVER)
    notebook.run(1)
    notebook.wait_until_idle(1)
    notebook.cell(1).locator("summary").first.click()
    outer = notebook.cell(1).bounding_box()
    report = notebook.cell(1).locator("details.nbretry-report").bounding_box()
    assert outer is not None
    assert report is not None
    assert report["x"] + report["width"] <= outer["x"] + outer["width"] + 1
    notebook.screenshot(pictures / "narrow.png")


def test_the_record_in_the_saved_file_tells_who_answered(page: Page, server: Server) -> None:
    """The metadata of the saved output has provider, attempts and the hash of the request, as plain JSON."""
    notebook = open_ready(page, server, "record.ipynb", FAILOVER)
    notebook.run(1)
    notebook.wait_until_idle(1)
    notebook.save()
    saved = json.loads((server.root / "record.ipynb").read_text())
    record = saved["cells"][1]["outputs"][0]["metadata"]["nbretry"]
    assert record["provider"] == "local"
    assert [attempt["state"] for attempt in record["attempts"]] == ["failed", "failed", "answered"]
    assert len(record["request_sha256"]) == 64
