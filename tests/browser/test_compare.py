"""What a person sees of ``%%ask --compare`` in JupyterLab."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from cells import PROVIDERS
from lab import PATIENCE, NotebookPage, Server
from playwright.sync_api import Locator, Page, expect

ANSWERS = r'''
from nbretry.providers import ScriptedProvider
BRIEF = """The sky is blue because the molecules of the air scatter **short waves** of sunlight more than long ones.

Blue light has about 450 nm, red light 700 nm, and the scattering grows with the inverse fourth power:

$$I \\propto \\frac{1}{\\lambda^4}$$"""
LONG = """### Rayleigh scattering

1. Sunlight holds *all* colours.
2. Molecules are much smaller than a wave.
3. So the short waves are scattered most:

| colour | wavelength | scattered |
| --- | ---: | ---: |
| violet | 400 nm | 9.4 |
| blue | 450 nm | 5.9 |
| red | 700 nm | 1.0 |

```python
def scattered(wavelength, than=700):
    return (than / wavelength) ** 4
```

More: [Rayleigh](https://example.org/rayleigh) ![picture](https://remote.invalid/p.png) <b>x</b>"""
nbretry.register("brief", ScriptedProvider.words(BRIEF, model="sky-small", delay=0.01))
nbretry.register("thorough", ScriptedProvider.words(LONG, model="sky-large-2026", delay=0.01))
nbretry.register("refusing", ScriptedProvider("401 message='the key is not valid'", model="sky-pro"))
'''
STACKED = """() => new Set(
    [...document.querySelectorAll('.nbretry-column')].map(column => column.getBoundingClientRect().x)).size == 1"""
SAME_LEFTS = """lefts => String(lefts) === String(
    [...document.querySelectorAll('.nbretry-column')].map(column => Math.round(column.getBoundingClientRect().x)))"""
COMPARISON = "%%ask --compare brief,thorough,refusing\nWhy is the sky blue?"


def open_ready(page: Page, server: Server, name: str, cell: str) -> NotebookPage:
    """A notebook of this cell, below one that has registered the providers and is out of sight."""
    server.write(name, [PROVIDERS + ANSWERS, cell])
    notebook = NotebookPage(page, server, name)
    notebook.run(0)
    notebook.wait_until_idle(0)
    notebook.cell(0).evaluate("element => element.style.display = 'none'")
    return notebook


def columns(notebook: NotebookPage) -> Locator:
    return notebook.cell(1).locator(".nbretry-column")


def lefts_and_tops(notebook: NotebookPage) -> tuple[list[int], list[int]]:
    """Where the columns are, in pixels."""
    boxes = [column.bounding_box() for column in columns(notebook).all()]
    found = [box for box in boxes if box]
    return [round(box["x"]) for box in found], [round(box["y"]) for box in found]


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_answers_stand_side_by_side(page: Page, server: Server, pictures: Path, theme: str) -> None:
    """Three answers stand beside each other, each with its line; where there is little room, below each other; reopened
    where the file is not trusted, as before."""
    server.set_theme(f"JupyterLab {theme}")
    notebook = open_ready(page, server, f"compare-{theme}.ipynb", COMPARISON)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    notebook.run(1)
    notebook.wait_until_idle(1)
    expect(columns(notebook)).to_have_count(3)
    expect(columns(notebook).nth(0)).to_contain_text("brief · sky-small · first token")
    expect(columns(notebook).nth(1).locator("table").first).to_contain_text("violet")
    expect(columns(notebook).nth(2)).to_contain_text("AuthenticationError: the key is not valid")
    expect(columns(notebook).nth(0).locator("mjx-container").first).to_be_visible(timeout=PATIENCE)
    assert columns(notebook).locator("img:visible").count() == 0, "the time lines are folded, and pictures not loaded"
    assert not [url for url in asked if "remote.invalid" in url]
    lefts, tops = lefts_and_tops(notebook)
    assert lefts == sorted(set(lefts))
    assert len(set(tops)) == 1
    notebook.screenshot(pictures / f"compare-{theme.lower()}.png", 1)

    page.set_viewport_size({"width": 560, "height": 1200})
    page.wait_for_function(STACKED)
    outer = notebook.cell(1).bounding_box()
    assert outer is not None
    for column in columns(notebook).all():
        box = column.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= outer["x"] + outer["width"] + 1
    notebook.screenshot(pictures / f"compare-narrow-{theme.lower()}.png", 1)

    page.set_viewport_size({"width": 1100, "height": 1200})
    notebook.save()
    saved = nbformat.read(server.root / f"compare-{theme}.ipynb", as_version=4)
    nbformat.validate(saved)
    saved.metadata.kernelspec = {"name": "gone", "display_name": "Gone", "language": "gone"}
    saved.metadata.language_info = {"name": "gone"}
    nbformat.write(saved, server.root / f"compare-reopened-{theme}.ipynb")
    reopened = NotebookPage(page, server, f"compare-reopened-{theme}.ipynb", wait_for_kernel=False)
    dialog = page.locator(".jp-Dialog")
    dialog.wait_for()
    dialog.get_by_text("No Kernel", exact=True).last.click()
    expect(columns(reopened)).to_have_count(3)
    page.wait_for_function(SAME_LEFTS, arg=lefts)  # else an untrusted file has lost its columns
    columns(reopened).nth(2).locator("summary").first.click()
    expect(columns(reopened).nth(2).locator("tbody tr")).to_have_count(1)
    reopened.screenshot(pictures / f"compare-reopened-{theme.lower()}.png", 1)


def test_columns_grow_together(page: Page, server: Server, pictures: Path) -> None:
    """While both stream, both texts are seen growing, and the interrupt button stops both."""
    notebook = open_ready(page, server, "compare-growing.ipynb", "%%ask --compare slow,slow\nCount.")
    notebook.run(1)
    for number in (0, 1):
        expect(columns(notebook).nth(number)).to_contain_text("word20", timeout=PATIENCE)
    notebook.screenshot(pictures / "compare-streaming.png", 1)
    notebook.interrupt()
    notebook.wait_until_idle(1)
    for number in (0, 1):
        expect(columns(notebook).nth(number)).to_contain_text("stopped · slow")
        expect(columns(notebook).nth(number)).not_to_contain_text("word4999")
    expect(notebook.cell(1)).to_contain_text(
        "KeyboardInterrupt: stopped; what there is of the answers is in _comparison"
    )
