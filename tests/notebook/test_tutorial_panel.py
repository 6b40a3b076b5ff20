"""What the text of the panel's tutorial claims is so."""

from __future__ import annotations

import re

import pytest
from nbconvert import HTMLExporter
from page import Page
from tutorial import NOTEBOOKS, Executed, Tutorial, saved

pytestmark = pytest.mark.local_model

SHOWN = 'nbretry.panel(["overloaded"'
LARGEST_PICTURE = 150_000  # bytes


class TestPanel(Tutorial):
    stem = "04-panel"
    strict = True

    def test_leaves_a_picture_of_the_last_answer(self, ran: Executed) -> None:
        """The cell that shows the panel keeps the last question, its answer and the report in place of the widget."""
        self.expect_picture(ran)

    def test_the_saved_file_is_small(self) -> None:
        """The file in the repository has the same picture and no state of widgets, which is ten times as large."""
        document = saved(self.stem).document
        assert "widgets" not in document.metadata, "save it with make tutorials"
        self.expect_picture(Executed(document))
        assert (NOTEBOOKS / f"{self.stem}.ipynb").stat().st_size < 60_000

    def test_as_a_page(self) -> None:
        """A page that nbconvert makes of the saved file shows the picture and nothing of the widget."""
        html, _ = HTMLExporter().from_notebook_node(saved(self.stem).document)
        assert "Error displaying widget" not in html
        assert "thorough · sky-small" in Page(html).text
        assert "needs its kernel: run this cell" in Page(html).text

    def test_is_driven_from_cells(self, ran: Executed) -> None:
        """A cell asks, stops, asks again and waits, and the answers land in ``_answer``."""
        assert ran.printed('nbretry.panel(["local"])') == "local · SmolLM2-135M-Instruct · completed\n"
        assert ran.printed("panel.stop()") == "stopped · True\n"
        again = ran.printed("panel.ask_again()")
        assert again == "['overloaded: failed', 'thorough: answered']\nsky-small · True\n"

    def test_the_cell_that_it_writes(self, ran: Executed) -> None:
        """The cell that the picture of "As a cell" shows runs without the panel."""
        words = "%%ask -p thorough,overloaded"
        assert ran.attempts(words) == [("thorough", "answered")]
        assert "Rayleigh" in ran.answer(words)

    def test_its_pictures_are_there(self) -> None:
        """Each picture that the text shows is there and small, and says in words what is to be seen."""
        text = "\n".join(cell.source for cell in saved(self.stem).document.cells if cell.cell_type == "markdown")
        pictures = re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", text)
        assert len(pictures) == 8
        for words, path in pictures:
            assert len(words) > 20
            assert (NOTEBOOKS / path).stat().st_size < LARGEST_PICTURE

    def expect_picture(self, executed: Executed) -> None:
        widget, picture = executed.cell(SHOWN).outputs
        assert "application/vnd.jupyter.widget-view+json" in widget.data
        assert widget.data["text/html"] == ""
        text = Page(picture.data["text/html"]).text
        assert "Why is the sky blue?Rayleigh scattering" in text
        assert re.search(r"thorough · sky-small · first token .* · 45 tokens · failed: overloaded", text)
        assert "needs its kernel: run this cell" in text
