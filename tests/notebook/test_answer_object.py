"""The answer as an object in a notebook: its variables, how it is shown, and what can be done with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from kernel import Kernel, environment, kernel
from nbconvert import HTMLExporter
from page import Page

SKY = "The sky is **blue**."
FENCED = 'Code:\\n\\n```python\\nprint(6 * 7)\\n```\\n\\nand data:\\n\\n```json\\n{"a": 1}\\n```'
ANSWER_AND_REPORT = [["text/html", "text/markdown", "text/plain"], ["text/html", "text/plain"]]


@pytest.fixture(scope="module")
def bare_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel in which the extension is not loaded."""
    providers = Path(__file__).with_name("kernel_cell.py").read_text(encoding="utf-8")
    with kernel(tmp_path_factory.mktemp("bare"), providers, "from nbretry.providers import RetryProvider") as running:
        yield running


@pytest.fixture(autouse=True)
def nobody_rests(nb: Kernel) -> None:
    nb.run("from nbretry.session.session import default_session\ndefault_session().health.reset()")


def kinds(outputs: list[object]) -> list[list[str]]:
    return [sorted(output.data) for output in outputs]  # type: ignore[attr-defined]


def test_last_answers_are_in_the_variables(nb: Kernel) -> None:
    """`_answer` is the last answer, `_answers` the list of all, to be indexed and sliced as any list."""
    nb.run("%%ask -p good -o kept\nWhy?")
    nb.run("%%ask -p counting\nHow many?")
    assert nb.value("(_answers[-2] is kept, _answers[-1] is _answer, _answer.provider)") == (True, True, "counting")
    assert nb.value("[answer.provider for answer in _answers[-2:]]") == ["good", "counting"]
    assert nb.value("(isinstance(_answers, list), len(_answers) >= 2, _answers == list(_answers))") == (True,) * 3


def test_list_of_answers_is_a_table(nb: Kernel) -> None:
    """The list, and a slice of it, shows for each answer its place, the question's first words, who answered, and how
    it ended; in another list it is the same as text."""
    nb.run("%%ask -p good\nWhy <b>so</b>?")
    nb.run("%%ask -p dead\nWhat then?")
    ran = nb.run("_answers[-2:]")
    (output,) = ran.outputs
    assert kinds(ran.outputs) == [["text/html", "text/plain"]]
    lines = output.data["text/plain"].splitlines()
    assert [line.split()[0] for line in lines] == ["Question", "[-2]", "[-1]"]
    assert "Why <b>so</b>?  good" in lines[1]
    assert "What then?" in lines[2]
    assert "failed" in lines[2]
    page = Page(output.data["text/html"])
    page.assert_harmless()
    page.assert_well_formed()
    assert "Why <b>so</b>?" in page.text
    assert "[-2]  Why <b>so</b>?" in nb.run("print(_answers[-2:])").printed


def test_answers_of_a_comparison_are_the_last_ones(nb: Kernel) -> None:
    """After a comparison the last of all answers are its answers, in the order of the names."""
    nb.run("%%ask --compare good,badkey,counting\nWhy?")
    assert nb.value("[a is b for a, b in zip(_comparison, _answers[-3:])]") == [True, True, True]
    assert nb.value("_answer is _comparison[0]") is True


def test_what_an_answer_has(nb: Kernel) -> None:
    """Text, code, JSON, attempts, exceptions, usage, cost and messages are attributes of the answer."""
    nb.run(f"nbretry.register('coder', Provider('coder', ['{FENCED}']))")
    ran = nb.run("x = %ask -p badkey,coder Why?")
    assert not ran.failed, ran.traceback
    assert nb.value("(x.code, x.json())") == ("print(6 * 7)", {"a": 1})
    assert nb.value("([a.state for a in x.attempts], list(x.exceptions))") == (["failed", "answered"], ["badkey"])
    assert nb.value("(x.usage.estimated, x.cost, x.state)") == (True, None, "completed")
    assert nb.value("x.messages") == [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": nb.value("x.text")},
    ]


def test_conversation_goes_on_from_an_answer(nb: Kernel) -> None:
    """The messages of an answer with a new question after them are a conversation for any provider."""
    nb.run("x = %ask -p good Why?")
    nb.run("messages = [*x.messages, {'role': 'user', 'content': 'And?'}]")
    nb.run("y = await RetryProvider([Echo]).answer('', messages)")
    assert nb.value("eval(y.text)[1]") == [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": SKY},
        {"role": "user", "content": "And?"},
    ]


