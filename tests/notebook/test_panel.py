"""The panel in a real kernel: what its widgets do, driven by their own traits and by the messages of a page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_core.utils import run_sync
from kernel import Kernel, kernel
from nbconvert import HTMLExporter
from page import Page
from unable import unable

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
    return "\\n".join(w.value for w in html if "nbretry-hidden" not in w._dom_classes)

def state_of(name):
    rows = [w for w in parts(p) if isinstance(w, ipywidgets.HBox)]
    row = next(row for row in rows if control(name) in row.children)
    return next(w.value for w in row.children if isinstance(w, ipywidgets.HTML))

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
    nb.run("%nbretry forget --all")


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
    found: list[str] = nb.value("[w for w in ('Ask', 'Stop', 'Ask again', 'Clear') if not control(w).disabled]")
    return found


def send(nb: Kernel, words: str, data: dict[str, Any]) -> None:
    """What a page sends to the control with these words."""
    comm_id = nb.value(f"control({words!r}).model_id")
    client = nb.client.kc
    client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm_id, "data": data}))


def typed(text: str) -> dict[str, Any]:
    return {"method": "update", "state": {"value": text}, "buffer_paths": []}


CLICK = {"method": "custom", "content": {"event": "click"}}


def test_showing_every_provider_takes_few_messages(nb: Kernel) -> None:
    """A panel of all known providers is sent as fewer messages than the thousand that a busy server takes at once."""
    names = nb.value("nbretry.default_session().names()")
    assert len(names) > 20
    ran = nb.run(f"new_panel(*{names})\np")
    assert not ran.failed, ran.traceback
    assert len(ran.messages) < 1000


def test_it_is_shown(nb: Kernel) -> None:
    """``%nbretry panel`` shows the widget, and beside it a picture for where there is no kernel."""
    ran = nb.run("%nbretry panel good,dead badkey")
    assert not ran.failed, ran.traceback
    assert [output.output_type for output in ran.outputs] == ["display_data", "display_data"]
    widget, picture = (output.data for output in ran.outputs)
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert widget["text/html"] == ""
    assert set(picture) == {"text/html", "text/plain"}
    assert "nothing has been asked yet" in picture["text/html"]
    assert "needs its kernel" in picture["text/plain"]
    assert nb.value("[choice.name for choice in nbretry.panel().state.choices]") == ["good", "dead", "badkey"]
    nb.run("p = nbretry.panel()")
    failed = nb.run("%nbretry panel good,goood")
    assert failed.error.ename == "ConfigError"
    assert failed.traceback.strip() == "ConfigError: there is no provider named 'goood'; did you mean 'good'?"
    assert nb.value("[choice.name for choice in p.state.choices]") == ["good", "dead", "badkey"]


def test_what_is_left_behind(nb: Kernel) -> None:
    """The cell's picture is brought up to date after each answer; nbconvert shows it in place of the widget."""
    show(nb, "dead", "good")
    shown = nb.run("p")
    again = nb.run("nbretry.panel()")
    ask(nb, "Why <b>so</b>?")
    html, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[shown.cell]))
    page = Page(shown.outputs[1].data["text/html"].replace("<style>", "<i>").replace("</style>", "</i>"))
    page.assert_well_formed()
    page.assert_harmless()
    assert "Why <b>so</b>?" in page.text
    assert "good · first token" in page.text
    assert "needs its kernel: run this cell" in page.text
    assert "The sky is <strong>blue</strong>." in html
    assert "widget-view" not in html
    plain = shown.outputs[1].data["text/plain"]
    assert plain.startswith("Why <b>so</b>?\n\nThe sky is **blue**.\n\ngood · first token")
    assert "APIConnectionError: nobody listens" in plain
    assert again.outputs[1].data == shown.outputs[1].data
    nb.run("control('Clear').click()")
    assert "nothing has been asked yet" in shown.outputs[1].data["text/html"]


def test_a_partial_answer_is_left_behind(nb: Kernel) -> None:
    """The picture grows with a long answer, so that a kernel that ends takes little of it along."""
    show(nb, "slow")
    shown = nb.run("p")
    ask(nb, "Count.", until="'word5' in shown()")
    deadline = time.monotonic() + WITHIN
    while "word5" not in shown.outputs[1].data["text/plain"] and time.monotonic() < deadline:
        nb.run("time.sleep(0.2)")
    assert "word5" in shown.outputs[1].data["text/plain"]
    assert "still coming in" in shown.outputs[1].data["text/html"]
    nb.run("control('Stop').click()")
    wait_until(nb, "p.state.is_idle")
    nb.run("pass")
    assert "stopped · slow" in shown.outputs[1].data["text/plain"]
    assert "still coming in" not in shown.outputs[1].data["text/html"]


