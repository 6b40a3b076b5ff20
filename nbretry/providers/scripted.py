"""A provider that plays a script, faults included: for documents, for tests, and for trying a policy without a service.

A script is a sequence of plays, one for each call, of which the last one repeats; a play is a sequence of steps. Text:

    429 retry-after=2, hang, 'Hello' cut, ok

has four plays: the first call is refused, the second hangs, the third breaks off after a word, all others answer.
"""

from __future__ import annotations

import asyncio
import difflib
import re
import threading
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, TypeAlias

from nbretry.clock import SYSTEM_CLOCK, Clock
from nbretry.errors import APITimeoutError, ConfigError, StreamInterruptedError, status_error
from nbretry.providers.base import BaseProvider, resolve_model
from nbretry.types import FinishReason, Messages, Metadata, Reasoning, ResponseInfo, Usage

__all__ = ["Call", "Cut", "Delay", "Hang", "Play", "Refusal", "ScriptedProvider", "Step", "WrongJSON", "parse_script"]

_ANSWER = "All is well."
_LONGEST_HANG = 3600.0


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait.

    Attributes:
        seconds: how long, by the provider's clock.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refuse the request with an HTTP status.

    Attributes:
        status_code: 400 to 599.
        retry_after: seconds after which the provider can be asked again.
        message: what it says.
    """

    status_code: int
    retry_after: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Cut:
    """Break off, as when a connection is lost."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing more until whoever asked gives up."""


@dataclass(frozen=True, slots=True)
class WrongJSON:
    """Send what is no JSON, as a broken proxy does."""


Step: TypeAlias = str | Delay | Refusal | Cut | Hang | WrongJSON | Metadata | BaseException
"""One thing that a play does: a text is a chunk of the answer, metadata is told, an exception is raised."""

Play: TypeAlias = str | Sequence[Step]
"""What one call does: steps, or their text in the grammar of `parse_script`. No steps are an answer without content."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a `ScriptedProvider`, as it came.

    Attributes:
        model: the model that was asked for.
        messages: the conversation.
        options: the other arguments.
    """

    model: str
    messages: Messages
    options: dict[str, Any]


