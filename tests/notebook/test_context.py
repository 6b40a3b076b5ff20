"""What a question is sent of the cells above it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from kernel import Kernel, Ran, environment, kernel, says
from traitlets.config import Config

from nbretry._utils.text import cut_middle
from nbretry.notebook.cells import recorder
from nbretry.notebook.cells.context_block import LONGEST_CONTEXT
from nbretry.notebook.cells.excerpts import LONGEST_EXCERPT, Excerpt, fenced, plain
from nbretry.notebook.cells.recorder import MOST_CELLS, context_block

SECRET = "sk-" + "0123456789abcdefghij"
END = "\n\nThat was the last of these cells. Now the question:"


def heard(nb: Kernel, count: int, question: str = "Why?") -> str:
    """What a provider hears with this many cells as its context: the cells only."""
    ran = nb.run(f"%%ask -p good --context {count}\n{question}")
    assert not ran.failed, ran.traceback
    prompt = str(nb.value("Book.prompts[-1]"))
    assert prompt.endswith(f"{END}\n\n{question}")
    return prompt.removesuffix(f"{END}\n\n{question}").partition("\n\n")[2]


def numbered(text: str) -> str:
    """A context with the numbers of its cells taken out, as they depend on the tests before."""
    return "\n".join("In:" if line.startswith("In [") else line for line in text.splitlines())


def test_sources_and_outputs(nb: Kernel) -> None:
    """The cells above stand in their order, each with what it printed, showed and gave."""
    nb.run("print('to one')\nimport sys\nprint('to the other', file=sys.stderr)\n41 + 1")
    nb.run("from IPython.display import Markdown, display\ndisplay(Markdown('# A heading'), {'a': 1})")
    nb.run("x = 1  # no output")
    assert numbered(heard(nb, 3)) == (
        "In:\n```python\nprint('to one')\nimport sys\nprint('to the other', file=sys.stderr)\n41 + 1\n```\n"
        "Output:\n```\nto one\nto the other\n42\n```\n\n"
        "In:\n```python\nfrom IPython.display import Markdown, display\n"
        "display(Markdown('# A heading'), {'a': 1})\n```\n"
        "Output:\n```\n# A heading\n{'a': 1}\n```\n\n"
        "In:\n```python\nx = 1  # no output\n```"
    )


@pytest.mark.parametrize(
    "cell",
    [
        "%%ask -p good --context 1\nWhat is it?",
        "%ask -p good --context 1 What is it",
        "x = %ask -p good --context 1 What is it",
        "%%time\n%%ask -p good --context 1\nWhat is it?",
        "get_ipython().run_cell('%%ask -p good --context 1\\nWhat is it?')",
        "%autoawait False\nget_ipython().run_line_magic('ask', '-p good --context 1 What is it')\n%autoawait True",
        "%%capture\n%%ask -p good --context 1\nWhat is it?",
    ],
)
def test_running_cell_is_no_context(nb: Kernel, cell: str) -> None:
    """However a question is run, its own cell is not among those above it, in its second run neither."""
    for _ in range(2):
        nb.run("marked = 'the cell above'")
        assert not nb.run(cell).failed
        prompt = nb.value("Book.prompts[-1]")
        assert "marked = 'the cell above'" in prompt
        assert prompt.count("In [") == 1
        assert prompt.count("What is it") == 1


def test_answer_is_an_output(nb: Kernel) -> None:
    """Of an earlier question the answer's text is sent, and nothing of the report about it."""
    nb.run("%%ask -p dead,good\nWhy is it so?")
    assert numbered(heard(nb, 1)) == (
        "In:\n```\n%%ask -p dead,good\nWhy is it so?\n```\nOutput:\n```\nThe sky is **blue**.\n```"
    )


def test_question_that_nobody_answered(nb: Kernel) -> None:
    """Of a question that failed, what there was of the answer and the short error are sent."""
    nb.run("%%ask -p broken,dead --on-break raise\nWhy is it so?")
    assert numbered(heard(nb, 1)).endswith(
        "Output:\n```\nhalf an ans\n```\nError:\n```\n"
        "RetryProviderError: broken broke off after it had begun to answer:\nbroken: APIConnectionError: reset\n```"
    )