def test_an_answer(nb: Kernel) -> None:
    """Ask is open once there is a prompt; the answer is rendered, with its report, and kept as that of any question."""
    show(nb, "good")
    assert enabled(nb) == []
    ask(nb, "Why?")
    assert enabled(nb) == ["Ask", "Ask again", "Clear"]
    page = Page(nb.value("shown()"))
    page.assert_well_formed()
    page.assert_harmless()
    assert "strong" in page.tags
    assert "The sky is blue." in page.text
    assert "good · first token" in page.text
    assert nb.value(
        "(_answer.text, _answers[-1] is _answer, nbretry.session.session.default_session().answers[-1] is _answer)"
    ) == (
        "The sky is **blue**.",
        True,
        True,
    )
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
    assert "unreachable: nobody listens" in nb.value("state_of('dead')")
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
    assert enabled(nb) == ["Ask", "Ask again", "Clear"]


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
    assert enabled(nb) == ["Ask", "Ask again", "Clear"]


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
    assert enabled(nb) == ["Ask", "Ask again", "Clear"]


@pytest.mark.parametrize("names", [["hung"], ["retrying"], ["blocked"]], ids=["connecting", "backoff", "synchronous"])
def test_stopping_what_says_nothing(nb: Kernel, names: list[str]) -> None:
    """Stop works before the first word, too: while a provider is silent, waits to ask again, or blocks its thread."""
    show(nb, *names)
    ask(nb, "Why?", until="'asking …' not in shown() and p.run.answer.attempts != ()")
    nb.run("control('Stop').click()")
    wait_until(nb, "p.state.is_idle")
    assert "■ stopped" in Page(nb.value("shown()")).text
    assert nb.value("_answer.state") == "stopped"


def test_stopping_what_does_not_end(nb: Kernel) -> None:
    """Until a provider that was told to stop has ended, the panel says that it is stopping."""
    show(nb, "stubborn")
    ask(nb, "Count.", until="'word5' in shown()")
    nb.run("control('Stop').click()")
    wait_until(nb, "'stopping …' in shown()")
    assert enabled(nb) == []
    nb.run("Book.release.set()")
    wait_until(nb, "p.state.is_idle")
    assert "stopping …" not in nb.value("shown()")
    assert "■ stopped" in nb.value("shown()")


@pytest.mark.parametrize(
    ("name", "prompt", "when"),
    [
        ("steady", "{{ slow_text }}", "p.run is not None"),
        ("hung", "Why?", "p.run is not None and p.run.answer.attempts != ()"),
        ("retrying", "Why?", "p.run is not None and p.run.answer.attempts != ()"),
        ("slow", "Why?", "p.run is not None and 'word5' in p.run.text"),
    ],
    ids=["preparing", "connecting", "backoff", "streaming"],
)
@pytest.mark.parametrize("is_late", [False, True], ids=["", "late"])
def test_stopping_while_a_cell_blocks(nb: Kernel, name: str, prompt: str, when: str, is_late: bool) -> None:
    """Where a page has a thread of its own in the kernel, its Stop works at once while a cell holds up the main one;
    also where it said that it shows the panel before it had this thread."""
    client = nb.client.kc
    if not nb.value("getattr(get_ipython().kernel, '_supports_kernel_subshells', False)"):
        unable("this kernel has no subshells")
    client.control_channel.send(client.session.msg("create_subshell_request", {}))
    reply = run_sync(client.get_control_msg)(timeout=WITHIN)
    nb.run(
        "class Slow:\n    def __str__(self):\n        Book.release.wait(60)\n        return 'slow'\nslow_text = Slow()"
    )
    nb.run(f"new_panel({name!r})\np")
    ids = nb.value("{'panel': p.model_id, **{words: control(words).model_id for words in ('Prompt', 'Ask', 'Stop')}}")

    def send_as_page(widget: str, data: dict[str, Any]) -> None:
        message = client.session.msg("comm_msg", {"comm_id": ids[widget], "data": data})
        if not (is_late and widget == "panel"):
            message["header"]["subshell_id"] = reply["content"]["subshell_id"]
        client.shell_channel.send(message)

    def click_stop(message: dict[str, Any]) -> None:
        if "it goes on" in message["content"].get("text", ""):
            send_as_page("Stop", CLICK)

    # One after the other, as a user does: a message goes to the thread that its widget follows when it arrives.
    send_as_page("panel", {"method": "update", "state": {"_view_count": 1}, "buffer_paths": []})
    wait_until(nb, f"p._view_count == 1 and p._follows_page != {is_late}")
    send_as_page("Prompt", typed(prompt))
    wait_until(nb, f"p.state.prompt == {prompt!r} and p._follows_page")
    send_as_page("Ask", CLICK)
    ran = nb.run(
        f"end = time.monotonic() + 60\nwhile not ({when}):\n    time.sleep(0.01)\n    assert time.monotonic() < end\n"
        "time.sleep(1)\nprint('it goes on', flush=True)\n"
        "while not p.run.done():\n    time.sleep(0.01)\n    assert time.monotonic() < end\n"
        "print(p.run.state, p.state.phase)",
        on_message=click_stop,
    )
    assert ran.printed == "it goes on\nstopped idle\n", ran.traceback
    client.control_channel.send(client.session.msg("delete_subshell_request", reply["content"]))
    run_sync(client.get_control_msg)(timeout=WITHIN)


