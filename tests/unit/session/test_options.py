"""The line of ``%%ask``: what it takes, and what it says about each mistake."""

from __future__ import annotations

import argparse
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry.errors import ConfigError
from nbretry.session.options import MAGIC_OPTIONS, Asked, add_options, magic_help, parse_magic_line, question_of
from nbretry.session.question import Question

ALL_SET = Question("Why?", ["a", "b"], "big", "Be brief.", 0.5, 100)


def test_no_options() -> None:
    """A question alone is asked as it is, with nothing set."""
    assert parse_magic_line("", "Why?\n") == Asked(Question("Why?\n"))
    assert parse_magic_line("Why is it so?") == Asked(Question("Why is it so?"))


@pytest.mark.parametrize(
    "line",
    [
        "-p a,b -m big -s 'Be brief.' -t 0.5 --max-tokens 100 -o name",
        '--providers a,b --model big --system "Be brief." --temperature 0.5 --max-tokens 100 --into name',
        "--providers=a,b --model=big --system='Be brief.' --temperature=0.5 --max-tokens=100 --into=name",
        "-p=a,b -m=big -s='Be brief.' -t=.5 --max-tokens=100 -o=name",
        "  -o   name -t 5e-1 --max-tokens 100\t-s 'Be brief.'  -m 'big' -p 'a, b'  ",
        "-p x -p a,b -m big -s 'Be brief.' -t 0.5 --max-tokens 100 -o name",
    ],
)
def test_forms_of_options(line: str) -> None:
    """Options are short or long, with a space or ``=``, in any order, quoted where needed; of two the last counts."""
    assert parse_magic_line(line, "Why?") == Asked(ALL_SET, "name")
    assert parse_magic_line(f"{line} Why?") == Asked(ALL_SET, "name")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("'Say \"hi\"'", 'Say "hi"'),
        ('"It\'s"', "It's"),
        (r'"a \"quoted\" word"', 'a "quoted" word'),
        (r"'C:\new\table'", r"C:\new\table"),
        (r"'back\\slash'", r"back\slash"),
        ("''", ""),
        ("'=x'", "=x"),
        ("'-p'", "-p"),
        ("'--'", "--"),
        (r"'a\u2028b\u000ac'", "a\u2028b\nc"),
        (r"'\u0041 \\u2028'", r"\u0041 \u2028"),
        (r"\u2028", r"\u2028"),
        ("{x}$y", "{x}$y"),
        ("plain", "plain"),
    ],
)
def test_quoted_values(written: str, meant: str) -> None:
    """A value in quotes means what stands between them; a backslash is one, but before a quote or another."""
    for line in (f"-s {written}", f"-s={written}", f"--system {written}", f"--system={written}"):
        assert parse_magic_line(line, "Why?").question.system == meant


def test_a_system_prompt_of_several_lines() -> None:
    """Each `-s` is a line of the system prompt; of other options the last counts."""
    asked = parse_magic_line("-s 'Be brief.' -m a -s '' --system=Really. -m b", "Why?")
    assert (asked.question.system, asked.question.model) == ("Be brief.\n\nReally.", "b")


def test_models_behind_the_names() -> None:
    """A provider may be named with its model, before the first colon, wherever providers are named."""
    named = ["ollama:qwen2:7b", "groq:openai/gpt-oss-120b", "groq"]
    assert parse_magic_line(f"-p {','.join(named)}", "Why?").question.providers == named
    assert parse_magic_line(f"-p '{', '.join(named)}' Why?").question.providers == named
    assert parse_magic_line(f"--compare {','.join(named)}", "Why?").compare == named


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ("Why -p good?", "Why -p good?"),
        ('-p a Why\'s "this"  so -t 9?', 'Why\'s "this"  so -t 9?'),
        ("-5 + 3 = ?", "-5 + 3 = ?"),
        ("-.5 is what?", "-.5 is what?"),
        ("- what is this", "- what is this"),
        ("-p a -- -m is what?", "-m is what?"),
        ("-- --", "--"),
        ("-- ", ""),
        ('"Why?" she asked \'him', '"Why?" she asked \'him'),
        ("x=1; y?", "x=1; y?"),
        ("\\alpha {x} $y", "\\alpha {x} $y"),
        ("--- what?", "--- what?"),
        ("–t is a dash", "–t is a dash"),
        ("-p a\tWhy?  ", "Why?"),
    ],
)
def test_question_on_the_line_stays_as_typed(line: str, prompt: str) -> None:
    """What follows the options is the question, quotes and dashes and all; after ``--`` nothing is an option."""
    assert parse_magic_line(line).question.prompt == prompt