def test_question_that_was_stopped(nb: Kernel) -> None:
    """Of a question that was stopped, the part that had come and the word that it was stopped are sent."""
    nb.run("%%ask -p slow\nWhy is it so?", interrupt_when=says("word3"))
    said = heard(nb, 1)
    assert "Output:\n```\nword0 word1" in said
    assert "stopped; what there is of the answer is in _answer" in said
    assert "Traceback" not in said


def test_answer_that_came_later(nb: Kernel) -> None:
    """What an answer in the background said after its cell had ended is the output of that cell."""
    nb.run("later = %ask -p steady --background Why is it so")
    nb.run("print('between')")
    nb.run("await later\nNone")
    said = heard(nb, 3)
    assert "word0 word1" in said
    assert said.index("word19") < said.index("Output:\n```\nbetween")


def test_display_in_its_last_state(nb: Kernel) -> None:
    """A display that was updated, by its own cell or by a later one, is sent as it looks now, where it stands."""
    nb.run("from IPython.display import Markdown, display\nshown = display(Markdown('first'), display_id=True)\n1")
    nb.run("shown.update(Markdown('second'))\nshown.update(Markdown('third'))")
    assert "Output:\n```\nthird\n1\n```" in heard(nb, 2)


def test_output_that_was_cleared(nb: Kernel) -> None:
    """What `clear_output` took away, at once or with the next output, is not sent."""
    nb.run("from IPython.display import clear_output")
    nb.run("for i in range(5):\n    clear_output(wait=True)\n    print('step', i)")
    assert "Output:\n```\nstep 4\n```" in heard(nb, 1)
    nb.run("print('gone')\nclear_output()\nprint('stays')")
    assert "Output:\n```\nstays\n```" in heard(nb, 1)


def test_progress_bar(nb: Kernel) -> None:
    """A line that was written over is sent in its last state, without colours."""
    nb.run("for i in range(500):\n    print(f'\\r\\x1b[31m{i}\\x1b[0m of 499', end='', flush=i % 100 == 0)\nprint()")
    assert "Output:\n```\n499 of 499\n```" in heard(nb, 1)


def test_error_is_short(nb: Kernel) -> None:
    """An exception is sent with the frames in cells, in plain text, and without those of IPython."""
    nb.run("def divide(n):\n    return 1 / n")
    nb.run("%timeit divide(0)")
    said = heard(nb, 1)
    assert "\x1b" not in said
    assert "run_line_magic('timeit', 'divide(0)')" in said
    assert ", in divide\n    return 1 / n" in said
    assert "execution.py" not in said
    assert said.endswith("\nZeroDivisionError: division by zero\n```")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("%foo", "UsageError: Line magic function `%foo` not found."),
        ("if True:\npass", "IndentationError: expected an indented block after 'if' statement on line 1"),
        ("raise ExceptionGroup('two', [ValueError('a'), TypeError('b')])", "TypeError: b"),
    ],
)
def test_kinds_of_errors(nb: Kernel, cell: str, said: str) -> None:
    """Errors that IPython shows in ways of its own are sent once."""
    nb.run(cell)
    assert heard(nb, 1).count(said) == 1


def test_cell_that_ran_again(nb: Kernel) -> None:
    """A cell that ran several times is sent once, at its last run with the outputs of that."""
    nb.run("n = 0")
    nb.run("n += 1\nprint('run', n)")
    nb.run("print('between')")
    nb.run("n += 1\nprint('run', n)")
    said = heard(nb, 3)
    assert said.count("print('run', n)") == 1
    assert said.index("between") < said.index("run 2")
    assert "run 1\n" not in said


