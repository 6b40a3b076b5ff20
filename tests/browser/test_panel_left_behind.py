"""What is left of the panel where its kernel is gone: the picture of its last answer, and no half-dead widget."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from lab import PATIENCE, NotebookPage, Server
from nbconvert import HTMLExporter
from panel_page import PanelPage, open_panel_page
from playwright.sync_api import Locator, Page, expect

ERROR = "Error displaying widget"
NAME = "panel-left.ipynb"


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> str:
    """Where the test's own notebook is."""
    name: str = request.node.name
    return name


@pytest.fixture
def panel(page: Page, server: Server, folder: str) -> PanelPage:
    """The panel of a notebook of the test's own, with a kernel of its own: these tests end it, and leave the page."""
    return open_panel_page(page, server, f"{folder}/{NAME}")


def static(page: Page) -> Locator:
    """The picture."""
    return page.locator(".nbretry-static")


def expect_picture(page: Page, index: int = 1) -> None:
    """Claim that the picture of `answered` is to be seen, and neither a panel nor an error."""
    cell = page.locator(".jp-Notebook .jp-Cell").nth(index)
    for words in ("You said: Why", "echo · first token", "needs its kernel"):
        expect(cell.get_by_text(words).locator("visible=true")).to_have_count(1, timeout=PATIENCE)
    expect(page.locator(".nbretry-panel:visible")).to_have_count(0, timeout=PATIENCE)
    expect(page.get_by_text(ERROR).locator("visible=true")).to_have_count(0)


def expect_panel(panel: PanelPage, question: str) -> None:
    """Claim that the panel is to be seen, without its picture, and answers."""
    expect(panel.panel).to_be_visible(timeout=PATIENCE)
    expect(static(panel.page)).not_to_be_visible()
    panel.ask(question)
    expect(panel.text).to_contain_text(f"You said: {question}", timeout=PATIENCE)


def answered(panel: PanelPage) -> None:
    """Have the panel answer."""
    panel.show("refusing,echo")
    panel.ask("Why <b>so</b>?")
    expect(panel.report).to_contain_text("echo · first token", timeout=PATIENCE)
    expect(static(panel.page)).to_contain_text("You said: Why")
    expect(static(panel.page)).not_to_be_visible()


def test_after_the_page_was_loaded_again(panel: PanelPage, server: Server, folder: str) -> None:
    """With its kernel alive the panel is back, with what was typed and answered, and works."""
    answered(panel)
    panel.notebook.save()
    panel.page.goto(f"{server.url}/lab/tree/{folder}/{NAME}?token={server.token}&reset")
    expect(panel.panel).to_be_visible(timeout=PATIENCE)
    expect(panel.prompt).to_have_value("Why <b>so</b>?")
    expect(panel.text).to_contain_text("You said: Why")
    expect_panel(panel, "after loading")
    panel.notebook.save()
    panel.page.locator(".lm-TabBar-tab.jp-mod-current .lm-TabBar-tabCloseIcon").first.click()
    expect(panel.panel).to_have_count(0)
    panel.page.locator(".jp-DirListing-item", has_text=NAME).dblclick()
    expect_panel(panel, "after opening")


def test_after_the_kernel_was_restarted(panel: PanelPage, pictures: Path) -> None:
    """A restart by the toolbar leaves the picture in the panel's place; the cell run again shows a panel that works."""
    answered(panel)
    panel.page.locator("[data-jp-item-name=restart]").click()
    panel.page.locator(".jp-Dialog .jp-mod-accept").click()
    expect_picture(panel.page)
    panel.notebook.cell(1).screenshot(path=pictures / "panel-static.png")
    panel.set_up()
    panel.run(1, "%nbretry panel echo")
    expect_panel(panel, "after a restart")


def test_after_the_kernel_died(panel: PanelPage) -> None:
    """A kernel that dies leaves the picture in the panel's place."""
    answered(panel)
    panel.start(2, "import os; os._exit(1)")
    panel.page.locator(".jp-Dialog .jp-mod-accept").click()
    expect_picture(panel.page)


