"""What a person sees of ``%%ask -f`` in JupyterLab."""

from __future__ import annotations

from pathlib import Path

from cells import PROVIDERS
from lab import NotebookPage, Server, wait_for_what_loads, wait_until
from playwright.sync_api import Page, expect

from nbretry.testing import FaultServer

HOSTILE = """<h1 style="color: teal">Bonjour</h1><p>A fragment of HTML.</p>
<script>parent.window.hostile = 1</script><img src="{url}/image" onerror="parent.window.hostile = 2">
<link rel=stylesheet href={url}/link><LINK rel=preconnect href={url}><style>@import url({url}/import);
body {{ background: url({url}/background) }}</style><iframe src={url}/frame></iframe><object data={url}/object></object>
<video src={url}/video poster={url}/poster></video><meta http-equiv=refresh content="0;url={url}/refresh">
<svg><image href={url}/svg /></svg><a href={url}/link target=_self>a link</a></iframe></pre></details>
"""
SAYING = """
class Whole:
    def __init__(self, text):
        self.text = text
    def create_completion(self, model, messages, **options):
        yield self.text
"""


def open_saying(page: Page, server: Server, name: str, text: str, *cells: str) -> NotebookPage:
    """A notebook whose provider ``says`` says this, and whose first cell, with it, has been run."""
    server.write(name, [f"{PROVIDERS}{SAYING}nbretry.register('says', Whole({text!r}))", *cells])
    notebook = NotebookPage(page, server, name)
    notebook.run(0)
    notebook.wait_until_idle(0)
    return notebook


def test_html_is_seen_and_does_nothing(page: Page, server: Server, pictures: Path) -> None:
    """HTML is seen as a page in a frame; no script of it runs, nothing is loaded, and its source can be opened."""
    with FaultServer("ok") as remote:
        text = HOSTILE.format(url=remote.url)
        notebook = open_saying(page, server, "html.ipynb", text, "%%ask -p says -f html\nShow.")
        notebook.run(1)
        notebook.wait_until_idle(1)
        frame = notebook.cell(1).locator("iframe")
        inside = notebook.cell(1).frame_locator("iframe")
        expect(inside.locator("h1")).to_have_text("Bonjour")
        assert frame.get_attribute("sandbox") == ""
        assert inside.locator("h1").evaluate("h1 => getComputedStyle(h1).color") == "rgb(0, 128, 128)"
        notebook.screenshot(pictures / "format-html.png", 1)
        notebook.cell(1).locator("summary").first.click()
        expect(notebook.cell(1).locator("details pre").first).to_have_text(text)
        wait_until(page, lambda: inside.locator("h1").evaluate("() => document.readyState") == "complete")
        wait_for_what_loads(page)
        # What would have been asked for before has been asked for before this.
        page.evaluate("url => fetch(url, {mode: 'no-cors'}).catch(() => null)", f"{remote.origin}/asked-by-the-test")
        assert page.evaluate("window.hostile") is None
        assert [request.path for request in remote.requests] == ["/asked-by-the-test"]


def test_code_is_in_the_next_cell(page: Page, server: Server, pictures: Path) -> None:
    """The code of an answer is in a new cell below, which has not been run."""
    code = "for x in range(3):\n    print('{{ x }}')"
    answer = f"Like this:\n\n```python\n{code}\n```\n"
    notebook = open_saying(page, server, "code.ipynb", answer, "%%ask -p says -f code\nCount.", "'the last'")
    notebook.run(1)
    notebook.wait_until_idle(1)
    new = notebook.cell(2).locator(".cm-content")
    expect(new.locator(".cm-line")).to_have_text(code.split("\n"))
    notebook.screenshot(pictures / "format-code.png", 1, 2)
    expect(notebook.output(2)).to_have_count(0)
    expect(notebook.cell(3).locator(".cm-content")).to_have_text("'the last'")


def test_text_is_seen_as_it_was_written(page: Page, server: Server, pictures: Path) -> None:
    """Lines, spaces, dollars, stars and tags of a text are seen as they were written."""
    text = "Two  spaces:\n    $5 and $6, *not* <b>bold</b>\n\nEnd. " + "A long line goes on below. " * 12
    notebook = open_saying(page, server, "text.ipynb", text, "%%ask -p says -f text\nWrite.")
    notebook.run(1)
    notebook.wait_until_idle(1)
    shown = notebook.output(1).first
    notebook.screenshot(pictures / "format-text.png", 1)
    assert shown.inner_text().rstrip() == text.rstrip()
    assert shown.locator("mjx-container").count() == 0
