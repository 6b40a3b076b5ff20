"""The course of one run, without any waiting: which provider is next, what its chunks say, what follows its failure.

`Run` is driven by the two loops of `retry_provider`, one with an event loop and one without; neither decides anything.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nbretry.answer import fold
from nbretry.clock import Clock
from nbretry.errors import EmptyResponseError, RetryProviderError, describe
from nbretry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    ReasoningDelta,
    ResponseIdentified,
    RunCompleted,
    RunFailed,
    RunStarted,
    StatusChanged,
    TextDelta,
    UsageReported,
)
from nbretry.policy import Decision, RetryPolicy
from nbretry.providers.base import is_content, provider_name, resolve_model
from nbretry.redaction import mask, mask_exception, remember_secret
from nbretry.types import FinishReason, Messages, Metadata, ProviderType, Reasoning, ResponseInfo, Status, Usage

__all__ = ["Request", "Run", "RunningAttempt"]

_Fact = TypeVar("_Fact", bound=Event)

logger = logging.getLogger("nbretry")
logger.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: a model, a conversation, and the options that go to every provider."""

    model: str
    messages: Messages
    options: dict[str, Any] = field(default_factory=dict)

    def sha256(self) -> str:
        """Hash of model and messages, the same for the same question in any process."""
        text = json.dumps([self.model, self.messages], ensure_ascii=False, sort_keys=True, default=repr)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class RunningAttempt:
    """One provider that is being asked.

    Attributes:
        provider, name, model, number: who is asked for what, and the how-manieth attempt this is.
        content_started: whether any content has come.
    """

    def __init__(self, run: Run, provider: ProviderType, number: int) -> None:
        self._run = run
        self.provider = provider
        self.name = provider_name(provider)
        self.model = resolve_model(provider, run.request.model)
        self.number = number
        self.content_started = False
        self.finish_reason: str | None = None

    def messages(self) -> Messages:
        """A copy for this provider, which may change it."""
        copy: Messages = _copy(self._run.request.messages)
        return copy

    def options(self) -> dict[str, Any]:
        """A copy for this provider, its own key taken out of a dict of keys."""
        options: dict[str, Any] = _copy(self._run.request.options)
        if isinstance(options.get("api_key"), dict):
            parent = getattr(self.provider, "get_parent", None)
            key = options.pop("api_key").get(parent() if callable(parent) else self.name)
            if key:
                options["api_key"] = key
        if isinstance(options.get("api_key"), str):
            remember_secret(options["api_key"])
        return options

    def start_content(self) -> FirstContent:
        """Take note that the first content has come."""
        self.content_started = True
        return self._run.note(FirstContent(self.number, self._run.now()))

    def event_of(self, chunk: Any) -> Event | None:
        """What a chunk means for the answer; None where it means nothing."""
        match chunk:
            case str():
                return TextDelta(self.number, str(chunk)) if chunk else None
            case Reasoning():
                return ReasoningDelta(self.number, chunk.text)
            case Status():
                return StatusChanged(self.number, chunk.text)
            case ResponseInfo():
                return self._run.note(ResponseIdentified(self.number, chunk.model, chunk.request_id, chunk.provider))
            case Usage():
                return self._run.note(UsageReported(self.number, chunk))
            case FinishReason():
                self.finish_reason = chunk.reason
                return None
            case Metadata() | BaseException() | None:
                return None
            case _:
                return self._event_of_foreign(chunk)

    def _event_of_foreign(self, chunk: Any) -> Event | None:
        # gpt4free's chunk types are known by their names, so that its package need not be there.
        match type(chunk).__name__:
            case "Reasoning":
                text = getattr(chunk, "token", None)
                return ReasoningDelta(self.number, text) if text else None
            case "FinishReason":
                self.finish_reason = str(getattr(chunk, "reason", "")) or None
                return None
            case "Usage":
                usage = Usage(getattr(chunk, "prompt_tokens", None), getattr(chunk, "completion_tokens", None))
                return self._run.note(UsageReported(self.number, usage))
            case "ProviderInfo":
                return self._run.note(
                    ResponseIdentified(self.number, getattr(chunk, "model", None), None, getattr(chunk, "name", None))
                )
        return TextDelta(self.number, str(chunk)) if is_content(chunk) and str(chunk) else None

    def check_content(self) -> None:
        """Raise `EmptyResponseError` if the stream has ended and nothing came."""
        if not self.content_started:
            raise EmptyResponseError("the answer has no content", provider=self.name, model=self.model or None)


class Run:
    """One question on its way from provider to provider.

    Args:
        request: what was asked.
        providers: whom to ask, in this order.
        policy: what follows a failure.
        clock: time and chance.
    """

    def __init__(self, request: Request, providers: Sequence[ProviderType], policy: RetryPolicy, clock: Clock) -> None:
        self.request = request
        self.attempt: RunningAttempt | None = None
        self._queue = list(providers)
        self._policy = policy
        self._clock = clock
        self._facts: list[Event] = []
        self._tries = 0
        self._number = 0
        self._begun = clock.monotonic()
        names = tuple(provider_name(provider) for provider in providers)
        self.started = RunStarted(clock.time(), names, request.model or "", request.sha256())
        self._facts.append(self.started)

    def now(self) -> float:
        """Seconds since the run started."""
        return self._clock.monotonic() - self._begun

    def note(self, event: _Fact) -> _Fact:
        """Keep a fact for the record of the run."""
        self._facts.append(event)
        return event

    def next_attempt(self) -> tuple[RunningAttempt, AttemptStarted] | None:
        """The next provider to ask; None where there is nobody left."""
        if not self._queue:
            return None
        self._number += 1
        self._tries += 1
        attempt = self.attempt = RunningAttempt(self, self._queue[0], self._number)
        model = mask(attempt.model) or "its default model"
        logger.debug("attempt %d: asking %s for %s", attempt.number, attempt.name, model)
        return attempt, self.note(AttemptStarted(attempt.number, attempt.name, attempt.model, self.now()))

    def failed(self, attempt: RunningAttempt, exception: BaseException) -> AttemptFailed:
        """Take note of a failure and decide what follows."""
        mask_exception(exception)
        decision = self._policy.decide(
            exception,
            attempts_of_provider=self._tries,
            content_started=attempt.content_started,
            random=self._clock.random,
        )
        logger.warning("attempt %d: %s failed: %s", attempt.number, attempt.name, describe(exception))
        if decision.next_step != "retry":
            self._queue.pop(0)
            self._tries = 0
            if not self._queue and decision.next_step == "fallback":
                decision = Decision("stop")
        if decision.next_step == "stop":
            self._queue.clear()
        return self.note(AttemptFailed(attempt.number, exception, decision.next_step, decision.wait_for, self.now()))

    def succeeded(self, attempt: RunningAttempt) -> tuple[AttemptSucceeded, RunCompleted]:
        """Take note that the answer is whole."""
        now = self.now()
        return AttemptSucceeded(attempt.number, attempt.finish_reason, now), RunCompleted(now)

    def ended(self) -> RunFailed:
        """The fact that nobody answered, with the error that says so."""
        answer = fold(self._facts)
        error = answer.failure()
        ended = RunFailed(error, self.now())
        if isinstance(error, RetryProviderError):
            error.answer = answer.apply(ended)
        return ended


def _copy(value: Any) -> Any:
    """Lists, dicts and tuples anew at every depth, everything else as it is."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return tuple(_copy(item) for item in value) if type(value) is tuple else value
