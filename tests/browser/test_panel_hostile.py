"""The panel in JupyterLab with texts of strangers that mean harm: none of them does anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab import PATIENCE, Server, wait_for_what_loads
from panel_page import PanelPage, open_panel_page
from playwright.sync_api import Page, Request, expect

HOSTILE = r'''
from nbretry.errors import APIStatusError, ProviderError
from nbretry.types import Reasoning

HARM = """<script>window.hostile = 1</script> <img src=x onerror="window.hostile = 2">
<style>body { display: none } </style> <div style="position:fixed;inset:0;z-index:9999">cover</div>
</pre></div><iframe src="http://remote.invalid/frame"></iframe> <svg onload="window.hostile = 3"></svg>
![picture](http://remote.invalid/pixel.png) [link](javascript:window.hostile=4)
" onfocus="window.hostile = 5" autofocus x="
"""
FORMULAS = r"""$\href{javascript:window.hostile=6}{x^2}$ and $\unicode{x3c}script>window.hostile=7$
and $\style{position:fixed;inset:0}{y}$ and $\class{jp-Dialog}{z}$ and $\cssId{main}{w}$
and $$\require{html}\style{background:url(http://remote.invalid/style)}{\html{<img src=x onerror=window.hostile=8>}}$$
and $\def\a{\a\a}\a$ and the end."""
NESTED = "> " * 3000 + "deep " + "[" * 3000 + "*" * 3000 + "(" * 3000 + "\n\nthe end."

class Stranger:
    def __init__(self, *steps):
        self.steps = steps

    async def create_async_generator(self, model, messages, **options):
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            yield step

LAST = " the end. $\\omega$"  # once this is typeset, so is all that stands before it
nbretry.register("markup", Stranger(HARM + LAST))
nbretry.register("formulas", Stranger(FORMULAS + LAST))
nbretry.register("nested", Stranger(NESTED))
nbretry.register("thinking", Stranger(Reasoning(HARM + FORMULAS), LAST))
nbretry.register("raising", Stranger(HARM, RuntimeError(HARM + FORMULAS)))
'''
LOOK = """() => {
  const panel = document.querySelector('.nbretry-panel');
  const inside = 'script, iframe, object, embed, link, svg[onload], img:not([alt^="time line"])';
  const handlers = [...panel.querySelectorAll('*')]
    .filter(one => one.getAttributeNames().some(n => n.startsWith('on')));
  const fixed = [...panel.querySelectorAll('*')].filter(one => getComputedStyle(one).position === 'fixed');
  const top = document.elementFromPoint(20, 20);
  return {
    ran: window.hostile ?? null,
    elements: [...panel.querySelectorAll(inside)].map(one => one.outerHTML.slice(0, 200)),
    styles: panel.querySelectorAll('.nbretry-answer-view style:not([id^=MJX])').length,
    handlers: handlers.map(one => one.outerHTML.slice(0, 200)),
    fixed: fixed.map(one => one.outerHTML.slice(0, 200)),
    links: [...panel.querySelectorAll('a')].map(one => one.href?.baseVal ?? one.href)
      .filter(href => /^javascript/i.test(href)),
    classes: panel.querySelectorAll('.jp-Dialog, #main').length,
    covered: panel.contains(top),
  };
}"""
NOTHING = {
    "ran": None,
    "elements": [],
    "styles": 0,
    "handlers": [],
    "fixed": [],
    "links": [],
    "classes": 0,
    "covered": False,
}


@pytest.fixture(scope="module")
def shared(module_page: Page, server: Server) -> PanelPage:
    return open_panel_page(module_page, server, "panel-hostile.ipynb", HOSTILE)


@pytest.fixture
def panel(page: Page, shared: PanelPage) -> Iterator[PanelPage]:
    """The panel; nothing is fetched from elsewhere while it is used."""
    requests: list[str] = []

    def note(request: Request) -> None:
        requests.append(request.url)

    page.on("request", note)
    yield shared
    page.remove_listener("request", note)
    shared.end_cells()
    assert not [url for url in requests if "remote.invalid" in url]


@pytest.mark.parametrize("who", ["markup", "formulas", "nested", "thinking", "raising,echo"])
def test_a_text_that_means_harm(panel: PanelPage, who: str) -> None:
    """In an answer, in reasoning, in an exception: nothing runs, loads, covers the page or pretends to be Jupyter's."""
    panel.show(who)
    panel.ask(r"Be kind. $\omega$")  # as `LAST`, where the question is the answer
    expect(panel.report).to_be_visible(timeout=PATIENCE)
    expect(panel.text).to_contain_text("Be kind." if "echo" in who else "the end.")
    if who in ("markup", "thinking", "raising,echo"):
        expect(panel.answer).to_contain_text("<script>window.hostile = 1</script>")
    for fold in panel.answer.locator("summary:visible").all():
        fold.click()
    if who != "nested":  # which is shown as it is written, and never typeset
        expect(panel.text.locator("mjx-container").last).to_be_visible()
    wait_for_what_loads(panel.page)
    for link in panel.text.locator("a").all():
        address, target = link.get_attribute("href") or "", link.get_attribute("target")
        if address.startswith("http"):
            assert target == "_blank", "a click would leave the notebook"
        elif link.is_visible():
            link.click(no_wait_after=True)
    assert panel.page.evaluate(LOOK) == NOTHING


def test_a_prompt_that_means_harm(panel: PanelPage) -> None:
    """What stands as a cell, and in the button that writes it, is text, whatever it says."""
    panel.show("echo")
    panel.prompt.fill('</pre><script>window.hostile = 1</script> "\' onfocus="window.hostile = 2" autofocus &quot;>')
    expect(panel.tab("As a cell").locator("pre")).to_contain_text(
        "</pre><script>window.hostile = 1</script> \"' onfocus="
    )
    panel.button("Ask").click()
    expect(panel.text).to_contain_text("You said:", timeout=PATIENCE)
    assert panel.page.evaluate(LOOK) == NOTHING
