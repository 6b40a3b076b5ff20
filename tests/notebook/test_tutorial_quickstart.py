"""What the quickstart's text claims is so."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from page import Page
from tutorial import NOTEBOOKS, Executed, Tutorial

pytestmark = pytest.mark.local_model


class TestQuickstart(Tutorial):
    stem = "01-quickstart"

    def test_falls_back_to_the_local_model(self, ran: Executed) -> None:
        """Two providers really fail, and the local model then answers."""
        words = "-p nobody-there,overloaded,local"
        record = ran.record(words)
        assert (record["provider"], record["model"]) == ("local", "SmolLM2-135M-Instruct")
        assert ran.attempts(words) == [("nobody-there", "failed"), ("overloaded", "failed"), ("local", "answered")]
        exceptions = [attempt["exception"] for attempt in record["attempts"][:2]]
        assert [exception["type"] for exception in exceptions] == ["APIConnectionError", "ServerError"]
        assert exceptions[1]["status_code"] == 503
        assert 0 < record["usage"]["completion_tokens"] <= 60
        assert "failed: nobody-there, overloaded" in Page(ran.shown(words, "text/html")).text

    def test_prints_the_attempts(self, ran: Executed) -> None:
        """Its own cells print what its text says about the attempts."""
        assert "1 nobody-there failed\n2 overloaded failed\n3 local answered\n" in ran.printed("_answer.attempts")
        assert "['scripted: failed', 'local: answered']" in ran.printed("await retry_provider")

    def test_first_question_needs_no_name(self, ran: Executed) -> None:
        """Without a key and without a name, the local model answers the first question."""
        words = "%%ask -t 0"
        assert ran.record(words)["provider"] == "local"
        assert "stderr" not in {output.get("name") for output in ran.cell(words).outputs}

    def test_fails_where_nobody_answers(self, ran: Executed) -> None:
        """A cell that nobody answers fails, after each was asked twice, and the error names each with its exception."""
        words = "%%ask -p nobody-there,overloaded\n"
        assert sorted(ran.attempts(words)) == [("nobody-there", "failed")] * 2 + [("overloaded", "failed")] * 2
        (error,) = [output for output in ran.cell(words).outputs if output.output_type == "error"]
        assert error.ename == "RetryProviderError"
        assert "nobody-there: APIConnectionError: cannot connect to http://127.0.0.1:9" in error.evalue
        assert "overloaded: ServerError: the script says 503" in error.evalue


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    """Every picture and every other notebook that a tutorial links to is there."""
    texts = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    links = {link for text in texts for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}
    assert not [link for link in links if not (path.parent / link.partition("#")[0]).is_file()]