def test_the_kernel_stays_usable(nb: Kernel) -> None:
    """Cells run while the panel streams, also one that blocks, and the answer grows meanwhile."""
    show(nb, "slow")
    ask(nb, "Count.", until="'word5' in shown()")
    ran = nb.run("n = len(shown())\ntime.sleep(3)\nprint(len(shown()) > n, p.state.phase)")
    assert ran.printed == "True running\n"
    assert nb.run("%%ask -p good\nWhy?").answer == "The sky is **blue**."


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
    """However fast the tokens come, the panel is changed less than 20 times a second, and its last state comes."""
    show(nb, "busy")
    nb.run("text = next(w for w in parts(p) if 'nbretry-text' in w._dom_classes)\ntimes = []")
    nb.run(
        "for w in [w for w in parts(p)]:\n"
        "    w.observe(lambda change: times.append((time.monotonic(), change['new'])), 'value')"
        " if w.has_trait('value') else None"
    )
    ask(nb, "Count.")
    changes = nb.value("[(at, 'tok' in str(value)) for at, value in times]")
    painted = [at for at, is_text in changes if is_text]
    streaming = [at for at, _ in changes if painted[0] <= at <= painted[-2]]
    assert len(streaming) > 5
    assert len(streaming) <= 5 + (streaming[-1] - streaming[0]) * 20
    assert nb.value("text.value.count('tok')") == 2000


def test_a_backoff_is_counted_down(nb: Kernel) -> None:
    """While it waits to ask again, the panel counts the seconds down, and the others' buttons stay as they are."""
    nb.run("from nbretry.errors import RateLimitError")
    nb.run("nbretry.register('limited', Provider('limited', [], failure=RateLimitError('slow down', retry_after=8)))")
    show(nb, "limited")
    nb.run("%nbretry config retries 1")
    ask(nb, "Why?", until="'asked again in' in shown()")
    left = "float(__import__('re').search(r'asked again in ([0-9.]+) s', shown())[1])"
    first = nb.value(left)
    wait_until(nb, f"'asked again in' in shown() and {left} < {first} - 1")
    assert enabled(nb) == ["Stop"]
    nb.run("control('Stop').click()")
    wait_until(nb, "p.state.is_idle")
    assert "asked again in" not in nb.value("shown()")
    nb.run("%nbretry config --unset retries")


def test_tracebacks_are_folded(nb: Kernel) -> None:
    """Each exception has its traceback behind a fold, with its secrets masked."""
    nb.run(
        "class Raising:\n    async def create_async_generator(self, model, messages, **options):\n"
        "        key = SECRET\n        raise ValueError(f'no <b>luck</b> with {SECRET}')\n        yield ''\n"
        "nbretry.register('raising', Raising())"
    )
    show(nb, "raising", "good")
    ask(nb, "Why?")
    page = Page(nb.value("shown()"))
    page.assert_well_formed()
    page.assert_harmless()
    assert "details" in page.tags
    assert "Traceback" in page.text
    assert "raise ValueError" in page.text
    assert "no <b>luck</b> with [secret]" in page.text
    assert "sk-0123" not in nb.value("repr([w.get_state() for w in parts(p)])")


