"""A question in the background: its cell ends at once, and its answer goes on streaming into that cell."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kernel import Kernel, Message, answers_of, kernel, says
from page import Page

WITHIN = 60.0
"""Seconds, for what takes a few on a busy machine."""

WHOLE = "".join(f"word{i} " for i in range(20))
STOPPED = "CancelledError: stopped; what there is of the answer is in .answer"


@pytest.fixture(autouse=True)
def nothing_runs(nb: Kernel) -> Iterator[None]:
    nb.run("%nbretry reset")
    yield
    nb.run("Book.release.set()\nfor one in globals().get('_background', []):\n    one.stop()")


def updates(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message["msg_type"] == "update_display_data"]


def shown(cell: Any) -> list[str]:
    """The plain text of each output that is not empty."""
    texts = [output.get("data", {}).get("text/plain", output.get("text", "")) for output in cell.outputs]
    return [text for text in texts if text]


def test_it_streams_into_its_own_cell(nb: Kernel) -> None:
    """The cell ends at once; while another one prints and blocks the kernel, the answer grows in the first."""
    asked = nb.run("%%ask --background -p steady\nCount.")
    assert not asked.failed
    assert asked.answer != WHOLE
    blocking = nb.run("print('before')\ntime.sleep(4)\nprint('after')")
    growing = blocking.repaints()
    assert len(growing) > 3, "it has not streamed"
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(growing))
    assert blocking.printed == "before\nafter\n"
    assert [output.output_type for output in blocking.outputs] == ["stream"] * len(blocking.outputs)
    assert {message["msg_type"] for message in blocking.messages} == {
        *("status", "execute_input", "stream"),
        "update_display_data",
    }, "something else than an update was sent while another cell ran"
    assert answers_of(asked.cell) == [WHOLE]
    assert shown(asked.cell)[0] == WHOLE
    assert shown(asked.cell)[1].startswith("steady · first token")
    assert [output.metadata["nbretry"]["state"] for output in asked.cell.outputs if output.metadata] == ["completed"]


def test_pure_python_work_does_not_hold_it_up(nb: Kernel) -> None:
    """It goes on while a cell computes, which gives up the interpreter only when it has to."""
    asked = nb.run("%%ask --background -p steady -o answer\nCount.")
    nb.run("end = time.monotonic() + 60\nwhile not answer.done() and time.monotonic() < end:\n    sum(range(10_000))")
    assert nb.value("answer.state") == "completed"
    assert answers_of(asked.cell) == [WHOLE]


def test_several_stay_each_in_its_own_cell(nb: Kernel) -> None:
    """Three at once, one of which is asked with a variable that changes at once, do not mix."""
    nb.run("name = 'first'")
    cells = [
        nb.run("%%ask --background -p steady\nCount."),
        nb.run("%%ask --background -p echo\n{{ name }}"),
        nb.run("%%ask --background -p dead,good\nWhy?"),
    ]
    nb.run("name = 'second'")
    nb.run("import asyncio\n[await one for one in _background[-3:]]")
    assert answers_of(cells[0].cell) == [WHOLE]
    assert "'first'" in answers_of(cells[1].cell)[0]
    assert answers_of(cells[2].cell) == ["The sky is **blue**."]
    assert "failed: dead" in shown(cells[2].cell)[1]


def test_it_is_awaited(nb: Kernel) -> None:
    """`await` and `result` give the Answer, in the cell that asked and in others, as often as one likes."""
    nb.run("x = %ask --background -p steady Count.")
    waited = nb.run("first = await x\nsecond = x.result()\nprint(first is second, first.text, x.text == first.text)")
    assert waited.printed == f"True {WHOLE} True\n"
    assert nb.value("(type(first).__name__, first.state, x.state, x.done())") == (
        "Answer",
        "completed",
        "completed",
        True,
    )
    same = nb.run("x = %ask --background -p good Why?\nprint((await x).text)")
    assert same.printed == "The sky is **blue**.\n"


def test_where_it_is_kept(nb: Kernel) -> None:
    """`_background` and the variable of `-o` have it at once, `_answer` and `_answers` once it has ended."""
    nb.run("%%ask -p good\nWhy?")
    nb.run("%%ask --background -p hung -o kept\nWhy?")
    assert nb.value("(kept is _background[-1], kept.done(), _answer.text)") == (True, False, "The sky is **blue**.")
    nb.run("before = len(_answers)\nkept.stop()")
    nb.run("try:\n    await kept\nexcept asyncio.CancelledError:\n    pass")
    assert nb.value("(_answer.state, _answers[-1] is _answer, len(_answers) - before)") == ("stopped", True, 1)
    assert nb.value("(type(kept).__name__, kept.answer is _answer)") == ("BackgroundAnswer", True)
    displayed = nb.run("kept")
    assert displayed.plain == "<BackgroundAnswer stopped · hung · 0 characters>"
    assert displayed.of_type("text/html")[0].count("\n") == 0


def test_answer_is_that_of_the_question_asked_last(nb: Kernel) -> None:
    """One that was asked before does not take the place of an answer when it ends later; it comes into the list."""
    nb.run("%%ask --background -p steady -o early\nCount.")
    nb.run("%%ask -p good\nWhy?")
    nb.run("await early")
    assert nb.value("(_answer.text, _answers[-1].text, _answers[-2].text)") == (
        "The sky is **blue**.",
        WHOLE,
        "The sky is **blue**.",
    )


def test_answer_does_not_change_while_a_cell_runs(nb: Kernel) -> None:
    """A cell that does not wait for it sees the same `_answer` from its beginning to its end."""
    nb.run("%%ask -p good\nWhy?")
    nb.run("%%ask --background -p steady -o later\nCount.")
    ran = nb.run(
        "end = time.monotonic() + 60\nbefore = _answer\n"
        "while not later.done() and time.monotonic() < end: time.sleep(0.05)\n"
        "print(_answer is before, later.done())"
    )
    assert ran.printed == "True True\n"
    assert nb.value("_answer is later.answer") is True


def test_answer_does_not_change_where_a_cell_has_run_inside(nb: Kernel) -> None:
    """A cell that runs another one by `run_cell` is still running when that one has ended."""
    nb.run("_answer = 'before'\nasked = %ask --background -p good Why?")
    ran = nb.run(
        "import time\nget_ipython().run_cell('1')\n"
        "asked = get_ipython().run_line_magic('ask', '--background -p good Why?')\n"
        "before = _answer\nget_ipython().run_cell('2')\n"
        "while not asked.done(): time.sleep(0.02)\nget_ipython().run_cell('3')\nprint(_answer is before)"
    )
    assert not ran.failed, ran.traceback
    assert ran.printed.splitlines()[-1] == "True"
    assert nb.value("_answer is asked.answer") is True


def test_stop(nb: Kernel) -> None:
    """`stop` closes the stream, keeps the text in the cell, marks it as stopped, and is told to who awaits it."""
    asked = nb.run("%%ask --background -p slow -o x\nCount.")
    nb.run("while 'word3' not in x.text: time.sleep(0.02)")
    nb.run("x.stop(); x.stop()")
    awaited = nb.run("await x")
    assert awaited.failed
    assert awaited.traceback == STOPPED
    assert nb.value("(x.state, x.answer.state, Book.opened - Book.closed)") == ("stopped", "stopped", 0)
    assert answers_of(asked.cell) == [nb.value("x.text")]
    assert shown(asked.cell)[1].startswith("stopped · slow")


def test_stop_while_nothing_comes(nb: Kernel) -> None:
    """A silent provider is given up as well, and the cell says so."""
    asked = nb.run("x = %ask --background -p hung Why?")
    nb.run("x.stop()\nwhile not x.done(): time.sleep(0.02)")
    nb.run("pass")
    assert any(text.startswith("stopped") for text in shown(asked.cell))
    assert nb.value("Book.opened - Book.closed") == 0


def test_a_failure(nb: Kernel) -> None:
    """The cell is long done; its output tells who failed and why; `await` raises it, short as in a cell."""
    asked = nb.run("%%ask --background -p dead,badkey -o x\nWhy?")
    assert not asked.failed
    awaited = nb.run("await x")
    assert awaited.failed
    assert awaited.traceback.startswith("RetryProviderError: every provider failed:\ndead: APIConnectionError")
    assert "Traceback" not in awaited.traceback
    assert nb.value("(type(x.exception()).__name__, x.state, _answer.state)") == (
        "RetryProviderError",
        "failed",
        "failed",
    )
    text = "\n".join(shown(asked.cell))
    assert "nobody answered" in text
    assert "RetryProviderError: every provider failed:" in text
    assert "badkey: AuthenticationError: wrong key [secret]" in text
    assert "0123456789abcdefghij" not in str(asked.cell)


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("%%ask --background -p nobody\nWhy?", "ConfigError: there is no provider named 'nobody'; did you mean"),
        ("%%ask --background -p good\n   ", "ConfigError: "),
        ("%%ask --background -p good\n{{ unknown_name }}", "ConfigError: "),
        ("%%ask --background -f code -p good\nWhy?", "ConfigError: -f code and --background do not go together"),
        ("%%ask --background --compare good,slow\nWhy?", "ConfigError: --compare and --background do not go together"),
    ],
)
def test_a_mistake_is_told_at_once(nb: Kernel, cell: str, error: str) -> None:
    """What the user has to mend fails the cell itself, in one line, and nothing is asked."""
    nb.run("%ask --background -p good Why?")
    count = nb.value("len(_background)")
    ran = nb.run(cell)
    assert ran.failed
    assert ran.traceback.startswith(error)
    assert "\n" not in ran.traceback
    assert nb.value("len(_background)") == count


def test_an_interrupt_leaves_it_alone(nb: Kernel) -> None:
    """The interrupt of another cell, also of one that awaits it, stops that cell and not the answer."""
    asked = nb.run("%%ask --background -p slow -o x\nCount.")
    sleeping = nb.run("print('sle' + 'eping', flush=True)\ntime.sleep(60)", interrupt_when=says("sleeping"))
    assert sleeping.failed
    awaiting = nb.run("print('wai' + 'ting', flush=True)\nawait x", interrupt_when=says("waiting"))
    assert awaiting.failed
    assert awaiting.stopped_after is not None
    assert awaiting.stopped_after < WITHIN
    waiting = nb.run("print('hold' + 'ing', flush=True)\nx.result()", interrupt_when=says("holding"))
    assert "KeyboardInterrupt" in waiting.traceback
    nb.run("length = len(x.text)\nend = time.monotonic() + 60")
    nb.run("while len(x.text) < length + 50 and time.monotonic() < end: time.sleep(0.05)")
    assert nb.value("(x.state, len(x.text) > length)") == ("running", True)
    nb.run("x.stop()\nwhile not x.done(): time.sleep(0.02)\ntime.sleep(0.1)")
    assert answers_of(asked.cell) == [nb.value("x.text")]


def test_an_interrupt_of_a_silent_one_that_is_awaited(nb: Kernel) -> None:
    """Nothing wakes the kernel's loop, and the interrupt is seen all the same."""
    nb.run("%%ask --background -p hung -o x\nWhy?")
    awaiting = nb.run("print('wai' + 'ting', flush=True)\nawait x", interrupt_when=says("waiting"))
    assert awaiting.failed
    assert awaiting.stopped_after is not None
    assert awaiting.stopped_after < WITHIN
    assert awaiting.traceback == "CancelledError: no longer awaited; the question goes on in the background"
    assert nb.value("x.done()") is False


