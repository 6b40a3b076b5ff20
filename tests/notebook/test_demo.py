"""What ``nbretry demo`` tells in the terminal."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import pytest

from nbretry.demo import run_demo

ASKED = """\
import nbretry
from nbretry.testing import simulate

%load_ext nbretry
nbretry.register("busy", simulate("503"))
nbretry.register("good", simulate("'All' ' is' ' well.'"))
%ask -p busy,good How is it"""


def test_tells_what_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Headings, what is asked, who fails and who answers stand in their order, also a failure that is meant to be."""
    fails = nbformat.v4.new_code_cell("%ask -p busy Anybody", metadata={"tags": ["raises-exception"]})
    cells = [
        nbformat.v4.new_markdown_cell("# First\n\nIt is not told.\n\n```python\n# of code\n```\n#tag"),
        nbformat.v4.new_code_cell(ASKED),
        nbformat.v4.new_markdown_cell("## If nobody answers"),
        fails,
        nbformat.v4.new_code_cell("print('reached')"),
        nbformat.v4.new_markdown_cell("## The end"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "it.ipynb")
    status = run_demo(tmp_path / "it.ipynb", tmp_path / "out" / "it.ipynb")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    expected = [
        "# First",
        "│ %ask -p busy,good How is it",
        "All is well.",
        "1. ✗ busy · simulated · ServerError: the script says 503",
        "## If nobody answers",
        "RetryProviderError: every provider failed:",
        "reached",
    ]
    places = [[line.startswith(words) for line in lines].index(True) for words in expected]
    assert places == sorted(places)
    assert not {"It is not told.", "# of code", "#tag", "## The end"} & set(lines), "only headings of code are told"
    assert status == 0
    executed = nbformat.read(tmp_path / "out" / "it.ipynb", as_version=4)
    assert executed.cells[-2].outputs[0].text == "reached\n"


def test_a_failure_is_told_by_the_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell that fails, and is not meant to, ends it with the status 1; what came before is kept."""
    cells = [nbformat.v4.new_code_cell("print('reached')"), nbformat.v4.new_code_cell("1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "it.ipynb")
    assert run_demo(tmp_path / "it.ipynb", tmp_path / "out.ipynb") == 1
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().out
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert executed.cells[0].outputs[0].text == "reached\n"


LONG = """
import asyncio, nbretry
%load_ext nbretry

class Slowly:
    def __init__(self, text, failure=None):
        self.text, self.failure = text, failure

    async def create_async_generator(self, model, messages, **options):
        for start in range(0, len(self.text), 23):
            yield self.text[start : start + 23]
            await asyncio.sleep(0.01)
        if self.failure:
            raise self.failure

text = "# Heading\\n\\n" + "".join(
    f"Paragraph{n} has **bold{n}** words and `code{n}`, and a [link{n}](https://x.example).\\n\\n"
    f"1. one{n}\\n2. two{n}\\n\\n| a{n} | b{n} |\\n| --- | --- |\\n| c{n} | d{n} |\\n\\n"
    f"```python\\nvalue{n} = 'quoted{n}'\\n```\\n\\n"
    for n in range(12)
)
nbretry.register("slowly", Slowly(text))
nbretry.register("fading", Slowly("Withdrawn words. " * 60, ConnectionError("reset")))
nbretry.register("jsonlike", Slowly('{"colour": "deep blue", "sizes": [1, 2, 3], "more": {"name": "value"}}'))
"""
WORDS = [
    word
    for n in range(12)
    for word in (
        *(
            f"Paragraph{n}",
            f"bold{n}",
            f"code{n}",
            f"link{n}",
            f"one{n}",
            f"two{n}",
            f"a{n}",
            f"b{n}",
            f"c{n}",
            f"d{n}",
        ),
        *(f"value{n}", f"quoted{n}"),
    )
]


def told(tmp_path: Path, capsys: pytest.CaptureFixture[str], *questions: str) -> list[str]:
    """What is told about these cells, in pieces as it is written."""
    pieces: list[str] = []
    write = sys.stdout.write

    def note(text: str) -> int:
        pieces.append(text)
        return write(text)

    cells = [nbformat.v4.new_code_cell(source) for source in (LONG, *questions)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "it.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stdout, "write", note)
        assert run_demo(tmp_path / "it.ipynb", tmp_path / "out.ipynb") == 0
    said = "".join(pieces)
    assert said == capsys.readouterr().out
    begin = said.rindex("│ " + questions[0].splitlines()[0])
    return _pieces_from(pieces, begin)


def _pieces_from(pieces: list[str], begin: int) -> list[str]:
    length = 0
    for place, piece in enumerate(pieces):
        length += len(piece)
        if length > begin:
            return pieces[place:]
    return []


@pytest.mark.parametrize("before", ["", "print('before')\n"], ids=["alone", "after a print"])
def test_an_answer_is_told_as_it_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str) -> None:
    """Of an answer in many parts each word is told once, in its order, while it comes, and then who gave it."""
    pieces = told(tmp_path, capsys, f"{before}x = %ask -p slowly Why?")
    said = "".join(pieces)
    found = [word for word in re.findall(r"[A-Za-z]+\d+", said) if word in WORDS]
    assert found == WORDS
    assert said.count("Heading") == 1
    assert said.index("quoted11") < said.index("slowly · first token")
    assert len([piece for piece in pieces if re.search(r"[a-z]\d", piece)]) > 3, "it was told at once"


def test_withdrawn_text_and_several_answers_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text that is withdrawn is followed by the whole next answer; each answer of a cell is told."""
    question = "for n in range(2):\n    x = %ask -p fading,slowly Why?\ny = %ask -p jsonlike -f json Which?"
    said = "".join(told(tmp_path, capsys, question))
    found = [word for word in re.findall(r"[A-Za-z]+\d+", said) if word in WORDS]
    assert found == WORDS * 2
    assert said.count("deep blue") == 1
    assert said.index("Withdrawn words") < said.index("Heading")