@given(st.text(min_size=1).map(str.strip).filter(lambda text: text and text[0] != "-"))
def test_any_question_comes_through(text: str) -> None:
    """Any text that begins with no dash comes through whole, with options before it or none, and any text after --."""
    assert parse_magic_line(text).question.prompt == text
    assert parse_magic_line(f"-p a -t 1 {text}").question.prompt == text
    assert parse_magic_line(f"-t 1 -- -{text}").question.prompt == f"-{text}"


@given(st.text(max_size=200))
def test_any_cell_comes_through(text: str) -> None:
    """The cell below the line is the question as it stands."""
    assert parse_magic_line("-p a", f"Q{text}").question.prompt == f"Q{text}"


@given(st.text(alphabet="-ptsmo=\"' \\,ab1.", max_size=30))
def test_any_line_is_taken_or_refused_in_one_line(line: str) -> None:
    """However odd a line is, it is either understood or refused in one line."""
    said = "understood"
    try:
        parse_magic_line(line, "Why?")
    except ConfigError as error:
        said = str(error)
    assert said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("--raw", Asked(Question("Why?"), raw=True)),
        ("--dry-run --background", Asked(Question("Why?"), dry_run=True, background=True)),
        ("--context 3", Asked(Question("Why?"), context=3)),
        ("--context -", Asked(Question("Why?"), context=0)),
        ("-f code", Asked(Question("Why?"), format="code")),
        ("--schema Person", Asked(Question("Why?"), format="json", schema="Person")),
        ("-c", Asked(Question("Why?"), conversation="main")),
        ("-c -o x", Asked(Question("Why?"), "x", conversation="main")),
        ("-c lab --new", Asked(Question("Why?"), conversation="lab", new=True)),
        ("--conversation=lab", Asked(Question("Why?"), conversation="lab")),
        ("--new", Asked(Question("Why?"), conversation="main", new=True)),
    ],
)
def test_options_of_the_notebook(line: str, asked: Asked) -> None:
    """What only a notebook has: flags without a value, and a conversation whose name may be left out."""
    assert parse_magic_line(line, "Why?") == asked


def test_a_conversation_on_one_line() -> None:
    """On one line the word after ``-c`` is the question's; its name follows an equals sign."""
    assert parse_magic_line("-c Why is it so?") == Asked(Question("Why is it so?"), conversation="main")
    assert parse_magic_line("-c=lab Why is it so?") == Asked(Question("Why is it so?"), conversation="lab")


def test_empty_cell_leaves_the_question_on_the_line() -> None:
    """Where the cell is empty, the rest of the ``%%ask`` line is the question."""
    assert parse_magic_line("-p a Why?", " \n").question.prompt == "Why?"


