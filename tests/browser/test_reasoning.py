"""What a person sees in JupyterLab of a model that thinks before it answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import PROVIDERS
from lab import PATIENCE, NotebookPage, Server
from playwright.sync_api import Page, expect

THINKER = """
from nbretry.types import Reasoning

thoughts = [
    "The user asks why the sky is blue.\\nThis is Rayleigh scattering: molecules are much smaller than a wave.",
    "\\n\\nI could give the formula, I ∝ 1/λ⁴, and say why it is not violet:\\n- sunlight has less violet,",
    "\\n- the eye is less sensitive to it.\\n",
    "\\nTwo sentences should do. <b>No</b> tags.",
]

class Thinker:  # thinks until it is told to answer, and does not end before it is told to
    def __init__(self, theme):
        self.theme = theme

    async def create_async_generator(self, model, messages, **options):
        for thought in thoughts[:-1]:
            yield Reasoning(thought)
        await told(f"thought-was-seen-{self.theme}")
        yield Reasoning(thoughts[-1])
        yield "Air scatters **blue** light "
        await told(f"answer-was-seen-{self.theme}")
        yield "most."
"""
CELL = "%%ask -p thinker\nWhy is the sky blue?"


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_reasoning_is_seen_and_then_folded(page: Page, server: Server, pictures: Path, theme: str) -> None:
    """The reasoning's end is open to read while the model thinks; once the answer comes it is a closed line above it,
    which opens to the whole."""
    server.set_theme(f"JupyterLab {theme}")
    registered = f"{PROVIDERS}{THINKER}nbretry.register('thinker', Thinker('{theme}'))"
    server.write(f"reasoning-{theme}.ipynb", [registered, CELL])
    notebook = NotebookPage(page, server, f"reasoning-{theme}.ipynb")
    notebook.run(0)
    notebook.wait_until_idle(0)
    notebook.cell(0).evaluate("element => element.style.display = 'none'")
    reasoning = notebook.cell(1).locator("details.nbretry-reasoning")
    notebook.run(1)
    expect(reasoning.locator("pre")).to_contain_text("sunlight has less violet", timeout=PATIENCE)
    expect(reasoning.locator("pre")).to_be_visible()
    notebook.screenshot(pictures / f"thinking-{theme.lower()}.png", 1)
    server.tell(f"thought-was-seen-{theme}")
    expect(notebook.cell(1)).to_contain_text("Air scatters blue", timeout=PATIENCE)
    expect(reasoning.locator("pre")).not_to_be_visible()
    server.tell(f"answer-was-seen-{theme}")
    notebook.wait_until_idle(1)
    expect(reasoning).to_have_count(1)
    expect(reasoning.locator("summary")).to_contain_text("reasoning (53 words, ")
    expect(notebook.output(1).nth(1)).to_have_text("Air scatters blue light most.")
    expect(notebook.output(1).nth(2)).to_contain_text("thinker · ")
    notebook.screenshot(pictures / f"reasoned-{theme.lower()}.png", 1)
    reasoning.locator("summary").click()
    expect(reasoning.locator("pre")).to_be_visible()
    expect(reasoning.locator("pre")).to_contain_text("Two sentences should do. <b>No</b> tags.")
    notebook.screenshot(pictures / f"reasoning-{theme.lower()}.png", 1)


RICH = """%load_ext nbretry
import nbretry
from nbretry.testing import simulate
nbretry.register("rich", simulate("ok"))
session = nbretry.default_session()
session.prices.set("rich", 0.75, 4.5)
session.budget.limit = 2"""


def test_two_amounts_of_money_are_no_formula(page: Page, server: Server) -> None:
    """Dollar signs of a table and of a line stay dollar signs, though JupyterLab typesets what stands between two."""
    cells = [
        RICH,
        "%nbretry providers rich",
        "%nbretry cost",
        "from IPython.display import Markdown\nMarkdown('the end: $x^2$')",
    ]
    server.write("money.ipynb", cells)
    notebook = NotebookPage(page, server, "money.ipynb")
    for index in range(len(cells)):
        notebook.run(index)
        notebook.wait_until_idle(index)
    expect(notebook.cell(1)).to_contain_text("$0.75 in, $4.50 out")
    expect(notebook.cell(2)).to_contain_text("$0 spent; the limit is $2")
    # Formulas are typeset a moment later; this one came last.
    expect(notebook.cell(3).locator("mjx-container")).to_be_visible()
    expect(page.locator("mjx-container")).to_have_count(1)
    expect(notebook.cell(1)).to_contain_text("$0.75 in, $4.50 out")
