"""At its end a cell shows the answer, wherever it runs, beside whatever else it shows; and what that costs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from frontend import Area, Frontend, text_of
from jupyter_client.session import Session as Wire
from kernel import Kernel, kernel
from virtual_time import Timed, VirtualTimeLoop

from nbretry.notebook.output import places, repainted
from nbretry.notebook.output.cell_output import CellOutput
from nbretry.session.question import Question
from nbretry.session.session import Session

CELL = """
import ipywidgets
from IPython.display import display
from nbretry.types import Reasoning

nbretry.register("few", Provider("few", [f"word{i} " for i in range(8)], delay=0.03))
nbretry.register("jsonlike", Provider("jsonlike", ['{"colour": ', '"blue"', "}"], delay=0.1))
lines = ["All work and no play makes Jack a dull boy. " * 25 + "\\n\\n"] * 1900
nbretry.register("huge", Provider("huge", lines, delay=0))
nbretry.register("long", Provider("long", [f"- item {i} of a long list\\n" for i in range(300)], delay=0.002))
nbretry.register(
    "late",
    Provider(
        "late",
        [
            *[f"Paragraph {i} of a long answer.\\n\\n" for i in range(80)],
            Reasoning("So it is."),
            *[f"Paragraph {i} of a long answer.\\n\\n" for i in range(80, 120)],
        ],
        delay=0.01,
    ),
)
for name in ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD", "COLAB_RELEASE_TAG"):
    os.environ.pop(name, None)