def test_capture_of_another_cell_does_not_catch_it(nb: Kernel) -> None:
    """While a `%%capture` cell runs, the answer streams on into its own cell."""
    asked = nb.run("%%ask --background -p steady -o x\nCount.")
    capturing = nb.run("%%capture caught\nprint('caught')\nx.result()\ntime.sleep(0.5)")
    assert not capturing.failed
    assert nb.value("(len(caught.outputs), caught.stdout)") == (0, "caught\n")
    assert answers_of(asked.cell) == [WHOLE]


def test_its_own_cell_captured(nb: Kernel) -> None:
    """Under `%%capture` nothing is shown, and the captured outputs have the end of it, once."""
    asked = nb.run("%%capture caught\n%%ask --background -p steady -o x\nCount.")
    assert asked.outputs == []
    nb.run("await x")
    replayed = nb.run("caught.show()")
    assert replayed.answer == WHOLE
    assert nb.value("len(caught.outputs)") == 2


def test_under_time_and_in_run_cell(nb: Kernel) -> None:
    """Where the cell is not the top level, it is asked in the background as well."""
    timed = nb.run("%%time\n%%ask --background -p steady -o x\nCount.")
    assert "Wall time" in timed.printed
    inner = nb.run("get_ipython().run_cell('%%ask --background -p steady -o y\\nCount.');")
    nb.run("await x; await y")
    assert answers_of(timed.cell) == answers_of(inner.cell) == [WHOLE]


