"""The panel in a real kernel: what its widgets do, driven by their own traits and by the messages of a page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kernel import Kernel, kernel
from nbconvert import HTMLExporter
from page import Page

WITHIN = 60.0
"""Seconds, for what takes a few on a busy machine."""

HELPERS = '''
import ipywidgets

def parts(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)

def control(words):
    """The control with this description or tooltip."""
    return next(w for w in parts(p) if words in (getattr(w, "description", None), w.tooltip))

def shown():
    """What is to be seen of the answer, as HTML."""
    html = [w for w in parts(p.children[-1]) if isinstance(w, ipywidgets.HTML | ipywidgets.HTMLMath)]
    return "\\n".join(w.value for w in html if w.layout.display != "none")

def state_of(name):
    rows = [w for w in parts(p) if isinstance(w, ipywidgets.HBox)]
    return next(row.children[-1].value for row in rows if control(name) in row.children)

def new_panel(*names):
    global p
    if "p" in globals():
        p.close()
    p = nbretry.panel(names)

class Thoughtful:
    @classmethod
    async def create_async_generator(cls, model, messages, **options):
        yield Reasoning("<b>first</b> I think")
        yield "Then I **answer**."

from nbretry.types import Reasoning
nbretry.register("thoughtful", Thoughtful)
nbretry.register("hostile", Provider("hostile", ["<script>x=1</script> <img src=x onerror=x> [a](javascript:x) ",
    "![i](http://remote.invalid/i.png) <style>body{}</style> fine"]))
'''


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory, providers_cell: str) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("panel"), "%load_ext nbretry", providers_cell, HELPERS) as running:
        yield running


@pytest.fixture(scope="module")
def providers_cell() -> str:
    return Path(__file__).with_name("kernel_cell.py").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def nothing_runs(nb: Kernel) -> Iterator[None]:
    yield
    nb.run("Book.release.set()\nif 'p' in globals(): p.close()")
    nb.run("%nbretry reset")


def wait_until(nb: Kernel, expression: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not nb.value(expression):
        assert time.monotonic() < deadline, f"never true: {expression}"
        time.sleep(0.1)


def show(nb: Kernel, *names: str) -> None:
    ran = nb.run(f"new_panel(*{names})")
    assert not ran.failed, ran.traceback


def ask(nb: Kernel, prompt: str, until: str = "p.state.is_idle") -> None:
    """Type a prompt, click Ask, and wait."""
    ran = nb.run(f"control('Prompt').value = {prompt!r}\ncontrol('Ask').click()")
    assert not ran.failed, ran.traceback
    wait_until(nb, until)


def enabled(nb: Kernel) -> list[str]:
    found: list[str] = nb.value("[w for w in ('Ask', 'Stop', 'Clear', 'Add') if not control(w).disabled]")
    return found


def send(nb: Kernel, words: str, data: dict[str, Any]) -> None:
    """What a page sends to the control with these words."""
    comm_id = nb.value(f"control({words!r}).model_id")
    client = nb.client.kc
    client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm_id, "data": data}))


def typed(text: str) -> dict[str, Any]:
    return {"method": "update", "state": {"value": text}, "buffer_paths": []}


CLICK = {"method": "custom", "content": {"event": "click"}}


def test_it_is_shown(nb: Kernel) -> None:
    """``%nbretry panel`` shows one output: the widget, and words for where there is no kernel."""
    ran = nb.run("%nbretry panel good,dead badkey")
    assert not ran.failed, ran.traceback
    assert [output.output_type for output in ran.outputs] == ["display_data"]
    data = ran.outputs[0].data
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "needs its kernel" in data["text/html"]
    assert "needs its kernel" in data["text/plain"]
    failed = nb.run("%nbretry panel good,goood")
    assert failed.error.ename == "ConfigError"
    assert failed.traceback.strip() == "ConfigError: there is no provider named 'goood'; did you mean 'good'?"


def test_a_page_made_of_it(nb: Kernel) -> None:
    """Where a saved notebook has no widgets' state, nbconvert shows the words, or the last answer, in their place."""
    show(nb, "good")
    ask(nb, "Why?")
    notebook = nbformat.v4.new_notebook(cells=[nb.run("p").cell])
    html, _ = HTMLExporter().from_notebook_node(notebook)
    assert "The sky is <strong>blue</strong>." in html
    assert "good · first token" in html


