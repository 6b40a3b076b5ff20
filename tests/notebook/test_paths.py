"""Every way in which a question can stand in a notebook gives its answer, shown once."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel import Kernel, Ran, kernel, says

SKY = "The sky is **blue**."


def assert_answered(nb: Kernel, ran: Ran, text: str = SKY) -> None:
    assert not ran.failed, ran.traceback
    assert ran.answers == [text]
    assert len(ran.reports) == 1, "the report is not there once"
    assert len(ran.of_type("text/html")) == 2, "something else is left"
    assert nb.value("(_answer.text, _answer.provider)") == (text, "good")


@pytest.mark.parametrize(
    "cell",
    [
        "%%ask -p dead,good\nWhy?",
        "\n\n%%ask -p dead,good\nWhy?",
        "  %%ask -p dead,good\n  Why?",
        "%%ask -p good Why?",
        "%%time\n%%ask -p dead,good\nWhy?",
        "%%timeit -n1 -r1\n%%ask -p good\nWhy?",
        "get_ipython().run_cell('%%ask -p good\\nWhy?');",
        "get_ipython().run_cell_magic('ask', '-p good', 'Why?')",
        "await asyncio.sleep(0)\nget_ipython().run_cell('%%ask -p good\\nWhy?');",
        "%ask -p good Why is the sky blue?",
        "%ask -p good Why's the sky's colour 'blue'?",
        "%ask -p good It's blue. Isn't it",
        "x = %ask -p good Why is the sky blue?",
        "x = %ask -p good Why isn't the sky's colour \"green\"?",
        "x = %ask -p good Say it",
        "for _ in range(1):\n    x = %ask -p good Why is it so?",
        "if True:\n    %ask -p good Why is it so?",
        "def question():\n    x = %ask -p good Why is it so?\n    return x\n\nquestion().text;",
        "await asyncio.sleep(0)\nx = %ask -p good Why?\nawait asyncio.sleep(0)",
        "async def question():\n    x = %ask -p good Why?\n    return x\n\nawait question()",
        "await nbretry.ask('Why?', providers=['good'])",
        "x = await nbretry.ask('Why?', providers=['dead', 'good'])",
        "import nbretry.notebook.kernel.awaited_cells as a\na.run(lambda: nbretry.ask('Why?', providers=['good']));",
    ],
)
def test_question_is_answered(nb: Kernel, cell: str) -> None:
    """The answer is shown once with its report, and is in `_answer`."""
    assert_answered(nb, nb.run(cell))
    assert nb.value("Book.opened - Book.closed") == 0


def test_question_without_autoawait(nb: Kernel) -> None:
    """Where `%autoawait` is off, the cell asks as an ordinary magic."""
    nb.run("%autoawait False")
    try:
        assert_answered(nb, nb.run("%%ask -p dead,good\nWhy?"))
    finally:
        nb.run("%autoawait True")


def test_capture(nb: Kernel) -> None:
    """`%%capture` takes the answer in its last state alone, and shows it later."""
    captured = nb.run("%%capture taken\n%%ask -p steady\nCount.")
    assert captured.outputs == []
    assert nb.value("len(taken.outputs)") == 2
    shown = nb.run("taken.show()")
    assert shown.answer == nb.value("_answer.text")
    assert len(shown.reports) == 1


def test_questions_in_a_loop(nb: Kernel) -> None:
    """Each round of a loop shows its own answer."""
    ran = nb.run("texts = []\nfor n in range(3):\n    x = %ask -p good Why?\n    texts.append(x.text)")
    assert ran.answers == [SKY] * 3
    assert nb.value("texts") == [SKY] * 3


def test_two_questions_at_once(nb: Kernel) -> None:
    """Two questions that run side by side do so, and each is shown once in an output of its own."""
    ran = nb.run("""
answers = await asyncio.gather(
    nbretry.ask("A?", providers=["steady"]), nbretry.ask("B?", providers=["good"]))""")
    assert sorted(ran.answers) == sorted(nb.value("[answer.text for answer in answers]"))
    first_steady, end_good = nb.value("(answers[0].duration, answers[1].duration)")
    assert end_good < first_steady, "one waited for the other"
    shown_again = nb.run("answers[0]")
    assert shown_again.answer == nb.value("answers[0].text")


def test_value_of_the_cell_is_not_shown_twice(nb: Kernel) -> None:
    """An answer that its cell has shown while it came is not shown once more as the cell's value, but is its value."""
    ran = nb.run("a = await nbretry.ask('A?', providers=['good'])\nb = %ask -p steady Count.\na")
    assert len(ran.answers) == 2
    assert nb.value("Out[max(Out)] is a")


def test_kept_answer_is_shown_in_a_later_cell(nb: Kernel) -> None:
    """A variable that has an answer shows it with its report, as its own cell did."""
    first = nb.run("x = %ask -p dead,good Why?")
    later = nb.run("x")
    assert [output.data for output in later.outputs] == [output.data for output in first.outputs]
    assert later.records == first.records


@pytest.mark.parametrize("cell", ["%%ask -p good -o kept\nWhy?", "%%time\n%%ask -p good --into=kept\nWhy?"])
def test_answer_is_put_into_a_variable(nb: Kernel, cell: str) -> None:
    """`-o NAME` puts the answer into that variable as well as into `_answer`."""
    nb.run("kept = None")
    assert_answered(nb, nb.run(cell))
    assert nb.value("kept is _answer and kept.text") == SKY