def test_capture_takes_all(nb: Kernel) -> None:
    """What ``%%capture`` keeps is kept whole, and sent with the cell that shows it."""
    nb.run("%%capture kept\nprint('printed')\ndisplay('shown')\n41 + 1")
    assert "Output:" not in heard(nb, 1)
    assert nb.value("(kept.stdout, len(kept.outputs))") == ("printed\n", 2)
    nb.run("kept.show()")
    assert "Output:\n```\nprinted\n'shown'\n42\n```" in heard(nb, 1)


def said_by(ran: Ran) -> list[list[str]]:
    """A cell's outputs in order; of what is printed ipykernel decides by the clock in how many pieces it is sent."""
    said: list[list[str]] = []
    for output in ran.outputs:
        if output.output_type != "stream":
            said.append([output.output_type, str(output.data)])
        elif said and said[-1][0] == output.name:
            said[-1][1] += output.text
        else:
            said.append([output.name, output.text])
    return said


def test_nothing_changes_for_the_user(nb: Kernel) -> None:
    """The outputs of a cell are what they are without nbretry, in number, order and content."""
    cell = "print('a')\ndisplay('b')\nprint('c', end='')\nimport sys\nprint('d', file=sys.stderr)\n'e'"
    recorded = said_by(nb.run(cell))
    nb.run("%unload_ext nbretry")
    bare = said_by(nb.run(cell))
    nb.run("%load_ext nbretry")
    assert recorded == bare
    assert len(recorded) >= 4


def test_nested_cells(nb: Kernel) -> None:
    """What a cell within a cell shows is the outer one's output, and the inner one is no cell by itself."""
    nb.run("get_ipython().run_cell(\"print('from inside')\", store_history=True)\nprint('from outside')")
    said = heard(nb, 1)
    assert said.count("In [") == 1
    assert "Output:\n```\nfrom inside\nfrom outside\n```" in said


def test_secrets_are_masked(nb: Kernel) -> None:
    """Keys in a source, in an output, in an error or cut in two by the limit are not sent."""
    nb.run(f"key = {SECRET!r}\nprint(key)")
    nb.run("raise ValueError(key)")
    nb.run("print('x' * 9_990 + ' ' + key + 'y' * 5_000 + key + ' z' * 9_000)")
    said = heard(nb, 3)
    assert said.count("[secret]") >= 3
    assert "sk-" not in said
    assert "0123456789" not in said


def test_braces_stay(nb: Kernel) -> None:
    """What looks like a variable in a cell or its output is sent as it is; in the question it is looked up."""
    nb.run("value = 'looked up'\nprint('{{ value }} {{ 1/0 }}')")
    nb.run("%%ask -p good --context 1 --raw\n{{ value }}")
    assert nb.value("Book.prompts[-1]").count("{{ value }}") == 3


def test_long_outputs_are_cut(nb: Kernel) -> None:
    """Of 200 kB the beginning and the end are sent, with a note of how much is missing."""
    nb.run("print('begin ' + 'x' * 200_000 + ' end')")
    said = heard(nb, 1)
    assert len(said) < LONGEST_CONTEXT
    assert "begin xxx" in said
    assert "xxx end" in said
    assert "characters cut …]" in said


def test_odd_text(nb: Kernel) -> None:
    """Fences, emoji and right-to-left text inside of outputs and sources come through whole."""
    nb.run("text = '''\n````\nשלום 🎉 {braces} \"quotes\"\n```\n'''\nprint(text)")
    said = heard(nb, 1)
    assert said.count("`````") == 4
    assert said.count('שלום 🎉 {braces} "quotes"') == 2


def test_none(nb: Kernel) -> None:
    """Without ``--context``, and with - for it, nothing but the question is sent."""
    nb.run("print('above')")
    for option in ("", "--context -", "--context 0"):
        nb.run(f"%%ask -p good {option}\nWhy?")
        assert nb.value("Book.prompts[-1]") == "Why?"


def test_cells_before_loading(tmp_path: Path, providers: str) -> None:
    """The cells that ran before nbretry was loaded are there, too; one that only loads it is not."""
    before = ("first = 1", "first + 1", "%load_ext nbretry\n", providers)
    with kernel(tmp_path, *before) as nb:
        said = heard(nb, 1000)
    assert said.startswith(
        "In [1]:\n```python\nfirst = 1\n```\n\nIn [2]:\n```python\nfirst + 1\n```\nOutput:\n```\n2\n"
    )
    assert "load_ext" not in said
    assert said.count("In [") == 3


