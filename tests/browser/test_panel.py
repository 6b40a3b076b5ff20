"""What a person sees of the panel in JupyterLab, and does there with the mouse and with the keyboard."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cells import PROVIDERS
from lab import PATIENCE, NotebookPage, Server
from playwright.sync_api import Locator, Page, expect

MORE = r'''
import time
from nbretry.providers import ScriptedProvider
nbretry.register("overloaded", ScriptedProvider("503"))
nbretry.register("refusing", ScriptedProvider("401 message='the key is not valid'"))
LONG = """### Rayleigh scattering

Sunlight holds *all* colours, and molecules are much smaller than a wave. So the **short waves** are scattered most:

$$I \\propto \\frac{1}{\\lambda^4}$$

1. Blue light has about 450 nm.
2. Red light has about 700 nm.

```python
def scattered(wavelength, than=700):
    return (than / wavelength) ** 4
```
"""
nbretry.register("thorough", ScriptedProvider.words(LONG, model="sky-large-2026", delay=0.005))

class Echo:
    async def create_async_generator(self, model, messages, **options):
        yield "You said: " + messages[-1]["content"]

nbretry.register("echo", Echo())
FORMULA = r"$\href{javascript:window.hostile=9}{x^2}$ and $\unicode{x3c}script>window.hostile=10$"
nbretry.register("formula", Provider(FORMULA))
'''


def open_panel(page: Page, server: Server, name: str, providers: str, *cells: str) -> NotebookPage:
    """A notebook that shows a panel of these providers in its second cell; the first is out of sight."""
    server.write(name, [PROVIDERS + MORE, f"%nbretry panel {providers}", *cells])
    notebook = NotebookPage(page, server, name)
    notebook.run(0)
    notebook.wait_until_idle(0)
    notebook.cell(0).evaluate("element => element.style.display = 'none'")
    notebook.run(1)
    notebook.wait_until_idle(1)
    expect(panel(page)).to_be_visible(timeout=PATIENCE)
    return notebook


def panel(page: Page) -> Locator:
    return page.locator(".nbretry-panel")


def button(page: Page, words: str) -> Locator:
    """One of the buttons below the prompt."""
    return panel(page).locator(".nbretry-bar button").filter(has_text=re.compile(rf"{words}$"))


def prompt(page: Page) -> Locator:
    return panel(page).get_by_label("Prompt", exact=True)


def answer(page: Page) -> Locator:
    return panel(page).locator(".nbretry-answer")


def state(page: Page, name: str) -> Locator:
    """How a provider's row says that it is doing."""
    row = panel(page).locator(".nbretry-row").filter(has=page.get_by_label(name, exact=True))
    return row.locator(".nbretry-state")


def is_running(notebook: NotebookPage, index: int) -> None:
    expect(notebook.cell(index).locator(".jp-InputPrompt")).to_have_text("[*]:")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_question_and_a_failover(page: Page, server: Server, pictures: Path, theme: str) -> None:
    """One types a question and presses Ask; two fail, the third answers, and everything of it is told."""
    server.set_theme(f"JupyterLab {theme}")
    names = "nobody-there,refusing,thorough,groq,local"
    notebook = open_panel(page, server, f"panel-{theme}.ipynb", names)
    look = theme.lower()
    expect(button(page, "Ask")).to_be_disabled()
    expect(state(page, "groq")).to_contain_text("no key: set GROQ_API_KEY")
    notebook.screenshot(pictures / f"panel-idle-{look}.png", 1)
    prompt(page).click()
    page.keyboard.type("Why is the sky blue?")
    button(page, "Ask").click()
    summary = answer(page).locator("details.nbretry-report > summary")
    expect(summary).to_contain_text("thorough · sky-large-2026 · first token", timeout=PATIENCE)
    expect(summary).to_contain_text("failed: nobody-there, refusing")
    expect(answer(page).locator("strong")).to_have_text("short waves")
    expect(answer(page).locator("mjx-container").first).to_be_visible(timeout=PATIENCE)
    expect(state(page, "nobody-there")).to_contain_text("failed once: APIConnectionError")
    expect(state(page, "refusing")).to_contain_text("resting")
    expect(state(page, "thorough")).to_contain_text("ready")
    for words, is_open in {"Ask": True, "Stop": False, "Clear": True}.items():
        expect(button(page, words)).to_be_enabled(enabled=is_open)
    notebook.screenshot(pictures / f"panel-answered-{look}.png", 1)
    summary.click()
    expect(answer(page).locator("details.nbretry-report tbody tr")).to_have_count(3)
    expect(answer(page).get_by_alt_text("time line of 3 attempts")).to_be_visible()
    notebook.screenshot(pictures / f"panel-report-{look}.png", 1)
    button(page, "Clear").click()
    expect(prompt(page)).to_have_value("")
    expect(answer(page)).not_to_contain_text("short waves")