def test_beside_a_question_that_nests(nb: Kernel) -> None:
    """`x = %ask` patches asyncio while an answer is under way in the thread, and neither minds."""
    asked = nb.run("%%ask --background -p steady,good -o y\nCount.")
    nested = nb.run("for _ in range(3):\n    x = %ask -p good Why?\nprint(x.text)")
    assert nested.printed == "The sky is **blue**.\n"
    nb.run("await y")
    assert answers_of(asked.cell) == [WHOLE]
    assert answers_of(nb.run("%%ask -p good\nWhy?").cell) == ["The sky is **blue**."]


def test_a_synchronous_provider_that_blocks(nb: Kernel) -> None:
    """One that holds up its thread does not hold up the others in the background."""
    blocked = nb.run("%%ask --background -p blocked -o x\nWhy?")
    other = nb.run("%%ask --background -p steady -o y\nCount.")
    nb.run("await y")
    assert answers_of(other.cell) == [WHOLE]
    nb.run("Book.release.set()\nawait x")
    assert answers_of(blocked.cell) == ["before after"]


def test_a_conversation_goes_on(nb: Kernel) -> None:
    """What was answered in the background is part of the conversation from its end on."""
    nb.run("%%ask --background --new -c talk -p good -o x\nWhy is the sky blue?")
    nb.run("await x")
    next_one = nb.run("%%ask -c talk -p echo\nAnd the sea?")
    assert "The sky is **blue**." in next_one.answer
    assert "Why is the sky blue?" in next_one.answer


