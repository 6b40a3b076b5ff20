"""The options of a question: one table for ``%%ask``, ``%ask`` and the command line, and the parser of the magics."""

from __future__ import annotations

import argparse
import keyword
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from nbretry._utils.names import is_name, name_refused
from nbretry._utils.text import cut_end, nearest
from nbretry.config.converters import (
    to_context,
    to_dollars,
    to_format,
    to_hedge_after,
    to_max_tokens,
    to_on_break,
    to_providers,
    to_retries,
    to_seconds,
    to_temperature,
)
from nbretry.errors import ConfigError
from nbretry.retry.deadlines import Deadlines
from nbretry.session.question import Question
from nbretry.types import Format

__all__ = [
    "DEFAULT_CONVERSATION",
    "MAGIC_FLAGS",
    "MAGIC_OPTIONS",
    "OPTIONS",
    "Asked",
    "Option",
    "add_arguments",
    "add_options",
    "magic_help",
    "names_in",
    "parse_magic_line",
    "question_of",
    "quoted",
]

DEFAULT_CONVERSATION = "main"

_SHOWN = 40
"""Maximum characters of your input that an error message quotes."""


def _compared(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if len(names) < 2 or not all(names):
        hint = ", and no spaces" if text.endswith(",") else ""
        raise argparse.ArgumentTypeError(
            f"{text!r} is no comparison: write two names or more with commas between{hint}"
        )
    return to_providers(text)


def _variable(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} cannot name a variable: write letters, digits and '_'")
    return text


def _conversation(text: str) -> str:
    if not is_name(text):
        raise argparse.ArgumentTypeError(name_refused(text, "a conversation"))
    return text


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a question.

    Attributes:
        flags: the short form, if any, and the long one.
        dest: name of the value.
        convert: converts the text to the value; None for an option without a value, which is True if given.
        metavar: placeholder for the value in the help.
        help: a few words for the help.
        default: the value if the option is given without one; None if the option requires a value.
        repeats: whether you may give the option several times, each with one line of the value; otherwise the last one
            counts.
    """

    flags: tuple[str, ...]
    dest: str
    convert: Callable[[str], Any] | None
    metavar: str
    help: str
    default: str | None = None
    repeats: bool = False

    @property
    def usage(self) -> str:
        """The flags and the placeholder of the value."""
        value = f"[{self.metavar}]" if self.default is not None else self.metavar
        return f"{', '.join(self.flags)} {value}".strip()


OPTIONS = (
    Option(
        ("-p", "--providers"),
        "providers",
        to_providers,
        "A,B,C",
        "whom to ask, in this order; A:MODEL asks A for this model",
    ),
    Option(("-m", "--model"), "model", str, "MODEL", "which model, in place of each provider's own"),
    Option(
        ("-s", "--system"),
        "system",
        str,
        "TEXT",
        "a system prompt, in quotes where it has spaces; again for its next line",
        repeats=True,
    ),
    Option(("-t", "--temperature"), "temperature", to_temperature, "T", "0 (always the same) to 2 (very varied)"),
    Option(("--max-tokens",), "max_tokens", to_max_tokens, "N", "the longest answer, in tokens"),
    Option(("--on-break",), "on_break", to_on_break, "HOW", "a stream that dies midway: restart, continue or raise"),
    Option(("--hedge-after",), "hedge_after", to_hedge_after, "S", "seconds of silence until another is asked beside"),
    Option(("--connect",), "connect", to_seconds, "S", "seconds that a provider has for the connection"),
    Option(("--first-content",), "first_content", to_seconds, "S", "seconds that a provider has for its first content"),
    Option(("--idle",), "idle", to_seconds, "S", "seconds from one content to the next"),
    Option(("--total",), "total", to_seconds, "S", "seconds for a provider's whole answer"),
    Option(("--retries",), "retries", to_retries, "N", "ask one provider again N times before the next"),
    Option(("--max-cost",), "max_cost", to_dollars, "USD", "send nothing that would cost more than is left of this"),
    Option(("--compare",), "compare", _compared, "A,B,C", "ask these at once; the answers stand side by side"),
)
MAGIC_OPTIONS = (
    *OPTIONS,
    Option(("-o", "--into"), "into", _variable, "NAME", "put the answer into this variable as well"),
    Option(("-f", "--format"), "format", to_format, "FORM", "markdown, text, code (into the next cell), json or html"),
    Option(("--schema",), "schema", _variable, "NAME", "of -f json: a pydantic model, a dataclass or a JSON schema"),
    Option(
        ("-c", "--conversation"),
        "conversation",
        _conversation,
        "NAME",
        "go on with a conversation",
        DEFAULT_CONVERSATION,
    ),
    Option(("--new",), "new", None, "", "start the conversation afresh"),
    Option(("--context",), "context", to_context, "N", "send the N cells above as well, - for none"),
    Option(("--raw",), "raw", None, "", "send the prompt as typed: {{ name }} is no variable"),
    Option(("--dry-run",), "dry_run", None, "", "show what would be sent to whom, and send nothing"),
    Option(("--background",), "background", None, "", "return at once; the answer goes on streaming into this cell"),
)
"""The options of the magics: `OPTIONS`, and those that only a notebook has."""

MAGIC_FLAGS = {flag: option for option in MAGIC_OPTIONS for flag in option.flags}
"""The options of the magics by each of their flags."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what to do with its answer.

    Attributes:
        question: the question to ask.
        into: name of a variable for the answer, or for the list of answers of a comparison.
        compare: providers to ask at once; None to ask one after the other until one answers.
        format: format of the answer; None for the session's setting, by default ``markdown``.
        schema: name of the variable that holds the schema of the JSON.
        conversation: name of the conversation to continue; None for a question outside any conversation.
        new: whether to start that conversation afresh.
        context: how many cells above to send with the question; None for the session's setting, by default 0.
        raw: whether to send ``{{ name }}`` as typed.
        dry_run: whether to show what would be sent, instead of sending it.
        background: whether the cell returns at once while the answer keeps streaming.
    """

    question: Question
    into: str | None = None
    compare: list[str] | None = None
    format: Format | None = None
    schema: str | None = None
    conversation: str | None = None
    new: bool = False
    context: int | None = None
    raw: bool = False
    dry_run: bool = False
    background: bool = False


def add_options(parser: argparse.ArgumentParser, options: tuple[Option, ...] = OPTIONS) -> None:
    """Add these options to a parser."""
    for option in options:
        if option.convert is None:
            parser.add_argument(*option.flags, dest=option.dest, action="store_true", help=option.help)
        else:
            parser.add_argument(
                *option.flags,
                dest=option.dest,
                action="append" if option.repeats else "store",
                type=option.convert,
                metavar=option.metavar,
                help=option.help,
            )


def question_of(prompt: str, parsed: argparse.Namespace) -> Question:
    """Return the question with this prompt and these parsed options.

    Raises:
        ConfigError: two options cannot be combined.
    """
    if parsed.compare and parsed.providers:
        raise ConfigError("--compare and -p both say whom to ask: write one of them")
    return Question(
        prompt,
        providers=parsed.providers,
        model=parsed.model or "",
        system=None if parsed.system is None else "\n".join(parsed.system),
        temperature=parsed.temperature,
        max_tokens=parsed.max_tokens,
        on_break=parsed.on_break,
        hedge_after=parsed.hedge_after,
        deadlines=Deadlines(**{limit.name: getattr(parsed, limit.name) for limit in fields(Deadlines)}),
        retries=parsed.retries,
        max_cost=parsed.max_cost,
    )


def magic_help() -> str:
    """Return the help that ``%%ask?`` shows."""
    rows = "\n".join(f"  {option.usage:<25} {option.help}" for option in MAGIC_OPTIONS)
    text = """Ask a language model; where one provider fails, the next is asked.

%%ask [options]          in the first line of a cell, the question in the lines below
%ask [options] question  in one line; x = %ask … keeps the answer

Options:
$ROWS

The answer streams into the cell's output. The line under it says who answered, and opens to every attempt with its
exception. The last answer is in _answer, the one before it in _answers[-2]: .text, .code, .json(), .provider, .model,
.attempts, .exceptions, .usage, .cost, .messages. If every provider fails, the cell fails. Interrupt the kernel to stop;
the partial answer is in _answer.

With -f json or --schema the answer is parsed and checked, and asked for again where it does not fit, --retries times.
-c goes on with a conversation, whoever answered before. With --background the variable after -o, and the last of
_background, is what can be awaited or stopped.

{{ name }} or {{ df.head() }} in the question stands for what the notebook has there; every other brace is a brace.

With --compare each provider is asked for itself, and the answers stream side by side. All of them are in _comparison,
in the order of the names, and so in the variable after -o; _answer is the first of them that is whole. The cell fails
only if all fail.

Without -p those are asked who were registered with nbretry.register(name, provider), then the services whose key is in
the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, …), then the small model on this machine (local).

