"""The events of a run, as frozen dataclasses; every view is made from them.

Times named ``at`` are seconds since the run started, from a monotonic clock. Attempts are numbered from 1. `to_json`
and `from_json` turn an event into a plain dict and back, so that a JSON-lines log folds to the same answer as the run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, cast, get_args

from nbretry._utils.exceptions import attribute_of, message_of, type_name
from nbretry._utils.redaction import mask
from nbretry._utils.serialization import Record, masked, plain
from nbretry.errors import RecordedError
from nbretry.types import Message, Usage

__all__ = [
    "AttemptCancelled",
    "AttemptFailed",
    "AttemptSkipped",
    "AttemptStarted",
    "AttemptSucceeded",
    "Event",
    "FirstContent",
    "NextStep",
    "ReasoningDelta",
    "ResponseIdentified",
    "RunCancelled",
    "RunCompleted",
    "RunFailed",
    "RunStarted",
    "StatusChanged",
    "TextDelta",
    "UsageReported",
    "from_json",
    "to_json",
]

NextStep: TypeAlias = Literal["retry", "fallback", "continue", "stop"]
"""What follows a failed attempt: the same provider again, the next provider, one that continues the text so far, or the
end of the run."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run started: a question was asked.

    Attributes:
        started_at: seconds since the epoch.
        providers: names of the providers, in the order in which they are asked.
        model: the requested model; empty for each provider's own default.
        request_sha256: hash of model and messages; use it to match a record to its question.
        messages: the conversation that was sent; empty in older records, which did not keep it.

    Example:
        >>> event = RunStarted(1_767_225_600.0, ("groq", "local"), model="", request_sha256="5df6e0e2")
        >>> " → ".join(event.providers)
        'groq → local'
    """

    started_at: float
    providers: tuple[str, ...]
    model: str
    request_sha256: str
    messages: tuple[Message, ...] = field(default=(), repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """An attempt started: a provider was asked.

    Attributes:
        prompt_tokens: an estimate of the tokens of the messages; None if the run does not track costs.
        price: US dollars per million tokens of the prompt and of the answer; None if it is not known.

    Example:
        >>> event = AttemptStarted(1, "groq", "gpt-oss-120b", at=0.0)
        >>> f"{event.at:.2f} s: asking {event.provider} for {event.model}"
        '0.00 s: asking groq for gpt-oss-120b'
    """

    attempt: int
    provider: str
    model: str
    at: float
    prompt_tokens: int | None = None
    price: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class AttemptSkipped:
    """A provider was skipped, and no request was sent to it.

    Attributes:
        exception: the reason, a `NotAskedError`.

    Example:
        >>> event = AttemptSkipped(1, "groq", "", RuntimeError("it rests 12 s more"), at=0.0)
        >>> f"{event.provider} was skipped: {event.exception}"
        'groq was skipped: it rests 12 s more'
    """

    attempt: int
    provider: str
    model: str
    exception: BaseException
    at: float


@dataclass(frozen=True, slots=True)
class AttemptCancelled:
    """An attempt was cancelled because another provider that was asked in parallel was faster.

    Attributes:
        reason: the reason, in a few words.

    Example:
        >>> AttemptCancelled(1, "local was quicker", at=5.2).reason
        'local was quicker'
    """

    attempt: int
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The provider reported what it is doing before it can answer.

    >>> StatusChanged(2, "loading the model").text
    'loading the model'
    """

    attempt: int
    text: str


@dataclass(frozen=True, slots=True)
class ResponseIdentified:
    """The response reported who answers.

    Attributes:
        model: the model's full name.
        request_id: the provider's own identifier of the request.
        provider: name of the provider that took the question, if the one that was asked passed it on.

    Example:
        >>> ResponseIdentified(1, model="gpt-oss-120b-2026-08-05", request_id="req-7").request_id
        'req-7'
    """

    attempt: int
    model: str | None = None
    request_id: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class FirstContent:
    """The first content of an attempt arrived.

    >>> f"the first word came after {FirstContent(1, at=0.31).at} s"
    'the first word came after 0.31 s'
    """

    attempt: int
    at: float


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A fragment of the answer.

    >>> "".join(delta.text for delta in [TextDelta(1, "Hello "), TextDelta(1, "world")])
    'Hello world'
    """

    attempt: int
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A fragment of the model's reasoning, which is not part of the answer.

    >>> ReasoningDelta(1, "The user asks why …").text
    'The user asks why …'
    """

    attempt: int
    text: str