def test_an_answer(nb: Kernel) -> None:
    """Ask is open once there is a prompt; the answer is rendered, with its report, and kept as that of any question."""
    show(nb, "good")
    assert enabled(nb) == []
    ask(nb, "Why?")
    assert enabled(nb) == ["Ask", "Clear"]
    page = Page(nb.value("shown()"))
    page.assert_well_formed()
    page.assert_harmless()
    assert "strong" in page.tags
    assert "The sky is blue." in page.text
    assert "good · first token" in page.text
    assert nb.value(
        "(_answer.text, _answers[-1] is _answer, nbretry.session.default_session().answers[-1] is _answer)"
    ) == (
        "The sky is **blue**.",
        True,
        True,
    )
    shown = nb.run("p")
    assert "application/vnd.jupyter.widget-view+json" in shown.outputs[0].data
    assert "<strong>blue</strong>" in shown.outputs[0].data["text/html"]
    assert shown.outputs[0].data["text/plain"].startswith("The sky is **blue**.\n\ngood · first token")
    nb.run("control('Clear').click()")
    assert nb.value("(control('Prompt').value, shown())") == ("", "")
    assert enabled(nb) == []


def test_a_failover(nb: Kernel) -> None:
    """Where one fails the next answers; both are in the report, and its row tells the state of each."""
    show(nb, "dead", "badkey", "good")
    ask(nb, "Why?")
    text = Page(nb.value("shown()")).text
    assert "failed: dead, badkey" in text
    assert "APIConnectionError: nobody listens" in text
    assert "failed once: APIConnectionError" in nb.value("state_of('dead')")
    assert "resting" in nb.value("state_of('badkey')")
    assert "ready" in nb.value("state_of('good')")
    assert "sk-0123" not in nb.value("repr([w.get_state() for w in parts(p)])")


def test_a_rest_is_counted_down(nb: Kernel) -> None:
    """The seconds that a provider rests count down by themselves, until it is ready to be tried again."""
    show(nb, "badkey", "good")
    ask(nb, "Why?")
    first = nb.value("state_of('badkey')")
    assert "resting" in first
    deadline = time.monotonic() + WITHIN
    while nb.value("state_of('badkey')") == first and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "resting" in nb.value("state_of('badkey')")
    wait_until(nb, "'resting' not in state_of('badkey')")


def test_nobody_answers(nb: Kernel) -> None:
    """Where all fail the panel says of each why, and nothing is raised anywhere."""
    show(nb, "dead", "badkey")
    ask(nb, "Why?")
    text = Page(nb.value("shown()")).text
    assert "✗ every provider failed" in text
    assert "badkey: AuthenticationError: wrong key [secret]" in text
    assert nb.value("_answer.state") == "failed"
    assert enabled(nb) == ["Ask", "Clear"]


def test_order_choice_and_model(nb: Kernel) -> None:
    """Who is on is asked in the order of the rows, each for the model in its field."""
    show(nb, "good", "steady", "echo")
    nb.run("control('good').value = False\ncontrol('ask echo earlier').click()")
    nb.run("control('model of echo; empty for its own').value = 'tiny'")
    names = ("good", "echo", "steady")
    assert nb.value(f"[control(f'ask {{n}} earlier').disabled for n in {names}]") == [True, False, False]
    assert nb.value(f"[control(f'ask {{n}} later').disabled for n in {names}]") == [False, False, True]
    ask(nb, "Why?")
    assert nb.value("(_answer.providers, eval(_answer.text)[0])") == (("echo", "steady"), "tiny")
    nb.run("control('echo').value = control('steady').value = False")
    assert enabled(nb) == ["Clear"]


def test_another_provider_is_added(nb: Kernel) -> None:
    """A known provider that was not offered is added as the last row, and is not offered again."""
    show(nb, "dead")
    assert "Add" not in enabled(nb)
    nb.run("control('another known provider').value = 'good'")
    assert "Add" in enabled(nb)
    nb.run("control('Add').click()")
    assert "Add" not in enabled(nb)
    assert nb.value("'good' in [label for label, _ in control('another known provider').options]") is False
    ask(nb, "Why?")
    assert nb.value("_answer.providers") == ("dead", "good")


