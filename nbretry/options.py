"""The options of a question, one table for ``%%ask``, ``%ask`` and the command line."""

from __future__ import annotations

import argparse
import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

from nbretry.deadlines import Deadlines
from nbretry.errors import ConfigError, nearest
from nbretry.policy import OnBreak
from nbretry.providers.hedging import check_hedge_after
from nbretry.session import Question

__all__ = ["OPTIONS", "Asked", "Option", "add_options", "magic_help", "parse_magic_line", "question_of"]


def _providers(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of providers: write their names with commas between")
    return names


def _compared(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if len(names) < 2 or not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no comparison: write two names or more with commas between")
    return names


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no temperature: write a number from 0 to 2")
    return value


def _max_tokens(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tokens: write a whole number from 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no time limit: write a number of seconds above 0")
    return value


def _hedge_after(text: str) -> float | str:
    try:
        value: float | str = float(text)
    except ValueError:
        value = text
    try:
        check_hedge_after(value)
    except ConfigError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write seconds, or p90 for the time within which 90 % have begun to answer"
        ) from None
    return value


def _on_break(text: str) -> str:
    if text not in get_args(OnBreak):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(get_args(OnBreak))}")
    return text


def _retries(text: str) -> int:
    if not text.isdecimal() or int(text) > 20:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of retries: write a whole number from 0 to 20")
    return int(text)


def _dollars(text: str) -> float:
    try:
        value = float(text.removeprefix("$"))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of money: write US dollars, as 0.05")
    return value


def _variable(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} cannot name a variable: write letters, digits and '_'")
    return text


@dataclass(frozen=True, slots=True)
class Option:
    """One option, which takes one value."""

    flags: tuple[str, ...]
    dest: str
    convert: Callable[[str], Any]
    metavar: str
    help: str


OPTIONS = (
    Option(("-p", "--providers"), "providers", _providers, "A,B,C", "whom to ask, in this order"),
    Option(("-m", "--model"), "model", str, "MODEL", "which model, in place of each provider's own"),
    Option(("-s", "--system"), "system", str, "TEXT", "a system prompt, in quotes where it has spaces"),
    Option(("-t", "--temperature"), "temperature", _temperature, "T", "0 (always the same) to 2 (very varied)"),
    Option(("--max-tokens",), "max_tokens", _max_tokens, "N", "the longest answer, in tokens"),
    Option(("--on-break",), "on_break", _on_break, "HOW", "a stream that dies midway: restart, continue or raise"),
    Option(("--hedge-after",), "hedge_after", _hedge_after, "S", "seconds of silence until another is asked beside"),
    Option(("--first-content",), "first_content", _seconds, "S", "seconds that a provider has for its first content"),
    Option(("--idle",), "idle", _seconds, "S", "seconds from one content to the next"),
    Option(("--total",), "total", _seconds, "S", "seconds for a provider's whole answer"),
    Option(("--retries",), "retries", _retries, "N", "ask one provider again N times before the next"),
    Option(("--max-cost",), "max_cost", _dollars, "USD", "send nothing that would cost more than is left of this"),
    Option(("--compare",), "compare", _compared, "A,B,C", "ask these at once; the answers stand side by side"),
)
INTO = Option(("-o", "--into"), "into", _variable, "NAME", "put the answer into this variable as well")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with where its answer goes.

    Attributes:
        question: what is asked.
        into: a variable for the answer, or for the list of answers.
        compare: whom to ask at once; None to ask one after the other until one answers.
    """

    question: Question
    into: str | None = None
    compare: list[str] | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(re.sub(r"^argument ([^ :]+): ", r"\1: ", message))


def add_options(parser: argparse.ArgumentParser, options: tuple[Option, ...] = OPTIONS) -> None:
    """Let a parser take these options."""
    for option in options:
        parser.add_argument(
            *option.flags, dest=option.dest, type=option.convert, metavar=option.metavar, help=option.help
        )


def question_of(prompt: str, parsed: argparse.Namespace) -> Question:
    """The question of a prompt and parsed options.

    Raises:
        ConfigError: two options do not go together.
    """
    if parsed.compare and parsed.providers:
        raise ConfigError("--compare and -p both say whom to ask: write one of them")
    return Question(
        prompt,
        providers=parsed.providers,
        model=parsed.model or "",
        system=parsed.system,
        temperature=parsed.temperature,
        max_tokens=parsed.max_tokens,
        on_break=parsed.on_break,
        hedge_after=parsed.hedge_after,
        deadlines=Deadlines(first_content=parsed.first_content, idle=parsed.idle, total=parsed.total),
        retries=parsed.retries,
        max_cost=parsed.max_cost,
    )


def magic_help() -> str:
    """What ``%%ask?`` says."""
    rows = "\n".join(
        f"  {', '.join(option.flags) + ' ' + option.metavar:<24} {option.help}" for option in (*OPTIONS, INTO)
    )
    return f"""Ask a language model; where one provider fails, the next is asked.

%%ask [options]          in the first line of a cell, the question in the lines below
%ask [options] question  in one line; x = %ask … keeps the answer

Options:
{rows}

The answer streams into the cell's output. The line under it says who answered, and opens to every attempt with its
exception. The last answer is in _answer: .text, .provider, .model, .attempts, .exceptions, .usage. If every provider
fails, the cell fails. Interrupt the kernel to stop; the partial answer is in _answer.

With --compare each provider is asked for itself, and the answers stream side by side. All of them are in _answers, in
the order of the names, and so in the variable after -o; _answer is the first of them that is whole. The cell fails only
if all fail.

Without -p those are asked who were registered with nbretry.register(name, provider), then the services whose key is in
the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, …), then the small model on this machine (local).