def test_loading_in_the_middle_of_a_cell(tmp_path: Path, providers: str) -> None:
    """A cell that loads nbretry and does more counts, with what it printed after that, but not while it runs."""
    loading = "from nbretry.notebook.cells.recorder import context_block\n%load_ext nbretry\nprint('loaded')\n"
    with kernel(tmp_path, "1", loading + "said = context_block(get_ipython(), 9)", providers) as nb:
        assert "In [1]" in nb.value("said")
        assert "In [2]" not in nb.value("said")
        assert "Output:\n```\nloaded\n```" in heard(nb, 9)


def test_question_as_the_first_cell(tmp_path: Path) -> None:
    """Where nothing has run before, the context says so and the question is asked."""
    loading = "%load_ext nbretry\n"
    with kernel(tmp_path, loading) as nb:
        nb.run("from nbretry.notebook.cells.recorder import context_block\nsaid = context_block(get_ipython(), 3)")
        assert nb.value("said") == "No cell of this notebook has run before this question."


def test_unloading(nb: Kernel) -> None:
    """After ``%unload_ext`` nothing of the recorder is left at the kernel."""
    installed = (
        "('send' in vars(get_ipython().kernel.session), [one for name in ('pre_run_cell', 'post_run_cell')"
        " for one in get_ipython().events.callbacks[name] if 'notebook.cells' in str(getattr(one, '__self__', ''))])"
    )
    assert nb.value(f"{installed}[0]") is True
    assert nb.value(f"len({installed}[1])") == 2
    nb.run("%unload_ext nbretry")
    left = nb.value(installed)
    nb.run("%load_ext nbretry")
    assert left == (False, [])


class Terminal:
    """IPython as in a terminal, within this process."""

    def __init__(self) -> None:
        config = Config()
        config.HistoryManager.hist_file = ":memory:"
        self.shell = InteractiveShell(config=config)

    def run(self, source: str, **options: object) -> None:
        self.shell.run_cell(source, store_history=True, **options)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.delattr(sys, "last_value", raising=False)
    running = Terminal()
    recorder.register(running.shell)
    try:
        yield running
    finally:
        recorder.unregister(running.shell)
        running.shell.history_manager.end_session()


def test_terminal(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """In a terminal what was printed, shown and given is recorded as it was seen, and seen as it is without nbretry."""
    terminal.run("print('printed'); 41 + 1")
    said = context_block(terminal.shell, 1)
    assert "In [1]:\n```python\nprint('printed'); 41 + 1\n```\nOutput:\n```\nprinted\n" in said
    assert "42\n" in said
    shown = capsys.readouterr().out
    recorder.unregister(terminal.shell)
    terminal.run("print('printed'); 41 + 1")
    assert capsys.readouterr().out == shown.replace("[1]", "[2]")


def test_terminal_error(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    """In a terminal an exception is recorded once and in short, and shown in full as ever."""
    terminal.run("print('before')\n1 / 0")
    said = context_block(terminal.shell, 1)
    assert "Output:\n```\nbefore\n```\nError:\n```\nTraceback (most recent call last):\n" in said
    assert said.count("division by zero") == 1
    assert "division by zero" in capsys.readouterr().out
    terminal.run("x = = 1")
    assert context_block(terminal.shell, 1).count("invalid syntax") == 1


def test_terminal_leaves_streams_alone(terminal: Terminal) -> None:
    """Between cells, and after unloading, the streams and the shell's methods are their own."""
    terminal.run("print(1)")
    assert "nbretry" not in str(getattr(sys.stdout.write, "__module__", ""))
    recorder.unregister(terminal.shell)
    assert not {"showtraceback", "showsyntaxerror"} & set(vars(terminal.shell))


QUESTION_IN_A_TERMINAL = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.hist_file = ":memory:"
shell = InteractiveShell.instance(config=config)
class Broken:
    @classmethod
    def create_completion(cls, model, messages, **options):
        raise OSError("no network")
        yield
class Good:
    @classmethod
    def create_completion(cls, model, messages, **options):
        yield "The "
        yield "answer."
shell.user_ns.update(Broken=Broken, Good=Good)
shell.run_cell("%load_ext nbretry", store_history=True)
shell.run_cell("import nbretry; nbretry.register('broken', Broken)", store_history=True)
shell.run_cell("nbretry.register('good', Good)", store_history=True)
shell.run_cell("%%ask -p broken,good\\nWhy?", store_history=True)
shell.run_cell("import sys\\nprint('my own warning', file=sys.stderr)", store_history=True)
from nbretry.notebook.cells.recorder import context_block
print("\\0" + context_block(shell, 2))
"""


def test_terminal_question(tmp_path: Path) -> None:
    """In a terminal the answer's text is the output of its question, and the report about it is not."""
    arguments = [sys.executable, "-c", QUESTION_IN_A_TERMINAL]
    ran = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path), check=True)
    assert "no network" in ran.stderr
    said = ran.stdout.partition("\0")[2]
    assert "Why?\n```\nOutput:\n```\nThe answer.\n```\n\nIn" in said
    assert "Output:\n```\nmy own warning\n```" in said