def test_answer_goes_through_pickle_and_json(nb: Kernel) -> None:
    """An answer of a kernel comes back from pickle and JSON as an equal one, and is shown as the first was."""
    nb.run("x = %ask -p badkey,counting Why?")
    nb.run(
        "import json, pickle\ny = pickle.loads(pickle.dumps(x))\nz = x.from_dict(json.loads(json.dumps(x.to_dict())))"
    )
    assert nb.value("(x == y == z, x is y, hash(x) == hash(z))") == (True, False, True)
    shown = [output.data for output in nb.run("x").outputs]
    assert [output.data for output in nb.run("y").outputs] == shown
    assert [output.data for output in nb.run("z").outputs] == shown


def test_record_has_no_messages(nb: Kernel) -> None:
    """The metadata of the saved output does not have the question, which is in the cell, nor anything of it twice."""
    ran = nb.run("%%ask -p dead,counting -s 'Be brief.'\nWhy is the sky blue?")
    (record,) = ran.records
    assert not {"messages", "text", "reasoning", "error"} & set(record)
    assert "sky" not in str(record)
    assert "Be brief" not in str(record)


def test_secret_in_a_question_is_not_shown(nb: Kernel) -> None:
    """A key that was part of the question is sent as it is, and shown neither by the answer nor by the list."""
    nb.run("question = f'is {SECRET} a key?'\nx = await nbretry.ask(question, providers=['good'])")
    secret = nb.value("SECRET")
    assert nb.value("SECRET in x.messages[0]['content']") is True
    for cell in ("x", "_answers[-1:]", "print(x, repr(x), _answers[-1:], x.attempts)", "[x]"):
        ran = nb.run(cell)
        assert ran.outputs
        assert secret not in str(ran.outputs)


def test_without_the_extension_an_answer_is_shown_once(bare_kernel: Kernel) -> None:
    """`await nbretry.ask(…)` as a cell's value shows the answer as it came, and not once more as the value."""
    ran = bare_kernel.run("await nbretry.ask('Why?', providers=['good'])")
    assert kinds(ran.outputs) == ANSWER_AND_REPORT
    assert ran.markdown == SKY


def test_without_the_extension_a_kept_answer_is_shown(bare_kernel: Kernel) -> None:
    """As the value of a later cell, by `display`, and after the extension has come and gone, an answer is shown as its
    own cell showed it."""
    first = bare_kernel.run("answer = await nbretry.ask('Why?', providers=['good'])")
    for cell in ("answer", "display(answer)", "%load_ext nbretry\nanswer", "%unload_ext nbretry\nanswer"):
        later = bare_kernel.run(cell)
        assert not later.failed, later.traceback
        assert [output.data for output in later.outputs] == [output.data for output in first.outputs], cell
    assert kinds(bare_kernel.run("_answers").outputs) == [["text/html", "text/plain"]]


def test_answer_of_the_library_is_shown(tmp_path: Path, providers: str) -> None:
    """An answer that no cell has painted is shown as Markdown with its report, in a kernel that knows of nbretry only
    this answer; the saved page runs no word of it."""
    hostile = "<script>alert(1)</script> **bold** ![p](https://x.example/p.png)"
    messages = [{"role": "user", "content": "Why?"}]
    asks = f"answer = await RetryProvider([Provider('hostile', [{hostile!r}])]).answer('', {messages})"
    with kernel(tmp_path, providers) as nb:
        ran = nb.run(f"{asks}\nanswer")
        assert nb.value("'nbretry.notebook.asking.ask' in __import__('sys').modules") is False
    (output,) = ran.outputs
    page = Page(output.data["text/html"])
    page.assert_harmless()
    page.assert_well_formed()
    assert "<strong>bold</strong>" in output.data["text/html"]
    assert output.data["text/plain"].startswith(f"{hostile}\n\nhostile · first token")
    document = nbformat.v4.new_notebook(cells=[ran.cell])
    nbformat.validate(document)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(document)
    Page(str(body)).assert_harmless()
    assert "<strong>bold</strong>" in body


@pytest.mark.parametrize("load", ["", "get_ipython().run_line_magic('load_ext', 'nbretry')\n"])
def test_answer_in_a_terminal(tmp_path: Path, load: str) -> None:
    """IPython in a terminal shows an answer as text: what was said, and the line about who said it."""
    code = f"""{load}
import nbretry
from nbretry.testing import simulate
from nbretry.providers import RetryProvider
answer = await RetryProvider([simulate("reasoning='so so' 'The sky ' 'is blue.'")]).answer("", [])
print("<<<")
display(answer)
print(">>>")
"""
    ran = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", code],
        env=environment(tmp_path, TERM="dumb", PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    shown = ran.stdout.partition("<<<")[2].partition(">>>")[0]
    words = ("reasoning: 2 words, in the answer's .reasoning", "The sky is blue.", "first token")
    places = [shown.index(word) for word in words]
    assert places == sorted(places)
    assert "<details" not in shown
