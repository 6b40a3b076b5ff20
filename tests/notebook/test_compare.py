"""`%%ask --compare`: several providers at once, their answers side by side in one output of the cell."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import nbformat
import pytest
from kernel import Kernel, Ran, kernel, says
from nbconvert import HTMLExporter
from page import Page

SKY = "The sky is **blue**."
COUNTED = "".join(f"word{i} " for i in range(20))
STATES = "[(answer.state, answer.providers[0]) for answer in _comparison]"


@pytest.fixture(autouse=True)
def nobody_rests(nb: Kernel) -> None:
    nb.run("from nbretry.session.session import default_session\ndefault_session().health.reset()")


def states(ran: Ran) -> list[str]:
    """The words of every state of the output that was sent, in order."""
    shown = (message["content"].get("data", {}).get("text/html") for message in ran.messages)
    return [Page(html).text for html in shown if html]


@pytest.mark.parametrize(
    "cell",
    [
        "%%ask --compare steady,badkey,good -o kept\nWhy?",
        "%%time\n%%ask --compare steady,badkey,good -o kept\nWhy?",
        "kept = %ask --compare steady,badkey,good Why?",
        "%ask --compare steady,badkey,good -o kept Why?",
    ],
)
def test_answers_stand_side_by_side(nb: Kernel, cell: str) -> None:
    """One output has a column for each, in the order of the names, with its answer or its error and a line of its own;
    the variables have the answers in that order, and the first whole one."""
    ran = nb.run(cell)
    assert not ran.failed, ran.traceback
    shown = [output for output in ran.outputs if output.output_type != "stream"]
    assert [sorted(output.data) for output in shown] == [["text/html", "text/plain"]]
    page = Page(ran.of_type("text/html")[0])
    page.assert_well_formed()
    page.assert_harmless()
    words = ("✓ steady", "word0 word1", "steady · first token", "✗ badkey", "AuthenticationError: wrong key [secret]")
    places = [page.text.index(word) for word in (*words, "✓ good", "The sky is blue.", "good · first token")]
    assert places == sorted(places)
    assert ran.plain.startswith(f"== steady ==\n{COUNTED.strip()}\n\nsteady · first token")
    assert f"== good ==\n{SKY}\n\ngood · first token" in ran.plain
    assert nb.value(STATES) == [("completed", "steady"), ("failed", "badkey"), ("completed", "good")]
    assert nb.value("(kept is _comparison, isinstance(kept, list), _answer is kept[0])") == (True, True, True)
    assert nb.value("Book.opened - Book.closed") == 0


def test_answers_stream_at_once(nb: Kernel) -> None:
    """Both columns grow while the other one does, and each state goes on from the one before."""
    ran = nb.run("%%ask --compare steady,steady\nCount.")
    shown = states(ran)
    counts = [tuple(column.count("word") for column in state.split("steady (2)")) for state in shown]
    both_half = [count for count in counts if len(count) == 2 and 0 < count[0] < 20 and 0 < count[1] < 20]
    assert len(both_half) >= 2, counts
    assert all(a <= c and b <= d for (a, b), (c, d) in itertools.pairwise(counts))
    assert counts[-1] == (20, 20)
    assert shown[0] == "… steady (1)asking steady …… steady (2)asking …"


def test_fast_answers_make_few_messages(nb: Kernel) -> None:
    """Thousands of tokens of several providers are painted some sixteen times a second, not thousands of times."""
    ran = nb.run("%%ask --compare fast,busy,fast\nCount.")
    took = ran.times[-1] - ran.times[0]
    print(f"\nthree answers of 2,000 tokens in {took:.1f} s: {len(ran.messages)} messages, {ran.size()} bytes")
    assert len(states(ran)) <= took / 0.06 + 5
    assert ran.plain.count("tok9") == 600


def test_record_of_each(nb: Kernel) -> None:
    """The output's metadata has the record of every answer, in the order of the names, without its text."""
    ran = nb.run("%%ask --compare counting,badkey\nWhy?")
    assert len(ran.records) == 1
    counting, badkey = ran.records[0]["compare"]
    assert (counting["state"], counting["provider"], counting["model"]) == ("completed", "counting", "great-model-2")
    assert (badkey["state"], badkey["providers"]) == ("failed", ["badkey"])
    assert badkey["attempts"][0]["exception"]["message"] == "wrong key [secret]"
    assert counting["request_sha256"] == badkey["request_sha256"]
    assert "text" not in counting


