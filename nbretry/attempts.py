"""Frozen records of one attempt and of a whole run; every report is made from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast, get_args

from nbretry._utils.exceptions import describe, type_name
from nbretry._utils.redaction import mask
from nbretry._utils.serialization import Record, Recorded, copied, whole_characters
from nbretry.events import (
    AttemptSkipped,
    AttemptStarted,
    Event,
    FirstContent,
    NextStep,
    ReasoningDelta,
    ResponseIdentified,
    StatusChanged,
    UsageReported,
    exception_in,
    exception_to_json,
    usage_in,
    usage_to_json,
)
from nbretry.prices import Price, estimate_tokens
from nbretry.types import Message, Usage

__all__ = ["Attempt", "AttemptState", "RunRecord", "RunState"]

RunState: TypeAlias = Literal["pending", "running", "completed", "failed", "stopped"]

AttemptState: TypeAlias = Literal["running", "answered", "failed", "stopped", "skipped", "cancelled"]


@dataclass(frozen=True, slots=True, repr=False)
class Attempt(Recorded):
    """One attempt: one provider, asked once.

    Attributes:
        number: number of the attempt in its run, from 1.
        provider: name of the provider.
        model: the requested model, or its full name once the response has reported it.
        started: start of the attempt, in seconds since the run started.
        state: ``running``, ``answered``, ``failed``, ``stopped`` (the whole run was stopped), ``skipped`` (nothing was
            sent) or ``cancelled`` (another provider that was asked in parallel was faster).
        status: what the provider is doing before it can answer, in its own words.
        first_content: when the first content arrived, in seconds since the run started; None before that.
        ended: end of the attempt, in seconds since the run started; None while it is running.
        exception: why the attempt failed or was skipped; None otherwise.
        next_step: what followed the failure: ``retry``, ``fallback``, ``continue`` or ``stop``.
        wait_for: seconds waited after the failure.
        given_up: text that the provider had sent before it failed, and that was discarded. The text of the last attempt
            is not discarded; it stays in the answer.
        reasoning: the model's reasoning.
        usage: tokens as the provider counted them or, once the attempt is over, an estimate marked as one. None if the
            provider refused or was not reached, because then there is nothing to pay.
        finish_reason: why the model stopped.
        request_id: the provider's own identifier of the request.
        passed_to: name of the provider that took the question, if this one passed it on.
        contributed: whether the attempt failed but its text is part of the answer, because another attempt continued
            it.
        price: US dollars per million tokens of the prompt and of the answer; None if it is not known.
        prompt_tokens: an estimate of the tokens of the messages.

    Example:
        >>> import asyncio
        >>> from nbretry.testing import simulate
        >>> busy, good = simulate("503", name="busy"), simulate(name="good")
        >>> answer = asyncio.run(RetryProvider([busy, good], shuffle=False).answer("", "Anybody there?"))
        >>> for attempt in answer.attempts:
        ...     print(attempt.provider, attempt.state, attempt.error)
        busy failed ServerError: the script says 503
        good answered None
    """

    number: int
    provider: str
    model: str
    started: float
    state: AttemptState = "running"
    status: str | None = None
    first_content: float | None = None
    ended: float | None = None
    exception: BaseException | None = field(default=None, compare=False)
    next_step: NextStep | None = None
    wait_for: float = 0.0
    given_up: str = ""
    reasoning: str = ""
    usage: Usage | None = None
    finish_reason: str | None = None
    request_id: str | None = None
    passed_to: str | None = None
    contributed: bool = False
    price: tuple[float, float] | None = None
    prompt_tokens: int | None = None

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in ("number", "path", "model", "state", "error", "usage"))
        return mask(f"Attempt({', '.join(f'{name}={value!r}' for name, value in shown if value not in (None, ''))})")

    @property
    def path(self) -> str:
        """The provider's name; ``name → other`` if it passed the question on to another provider."""
        return f"{self.provider} → {self.passed_to}" if self.passed_to else self.provider

    @property
    def error(self) -> str | None:
        """``Type: message`` of the exception, with secrets masked; None if there was none."""
        return None if self.exception is None else describe(self.exception)

    @property
    def time_to_first_content(self) -> float | None:
        """Seconds from the start of the attempt to the first content; None before content arrives."""
        return None if self.first_content is None else self.first_content - self.started

    @property
    def duration(self) -> float | None:
        """Seconds from the start of the attempt to its end; None while it is running."""
        return None if self.ended is None else self.ended - self.started

    @property
    def cost(self) -> float | None:
        """Cost in US dollars; None if the price or the tokens are not known. An estimate if ``usage`` is one."""
        if self.price is None or self.usage is None:
            return None
        prompt = self.prompt_tokens if self.usage.prompt_tokens is None else self.usage.prompt_tokens
        return Price(*self.price).cost(Usage(prompt, self.usage.completion_tokens))

    @property
    def cost_estimated(self) -> bool:
        """Whether `cost` is based on estimates, or not known although tokens were used."""
        usage = self.usage
        return usage is not None and (self.price is None or usage.estimated or usage.prompt_tokens is None)

    @property
    def is_paid(self) -> bool:
        """Whether the attempt used tokens, as far as that can be known from outside."""
        if self.state != "failed" or self.first_content is not None or self.usage is not None:
            return True
        return self.exception is not None and type_name(self.exception) == "APITimeoutError"

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dict for JSON, without unknown or empty fields. Secrets in the exception are masked."""
        record: dict[str, Any] = {
            "number": self.number,
            "provider": _as_text(self.provider) or None,
            "passed_to": _as_text(self.passed_to),
            "model": _as_text(self.model) or None,
            "state": self.state,
            "status": _as_text(self.status),
            "started": self.started,
            "first_content": self.first_content,
            "ended": self.ended,
            "next_step": self.next_step,
            "wait_for": self.wait_for or None,
            "given_up": self.given_up or None,
            "reasoning": self.reasoning or None,
            "finish_reason": _as_text(self.finish_reason),
            "request_id": _as_text(self.request_id),
            "contributed": self.contributed or None,
            "price": None if self.price is None else list(self.price),
            "prompt_tokens": self.prompt_tokens,
            "cost": self.cost,
        }
        if self.exception is not None:
            record["exception"] = exception_to_json(self.exception)
        if self.usage is not None:
            record["usage"] = usage_to_json(self.usage)
        return {name: value for name, value in record.items() if value is not None}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Attempt:
        """Return the attempt that `to_dict` made this record from; its exception comes back as a `RecordedError`.

        Raises:
            ValueError: this is not the record of an attempt; the message says what does not fit.
        """
        read = Record(record, "an attempt", _FIELDS_OF_AN_ATTEMPT)
        number, started = read.whole("number"), read.number("started")
        if not number:
            read.refuse("number", "a whole number from 1")
        if started is None:
            read.refuse("started", "a number")
        price = read.numbers("price")
        if price and len(price) != 2:
            read.refuse("price", "a list of two numbers")
        return cls(
            number,
            read.text("provider"),
            read.text("model"),
            started,
            state=cast(AttemptState, read.word("state", get_args(AttemptState)) or "running"),
            status=read.optional_text("status"),
            first_content=read.number("first_content"),
            ended=read.number("ended"),
            exception=exception_in(read, "exception"),
            next_step=cast("NextStep | None", read.word("next_step", get_args(NextStep))),
            wait_for=read.number("wait_for") or 0.0,
            given_up=read.text("given_up"),
            reasoning=read.text("reasoning"),
            usage=usage_in(read, "usage"),
            finish_reason=read.optional_text("finish_reason"),
            request_id=read.optional_text("request_id"),
            passed_to=read.optional_text("passed_to"),
            contributed=read.flag("contributed"),
            price=(price[0], price[1]) if price else None,
            prompt_tokens=read.whole("prompt_tokens"),
        )


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything known about a run except its text.

    It is separate from the text because it changes a few times in a run, while the text changes with every fragment.

    Attributes:
        state: as in `nbretry.answer.Answer.state`.
        started_at: when the run started, in seconds since the epoch.
        providers: names of the providers, in the order in which they are asked.
        request_sha256: hash of model and messages.
        messages: the messages that were sent.
        attempts: the attempts, numbered from 1.
        chosen: number of the attempt whose text is arriving or has arrived; 0 before any text arrives.
        kept: how many text fragments are from earlier attempts.
        ended: end of the run, in seconds since it started; None before that.
        error: the exception that the run failed with; None if it did not fail.
    """

    state: RunState = "pending"
    started_at: float | None = None
    providers: tuple[str, ...] = ()
    request_sha256: str = ""
    messages: tuple[Message, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    chosen: int = 0
    kept: int = 0
    ended: float | None = None
    error: BaseException | None = None

    def at(self, number: int) -> Attempt:
        """Return the attempt with this number, from 1."""
        return self.attempts[number - 1]

    def updated(self, number: int, **changes: Any) -> RunRecord:
        """Return the record with changes to one attempt."""
        attempts = list(self.attempts)
        attempts[number - 1] = replace(attempts[number - 1], **changes)
        return replace(self, attempts=tuple(attempts))

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that answered, or else the latest; None before the first."""
        if self.chosen:
            return self.at(self.chosen)
        asked = [attempt for attempt in self.attempts if attempt.state != "skipped"]
        return next(reversed(asked or self.attempts), None)

    @property
    def voices(self) -> list[Attempt]:
        """The attempts that wrote the text."""
        last = self.attempt
        voices = [attempt for attempt in self.attempts if attempt.contributed and attempt is not last]
        if last is not None and last.first_content is not None:
            voices.append(last)
        return voices

    @property
    def reasoned_by(self) -> Attempt | None:
        """The last attempt with reasoning among those that wrote the text or will write it."""
        last = self.attempt
        voices = [attempt for attempt in self.attempts if attempt.contributed or attempt is last]
        return next((attempt for attempt in reversed(voices) if attempt.reasoning), None)

    def label(self, attempt: Attempt) -> str:
        """Return the name of an attempt's provider, or ``name:model`` if this run asked it for several models."""
        models = {one.model for one in self.attempts if one.provider == attempt.provider}
        return f"{attempt.provider}:{attempt.model}" if len(models) > 1 and attempt.model else attempt.provider

    def after(self, event: Event) -> RunRecord:
        """Return the record after an event that does not depend on the text.

        Args:
            event: an event that starts or skips an attempt, or reports on a running one. Others change nothing.
        """
        match event:
            case AttemptStarted(number, provider, model, at):
                attempt = Attempt(number, provider, model, at, price=event.price, prompt_tokens=event.prompt_tokens)
                return replace(self, attempts=(*self.attempts, attempt))
            case AttemptSkipped(number, provider, model, exception, at):
                attempt = Attempt(number, provider, model, at, "skipped", ended=at, exception=exception)
                return replace(self, attempts=(*self.attempts, attempt))
            case FirstContent(number):
                return replace(self.updated(number, first_content=event.at, status=None), chosen=number)
            case StatusChanged(number):
                return self.updated(number, status=event.text)
            case ReasoningDelta(number):
                return self.updated(number, reasoning=self.at(number).reasoning + whole_characters(event.text))
            case UsageReported(number):
                return self.updated(number, usage=event.usage)
            case ResponseIdentified(number):
                attempt = self.at(number)
                return self.updated(
                    number,
                    model=event.model or attempt.model,
                    request_id=event.request_id or attempt.request_id,
                    passed_to=event.provider or attempt.passed_to,
                )
        return self

    def ended_at(self, number: int, at: float, text: Callable[[], str], **changes: Any) -> RunRecord:
        """Return the record after the end of an attempt; tokens that its provider has not counted are estimated.

        Args:
            number: number of the attempt, from 1.
            at: end of the attempt, in seconds since the run started.
            text: returns the text that the attempt has sent; called only if its tokens have to be estimated.
            changes: new values of fields of `Attempt`.
        """
        record = self.updated(number, ended=at, **changes)
        attempt = record.at(number)
        if attempt.prompt_tokens is None or not attempt.is_paid:
            return record
        reported = attempt.usage or Usage()
        if reported.completion_tokens is None:
            prompt = attempt.prompt_tokens if reported.prompt_tokens is None else reported.prompt_tokens
            reported = Usage(prompt, estimate_tokens(text() + attempt.reasoning), estimated=True)
        return record.updated(number, usage=reported)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of an answer's record except its texts and the values that follow from the attempts."""
        return {
            "state": self.state,
            "providers": list(self.providers),
            "started_at": self.started_at,
            "duration": self.ended,
            "request_sha256": self.request_sha256,
            "error": exception_to_json(self.error) if self.error else None,
            "chosen": self.chosen or None,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
        }

    @classmethod
    def from_dict(cls, record: Any) -> tuple[RunRecord, str]:
        """Return the run and the text that `nbretry.answer.Answer.to_dict` made this record from.

        Raises:
            ValueError: as for `nbretry.answer.Answer.from_dict`.
        """
        read = Record(record, "an answer", _FIELDS_OF_A_RUN)
        text = read.text("text")
        messages = read.items("messages", dict, "dicts")
        if text and messages and messages.pop() != {"role": "assistant", "content": text}:
            read.refuse("messages", "a list that ends with the answer's text")
        attempts = tuple(Attempt.from_dict(attempt) for attempt in read.items("attempts", Mapping, "dicts"))
        if [attempt.number for attempt in attempts] != list(range(1, len(attempts) + 1)):
            read.refuse("attempts", "a list with the numbers 1, 2, 3 and so on")
        chosen = read.whole("chosen") or 0
        if chosen > len(attempts):
            read.refuse("chosen", "the number of an attempt")
        state = read.word("state", get_args(RunState))
        if state is None:
            read.refuse("state", f"one of {', '.join(get_args(RunState))}")
        run = cls(
            state=cast(RunState, state),
            started_at=read.number("started_at"),
            providers=tuple(read.items("providers", str, "names")),
            request_sha256=read.text("request_sha256"),
            messages=tuple(copied(message) for message in messages),
            attempts=attempts,
            chosen=chosen,
            ended=read.number("duration"),
            error=exception_in(read, "error"),
        )
        return run, text


def _as_text(value: object) -> str | None:
    """Convert a value that a provider reported, and that may have the wrong type, to text; None stays None."""
    return None if value is None else str(value)


_FIELDS_OF_AN_ATTEMPT = (*Attempt.__dataclass_fields__, "cost")

_FIELDS_OF_A_RUN = (
    *("state", "text", "reasoning", "messages", "providers", "request_sha256", "started_at", "duration", "error"),
    *("attempts", "chosen"),
    *("provider", "model", "time_to_first_content", "finish_reason", "usage", "cost"),  # these follow from the attempts
)
