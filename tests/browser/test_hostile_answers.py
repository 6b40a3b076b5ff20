"""Answers that mean harm, in the programs that show notebooks: nothing runs, is loaded, or covers the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from hostile import FRAGMENTS, many_texts
from lab import ClassicPage, NotebookPage, Server, wait_for_what_loads
from nbconvert import HTMLExporter, SlidesExporter
from playwright.sync_api import Page, Request, Route, expect

from nbretry.renderers.by_format import bundle_of

SHOW = """
import json, pathlib
from IPython.display import display
from nbretry.renderers.by_format import bundle_of
for text in json.loads(pathlib.Path("hostile.json").read_text()):
    display({"MIME": bundle_of("markdown", text, final=True)["MIME"]}, raw=True)
"""
LAST = r"$\omega$"
"""Once this is typeset, so is all that stands before it."""

TRAPS = """(() => {
  window.caught = [];
  const trap = name => { window.caught.push(`${name} ${new Error().stack}`); };
  for (const name of ['x', 'y', 'z']) Object.defineProperty(window, name, {get: () => trap(name), configurable: true});
  window.alert = trap;
})()"""
"""What the hostile texts name in their scripts; whoever looks at one of these is caught."""

POKE = """outputs => {
  const stay = event => { if (event.target.closest('a, button')) event.preventDefault(); };
  document.addEventListener('click', stay, true);
  let elements = 0;
  for (const output of outputs)
    for (const one of output.querySelectorAll('*')) {
      elements++;
      for (const kind of ['mouseover', 'mouseenter', 'mousemove', 'pointerover', 'focus', 'click', 'toggle'])
        one.dispatchEvent(new MouseEvent(kind, {bubbles: true, cancelable: true}));
    }
  document.removeEventListener('click', stay, true);
  return elements;
}"""
LOOK = """outputs => {
  const active = `script:not([type^="math/tex"]), style, iframe, object, embed, img, video, audio, link, meta, base,
    form, button, textarea, select, template, svg, source, picture, frame, input:not([type=checkbox])`;
  const styles = /^(text-align: ?(left|right|center);?|white-space:pre-wrap;overflow-wrap:anywhere)$/;
  const found = [];
  outputs.forEach((output, index) => {
    for (const one of output.querySelectorAll('*')) {
      const note = kind => found.push([index, kind, one.outerHTML.slice(0, 200)]);
      const math = one.closest('mjx-container');
      const colours = one.matches('style') && one.textContent.startsWith('.nbretry-code{');
      if (one.matches(active) && !colours) note('element');
      if (['fixed', 'sticky'].includes(getComputedStyle(one).position)) note('position');
      for (const {name, value} of one.attributes) {
        if (name.startsWith('on')) note('handler');
        if (name === 'style' && !math && !styles.test(value)) note('style');
        if (name.startsWith('data-commandlinker')) note('command');
        if (/(^|:)href$/.test(name)) {
          const own = one.matches('h1 > a, h2 > a, h3 > a, h4 > a, h5 > a, h6 > a') && value.startsWith('#');
          if (math || !(own || /^(https?:|mailto:)/i.test(value))) note('address');
        }
      }
    }
  });
  return found;
}"""


def hostile_texts(count: int) -> list[str]:
    """Each kind of fragment by itself, and so many mixtures of them."""
    return [*FRAGMENTS, *many_texts(count), LAST]


def assert_nothing_happened(page: Page, selector: str, texts: list[str], foreign: list[str]) -> None:
    """Look at the outputs, which show these texts one by one, and move the mouse over all that is in them.

    Args:
        page: where they are.
        selector: of an output.
        texts: what they show.
        foreign: the addresses that the page has asked for and that are not its own.
    """
    outputs = page.locator(selector)
    expect(outputs).to_have_count(len(texts))
    wait_for_what_loads(page)
    found = outputs.evaluate_all(LOOK)
    assert [(kind, html, texts[index]) for index, kind, html in found] == []
    assert outputs.evaluate_all(POKE) > len(texts)
    wait_for_what_loads(page)
    assert page.evaluate("window.caught") == []
    assert foreign == []


@pytest.fixture(scope="module", autouse=True)
def traps(module_page: Page) -> None:
    """Set them in every document before anything else is in it."""
    module_page.add_init_script(TRAPS)


@pytest.fixture
def foreign(page: Page, server: Server) -> Iterator[list[str]]:
    """The addresses that a page asks for and that JupyterLab does not."""
    seen: list[str] = []

    def note(request: Request) -> None:
        url = request.url
        own = url.startswith((server.url, server.url.replace("http", "ws"), "data:", "blob:"))
        # A path such as that of an image ``x`` is relative to the page's.
        if not own or (request.resource_type == "image" and url.rpartition("/")[2] in ("x", "y")):
            seen.append(url)

    page.on("request", note)
    yield seen
    page.remove_listener("request", note)


@pytest.mark.parametrize("mime", ["text/html", "text/markdown"])
@pytest.mark.parametrize("program", [NotebookPage, ClassicPage])
def test_fresh_outputs(
    page: Page,
    server: Server,
    foreign: list[str],
    program: Callable[[Page, Server, str], NotebookPage],
    mime: str,
) -> None:
    """In JupyterLab and Notebook 7, which trust what has just been made, as HTML and as Markdown."""
    texts = hostile_texts(500)
    (server.root / "hostile.json").write_text(json.dumps(texts))
    server.write("hostile.ipynb", [SHOW.replace("MIME", mime)])
    notebook = program(page, server, "hostile.ipynb")
    notebook.run(0)
    notebook.wait_until_idle(0)
    expect(notebook.output(0).last.locator("mjx-container")).to_be_visible()
    assert_nothing_happened(page, ".jp-Notebook .jp-OutputArea-output", texts, foreign)


def test_a_file_of_a_stranger(page: Page, server: Server, foreign: list[str]) -> None:
    """In a file that JupyterLab does not trust."""
    texts = hostile_texts(300)
    nbformat.write(_notebook(texts), server.root / "stranger.ipynb")
    NotebookPage(page, server, "stranger.ipynb", wait_for_kernel=False)
    expect(page.locator("mjx-container").last).to_be_visible()
    assert_nothing_happened(page, ".jp-Notebook .jp-OutputArea-output", texts, foreign)


@pytest.mark.parametrize("mime", ["text/html", "text/markdown"])
@pytest.mark.parametrize(
    ("exporter", "selector"),
    [
        (HTMLExporter(template_name="lab"), ".jp-OutputArea-output"),
        (HTMLExporter(template_name="classic"), ".output_area > .output_subarea"),
        (SlidesExporter(), ".jp-OutputArea-output"),
    ],
    ids=["lab", "classic", "slides"],
)
def test_a_converted_notebook(page: Page, tmp_path: Path, exporter: HTMLExporter, selector: str, mime: str) -> None:
    """In the pages that nbconvert makes."""
    texts = hostile_texts(500)
    asked: list[str] = []

    def load(route: Route) -> None:
        if route.request.url.startswith("file:///") and route.request.url.endswith(".html"):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", load)
    try:
        page.goto(_converted(exporter, _notebook([LAST], mime), tmp_path / "plain.html"))
        wait_for_what_loads(page)
        of_the_page = set(asked)  # its own scripts
        asked.clear()
        page.goto(_converted(exporter, _notebook(texts, mime), tmp_path / "hostile.html"))
        assert_nothing_happened(
            page, selector, texts, [url for url in asked if url not in of_the_page and "nothing-there" not in url]
        )
    finally:
        page.unroute("**/*")


RAW = """
from IPython.display import HTML, display
for text in (
    "<b onmouseover=x>a</b>",
    "<img src=x onerror=alert(1)>",
    "<div style='position:fixed'>a</div>",
    "<a href='javascript:x'>a</a>",
    "<img src='http://127.0.0.1:9/y'>",
):
    display(HTML(text))
