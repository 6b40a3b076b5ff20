"""The panel in Notebook 7: what is most important of what the tests in JupyterLab claim."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab import PATIENCE, ClassicPage, Server
from panel_page import SETUP, TABS, PanelPage
from playwright.sync_api import Page, expect


@pytest.fixture
def shared(page: Page, server: Server, request: pytest.FixtureRequest) -> PanelPage:
    """The panel of a notebook of the test's own, as one of these tests ends its kernel and another writes a cell."""
    name = f"seven-{request.node.name}.ipynb"
    server.write(name, [SETUP, "", "", "# is never run"])
    return PanelPage(ClassicPage(page, server, name))


def test_pick_ask_and_stop(panel: PanelPage, pictures: Path) -> None:
    """A provider is moved, a failover is told, and Stop keeps what has come."""
    panel.show("refusing,thorough,slow")
    panel.picture(pictures / "panel-notebook7-idle.png")
    panel.ask("Why is the sky blue?")
    expect(panel.report).to_contain_text("thorough · sky-large-2026 · first token", timeout=PATIENCE)
    expect(panel.report).to_contain_text("failed: refusing")
    expect(panel.text.locator("mjx-container").first).to_be_visible(timeout=PATIENCE)
    panel.picture(pictures / "panel-notebook7-answered.png")
    panel.panel.get_by_role("button", name="ask slow earlier").click()
    panel.panel.get_by_label("refusing", exact=True).uncheck()
    panel.ask("Count.")
    expect(panel.text).to_contain_text("word20", timeout=PATIENCE)
    panel.button("Stop").click()
    expect(panel.answer).to_contain_text("■ stopped", timeout=PATIENCE)
    expect(panel.report).to_contain_text("stopped · slow")
    for tab in TABS[1:]:
        panel.tab(tab)
        panel.picture(pictures / f"panel-notebook7-{tab.lower().replace(' ', '-')}.png")


def test_insert_as_cell(panel: PanelPage) -> None:
    """Where not every cell was run, the page asks first; then the question stands below, and asks the same."""
    panel.show("refusing,echo")
    panel.prompt.fill("Who is there?")
    expect(panel.button("Insert as cell")).to_be_enabled()
    expect(panel.page.locator(".jp-Notebook .jp-Cell")).to_have_count(4)
    panel.button("Insert as cell").click()
    panel.page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(panel.page.locator(".jp-Notebook .jp-Cell")).to_have_count(5)
    panel.run(2)
    expect(panel.notebook.cell(2)).to_contain_text("You said: Who is there?")


def test_what_is_left_behind(panel: PanelPage, server: Server, request: pytest.FixtureRequest, pictures: Path) -> None:
    """Opened with its kernel the panel is back; opened without it, there is the picture of its last answer."""
    name = f"seven-{request.node.name}.ipynb"
    panel.show("echo")
    panel.ask("Who is there?")
    expect(panel.report).to_contain_text("echo · first token", timeout=PATIENCE)
    expect(panel.page.locator(".nbretry-static")).to_contain_text("You said: Who is there?", timeout=PATIENCE)
    panel.notebook.save()
    ClassicPage(panel.page, server, name)
    expect(panel.panel).to_be_visible(timeout=PATIENCE)
    expect(panel.page.locator(".nbretry-static")).not_to_be_visible()
    server.end_kernels()
    ClassicPage(panel.page, server, name)
    expect(panel.page.locator(".nbretry-static")).to_contain_text("You said: Who is there?", timeout=PATIENCE)
    expect(panel.page.locator(".nbretry-static")).to_be_visible()
    expect(panel.page.locator(".nbretry-panel:visible")).to_have_count(0)
    expect(panel.page.get_by_text("Error displaying widget").locator("visible=true")).to_have_count(0)
    panel.notebook.cell(1).screenshot(path=pictures / "panel-notebook7-static.png")
