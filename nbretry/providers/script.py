"""Scripts for providers that answer or misbehave: the steps, and the text format of a script.

A script is a sequence of plays, one for each call; the last play repeats. A play is a sequence of steps. The text

    429 retry-after=2, hang, 'Hello' cut, ok

has four plays: the first call is refused, the second hangs, the third breaks off after one word, and all later calls
answer.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TypeAlias

from nbretry.errors import ConfigError
from nbretry.types import FinishReason, Metadata, Reasoning

__all__ = [
    "Cut",
    "Delay",
    "End",
    "Fault",
    "Hang",
    "Headers",
    "KeepAlive",
    "Play",
    "Refusal",
    "Reset",
    "Script",
    "Step",
    "WrongJSON",
    "in_one_piece",
    "parse_script",
    "plays_of",
]

_ANSWER = "All is well."


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait.

    Attributes:
        seconds: how long to wait, measured by the provider's clock.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refuse the request with an HTTP status; if the answer has begun, report the error inside it.

    Attributes:
        status_code: HTTP status, 400 to 599.
        retry_after: seconds after which the provider can be asked again.
        message: the error's message; empty for a default one.
        as_date: whether to send ``retry_after`` as an HTTP date instead of seconds.
    """

    status_code: int
    retry_after: float | None = None
    message: str = ""
    as_date: bool = False

    @property
    def text(self) -> str:
        """The error's message, or a default one if the script has none."""
        return self.message or f"the script says {self.status_code}"


@dataclass(frozen=True, slots=True)
class Headers:
    """Begin to answer without content: send the response's headers."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Break off, as when a connection is lost; the headers have been sent by then."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection, as when a server's process dies. As the first step, this happens before the headers."""


@dataclass(frozen=True, slots=True)
class End:
    """End the stream normally, without saying that the answer is complete."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Send nothing more until the caller gives up."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Send nothing more except keep-alives until the caller gives up."""


@dataclass(frozen=True, slots=True)
class WrongJSON:
    """Send something that is not JSON, as a broken proxy does."""


Fault: TypeAlias = Refusal | Cut | Reset | End | WrongJSON
"""A step that ends its play with an error."""

Step: TypeAlias = str | Delay | Headers | Hang | KeepAlive | Fault | Metadata | BaseException
"""One step of a play: text is a chunk of the answer, metadata is passed on, an exception is raised."""

Play: TypeAlias = str | Sequence[Step]
"""What one call does: steps, or their text in the grammar of `parse_script`. Without steps the answer is empty."""

Script: TypeAlias = str | Sequence[Play]
"""Plays, or all of them as one text."""


def plays_of(script: Script) -> list[list[Step]]:
    """Return the plays of a script in either form.

    Raises:
        ConfigError: the script's text has an unknown step, or there is no play.
    """
    plays: list[list[Step]] = []
    for item in [script] if isinstance(script, str) else script:
        plays += parse_script(item) if isinstance(item, str) else [list(item)]
    if not plays:
        raise ConfigError("the script has no play; the shortest one is 'ok'")
    return plays


def in_one_piece(play: Sequence[Step]) -> list[Step]:
    """Return a play as it runs without streaming: its text comes all at once, or not at all if the play fails."""
    if any(isinstance(step, Fault | Hang | KeepAlive | BaseException) for step in play):
        return [step for step in play if not isinstance(step, str | Metadata)]
    text = "".join(step for step in play if isinstance(step, str))
    others: list[Step] = [step for step in play if not isinstance(step, str)]
    before: list[Step] = [step for step in others if isinstance(step, Delay | Headers | Reasoning)]
    return [*before, *([text] if text else []), *(step for step in others if step not in before)]


_WORDS = ("ok", "'text'", "429", "500", "retry-after=2", "message='…'", "delay=0.1", "cut", "hang", "empty", "badjson")
_MORE_WORDS = ("reasoning='…'", "finish=length", "headers", "reset", "keepalive", "end", "retry-after-date=2")

_SIMPLE: dict[str, Step] = {
    "badjson": WrongJSON(),
    "cut": Cut(),
    "end": End(),
    "hang": Hang(),
    "headers": Headers(),
    "keepalive": KeepAlive(),
    "reset": Reset(),
}

