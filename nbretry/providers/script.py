"""Scripts of providers that answer and misbehave: the steps, and the text that they are written in.

A script is a sequence of plays, one for each call, of which the last one repeats; a play is a sequence of steps. Text:

    429 retry-after=2, hang, 'Hello' cut, ok

has four plays: the first call is refused, the second hangs, the third breaks off after a word, all others answer.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TypeAlias

from nbretry._errors import ConfigError
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
        seconds: how long, by the provider's clock.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refuse the request with an HTTP status; where the answer has begun, tell of the error inside it.

    Attributes:
        status_code: 400 to 599.
        retry_after: seconds after which the provider can be asked again.
        message: what it says.
        as_date: whether the wire tells ``retry_after`` as the moment (an HTTP date) and not as seconds.
    """

    status_code: int
    retry_after: float | None = None
    message: str = ""
    as_date: bool = False

    @property
    def text(self) -> str:
        """What it says, with words for where the script has none."""
        return self.message or f"the script says {self.status_code}"


@dataclass(frozen=True, slots=True)
class Headers:
    """Begin to answer and say nothing yet: the response's headers come."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Break off, as when a connection is lost; the headers have come by then."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection, as when a server's process dies; before any other step not even the headers come."""


@dataclass(frozen=True, slots=True)
class End:
    """End as if all had been said, without saying that it has."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing more until whoever asked gives up."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Say nothing more, but keep the connection alive, until whoever asked gives up."""


@dataclass(frozen=True, slots=True)
class WrongJSON:
    """Send what is no JSON, as a broken proxy does."""


Fault: TypeAlias = Refusal | Cut | Reset | End | WrongJSON
"""A step that ends its play with an error."""

Step: TypeAlias = str | Delay | Headers | Hang | KeepAlive | Fault | Metadata | BaseException
"""One thing that a play does: a text is a chunk of the answer, metadata is told, an exception is raised."""

Play: TypeAlias = str | Sequence[Step]
"""What one call does: steps, or their text in the grammar of `parse_script`. No steps are an answer without content."""

Script: TypeAlias = str | Sequence[Play]
"""Plays, or all of them as one text."""


def plays_of(script: Script) -> list[list[Step]]:
    """The plays of a script in either form.

    Raises:
        ConfigError: the script's text has a step that is unknown, or there is no play.
    """
    plays: list[list[Step]] = []
    for item in [script] if isinstance(script, str) else script:
        plays += parse_script(item) if isinstance(item, str) else [list(item)]
    if not plays:
        raise ConfigError("the script has no play; the shortest one is 'ok'")
    return plays


def in_one_piece(play: Sequence[Step]) -> list[Step]:
    """A play as it is without a stream: its text comes at once, or not at all where it fails."""
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
    r"""The plays of a script that is written as text.

    A comma parts plays, a space parts the steps of a play.

    ==========================  ==================================================================================
    ``ok``                      a short answer
    ``'text'``                  a chunk of the answer; ``\'`` and ``\n`` may stand in it
    ``reasoning='…'``           a chunk of the model's reasoning
    ``finish=length``           why the model stopped, told at the end
    ``delay=0.1``               a wait, in seconds
    ``500``                     a status of 400 to 599; after it there may stand ``message='…'`` and ``retry-after=2``
                                (seconds), or ``retry-after-date=2`` where the wire is to tell it as an HTTP date.
                                After ``headers`` or text it is an error inside the answer
    ``empty``                   an answer that ends as it should and has no content
    ``headers``                 the response's headers, as in ``headers hang``: an answer that begins and never comes
    ``hang``                    nothing more comes
    ``keepalive``               nothing but keep-alive comments comes
    ``cut``                     the stream breaks off, after the headers at the earliest
    ``reset``                   the connection is reset, before the headers where nothing stands before it
    ``end``                     the stream ends without saying that the answer is complete
    ``badjson``                 something that is no JSON
    ==========================  ==================================================================================

    Args:
        script: as ``"429 retry-after=2, 'Hello' cut, ok"``.

    Raises:
        ConfigError: a step is unknown; one line that names it and the nearest one that is known.
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
    """The status that the last step gave, taken off the play."""
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
