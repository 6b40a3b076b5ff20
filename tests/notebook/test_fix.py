"""`%nbretry fix`: what a provider is told about the last exception of the notebook."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from kernel import Kernel, Ran, kernel, says
from traitlets.config import Config

from nbretry.notebook.cells import recorder
from nbretry.notebook.cells.recorder import last_failure
from nbretry.notebook.cells.tracebacks import LONGEST_TRACEBACK, short_traceback

SECRET = "sk-" + "0123456789abcdefghij"


def fixed(nb: Kernel, rest: str = "") -> str:
    """What a provider hears when the last exception is to be fixed."""
    ran = nb.run(f"%nbretry fix -p good {rest}")
    assert not ran.failed, ran.traceback
    assert ran.answer == "The sky is **blue**."
    return str(nb.value("Book.prompts[-1]"))


def test_cell_and_traceback(nb: Kernel) -> None:
    """The provider hears the cell that failed, the one with the function that raised, and a traceback in plain text."""
    nb.run("import json\ndef load(text):\n    return json.loads(text)")
    nb.run("rows = [1]\nload('{')")
    nb.run("print('a cell that did not fail')")
    prompt = fixed(nb, "Is it my fault")
    assert prompt.startswith("A cell of my notebook has failed.")
    assert "in one fenced block" in prompt
    assert "a cell in the traceback that ran before:\n```python\nimport json\ndef load(text):" in prompt
    assert "The cell that failed:\n```python\nrows = [1]\nload('{')\n```" in prompt
    assert ", in load\n    return json.loads(text)\n" in prompt
    assert ", in raw_decode\n" in prompt
    assert prompt.endswith(
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n"
        "```\n\nIs it my fault"
    )
    assert "\x1b" not in prompt
    assert "interactiveshell.py" not in prompt
    assert "did not fail" not in prompt


def test_answer_is_kept(nb: Kernel) -> None:
    """The answer is in ``_answer`` and where an option says; the magic itself gives nothing."""
    nb.run("1 / 0")
    nb.run("r = %nbretry fix -p good -o explained")
    assert nb.value("(r, _answer.text, explained is _answer)") == (None, "The sky is **blue**.", True)


def test_default_format_is_for_other_questions(nb: Kernel) -> None:
    """An explanation is asked for also where questions are answered as JSON by default, unless an option says."""
    nb.run("1 / 0")
    nb.run("%nbretry config format json")
    try:
        fixed(nb)
        assert "Answer with code only" in nb.run("%nbretry fix -p good -f code --dry-run").plain
    finally:
        nb.run("%nbretry config format markdown")


@pytest.mark.parametrize(
    "cell",
    [
        "%%time\nget_ipython().run_line_magic('nbretry', 'fix -p good')",
        "get_ipython().run_cell('%nbretry fix -p good')",
        "import asyncio\nawait asyncio.sleep(0)\n%nbretry fix -p good",
        "%%capture\n%nbretry fix -p good",
    ],
)
def test_wherever_it_stands(nb: Kernel, cell: str) -> None:
    """It works inside the running loop of any cell."""
    nb.run("1 / 0")
    ran = nb.run(cell)
    assert not ran.failed, ran.traceback
    assert "ZeroDivisionError: division by zero" in nb.value("Book.prompts[-1]")


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("def f():\nreturn 1", "IndentationError: expected an indented block"),
        ("return 1", "SyntaxError: 'return' outside function"),
        ("%%time\nint('x')", "ValueError: invalid literal for int()"),
        ("%foo", "UsageError: Line magic function `%foo` not found."),
        ("raise ExceptionGroup('two', [ValueError('a'), TypeError('b')])", "TypeError: b"),
        ("import asyncio\nawait asyncio.wait_for(asyncio.sleep(9), 0.01)", "TimeoutError"),
        ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e", "KeyError: 'k'"),
    ],
)
def test_kinds_of_errors(nb: Kernel, cell: str, error: str) -> None:
    """Whatever way a cell fails, its source and its error are sent."""
    nb.run(cell)
    prompt = fixed(nb)
    assert error in prompt
    assert cell.splitlines()[-1] in prompt
    assert "/ipykernel_" not in prompt


def test_cell_within_a_cell(nb: Kernel) -> None:
    """What failed within another cell is sent, and not the cell around it, which went on."""
    nb.run("get_ipython().run_cell('x = 1; int(None)')\nprint('went on')")
    assert "The cell that failed:\n```python\nx = 1; int(None)\n```" in fixed(nb)


def test_error_that_a_magic_has_shown(nb: Kernel, tmp_path: Path) -> None:
    """An exception that a magic shows without failing its cell, as that of a script, is the last one, too."""
    script = tmp_path / "script.py"
    script.write_text("def f():\n    raise LookupError('in the script')\nf()\n", encoding="utf-8")
    nb.run(f"%run {script}\nprint('went on')")
    prompt = fixed(nb)
    assert f"The cell that failed:\n```python\n%run {script}" in prompt
    assert "LookupError: in the script" in prompt
    assert "raise LookupError('in the script')\n" in prompt


def test_what_is_no_failure(nb: Kernel) -> None:
    """Interrupts, ends of the kernel, unanswered questions and wrong options are not explained: what was before is."""
    nb.run("int('what is meant')")
    nb.run("%%ask -p dead\nWhy?")
    nb.run("%%ask --wrong\nWhy?")
    nb.run("raise SystemExit")
    nb.run("raise KeyboardInterrupt")
    nb.run("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)")  # as the interrupt button
    nb.run("%%ask -p slow\nWhy?", interrupt_when=says("word3"))
    nb.run("%nbretry fix -p dead")
    nb.run("%%ask -p good -f json --retries 0\nWhy?")
    assert "what is meant" in fixed(nb)
    nb.run("_answer.json()  # by hand")
    assert "by hand" in fixed(nb)


def test_braces_and_secrets(nb: Kernel) -> None:
    """What looks like a variable in the traceback or the question is not looked up, and keys are masked."""
    nb.run(f"key = {SECRET!r}\nraise ValueError('{{{{ 1/0 }}}} {{{{ key }}}} ' + key)")
    prompt = fixed(nb, "{{ key }} and $HOME")
    assert prompt.count("{{ key }}") == 4
    assert prompt.endswith("{{ key }} and $HOME")
    assert SECRET not in prompt
    assert "ValueError: {{ 1/0 }} {{ key }} [secret]" in prompt


HOSTILE = """
class Hostile(Exception):
    def __str__(self):
        raise RuntimeError("no")
    __repr__ = __str__
    def __getattribute__(self, name):
        if name == "_render_traceback_":
            raise ValueError("not even that")
        return super().__getattribute__(name)