_TOKEN = re.compile(
    r"""
      (?P<comma>,)
    | (?:(?P<name>[a-z-]+)=)? (?P<quote>['"])(?P<text>(?:\\.|(?!(?P=quote)).)*)(?P=quote)
    | (?P<word>[^\s,]+)
    """,
    re.VERBOSE | re.DOTALL,
)


def parse_script(script: str) -> list[list[Step]]:
    r"""Parse a script that is written as text.

    A comma separates plays, a space separates the steps of a play.

    ==========================  ==================================================================================
    ``ok``                      a short answer
    ``'text'``                  a chunk of the answer; it may contain ``\'`` and ``\n``
    ``reasoning='…'``           a chunk of the model's reasoning
    ``finish=length``           why the model stopped, reported at the end
    ``delay=0.1``               a wait, in seconds
    ``500``                     an HTTP status from 400 to 599. You can add ``message='…'`` and ``retry-after=2``
                                (seconds), or ``retry-after-date=2`` to send it as an HTTP date.
                                After ``headers`` or text it is an error inside the answer
    ``empty``                   a complete answer without content
    ``headers``                 the response's headers, as in ``headers hang``: the answer begins and never arrives
    ``hang``                    nothing more is sent
    ``keepalive``               nothing but keep-alive comments is sent
    ``cut``                     the stream breaks off, after the headers at the earliest
    ``reset``                   the connection is reset; as the first step, before the headers
    ``end``                     the stream ends without saying that the answer is complete
    ``badjson``                 something that is not JSON
    ==========================  ==================================================================================

    Args:
        script: the text, such as ``"429 retry-after=2, 'Hello' cut, ok"``.

    Raises:
        ConfigError: a step is unknown, or a play has no step. The message is one line that names the unknown step and
            the nearest known one.
    """
    plays: list[list[Step]] = [[]]
    written = [False]
    for token in _TOKEN.finditer(script):
        if token["comma"]:
            plays.append([])
            written.append(False)
            continue
        written[-1] = True
        if token["quote"]:
            _add_text(token["name"], _unescaped(token["text"]), plays[-1], token[0])
        else:
            _add_word(token["word"], plays[-1])
    if not all(written):
        raise ConfigError(
            f"the script {script!r} has a play without a step; for an answer without content write 'empty'"
        )
    return plays


def _add_text(name: str | None, text: str, play: list[Step], written: str) -> None:
    if name is None:
        play.append(text)
    elif name == "reasoning":
        play.append(Reasoning(text))
    elif name == "message":
        play.append(replace(_refusal_before(play, written), message=text))
    else:
        _refuse(written)


def _add_word(word: str, play: list[Step]) -> None:
    name, _, value = word.lower().partition("=")
    match name, value:
        case "ok", "":
            play.append(_ANSWER)
        case "empty", "":
            pass
        case simple, "" if simple in _SIMPLE:
            play.append(_SIMPLE[simple])
        case "delay", _ if (seconds := _seconds(value)) is not None:
            play.append(Delay(seconds))
        case "retry-after" | "retry-after-date", _ if (seconds := _seconds(value)) is not None:
            refusal = _refusal_before(play, word)
            play.append(replace(refusal, retry_after=seconds, as_date=name.endswith("date")))
        case "finish", _ if value:
            play.append(FinishReason(value))
        case code, "" if code.isdecimal() and 400 <= int(code) <= 599:
            play.append(Refusal(int(code)))
        case _:
            _refuse(word)


def _refusal_before(play: list[Step], written: str) -> Refusal:
    """Remove the last step of the play, which is a status, and return it."""
    if not play or not isinstance(play[-1], Refusal):
        raise ConfigError(f"the script's step {written!r} belongs after a status, as in '429 {written}'")
    last = play.pop()
    assert isinstance(last, Refusal)
    return last


def _refuse(written: str) -> NoReturn:
    known = {word.partition("=")[0]: word for word in (*_WORDS, *_MORE_WORDS)}
    near = difflib.get_close_matches(written.lower().partition("=")[0], known, n=1, cutoff=0.5)
    hint = f"did you mean {known[near[0]]}?" if near else f"known are {', '.join(_WORDS)}"
    raise ConfigError(f"the script has an unknown step {written!r}; {hint}")


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "t": "\t"}.get(found[1], found[1]), text, flags=re.DOTALL)