def test_the_saved_file(panel: PanelPage, server: Server, folder: str, pictures: Path, tmp_path: Path) -> None:
    """Reopened with another kernel, trusted or not, and as HTML, the file shows the picture."""
    answered(panel)
    saved = saved_file(panel, server.root / folder)
    assert "widgets" not in saved.metadata
    expect_picture_in_html(panel.page, saved, tmp_path)
    left = panel.page.locator(".jp-Cell").nth(1)
    left.screenshot(path=pictures / "panel-nbconvert.png")
    reopen(panel.page, server, saved, "panel-trusted.ipynb")
    expect(panel.page.get_by_title("Notebook trusted")).to_be_visible()
    left.screenshot(path=pictures / "panel-reopened.png")
    saved.cells[2].source = "# changed elsewhere"
    reopen(panel.page, server, saved, "panel-untrusted.ipynb")
    expect(panel.page.get_by_title("Notebook not trusted")).to_be_visible()
    left.screenshot(path=pictures / "panel-untrusted.png")


def test_the_saved_file_with_widget_state(panel: PanelPage, server: Server, folder: str, tmp_path: Path) -> None:
    """A file that has the state of its widgets, too, shows the picture and no panel that nobody answers for."""
    answered(panel)
    try:
        panel.page.get_by_role("menuitem", name="Settings", exact=True).click()
        panel.page.locator(".lm-Menu-item", has_text="Save Widget State Automatically").click()
        saved = saved_file(panel, server.root / folder)
        assert saved.metadata["widgets"]
        expect_picture_in_html(panel.page, saved, tmp_path)
        reopen(panel.page, server, saved, "panel-state.ipynb")
        expect(panel.page.get_by_title("Notebook trusted")).to_be_visible()
        saved.metadata.kernelspec.update(name="nowhere", display_name="Nowhere", language="nothing")
        del saved.metadata["language_info"]
        reopen(panel.page, server, saved, "panel-no-kernel.ipynb", has_kernel=False)
    finally:
        shutil.rmtree(server.root.parent / "settings" / "@jupyter-widgets", ignore_errors=True)


def saved_file(panel: PanelPage, directory: Path) -> nbformat.NotebookNode:
    """The notebook as JupyterLab saves it."""
    panel.notebook.cell(1).locator(".jp-InputPrompt").click()
    panel.notebook.save()
    return nbformat.read(directory / NAME, as_version=4)


def reopen(page: Page, server: Server, notebook: nbformat.NotebookNode, name: str, has_kernel: bool = True) -> None:
    """Open this under another name, with a kernel of its own or with none."""
    nbformat.write(notebook, server.root / name)
    NotebookPage(page, server, name, wait_for_kernel=has_kernel)
    if not has_kernel:
        page.locator(".jp-Dialog .jp-mod-reject", has_text="No Kernel").click()
    expect_picture(page)


def expect_picture_in_html(page: Page, notebook: nbformat.NotebookNode, directory: Path) -> None:
    """Claim that nbconvert's HTML of this shows the picture and nothing of the panel."""
    as_html(page, notebook, directory)
    expect(page.get_by_text("You said: Why")).to_be_visible()
    expect(page.get_by_text("echo · first token")).to_be_visible()
    expect(page.locator(".nbretry-panel")).to_have_count(0)


def as_html(page: Page, notebook: nbformat.NotebookNode, directory: Path) -> None:
    """Open nbconvert's HTML of this, with no network."""
    html, _ = HTMLExporter().from_notebook_node(notebook)
    file = directory / "notebook.html"
    file.write_text(html, encoding="utf-8")
    page.route("http://**", lambda route: route.abort())
    page.route("https://**", lambda route: route.abort())
    try:
        page.goto(file.as_uri())
    finally:
        page.unroute_all()
