"""A question written as a cell, which asks just that question again."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from nbretry._utils.names import is_name
from nbretry.errors import ConfigError
from nbretry.notebook.kernel.awaited_cells import AwaitedCells
from nbretry.prompts.messages import tidy
from nbretry.providers import ScriptedProvider
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.policy import OnBreak
from nbretry.session.ask_cell import cell_of
from nbretry.session.options import Asked, parse_magic_line, quoted
from nbretry.session.question import Question
from nbretry.types import Format

ODD = "'\"\\ -=,:\n\r\t\v\x1c\x85\u2028u0a8-{}$%?#é🌍"


def without_comma(text: str) -> str:
    return text.replace(",", "").strip()


# --- every question that an %%ask line can be read as -----------------------------------------------------------------

texts = st.one_of(st.text(alphabet=ODD), st.text())
words = texts.map(without_comma).filter(bool)
names = st.text(min_size=1).filter(is_name) | st.sampled_from(["main", "-p", "--", "-5", "x"])
variables = st.from_regex(r"[^\W\d]\w*", fullmatch=True).filter(
    lambda text: text.isidentifier() and not keyword.iskeyword(text)
)
providers = st.one_of(
    words.filter(lambda text: ":" not in text),
    st.builds("{}:{}".format, words.filter(lambda text: ":" not in text), words),
)
seconds = st.floats(0, exclude_min=True, allow_infinity=False)


def or_none(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


questions = st.builds(
    Question,
    texts,
    model=st.just("") | texts,
    system=or_none(texts),
    temperature=or_none(st.floats(0, 2)),
    max_tokens=or_none(st.integers(1)),
    on_break=or_none(st.sampled_from(get_args(OnBreak))),
    hedge_after=or_none(st.floats(0, allow_infinity=False) | st.from_regex(r"p\d{1,2}(\.\d+)?", fullmatch=True)),
    deadlines=st.builds(Deadlines, *[or_none(seconds)] * 4),
    retries=or_none(st.integers(0, 20)),
    max_cost=or_none(st.floats(0, allow_infinity=False)),
)


@st.composite
def all_asked(draw: st.DrawFn) -> Asked:
    common = {
        "into": draw(or_none(variables)),
        "context": draw(or_none(st.integers(0))),
        "raw": draw(st.booleans()),
        "dry_run": draw(st.booleans()),
    }
    question = draw(questions)
    if draw(st.booleans()):
        return Asked(question, compare=draw(st.lists(providers, min_size=2, max_size=4)), **common)
    schema, conversation = draw(or_none(variables)), draw(or_none(names))
    return Asked(
        replace(question, providers=draw(or_none(st.lists(providers, min_size=1, max_size=4)))),
        format="json" if schema else draw(or_none(st.sampled_from(get_args(Format)))),
        schema=schema,
        conversation=conversation,
        new=conversation is not None and draw(st.booleans()),
        background=draw(st.booleans()),
        **common,
    )


def with_prompt(asked: Asked, prompt: str) -> Asked:
    return replace(asked, question=replace(asked.question, prompt=prompt))


@given(all_asked())
@example(Asked(Question("Why?", ['a:it\'s "odd"', "ollama:qwen2:7b"], system="\\'\n\n\u2028\\u2028\\")))
def test_the_cell_asks_the_same(asked: Asked) -> None:
    """What the magic reads from the cell is what the cell was made of; a prompt of nothing but blanks is none."""
    first_line, _, rest = cell_of(asked).partition("\n")
    read = parse_magic_line(first_line.removeprefix("%%ask"), rest)
    assert read == (asked if asked.question.prompt.strip() else with_prompt(asked, ""))


@pytest.fixture(scope="module")
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    InteractiveShell.clear_instance()


@given(asked=all_asked())
def test_the_cell_asks_the_same_in_ipython(shell: InteractiveShell, asked: Asked) -> None:
    """It does so as well once IPython has split the cell into its lines, at whatever it takes for the end of one."""
    lines = cell_of(asked).splitlines(keepends=True)
    (called,) = AwaitedCells(shell, "ask", "", lambda: True)(lines)
    (statement,) = ast.parse(called).body
    assert isinstance(statement, ast.Expr)
    assert isinstance(statement.value, ast.Call)
    name, line, cell = map(ast.literal_eval, statement.value.args)
    read = parse_magic_line(line, cell)
    assert name == "ask"
    assert with_prompt(read, tidy(read.question.prompt)) == with_prompt(asked, tidy(asked.question.prompt))


# --- what it looks like -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "cell"),
    [
        (Asked(Question("Why?")), "%%ask\nWhy?"),
        (Asked(Question("")), "%%ask"),
        (Asked(Question("\nWhy?\n\nSo?\n", ["local"])), "%%ask -p local\n\nWhy?\n\nSo?\n"),
        (Asked(Question("Why?", "openai:gpt-5.4-mini,local")), "%%ask -p openai:gpt-5.4-mini,local\nWhy?"),
        (
            Asked(
                Question(
                    "Why?",
                    ["openai:gpt-5.4-mini", "local"],
                    "qwen3",
                    "Be brief.",
                    0.0,
                    100,
                    "continue",
                    "p90",
                    Deadlines(connect=3.0, first_content=20.0, idle=2.5, total=300.0),
                    2,
                    0.05,
                ),
                "answer",
                None,
                "text",
                None,
                "lab",
                True,
                3,
                True,
                True,
                True,
            ),
            (
                '%%ask -p openai:gpt-5.4-mini,local -m qwen3 -s "Be brief." -t 0 --max-tokens 100 --on-break continue '
                "--hedge-after p90 --connect 3 --first-content 20 --idle 2.5 --total 300 --retries 2 --max-cost 0.05 "
                "-o answer -f text -c lab --new --context 3 --raw --dry-run --background\nWhy?"
            ),
        ),
        (Asked(Question("Why?"), compare=["openai:a", "openai:b"]), "%%ask --compare openai:a,openai:b\nWhy?"),
        (Asked(Question("Why?"), format="json", schema="Point", conversation="main"), "%%ask --schema Point -c\nWhy?"),
        (Asked(Question("Why?", system="Be brief.\n\nBe kind.")), '%%ask -s "Be brief." -s "" -s "Be kind."\nWhy?'),
        (Asked(Question("Why?", system="")), '%%ask -s ""\nWhy?'),
    ],
)
def test_cells(asked: Asked, cell: str) -> None:
    """Only what is set is written, by its short option, and in quotes only where it needs them."""
    assert cell_of(asked) == cell


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        (r"C:\new", r"C:\new"),
        ("a b", '"a b"'),
        ('say "hi"', "'say \"hi\"'"),
        ("it's", '"it\'s"'),
        ('"it\'s"', r'''"\"it's\""'''),
        ("a \\", r'"a \\"'),
        ("-p", '"-p"'),
        ("", '""'),
        ("a\u2028b", r'"a\u2028b"'),
        (r"a b\u2028", r'"a b\\u2028"'),
    ],
)
def test_quotes(text: str, written: str) -> None:
    """A value is put in quotes where it needs them, in the kind that it does not have; what ends a line by number."""
    assert quoted(text) == written


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question("Why?", ["local", ScriptedProvider()]), "a cell has no word for the object 'scripted': register it"),
        (Question("Why?", ["local:a,b"]), "'local:a,b' cannot stand in a cell: a name of a provider or a model has no"),
        (Question("Why?", ["local:"]), "'local:' names no model: write one behind the colon, or leave the colon out"),
        (Question("Why?", []), "'' is no list of providers: write their names with commas between"),
        (Question([{"type": "text", "text": "Why?"}]), "a cell can ask only text, and this question has parts of"),
    ],
)
def test_what_no_cell_can_say(question: Question, message: str) -> None:
    """A provider that is an object, a name that no list can hold and parts that are no text are told in one line."""
    with pytest.raises(ConfigError) as caught:
        cell_of(Asked(question))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_has_no_option_is_left_out() -> None:
    """The messages of a conversation and a form of the answer stand in no cell."""
    asked = Question(
        "Why?",
        deadlines=Deadlines(idle=9.0),
        history=[{"role": "user", "content": "Before?"}],
        response_format={"type": "json_object"},
    )
    assert cell_of(Asked(asked)) == "%%ask --idle 9\nWhy?"