def test_json(nb: Kernel) -> None:
    """With `-f json` the awaited value is the object; an answer that is none is asked for again in the same cell."""
    nb.run(
        "from nbretry.testing import simulate\n"
        "nbretry.register('jsonlike', simulate('''\\'no JSON\\', ok, \\'{\"colour\": \"blue\"}\\' '''))"
    )
    asked = nb.run("%%ask --background -f json -p jsonlike --retries 2 -o x\nWhich colour?")
    ran = nb.run("value = await x\nprint(value)")
    assert ran.printed == "{'colour': 'blue'}\n"
    assert not ran.failed
    text = "\n".join(shown(asked.cell))
    assert "blue" in text
    assert "no JSON –" in text or "asked again" in text
    never = nb.run("%%ask --background -f json -p good --retries 0 -o y\nWhich colour?")
    assert "AnswerFormatError" in nb.run("await y").traceback
    assert "AnswerFormatError" in "\n".join(shown(never.cell))
    assert nb.value("(y.state, y.answer.state)") == ("failed", "completed")


def test_reasoning(nb: Kernel) -> None:
    """A model's reasoning stands folded above its answer, in the cell that asked."""
    nb.run(
        "from nbretry.testing import simulate\n"
        "nbretry.register('thinker', simulate(\"reasoning='First I think.' delay=0.1 'Then I speak.'\"))"
    )
    asked = nb.run("%%ask --background -p thinker -o x\nWhy?")
    nb.run("await x;")
    assert [text for text in shown(asked.cell) if "thinker" not in text] == [shown(asked.cell)[0], "Then I speak."]
    assert "First I think." in str(asked.cell.outputs[0].data)
    assert "<details" in asked.cell.outputs[0].data["text/html"]
    assert nb.value("x.text") == "Then I speak."