"""

COUNTED = " ".join(f"word{i}" for i in range(8))
SKY = "The sky is blue."

QUESTIONS = {
    "%ask": ("x = %ask -p few Count.", [COUNTED, "few · first token"]),
    "--compare": ("x = %ask --compare good,few Why?", [f"{SKY} good · first token", f"{COUNTED} few · first token"]),
    "-f json": ("x = %ask -p jsonlike -f json Which?", ['{ "colour": "blue" }', "jsonlike · first token"]),
    "doctor": ("%nbretry doctor --no-ask good,dead", ["Can answer: good, dead."]),
}
AWAITED = ("x = await nbretry.ask('Count.', providers=['few'])", [COUNTED, "few · first token"])
BACKGROUND = ("x = %ask --background -p few Count.", [COUNTED, "few · first token"])

PLACES = {
    "with": "with out:\n    BEFORE\n    ASK\n    AFTER",
    "with, shown above": "display(out)\nwith out:\n    BEFORE\n    ASK\n    AFTER",
    "capture": "@out.capture()\ndef called():\n    BEFORE\n    ASK\n    AFTER\ncalled()",
    "interact": (
        "@ipywidgets.interact(n=(0, 3))\ndef called(n):\n    BEFORE\n    ASK\n    AFTER\nout = called.widget.out"
    ),
    "callback": (
        "button = ipywidgets.Button()\n@button.on_click\ndef called(_):\n"
        "    with out:\n        BEFORE\n        ASK\n        AFTER"
    ),
}
CLICK = {"method": "custom", "content": {"event": "click"}}


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    providers = Path(__file__).with_name("kernel_cell.py").read_text(encoding="utf-8")
    with kernel(tmp_path_factory.mktemp("outputs"), "%load_ext nbretry", "import os", providers, CELL) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_left(nb: Kernel) -> None:
    nb.run("os.environ.pop('JPY_SESSION_NAME', None)\nout = ipywidgets.Output()\n%nbretry reset")


def page_of(nb: Kernel, kind: str = "lab") -> Frontend:
    """A frontend of this kind, as the kernel knows it."""
    if kind == "lab":
        nb.run("os.environ['JPY_SESSION_NAME'] = 'it.ipynb'")
    page = Frontend(nb, kind)
    page.run("out = ipywidgets.Output()")
    return page


def assert_shows(area: Area, words: list[str], printed: bool = False) -> None:
    """It shows these words once each, in this order, between what was printed, and nothing that is not final."""
    words = ["before", *words, "after"] if printed else words
    shown = " ".join(area.shown())
    for word in words:
        assert shown.count(word) == 1, (word, area.shown())
    places = [shown.index(word) for word in words]
    assert places == sorted(places), area.shown()
    assert "…" not in shown, area.shown()
    assert "error" not in {output["msg_type"] for output in area.outputs}


def asked_at(place: str, question: str, printed: bool) -> str:
    """The cell that asks at one of these places."""
    cell = PLACES[place].replace("ASK", question)
    return cell.replace("BEFORE", "print('before')" if printed else "pass").replace(
        "AFTER", "print('after')" if printed else "pass"
    )


CASES = [(place, *case) for place in PLACES for case in QUESTIONS.values()]
CASES += [(place, *AWAITED) for place in ("with", "with, shown above")]


@pytest.mark.parametrize("printed", [False, True], ids=["alone", "between prints"])
@pytest.mark.parametrize(("place", "question", "words"), CASES)
def test_output_widgets(nb: Kernel, place: str, question: str, words: list[str], printed: bool) -> None:
    """An Output widget shows the answer at the end, between what is printed there before and after it."""
    page = page_of(nb)
    cell = page.run(asked_at(place, question, printed))
    if place == "callback":
        page.send(nb.value("button.model_id"), CLICK)
    assert_shows(page.widget("out"), words, printed)
    assert all(text_of(output) == "widget" for output in cell.outputs), "something of it is in the cell itself"


@pytest.mark.parametrize("place", PLACES)
def test_background_in_output_widgets(nb: Kernel, place: str) -> None:
    """A question in the background leaves its answer in the Output widget in which it was asked."""
    page = page_of(nb)
    page.run(asked_at(place, BACKGROUND[0], printed=True))
    if place == "callback":
        page.send(nb.value("button.model_id"), CLICK)
    page.run("await _background[-1];")
    shown = page.widget("out").shown()
    assert [shown.count("before"), shown.count("after"), shown.count(COUNTED)] == [1, 1, 1], shown
    assert len([text for text in shown if text.startswith("few · first token")]) == 1
    assert "…" not in " ".join(shown)


def test_background_in_an_output_widget_ends_at_once(nb: Kernel) -> None:
    """Nor is anything lost where the answer has come before the cell that asked has ended."""
    page = page_of(nb)
    page.run(
        "with out:\n    print('before')\n    x = %ask --background -p good Why?\n    x.result()\n    print('after')"
    )
    page.run("await x;")
    page.run("pass")
    shown = page.widget("out").shown()
    assert [shown.count("before"), shown.count("after"), shown.count(SKY)] == [1, 1, 1], shown


def test_an_output_widget_that_is_used_again(nb: Kernel) -> None:
    """What an Output widget shows already stays there when more is asked in it, from cells and from a button."""
    page = page_of(nb)
    for number in range(2):
        page.run(f"with out:\n    print('question {number}')\n    x = %ask -p few Count.")
    page.run(asked_at("callback", QUESTIONS["%ask"][0], printed=False))
    for _ in range(2):
        page.send(nb.value("button.model_id"), CLICK)
    page.run("with out:\n    x = await nbretry.ask('Why?', providers=['good'])")
    shown = page.widget("out").shown()
    assert [shown.count(COUNTED), shown.count(SKY)] == [4, 1]
    assert [text for text in shown if text.startswith("question")] == ["question 0", "question 1"]
    assert "…" not in " ".join(shown)


ASKED_AGAIN = """
with out:
    try:
        await nbretry.ask("Why?", providers=["dead"])
    except nbretry.errors.RetryProviderError:
        await nbretry.ask("Why?", providers=["few"])
