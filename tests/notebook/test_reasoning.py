"""A model's reasoning: its end is seen while the model thinks, and it is left above the answer, folded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kernel import Kernel, Ran, kernel, says
from nbconvert import HTMLExporter
from page import Page

THINKERS = '''
from nbretry.types import Reasoning

class Thinker(Provider):
    """Thinks these words, each after a delay, before it says others."""
    def __init__(self, name, thoughts, words, delay=None, failure=None):
        super().__init__(name, words, delay, failure)
        self.thoughts = thoughts

    async def create_async_generator(self, model, messages, **options):
        for thought in self.thoughts:
            if self.delay is not None:
                await asyncio.sleep(self.delay)
            yield Reasoning(thought)
        async for word in super().create_async_generator(model, messages, **options):
            yield word

tags = "<script>alert(1)</script> <img src=x onerror=alert(1)> </pre></details>"
lost = APIConnectionError("reset")
for thinker in (
    Thinker("thinker", [f"thought{i}\\n" for i in range(20)], ["The sky ", "is **blue**."], delay=0.04),
    Thinker("quick", ["quick ", "thought"], ["It is ", "blue."]),
    Thinker("hostile", [tags, " key ", SECRET[:9], SECRET[9:], " end"], ["Hello."], delay=0.1),
    Thinker("long", [f"thought{i} " for i in range(3000)], ["Done."], delay=0.001),
    Thinker("pondering", [f"thought{i} " for i in range(2000)], ["never"], delay=0.05),
    Thinker("breaking", ["first thought"], ["half an ans"], delay=0.3, failure=lost),
    Thinker("unable", ["vain thought"], [], failure=lost),
    Thinker("half", ["a\\ud800b"], ["Hello."]),
):
    nbretry.register(thinker.name, thinker)
'''
ONCE = "reasoning='first thought' delay=0.3 'half an ans' delay=0.3 cut, 401"
THREE = "a = %ask -p quick Why?\nb = %ask -p good Why?\nc = %ask -p quick Why?"
QUICK = "reasoning: 2 words, in the answer's .reasoning"


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    providers = Path(__file__).with_name("kernel_cell.py").read_text(encoding="utf-8")
    with kernel(tmp_path_factory.mktemp("notebook"), "%load_ext nbretry", providers, THINKERS) as running:
        yield running


@pytest.fixture(autouse=True)
def nobody_rests(nb: Kernel) -> None:
    nb.run("from nbretry.session.session import default_session\ndefault_session().health.reset()")


def kinds(ran: Ran) -> list[str]:
    """What each output of a cell is."""
    named = {"nbretry-reasoning": "reasoning", "nbretry-report": "report", "nbretry-answer": "answer"}
    return [
        next((kind for name, kind in named.items() if name in output.data["text/html"]), "nothing")
        for output in ran.outputs
    ]


def folded(ran: Ran) -> str:
    """The one reasoning that a cell shows."""
    (html,) = (html for html in ran.of_type("text/html") if "nbretry-reasoning" in html)
    assert "<details" in html
    assert " open>" not in html
    return html


def thinking(ran: Ran) -> list[str]:
    """What was seen of the reasoning while it came, in order."""
    sent = (message["content"].get("data", {}).get("text/html", "") for message in ran.messages)
    return [Page(html).text for html in sent if " open>" in html]


def test_reasoning_is_left_folded_above_the_answer(nb: Kernel) -> None:
    """The cell has the whole reasoning, closed, with words and time; then the answer, without it; then the report."""
    ran = nb.run("%%ask -p thinker\nWhy?")
    assert not ran.failed, ran.traceback
    assert kinds(ran) == ["reasoning", "answer", "report"]
    page = Page(folded(ran))
    page.assert_well_formed()
    assert page.text.startswith("reasoning (20 words, ")
    assert "thought0\nthought1\n" in page.text
    assert page.text.endswith("thought19")
    assert ran.of_type("text/plain")[:2] == ["reasoning: 20 words, in the answer's .reasoning", "The sky is **blue**."]
    assert ran.answer == "The sky is **blue**."
    expected = "".join(f"thought{i}\n" for i in range(20))
    assert nb.value("(_answer.text, _answer.reasoning)") == ("The sky is **blue**.", expected)


def test_end_of_the_reasoning_is_seen_while_it_comes(nb: Kernel) -> None:
    """Until the text begins the last lines of the reasoning are shown, and go on; afterwards none of them is."""
    ran = nb.run("%%ask -p thinker\nWhy?")
    seen = thinking(ran)
    assert len(set(seen)) >= 4
    assert all(text.startswith("thinker: thinking …") for text in seen)
    latest = [int(text.rstrip().rpartition("thought")[2]) for text in seen]
    assert latest == sorted(latest)
    assert all(text.count("thought") <= 6 for text in seen), "only the end is sent"
    assert any("thought0\n" in text for text in seen)
    assert ran.repaints()[-1] == "The sky is blue."
    assert not any("thought" in state for state in ran.repaints())


def test_long_reasoning_is_shown_in_proportion(nb: Kernel) -> None:
    """Of thousands of fragments only the tail is sent while they come, at growing intervals, and the whole once."""
    ran = nb.run("%%ask -p long\nWhy?")
    took = ran.times[-1] - ran.times[0]
    reasoning = "".join(f"thought{i} " for i in range(3000))
    print(f"\n3,000 thoughts in {took:.1f} s: {len(ran.messages)} messages, {ran.size()} bytes of {len(reasoning)}")
    assert len(thinking(ran)) <= took / 0.06 + 5
    assert max(map(len, thinking(ran))) < 800
    whole = [message for message in ran.messages if says("thought1500 thought1501")(message)]
    assert len([message for message in whole if " open>" not in json.dumps(message["content"])]) == 1
    assert reasoning.strip() in Page(folded(ran)).text


def test_reasoning_is_of_the_attempt_that_answers(nb: Kernel) -> None:
    """After a restart the first attempt's reasoning goes, and that of the one that answers stands in its place."""
    ran = nb.run("%%ask -p breaking,quick\nWhy?")
    assert kinds(ran) == ["reasoning", "answer", "report"]
    assert Page(folded(ran)).text.startswith("reasoning (2 words")
    assert "first thought" not in ran.of_type("text/html")[0]
    assert ran.answer == "It is blue."
    first, second = ran.records[0]["attempts"]
    assert (first["reasoning"], first["given_up"]) == ("first thought", "half an ans")
    assert "reasoning" not in second, "the output has it"