def test_asking_again(nb: Kernel) -> None:
    """Ask again puts the last question to whoever is picked now, whatever is typed meanwhile; a turn is replaced."""
    show(nb, "echo", "good")
    assert "Ask again" not in enabled(nb)
    nb.run("control('Conversation').value = True")
    ask(nb, "First?")
    ask(nb, "Second?")
    nb.run("control('Prompt').value = 'not yet'\ncontrol('echo').value = False\ncontrol('Ask again').click()")
    wait_until(nb, "p.state.is_idle")
    assert nb.value("(_answer.provider, _answer.messages[-2]['content'])") == ("good", "Second?")
    turns = nb.value("[(turn.question, turn.provider) for turn in p.state.conversation.turns]")
    assert turns == [("First?", "echo"), ("Second?", "good")]
    assert [m["content"] for m in nb.value("_answer.messages")][0::2] == ["First?", "Second?"]
    assert nb.value("control('Prompt').value") == "not yet"
    nb.run("control('good').value = False\ncontrol('dead') if False else None")
    assert "Ask again" not in enabled(nb)


def test_the_session_is_one(nb: Kernel) -> None:
    """Use in %%ask makes the panel's choice that of the cells; what %nbretry config says shows in the panel."""
    show(nb, "good", "echo", "steady")
    nb.run("control('good').value = False\ncontrol('model of echo; empty for its own').value = 'tiny'")
    nb.run("control('ask echo later').click()\ncontrol('Use in %%ask').click()")
    assert nb.value("control('Use in %%ask').disabled")
    assert "steady,echo:tiny" in nb.run("%nbretry config providers").plain
    ran = nb.run("%%ask\nWhy?")
    assert nb.value("_answer.providers") == ("steady", "echo"), ran.traceback
    nb.run("%nbretry config providers good,steady")
    assert nb.value("[(c.name, c.on) for c in p.state.choices]") == [("good", True), ("steady", True), ("echo", False)]
    assert nb.value("[control(n).value for n in ('good', 'steady', 'echo')]") == [True, True, False]
    nb.run("%nbretry config temperature 0.7")
    assert nb.value("'0.7' in [w.value for w in parts(p) if isinstance(w, ipywidgets.Text)]")
    nb.run("next(w for w in parts(p) if getattr(w, 'value', '') == '0.7').value = '0.9'")
    assert "0.9" in nb.run("%nbretry config temperature").plain
    for key in ("providers", "temperature"):
        nb.run(f"%nbretry config --unset {key}")


def test_as_a_cell(nb: Kernel) -> None:
    """The panel's question is put below a cell that asks for that, and asks the same there."""
    show(nb, "echo")
    nb.run("control('model of echo; empty for its own').value = 'tiny'")
    nb.run("control('Prompt').value = 'Say \\\"so\\\" <b>'")
    payload = nb.run("p.insert_cell()").reply["content"]["payload"]
    (below,) = [one for one in payload if one["source"] == "set_next_input"]
    assert below["text"] == '%%ask -p echo:tiny\nSay "so" <b>'
    shown = nb.value("[w.value for w in parts(p) if 'nbretry-as-cell' in w._dom_classes][0]")
    assert Page(shown).text == below["text"]
    button = nb.value("[w.value for w in parts(p) if 'nbretry-insert' in w._dom_classes][0]")
    assert "disabled" not in button
    nb.run("control('Prompt').value = ''")
    assert "disabled" in nb.value("[w.value for w in parts(p) if 'nbretry-insert' in w._dom_classes][0]")
    nb.run(below["text"])
    assert nb.value("(_answer.model, eval(_answer.text)[0], _answer.provider)") == ("tiny", "tiny", "echo")


def test_a_key_in_the_question(nb: Kernel) -> None:
    """It is asked as typed and masked wherever the panel shows it; the cell's button says that it leaves it out."""
    show(nb, "echo")
    ask(nb, "Is sk-0123456789abcdefghij mine?")
    assert nb.value("SECRET in p.state.answer.text")
    states = nb.value("[str(w.get_state()) for w in parts(p) if w is not control('Prompt')]")
    assert not [state for state in states if "sk-0123" in state]
    button, cell = (
        nb.value(f"[w.value for w in parts(p) if {name!r} in w._dom_classes][0]")
        for name in ("nbretry-insert", "nbretry-as-cell")
    )
    assert "with [secret] in place of a key" in button
    assert "[secret] stands for a key" in Page(cell).text
    nb.run("control('Prompt').value = 'Why?'")
    assert "[secret]" not in nb.value("[w.value for w in parts(p) if 'nbretry-insert' in w._dom_classes][0]")