def test_names_stand_for_values(nb: Kernel) -> None:
    """``{{ name }}`` is filled in; an unknown one is told in one line, and neither prompt nor answer is lost."""
    nb.run("sky = {'colour': 'blue'}")
    show(nb, "echo")
    ask(nb, "What is {{ sky['colour'] }} {x}?")
    assert "What is blue {x}?" in nb.value("_answer.text")
    before = nb.value("len(_answers)")
    ask(nb, "What is {{ skyy }}?")
    text = Page(nb.value("shown()")).text
    (told,) = [line for line in text.splitlines() if "skyy" in line and "✗" in line]
    assert "sky" in told.partition("skyy")[2]
    assert "What is blue" in text
    assert nb.value("control('Prompt').value") == "What is {{ skyy }}?"
    assert nb.value("len(_answers)") == before
    assert enabled(nb) == ["Ask", "Clear"]


def test_stopping(nb: Kernel) -> None:
    """Stop ends the request while it streams; the text that had come stays, marked, and is in ``_answer``."""
    show(nb, "slow")
    ask(nb, "Count.", until="'word5' in shown()")
    assert enabled(nb) == ["Stop"]
    send(nb, "Stop", CLICK)
    wait_until(nb, "p.state.is_idle")
    text = Page(nb.value("shown()")).text
    assert "■ stopped" in text
    assert "word5" in text
    assert "stopped · slow" in text
    assert nb.value("(_answer.state, _answer.text.startswith('word0 word1 '), 'word1999' in _answer.text)") == (
        "stopped",
        True,
        False,
    )
    assert nb.value("(Book.opened, Book.closed)") == (1, 1)
    assert enabled(nb) == ["Ask", "Clear"]


@pytest.mark.parametrize("names", [["hung"], ["retrying"], ["blocked"]], ids=["connecting", "backoff", "synchronous"])
def test_stopping_what_says_nothing(nb: Kernel, names: list[str]) -> None:
    """Stop works before the first word, too: while a provider is silent, waits to ask again, or blocks its thread."""
    show(nb, *names)
    ask(nb, "Why?", until="'asking …' not in shown() and p.run.answer.attempts != ()")
    nb.run("control('Stop').click()")
    wait_until(nb, "p.state.is_idle")
    assert "■ stopped" in Page(nb.value("shown()")).text
    assert nb.value("_answer.state") == "stopped"


def test_the_kernel_stays_usable(nb: Kernel) -> None:
    """Cells run while the panel streams, also one that blocks, and the answer grows meanwhile."""
    show(nb, "slow")
    ask(nb, "Count.", until="'word5' in shown()")
    ran = nb.run("n = len(shown())\ntime.sleep(3)\nprint(len(shown()) > n, p.state.phase)")
    assert ran.printed == "True running\n"
    assert nb.run("%%ask -p good\nWhy?").markdown == "The sky is **blue**."


def test_answer_changes_between_cells(nb: Kernel) -> None:
    """While a cell runs its ``_answer`` stays what it was; a question that was asked later keeps its place."""
    nb.run("%ask -p good Why?")
    show(nb, "steady")
    nb.run("control('Prompt').value = 'Count.'")
    ran = nb.run(
        "control('Ask').click()\nend = time.monotonic() + 60\n"
        "while not p.state.is_idle and time.monotonic() < end:\n    time.sleep(0.1)\n"
        "print(p.state.is_idle, _answer.provider)"
    )
    assert ran.printed == "True good\n"
    assert nb.value("_answer.provider") == "steady"
    ask(nb, "Count.", until="not p.state.is_idle and p.run.answer.text != ''")
    nb.run("%ask -p good Why?")
    wait_until(nb, "p.state.is_idle")
    assert nb.value("(_answer.provider, sorted(a.provider for a in _answers[-2:]))") == ("good", ["good", "steady"])