def test_reasoning_goes_where_the_next_one_has_none(nb: Kernel) -> None:
    """After a restart by one that does not think the cell looks as if nobody had thought."""
    ran = nb.run("%%ask -p breaking,good\nWhy?")
    assert kinds(ran) == ["answer", "report"]
    assert ran.answer == "The sky is **blue**."
    assert any("first" in state for state in thinking(ran)), "it was seen while it came"


def test_reasoning_stays_where_the_next_one_goes_on(nb: Kernel) -> None:
    """With ``--on-break continue`` the reasoning of who began stays above the text that others went on from."""
    ran = nb.run("%%ask -p breaking,good --on-break continue\nWhy?")
    assert kinds(ran) == ["reasoning", "answer", "report"]
    assert Page(folded(ran)).text.endswith("first thought")
    assert ran.answer.startswith("half an ans")


def test_run_that_fails_after_its_text_was_given_up(nb: Kernel) -> None:
    """Where nobody answers after all, no part of the given-up answer stands there as if it were one."""
    nb.run(f"from nbretry.testing import simulate\nnbretry.register('once', simulate({ONCE!r}))")
    ran = nb.run("%%ask -p once\nWhy?")
    assert ran.failed
    assert any("first" in state for state in thinking(ran))
    outputs = [output for output in ran.outputs if output.output_type != "error"]
    assert "nobody answered" in outputs[0].data["text/plain"]
    assert outputs[1:] == []


def test_reasoning_of_one_that_failed(nb: Kernel) -> None:
    """Where nobody answers, what the last one thought is to be read above the report."""
    ran = nb.run("%%ask -p unable\nWhy?")
    assert ran.failed
    assert "vain thought" in folded(ran)
    assert len(ran.records) == 1


