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
)
from nbretry.events import NextStep

__all__ = ["Decision", "FailureKind", "RetryPolicy", "classify", "parse_retry_after", "retry_after_of"]


_ONE_PROVIDER = re.compile(
    r"unsupported|(?:not|n't) support|unrecogni[sz]ed|unknown (?:parameter|argument|field|name)|not permitted",
    re.IGNORECASE,
)
"""Said by a provider that refuses a parameter which another one may well take."""


class FailureKind(enum.Enum):
    """A row of the retry table."""

    PASSING = "connection, timeout, 5xx, empty, interrupted before content, or unknown"
    RATE_LIMITED = "429"
    PROVIDER_UNFIT = "401, 402, 403, 404, the context is too long, or a parameter is not supported"
    REQUEST_WRONG = "400, 422"


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows a failed attempt.

    Attributes:
        next_step: ``retry`` (the same provider), ``fallback`` (the next one) or ``stop``.
        wait_for: seconds to wait first.
    """

    next_step: NextStep
    wait_for: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon to ask again.

    Attributes:
        max_attempts: how often one provider is asked before the next one is, at least once.
        backoff_initial: seconds; the longest wait before the first retry.
        backoff_max: seconds; the longest wait before any retry that the provider did not set.
        retry_after_max: seconds; a ``Retry-After`` beyond it is not waited for, the next provider is asked at once.
    """

    max_attempts: int = 1
    backoff_initial: float = 0.5
    backoff_max: float = 8.0
    retry_after_max: float = 30.0

    def decide(
        self,
        exception: BaseException,
        *,
        attempts_of_provider: int,
        content_started: bool,
        random: Callable[[], float],
    ) -> Decision:
        """What follows this failure.

        Args:
            exception: what the attempt failed with.
            attempts_of_provider: how often this provider was asked in this run, the failed attempt included.
            content_started: whether the attempt had begun to answer.
            random: gives a float from 0 to 1, for the jitter.
        """
        if content_started:
            return Decision("stop")
        kind = classify(exception)
        if kind is FailureKind.REQUEST_WRONG:
            return Decision("stop")
        if kind is FailureKind.PROVIDER_UNFIT or attempts_of_provider >= self.max_attempts:
            return Decision("fallback")
        retry_after = retry_after_of(exception)
        if retry_after is not None:
            return Decision("retry", retry_after) if retry_after <= self.retry_after_max else Decision("fallback")
        return Decision("retry", self.backoff(attempts_of_provider) * random())

    def backoff(self, retry: int) -> float:
        """The longest wait in seconds before this retry, counted from 1: doubled each time, up to ``backoff_max``."""
        return float(min(self.backoff_max, self.backoff_initial * 2.0 ** min(retry - 1, 64)))


def classify(exception: BaseException) -> FailureKind:
    """The kind of failure, from our own type or else from the HTTP status that a foreign exception carries."""
    if not isinstance(exception, APIStatusError | APIConnectionError):
        status = _status_of(exception)
        if status is None:
            # A plain ProviderError is a provider that cannot work here: a package or a file is missing.
            unfit = isinstance(exception, RetryNoProviderError | ConfigError) or type(exception) is ProviderError
            return FailureKind.PROVIDER_UNFIT if unfit else FailureKind.PASSING
        exception = status_error(status, message_of(exception))
    match exception:
        case ContextLengthError() | AuthenticationError() | PermissionDeniedError() | NotFoundError():
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


def _status_of(exception: BaseException) -> int | None:
    for owner in (exception, getattr(exception, "response", None)):
        for name in ("status_code", "status", "code", "http_status"):
            value = getattr(owner, name, None)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
    return None