def test_the_order_is_the_order_of_asking(page: Page, server: Server) -> None:
    """Who is moved up is asked first, and who is switched off is not asked."""
    open_panel(page, server, "panel-order.ipynb", "overloaded,thorough,echo")
    panel(page).get_by_title("ask echo earlier").click()
    names = panel(page).locator(".nbretry-name")
    expect(names).to_have_text(["overloaded", "echo", "thorough"])
    panel(page).get_by_label("overloaded", exact=True).uncheck()
    prompt(page).fill("Hello.")
    button(page, "Ask").click()
    expect(answer(page)).to_contain_text("You said: Hello.", timeout=PATIENCE)
    expect(answer(page)).not_to_contain_text("failed: overloaded")


def test_with_the_keyboard(page: Page, server: Server) -> None:
    """From the prompt, Ask is one Tab away."""
    open_panel(page, server, "panel-keyboard.ipynb", "echo")
    prompt(page).focus()
    page.keyboard.type("Hello {x}.")
    expect(button(page, "Ask")).to_be_enabled()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(answer(page)).to_contain_text("You said: Hello {x}.", timeout=PATIENCE)


def test_stop_while_a_cell_blocks_the_kernel(page: Page, server: Server, pictures: Path) -> None:
    """The answer streams on while another cell blocks the kernel, and Stop stops it there; the text stays, marked."""
    notebook = open_panel(page, server, "panel-stop.ipynb", "slow", "time.sleep(20)", "print(_answer.state)")
    prompt(page).fill("Count.")
    button(page, "Ask").click()
    expect(answer(page)).to_contain_text("word5", timeout=PATIENCE)
    notebook.run(2)
    is_running(notebook, 2)
    expect(answer(page)).to_contain_text("word60", timeout=PATIENCE)
    notebook.screenshot(pictures / "panel-streaming.png", 1)
    button(page, "Stop").click()
    expect(answer(page)).to_contain_text("■ stopped", timeout=5_000)
    is_running(notebook, 2)
    expect(answer(page)).to_contain_text("stopped · slow")
    expect(answer(page)).to_contain_text("word60")
    expect(button(page, "Ask")).to_be_enabled()
    notebook.screenshot(pictures / "panel-stopped.png", 1)
    notebook.interrupt()
    notebook.wait_until_idle(2)
    notebook.run(3)
    expect(notebook.output(3).first).to_contain_text("stopped")


def test_typing_while_a_cell_awaits_and_after_a_new_page(page: Page, server: Server) -> None:
    """The panel takes what is typed while a cell awaits something, and after the page was loaded, or opened, again."""
    notebook = open_panel(page, server, "panel-pages.ipynb", "echo", "while True: await asyncio.sleep(0.2)")
    notebook.run(2)
    is_running(notebook, 2)
    prompt(page).click()
    page.keyboard.type("typed while a cell waits", delay=20)
    button(page, "Ask").click()
    expect(answer(page)).to_contain_text("You said: typed while a cell waits", timeout=PATIENCE)
    is_running(notebook, 2)
    notebook.interrupt()
    notebook.wait_until_idle(2)
    page.keyboard.press("Escape")
    notebook.save()

    page.goto(f"{server.url}/lab/tree/panel-pages.ipynb?token={server.token}&reset")
    expect(panel(page)).to_be_visible(timeout=PATIENCE)
    expect(prompt(page)).to_have_value("typed while a cell waits")
    ask_again(page, "after loading")

    page.keyboard.press("Control+s")
    page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    page.locator(".lm-TabBar-tab.jp-mod-current .lm-TabBar-tabCloseIcon").first.click()
    expect(panel(page)).to_have_count(0)
    page.locator(".jp-DirListing-item", has_text="panel-pages.ipynb").dblclick()
    expect(panel(page)).to_be_visible(timeout=PATIENCE)
    ask_again(page, "after opening")