MISTAKES = {
    "--provider a": "there is no option '--provider'; did you mean '--providers'?",
    "--temprature 1": "there is no option '--temprature'; did you mean '--temperature'?",
    "--maxtokens 5": "there is no option '--maxtokens'; did you mean '--max-tokens'?",
    "-pgood": "there is no option '-pgood'; ",
    "-x 5": "there is no option '-x'; ",
    "--zzzz": "there is no option '--zzzz'; known are -p, --providers, -m, --model, ",
    "-p": "-p needs a value",
    "-t 1 --model": "--model needs a value",
    "-t hot": "-t/--temperature: 'hot' is no temperature: write a number from 0 to 2",
    "-t 2.1": "-t/--temperature: '2.1' is no temperature: write a number from 0 to 2",
    "-t -1": "-t/--temperature: '-1' is no temperature: write a number from 0 to 2",
    "-t nan": "-t/--temperature: 'nan' is no temperature: write a number from 0 to 2",
    "--max-tokens 0": "--max-tokens: '0' is no number of tokens: write a whole number from 1",
    "--max-tokens 1.5": "--max-tokens: '1.5' is no number of tokens: write a whole number from 1",
    "--max-tokens=-4": "--max-tokens: '-4' is no number of tokens: write a whole number from 1",
    "-o 2x": "-o/--into: '2x' cannot name a variable: write letters, digits and '_'",
    "-o class": "-o/--into: 'class' cannot name a variable: write letters, digits and '_'",
    "-o a.b": "-o/--into: 'a.b' cannot name a variable: write letters, digits and '_'",
    "-p a,,b": "-p/--providers: 'a,,b' is no list of providers: write their names with commas between",
    "-p a, b": "-p/--providers: 'a,' is no list of providers: write their names with commas between, and no spaces",
    "-p ''": "-p/--providers: '' is no list of providers: write their names with commas between",
    "-p a,b:": "-p/--providers: 'b:' names no model: write one behind the colon, or leave the colon out",
    "-p :b,a": "-p/--providers: ':b' names no provider: write one before the colon",
    "--compare a,b:": "--compare: 'b:' names no model: write one behind the colon, or leave the colon out",
    "--max-tokens " + "9" * 5000: f"--max-tokens: '{'9' * 39}…' is too long",
    "-s 'Be brief": "-s: the quote in 'Be is not closed",
    "--raw=yes": "--raw takes no value, and not 'yes'",
    "--context": "--context needs a value",
    "--context few": "--context: 'few' is no number of cells: write a whole number, or - for none",
    "--context -1": "--context: '-1' is no number of cells: write a whole number, or - for none",
    "-f yaml": "-f/--format: 'yaml' is none of markdown, text, code, json, html",
    "-c a/b": "-c/--conversation: 'a/b' cannot name a conversation: use letters, digits, '_', '-' and '.'",
    "--schema a.b": "--schema: 'a.b' cannot name a variable: write letters, digits and '_'",
    "--schema S -f text": "--schema is for -f json, and not for -f text",
    "--compare a,b -c": "--compare and -c do not go together: a comparison has several answers",
    "--compare a,b --new": "--compare and --new do not go together: a comparison has several answers",
    "--compare a,b -f json": "--compare and -f do not go together: a comparison has several answers",
    "--compare a,b --background": "--compare and --background do not go together: compare in a cell that waits",
    "--backgruond": "there is no option '--backgruond'; did you mean '--background'?",
    "good": "'good' is no option: after %%ask stand options only, and the question in the lines below",
    'good Why "so"?': "'good Why \"so\"?' is no option: ",
    "-p a " + "word " * 20: "'word word word word word word word word…' is no option: ",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistake_is_told_in_one_line(line: str) -> None:
    """Each mistake is told in one line: what is wrong, and what would be right."""
    with pytest.raises(ConfigError) as caught:
        parse_magic_line(line, "Why?")
    assert str(caught.value).startswith(MISTAKES[line])
    assert "\n" not in str(caught.value)


def test_help_names_every_option() -> None:
    """What ``%%ask?`` shows has each option with its flags, its value and what it does."""
    text = magic_help()
    for option in MAGIC_OPTIONS:
        line = re.escape(option.usage) + r"\s+" + re.escape(option.help)
        assert re.search(line, text)
    assert max(map(len, text.splitlines())) <= 120


def test_command_line_has_the_same_options() -> None:
    """The options of the magic are those of the command line, but for the variable."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_options(parser)
    line = ["-p", "a,b", "-m", "big", "-s", "Be brief.", "-t", "0.5", "--max-tokens", "100"]
    assert question_of("Why?", parser.parse_args(line)) == ALL_SET
    assert question_of("Why?", parser.parse_args(["-s", "a", "--system", "b"])).system == "a\nb"
    assert question_of("Why?", parser.parse_args(["-p", "a:b:c,d"])).providers == ["a:b:c", "d"]
    assert question_of("Why?", parser.parse_args([])) == Question("Why?")


def test_compare_takes_names() -> None:
    """`--compare` takes names as -p does, a name twice included."""
    expected = Asked(Question("Why?", temperature=0.0), "kept", ["a", "b", "a"])
    assert parse_magic_line("--compare a,b,a -t 0 -o kept", "Why?") == expected
    assert parse_magic_line("--compare='a, b, a' -t=0 -o kept Why?") == expected
    assert parse_magic_line("-p a", "Why?").compare is None
    assert "--compare A,B,C" in magic_help()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--compare a", "--compare: 'a' is no comparison: write two names or more with commas between"),
        ("--compare a,,b", "--compare: 'a,,b' is no comparison: write two names or more with commas between"),
        ("--compare a,b -p c", "--compare and -p both say whom to ask: write one of them"),
        ("-p c --compare a,b", "--compare and -p both say whom to ask: write one of them"),
        ("--compare", "--compare needs a value"),
    ],
)
def test_mistakes_in_compare(line: str, message: str) -> None:
    """Each mistake is told in one line."""
    with pytest.raises(ConfigError) as caught:
        parse_magic_line(line, "Why?")
    assert str(caught.value) == message