def test_cells_by_their_identifiers(terminal: Terminal) -> None:
    """Where the frontend names the cells, one that was changed and ran again takes the place of its first run."""
    terminal.run("print('old')", cell_id="a")
    terminal.run("print('other')", cell_id="b")
    terminal.run("print('new')", cell_id="a")
    said = context_block(terminal.shell, 9)
    assert "'old'" not in said
    assert said.index("other") < said.index("new")


def test_what_is_no_cell(terminal: Terminal) -> None:
    """Empty cells, those that only load nbretry and what a frontend runs for itself do not count."""
    terminal.run("print('counts')")
    for source in ("", "  \n", "%reload_ext nbretry  # again"):
        terminal.run(source)
    terminal.shell.run_cell("print('a frontend asks')", store_history=False)
    said = context_block(terminal.shell, 1)
    assert "counts" in said
    assert "a frontend asks" not in said


def test_remembers_so_many(terminal: Terminal) -> None:
    """No more than the last hundred cells are kept, each with a bounded part of its outputs."""
    for number in range(MOST_CELLS + 5):
        terminal.run(f"print('cell {number}')")
    said = context_block(terminal.shell, 10_000)
    assert said.count("In [") == MOST_CELLS
    assert "'cell 4'" not in said
    assert "'cell 5'" in said
    terminal.run("import sys\nfor i in range(2000): print(i, file=(sys.stdout, sys.stderr)[i % 2])")
    terminal.run("for i in range(20_000): print('x' * 50)")
    said = context_block(terminal.shell, 2)
    assert "[… some outputs cut …]" in said
    assert len(said) < LONGEST_CONTEXT


def test_oldest_outputs_are_cut_first(terminal: Terminal) -> None:
    """Where all together are too long, the outputs of the oldest cells go first, and the sources stay."""
    for number in range(5):
        terminal.run(f"print('{number}' * 15_000)")
    said = context_block(terminal.shell, 5)
    assert LONGEST_CONTEXT * 0.9 < len(said) <= LONGEST_CONTEXT
    assert "00000" not in said
    assert "3" * 15_000 in said
    assert "4" * 15_000 in said
    assert said.count("* 15_000") == 5
    for number in range(5):
        terminal.run(f"long = '{number}'\n" + "#" * 15_000)
    said = context_block(terminal.shell, 5)
    assert len(said) <= LONGEST_CONTEXT
    assert "long = '4'\n" + "#" * 15_000 in said


def test_cell_within_a_cell_that_is_lost(terminal: Terminal) -> None:
    """A cell whose end is never told does not stop the recording."""
    terminal.shell.events.trigger("pre_run_cell", _Info("lost"))
    terminal.shell.events.trigger("post_run_cell", None)
    terminal.run("print('after')")
    assert "after" in context_block(terminal.shell, 1)


