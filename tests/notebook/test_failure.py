"""A question that nobody answers fails its cell in a few lines that say why, and gives no secret away."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
import pytest
from kernel import Kernel, config, environment, kernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

SECRET = "sk-" + "0123456789abcdefghij"
PLAIN_SECRET = "correct-horse-battery-staple"

EVERYONE_FAILED = """RetryProviderError: every provider failed:
dead: APIConnectionError: nobody listens
hopeless: ValueError: no idea"""

HOPELESS = """
class Hopeless:
    name = "hopeless"
    def create_completion(self, model, messages, **options):
        raise ValueError("no idea")
nbretry.register("hopeless", Hopeless())"""


@pytest.fixture(autouse=True)
def hopeless(nb: Kernel) -> None:
    nb.run(HOPELESS)
    nb.run("from nbretry.session.session import default_session\ndefault_session().health.reset()")


@pytest.mark.parametrize(
    "cell",
    [
        "%%ask -p dead,hopeless\nWhy?",
        "%%time\n%%ask -p dead,hopeless\nWhy?",
        "x = %ask -p dead,hopeless Why?",
        "await nbretry.ask('Why?', providers=['dead', 'hopeless'])",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    x = %ask -p dead,hopeless Why?",
    ],
)
def test_everyone_fails(nb: Kernel, cell: str) -> None:
    """The cell fails with a line for each attempt and its exception, and without a single frame of a traceback."""
    ran = nb.run(cell)
    assert ran.raised
    assert ran.error.ename == "RetryProviderError"
    lines = ran.traceback.splitlines()
    assert "\n".join(lines[:3]) == EVERYONE_FAILED
    assert sorted(lines[3:]) == lines[1:3], "the second round"
    assert ran.answers == []
    assert "nobody answered" in ran.plain
    assert len(ran.of_type("text/html")) == len(ran.reports) == 1
    assert nb.value("_answer.state") == "failed"
    attempts = nb.value("[(a.provider, a.state, type(a.exception).__name__) for a in _answer.attempts]")
    assert attempts[:2] == [("dead", "failed", "APIConnectionError"), ("hopeless", "failed", "ValueError")]
    assert sorted(attempts[2:]) == attempts[:2]
    assert nb.value("_answer.exceptions['hopeless'].args") == ("no idea",)


def test_answer_begins_anew(nb: Kernel) -> None:
    """Where the stream breaks after its first words the next provider answers instead; the report keeps them."""
    ran = nb.run("%%ask -p fading,good\nWhy?")
    assert not ran.failed
    assert ran.repaints()[0].startswith("half an")
    assert ran.answer == "The sky is **blue**."
    assert "half an" not in ran.plain
    assert "failed: fading" in ran.plain
    report = ran.of_type("text/html")[-1]
    assert "the text it had sent" in report
    assert "half an ans" in report
    assert nb.value("(_answer.text, _answer.attempts[0].given_up)") == ("The sky is **blue**.", "half an ans")


def test_withdrawn_text_is_told_while_the_next_one_answers(nb: Kernel) -> None:
    """While the next provider answers, the line below its text says who it is, and whose text was withdrawn."""
    ran = nb.run("%%ask -p fading,steady\nCount.")
    shown = [message["content"].get("data", {}).get("text/html", "") for message in ran.messages]
    growing = [html for html in shown if "word3" in html and "word19" not in html]
    assert growing
    assert all("… steady · the text of fading, which broke off, was withdrawn" in html for html in growing)
    assert any("… fading" in html for html in shown if "half an" in html)
    assert not any("withdrawn" in html or "… " in html for html in ran.of_type("text/html"))


def test_answer_goes_on(nb: Kernel) -> None:
    """With ``--on-break continue`` the next provider goes on from the text so far, and both are named."""
    ran = nb.run("%%ask -p broken,good --on-break continue\nWhy?")
    assert not ran.failed
    assert ran.answer == "half an ansThe sky is **blue**."
    assert "broken + good" in ran.plain


def test_answer_breaks_off(nb: Kernel) -> None:
    """With ``--on-break raise`` the first words are kept, the cell fails, and nobody else's follow."""
    ran = nb.run("%%ask -p broken,good --on-break raise\nWhy?")
    assert ran.raised
    assert ran.traceback == (
        "RetryProviderError: broken broke off after it had begun to answer:\nbroken: APIConnectionError: reset"
    )
    assert ran.answers == ["half an ans"]
    assert "broken broke off" in ran.plain
    assert nb.value("(_answer.text, _answer.provider, Book.opened)") == ("half an ans", "broken", 1)