raise Hostile("x")
"""


def test_hostile_exception(shell: InteractiveShell) -> None:
    """A cell whose exception's own methods fail is known all the same, with what IPython made of the exception."""
    shell.run_cell(HOSTILE, store_history=True)
    failure = last_failure(shell)
    assert failure is not None
    assert failure.source == HOSTILE
    assert "Hostile" in failure.traceback or "RuntimeError: no" in failure.traceback


def test_hostile_exception_is_named(shell: InteractiveShell) -> None:
    """Of an exception that cannot say anything the type is told."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 (its class is made here)
        exec(HOSTILE, {"__name__": "__main__"})
    assert "Hostile" in short_traceback(caught.value, shell)


def test_long_tracebacks_are_cut(nb: Kernel) -> None:
    """Of a deep recursion and of a long message the ends are sent, with notes of what is missing."""
    nb.run("def again(n):\n    return again(n + 1)\nagain(0)")
    prompt = fixed(nb)
    assert "frames cut …]" in prompt
    assert len(prompt) < 3_000
    nb.run("raise ValueError('begin ' + 'x' * 200_000 + ' end')")
    prompt = fixed(nb)
    assert "characters cut …]" in prompt
    assert "ValueError: begin" in prompt
    assert " end\n```" in prompt
    assert len(prompt) < LONGEST_TRACEBACK + 1_000


def test_fences_in_the_cell(nb: Kernel) -> None:
    """A cell with fences in it cannot close the one it stands in."""
    nb.run("text = '''\n```\n````\n'''\n1 / 0")
    assert "`````python\ntext = '''\n```\n````\n'''\n1 / 0\n`````" in fixed(nb)


def test_context_beside(nb: Kernel) -> None:
    """The options of a question hold, as that for the cells above."""
    nb.run("print('above')")
    nb.run("1 / 0")
    prompt = fixed(nb, "--context 2")
    assert prompt.index("print('above')") < prompt.index("A cell of my notebook has failed.")
    ran = nb.run("%nbretry fix --compare good,counting")
    assert not ran.failed, ran.traceback
    assert nb.value("len(_comparison)") == 2


def test_nothing_to_fix(tmp_path: Path) -> None:
    """Where no cell has failed, one line says so."""
    with kernel(tmp_path) as nb:
        ran = nb.run("%nbretry fix")
        assert ran.traceback == "ConfigError: there is nothing to fix: no cell of this notebook has failed"


def test_failure_before_loading(tmp_path: Path, providers: str) -> None:
    """An exception from before nbretry was loaded is explained, with its cell."""

    def failing(nb: Kernel) -> Ran:
        nb.run("%unload_ext nbretry")
        return nb.run("before = 1\nint('before loading')")

    with kernel(tmp_path, "%load_ext nbretry", providers) as nb:
        assert failing(nb).failed
        nb.run("print('between')")
        nb.run("%load_ext nbretry")
        prompt = fixed(nb)
    assert "The cell that failed:\n```python\nbefore = 1\nint('before loading')\n```" in prompt
    assert "ValueError: invalid literal for int() with base 10: 'before loading'" in prompt


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("--wrong", "ConfigError: there is no option '--wrong'"),
        ("-p nobody-here", "ConfigError: there is no provider named 'nobody-here'"),
        ("-p dead", "RetryProviderError: every provider failed"),
    ],
)
def test_mistakes(nb: Kernel, options: str, error: str) -> None:
    """A wrong option is told in one line, and a question that nobody answers fails the cell."""
    nb.run("1 / 0")
    ran = nb.run(f"%nbretry fix {options}")
    assert ran.failed
    assert ran.traceback.startswith(error)
    assert "Traceback" not in ran.traceback


def test_interrupt(nb: Kernel) -> None:
    """Stop stops it: the stream is closed, and what had come of the answer is kept."""
    nb.run("1 / 0")
    ran = nb.run("%nbretry fix -p slow", interrupt_when=says("word3"))
    assert ran.failed
    assert ran.traceback == "KeyboardInterrupt: stopped; what there is of the answer is in _answer"
    assert nb.value("(Book.opened, Book.closed, _answer.state)") == (1, 1, "stopped")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    monkeypatch.delattr(sys, "last_value", raising=False)
    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    running = InteractiveShell(config=config)
    recorder.register(running)
    try:
        yield running
    finally:
        recorder.unregister(running)
        running.history_manager.end_session()


def test_terminal(shell: InteractiveShell) -> None:
    """In a terminal the last exception is known, too, and only that."""
    assert last_failure(shell) is None
    shell.run_cell("def f():\n    return undefined", store_history=True)
    shell.run_cell("f()", store_history=True)
    failure = last_failure(shell)
    assert failure is not None
    assert failure.source == "f()"
    assert failure.others == {"In[1]": "def f():\n    return undefined"}
    assert failure.traceback.endswith("NameError: name 'undefined' is not defined")


def test_no_frames_are_kept(shell: InteractiveShell) -> None:
    """What is remembered of an exception is text: it keeps none of the user's objects alive."""
    shell.run_cell("class Big: pass\nimport weakref\nbig = Big(); gone = weakref.ref(big)", store_history=True)
    shell.run_cell("def f(x):\n    1 / 0\nf(big)", store_history=True)
    shell.run_cell("del big\nint('x')", store_history=True)
    shell.run_cell("int('y')", store_history=True)
    shell.run_cell("import gc; gc.collect(); left = gone() is not None", store_history=True)
    assert shell.user_ns["left"] is False
    assert last_failure(shell) is not None


def test_causes_without_end(shell: InteractiveShell) -> None:
    """Causes that go round in a circle come to an end."""
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__cause__ = second, first
    assert "ValueError: first" in short_traceback(first, shell)


def test_a_question_with_its_mark(nb: Kernel) -> None:
    """What is asked beside may end in a question mark, which IPython would take for a request for help."""
    nb.run("1 / 0")
    ran = nb.run("%nbretry fix -p good Is it my data?")
    assert not ran.failed, ran.traceback
    assert ran.answer
    assert nb.value("Book.prompts[-1].endswith('Is it my data?')") is True