class _Info:
    store_history = True
    cell_id = None

    def __init__(self, raw_cell: str) -> None:
        self.raw_cell = raw_cell


@pytest.mark.parametrize("limit", [0, 10, 40, 99, 100])
def test_cutting(limit: int) -> None:
    """A text that is too long is cut to its limit, and the note tells how many characters are missing."""
    text = "".join(chr(97 + i % 26) for i in range(100))
    cut = cut_middle(text, limit)
    if limit == 100:
        assert cut == text
        return
    head, _, tail = cut.partition("[…")
    note, _, tail = tail.partition("…]")
    kept = head.strip("\n") + tail.strip("\n")
    assert int(note.split()[0]) == 100 - len(kept)
    assert text.startswith(head.strip("\n"))
    assert text.endswith(tail.strip("\n"))
    assert len(cut) <= max(limit, len("[… 100 characters cut …]"))


def test_note_has_thousands() -> None:
    """A large count is written so that it can be read."""
    assert "[… 12,345 characters cut …]" in cut_middle("x" * 12_445, 129)


@pytest.mark.parametrize("text", ["a", "```", "a ```` b\n```", "`", ""])
def test_fences(text: str) -> None:
    """A fence is longer than any run of backticks in what it holds."""
    first, *_, last = fenced(text, "python").splitlines()
    assert first == last + "python"
    assert set(last) == {"`"}
    assert len(last) >= 3
    assert last not in text


@pytest.mark.parametrize("step", [1, 7, 1_000, 50_000, 400_000])
def test_excerpt(step: int) -> None:
    """In whatever pieces a text comes, of a long one the same beginning and end are kept, and little memory is held."""
    text = "".join(f"line {i}\n" for i in range(30_000))
    excerpt = Excerpt()
    for start in range(0, len(text), step):
        excerpt.append(text[start : start + step])
        assert excerpt.size < 2 * LONGEST_EXCERPT
    kept = excerpt.text()
    assert kept.startswith("line 0\nline 1\n")
    assert kept.endswith("line 29999\n")
    assert 0.9 * LONGEST_EXCERPT < len(kept) < 1.1 * LONGEST_EXCERPT
    head, note, tail = kept.partition("\n[… ")
    count, _, tail = tail.partition(" characters cut …]\n")
    assert note
    assert int(count.replace(",", "")) == len(text) - len(head) - len(tail)


@pytest.mark.parametrize("step", [3, 7, 1000, 7_999, 9_000])
def test_long_progress_bar(step: int) -> None:
    """In whatever pieces a line comes that is written over and over, its last state alone is kept."""
    text = "begin\n" + "".join(f"\rprogress {i}" for i in range(3_000)) + "\nend\n"
    excerpt = Excerpt()
    for start in range(0, len(text), step):
        excerpt.append(text[start : start + step])
        excerpt.text()  # looks, and changes nothing
    assert excerpt.text() == "begin\nprogress 2999\nend\n"


@pytest.mark.parametrize("offset", range(-30, 31, 6))
def test_secret_where_a_text_is_cut(offset: int) -> None:
    """A key that lies across any of the places at which a text is cut leaves not one character of itself."""
    for place in (10_000, 14_000, 186_000, 190_000):
        text = "x " * 100_000
        begin = place + offset
        excerpt = Excerpt()
        excerpt.append(f"{text[: begin - 1]} {SECRET} {text[begin + len(SECRET) + 1 :]}")
        head, _, rest = excerpt.text().partition("\n[… ")
        assert not set("0123456789") & set(head + rest.partition("…]")[2])


def test_plain() -> None:
    """Colours, links, control characters and lone surrogates are taken out; lines and tabs stay."""
    assert plain("\x1b[1;31mred\x1b[0m\t\x1b]8;;http://x\x07link\x1b]8;;\x07\x00\ud800\r\nnext\rover\n") == (
        "red\tlink\nover\n"
    )
