"""`%%ask -f` in a real kernel: code for the next cell, JSON that is asked for again, text and HTML."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel import Kernel, Ran, environment, kernel, says
from page import Page

WITHIN = 10.0
"""Seconds. It takes a fiftieth of that on an idle machine; test machines are busy."""

CELL = '''
import asyncio, dataclasses, json
import nbretry
from nbretry.session.session import default_session

class Says:
    """Says one text at each question, and the last one for ever; an exception it raises."""

    def __init__(self, *texts, pause=None, finish=None):
        self.texts, self.pause, self.finish, self.asked = texts, pause, finish, []

    async def create_async_generator(self, model, messages, **options):
        self.asked.append(messages)
        text = self.texts[min(len(self.asked), len(self.texts)) - 1]
        if isinstance(text, Exception):
            raise text
        for start in range(0, len(text), 40):
            yield text[start:start + 40]
        if self.pause is not None and len(self.asked) == self.pause:
            await asyncio.sleep(600)
        if self.finish:
            yield nbretry.types.FinishReason(self.finish)

def says(*texts, **settings):
    provider = Says(*texts, **settings)
    nbretry.register("says", provider)
    default_session().health.reset()
    return provider

@dataclasses.dataclass
class Point:
    x: int
    y: int

person = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
SECRET = "sk-" + "0123456789abcdefghij"
fence = "`" * 3
'''


@pytest.fixture(scope="module")
def nb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("formats"), "%load_ext nbretry", CELL) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_left(nb: Kernel) -> None:
    nb.run("x = data = _answer = p = None")


def let_say(nb: Kernel, *texts: str, **settings: Any) -> None:
    """The provider ``says`` says these from now on."""
    ran = nb.run(f"p = says(*{texts!r}, **{settings!r})")
    assert not ran.failed, ran.traceback


def next_input(ran: Ran) -> str | None:
    """What the cell put into the next one."""
    payload = ran.reply["content"].get("payload", [])
    texts = [page for page in payload if page["source"] == "set_next_input"]
    assert all(page["replace"] is False for page in texts)
    assert len(texts) < 2
    return texts[0]["text"] if texts else None


def notes(ran: Ran) -> list[str]:
    """The lines that stand between and below the answers."""
    return [
        output.data["text/plain"]
        for output in ran.outputs
        if output.output_type == "display_data" and output.data["text/plain"].startswith("the ")
    ]


# --- code -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "%%ask -p says -f code\nAdd.",
        "%%time\n%%ask -p says -f code\nAdd.",
        "x = %ask -p says -f code Add.",
        "get_ipython().run_cell('%%ask -p says -f code\\nAdd.')",
    ],
)
def test_code_becomes_the_next_cell(nb: Kernel, cell: str) -> None:
    """The code arrives as the next cell's input, without its fences, and is not run; the value is the answer."""
    let_say(nb, 'Here:\n\n```python\nx = {1: "{{ y }}"}\ncode_was_run = True\n```\n')
    ran = nb.run(cell)
    assert not ran.failed, ran.traceback
    assert next_input(ran) == 'x = {1: "{{ y }}"}\ncode_was_run = True'
    assert ran.markdown.startswith("Here:\n\n```python\nx = {")
    assert nb.value("'code_was_run' in globals()") is False
    assert nb.value("_answer.code.count('\\n')") == 1
    assert nb.value("x is None or x is _answer") is True
    assert "fenced" in nb.value("p.asked[0][0]['content']")


@pytest.mark.parametrize("text", ["I cannot do that, Dave.", "```python\n```"])
def test_no_code(nb: Kernel, text: str) -> None:
    """Where the answer has no code, a line says so and no cell is made."""
    let_say(nb, text)
    ran = nb.run("%%ask -p says -f code\nAdd.")
    assert not ran.failed
    assert next_input(ran) is None
    assert notes(ran) == ["the answer has no code, so no cell is made of it"]