def test_packages_are_loaded_by_the_cell_itself(tmp_path: Path) -> None:
    """What asks OpenAI's protocol is loaded when the cell ends, as the next one may import it at the same time."""
    provider = (
        "import nbretry, sys\nfrom nbretry.providers import OpenAIProvider\n"
        "nbretry.register('nowhere', OpenAIProvider('http://127.0.0.1:9/v1', api_key='none', model='any'))"
    )
    with kernel(tmp_path, "%load_ext nbretry", provider) as nb:
        assert nb.value("'openai' in sys.modules") is False
        asked = nb.run("x = %ask --background -p nowhere Why?\nprint('openai.resources.chat.chat' in sys.modules)")
        assert asked.printed == "True\n"
        assert "APIConnectionError" in nb.run("await x").traceback


def test_unload_leaves_it_alone(nb: Kernel) -> None:
    """`%unload_ext` takes the magics away; what runs goes on and stays in its cell."""
    asked = nb.run("%%ask --background -p steady -o x\nCount.")
    nb.run("%unload_ext nbretry")
    nb.run("await x")
    assert answers_of(asked.cell) == [WHOLE]
    nb.run("%load_ext nbretry")
    assert nb.run("%%ask -p good\nWhy?").answer == "The sky is **blue**."


def test_an_end_between_two_cells_is_saved(nb: Kernel) -> None:
    """nbclient hears nothing between two cells: what has changed there is said again when the next one begins."""
    asked = nb.run("%%ask --background -p steady -o x\nCount.")
    time.sleep(4.0)
    assert answers_of(asked.cell) != [WHOLE]
    nb.run("pass")
    assert nb.value("x.done()")
    assert answers_of(asked.cell) == [WHOLE]
    again = nb.run("pass")
    assert updates(again.messages) == [], "said more often than needed"


def test_no_end_is_lost_among_short_cells(nb: Kernel) -> None:
    """Wherever an answer ends, before, within or between short cells, its last state is in its cell."""
    asked = []
    for _ in range(12):
        asked.append(nb.run("%%ask --background -p good\nWhy?"))
        nb.run("pass")
    nb.run("[await one for one in _background[-12:]];")
    for ran in asked:
        assert answers_of(ran.cell) == ["The sky is **blue**."]
        assert shown(ran.cell)[1].startswith("good · first token")


def test_the_saved_notebook(nb: Kernel, tmp_path: Path) -> None:
    """The file has each answer and its report in the cell that asked, as ordinary outputs of the format."""
    first = len(nb.client.nb.cells)
    nb.run("%%ask --background -p steady -o x\nCount.")
    nb.run("%%ask --background -p dead,good -o y\nWhy?")
    nb.run("await x; await y;")
    path = tmp_path / "saved.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=nb.client.nb.cells[first:]), path)
    document = nbformat.read(path, as_version=4)
    nbformat.validate(document)
    assert [answers_of(cell) for cell in document.cells[:2]] == [[WHOLE], ["The sky is **blue**."]]
    assert "asking" not in path.read_text(encoding="utf-8")
    for cell in document.cells[:2]:
        for output in cell.outputs:
            Page(output.data.get("text/html", "")).assert_harmless()


def test_too_many(nb: Kernel) -> None:
    """`_background` has the last fifty and no more."""
    nb.run("for _ in range(60):\n    x = %ask --background -p good Why?\n    x.result()")
    assert nb.value("(len(_background), _background[-1] is x)") == (50, True)


ENDING = {
    "shutdown": "",
    "exit": "import os\nexit",
}