def test_all_fail(nb: Kernel) -> None:
    """Only where all fail the cell fails, in a line for each; every column has its error, and what had come is kept."""
    ran = nb.run("%%ask --compare badkey,broken,badkey\nWhy?")
    assert ran.failed
    assert ran.traceback == (
        "RetryProviderError: every provider failed:\n"
        "badkey: AuthenticationError: wrong key [secret]\n"
        "broken: APIConnectionError: reset\n"
        "badkey: AuthenticationError: wrong key [secret]"
    )
    text = Page(ran.of_type("text/html")[0]).text
    assert "✗ badkey (1)✗ AuthenticationError: wrong key [secret]" in text
    assert "✗ brokenhalf an ans\n✗ APIConnectionError: reset" in text
    assert "✗ badkey (2)✗ AuthenticationError: wrong key [secret]" in text
    assert nb.value("(_answer.text, len(_comparison))") == ("half an ans", 3)


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("%%ask --compare good,goood\nWhy?", "there is no provider named 'goood'; did you mean 'good'?"),
        (
            "%%ask --compare good\nWhy?",
            "--compare: 'good' is no comparison: write two names or more with commas between",
        ),
        ("%%ask --compare good,good -p good\nWhy?", "--compare and -p both say whom to ask: write one of them"),
        (
            "%%ask --compare good,good\n",
            "the question is empty: write it below %%ask, after %ask, or after nbretry ask",
        ),
    ],
)
def test_mistake_is_told_in_one_line(nb: Kernel, cell: str, error: str) -> None:
    """A mistake fails the cell in one line, and nobody is asked."""
    ran = nb.run(cell)
    assert ran.failed
    assert ran.traceback == f"ConfigError: {error}"
    assert [output.output_type for output in ran.outputs] == ["error"]
    assert nb.value("Book.opened") == 0


@pytest.mark.parametrize(
    "cell",
    [
        "%%ask --compare slow,hung,good,slow -o kept\nCount.",
        "%%time\n%%ask --compare slow,hung,good,slow -o kept\nCount.",
        "x = %ask --compare slow,hung,good,slow -o kept Count.",
    ],
)
def test_interrupt_stops_all(nb: Kernel, cell: str) -> None:
    """An interrupt ends every request, keeps what each had said, marks as stopped who had not ended, and leaves no
    task behind."""
    nb.run("tasks_before = len(asyncio.all_tasks())")
    ran = nb.run(cell, interrupt_when=says("word3"))
    assert ran.raised
    assert ran.traceback == "KeyboardInterrupt: stopped; what there is of the answers is in _comparison"
    assert ran.stopped_after is not None
    assert ran.stopped_after < 10
    assert nb.value(STATES) == [("stopped", "slow"), ("stopped", "hung"), ("completed", "good"), ("stopped", "slow")]
    first, nothing, whole, last = nb.value("[answer.text for answer in kept]")
    assert (nothing, whole) == ("", SKY)
    assert nb.value("_answer is kept[2]")
    for text, number in ((first, 1), (last, 2)):
        assert text.startswith("word0 word1 ")
        assert f"== slow ({number}) ==\n{text.strip()}\n\nstopped · slow" in ran.plain
    assert "== hung ==\nstopped · hung" in ran.plain
    assert [record["state"] for record in ran.records[0]["compare"]] == ["stopped", "stopped", "completed", "stopped"]
    assert nb.value("(Book.opened - Book.closed, len(asyncio.all_tasks()) - tasks_before)") == (0, 0)
    assert not nb.run("%%ask -p good\nWhy?").failed


def test_capture(nb: Kernel) -> None:
    """`%%capture` takes the last state alone, and shows it later."""
    assert nb.run("%%capture taken\n%%ask --compare steady,good\nCount.").outputs == []
    assert nb.value("len(taken.outputs)") == 1
    assert COUNTED.strip() in nb.run("taken.show()").plain


def test_kept_comparison_is_shown_in_a_later_cell(nb: Kernel) -> None:
    """The variable shows the comparison as its own cell did, and each of its answers as an answer of its own."""
    first = nb.run("x = %ask --compare good,badkey Why?")
    later = nb.run("x")
    assert [output.data for output in later.outputs] == [output.data for output in first.outputs]
    assert later.records == first.records
    assert nb.run("x[0]").answer == SKY


def test_saved_comparison_reads_the_same(tmp_path: Path, providers: str) -> None:
    """The saved file is valid, and nbconvert's page shows every answer and runs no word of a model."""
    hostile = "<script>alert(1)</script> ![p](https://x.example/p.png) [a](javascript:alert(1)) **bold**"
    register = f"nbretry.register('hostile', Provider('hostile', [{hostile!r}]))"
    with kernel(tmp_path, "%load_ext nbretry", providers, register) as nb:
        nb.run("%%ask --compare hostile,counting\nWhy?")
        nb.client.nb.cells = nb.client.nb.cells[-1:]
        nbformat.validate(nb.client.nb)
        saved = nbformat.from_dict(json.loads(json.dumps(nb.client.nb)))
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(saved)
    page = Page(str(body))
    page.assert_harmless()
    for words in ("<script>alert(1)</script>", "bold", "hostile · ", "Because of Rayleigh", "counting · great-model-2"):
        assert words in page.text