@pytest.mark.parametrize("cell", ["%%ask?", "%ask?", "?%%ask", "?%ask", "%%ask -p good ?"])
def test_help(nb: Kernel, cell: str) -> None:
    """The question mark after the magic's name shows what it does and its options, and asks nobody."""
    ran = nb.run(cell)
    if cell.endswith(" ?"):
        assert_answered(nb, ran)
        return
    assert not ran.failed, ran.traceback
    for words in ("Ask a language model", "--providers", "--max-tokens", "-o, --into NAME", "%%ask -p openai"):
        assert words in ran.help
    assert nb.value("Book.opened") == 0


def test_question_in_a_string_is_left_alone(nb: Kernel) -> None:
    """A text that holds a line like a question is no question."""
    assert nb.value('"""\n%ask -p good Why?\n"""') == "\n%ask -p good Why?\n"


def test_help_of_others_still_works(nb: Kernel) -> None:
    """A question mark after any other name shows that name's help."""
    assert "number of items in a container" in nb.run("len?").help
    assert "time" in nb.run("%%time?").help


@pytest.mark.parametrize("magic", [r"%ask -p echo {x} $x \frac{{x}}{2} $$", "%%ask -p echo\n{x} $x \\frac{{x}}{2} $$"])
def test_braces_and_dollars_stay_as_typed(nb: Kernel, magic: str) -> None:
    """Python's variables are not put into a question: code and LaTeX are full of braces and dollars."""
    nb.run("x = 'a secret of the notebook'")
    assert not nb.run(magic).failed
    assert nb.value("_answer.messages[-2]['content']") == r"{x} $x \frac{{x}}{2} $$"


UNUSUAL = {
    "emoji": "👩‍🚀 🏳️‍🌈 zero​width",
    "right to left": "שלום עולם‏ مرحبا",
    "quotes": "'single' \"double\" '''three''' \"\"\"three\"\"\" `tick`",
    "backslashes": "C:\\new\\table \\n \\\\ \\N{DASH} \\x41 \\",
    "line ends of other worlds": "a\u2028b\u2029c\x85d\x0ce\x0bf\x1cg",
    "tab and bell": "\ta\x07b\x1b[31m",
    "prompts": ">>> f(1)\n... 2\nIn [1]: f(1)\nOut[1]: 2",
    "prompts below": "What does this do?\n>>> f(1)\n2",
    "magics": "!ls\n%time\n%%time\nwhat?\n?what\nx = !ls",
    "indentation": "    four\n  two\n\n\n    four",
    "format": "{x} {0} %s %(x)s $HOME ${HOME} #comment",
    "long": "All work and no play makes Jack a dull boy.\n" * 4500,
}


@pytest.mark.parametrize("text", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_text_reaches_the_provider_unchanged(nb: Kernel, text: str) -> None:
    """Whatever a cell holds, the provider is asked exactly that, but for blank space around it."""
    ran = nb.run(f"%%ask -p good\n{text}")
    assert not ran.failed, ran.traceback
    assert nb.value("Book.prompts") == [text.rstrip()]


def test_loading_and_unloading(tmp_path: Path, providers: str) -> None:
    """Loading twice and reloading change nothing, unloading takes the magic away, loading brings it back."""
    hooks = """(sum(map(len, ip.events.callbacks.values())), len(ip.input_transformers_cleanup),
        len(ip.input_transformer_manager.token_transformers))"""
    with kernel(tmp_path, "ip = get_ipython()\nbefore = " + hooks, "%load_ext nbretry", providers) as nb:
        nb.run("%load_ext nbretry")
        assert_answered(nb, nb.run("%%ask -p good\nWhy?"))
        nb.run("%reload_ext nbretry")
        assert_answered(nb, nb.run("%%ask -p good\nWhy?"))

        assert not nb.run("%unload_ext nbretry").failed
        gone = nb.run("%%ask -p good\nWhy?")
        assert "Cell magic `%%ask` not found" in gone.printed + gone.traceback
        assert not gone.answer
        assert nb.value(f"before == {hooks}"), "something of ours is left in the shell"

        assert not nb.run("%load_ext nbretry").failed
        assert_answered(nb, nb.run("%%ask -p good\nWhy?"))


def test_other_extension_takes_over(tmp_path: Path, providers: str) -> None:
    """Where somebody else registers `%%ask` later, theirs is run, and is still there when ours is unloaded."""
    theirs = """
from IPython.core.magic import register_line_cell_magic
@register_line_cell_magic
def ask(line, cell=None):
    print("theirs:", line, cell)"""
    with kernel(tmp_path, "%load_ext nbretry", providers, theirs) as nb:
        assert nb.run("%%ask -p good\nWhy?").printed == "theirs: -p good Why?\n\n"
        nb.run("%unload_ext nbretry")
        assert nb.run("%%ask -p good\nWhy?").printed == "theirs: -p good Why?\n\n"


def test_old_nest_asyncio_before_ours(tmp_path: Path, providers: str) -> None:
    """Where a notebook has patched its loop with the older nest_asyncio, every path answers, unwarned, and stops."""
    patched = "import nest_asyncio\nnest_asyncio.apply()"
    with kernel(tmp_path, patched, "%load_ext nbretry", providers) as nb:
        for cell in (
            "%%ask -p dead,good\nWhy?",
            "%%time\n%%ask -p dead,good\nWhy?",
            "x = %ask -p good Why?",
            "await nbretry.ask('Why?', providers=['good'])",
        ):
            ran = nb.run(cell)
            assert_answered(nb, ran)
            assert "Warning" not in ran.printed
        for cell in ("%%ask -p slow\nCount.", "%%time\n%%ask -p slow\nCount."):
            stopped = nb.run(cell, interrupt_when=says("word3"))
            assert stopped.raised
            assert stopped.stopped_after is not None
            assert stopped.stopped_after < 10
            assert nb.value("(_answer.state, Book.opened - Book.closed)") == ("stopped", 0)