EMPTY = "ConfigError: the question is empty: write it below %%ask, after %ask, or after nbretry ask"

MISTAKES = {
    "%%ask -p opne,good\nWhy?": "ConfigError: there is no provider named 'opne'; did you mean 'openai'?",
    "%%ask -p goood\nWhy?": "ConfigError: there is no provider named 'goood'; did you mean 'good'?",
    "%%ask --provider good\nWhy?": "ConfigError: there is no option '--provider'; did you mean '--providers'?",
    "%%ask -t hot\nWhy?": "ConfigError: -t/--temperature: 'hot' is no temperature: write a number from 0 to 2",
    "%%ask -p\nWhy?": "ConfigError: -p needs a value",
    "%%ask -o class\nWhy?": "ConfigError: -o/--into: 'class' cannot name a variable: write letters, digits and '_'",
    "%%ask -p good\n": EMPTY,
    "%ask": EMPTY,
    "await nbretry.ask('  ')": EMPTY,
    "await nbretry.ask('Why?', providers=[])": None,
    "%%ask good\nWhy?": (
        "ConfigError: 'good' is no option: after %%ask stand options only, and the question in the lines below"
    ),
}


@pytest.mark.parametrize("cell", MISTAKES)
def test_mistake_is_told_in_one_line(nb: Kernel, cell: str) -> None:
    """A mistake in the question fails the cell in one line that says what would be right; nobody is asked."""
    ran = nb.run(cell)
    assert ran.raised
    expected = MISTAKES[cell]
    assert ran.traceback == expected or (expected is None and ran.traceback.startswith("RetryNoProviderError: "))
    assert "\n" not in ran.traceback
    assert [output.output_type for output in ran.outputs] == ["error"]
    assert nb.value("Book.opened") == 0


def test_bug_in_a_provider_can_be_found(nb: Kernel) -> None:
    """The exception of a provider that somebody is writing keeps its traceback, for whoever wants to look."""
    nb.run("%%ask -p hopeless\nWhy?")
    names = "[frame.name for frame in __import__('traceback').extract_tb(_answer.exceptions['hopeless'].__traceback__)]"
    assert nb.value(names)[-1] == "create_completion"