"""


def test_what_is_not_drawn_by_us_is_noticed(page: Page, server: Server, foreign: list[str]) -> None:
    """Scripts, handlers, styles, addresses and what is loaded are found by these tests where they are."""
    server.write("raw.ipynb", [RAW])
    notebook = NotebookPage(page, server, "raw.ipynb")
    notebook.run(0)
    notebook.wait_until_idle(0)
    outputs = page.locator(".jp-Notebook .jp-OutputArea-output")
    expect(outputs).to_have_count(5)
    wait_for_what_loads(page)
    found = {(index, kind) for index, kind, _ in outputs.evaluate_all(LOOK)}
    assert found >= {(0, "handler"), (1, "element"), (2, "position"), (2, "style"), (3, "address"), (4, "element")}
    assert len(page.evaluate("window.caught")) == 1, "a picture that is not there"
    outputs.evaluate_all(POKE)
    assert len(page.evaluate("window.caught")) > 1
    assert [url for url in foreign if url.endswith("/y")]


def _converted(exporter: HTMLExporter, notebook: nbformat.NotebookNode, file: Path) -> str:
    """Write the page of a notebook, and return its address."""
    page, _ = exporter.from_notebook_node(notebook)
    file.write_text(page)
    return file.as_uri()


def _notebook(texts: list[str], mime: str | None = None) -> nbformat.NotebookNode:
    """Return a notebook whose only cell shows these texts, in one form or in all."""
    outputs = []
    for text in texts:
        bundle = bundle_of("markdown", text, final=True)
        data = bundle if mime is None else {mime: bundle[mime]}
        outputs.append(nbformat.v4.new_output("display_data", data=data))
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])