def test_no_secret_becomes_a_cell(nb: Kernel) -> None:
    """A key in the code is masked, as the cell would be saved with it."""
    nb.run("p = says(f'{fence}python\\nkey = \"{SECRET}\"\\n{fence}')")
    ran = nb.run("%%ask -p says -f code\nAdd.")
    assert next_input(ran) == 'key = "[secret]"'
    assert "0123456789abc" not in json.dumps([ran.reply["content"], *[m["content"] for m in ran.messages]])


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "variable"),
    [
        ("%%ask -p says -f json --schema Point -o data\nWhere?", "data"),
        ("x = %ask -p says --schema Point Where?", "x"),
        ("%%time\n%%ask -p says --schema Point -o data\nWhere?", "data"),
    ],
)
def test_json_gives_the_object(nb: Kernel, cell: str, variable: str) -> None:
    """``-o`` and ``x =`` give the checked object, ``_answer`` is the answer, and the cell shows the JSON in lines."""
    let_say(nb, 'Sure!\n```json\n{"x": 1, "y": 2}\n```')
    ran = nb.run(cell)
    assert not ran.failed, ran.traceback
    assert nb.value(f"{variable} == Point(1, 2)") is True
    assert nb.value("(type(_answer).__name__, _answer.json())") == ("Answer", {"x": 1, "y": 2})
    assert ran.answers == ['{\n  "x": 1,\n  "y": 2\n}']
    assert ran.markdown == '```json\n{\n  "x": 1,\n  "y": 2\n}\n```'
    assert '"y": {"title"' in nb.value("p.asked[0][0]['content']")


def test_json_without_a_schema(nb: Kernel) -> None:
    """Without a schema the value is what the JSON says; a value that is false is one."""
    for text in ("[1, null, {}]", "[]", "0", "null"):
        let_say(nb, text)
        nb.run("x = 'before'")
        assert not nb.run("x = %ask -p says -f json Why?").failed
        assert nb.value("x") == json.loads(text)
        assert nb.value("len(p.asked)") == 1


def test_asking_again(nb: Kernel) -> None:
    """What is no JSON and what does not fit is asked for again, with the error, in the same cell."""
    let_say(nb, "Sorry?", '{"name": 5}', '{"name": "Ada"}')
    ran = nb.run("%%ask -p says -s Short. -f json --schema person -o data\nWho?")
    assert not ran.failed, ran.traceback
    first, second = (
        "the answer is no JSON: there is no object and no array in it",
        "the answer does not fit person: name: 5 is not of type 'string'",
    )
    assert notes(ran) == [f"{first} – asked again, 1 of 2", f"{second} – asked again, 2 of 2"]
    assert nb.value("(data, _answer.text)") == ({"name": "Ada"}, '{"name": "Ada"}')
    messages = nb.value("p.asked[2]")
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [message["content"] for message in messages[1:3]] == ["Who?", "Sorry?"]
    assert first in messages[3]["content"]
    assert messages[4]["content"] == '{"name": 5}'
    assert second in messages[5]["content"]
    assert messages[0]["content"].startswith("Short.\n\nAnswer with JSON only")
    assert ran.answers == ["Sorry?", '{\n  "name": 5\n}', '{\n  "name": "Ada"\n}']
    assert ran.of_type("text/markdown")[-1] == '```json\n{\n  "name": "Ada"\n}\n```'


@pytest.mark.parametrize(("option", "times"), [("", 3), ("--retries 0", 1), ("--retries 1", 2), ("--retries 4", 5)])
def test_last_failure(nb: Kernel, option: str, times: int) -> None:
    """After as many askings as ``--retries`` says the cell fails in one line; the last answer is in ``_answer``."""
    let_say(nb, '{"a": 1,', '{"b": 2,')
    ran = nb.run(f"%%ask -p says -f json {option} -o data\nWho?")
    assert ran.failed
    asked = "" if times == 1 else f" (asked {times} times)"
    assert ran.traceback == (f"AnswerFormatError: the answer is no JSON: it is cut off (line 1, column 9){asked}")
    assert nb.value("len(p.asked)") == times
    assert len(notes(ran)) == times - 1
    assert nb.value("_answer.text") == ('{"a": 1,' if times == 1 else '{"b": 2,')


def test_retries_of_json_are_none_of_the_provider(nb: Kernel) -> None:
    """With ``-f json`` the number is not that of a provider's retries: those follow the session as ever."""
    nb.run("from nbretry.errors import APIConnectionError; p = says(APIConnectionError('nobody listens'))")
    plain = nb.run("%%ask -p says -f json\nWho?")
    asked = nb.value("len(p.asked)")
    nb.run("p = says(APIConnectionError('nobody listens'))")
    ran = nb.run("%%ask -p says -f json --retries 9\nWho?")
    assert plain.failed
    assert ran.failed
    assert ran.traceback.startswith("RetryProviderError: ")
    assert nb.value("len(p.asked)") == asked


def test_an_answer_at_its_token_limit(nb: Kernel) -> None:
    """Where an answer ended at its token limit, the error says so."""
    let_say(nb, '{"a": 1,', finish="length")
    ran = nb.run("%%ask -p says -f json --retries 0\nWho?")
    assert ran.traceback.endswith("(line 1, column 9); it ended at its token limit")


