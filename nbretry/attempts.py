"""One provider asked once, as a frozen record: the rows of every report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast, get_args

from nbretry._utils.redaction import mask
from nbretry._utils.serialization import Record, Recorded
from nbretry.errors import describe, type_name
from nbretry.events import NextStep, exception_in, exception_to_json, usage_in, usage_to_json
from nbretry.prices import Price
from nbretry.types import Usage

__all__ = ["Attempt", "AttemptState"]

AttemptState: TypeAlias = Literal["running", "answered", "failed", "stopped", "skipped", "cancelled"]


@dataclass(frozen=True, slots=True, repr=False)
class Attempt(Recorded):
    """One provider asked once.

    Attributes:
        number: from 1, in the order of asking.
        provider: name of the provider.
        model: the model that was asked for, or its full name once the wire has told it.
        started: seconds since the run started.
        state: ``running``, ``answered``, ``failed``, ``stopped`` (the whole run was), ``skipped`` (nothing was sent) or
            ``cancelled`` (another provider that was asked beside it was quicker).
        status: what the provider is doing before it can answer, in its own words.
        first_content: seconds since the run started, None while there was no content.
        ended: seconds since the run started, None while it runs.
        exception: what it failed with.
        next_step: what followed its failure: ``retry``, ``fallback``, ``continue`` or ``stop``.
        wait_for: seconds waited after its failure.
        given_up: text that it had sent before it failed and was given up; that of the last attempt stays the answer's.
        reasoning: the model's reasoning.
        usage: tokens as the provider counted them, or, once the attempt is over, an estimate that is marked as one.
            None where the provider refused or was not reached, as then there is nothing to pay.
        finish_reason: why the model stopped.
        request_id: the provider's own identifier of the request.
        passed_to: of a provider that passes the question on: who took it.
        contributed: whether the answer has text of this attempt although it failed: another one went on from it.
        price: US dollars for a million tokens of the prompt and of the answer; None where it is not known.
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
        """The provider's name, and after an arrow who took the question where it was passed on."""
        return f"{self.provider} → {self.passed_to}" if self.passed_to else self.provider

    @property
    def error(self) -> str | None:
        """``Type: message`` of the exception, secrets masked; None where there was none."""
        return None if self.exception is None else describe(self.exception)

    @property
    def time_to_first_content(self) -> float | None:
        """Seconds from asking to the first content."""
        return None if self.first_content is None else self.first_content - self.started

    @property
    def duration(self) -> float | None:
        """Seconds from asking to the end."""
        return None if self.ended is None else self.ended - self.started

    @property
    def cost(self) -> float | None:
        """US dollars; None where the price or the tokens are not known. An estimate where ``usage`` is one."""
        if self.price is None or self.usage is None:
            return None
        prompt = self.prompt_tokens if self.usage.prompt_tokens is None else self.usage.prompt_tokens
        return Price(*self.price).cost(Usage(prompt, self.usage.completion_tokens))

    @property
    def cost_estimated(self) -> bool:
        """Whether `cost` is made of estimates, or not known although tokens were used."""
        usage = self.usage
        return usage is not None and (self.price is None or usage.estimated or usage.prompt_tokens is None)

    @property
    def is_paid(self) -> bool:
        """Whether it used tokens, as far as anybody can tell from outside."""
        if self.state != "failed" or self.first_content is not None or self.usage is not None:
            return True
        return self.exception is not None and type_name(self.exception) == "APITimeoutError"

    def to_dict(self) -> dict[str, Any]:
        """A plain dict for JSON, without what is unknown or empty. Secrets in the exception are masked."""
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
        """The attempt of which `to_dict` made this record; its exception comes back as a `RecordedError`.

        Raises:
            ValueError: it is no such record; the message says what does not fit.
        """
        read = Record(record, "an attempt", _FIELDS)
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


def _as_text(value: object) -> str | None:
    """What a provider said of itself, which need not be of the type that it should be."""
    return None if value is None else str(value)


_FIELDS = (*Attempt.__dataclass_fields__, "cost")