def test_run_all_stops_at_the_failure(tmp_path: Path, providers: str) -> None:
    """ "Run All" does not go on behind a question that nobody answered, and the file keeps the report of it."""
    sources = ["%load_ext nbretry", providers, HOPELESS, "%%ask -p dead,hopeless\nWhy?", "print('reached')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}, config=config())
    with pytest.raises(CellExecutionError, match="every provider failed"):
        client.execute(env=environment(tmp_path))
    failed, after = notebook.cells[-2:]
    assert "nobody answered" in json.dumps(failed.outputs)
    assert after.outputs == []


LEAKY = f"""
import nbretry
from nbretry.errors import AuthenticationError, NbretryError
SECRET = "sk-" + "0123456789" + "abcdefghij"
PLAIN = "-".join({PLAIN_SECRET.split("-")})
class Leaky:
    def __init__(self, name, failure, *words):
        self.name, self.failure, self.words = name, failure, words
        self.default_model = f"model-of-{{PLAIN}}"
    async def create_async_generator(self, model, messages, **options):
        for word in self.words:
            yield word
        if self.failure:
            raise self.failure
nbretry.register("ours", Leaky("ours", AuthenticationError(f"wrong key {{SECRET}}", status_code=401)))
nbretry.register("foreign", Leaky("foreign", ValueError(f"no entry with {{PLAIN}} and {{SECRET}}")))
nbretry.register(
    "breaking", Leaky("breaking", ValueError(f"no {{PLAIN}}"), f"Your key is {{SECRET}} or ", f"{{PLAIN}}. ")
)
nbretry.register("telling", Leaky("telling", None, "Your key is ", SECRET[:9], SECRET[9:], " or ", PLAIN, ". "))
"""


def assert_masked(tmp_path: Path, *sources: str) -> None:
    with kernel(tmp_path, "%load_ext nbretry", LEAKY, OPENAI_API_KEY=PLAIN_SECRET) as nb:
        for source in sources:
            ran = nb.run(source)
            assert "SyntaxError" not in ran.traceback
            said = json.dumps([ran.cell, [message["content"] for message in ran.messages], ran.reply["content"]])
            assert not source.startswith("%%ask") or "[secret]" in said
            for secret in (SECRET, PLAIN_SECRET):
                assert secret not in said, f"{source!r} gives it away: {said[max(0, said.find(secret) - 200) :][:400]}"
        saved = nbformat.writes(nb.client.nb)
    assert SECRET not in saved
    assert PLAIN_SECRET not in saved


def test_no_secret_is_saved(tmp_path: Path) -> None:
    """A key in an exception, a model's name or a model's own words is masked in all that the notebook saves."""
    assert_masked(
        tmp_path,
        "%%ask -p ours,foreign\nWhy?",
        "%tb",
        "_answer",
        "_answer.exceptions['ours']",
        "await nbretry.ask('Why?', providers=['foreign'])",
        "%%ask -p breaking,ours\nWhy?",
        "%tb",
        "%%ask -p telling\nWhat is my key?",
        "%%time\n%%ask -p telling\nWhat is my key?",
        "x = %ask -p telling What is my key?",
        "x",
        "%%capture taken\n%%ask -p telling\nWhat is my key?",
        "taken.show()",
        "raise RuntimeError('mine') from _answer.exceptions.get('ours')",
    )


def test_no_secret_in_a_printed_record(tmp_path: Path) -> None:
    """A key is masked where Python prints an answer or its attempts, as within a list."""
    assert_masked(
        tmp_path,
        "%%ask -p breaking,ours\nWhy?",
        "[_answer]",
        "print(repr(_answer))",
        "_answer.attempts",
    )


def test_no_secret_in_the_log(tmp_path: Path) -> None:
    """A key is masked in the lines that nbretry logs."""
    noisy = "import logging, sys\nlogging.basicConfig(level=logging.DEBUG, stream=sys.stdout)"
    assert_masked(tmp_path, noisy, "%%ask -p ours,foreign\nWhy?", "%%ask -p telling\nWhat is my key?")


def test_nobody_to_ask(tmp_path: Path) -> None:
    """Without a key and without the local model, the cell fails in one line that names both ways out."""
    no_model = "import sys\nsys.modules['xllamacpp'] = None"
    with kernel(tmp_path, no_model, "%load_ext nbretry") as nb:
        for cell in ("%%ask\nWhy?", "%%time\n%%ask\nWhy?", "import nbretry\nawait nbretry.ask('Why?')"):
            ran = nb.run(cell)
            assert ran.raised
            assert ran.traceback.startswith("RetryNoProviderError: there is nobody to ask: set a key")
            assert "pip install" in ran.traceback
            assert "\n" not in ran.traceback


def test_interpreter_is_the_one_that_runs_the_tests(nb: Kernel) -> None:
    """The kernel runs in the environment under test and not in another one."""
    assert nb.value("__import__('sys').prefix") == sys.prefix