@pytest.mark.parametrize(
    "cell",
    ["%%ask -p says -f json -o data\nWho?", "data = %ask -p says -f json Who?", "%%time\n%%ask -p says -f json\nWho?"],
)
def test_stop_in_the_second_asking(nb: Kernel, cell: str) -> None:
    """A stop while it is asked again stops all: nobody is asked a third time, and what there is is kept."""
    let_say(nb, "Sorry?", '{"half": ', pause=2)
    ran = nb.run(cell, interrupt_when=says("half"))
    assert ran.raised
    assert "stopped; what there is of the answer is in _answer" in ran.traceback
    assert "Traceback" not in ran.traceback
    assert ran.stopped_after is not None
    assert ran.stopped_after < WITHIN
    assert nb.value("(len(p.asked), _answer.state, _answer.text)") == (2, "stopped", '{"half": ')
    let_say(nb, "[1]")
    assert not nb.run("%%ask -p says -f json -o data\nWho?").failed
    assert nb.value("data") == [1]


def test_what_is_spent_counts_for_all_askings(nb: Kernel) -> None:
    """``--max-cost`` is a limit of all askings together."""
    let_say(nb, "Sorry? " * 100)
    nb.run("p.needs_auth = True; default_session().prices.set('says', 0, 1000)")
    ran = nb.run("%%ask -p says -f json --max-tokens 200 --max-cost 0.3\nWho?")
    assert ran.failed
    assert "CostLimitError" in ran.traceback
    assert nb.value("len(p.asked)") == 1
    nb.run("default_session().prices.set('says', 0, 0)")


MISTAKES = {
    "--schema Poin": "ConfigError: --schema Poin: there is no such variable; did you mean 'Point'?",
    "--schema fence": "ConfigError: --schema fence: a str is no pydantic model, dataclass or JSON schema",
    "-f code --schema Point": "ConfigError: --schema is for -f json, and not for -f code",
}


@pytest.mark.parametrize("options", MISTAKES)
def test_mistakes(nb: Kernel, options: str) -> None:
    """A wrong schema fails the cell in one line, and nobody is asked."""
    let_say(nb, "[1]")
    assert nb.run(f"%%ask -p says {options}\nWhy?").traceback == MISTAKES[options]
    assert nb.value("len(p.asked)") == 0


def test_a_secret_in_json(nb: Kernel) -> None:
    """A key in an answer is masked wherever it is shown, in the line of the error, too."""
    nb.run("p = says(json.dumps({'name': [SECRET]}))")
    ran = nb.run("%%ask -p says --schema person --retries 1\nWho?")
    assert ran.failed
    assert "[secret]" in ran.traceback
    assert "0123456789abc" not in json.dumps([message["content"] for message in ran.messages])


def test_json_under_capture(nb: Kernel) -> None:
    """What captures a cell's outputs gets the answers, the reports and the line between, each once."""
    let_say(nb, "Sorry?", "[1]")
    nb.run("%%capture kept\n%%ask -p says -f json -o data\nWho?")
    shown = nb.value("[output.data['text/plain'] for output in kept.outputs]")
    assert len(shown) == 5
    assert (shown[0], shown[3]) == ("Sorry?", "[\n  1\n]")
    assert shown[2].endswith("asked again, 1 of 2")
    assert nb.value("data") == [1]


# --- text and HTML ----------------------------------------------------------------------------------------------------

HOSTILE = "<h1 onclick=alert(1)>Hi</h1><script>alert(2)</script>\"'></iframe><img src=//evil.example onerror=alert(3)>"


def test_html(nb: Kernel) -> None:
    """HTML is shown in a sandboxed frame, and nothing of it stands in the page itself."""
    let_say(nb, HOSTILE)
    ran = nb.run("%%ask -p says -f html\nShow.")
    assert not ran.failed
    shown = ran.of_type("text/html")[0]
    page = Page(shown)
    page.assert_well_formed()
    assert set(page.tags) == {"iframe", "details", "summary", "pre"}
    assert (page.handlers, page.addresses) == ([], [])
    assert 'sandbox=""' in shown
    assert "default-src &#x27;none&#x27;" in shown
    assert ran.of_type("text/plain")[0] == HOSTILE
    assert nb.value("_answer.text") == HOSTILE


@pytest.mark.parametrize(
    ("form", "text", "coming"),
    [
        ("html", "<p>begun", "<p>begun"),
        ("json", '{"begun": ', '{"begun":'),
        ("code", "begun = ", "begun ="),
        ("text", "*begun", ""),
    ],
)
def test_what_is_coming(nb: Kernel, form: str, text: str, coming: str) -> None:
    """While an answer comes its source is shown; one that was stopped is shown as far as it came, and goes nowhere."""
    let_say(nb, text, pause=1)
    ran = nb.run(f"%%ask -p says -f {form}\nShow.", interrupt_when=says("begun"))
    assert ran.failed
    assert ran.repaints()[:1] == ([coming] if coming else [])
    assert ran.of_type("text/plain")[0] == text
    assert "iframe" in ran.of_type("text/html")[0] or form != "html"
    assert next_input(ran) is None
    assert nb.value("_answer.text") == text


