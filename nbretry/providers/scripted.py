"""A provider that plays a script, faults included: for documentation, tests, and trying a policy without a service.

`nbretry.providers.script` describes how to write a script.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nbretry._utils.clock import SYSTEM_CLOCK, Clock
from nbretry.errors import APIConnectionError, APITimeoutError, ProviderError, StreamInterruptedError
from nbretry.providers.script import (
    Cut,
    Delay,
    End,
    Fault,
    Hang,
    Headers,
    KeepAlive,
    Refusal,
    Reset,
    Script,
    Step,
    WrongJSON,
    in_one_piece,
    plays_of,
)
from nbretry.retry.classify import status_error
from nbretry.retry.contract import BaseProvider, resolve_model
from nbretry.types import FinishReason, Messages, ResponseInfo, Usage

__all__ = ["Call", "ScriptedProvider"]

_LONGEST_HANG = 3600.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a `ScriptedProvider`, as it was made.

    Attributes:
        model: the model that was asked for.
        messages: the conversation.
        options: the other arguments.
    """

    model: str
    messages: Messages
    options: dict[str, Any]


class ScriptedProvider(BaseProvider):
    """A provider that plays a script: the same each time, by a clock that a test can supply.

    Args:
        script: plays, or all of them as one text; see `nbretry.providers.script.parse_script`. By default every call
            answers.
        name: the provider's name.
        model: the model's name, as reported in the answer.
        delay: seconds before each chunk of text.
        clock: the clock that measures waits.

    Attributes:
        calls: every call so far.
        opened: how many calls have begun to play.
        closed: how many of those have ended: played to the end, failed, or closed from outside.

    Raises:
        ConfigError: the script's text has an unknown step, or there is no play.

    Example:
        >>> provider = ScriptedProvider("429 retry-after=2, 'Hello' ' world'", name="flaky")
        >>> retry_provider = RetryProvider([provider, ScriptedProvider("'Somebody else'")], shuffle=False)
        >>> messages = [{"role": "user", "content": "Anybody there?"}]
        >>> ["".join(retry_provider.create_completion("", messages)) for _ in range(2)]
        ['Somebody else', 'Hello world']
        >>> len(provider.calls)
        2
    """

    def __init__(
        self,
        script: Script = "ok",
        *,
        name: str = "scripted",
        model: str = "scripted",
        delay: float = 0.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name = name
        self.default_model = model
        self.delay = delay
        self.calls: list[Call] = []
        self.opened: int = 0
        self.closed: int = 0
        self._plays = plays_of(script)
        self._clock = clock
        self._lock = threading.Lock()

    @classmethod
    def words(cls, text: str, *, delay: float = 0.0, **settings: Any) -> ScriptedProvider:
        """Create a provider that answers every call with this text, word by word.

        Args:
            text: the answer.
            delay: seconds before each word.
            **settings: further arguments, as for the class.

        Example:
            >>> provider = ScriptedProvider.words("The sky is blue.")
            >>> list(provider.create_completion("", [{"role": "user", "content": "Why?"}]))
            ['The', ' sky', ' is', ' blue.']
        """
        tokens = re.findall(r"\s*\S+|\s+$", text)
        return cls([[*tokens, FinishReason("stop"), Usage(None, len(tokens))]], delay=delay, **settings)

    def __repr__(self) -> str:
        return f"ScriptedProvider(name={self.name!r}, plays={len(self._plays)}, calls={len(self.calls)})"

    def stream_chunks(
        self, model: str, messages: Messages, stream: bool = True, **options: Any
    ) -> Generator[Any, None, None]:
        """Play the next play, in synchronous code.

        Raises:
            ProviderError: if the script says so. A hang ends with `APITimeoutError` after an hour on the clock.
        """
        steps = self._play(model, messages, stream, options)
        try:
            for step in steps:
                if isinstance(step, Hang | KeepAlive):
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
        """Play the next play, in asynchronous code. A hang ends when it is cancelled.

        Raises:
            ProviderError: if the script says so.
        """
        steps = self._play(model, messages, stream, options)
        try:
            for step in steps:
                if isinstance(step, Hang | KeepAlive):
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
        """Return the chunks of the next play, with `Delay`, `Hang` and `KeepAlive` where the caller has to wait."""
        with self._lock:
            play = self._plays[min(len(self.calls), len(self._plays) - 1)]
            self.calls.append(Call(model, messages, {"stream": stream, **options}))
            self.opened += 1
        return self._steps(play if stream else in_one_piece(play), resolve_model(self, model))

    def _steps(self, play: Sequence[Step], model: str) -> Iterator[Any]:
        told = finished = False
        for step in play:
            if isinstance(step, Fault):
                raise self._failure(step, model, answering=told)
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, Delay | Hang | KeepAlive):
                yield step
                continue
            if not told:
                told = True
                yield ResponseInfo(model=model, request_id=f"{self.name}-{len(self.calls)}")
            if isinstance(step, str) and self.delay:
                yield Delay(self.delay)
            finished = finished or isinstance(step, FinishReason)
            if step != "" and not isinstance(step, Headers):
                yield step
        if not finished:
            yield FinishReason("stop")

    def _failure(self, step: Fault, model: str, *, answering: bool) -> ProviderError:
        asked: dict[str, Any] = {"provider": self.name, "model": model}
        match step:
            case Refusal():
                return status_error(step.status_code, step.text, retry_after=step.retry_after, **asked)
            case Reset() if not answering:
                return APIConnectionError("the script resets the connection before an answer comes", **asked)
            case Reset():
                what = "the script resets the connection here"
            case Cut():
                what = "the script cuts the stream here"
            case End():
                what = "the stream ended without saying that the answer is complete"
            case WrongJSON():
                what = "the answer holds something that is not JSON: {not json"
        return StreamInterruptedError(what, **asked)
