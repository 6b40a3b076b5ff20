"""The line after ``%%ask`` and ``%ask``."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry.errors import ConfigError
from nbretry.options import INTO, OPTIONS, magic_help, parse_magic_line


def test_every_option_reaches_the_question() -> None:
    """Each option of the table is read, in its short and its long form, with a space or an equals sign."""
    short = parse_magic_line("-p a,b -m big -s 'be brief' -t 0.5 --max-tokens 9 -o x", "Why?")
    long = parse_magic_line(
        "--providers=a,b --model=big --system='be brief' --temperature=0.5 --max-tokens=9 --into=x", "Why?"
    )
    assert short == long
    question = short.question
    assert (question.providers, question.model, question.system) == (["a", "b"], "big", "be brief")
    assert (question.temperature, question.max_tokens, short.into) == (0.5, 9, "x")
    assert question.options() == {"temperature": 0.5, "max_tokens": 9}


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ("Why's the sky blue?", "Why's the sky blue?"),
        ('-p a say "hello"', 'say "hello"'),
        ("-p a -- -m is an option", "-m is an option"),
        ("-5 + 3 = ?", "-5 + 3 = ?"),
        ("-p a {x} $y \\n %z", "{x} $y \\n %z"),
        ("what does -p mean", "what does -p mean"),
        ("", ""),
    ],
)
def test_the_question_of_a_line_stays_as_typed(line: str, prompt: str) -> None:
    """What follows the options is the question, with its quotes, braces and dashes."""
    assert parse_magic_line(line).question.prompt == prompt


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--provider a", "there is no option '--provider'; did you mean '--providers'?"),
        ("--max_tokens 3", "there is no option '--max_tokens'; did you mean '--max-tokens'?"),
        ("-p", "-p needs a value"),
        ("-p a,,b", "write their names with commas between"),
        ("-t warm", "'warm' is no temperature: write a number from 0 to 2"),
        ("-t 2.5", "'2.5' is no temperature: write a number from 0 to 2"),
        ("-t nan", "'nan' is no temperature"),
        ("--max-tokens 0", "'0' is no number of tokens: write a whole number from 1"),
        ("--max-tokens many", "'many' is no number of tokens"),
        ("-o class", "'class' cannot name a variable"),
        ("-o 1st", "'1st' cannot name a variable"),
    ],
)
def test_a_mistake_is_one_line(line: str, says: str) -> None:
    """A wrong option is refused in one line that says what would be right."""
    with pytest.raises(ConfigError) as caught:
        parse_magic_line(line, "Why?")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_words_beside_a_cell_are_refused() -> None:
    """Words on the line of a cell are neither dropped nor sent: they are refused."""
    with pytest.raises(ConfigError, match="options only, and the question in the lines below"):
        parse_magic_line("-p a why", "Why?")


def test_the_help_names_every_option() -> None:
    """What ``%%ask?`` says has each option with its meaning."""
    text = magic_help()
    for option in (*OPTIONS, INTO):
        assert option.flags[-1] in text
        assert option.help in text


@given(st.text())
def test_any_line_is_read_or_refused_in_one_line(line: str) -> None:
    """No line breaks the parser, whatever it holds."""
    with contextlib.suppress(ConfigError):
        parse_magic_line(line)