def test_half_characters(nb: Kernel) -> None:
    """Names and errors with lone surrogates, which no message can hold, keep nothing from being shown."""
    nb.run(
        "class Halved:\n    default_model = 'half \\ud83d'\n"
        "    async def create_async_generator(self, model, messages, **options):\n"
        "        raise OSError('no file \\udce4 and \\ud83d')\n        yield ''\n"
        "nbretry.register('halved', Halved())"
    )
    show(nb, "halved")
    assert not nb.run("p").failed
    ask(nb, "Why?")
    assert "no file ? and ?" in nb.value("shown()")
    assert "no file ? and ?" in nb.value("p._static._bundle['text/html']")
    assert not nb.run("p").failed, "the picture can be sent"


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


def test_a_question_of_a_cell_is_to_be_seen(nb: Kernel) -> None:
    """What a cell puts into the state is asked and stands in the fields; where the cell waits, ``_answer`` is there."""
    show(nb, "echo")
    ran = nb.run("p.state.prompt, p.state.system = 'Why?', 'Be brief.'\np.ask()\nassert await p.run is _answer")
    assert not ran.failed, ran.traceback
    assert nb.value("[m['content'] for m in eval(_answer.text)[1]]") == ["Be brief.", "Why?"]
    assert nb.value("[control('Prompt').value, control('System prompt').value]") == ["Why?", "Be brief."]
    send(nb, "Prompt", typed("And?"))
    wait_until(nb, "p.state.prompt == 'And?'")
    assert nb.value("p.state.system") == "Be brief."
    nb.run("p.state.prompt = 'Who?'")
    assert nb.value("control('Prompt').value") == "Who?"
    nb.run("p.state.in_conversation = True")
    assert nb.value("control('Conversation').value") is True


def test_one_panel_and_closing(nb: Kernel) -> None:
    """Every call gives the same panel; one that is closed stops what it asks, and nothing of it is left behind."""
    before = nb.value("len(get_ipython().events.callbacks['post_run_cell'])")
    made = nb.value("len(ipywidgets.widgets.widget._instances)")
    show(nb, "slow")
    assert nb.value("nbretry.panel() is p and nbretry.panel(['slow', 'good']) is p")
    assert nb.value("[choice.name for choice in p.state.choices]") == ["slow", "good"]
    ask(nb, "Count.", until="'word5' in shown()")
    nb.run("p.close()\np.close()")
    wait_until(nb, "p.run.done()")
    assert nb.value("p.run.state") == "stopped"
    assert nb.value("len(get_ipython().events.callbacks['post_run_cell'])") <= before
    assert nb.value("len(ipywidgets.widgets.widget._instances)") <= made
    assert nb.value("nbretry.panel(['good']) is not p")
    nb.run("p = nbretry.panel()")
    ask(nb, "Why?")
    assert nb.value("_answer.provider") == "good"


def test_one_panel_for_all_threads(nb: Kernel) -> None:
    """Threads that call for the first panel at the same time get the same one."""
    nb.run("nbretry.panel().close()\nmade = []")
    nb.run(
        "def make():\n    made.append(nbretry.panel())\n"
        "threads = [threading.Thread(target=make) for _ in range(8)]\n"
        "[thread.start() for thread in threads]\n[thread.join() for thread in threads]\np = made[0]"
    )
    assert nb.value("(len(made), len({id(one) for one in made}))") == (8, 1)


def test_a_closed_panel(nb: Kernel) -> None:
    """A panel that is closed asks nothing more, and where it is shown it says in one line what to do."""
    show(nb, "good")
    nb.run("control('Prompt').value = 'Why?'\np.close()\np.ask()")
    assert nb.value("p.run is None and p.state.is_idle")
    ran = nb.run("p")
    assert [output.data for output in ran.outputs] == [
        {"text/plain": "this panel is closed: nbretry.panel() shows another"}
    ]
    assert nb.value("repr(p)") == "<Panel: asks good · closed>"


def test_after_the_extension_was_loaded_anew(nb: Kernel) -> None:
    """``%reload_ext`` leaves the panel as it is: its answers still change no variable of a cell that does not wait."""
    show(nb, "steady")
    nb.run("%reload_ext nbretry")
    nb.run("%ask -p good Why?")
    shown = nb.run("p")
    nb.run("control('Prompt').value = 'Count.'")
    ran = nb.run(
        "import time\ncontrol('Ask').click()\nwhile not p.run.done():\n    time.sleep(0.05)\n"
        "print(p.run.state, _answer.provider)\np.run.result()\nprint(_answer.provider)"
    )
    assert ran.printed == "completed good\nsteady\n"
    assert nb.value("_answer.provider") == "steady"
    assert "word19" in shown.outputs[1].data["text/plain"]


