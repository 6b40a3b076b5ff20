"""What a person sees who presses Tab in JupyterLab."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import PROVIDERS
from lab import NotebookPage, Server
from playwright.sync_api import Locator, Page, expect


@pytest.fixture
def notebook(page: Page, server: Server) -> NotebookPage:
    """A notebook with an empty cell below one that has loaded nbretry."""
    server.write("completion.ipynb", [PROVIDERS, ""])
    opened = NotebookPage(page, server, "completion.ipynb")
    opened.run(0)
    opened.wait_until_idle(0)
    opened.cell(0).evaluate("element => element.style.display = 'none'")
    return opened


def press_tab(notebook: NotebookPage, typed: str) -> Locator:
    """The list that a Tab behind this text opens in the second cell."""
    editor = notebook.cell(1).locator(".cm-content")
    editor.click()
    notebook.page.keyboard.press("Control+a")
    # In one piece, as closing brackets come by themselves behind what is typed.
    notebook.page.keyboard.insert_text(typed)
    expect(editor).to_contain_text(typed.splitlines()[-1])
    notebook.page.keyboard.press("Tab")
    shown = notebook.page.locator(".jp-Completer:visible")
    shown.wait_for()
    return shown.locator(".jp-Completer-item")


def names(items: Locator) -> list[str]:
    return items.locator(".jp-Completer-match").all_inner_texts()


def source(notebook: NotebookPage) -> str:
    return "\n".join(notebook.cell(1).locator(".cm-line").all_inner_texts())


def test_a_providers_name(notebook: NotebookPage, pictures: Path) -> None:
    """A Tab after ``-p`` lists names of providers for the last place of a list, and Enter inserts the chosen one."""
    items = press_tab(notebook, "%%ask -p local,open")
    expect(items).to_have_count(2)
    assert names(items) == ["openai", "openrouter"]
    notebook.page.screenshot(path=pictures / "completion-providers.png")
    notebook.page.keyboard.press("ArrowDown")
    notebook.page.keyboard.press("Enter")
    expect(notebook.cell(1).locator(".cm-line").first).to_have_text("%%ask -p local,openrouter")


def test_in_a_cell_of_several_lines(notebook: NotebookPage) -> None:
    """Behind an emoji, in the last of several lines, just the variable's name is replaced."""
    items = press_tab(notebook, "%%ask -p local\nWhy is the 🌍 blue?\nAnd 🌍 {{ nbr")
    expect(items).to_have_count(1)
    notebook.page.keyboard.press("Enter")
    expect(notebook.cell(1).locator(".cm-line").last).to_have_text("And 🌍 {{ nbretry")
    assert source(notebook).startswith("%%ask -p local\nWhy is the 🌍 blue?\n")


def test_options_say_what_they_mean(notebook: NotebookPage, pictures: Path) -> None:
    """A Tab after the magic lists its options, each with a few words."""
    items = press_tab(notebook, "%%ask --m")
    expect(items).to_have_count(3)
    assert set(names(items)) == {"--model", "--max-tokens", "--max-cost"}, "JupyterLab sorts them"
    expect(items.filter(has_text="--model")).to_contain_text("which model")
    notebook.page.screenshot(path=pictures / "completion-options.png")
