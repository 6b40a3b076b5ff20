"""A running attempt of a run: what its provider is sent, and what the chunks of the answer mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from nbretry._utils.redaction import remember_secret
from nbretry._utils.serialization import copied
from nbretry.errors import EmptyResponseError
from nbretry.events import (
    Event,
    FirstContent,
    ReasoningDelta,
    ResponseIdentified,
    UsageReported,
)
from nbretry.prices import Price
from nbretry.retry import async_bridge, chunk_events
from nbretry.retry.continuation import Continuation, messages_to_continue
from nbretry.retry.contract import aiterate, is_content, iterate, provider_name, resolve_model
from nbretry.retry.deadline_watch import Watch, watched
from nbretry.retry.deadlines import Deadlines
from nbretry.types import FinishReason, Messages, ProviderType, Reasoning, Usage

__all__ = ["Candidate", "Request", "RunContext", "RunningAttempt"]

_EventT = TypeVar("_EventT", bound=Event)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: a model, a conversation, and the options for every provider."""

    model: str
    messages: Messages
    options: dict[str, Any] = field(default_factory=dict)

    def sha256(self) -> str:
        """Return a hash of model and messages, in hexadecimal; the same question has the same hash in any process."""
        text = json.dumps([self.model, self.messages], ensure_ascii=False, sort_keys=True, default=repr)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(slots=True, eq=False)
class Candidate:
    """A provider in a run.

    Attributes:
        provider: the provider itself.
        tries: how often it was asked in this round.
        ready_at: the earliest time to ask it again, in seconds since the run started.
    """

    provider: ProviderType
    tries: int = 0
    ready_at: float = 0.0


class RunContext(Protocol):
    """What an attempt reads from its run and reports to it; `nbretry.retry.run.Run` is one.

    Attributes:
        request: what was asked.
        text_so_far: the text of earlier attempts that this one is to continue; empty if there is none.
        keeps_text: whether the run needs the text of its attempts.
    """

    request: Request
    text_so_far: str
    keeps_text: bool

    def now(self) -> float:
        """Return the seconds since the run started."""

    def record(self, event: _EventT) -> _EventT:
        """Add an event to the record of the run; return it."""

    def first_content(self, attempt: RunningAttempt) -> FirstContent:
        """Record that the first content of an attempt has come."""