Examples:
  %%ask -p openai,anthropic,local -t 0
  Why is the sky blue?

  %%ask --compare openai,anthropic -o answers
  Why is the sky blue?

  answer = %ask -p local Name three prime numbers.
"""


def parse_magic_line(line: str, cell: str | None = None) -> Asked:
    """The question of ``%ask line`` or of a ``%%ask line`` with its cell.

    Options stand first; what follows them is the question as typed, quotes and all. After ``--`` nothing is an option.

    Raises:
        ConfigError: an option is unknown or its value is wrong, or words stand on the ``%%ask`` line of a cell.
    """
    arguments, rest = _split(line)
    parser = _Parser(prog="%%ask", add_help=False, allow_abbrev=False)
    add_options(parser, (*OPTIONS, INTO))
    parsed = parser.parse_args(arguments)
    if cell is not None and cell.strip():
        if rest:
            raise ConfigError(
                f"{_shorten(rest)!r} is no option: after %%ask stand options only, and the question in the lines below"
            )
        rest = cell
    return Asked(question_of(rest, parsed), parsed.into, parsed.compare)


_WORD = re.compile(r"""\s*((?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'])+|\S+)""")
_FLAG = re.compile(r"--?[A-Za-z]")


def _split(line: str) -> tuple[list[str], str]:
    known = {flag: option for option in (*OPTIONS, INTO) for flag in option.flags}
    arguments: list[str] = []
    position = 0
    while (word := _WORD.match(line, position)) is not None:
        text = word[1]
        if text == "--":
            return arguments, line[word.end() :].strip()
        if not _FLAG.match(text):
            break
        flag, equals, value = text.partition("=")
        if flag not in known:
            raise ConfigError(f"there is no option {flag!r}{nearest(flag, list(known))}")
        position = word.end()
        if not equals:
            follows = _WORD.match(line, position)
            if follows is None:
                raise ConfigError(f"{flag} needs a value")
            value = follows[1]
            position = follows.end()
        arguments.append(f"{known[flag].flags[-1]}={_unquote(flag, value)}")
    return arguments, line[position:].strip()


def _unquote(flag: str, text: str) -> str:
    if not text or text[0] not in "\"'":
        return text
    if len(text) < 2 or text[-1] != text[0]:
        raise ConfigError(f"{flag}: the quote in {_shorten(text)} is not closed")
    return re.sub(r"\\([\"'\\])", r"\1", text[1:-1])


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
