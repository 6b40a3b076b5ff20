"""What a person sees of the panel's form for a provider in JupyterLab, and does there with mouse and keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import PATIENCE, NotebookPage, Server
from playwright.sync_api import Locator, Page, expect

from nbretry.testing import FaultServer

KEY = "sk-0123456789abcdefghijKLMN"


@pytest.fixture
def lab_server() -> Iterator[FaultServer]:
    with FaultServer({"qwen3": "'The sky is ' 'blue.'"}) as running:
        yield running


def open_form(page: Page, server: Server, name: str, *cells: str) -> NotebookPage:
    server.write(name, ["%load_ext nbretry", "%nbretry panel local", *cells, "pass"])
    notebook = NotebookPage(page, server, name)
    for index in (0, 1):
        notebook.run(index)
        notebook.wait_until_idle(index)
    page.locator(".nbretry-panel .lm-TabBar-tab").filter(has_text="Add a provider").click()
    expect(field(page, "Name")).to_be_visible(timeout=PATIENCE)
    # See `PanelPage.show`.
    notebook.run(2 + len(cells))
    notebook.wait_until_idle(2 + len(cells))
    return notebook


def form(page: Page) -> Locator:
    return page.locator(".nbretry-adding")


def field(page: Page, label: str) -> Locator:
    return form(page).get_by_label(label, exact=True)


def add(page: Page) -> Locator:
    return form(page).get_by_title("add this server as a provider")


def type_in(page: Page, **fields: str) -> None:
    """Click into each field, type, and leave it with Tab."""
    for label, text in fields.items():
        field(page, label.replace("_", " ")).click()
        page.keyboard.type(text)
        page.keyboard.press("Tab")


def test_a_server_is_added_and_asked(page: Page, server: Server, lab_server: FaultServer, pictures: Path) -> None:
    """One fills in the form with the keyboard, mends a mistake, adds the server, and a cell asks it by its name."""
    notebook = open_form(page, server, "adding.ipynb", "%%ask -p lab\nWhy?")
    notebook.screenshot(pictures / "panel-adding-empty.png", 1)
    field(page, "Name").click()
    for text in ("lab", "", "127.0.0.1/v1", "qwen3", "NBRETRY_LAB_KEY"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    expect(add(page)).to_be_focused()
    page.keyboard.press("Enter")
    expect(form(page)).to_contain_text("✗ base_url is '127.0.0.1/v1', and should be as http://gpu-server:8000/v1")
    expect(field(page, "Model")).to_have_value("qwen3")
    notebook.screenshot(pictures / "panel-adding-mistake.png", 1)
    field(page, "Base URL").fill(lab_server.url)
    add(page).click()
    expect(form(page)).to_contain_text("✓ lab was added: %%ask -p lab asks it · key: not needed")
    expect(form(page).locator("pre")).to_contain_text("[tool.nbretry.provider.lab]")
    expect(field(page, "Name")).to_have_value("")
    notebook.screenshot(pictures / "panel-adding-added.png", 1)
    notebook.run(2)
    expect(notebook.output(2).first).to_contain_text("The sky is blue.", timeout=PATIENCE)


HELD = """import os, time
with nbretry.panel()._lock:
    while not os.path.exists("{word}"):
        time.sleep(0.05)"""


@pytest.mark.parametrize("how", ["keyboard", "mouse"])
def test_a_press_on_add_is_not_lost(page: Page, server: Server, how: str) -> None:
    """Where the kernel knows nothing yet of what was typed, Tab reaches Add all the same, and pressing it counts."""
    word = f"add-was-pressed-with-the-{how}"
    notebook = open_form(page, server, f"adding-held-{how}.ipynb", "import nbretry\n" + HELD.format(word=word))
    notebook.run(2)
    expect(notebook.cell(2).locator(".jp-InputPrompt")).to_have_text("[*]:")
    field(page, "Name").fill("lab")
    if how == "keyboard":
        field(page, "Key variable").click()
        page.keyboard.press("Tab")
        expect(add(page)).to_be_focused()
        page.keyboard.press("Enter")
    else:
        add(page).click()
    server.tell(word)
    expect(form(page)).to_contain_text("✗ base_url is missing")
    notebook.wait_until_idle(2)


def test_a_key_does_not_stay(page: Page, server: Server, pictures: Path) -> None:
    """A key that is pasted into any field is gone from the page at once, and the saved notebook has nothing of it."""
    notebook = open_form(page, server, "adding-key.ipynb")
    for label in ("Name", "Base URL", "Model", "Key variable"):
        field(page, label).click()
        page.keyboard.insert_text(KEY)
        page.keyboard.press("Tab")
        expect(form(page)).to_contain_text("✗ that looks like a key: write the name of the environment variable")
        expect(field(page, label)).to_have_value("")
    notebook.screenshot(pictures / "panel-adding-key.png", 1)
    notebook.cell(0).locator(".cm-content").click()
    notebook.save()
    assert KEY[3:] not in (server.root / "adding-key.ipynb").read_text()
    assert KEY[3:] not in page.content()


def test_what_is_typed_stays_while_the_form_changes(page: Page, server: Server) -> None:
    """While the kernel is busy one goes on from field to field; when it has time, nothing of what was typed is lost."""
    busy = "import os, time\nwhile not os.path.exists('all-was-typed'):\n    time.sleep(0.05)"
    notebook = open_form(page, server, "adding-busy.ipynb", busy)
    notebook.run(2)
    expect(notebook.cell(2).locator(".jp-InputPrompt")).to_have_text("[*]:")
    type_in(page, Name="lab")
    field(page, "Protocol").select_option(label="Anthropic's protocol")
    field(page, "Base URL").click()
    page.keyboard.type("http://gpu-server:8000")
    server.tell("all-was-typed")
    notebook.wait_until_idle(2)
    expect(form(page)).to_contain_text("without /v1")
    expect(field(page, "Base URL")).to_have_value("http://gpu-server:8000")
    page.keyboard.press("Tab")
    add(page).click()
    expect(form(page)).to_contain_text("✓ lab was added")
    expect(form(page).locator("pre")).to_contain_text('base_url = "http://gpu-server:8000"')


@pytest.mark.parametrize(("width", "theme"), [(600, "Dark"), (1600, "Light")])
def test_it_is_aligned(page: Page, server: Server, pictures: Path, width: int, theme: str) -> None:
    """At every width the fields stand in one column of one width, with their labels beside and their help at hand."""
    server.set_theme(f"JupyterLab {theme}")
    page.set_viewport_size({"width": width, "height": 1000})
    notebook = open_form(page, server, f"adding-{width}-{theme}.ipynb")
    labels = ("Provider", "Name", "Protocol", "Base URL", "Model", "Key variable")
    boxes = [field(page, label).bounding_box() for label in labels]
    assert len({(round(box["x"]), round(box["width"])) for box in boxes if box}) == 1
    assert all(box and box["width"] >= 200 for box in boxes)
    edges = form(page).bounding_box()
    assert edges
    for part in form(page).locator("input, select, button, .nbretry-adding-help").all():
        box = part.bounding_box()
        assert box
        assert edges["x"] <= box["x"] < box["x"] + box["width"] <= edges["x"] + edges["width"] + 1
    type_in(page, Name="lab", Base_URL="http://gpu-server:8000/v1", Key_variable="LAB_KEY")
    add(page).click()
    expect(form(page).locator("pre")).to_contain_text("[provider.lab]")
    notebook.screenshot(pictures / f"panel-adding-{width}-{theme.lower()}.png", 1)