Examples:
  %%ask -p openai,anthropic,local -t 0
  Why is the sky blue?

  %%ask --compare openai,anthropic -o answers
  Why is the sky blue?

  answer = %ask -p local Name three prime numbers.
"""
    return text.replace("$ROWS", rows)


def parse_magic_line(line: str, cell: str | None = None) -> Asked:
    """Parse a ``%ask`` line, or a ``%%ask`` line with its cell.

    Options come first. What follows them is the question as typed, including quotes. After ``--`` nothing is parsed as
    an option.

    Raises:
        ConfigError: an option is unknown, its value is wrong, two options cannot be combined, or the ``%%ask`` line of
            a cell has words that are not options.
    """
    given, rest = _split(line, in_cell=cell is not None)
    parsed = _converted(given)
    if cell is not None and cell.strip():
        if rest:
            shown = cut_end(rest, _SHOWN)
            raise ConfigError(
                f"{shown!r} is no option: after %%ask stand options only, and the question in the lines below"
            )
        rest = cell
    _check_together(parsed)
    return Asked(
        question_of(rest, parsed),
        parsed.into,
        parsed.compare,
        "json" if parsed.schema else parsed.format,
        parsed.schema,
        DEFAULT_CONVERSATION if parsed.new and not parsed.conversation else parsed.conversation,
        parsed.new,
        parsed.context,
        parsed.raw,
        parsed.dry_run,
        parsed.background,
    )


def _converted(given: Sequence[tuple[Option, str]]) -> argparse.Namespace:
    """Return the values of the options by name, as a parser with `add_options` would."""
    values: dict[str, Any] = {option.dest: False if option.convert is None else None for option in MAGIC_OPTIONS}
    for option, text in given:
        try:
            value = True if option.convert is None else option.convert(text)
        except argparse.ArgumentTypeError as error:
            raise ConfigError(f"{'/'.join(option.flags)}: {error}") from None
        except ValueError:  # int() refuses a number with thousands of digits
            raise ConfigError(f"{'/'.join(option.flags)}: {cut_end(text, _SHOWN)!r} is too long") from None
        values[option.dest] = [*(values[option.dest] or []), value] if option.repeats else value
    return argparse.Namespace(**values)


def _check_together(parsed: argparse.Namespace) -> None:
    if parsed.schema and parsed.format not in (None, "json"):
        raise ConfigError(f"--schema is for -f json, and not for -f {parsed.format}")
    if parsed.compare:
        for dest, flag in (("format", "-f"), ("schema", "--schema"), ("conversation", "-c"), ("new", "--new")):
            if getattr(parsed, dest):
                raise ConfigError(f"--compare and {flag} do not go together: a comparison has several answers")
        if parsed.background:
            raise ConfigError("--compare and --background do not go together: compare in a cell that waits")


_WORD = re.compile(r"""\s*((?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'])+|\S+)""")
_FLAG = re.compile(r"--?[A-Za-z]")
_ESCAPED = re.compile(r"""\\(?:(["'\\])|u(000[a-d]|001[c-e]|0085|202[89]))""")
_NEEDS_QUOTES = re.compile(r"""^-|[\s"']|^$""")
_LINE_END = re.compile("[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")


def _split(line: str, in_cell: bool) -> tuple[list[tuple[Option, str]], str]:
    """Split a line into its options, each with the text of its value, and the rest."""
    given: list[tuple[Option, str]] = []
    position = 0
    while (word := _WORD.match(line, position)) is not None:
        text = word[1]
        if text == "--":
            return given, line[word.end() :].strip()
        if not _FLAG.match(text):
            break
        flag, equals, value = text.partition("=")
        if flag not in MAGIC_FLAGS:
            raise ConfigError(f"there is no option {flag!r}{nearest(flag, list(MAGIC_FLAGS))}")
        option = MAGIC_FLAGS[flag]
        position = word.end()
        if option.convert is None:
            if equals:
                raise ConfigError(f"{flag} takes no value, and not {cut_end(value, _SHOWN)!r}")
            given.append((option, ""))
            continue
        if not equals:
            follows = _WORD.match(line, position)
            if option.default is not None and (not in_cell or follows is None or _FLAG.match(follows[1])):
                # In %ask the next word belongs to the question.
                value = option.default
            elif follows is None:
                raise ConfigError(f"{flag} needs a value")
            else:
                value = follows[1]
                position = follows.end()
        given.append((option, _unquote(flag, value)))
    return given, line[position:].strip()


def _unquote(flag: str, text: str) -> str:
    if not text or text[0] not in "\"'":
        return text
    if len(text) < 2 or text[-1] != text[0]:
        raise ConfigError(f"{flag}: the quote in {cut_end(text, _SHOWN)} is not closed")
    return _ESCAPED.sub(lambda found: found[1] or chr(int(found[2], 16)), text[1:-1])


def quoted(text: str) -> str:
    """Return a value as you write it on the ``%%ask`` line, in quotes if it needs them.

    Characters that would end the line are escaped by their number, such as ``\\u2028``. The parser reads these escapes
    only between quotes.
    """
    if not _NEEDS_QUOTES.search(text):
        return text
    quote = "'" if '"' in text and "'" not in text else '"'
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    in_one_line = _LINE_END.sub(lambda found: rf"\u{ord(found[0]):04x}", escaped)
    return f"{quote}{in_one_line}{quote}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the doctor's arguments to a parser; the command line and the magic take the same ones."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="whom to examine; by default all that are configured")
    parser.add_argument(
        "--no-ask", dest="ask", action="store_false", help="ask nobody: it may cost a fraction of a cent"
    )
    parser.add_argument("--timeout", type=to_seconds, default=None, metavar="S", help="seconds that each provider has")


def names_in(words: Sequence[str]) -> list[str] | None:
    """Return the names in these words, which spaces or commas separate; None if there are none."""
    return [name for word in words for name in word.split(",") if name] or None
