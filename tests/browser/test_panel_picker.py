"""The panel's tabs in JupyterLab: whom it asks, for which model, and by which settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_server import FaultServer
from lab import PATIENCE, Server
from panel_page import PanelPage, open_panel_page
from playwright.sync_api import Page, expect

ENDPOINTS = """
nbretry.register("faults", OpenAIProvider(base_url="{origin}/v1", api_key="none", model="echo"))
nbretry.register("many", OpenAIProvider(base_url="{origin}/many-12/v1", api_key="none", model="ok"))
"""


@pytest.fixture(scope="module")
def faults() -> Iterator[FaultServer]:
    with FaultServer(turns={"model-7": ["ok"]}) as running:
        yield running


@pytest.fixture(scope="module")
def shared(module_page: Page, server: Server, faults: FaultServer) -> PanelPage:
    more = ENDPOINTS.format(origin=faults.origin)
    return open_panel_page(module_page, server, "panel-picker.ipynb", more)


def test_the_order_is_the_order_of_asking(panel: PanelPage) -> None:
    """Who is moved up, with the mouse or the keyboard, is asked first, and who is switched off is not asked."""
    panel.show("overloaded,thorough,echo")
    earlier = panel.panel.get_by_role("button", name="ask echo earlier")
    earlier.click()
    expect(panel.row("echo").locator(".nbretry-place")).to_have_text("2.")
    expect(earlier).to_be_focused()
    panel.page.keyboard.press("Enter")
    expect(panel.row("echo").locator(".nbretry-place")).to_have_text("1.")
    panel.expect_names(["echo", "overloaded", "thorough"])
    expect(earlier).to_be_disabled()
    panel.panel.get_by_role("button", name="ask echo later").click()
    expect(panel.row("echo").locator(".nbretry-place")).to_have_text("2.")
    panel.panel.get_by_label("overloaded", exact=True).uncheck()
    panel.ask("Hello.")
    expect(panel.text).to_contain_text("You said: Hello.", timeout=PATIENCE)
    expect(panel.report).not_to_contain_text("overloaded")
    panel.panel.get_by_label("echo", exact=True).uncheck()
    panel.panel.get_by_label("thorough", exact=True).uncheck()
    expect(panel.button("Ask")).to_be_disabled()


def test_a_model_from_the_list(panel: PanelPage, faults: FaultServer, pictures: Path) -> None:
    """A row lists the models that its endpoint offers; the one that is chosen is asked, and stands in the cell."""
    panel.show("many,faults")
    panel.panel.get_by_role("button", name="list the models of many").click()
    models = panel.panel.get_by_label("models of many", exact=True)
    expect(models.locator("option", has_text="model-11")).to_be_attached(timeout=PATIENCE)
    panel.picture(pictures / "panel-models.png")
    panel.panel.get_by_label("filter the models of many", exact=True).fill("7")
    expect(models.locator("option")).to_have_count(1)
    models.select_option("model-7")
    expect(panel.panel.get_by_label("model of many", exact=True)).to_have_value("model-7")
    expect(models).not_to_be_visible()
    panel.ask("Hello.")
    expect(panel.text).to_contain_text("Hello wide world", timeout=PATIENCE)
    assert faults.seen[-1].model == "model-7"
    expect(panel.tab("As a cell")).to_contain_text("%%ask -p many:model-7,faults")


def test_search(panel: PanelPage, pictures: Path) -> None:
    """With more than eight providers a search shows those with its words; the others keep what they had."""
    panel.show("nobody-there,slow,hostile,overloaded,refusing,hung,busy,thorough,echo,groq")
    search = panel.panel.get_by_label("search the providers", exact=True)
    search.click()
    panel.page.keyboard.type("ho")
    expect(panel.panel).to_contain_text("3 of 10 shown")
    panel.expect_names(["hostile", "thorough", "echo"])
    panel.picture(pictures / "panel-search.png")
    panel.panel.get_by_role("button", name="All off").click()
    search.fill("")
    expect(panel.row("slow")).to_be_visible()
    for name, is_on in {"hostile": False, "thorough": False, "echo": False, "slow": True}.items():
        expect(panel.panel.get_by_label(name, exact=True)).to_be_checked(checked=is_on)
    panel.show("echo")
    expect(panel.panel.get_by_label("search the providers", exact=True)).not_to_be_visible()


def test_a_provider_is_added_by_form(panel: PanelPage, faults: FaultServer, pictures: Path) -> None:
    """A mistake in the form is told and nothing that was typed is lost; what is added can be asked."""
    panel.show("refusing")
    form = panel.tab("Add a provider")
    for label, text in {"Name": "own server", "Base URL": faults.url, "Model": "ok"}.items():
        form.get_by_label(label, exact=True).fill(text)
    add = form.get_by_title("add this server as a provider")
    add.click()
    expect(form.locator(".nbretry-bad")).to_be_visible()
    expect(form.get_by_label("Base URL", exact=True)).to_have_value(faults.url)
    panel.picture(pictures / "panel-form-mistake.png")
    form.get_by_label("Name", exact=True).fill("own-server")
    add.click()
    expect(form).to_contain_text("own-server was added")
    panel.tab("Providers")
    panel.panel.get_by_label("refusing", exact=True).uncheck()
    panel.ask("Hello.")
    expect(panel.text).to_contain_text("Hello wide world", timeout=PATIENCE)
    expect(panel.report).to_contain_text("own-server")


def test_settings(panel: PanelPage, faults: FaultServer, pictures: Path) -> None:
    """What is set in the tab is used by the next question and seen by %nbretry config, and the other way round."""
    panel.show("faults")
    settings = panel.tab("Settings")
    temperature = settings.get_by_label("Temperature", exact=True)
    temperature.fill("0.25")
    panel.ask("Hello.")
    expect(panel.text).to_contain_text('"temperature": 0.25', timeout=PATIENCE)
    expect(panel.code("%nbretry config").first).to_contain_text("0.25")
    panel.code("%nbretry config max_tokens 321")
    expect(settings.get_by_label("Max tokens", exact=True)).to_have_value("321")
    settings.get_by_label("Retries", exact=True).fill("many")
    settings.get_by_label("Retries", exact=True).press("Tab")
    expect(settings.locator(".nbretry-setting-wrong:visible")).to_contain_text("✗ retries")
    expect(settings.get_by_label("Retries", exact=True)).to_have_value("many")
    panel.picture(pictures / "panel-settings-mistake.png")
    settings.get_by_role("button", name="Undo Max tokens").click()
    expect(settings.get_by_label("Max tokens", exact=True)).to_have_value("")
    panel.ask("Again.")
    expect(panel.text).to_contain_text("Again.", timeout=PATIENCE)
    expect(panel.text).not_to_contain_text("max_tokens")
    assert faults.seen[-1].body["temperature"] == 0.25


def test_insert_as_cell(panel: PanelPage) -> None:
    """A click writes the question as a cell below the panel's, and that cell asks the same."""
    panel.show("refusing,echo")
    panel.prompt.fill('What is 2 < 3 & "4"?\n%%ask \'</pre>')
    expect(panel.tab("As a cell").locator("pre")).to_have_text(
        '%%ask -p refusing,echo\nWhat is 2 < 3 & "4"?\n%%ask \'</pre>'
    )
    expect(panel.button("Insert as cell")).to_be_enabled()
    cells = panel.page.locator(".jp-Notebook .jp-Cell")
    expect(cells).to_have_count(3)
    panel.button("Insert as cell").click()
    expect(cells).to_have_count(4)
    panel.run(2)
    expect(panel.notebook.cell(2)).to_contain_text('You said: What is 2 < 3 & "4"? %%ask \'</pre>')
    expect(panel.notebook.cell(2)).to_contain_text("failed: refusing")
    panel.page.keyboard.press("Escape")
    panel.notebook.cell(2).locator(".jp-InputPrompt").click()
    panel.page.keyboard.press("d")
    panel.page.keyboard.press("d")
    expect(cells).to_have_count(3)


def test_use_in_ask(panel: PanelPage) -> None:
    """What the panel would ask becomes what a bare %%ask asks; a setting of a cell changes the panel."""
    panel.show("refusing,echo")
    panel.panel.get_by_label("refusing", exact=True).uncheck()
    panel.button("Use in %%ask").click()
    expect(panel.button("Use in %%ask")).to_be_disabled()
    outputs = panel.code("%%ask\nWho is asked?")
    expect(outputs.first).to_contain_text("You said: Who is asked?")
    panel.code("%nbretry config providers thorough,refusing")
    expect(panel.row("thorough").locator(".nbretry-place")).to_have_text("1.")
    expect(panel.panel.get_by_label("refusing", exact=True)).to_be_checked()
    expect(panel.panel.get_by_label("echo", exact=True)).not_to_be_checked()
