"""The panel in a notebook, and what a person does there with the mouse and with the keyboard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from cells import PROVIDERS
from lab import PATIENCE, NotebookPage, Server
from playwright.sync_api import Locator, Page, expect

SETUP = (
    PROVIDERS
    + r'''
import time
from nbretry.providers import ScriptedProvider
nbretry.register("overloaded", ScriptedProvider("503"))
nbretry.register("refusing", ScriptedProvider("401 message='the key is not valid'"))
nbretry.register("hung", ScriptedProvider("hang"))
nbretry.register("busy", ScriptedProvider("429 retry-after=30"))
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

class Counting:
    calls = 0

    async def create_async_generator(self, model, messages, **options):
        self.calls += 1
        yield f"{len(messages)} messages, the last: {messages[-1]['content']} (call {self.calls})"

nbretry.register("counting", Counting())

def fresh():
    """As at the beginning: no panel, nobody rests, no conversation, no setting of the session."""
    nbretry.panel().close()
    session = nbretry.default_session()
    session.health.reset()
    session.conversations.open("default").clear()
    for key in [key for key, one in session.settings.current().items() if one.source == "%nbretry config"]:
        session.settings.unset(key)
'''
)

ENABLED = """() => [...document.querySelectorAll('.nbretry-panel .nbretry-bar button:enabled')]
  .filter(one => one.checkVisibility()).map(one => one.innerText.trim()).sort()"""
NAMES = """() => [...document.querySelectorAll('.nbretry-panel .nbretry-picker-rows > .nbretry-provider')]
  .filter(one => one.checkVisibility())
  .map(one => [one.getBoundingClientRect().y, one.querySelector('.nbretry-name').innerText.trim()])
  .sort(([y], [other]) => y - other).map(([_, name]) => name)"""
PLACE = """one => {
  if (!one.isConnected) return null;
  const [inner, outer] = [one, one.closest('.nbretry-panel')].map(each => each.getBoundingClientRect());
  return [inner.x - outer.x, inner.y - outer.y];
}"""
"""Null for a part that an answer's next text has replaced between the page's look for it and this."""

SETTLED = """async panel => {
  const boxes = () => [...panel.querySelectorAll('*')].map(one => one.getBoundingClientRect());
  const look = () => JSON.stringify(boxes().map(({x, y, width, height}) => [x, y, width, height]));
  const fades = () => panel.getAnimations({subtree: true}).some(one => one instanceof CSSTransition);
  for (let before = '', same = 0; same < 5;) {
    await new Promise(requestAnimationFrame);
    const now = look();
    same = now === before && !fades() ? same + 1 : 0;
    before = now;
  }
}"""
"""Ends once five frames that the browser has painted were the same."""

TABS = ("Providers", "Settings", "Add a provider", "As a cell")


class PanelPage:
    """A notebook that shows the panel in its second cell; its third cell is for code.

    Args:
        notebook: open, of `write`.
    """

    def __init__(self, notebook: NotebookPage) -> None:
        self.notebook = notebook
        self.page = notebook.page
        self.set_up()

    # --- the notebook -------------------------------------------------------------------------------------------------

    @staticmethod
    def write(server: Server, name: str, more: str = "") -> None:
        """Put a notebook for this there; ``more`` is run in its first cell."""
        server.write(name, [SETUP + more, "", ""])

    def set_up(self) -> None:
        """Run the first cell, in a kernel that has just begun; it is out of sight otherwise."""
        first = self.notebook.cell(0)
        first.evaluate("element => element.style.display = ''")
        self.start(0)
        self.notebook.wait_until_idle(0)
        first.evaluate("element => element.style.display = 'none'")

    def run(self, index: int, source: str | None = None) -> Locator:
        """Run a cell to its end, with this source in place of its own; its outputs."""
        self.start(index, source)
        self.notebook.wait_until_idle(index)
        return self.notebook.output(index)

    def start(self, index: int, source: str | None = None) -> None:
        """Begin to run a cell, with this source in place of its own."""
        self.notebook.forget_number(index)
        self.notebook.cell(index).locator(".cm-content").click()
        if source is not None:
            self.page.keyboard.press("Control+a")
            self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Control+Enter")

    def code(self, source: str) -> Locator:
        """Run this in the cell for code; its outputs."""
        return self.run(2, source)

    def show(self, providers: str) -> None:
        """Have a new panel with these providers, and everything else as at the beginning."""
        # In two cells: a busy server loses what a kernel sends beyond a thousand messages at once; each sends hundreds.
        self.code("fresh()")
        self.run(1, f"%nbretry panel {providers}")
        expect(self.panel).to_be_visible(timeout=PATIENCE)
        expect(self.prompt).to_have_value("")
        # A page says that it shows the panel before anything else, and the kernel then looks for what the page sends in
        # another thread. What is done on both sides of that change could change places: nobody is as quick as a test.
        self.code("pass")

    # --- the panel ----------------------------------------------------------------------------------------------------

    @property
    def panel(self) -> Locator:
        """The panel, of which there is one where no second cell shows it."""
        return self.page.locator(".nbretry-panel")

    def tab(self, words: str) -> Locator:
        """Open one of the tabs; what it shows."""
        tab = self.panel.get_by_role("tab", name=words, exact=True)
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        return self.panel.locator(".nbretry-tabs > .widget-tab-contents")

    def button(self, words: str) -> Locator:
        """One of the buttons below the prompt."""
        # An icon is a part of the name that a button has for the browser.
        return self.panel.locator(".nbretry-bar").get_by_role("button", name=re.compile(rf"^\W*{re.escape(words)}$"))

    @property
    def prompt(self) -> Locator:
        return self.panel.get_by_label("Prompt", exact=True)

    @property
    def answer(self) -> Locator:
        """What happened, the answer and the report."""
        return self.panel.locator(".nbretry-answer-view")

    @property
    def text(self) -> Locator:
        """The answer's text alone."""
        return self.answer.locator(".nbretry-text")

    @property
    def happened(self) -> Locator:
        """A line for each attempt."""
        return self.answer.locator(".nbretry-attempt-lines")

    @property
    def failures(self) -> Locator:
        """Why attempts failed."""
        return self.answer.locator(".nbretry-failures")

    @property
    def report(self) -> Locator:
        """The line below a finished answer."""
        return self.answer.locator("details.nbretry-report > summary")

    def row(self, name: str) -> Locator:
        """A provider's row in the picker."""
        label = self.page.get_by_label(name, exact=True)
        return self.panel.locator(".nbretry-picker-rows > .nbretry-provider").filter(has=label)

    def state(self, name: str) -> Locator:
        """How a provider's row says that it is doing."""
        return self.row(name).locator(".nbretry-state")

    def expect_names(self, names: Sequence[str]) -> None:
        """Claim that these are the providers that are to be seen, from the top to the bottom."""
        self.page.wait_for_function(f"names => String(({NAMES})()) === String(names)", arg=[*names])

    def ask(self, question: str) -> None:
        """Type a question and press Ask."""
        self.prompt.fill(question)
        self.button("Ask").click()

    def expect_enabled(self, *buttons: str) -> None:
        """Claim that just these of the buttons below the prompt can be pressed, once the page shows what has happened.

        Args:
            buttons: what they say.
        """
        self.page.wait_for_function(
            f"words => String(({ENABLED})()) === String(words.sort())", arg=[*buttons], timeout=PATIENCE
        )

    def places(self, parts: Sequence[Locator]) -> list[tuple[float, float]]:
        """Where these begin, in pixels from the panel's upper left corner."""
        return [self.place(part) for part in parts]

    def place(self, part: Locator) -> tuple[float, float]:
        """Where this begins, in pixels from the panel's upper left corner."""
        while True:
            # In one step, as the page may be scrolled between two.
            place = part.evaluate(PLACE)
            if place is not None:
                x, y = place
                return x, y

    def settle(self) -> None:
        """Wait until the page has laid the panel out: no part of it is moved or fades any more."""
        self.panel.evaluate(SETTLED)

    def end_cells(self) -> None:
        """Interrupt what runs still, so that one test that failed does not fail those after it."""
        running = self.page.locator(".jp-Notebook .jp-InputPrompt", has_text="[*]")
        if running.count():
            self.notebook.interrupt()
            expect(running).to_have_count(0, timeout=PATIENCE)

    def expect_running(self, index: int) -> None:
        """Claim that a cell runs."""
        expect(self.notebook.cell(index).locator(".jp-InputPrompt")).to_have_text("[*]:", timeout=PATIENCE)

    def picture(self, path: Path) -> None:
        """Keep what the panel looks like."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.panel.screenshot(path=path)


def open_panel_page(
    page: Page, server: Server, name: str, more: str = "", kind: type[NotebookPage] = NotebookPage
) -> PanelPage:
    """A new notebook for the panel, in JupyterLab or in Notebook 7."""
    PanelPage.write(server, name, more)
    return PanelPage(kind(page, server, name))
