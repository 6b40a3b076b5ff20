"""Classify exceptions as kinds of failure, by what they carry rather than by the package they come from.

The kinds are the rows of the README's retry table; `nbretry.retry.policy` decides what follows each.
"""

from __future__ import annotations

import enum
import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from nbretry._utils.exceptions import message_of, status_of
from nbretry.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    ContextLengthError,
    ImageInputError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    RetryNoProviderError,
    ServerError,
)

__all__ = ["FailureKind", "classify", "parse_retry_after", "retry_after_of", "status_error"]

_ONE_PROVIDER = re.compile(
    r"unsupported|(?:not|n't) support|unrecogni[sz]ed|unknown (?:parameter|argument|field|name)|not permitted",
    re.IGNORECASE,
)
"""Matches the message of a provider that refuses a parameter which another provider may accept."""


class FailureKind(enum.Enum):
    """A row of the retry table."""

    PASSING = "connection, timeout, 5xx, empty, interrupted before content, or unknown"
    RATE_LIMITED = "429"
    KEY_REFUSED = "401, 402: the key is wrong, or its account is empty"
    PROVIDER_UNFIT = "403, 404, the context is too long, or a parameter or an image is not taken"
    REQUEST_WRONG = "400, 422"


def classify(exception: BaseException) -> FailureKind:
    """Return the kind of failure, by the type of nbretry's own errors or by the HTTP status of any other exception."""
    if not isinstance(exception, APIStatusError | APIConnectionError):
        status = status_of(exception)
        if status is None:
            if type(exception).__name__ == "MissingAuthError":  # gpt4free's: nothing was sent
                return FailureKind.KEY_REFUSED
            # A plain ProviderError is a provider that cannot work here: a package or a file is missing.
            unfit = isinstance(exception, RetryNoProviderError | ConfigError) or type(exception) is ProviderError
            return FailureKind.PROVIDER_UNFIT if unfit else FailureKind.PASSING
        exception = status_error(status, message_of(exception))
    match exception:
        case AuthenticationError() | PermissionDeniedError(status_code=402 | 429):  # 429: the quota is used up
            return FailureKind.KEY_REFUSED
        case ContextLengthError() | ImageInputError() | PermissionDeniedError() | NotFoundError():
            return FailureKind.PROVIDER_UNFIT
        case BadRequestError():
            return FailureKind.PROVIDER_UNFIT if _ONE_PROVIDER.search(str(exception)) else FailureKind.REQUEST_WRONG
        case RateLimitError():
            return FailureKind.RATE_LIMITED
        case _:
            return FailureKind.PASSING


def retry_after_of(exception: BaseException) -> float | None:
    """Return the seconds after which the provider allows another request; None if it did not say.

    They are taken from the exception, its response or its headers.
    """
    try:
        return _said_retry_after(exception)
    except Exception:  # an exception of another package may have anything under these names
        return None


def _said_retry_after(exception: BaseException) -> float | None:
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
    """Return the seconds of a ``Retry-After`` header, which is a number of seconds or an HTTP date (RFC 9110, 10.2.3).

    Args:
        value: the header's text.
        now: the time from which to count to an HTTP date; the current time by default.

    Returns:
        Seconds, at least 0; None if the header is missing or has neither form.
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


def status_error(status_code: int, message: str, **details: Any) -> APIStatusError:
    """Return the error for an HTTP status.

    Args:
        status_code: 400 to 599.
        message: what the provider said, in one line.
        **details: as for `ProviderError`.
    """
    by_status = {
        400: BadRequestError,
        422: BadRequestError,
        401: AuthenticationError,
        402: PermissionDeniedError,
        403: PermissionDeniedError,
        404: NotFoundError,
        429: RateLimitError,
    }
    kind = by_status.get(status_code, ServerError if status_code >= 500 else APIStatusError)
    if kind is BadRequestError and _says_context_is_too_long(message):
        kind = ContextLengthError
    if status_code == 413:
        kind = ContextLengthError
    elif status_code in _STATUSES_OF_IMAGES and _says_images_are_not_taken(message):
        kind = ImageInputError
    return kind(message, status_code=status_code, **details)


_STATUSES_OF_IMAGES = (400, 404, 415, 422, 500, 501)  # llama.cpp's server refuses images with a 500


_IMAGES = r"(?<![\w/-])(?:images?|image_url|vision|multi-?modal\w*)(?![\w/-])"


_REFUSED = (
    r"(?:(?:not|n['’]t) (?:\w+ )?(?:support|accept|enabled|allowed|available)|unsupported|only supported by"
    r"|no endpoints found|unknown variant|text-only|not an? (?=multi|vision)|at most 0\b)"
)


_NO_IMAGES = re.compile(f"{_IMAGES}.{{0,60}}{_REFUSED}|{_REFUSED}.{{0,60}}{_IMAGES}", re.IGNORECASE)


_NO_PARTS = re.compile(r"content\W{1,4}(?:value )?must be a string|invalid type: sequence, expected a string", re.I)


_ONE_IMAGE = re.compile(r"format|(?:media|mime|image) type|\bsize|dimension|resolution|\bbase64", re.IGNORECASE)


def _says_images_are_not_taken(message: str) -> bool:
    """Return whether a message refuses images in general, not just this image.

    Refusing a list of parts counts as well, because a message with an image is a list of parts.
    """
    no_images = _NO_IMAGES.search(message) and not _ONE_IMAGE.search(message)
    return bool(no_images or _NO_PARTS.search(message))


def _says_context_is_too_long(message: str) -> bool:
    text = message.lower()
    return any(
        sign in text
        for sign in (
            "context_length_exceeded",
            "context length",
            "context window",
            "context size",
            "maximum context",
            "prompt is too long",
            "too many tokens",
        )
    )