"""


def test_asked_again_in_an_output_widget_with_notes(nb: Kernel) -> None:
    """After a failure the next question clears nothing: neither what was there before nor the first report."""
    page = page_of(nb)
    page.run("with out:\n    print('notes')")
    page.run(ASKED_AGAIN)
    shown = page.widget("out").shown()
    assert shown[0] == "notes"
    assert shown.count(COUNTED) == 1
    assert any(text.startswith("nobody answered") for text in shown), shown


def test_an_output_widget_in_another(nb: Kernel) -> None:
    """Of two Output widgets, one in the other, neither loses what it shows."""
    page = page_of(nb)
    page.run("inner = ipywidgets.Output()")
    page.run("with inner:\n    print('inside')")
    page.run("with out:\n    with inner:\n        x = %ask -p few Count.")
    shown = [*page.widget("out").shown(), *page.widget("inner").shown()]
    assert (shown.count("inside"), shown.count(COUNTED)) == (1, 1), shown


def test_what_the_page_has_not_told_yet(nb: Kernel) -> None:
    """What an Output widget shows is known at once: with Run All the page tells the kernel too late."""
    page = page_of(nb)
    page.tells_kernel = False
    page.run("with out:\n    print('notes')")
    page.run("with out:\n    x = %ask -p few Count.")
    shown = page.widget("out").shown()
    assert (shown[0], shown.count(COUNTED)) == ("notes", 1), shown


STAYS = {
    "traceback": "import pathlib\npathlib.Path('fails.py').write_text('1 / 0')\n%run fails.py\nx = %ask -p few Count.",
}
FORKS = """
import os, sys
child = os.fork()
if not child:
    sys.stdout.write("from a child")
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
x = %ask -p few Count.
"""
if hasattr(os, "fork"):  # Windows has none
    STAYS["fork"] = FORKS


@pytest.mark.parametrize("kind", ["lab", "program"])
@pytest.mark.parametrize("what", STAYS)
def test_what_others_have_shown_stays(nb: Kernel, kind: str, what: str) -> None:
    """A traceback that a magic has shown, and what a child process prints, are in the cell as well as the answer."""
    page = page_of(nb, kind)
    shown = " ".join(page.run(STAYS[what]).shown())
    assert shown.count(COUNTED) == 1
    assert ("division by zero" if what == "traceback" else "from a child") in shown
    assert not any(message["msg_type"] == "clear_output" for message in page.messages)


def test_a_cell_that_is_cleared_meanwhile(nb: Kernel) -> None:
    """If other code clears the cell while an answer arrives, the cell shows the whole answer at the end."""
    cell = page_of(nb).run(
        "from IPython.display import clear_output\n"
        "async def clears():\n    await asyncio.sleep(0.1)\n    clear_output(wait=True)\n"
        "    print('progress', flush=True)\n"
        "await asyncio.gather(nbretry.ask('A', providers=['few']), clears());"
    )
    shown = cell.shown()
    assert (shown.count(COUNTED), shown.count("progress")) == (1, 1), shown


def test_reasoning_after_the_text(nb: Kernel) -> None:
    """Reasoning that comes after the text has begun takes the place of nothing; at the end it is above the answer."""
    page = page_of(nb)
    cell = page.run("x = %ask -p late Count.")
    states = [one["content"]["data"].get("text/html", "") for one in page.messages if "data" in one["content"]]
    growing = [state for state in states if "nbretry-answer" in state]
    assert sum("Paragraph 0 " in state for state in growing) < len(growing) / 2, "the finished part is sent once"
    shown = cell.shown()
    assert shown[0].startswith("reasoning (3 words")
    assert shown[1].startswith("Paragraph 0 ")
    assert shown[1].endswith("Paragraph 119 of a long answer.")
    assert len(shown) == 3


def test_two_at_once_in_an_output_widget(nb: Kernel) -> None:
    """Of two questions that run side by side in an Output widget both answers are there at the end, once each."""
    page = page_of(nb)
    ask = "await asyncio.gather(nbretry.ask('A', providers=['few']), nbretry.ask('B', providers=['good']));"
    page.run(f"with out:\n    {ask}")
    shown = page.widget("out").shown()
    assert [len(shown), shown.count(COUNTED), shown.count(SKY)] == [4, 1, 1], shown


def test_what_is_printed_meanwhile_stays_in_an_output_widget(nb: Kernel) -> None:
    """Nothing is cleared that somebody else prints in an Output widget while the answer is redrawn in it."""
    page = page_of(nb)
    page.run(
        "async def prints():\n    await asyncio.sleep(0.1)\n    print('meanwhile', flush=True)\n"
        "with out:\n    await asyncio.gather(nbretry.ask('A', providers=['few']), prints());"
    )
    shown = page.widget("out").shown()
    assert [shown.count("meanwhile"), shown.count(COUNTED)] == [1, 1], shown


def test_a_task_of_a_button(nb: Kernel) -> None:
    """A button may also begin a task that asks; its answer comes into the Output widget."""
    page = page_of(nb)
    page.run(
        "button = ipywidgets.Button()\n@button.on_click\ndef called(_):\n    global task\n"
        "    async def ask():\n        with out:\n            await nbretry.ask('Why?', providers=['few'])\n"
        "    task = asyncio.get_running_loop().create_task(ask())"
    )
    page.send(nb.value("button.model_id"), CLICK)
    page.run("await task")
    page.run("await asyncio.sleep(0.1)")
    assert_shows(page.widget("out"), AWAITED[1])


def test_a_slider_asks_again(nb: Kernel) -> None:
    """With `@interact` each move of the slider replaces the answer by the next one."""
    page = page_of(nb)
    page.run(asked_at("interact", "get_ipython().run_line_magic('ask', f'-p echo Number {n}.')", printed=True))
    assert "Number 1." in " ".join(page.widget("out").shown())
    slider = nb.value("called.widget.children[0].model_id")
    page.send(slider, {"method": "update", "state": {"value": 3}, "buffer_paths": []})
    shown = " ".join(page.widget("out").shown())
    assert (shown.count("Number 3."), shown.count("Number 1."), shown.count("before")) == (1, 0, 1), shown


def test_an_output_widget_shows_the_answer_growing(nb: Kernel) -> None:
    """In an empty Output widget the answer is seen while it comes, although it hears no updates."""
    page = page_of(nb)
    page.run("with out:\n    x = %ask -p few Count.")
    states = [
        message["content"]["data"].get("text/html", "")
        for message in page.messages
        if message["msg_type"] == "display_data"
    ]
    assert any("word0" in state and "word7" not in state for state in states)
    assert not any(message["msg_type"] == "update_display_data" for message in page.messages)


FRONTENDS = ("lab", "program", "console")
SEVERAL = {
    "printed before and after": ("print('before')\nx = %ask -p few Count.\nprint('after')", [COUNTED, "few · first"]),
    "a long one after a print": ("print('before')\nx = %ask -p long Count.\nprint('after')", ["item 0 ", "item 299 "]),
    "await": ("print('before')\nx = await nbretry.ask('Why?', providers=['few'])\nprint('after')", [COUNTED]),
    "compare": (f"print('before')\n{QUESTIONS['--compare'][0]}\nprint('after')", QUESTIONS["--compare"][1]),
    "json": (f"print('before')\n{QUESTIONS['-f json'][0]}\nprint('after')", QUESTIONS["-f json"][1]),
    "doctor": (f"print('before')\n{QUESTIONS['doctor'][0]}\nprint('after')", QUESTIONS["doctor"][1]),
    "one failure": ("print('before')\nx = %ask -p dead,few Count.\nprint('after')", [COUNTED, "failed: dead"]),
}


@pytest.mark.parametrize("kind", FRONTENDS)
@pytest.mark.parametrize("case", SEVERAL)
def test_what_is_printed_stays(nb: Kernel, kind: str, case: str) -> None:
    """In the cell itself the answer stands between what is printed before and after it, in every frontend."""
    source, words = SEVERAL[case]
    cell = page_of(nb, kind).run(source)
    if kind == "console":  # what it has printed it cannot take back
        shown = cell.shown()
        assert (shown[0], shown[-1]) == ("before", "after")
        assert all(any(word.strip() in text for text in shown) for word in words), shown
        return
    assert_shows(cell, words, printed=True)


@pytest.mark.parametrize("kind", FRONTENDS)
def test_three_questions_with_prints_between(nb: Kernel, kind: str) -> None:
    """Of several questions in a cell each answer stays, in order, and so does what is printed between them."""
    cell = page_of(nb, kind).run(
        "print('first')\nx = %ask -p few Count.\nprint('second')\ny = %ask -p good Why?\n"
        "print('third')\nz = %ask -p few Count.\nprint('fourth')"
    )
    final = [text for text in cell.shown() if text in ("first", "second", "third", "fourth", COUNTED, SKY)]
    assert final == ["first", COUNTED, "second", SKY, "third", COUNTED, "fourth"]


@pytest.mark.parametrize("kind", FRONTENDS)
def test_a_loop(nb: Kernel, kind: str) -> None:
    """A loop of three questions leaves three answers with three reports."""
    cell = page_of(nb, kind).run("for n in range(3):\n    x = %ask -p few Count.")
    shown = cell.shown()
    assert shown.count(COUNTED) == 3
    assert len([text for text in shown if text.startswith("few · first token")]) == 3
    if kind != "console":
        assert len(shown) == 6


@pytest.mark.parametrize("kind", FRONTENDS)
def test_two_at_once(nb: Kernel, kind: str) -> None:
    """Of two questions that run side by side both answers are there at the end, once each."""
    cell = page_of(nb, kind).run(
        "await asyncio.gather(nbretry.ask('A', providers=['few']), nbretry.ask('B', providers=['good']));"
    )
    shown = cell.shown()
    assert shown.count(SKY) == 1
    assert shown.count(COUNTED) == 1
    if kind != "console":
        assert len(shown) == 4


@pytest.mark.parametrize("kind", ["lab", "program"])
def test_two_in_the_background(nb: Kernel, kind: str) -> None:
    """Two answers in the background come into the cells that asked, between what these printed."""
    page = page_of(nb, kind)
    cells = [page.run(f"print('before')\n{name} = %ask --background -p few Count.\nprint('after')") for name in "ab"]
    page.run("await a; await b;")
    page.run("pass")
    for cell in cells:
        assert_shows(cell, BACKGROUND[1], printed=True)


def test_a_console_gets_the_end_as_new_outputs(nb: Kernel) -> None:
    """A frontend that hears no updates is sent the final answer and its report as new outputs, also after a print."""
    for before in ("", "print('before')\n"):
        page = page_of(nb, "console")
        page.run(f"{before}x = %ask -p few Count.")
        sent = [m for m in page.messages if m["msg_type"] in ("display_data", "update_display_data")]
        assert [m["msg_type"] for m in sent[-2:]] == ["display_data", "display_data"]
        answer, report = (m["content"] for m in sent[-2:])
        assert answer["data"]["text/plain"].split() == COUNTED.split()
        assert answer["metadata"]["nbretry"]["state"] == "completed"
        assert report["data"]["text/plain"].startswith("few · first token")


@pytest.mark.parametrize("cell", ["%%ask -p few\nCount.", "%%ask -p dead,long\nCount.", "x = %ask -p long Count."])
def test_a_saved_cell_has_no_empty_outputs(nb: Kernel, cell: str) -> None:
    """In the saved file are one output for the answer and one for the report, and none that is empty."""
    ran = nb.run(cell)
    assert [len(ran.outputs), len(ran.answers), len(ran.reports)] == [2, 1, 1]
    assert all("".join(output.data.values()).strip() for output in ran.outputs)


def test_in_the_cell_that_loads_nbretry(tmp_path: Path) -> None:
    """A cell that loads nbretry and asks in one go shows the answer and the report, and keeps what it printed."""
    source = (
        "print('before')\n%load_ext nbretry\nimport nbretry\nfrom nbretry.testing import simulate\n"
        "nbretry.register('good', simulate(\"'All' ' is' ' well.'\"))\nx = %ask -p good How is it"
    )
    with kernel(tmp_path, "pass") as nb:
        ran = nb.run(source)
    assert not ran.failed, ran.traceback
    assert ran.answers == ["All is well."]
    assert ran.printed == "before\n"
    assert len(ran.reports) == 1


def test_two_megabytes(nb: Kernel) -> None:
    """An answer of two megabytes ends as plain text, and the kernel's loop goes on while it comes."""
    nb.run("""
ticks = []
async def tick():
    while True:
        ticks.append(time.monotonic())
        await asyncio.sleep(0)
ticking = asyncio.create_task(tick())""")
    ran = nb.run("%%ask -p huge\nWrite.")
    assert not ran.failed, ran.traceback
    nb.run("ticking.cancel()")
    (answer,) = ran.answers
    assert len(answer) > 2_000_000
    shown = ran.outputs[0].data["text/html"]
    assert "white-space:pre-wrap" in shown
    assert "<p>" not in shown
    assert shown.count("All work") == answer.count("All work") == 1900 * 25
    ticks, longest = nb.value("(len(ticks), max(b - a for a, b in zip(ticks, ticks[1:])))")
    print(f"\n2 MB: {ticks} ticks, the longest wait {longest:.2f} s; {len(ran.messages)} messages, {ran.size()} bytes")
    assert ticks > 1900, "the loop was held up"
    assert longest < 20