class RunningAttempt:
    """An attempt in progress: one provider that is being asked.

    Attributes:
        provider, name, model: the provider, its name, and the model it is asked for.
        number: the number of the attempt, from 1.
        content_started: whether any content has come.
        deadlines: the time limits of the attempt.
        watch: enforces the deadlines in an event loop.
        set_aside: US dollars of the run's budget that are reserved for the attempt.
    """

    def __init__(self, run: RunContext, candidate: Candidate, number: int, deadlines: Deadlines | None = None) -> None:
        self._run = run
        self.candidate = candidate
        self.provider = provider = candidate.provider
        self.name = provider_name(provider)
        self.model = ""
        self._mistake: Exception | None = None
        try:
            self.model = resolve_model(provider, run.request.model)
        except Exception as error:  # an error in the provider's own code is its failure, as if it had been asked
            self._mistake = error
        self.number = number
        self.content_started = False
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.started_at = run.now()
        own = getattr(provider, "deadlines", None)
        self.deadlines = (own if isinstance(own, Deadlines) else Deadlines()).or_else(deadlines)
        self.watch = Watch(self.deadlines)
        self.price: Price | None = None
        self.set_aside = 0.0
        self.prompt_tokens: int | None = None
        self._said: list[str] = []
        self._thought: list[str] = []

    def messages(self) -> Messages:
        """Return a copy of the messages that the provider may change, with the text so far if it is to continue it."""
        copy: Messages = copied(self._run.request.messages)
        text = self._run.text_so_far
        return messages_to_continue(self.provider, self.model, copy, text) if text else copy

    def chunks(self) -> Iterator[Any]:
        """Ask the provider, for code without an event loop. The returned iterator enforces the deadlines itself.

        Close it with `async_bridge.close`.
        """
        if self.deadlines:  # need a call that can be cancelled, so it runs in its own event loop
            chunks = async_bridge.as_iterator(watched(self._aask, self.watch))
        else:
            self._raise_mistake()
            chunks = iterate(self.provider, self.model, self.messages(), **self.options())
        return self._listen(chunks) if self._run.keeps_text else chunks

    def achunks(self) -> AsyncIterator[Any]:
        """Ask the provider, for code in an event loop, where `watch` enforces the deadlines.

        Close the returned iterator with `async_bridge.aclose`.
        """
        return self._alisten(self._aask()) if self._run.keeps_text else self._aask()

    def _raise_mistake(self) -> None:
        if self._mistake is not None:
            raise self._mistake

    def _aask(self) -> AsyncIterator[Any]:
        self._raise_mistake()
        return aiterate(self.provider, self.model, self.messages(), **self.options())

    def _listen(self, chunks: Iterator[Any]) -> Iterator[Any]:
        continuation = Continuation(self._run.text_so_far)
        try:
            for chunk in chunks:
                yield self._heard(chunk, continuation)
            yield self._heard(None, continuation)
        finally:
            async_bridge.close(chunks)

    async def _alisten(self, chunks: AsyncIterator[Any]) -> AsyncIterator[Any]:
        continuation = Continuation(self._run.text_so_far)
        try:
            async for chunk in chunks:
                yield self._heard(chunk, continuation)
            yield self._heard(None, continuation)
        finally:
            await async_bridge.aclose(chunks)

    def _heard(self, chunk: Any, continuation: Continuation) -> Any:
        """Keep what the run needs of a chunk, and return it without text that repeats the text so far.

        None stands for the end of the stream.
        """
        if isinstance(chunk, str) or chunk is None:
            self.watch.fresh = self.watch.fresh or bool(chunk)
            text = continuation.end() if chunk is None else continuation.feed(chunk)
            self._said.append(text)
            return text
        match chunk:
            case Usage():
                self.usage = chunk
            case Reasoning():
                self._thought.append(chunk.text)
            case _ if is_content(chunk):
                self._said.append(str(chunk))
        return chunk

    def said(self) -> str:
        """Return the text of this attempt; empty if the run does not keep it."""
        return "".join(self._said)

    def thought(self) -> str:
        """Return the reasoning of this attempt, if the run keeps its text."""
        return "".join(self._thought)

    def options(self) -> dict[str, Any]:
        """Return a copy of the options for this provider. Of a dict of keys in ``api_key``, only its own is kept."""
        options: dict[str, Any] = copied(self._run.request.options)
        if isinstance(options.get("api_key"), dict):
            parent = getattr(self.provider, "get_parent", None)
            key = options.pop("api_key").get(parent() if callable(parent) else self.name)
            if key:
                options["api_key"] = key
        if self.deadlines and getattr(self.provider, "accepts_deadlines", False):
            options["deadlines"] = self.deadlines
        # Only nbretry's own providers know this parameter, and a continuation has no format of its own.
        if self._run.text_so_far or not getattr(self.provider, "supports_response_format", False):
            options.pop("preferred_response_format", None)
        if isinstance(options.get("api_key"), str):
            remember_secret(options["api_key"])
        return options

    def start_content(self) -> FirstContent:
        """Record that the first content has come."""
        self.content_started = True
        return self._run.first_content(self)

    def event_of(self, chunk: Any) -> Event | None:
        """Return the event of a chunk, after recording what it says about the answer; None if it has no event."""
        event = chunk_events.event_of(chunk, self.number)
        match event:
            case FinishReason():
                self.finish_reason = event.reason
                return None
            case ResponseIdentified() | UsageReported():
                if isinstance(event, UsageReported):
                    self.usage = event.usage
                return self._run.record(event)
            case ReasoningDelta() if not isinstance(chunk, Reasoning):
                self._thought.append(event.text)
        return event

    def check_content(self) -> None:
        """Raise `EmptyResponseError` if no content has come. Call it when the stream has ended."""
        if not self.content_started:
            raise EmptyResponseError("the answer has no content", provider=self.name, model=self.model or None)
