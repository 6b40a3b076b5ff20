"""What the text of the tutorial on data claims is so."""

from __future__ import annotations

import re

import pytest
from page import Page
from tutorial import NOTEBOOKS, Executed, Tutorial

pytestmark = pytest.mark.local_model

TABLE = "| Wed | 21.1 | 18.4 |\n| Thu | 70.3 | 18.8 |\n"


class TestData(Tutorial):
    stem = "05-data"
    strict = True

    def test_shows_what_would_be_sent(self, ran: Executed) -> None:
        """The dry run has the frame as a table, with its shape and types, and both providers; nobody was asked."""
        cell = ran.cell("%%ask --dry-run")
        assert [output.get("metadata", {}) for output in cell.outputs] == [{}]
        shown = ran.shown("%%ask --dry-run", "text/plain")
        assert "Nothing was sent." in shown
        assert "7 rows × 2 columns\nTypes: harbour float64, lake float64" in shown
        assert TABLE in shown
        assert [line.split()[:3] for line in shown.splitlines()[-2:]] == [
            ["1.", "analyst", "stand-in"],
            ["2.", "local", "SmolLM2-135M-Instruct"],
        ]

    def test_a_summary_goes_to_the_local_model(self, ran: Executed) -> None:
        """The small model answers the question that has an expression in it."""
        record = ran.record("%%ask -p local -t 0 --max-tokens 60")
        assert (record["provider"], record["state"]) == ("local", "completed")
        assert record["usage"]["prompt_tokens"] > 50

    def test_a_figure_goes_as_an_image(self, ran: Executed) -> None:
        """The dry run on one line shows the figure as the image that it would be sent as."""
        assert "Nothing was sent." in ran.shown("{{ fig }}", "text/plain")
        assert "[image/png, " in ran.shown("{{ fig }}", "text/plain")
        assert '<img src="data:image/png;base64,' in ran.shown("{{ fig }}", "text/html")

    def test_the_local_model_keeps_to_the_form(self, ran: Executed) -> None:
        """The real model's answer is an instance of the dataclass at the first attempt, whatever is in it."""
        assert ran.attempts("--schema Reading -o") == [("local", "answered")]
        (shown,) = [cell.outputs[0].data["text/plain"] for cell in ran.document.cells if cell.source == "reading"]
        assert shown.startswith(("Reading(place='harbour', celsius=", "Reading(place='lake', celsius="))

    def test_a_wrong_form_is_asked_for_again(self, ran: Executed) -> None:
        """What does not fit is asked for again with what was wrong, and the second answer becomes the frame."""
        shown = ran.shown("-p secretary", "text/plain")
        assert '"celsius": "warm"' in shown
        assert "the answer does not fit Readings: 0.celsius" in shown
        assert "asked again, 1 of 2" in shown
        assert ran.shown("pd.DataFrame(readings)", "text/plain").split() == (
            ["place", "celsius", "0", "harbour", "20.9", "1", "lake", "18.2"]
        )

    def test_code_is_for_the_next_cell(self, ran: Executed) -> None:
        """The code is in ``_answer.code``, and run it mends the odd reading and no other."""
        assert "```python\ndef in_celsius(" in ran.answer("-p coder")
        before = ran.shown("df = pd.DataFrame(\n", "text/plain")
        assert ran.shown("exec(_answer.code)", "text/plain") == before.replace("70.3", "21.3")
        assert (NOTEBOOKS / "images" / "data-code.png").stat().st_size < 150_000

    def test_a_conversation_goes_on_with_another_provider(self, ran: Executed) -> None:
        """The small model is sent what the stand-in was asked and said; the conversation is saved and read again."""
        assert ran.record("-c water -t 0")["provider"] == "local"
        assert ran.record("-c water -t 0")["usage"]["prompt_tokens"] > 150
        told = ran.shown("%nbretry history", "text/plain")
        file = "tutorial-05-water.jsonl"
        lines = [f"2 turns saved to {file}: water (2)", "water is forgotten", f"2 turns loaded from {file}: water (2)"]
        assert told.splitlines()[:4] == [*lines, "water: 2 turns"]
        assert TABLE in told
        assert "analyst · stand-in:\nThe harbour's **70.3 on Thursday**" in told
        assert "local · SmolLM2-135M-Instruct:\n" in told

    def test_the_background_goes_on_while_other_cells_run(self, ran: Executed) -> None:
        """The cell in the background ends before its answer, which is whole where it is awaited."""
        assert ran.printed('df["lake"].mean()') == "the lake's mean is 18.3 °C\n"
        assert re.search("<BackgroundAnswer (pending|running) · ", ran.shown('df["lake"].mean()', "text/plain"))
        assert ran.printed("await later") == "writer completed 60 words\n"
        assert ran.record("--background")["state"] == "completed"
        assert "writer · stand-in · first token" in Page(ran.report("--background")).text