def ask_again(page: Page, words: str) -> None:
    prompt(page).click()
    page.keyboard.press("Control+a")
    page.keyboard.type(words, delay=20)
    button(page, "Ask").click()
    expect(answer(page)).to_contain_text(f"You said: {words}", timeout=PATIENCE)


def test_a_hostile_answer_does_nothing(page: Page, server: Server) -> None:
    """Scripts, event handlers, styles, remote images and formulas in an answer neither run nor load."""
    open_panel(page, server, "panel-hostile.ipynb", "hostile,formula")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for last in ("After.", "and"):
        prompt(page).fill(f"Until {last}")
        button(page, "Ask").click()
        expect(answer(page).locator(".nbretry-text")).to_contain_text(last, timeout=PATIENCE)
        expect(answer(page).locator("details.nbretry-report")).to_have_count(1)
        page.wait_for_timeout(1000)
        for link in answer(page).locator(".nbretry-text a").all():
            address, target = link.get_attribute("href") or "", link.get_attribute("target")
            if address.startswith("http"):
                assert target == "_blank", "a click would leave the notebook"
            else:
                link.click(timeout=2000, no_wait_after=True)
        assert page.evaluate("() => window.hostile") is None
        assert answer(page).locator(".nbretry-text").locator("img, script, style, iframe").count() == 0
        assert answer(page).locator("a[href^='javascript']").count() == 0
        panel(page).get_by_label("hostile", exact=True).uncheck()
    assert not [url for url in asked if "remote.invalid" in url]


@pytest.mark.parametrize("width", [600, 1100, 1600])
def test_it_is_aligned_at_any_width(page: Page, server: Server, pictures: Path, width: int) -> None:
    """The columns of the picker stand under each other, and nothing sticks out, on a narrow page and on a wide one."""
    page.set_viewport_size({"width": width, "height": 1000})
    names = "nobody-there,a-provider-with-a-rather-long-name,groq,local"
    register = "nbretry.register('a-provider-with-a-rather-long-name', Echo())"
    server.write("panel-width.ipynb", [f"{PROVIDERS}{MORE}\n{register}", f"%nbretry panel {names}"])
    notebook = NotebookPage(page, server, "panel-width.ipynb")
    notebook.run(0)
    notebook.wait_until_idle(0)
    notebook.cell(0).evaluate("element => element.style.display = 'none'")
    notebook.run(1)
    expect(panel(page)).to_be_visible(timeout=PATIENCE)
    prompt(page).fill("Why?")
    button(page, "Ask").click()
    expect(answer(page)).to_contain_text("You said", timeout=PATIENCE)
    outer = panel(page).bounding_box()
    assert outer is not None
    columns: set[tuple[int, ...]] = set()
    for row in panel(page).locator(".nbretry-row").all():
        boxes = [cell.bounding_box() for cell in row.locator("> *").all()]
        columns.add(tuple(round(box["x"]) for box in boxes if box))
        ends = [box["x"] + box["width"] for box in boxes if box]
        assert all(end <= outer["x"] + outer["width"] for end in ends)
    assert len(columns) == 1, columns
    cell = notebook.cell(1).bounding_box()
    assert cell is not None
    assert outer["x"] + outer["width"] <= cell["x"] + cell["width"] + 1
    notebook.screenshot(pictures / f"panel-{width}.png", 1)