def test_interrupt_while_it_thinks(nb: Kernel) -> None:
    """A stop while the model thinks keeps what it has thought, folded, and says that it was stopped."""
    ran = nb.run("%%ask -p pondering\nWhy?", interrupt_when=says("thought9 "))
    assert ran.failed
    assert ran.stopped_after is not None
    assert ran.stopped_after < 10
    assert "thought9" in folded(ran)
    assert "stopped · pondering" in ran.plain
    assert nb.value("(_answer.state, _answer.text, _answer.reasoning[:9])") == ("stopped", "", "thought0 ")


def test_capture_takes_final_states_alone(nb: Kernel) -> None:
    """`%%capture` takes the folded reasoning, the answer and the report, and shows them later."""
    assert nb.run("%%capture taken\n%%ask -p thinker\nWhy?").outputs == []
    assert nb.value("len(taken.outputs)") == 3
    assert kinds(nb.run("taken.show()")) == ["reasoning", "answer", "report"]


def test_kept_answer_shows_its_reasoning(nb: Kernel) -> None:
    """As the value of a later cell an answer shows what its own cell showed."""
    first = nb.run("x = %ask -p quick Why?")
    later = nb.run("x")
    assert kinds(later) == ["reasoning", "answer", "report"]
    assert [output.data for output in later.outputs] == [output.data for output in first.outputs]


def test_words_of_a_stranger_do_no_harm(nb: Kernel) -> None:
    """No state of a reasoning runs or loads anything, or leaves its place; a key in it is masked, also one that comes
    in pieces; the saved file's page shows its words."""
    ran = nb.run("%%ask -p hostile\nWhy?")
    assert kinds(ran) == ["reasoning", "answer", "report"]
    secret = nb.value("SECRET")
    for message in ran.messages:
        assert secret[:9] not in json.dumps(message["content"])
        html = message["content"].get("data", {}).get("text/html")
        if html:
            page = Page(html)
            page.assert_harmless()
            page.assert_well_formed()
    assert "key [secret] end" in Page(folded(ran)).text
    document: Any = nbformat.v4.new_notebook(cells=[ran.cell])
    nbformat.validate(document)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(document)
    page = Page(str(body))
    page.assert_harmless()
    assert "<script>alert(1)</script>" in page.text


def test_half_a_character_in_a_reasoning(nb: Kernel) -> None:
    """Half a character, which no message can hold, is replaced."""
    ran = nb.run("%%ask -p half\nWhy?")
    assert not ran.failed
    assert Page(folded(ran)).text.endswith("a?b")


def test_columns_have_their_reasoning_folded(nb: Kernel) -> None:
    """In a comparison each column that thought has it folded at the end, and the record does not have it again."""
    ran = nb.run("%%ask --compare quick,good,thinker\nWhy?")
    html = ran.of_type("text/html")[0]
    Page(html).assert_well_formed()
    assert html.count("nbretry-reasoning") == 2
    assert " open>" not in html
    assert f"== quick ==\n{QUICK}\nIt is blue." in ran.plain
    records = ran.records[0]["compare"]
    assert not any("reasoning" in attempt for record in records for attempt in record["attempts"])
    growing = [message["content"].get("data", {}).get("text/html", "") for message in ran.messages[:-1]]
    assert any("thinker: thinking …" in state for state in growing)


def test_each_has_its_place_in_a_cell_that_asks_often(nb: Kernel) -> None:
    """Questions of one cell do not paint over each other's outputs."""
    ran = nb.run(THREE)
    assert kinds(ran) == ["reasoning", "answer", "report", "answer", "report", "reasoning", "answer", "report"]
    assert ran.answers == ["It is blue.", "The sky is **blue**.", "It is blue."]


def test_in_the_background_it_is_the_same(nb: Kernel) -> None:
    """A question in the background leaves the folded reasoning, the answer and the report in the cell that asked."""
    ran = nb.run("%%ask --background -p breaking,thinker\nWhy?")
    later = nb.run("answer = await _background[-1]")
    assert not later.failed, later.traceback
    assert kinds(ran)[:3] == ["reasoning", "answer", "report"]
    assert [output.data["text/plain"] for output in ran.outputs[3:]] in ([], [""])
    assert Page(folded(ran)).text.startswith("reasoning (20 words, ")