@dataclass(frozen=True, slots=True)
class UsageReported:
    """The provider reported its token counts.

    >>> from nbretry.types import Usage
    >>> UsageReported(1, Usage(prompt_tokens=11, completion_tokens=6)).usage.total_tokens
    17
    """

    attempt: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class AttemptSucceeded:
    """The provider's answer is complete.

    >>> AttemptSucceeded(2, finish_reason="length", at=4.0).finish_reason
    'length'
    """

    attempt: int
    finish_reason: str | None
    at: float


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The provider failed.

    Attributes:
        exception: the exception object that was raised.
        next_step: what the run does next.
        wait_for: seconds before the next step; 0 if it follows at once.

    Example:
        >>> event = AttemptFailed(1, TimeoutError("no content came"), next_step="fallback", wait_for=0.0, at=20.0)
        >>> f"{event.exception}, so: {event.next_step}"
        'no content came, so: fallback'
    """

    attempt: int
    exception: BaseException
    next_step: NextStep
    wait_for: float
    at: float


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """An attempt succeeded, and the run is over.

    >>> f"answered after {RunCompleted(at=0.94).at} s"
    'answered after 0.94 s'
    """

    at: float


@dataclass(frozen=True, slots=True)
class RunFailed:
    """No provider gave a complete answer, and the run is over.

    >>> RunFailed(RuntimeError("every provider failed"), at=3.1).exception
    RuntimeError('every provider failed')
    """

    exception: BaseException
    at: float


@dataclass(frozen=True, slots=True)
class RunCancelled:
    """The run was stopped from outside.

    >>> f"stopped after {RunCancelled(at=1.5).at} s"
    'stopped after 1.5 s'
    """

    at: float


Event: TypeAlias = (
    RunStarted
    | AttemptStarted
    | AttemptSkipped
    | AttemptCancelled
    | StatusChanged
    | ResponseIdentified
    | FirstContent
    | TextDelta
    | ReasoningDelta
    | UsageReported
    | AttemptSucceeded
    | AttemptFailed
    | RunCompleted
    | RunFailed
    | RunCancelled
)

_BY_NAME: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Event)}


def to_json(event: Event) -> dict[str, Any]:
    """Return the event as a dict for `json.dumps`, with secrets masked and its class's name under ``event``.

    >>> to_json(TextDelta(1, "Hello"))
    {'event': 'TextDelta', 'attempt': 1, 'text': 'Hello'}
    """
    record: dict[str, Any] = {"event": type(event).__name__}
    for one in fields(event):
        record[one.name] = _plain(getattr(event, one.name))
    return record


def from_json(record: Mapping[str, Any]) -> Event:
    """Return the event that `to_json` made this dict from; exceptions come back as `RecordedError`.

    Raises:
        ValueError: the record names no known event, or its fields do not fit.

    Example:
        >>> from_json({"event": "TextDelta", "attempt": 1, "text": "Hello"})
        TextDelta(attempt=1, text='Hello')
    """
    values = dict(record)
    kind = _BY_NAME.get(str(values.pop("event", "")))
    if kind is None:
        raise ValueError(f"not an event of a run: {record.get('event')!r}; known are {', '.join(_BY_NAME)}")
    try:
        if isinstance(values.get("exception"), Mapping):
            values["exception"] = exception_from_json(values["exception"])
        if isinstance(values.get("usage"), Mapping):
            values["usage"] = Usage(**values["usage"])
        for name in ("providers", "price", "messages"):
            if isinstance(values.get(name), list):
                values[name] = tuple(values[name])
        if not all(isinstance(message, dict) for message in values.get("messages", ())):
            raise TypeError("a message is a dict")
        event: Event = kind(**values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the fields of {kind.__name__} do not fit: {error}") from error
    return event


def exception_to_json(exception: BaseException) -> dict[str, Any]:
    """Return type, masked message, status code and ``retry_after`` of an exception, as far as it has them."""
    record: dict[str, Any] = {"type": type_name(exception), "message": message_of(exception)}
    for name in ("status_code", "retry_after"):
        value = attribute_of(exception, name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            record[name] = value
    return record


def exception_from_json(record: Mapping[str, Any]) -> RecordedError:
    """Return the exception that `exception_to_json` made this dict from."""
    return RecordedError(
        record["type"],
        record["message"],
        status_code=record.get("status_code"),
        retry_after=record.get("retry_after"),
    )


def exception_in(record: Record, name: str) -> RecordedError | None:
    """Return the exception in this field of a record, or None.

    Raises:
        ValueError: the field does not hold the record of an exception.
    """
    inner = record.inner(name, ("type", "message", "status_code", "retry_after"))
    if inner is None:
        return None
    status = cast("int | None", inner.number("status_code"))
    kind, message, retry_after = inner.text("type"), inner.text("message"), inner.number("retry_after")
    return RecordedError(kind, message, status_code=status, retry_after=retry_after)


def usage_in(record: Record, name: str) -> Usage | None:
    """Return the token counts in this field of a record, or None.

    Raises:
        ValueError: the field does not hold the record of token counts.
    """
    inner = record.inner(name, ("prompt_tokens", "completion_tokens", "estimated"))
    if inner is None:
        return None
    prompt, completion = inner.number("prompt_tokens"), inner.number("completion_tokens")
    return Usage(cast("int | None", prompt), cast("int | None", completion), inner.flag("estimated"))


def usage_to_json(usage: Usage) -> dict[str, int | None]:
    """Return both token counts, and ``estimated`` if they are estimates."""
    record = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    return {**record, "estimated": True} if usage.estimated else record


def _plain(value: Any) -> Any:
    if isinstance(value, BaseException):
        return exception_to_json(value)
    if isinstance(value, Usage):
        return usage_to_json(value)
    if isinstance(value, tuple):
        return masked(plain(value))
    return mask(value) if isinstance(value, str) else value