class Wired:
    """A publisher that counts what it would send, frame by frame."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = self.bytes_at_end = 0
        self._wire = Wire(key=b"key")
        self.parent = self._wire.msg("execute_request", {"code": "%%ask"})

    def publish(self, data: Any, metadata: Any, *, transient: Any = None, update: bool = False) -> None:
        kind = "update_display_data" if update else "display_data"
        self._send(kind, {"data": data, "metadata": metadata, "transient": transient or {}})

    def clear_output(self, wait: bool = False) -> None:
        self._send("clear_output", {"wait": wait})

    def _send(self, kind: str, content: dict[str, Any]) -> None:
        self.messages += 1
        message = self._wire.msg(kind, content, parent=self.parent)
        size = sum(map(len, self._wire.serialize(message, b"topic")))
        self.bytes += size
        self.bytes_at_end = size + (0 if kind == "clear_output" else self.bytes_at_end)


WORDS = [f"tok{number} " for number in range(10)]
MARKED = ["Some ", "words ", "with **", "bold", "** ones. "]
SHAPES = {
    "one paragraph": WORDS,
    "paragraphs": [*WORDS * 6, "\n\n"],
    "bold words": [*MARKED * 12, "\n\n"],
    "a list": ["- ", *MARKED, "\n"],
    "code": ["    x = ", "f(1)", " + 2", "\n"],
    "everything": [
        "## Head\n\n",
        *MARKED * 9,
        "\n\n",
        *["- ", *MARKED, "\n"] * 6,
        "\n```python\n",
        "x = 1\n",
        "```\n\n",
    ],
}


def streamed(monkeypatch: pytest.MonkeyPatch, shape: str, count: int, per_second: int) -> Wired:
    """What is sent for an answer of this many tokens, whose time passes at once."""
    tokens = (SHAPES[shape] * count)[:count]
    if shape == "code":
        tokens = ["```python\n", *tokens]
    played: list[Any] = [item for token in tokens for item in (token, 1 / per_second)]
    wired = Wired()
    shell: Any = SimpleNamespace(display_pub=wired, user_ns={}, get_parent=lambda: wired.parent)
    monkeypatch.setattr(places, "outputs_sent", lambda shell, request, kind=None: 0 if kind else wired.messages)
    session = Session()
    session.register("timed", Timed("timed", played))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(repainted, "time", SimpleNamespace(monotonic=loop.time))
        await session.ask(Question("Count.", providers=["timed"]), CellOutput(shell, captured=False))

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    answer = session.answers[-1].text
    assert answer == "".join(tokens)
    print(
        f"\n{shape}: {count:,} tokens, {len(answer):,} characters: {wired.messages} messages, {wired.bytes:,} bytes of "
        f"frames, {wired.bytes_at_end:,} of them at the end"
    )
    return wired


@pytest.mark.parametrize("shape", ["one paragraph", "paragraphs"])
@pytest.mark.parametrize(
    ("count", "per_second", "most_bytes", "most_messages"),
    [(2_000, 200, 330_000, 230), (20_000, 1_000, 800_000, 330)],
)
def test_what_streaming_sends(
    monkeypatch: pytest.MonkeyPatch, shape: str, count: int, per_second: int, most_bytes: int, most_messages: int
) -> None:
    """The frames of an answer that streams are a small multiple of it, and few."""
    wired = streamed(monkeypatch, shape, count, per_second)
    assert wired.messages < most_messages
    assert wired.bytes < most_bytes


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("count", "per_second"), [(2_000, 200), (20_000, 1_000)])
def test_a_second_of_streaming(monkeypatch: pytest.MonkeyPatch, shape: str, count: int, per_second: int) -> None:
    """Whatever an answer is made of, a second of it sends at most 50 kB until it ends, and ten repaints."""
    wired = streamed(monkeypatch, shape, count, per_second)
    seconds = count / per_second
    assert wired.messages < 10 * seconds + 150
    assert wired.bytes - wired.bytes_at_end < 50_000 * seconds