class ScriptedProvider(BaseProvider):
    """Plays a script: the same each time, by a clock that a test may bring.

    Args:
        script: plays, or all of them as one text; see `parse_script`. By default every call answers.
        name: the provider's name.
        model: the model's name, as the answer tells it.
        delay: seconds before each chunk of text.
        clock: what is waited by.

    Attributes:
        calls: every call so far.
        opened: how many calls have begun to play.
        closed: how many of those have ended: played to the end, failed, or closed from outside.

    Raises:
        ConfigError: the script's text has a step that is unknown, or there is no play.
    """

    def __init__(
        self,
        script: str | Sequence[Play] = "ok",
        *,
        name: str = "scripted",
        model: str = "scripted",
        delay: float = 0.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        plays: list[list[Step]] = []
        for item in [script] if isinstance(script, str) else script:
            plays += parse_script(item) if isinstance(item, str) else [list(item)]
        if not plays:
            raise ConfigError("the script has no play; the shortest one is 'ok'")
        self.name = name
        self.default_model = model
        self.delay = delay
        self.calls: list[Call] = []
        self.opened = 0
        self.closed = 0
        self._plays = plays
        self._clock = clock
        self._lock = threading.Lock()

    @classmethod
    def words(cls, text: str, *, delay: float = 0.0, **settings: Any) -> ScriptedProvider:
        """One that answers every call with this text, word by word.

        Args:
            text: the answer.
            delay: seconds before each word.
            **settings: as for the class.
        """
        tokens = re.findall(r"\s*\S+|\s+$", text)
        return cls([[*tokens, FinishReason("stop"), Usage(None, len(tokens))]], delay=delay, **settings)

    def __repr__(self) -> str:
        return f"ScriptedProvider(name={self.name!r}, plays={len(self._plays)}, calls={len(self.calls)})"

    def stream_chunks(
        self, model: str, messages: Messages, stream: bool = True, **options: Any
    ) -> Generator[Any, None, None]:
        """Play, for code without an event loop.

        Raises:
            ProviderError: where the script says so; a hang ends after an hour of the clock with `APITimeoutError`.
        """
        steps = self._play(model, messages, stream, options)
        try:
            for step in steps:
                if isinstance(step, Hang):
                    self._clock.sleep(_LONGEST_HANG)
                    raise APITimeoutError(f"nothing came for {_LONGEST_HANG:g} s", provider=self.name)
                if isinstance(step, Delay):
                    self._clock.sleep(step.seconds)
                else:
                    yield step
        finally:
            self._close()

    async def astream_chunks(
        self, model: str, messages: Messages, stream: bool = True, **options: Any
    ) -> AsyncGenerator[Any, None]:
        """Play, for code in an event loop; a hang ends when it is cancelled.

        Raises:
            ProviderError: where the script says so.
        """
        steps = self._play(model, messages, stream, options)
        try:
            for step in steps:
                if isinstance(step, Hang):
                    await asyncio.get_running_loop().create_future()
                elif isinstance(step, Delay):
                    await self._clock.asleep(step.seconds)
                else:
                    yield step
        finally:
            self._close()

    def _close(self) -> None:
        with self._lock:
            self.closed += 1

    def _play(self, model: str, messages: Messages, stream: bool, options: dict[str, Any]) -> Iterator[Any]:
        """The chunks of the next play, with `Delay` and `Hang` where something is to be waited for."""
        with self._lock:
            play = self._plays[min(len(self.calls), len(self._plays) - 1)]
            self.calls.append(Call(model, messages, {"stream": stream, **options}))
            self.opened += 1
        return self._steps(play if stream else _in_one_piece(play), resolve_model(self, model))

    def _steps(self, play: Sequence[Step], model: str) -> Iterator[Any]:
        told = finished = False
        for step in play:
            match step:
                case Refusal():
                    text = step.message or f"the script says {step.status_code}"
                    raise status_error(
                        step.status_code, text, retry_after=step.retry_after, provider=self.name, model=model
                    )
                case Cut():
                    raise StreamInterruptedError("the script cuts the stream here", provider=self.name, model=model)
                case WrongJSON():
                    raise StreamInterruptedError(
                        "the answer holds something that is not JSON: {not json", provider=self.name, model=model
                    )
                case BaseException():
                    raise step
                case Delay() | Hang():
                    yield step
                    continue
            if not told:
                told = True
                yield ResponseInfo(model=model, request_id=f"{self.name}-{len(self.calls)}")
            if isinstance(step, str) and self.delay:
                yield Delay(self.delay)
            finished = finished or isinstance(step, FinishReason)
            if step != "":
                yield step
        if not finished:
            yield FinishReason("stop")


def _in_one_piece(play: Sequence[Step]) -> list[Step]:
    """A play as it is without a stream: its text comes at once, or not at all where it fails."""
    failing = any(isinstance(step, Refusal | Cut | Hang | WrongJSON | BaseException) for step in play)
    others: list[Step] = [step for step in play if not isinstance(step, str)]
    if failing:
        return others
    text = "".join(step for step in play if isinstance(step, str))
    delays = [step for step in others if isinstance(step, Delay)]
    return [*delays, *([text] if text else []), *(step for step in others if not isinstance(step, Delay))]


_WORDS = ("ok", "'text'", "429", "500", "retry-after=2", "message='…'", "delay=0.1", "cut", "hang", "empty", "badjson")
_MORE_WORDS = ("reasoning='…'", "finish=length")

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

    A comma parts plays, a space parts the steps of a play. The steps are ``ok`` (a short answer), ``'text'`` (a chunk
    of it; ``\'`` and ``\n`` may stand in it), a status as ``500`` or ``429``, after one ``retry-after=2`` (seconds) and
    ``message='…'``, ``delay=0.1`` (seconds), ``cut``, ``hang``, ``empty``, ``badjson``, ``reasoning='…'``, and
    ``finish=length``.

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
        case "cut", "":
            play.append(Cut())
        case "hang", "":
            play.append(Hang())
        case "badjson", "":
            play.append(WrongJSON())
        case "delay", _ if (seconds := _seconds(value)) is not None:
            play.append(Delay(seconds))
        case "retry-after", _ if (seconds := _seconds(value)) is not None:
            play.append(replace(_refusal_before(play, word), retry_after=seconds))
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