def test_captured(nb: Kernel) -> None:
    """``%%capture`` keeps the panel and one picture, which is that of the last answer when it is shown."""
    show(nb, "good")
    nb.run("%%capture captured\ndisplay(p)")
    for question in ("One?", "Two?", "Three?"):
        ask(nb, question)
    assert nb.value("len(captured.outputs)") == 2
    widget, picture = (output.data for output in nb.run("captured.show()").outputs)
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert picture["text/plain"].startswith("Three?\n\nThe sky is **blue**.")


def test_formats(nb: Kernel) -> None:
    """Of an answer that is not the JSON of the setting ``format`` it is told why; code gets into no other cell."""
    nb.run("nbretry.register('coder', Provider('coder', ['```python\\nx = 1\\n```']))")
    show(nb, "good")
    nb.run("%nbretry config format json")
    ask(nb, "Why?")
    assert "✗ the answer is no JSON" in Page(nb.value("shown()")).text
    nb.run("%nbretry config format code\nnbretry.panel(['coder'])")
    nb.run("control('Prompt').value = 'Why?'\ncontrol('Ask').click()")
    ran = nb.run("p.run.result(60)")
    assert not ran.failed, ran.traceback
    assert "set_next_input" not in [one["source"] for one in ran.reply["content"]["payload"]]
    assert "x = 1" in Page(nb.value("shown()")).text


def test_a_provider_with_a_mistake(nb: Kernel) -> None:
    """Where a provider's own code raises, its row says so, the next one is asked, and no cell suffers."""
    nb.run(
        "class Mistaken(Provider):\n"
        "    @property\n    def default_model(self):\n        raise RuntimeError('<b>no</b> model for ' + SECRET)\n"
        "nbretry.register('mistaken', Mistaken('mistaken', ['no']))"
    )
    show(nb, "mistaken", "good")
    assert nb.run("pass").outputs == []
    assert "RuntimeError: &lt;b&gt;no&lt;/b&gt; model for [secret]" in nb.value("state_of('mistaken')")
    ask(nb, "Why?")
    text = Page(nb.value("shown()")).text
    assert "RuntimeError: <b>no</b> model for [secret]" in text
    assert "The sky is blue." in text
    assert "Ask" in enabled(nb)


def test_every_control_says_what_it_is(nb: Kernel) -> None:
    """Whatever can be pressed or typed into has a description and a tooltip, but the tabs, which have titles."""
    show(nb, "good", "echo")
    assert nb.value("[type(w).__name__ for w in p._controls() if not w.tooltip]") == ["Tab"]
    assert nb.value("[type(w).__name__ for w in p._controls() if not getattr(w, 'description', '')]") == ["Tab"]


def test_changes_from_many_threads(nb: Kernel) -> None:
    """Whatever thread a change comes in, none is lost and nothing is raised."""
    show(nb, "good", "echo", "steady", "dead")
    nb.run(
        "import logging, random\nraised = []\nthreading.excepthook = lambda args: raised.append(repr(args.exc_value))\n"
        "def play(seed):\n"
        "    chance = random.Random(seed)\n"
        "    for _ in range(60):\n"
        "        name = chance.choice(['good', 'echo', 'steady', 'dead'])\n"
        "        what = chance.randrange(4)\n"
        "        if what == 0: control(name).value = not control(name).value\n"
        "        elif what == 1: control(f'ask {name} later').click()\n"
        "        elif what == 2: control(f'model of {name}; empty for its own').value = str(chance.random())\n"
        "        else: control('Prompt').value = str(chance.random())\n"
        "threads = [threading.Thread(target=play, args=(seed,)) for seed in range(6)]\n"
        "[thread.start() for thread in threads]\n[thread.join() for thread in threads]"
    )
    assert nb.value("raised") == []
    assert sorted(nb.value("[choice.name for choice in p.state.choices]")) == ["dead", "echo", "good", "steady"]
    for name in ("good", "echo", "steady", "dead"):
        choice = f"next(c for c in p.state.choices if c.name == {name!r})"
        assert nb.value(f"(control({name!r}).value == {choice}.on)")
        assert nb.value(f"(control('model of {name}; empty for its own').value == {choice}.model)")
    assert nb.value("control('Prompt').value == p.state.prompt")