def test_text(nb: Kernel) -> None:
    """Text is shown as text, line by line, and no markup in it means anything."""
    let_say(nb, f"*a* שלום\n{HOSTILE}")
    ran = nb.run("%%ask -p says -f text\nShow.")
    page = Page(ran.of_type("text/html")[0])
    assert set(page.tags) == {"div", "br"}
    assert ran.of_type("text/plain")[0] == "*a* שלום\n" + HOSTILE
    assert ran.markdown == ""


@pytest.mark.parametrize("form", ["markdown", "text", "code", "json", "html"])
def test_every_form_has_its_report(nb: Kernel, form: str) -> None:
    """In each form one report follows the answer, and its record is in the output's metadata, once."""
    let_say(nb, "[1]")
    ran = nb.run(f"%%ask -p says -f {form} -o x\nWhy?")
    assert not ran.failed
    assert len(ran.outputs) == 2
    assert "says" in ran.of_type("text/plain")[1]
    assert [record["state"] for record in ran.records] == ["completed"]
    assert nb.value("_answer.text") == "[1]"
    assert nb.value("x == [1]") is (form == "json")


def test_a_large_answer(nb: Kernel) -> None:
    """200 kB of JSON come whole, and what is sent for it stays in proportion."""
    nb.run("p = says(json.dumps([{'key': 'é🦊 ' * 10}] * 3000))")
    ran = nb.run("x = %ask -p says -f json Why?")
    assert not ran.failed
    assert nb.value("(len(x), x[-1] == x[0])") == (3000, True)


# --- what is saved ----------------------------------------------------------------------------------------------------


def test_saved_notebook(tmp_path: Path, nb: Kernel) -> None:
    """Converted to a page, each form is there to read with no kernel, and nothing of a stranger's HTML is active."""
    import nbformat
    from nbconvert import HTMLExporter

    cells: list[Any] = []
    for form in ("text", "code", "json", "html"):
        let_say(nb, '["<b>bold</b>"]')
        cells.append(nb.run(f"%%ask -p says -f {form}\nWhy?").cell)
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.validate(notebook)
    page = HTMLExporter().from_notebook_node(notebook)[0]
    assert "<b>bold</b>" not in page
    assert page.count("&lt;b&gt;bold&lt;/b&gt;") >= 4


# --- without a notebook -----------------------------------------------------------------------------------------------

TERMINAL = """
import sys
from IPython.terminal.interactiveshell import TerminalInteractiveShell
shell = TerminalInteractiveShell.instance(simple_prompt=True, colors="NoColor")
shell.history_manager.enabled = False
shell.run_cell("%load_ext nbretry")
shell.run_cell({cell!r})
shell.run_cell("p = says('Sorry?', '[1]')")
shell.run_cell("data = %ask -p says -f json Why?")
shell.run_cell("print('data is', data, len(p.asked))")
shell.run_cell("p = says(f'{{fence}}python\\\\nx = 1\\\\n{{fence}}')")
shell.run_cell("%%ask -p says -f code\\nWhy?")
print("next is", repr(shell.rl_next_input))
shell.run_cell("p = says('Sorry?')")
shell.run_cell("%%ask -p says -f json --retries 0\\nWhy?")
"""


def test_terminal(tmp_path: Path) -> None:
    """In a terminal the object is given, the code is the next input, and a line tells of what was asked again."""
    ran = subprocess.run(
        [sys.executable, "-c", TERMINAL.format(cell=CELL)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "data is [1] 2" in ran.stdout, ran.stderr
    assert "next is 'x = 1'" in ran.stdout
    assert "no object and no array in it – asked again, 1 of 2" in ran.stderr
    assert "AnswerFormatError: the answer is no JSON: there is no object and no array in it" in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def test_comparison_has_no_default_format(nb: Kernel) -> None:
    """As ``--compare`` and ``-f`` do not go together, a comparison is asked for no form that is set as the default."""
    nb.run("one = says('{}')")
    nb.run("%nbretry config format json")
    try:
        ran = nb.run("%%ask --compare says,says\nWhy?")
        assert not ran.failed, ran.traceback
    finally:
        nb.run("%nbretry config format markdown")
    assert nb.value("one.asked[-1]") == [{"role": "user", "content": "Why?"}]