@pytest.mark.parametrize("how", ENDING)
def test_the_kernel_ends_while_it_runs(tmp_path: Path, providers: str, how: str) -> None:
    """A kernel that is shut down, or that the user leaves, ends soon, with nothing left and nothing printed."""
    log = tmp_path / "closed"
    recording = (
        "class Recording(Provider):\n"
        "    async def create_async_generator(self, model, messages, **options):\n"
        "        try:\n"
        "            for word in self.words:\n"
        "                await asyncio.sleep(self.delay)\n"
        "                yield word\n"
        "        finally:\n"
        f"            open({str(log)!r}, 'a').write('closed ')\n"
        "nbretry.register('recording', Recording('recording', ['word '] * 2000, 0.02))"
    )
    with kernel(tmp_path, "%load_ext nbretry", providers, recording) as nb:
        first = nb.run("%%ask --background -p recording\nCount.")
        second = nb.run("x = %ask --background -p recording Count.")
        nb.run("while 'word' not in x.text: time.sleep(0.02)")
        if ENDING[how]:
            nb.run(ENDING[how])
        manager = nb.client.km
        pid = manager.provisioner.pid
        begun = time.monotonic()
        nb.client.kc.shutdown()
        while manager.provisioner.process.poll() is None:
            assert time.monotonic() - begun < WITHIN
            time.sleep(0.02)
        printed = [
            message["content"]
            for message in _pending(nb)
            if message["msg_type"] in ("stream", "error", "display_data", "execute_result")
        ]
    assert printed == []
    assert log.read_text() == "closed closed "
    for cell in (first.cell, second.cell):
        assert not [output for output in cell.outputs if output.output_type in ("stream", "error")]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _pending(nb: Kernel) -> list[Message]:
    """What the kernel has published and nobody has read."""
    client, messages = nb.client.kc, []
    from nbclient.util import run_sync

    while run_sync(client.iopub_channel.msg_ready)():
        messages.append(run_sync(client.get_iopub_msg)(timeout=1))
    return messages


@pytest.mark.local_model
def test_the_local_models_process_ends_with_the_kernel(tmp_path: Path) -> None:
    """A kernel that is shut down while the local model answers in the background leaves no process behind."""
    with kernel(tmp_path, "%load_ext nbretry", "import time") as nb:
        nb.run("%%ask --background -p local --max-tokens 2000 -o x\nTell me a long story.")
        nb.run("end = time.monotonic() + 120\nwhile not x.text and time.monotonic() < end: time.sleep(0.1)")
        assert nb.value("bool(x.text)"), nb.value("repr(x.exception())")
        nb.run("from nbretry.providers.local.server import LocalServer")
        child = nb.value("next(iter(LocalServer._shared.values())).pid")
        process = nb.client.km.provisioner.process
        nb.client.kc.shutdown()
        end = time.monotonic() + WITHIN
        while process.poll() is None or _runs(child):
            assert time.monotonic() < end
            time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]


TERMINAL = """
import time
from IPython.testing.globalipapp import start_ipython
from IPython.terminal.interactiveshell import TerminalInteractiveShell
shell = TerminalInteractiveShell.instance()
shell.run_cell("%load_ext nbretry")
shell.run_cell("from nbretry.providers import ScriptedProvider; import nbretry")
shell.run_cell("nbretry.register('words', ScriptedProvider.words('The sky is blue.', delay=0.01))")
print("ASKED")
shell.run_cell("%%ask --background -p words -o x\\nWhy?")
print("WAITS", flush=True)
time.sleep(3)
print("LOOKS", flush=True)
shell.run_cell("x")
print("AWAITS", flush=True)
shell.run_cell("print((await x).text, _answer.text)")
"""


def test_in_a_terminal(tmp_path: Path) -> None:
    """In IPython in a terminal nothing is painted while the user types; displayed or awaited, the answer is shown."""
    import subprocess

    environment = {**os.environ, "IPYTHONDIR": str(tmp_path), "TERM": "dumb"}
    ran = subprocess.run(
        [sys.executable, "-c", TERMINAL.replace("from IPython.testing.globalipapp import start_ipython\n", "")],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    asked, _, rest = ran.stdout.partition("ASKED\n")[2].partition("WAITS\n")
    waits, _, rest = rest.partition("LOOKS\n")
    looks, _, awaits = rest.partition("AWAITS\n")
    assert asked.strip() == "asking in the background; see _background[-1]"
    assert waits == ""
    assert "<BackgroundAnswer completed · words · 16 characters>" in looks
    assert "The sky is blue." in looks
    assert awaits == "The sky is blue. The sky is blue.\n"
    assert ran.stderr == ""
