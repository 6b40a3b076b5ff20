"""What to do after a failure: a pure decision, without a clock, a sleep or a network.

`classify` says what kind of failure an exception is, by what it carries and not by whose class it is;
`RetryPolicy.decide` says what follows. Both are the retry table of the README, row by row.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias, get_args

from nbretry.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ContextLengthError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    RetryNoProviderError,
    message_of,
    status_error,
    status_of,
)
from nbretry.events import NextStep

__all__ = [
    "Decision",
    "FailureKind",
    "OnBreak",
    "RetryPolicy",
    "classify",
    "parse_retry_after",
    "retry_after_of",
]


_ONE_PROVIDER = re.compile(
    r"unsupported|(?:not|n't) support|unrecogni[sz]ed|unknown (?:parameter|argument|field|name)|not permitted",
    re.IGNORECASE,
)
"""Said by a provider that refuses a parameter which another one may well take."""


class FailureKind(enum.Enum):
    """A row of the retry table."""

    PASSING = "connection, timeout, 5xx, empty, interrupted before content, or unknown"
    RATE_LIMITED = "429"
    KEY_REFUSED = "401, 402: the key is wrong, or its account is empty"
    PROVIDER_UNFIT = "403, 404, the context is too long, or a parameter is not supported"
    REQUEST_WRONG = "400, 422"


OnBreak: TypeAlias = Literal["raise", "restart", "continue"]
"""What follows a stream that dies after content; see `RetryPolicy`."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows a failed attempt.

    Attributes:
        next_step: ``retry`` (the same provider), ``fallback`` (the next one) or ``stop``.
        wait_for: seconds to wait first.
        again_after: with ``fallback``: seconds after which this provider may be asked again in the next round; None
            where it may not.
    """

    next_step: NextStep
    wait_for: float = 0.0
    again_after: float | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon to ask again.

    ``max_attempts=3`` retries each provider before the next one is asked. ``rounds=2`` asks the next one at once, and
    comes back to those whose failure was passing when everybody has been asked. Both can be had together.

    Attributes:
        max_attempts: how often one provider is asked before the next one is, at least once.
        backoff_initial: seconds; the longest wait before the first retry.
        backoff_max: seconds; the longest wait before any retry that the provider did not set.
        retry_after_max: seconds; a ``Retry-After`` beyond it is not waited for, the next provider is asked at once.
        rounds: how often the list of providers is gone through, at least once.
        on_break: what follows a stream that dies after content. ``raise`` ends the run; ``restart`` gives up the text
            and lets the next provider answer from the start; ``continue`` hands the text to the next provider, which
            goes on from it.
    """

    max_attempts: int = 1
    backoff_initial: float = 0.5
    backoff_max: float = 8.0
    retry_after_max: float = 30.0
    rounds: int = 1
    on_break: OnBreak = "raise"

    def __post_init__(self) -> None:
        if self.on_break not in get_args(OnBreak):
            raise ConfigError(f"on_break is {self.on_break!r}, and should be one of {', '.join(get_args(OnBreak))}")

    def decide(
        self,
        exception: BaseException,
        *,
        attempts_of_provider: int,
        content_started: bool,
        random: Callable[[], float],
        this_round: int = 1,
    ) -> Decision:
        """What follows this failure.

        Args:
            exception: what the attempt failed with.
            attempts_of_provider: how often this provider was asked in this round, the failed attempt included.
            content_started: whether the attempt had begun to answer.
            random: gives a float from 0 to 1, for the jitter.
            this_round: the how-manieth time the list is gone through, from 1.
        """
        if content_started and self.on_break == "raise":
            return Decision("stop")
        kind = FailureKind.PASSING if content_started else classify(exception)
        if kind is FailureKind.REQUEST_WRONG:
            return Decision("stop")
        if kind in (FailureKind.KEY_REFUSED, FailureKind.PROVIDER_UNFIT):
            return Decision("fallback")
        wait = retry_after_of(exception)
        if wait is None:
            retry = (this_round - 1) * max(self.max_attempts, 1) + attempts_of_provider
            wait = self.backoff(retry) * random()
        elif wait > self.retry_after_max:
            return Decision("fallback")
        if attempts_of_provider < self.max_attempts:
            return Decision("retry", wait)
        return Decision("fallback", again_after=wait if this_round < self.rounds else None)

    def backoff(self, retry: int) -> float:
        """The longest wait in seconds before this retry, counted from 1: doubled each time, up to ``backoff_max``."""
        return float(min(self.backoff_max, self.backoff_initial * 2.0 ** min(retry - 1, 64)))


def classify(exception: BaseException) -> FailureKind:
    """The kind of failure, from our own type or else from the HTTP status that a foreign exception carries."""
    if not isinstance(exception, APIStatusError | APIConnectionError):
        status = status_of(exception)
        if status is None:
            # A plain ProviderError is a provider that cannot work here: a package or a file is missing.
            unfit = isinstance(exception, RetryNoProviderError | ConfigError) or type(exception) is ProviderError
            return FailureKind.PROVIDER_UNFIT if unfit else FailureKind.PASSING
        exception = status_error(status, message_of(exception))
    match exception:
        case AuthenticationError() | PermissionDeniedError(status_code=402 | 429):  # 429: the quota is used up
            return FailureKind.KEY_REFUSED
        case ContextLengthError() | PermissionDeniedError() | NotFoundError():
            return FailureKind.PROVIDER_UNFIT
        case BadRequestError():
            return FailureKind.PROVIDER_UNFIT if _ONE_PROVIDER.search(str(exception)) else FailureKind.REQUEST_WRONG
        case RateLimitError():
            return FailureKind.RATE_LIMITED
        case _:
            return FailureKind.PASSING


def retry_after_of(exception: BaseException) -> float | None:
    """Seconds after which the provider said it can be asked again, from the exception, its response or its headers."""
    value = getattr(exception, "retry_after", None)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return max(0.0, float(value))
    for owner in (getattr(exception, "response", None), exception):
        headers = getattr(owner, "headers", None)
        if headers and hasattr(headers, "items"):
            said = {str(name).lower(): str(value) for name, value in headers.items()}
            milliseconds = parse_retry_after(said.get("retry-after-ms"))
            return parse_retry_after(said.get("retry-after")) if milliseconds is None else milliseconds / 1000
    return None


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds from a ``Retry-After`` header, which is a number of seconds or an HTTP date (RFC 9110, 10.2.3).

    Args:
        value: the header's text.
        now: the time to count an HTTP date from; the present by default.

    Returns:
        Seconds, at least 0; None where the header is missing or is neither form.
    """
    if not isinstance(value, str):
        return None
    try:
        seconds = float(value)
        return None if math.isnan(seconds) else max(0.0, seconds)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