def test_updates_are_few(nb: Kernel) -> None:
    """However fast the tokens come, the text is painted some 15 times a second at most, and its last state always."""
    show(nb, "busy")
    nb.run("text = p.children[-1].children[1]\ntimes = []")
    nb.run("text.observe(lambda change: times.append(time.monotonic()), 'value')")
    ask(nb, "Count.")
    painted, took = nb.value("(len(times), times[-1] - times[0])")
    assert painted > 1
    assert painted <= 2 + took * 17
    assert "tok9" in nb.value("text.value[-40:]")
    assert nb.value("text.value.count('tok')") == 2000


def test_a_hostile_answer(nb: Kernel) -> None:
    """What a model writes runs nothing and loads nothing."""
    show(nb, "hostile")
    ask(nb, "Why?")
    page = Page(nb.value("shown()"))
    page.assert_well_formed()
    page.assert_harmless()
    assert not {"script", "style"} & set(page.tags)
    assert "fine" in page.text


def test_reasoning_is_folded(nb: Kernel) -> None:
    """A model's reasoning stands folded above the answer and is no part of it."""
    show(nb, "thoughtful")
    ask(nb, "Why?")
    html = nb.value("shown()")
    assert '<details class="nbretry-reasoning"' in html
    assert "&lt;b&gt;first&lt;/b&gt; I think" in html
    assert " open>" not in html
    assert nb.value("_answer.text") == "Then I **answer**."


def test_a_conversation(nb: Kernel) -> None:
    """With the box ticked a question goes on from those before, as ``%%ask -c`` does; Clear starts afresh."""
    show(nb, "echo")
    nb.run("control('Conversation').value = True\ncontrol('System prompt').value = 'Be brief.'")
    ask(nb, "My name is Ada.")
    ask(nb, "Who am I?")
    sent = nb.value("[(m['role'], m['content'][:15]) for m in eval(_answer.text)[1]]")
    assert [role for role, _ in sent] == ["system", "user", "assistant", "user"]
    assert [content for _, content in sent[::3]] == ["Be brief.", "Who am I?"]
    assert "2 turns so far" in nb.value("[w.value for w in parts(p) if isinstance(w, ipywidgets.HTML)]")
    assert "Who am I?" in nb.run("%nbretry history main").plain
    nb.run("control('Clear').click()")
    assert nb.value("p.state.turns") == 0
    ask(nb, "And now?")
    assert nb.value("len(eval(_answer.text)[1])") == 2
    nb.run("control('Clear').click()")


def test_text_that_comes_after_the_click(nb: Kernel) -> None:
    """What a page had held back while the kernel was busy, and sends right after the click, is what is asked."""
    show(nb, "echo")
    send(nb, "Prompt", typed("old"))
    wait_until(nb, "p.state.prompt == 'old'")
    ids = [nb.value(f"control({words!r}).model_id") for words in ("Prompt", "Ask")]
    client = nb.client.kc
    for comm_id, data in zip([*ids, ids[0]], [typed("ol"), CLICK, typed("new")], strict=True):
        client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm_id, "data": data}))
    wait_until(nb, "p.run is not None and p.state.is_idle")
    assert nb.value("eval(_answer.text)[1][-1]['content']") == "new"


def test_several_panels_and_closing(nb: Kernel) -> None:
    """Each panel asks for itself; one that is closed stops what it asks, and leaves nothing behind in the shell."""
    before = nb.value("len(get_ipython().events.callbacks['post_run_cell'])")
    show(nb, "slow")
    ask(nb, "Count.", until="'word5' in shown()")
    nb.run("first = p\ndel p")
    show(nb, "good")
    ask(nb, "Why?")
    assert nb.value("(_answer.provider, first.state.phase)") == ("good", "running")
    nb.run("first.close()\nfirst.close()\np.close()")
    wait_until(nb, "first.run.done()")
    assert nb.value("first.run.state") == "stopped"
    assert nb.value("len(get_ipython().events.callbacks['post_run_cell'])") <= before


def test_every_control_says_what_it_is(nb: Kernel) -> None:
    """Whatever can be pressed or typed into has a description and a tooltip, but for fields that stand in a row."""
    show(nb, "good", "echo")
    assert nb.value("[type(w).__name__ for w in p._controls() if not w.tooltip]") == []
    assert nb.value("[w.tooltip for w in p._controls() if not w.description]") == [
        "model of good; empty for its own",
        "model of echo; empty for its own",
        "another known provider",
    ]
