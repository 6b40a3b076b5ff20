"""Exceptions for provider failures and invalid settings, and helpers that read details from any exception.

Import the exceptions from `nbretry.errors`, which shows the whole tree.
"""

from __future__ import annotations

import re
from typing import Any

from nbretry._utils.redaction import mask

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "ConfigError",
    "ContextLengthError",
    "CostLimitError",
    "EmptyResponseError",
    "ImageInputError",
    "NbretryError",
    "NotAskedError",
    "NotFoundError",
    "PermissionDeniedError",
    "ProviderError",
    "RateLimitError",
    "RecordedError",
    "RestingError",
    "ServerError",
    "StreamError",
    "StreamInterruptedError",
    "describe",
    "message_of",
    "status_of",
    "type_name",
]


class NbretryError(Exception):
    """Base class of every exception that nbretry itself raises. Secrets in the message are masked.

    >>> NbretryError("wrong key: sk-" + "7" * 20)
    NbretryError('wrong key: [secret]')
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(mask(message))

    # Mask again on display: a secret may have become known since the exception was created.
    def __str__(self) -> str:
        return mask(super().__str__())

    def __repr__(self) -> str:
        return mask(super().__repr__())


class _ShortTraceback(NbretryError):
    """Base class of exceptions that IPython shows without frames, because those of the engine do not help the user."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class ConfigError(_ShortTraceback):
    """A setting, a name or an option is invalid. The message is one line that says what would be valid.

    >>> from nbretry import RetryPolicy
    >>> RetryPolicy(on_break="restat")
    Traceback (most recent call last):
    nbretry.errors.ConfigError: on_break is 'restat', and should be one of raise, restart, continue
    """


class ProviderError(NbretryError):
    """One provider failed.

    Args:
        message: what happened, in one line.
        provider: name of the provider, if known.
        model: name of the requested model, if known.
        retry_after: seconds to wait before the next request, if the provider said so.
        status_code: HTTP status, if there was one.
        request_id: the provider's own identifier of the request, if known.

    Example:
        >>> error = ProviderError("the model is being loaded", provider="lab", retry_after=20.0)
        >>> error.provider, error.retry_after, error.status_code
        ('lab', 20.0, None)
    """

    def __init__(
        self,
        message: str = "",
        *,
        provider: str | None = None,
        model: str | None = None,
        retry_after: float | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.retry_after = retry_after
        self.status_code = status_code
        self.request_id = request_id


class APIConnectionError(ProviderError):
    """The provider could not be reached, or the connection was lost before it answered.

    >>> APIConnectionError("nobody listens at port 11434", provider="ollama").provider
    'ollama'
    """


class APITimeoutError(APIConnectionError):
    """The provider did not answer in time.

    >>> isinstance(APITimeoutError("no content came within 20 s"), APIConnectionError)
    True
    """


class APIStatusError(ProviderError):
    """An HTTP status of 400 or more. This class itself is raised for a status that has no class of its own.

    >>> APIStatusError("it is a teapot", status_code=418).status_code
    418
    """


class BadRequestError(APIStatusError):
    """400 or 422: the request itself is invalid.

    Every provider would refuse it, so the run stops. If the message says that this provider does not support something,
    such as a parameter, the next provider is asked.

    >>> BadRequestError("'messages' must not be empty", status_code=400).status_code
    400
    """


class ContextLengthError(BadRequestError):
    """The prompt is longer than this model accepts; another model may accept it.

    >>> ContextLengthError("8,000 tokens are too many", model="small-8k").model
    'small-8k'
    """


class ImageInputError(BadRequestError):
    """The prompt contains an image, and this model accepts no images; another model may accept them.

    >>> ImageInputError("it takes no images", provider="local").provider
    'local'
    """


class AuthenticationError(APIStatusError):
    """401: the key is missing or wrong.

    >>> AuthenticationError("no such key", provider="groq", status_code=401).status_code
    401
    """


class PermissionDeniedError(APIStatusError):
    """402 or 403: the key has no permission for this, or there is no credit left.

    Services that report missing credit with another status, such as 429, raise this class too.

    >>> PermissionDeniedError("no credit left", status_code=402).status_code
    402
    """


class NotFoundError(APIStatusError):
    """404: the endpoint has no such model or path.

    >>> NotFoundError("no such model", model="gpt-9", status_code=404).model
    'gpt-9'
    """


class RateLimitError(APIStatusError):
    """429: too many requests. ``retry_after`` holds the seconds to wait, if the provider said so.

    >>> RateLimitError("slow down", status_code=429, retry_after=2.0).retry_after
    2.0
    """


class ServerError(APIStatusError):
    """5xx: an error on the provider's side.

    >>> ServerError("overloaded", request_id="req-7", status_code=503).request_id
    'req-7'
    """


class StreamError(ProviderError):
    """The provider answered, but the answer is incomplete.

    >>> isinstance(EmptyResponseError("nothing came"), StreamError)
    True
    """


class StreamInterruptedError(StreamError):
    """The stream broke off: the connection was lost, or the stream ended without saying that the answer is complete.

    >>> StreamInterruptedError("the connection was lost after 12 words")
    StreamInterruptedError('the connection was lost after 12 words')
    """


class EmptyResponseError(StreamError):
    """The provider ended its answer without any content.

    >>> EmptyResponseError("the answer has no text", model="small-8k").model
    'small-8k'
    """


class NotAskedError(ProviderError):
    """The provider was skipped, and no request was sent to it.

    >>> isinstance(RestingError("it rests 12 s more"), NotAskedError)
    True
    """


class RestingError(NotAskedError):
    """The provider is cooling down after failures.

    It is asked again later, or at once after `RetryProvider.reset_health`.

    >>> RestingError("it rests 12 s more", provider="groq", retry_after=12.0).retry_after
    12.0
    """


class CostLimitError(NotAskedError):
    """The request would cost more than what is left of ``max_cost``.

    >>> CostLimitError("it would cost $0.03, and $0.01 is left", provider="openai").provider
    'openai'
    """


class RecordedError(NbretryError):
    """An exception read back from a record: the name of its type and its message, without the original object.

    Args:
        type_name: name of the exception type that was raised.
        message: its text.
        status_code: HTTP status, if there was one.
        retry_after: seconds to wait before the next request, if the provider said so.

    Example:
        >>> RecordedError("RateLimitError", "slow down", status_code=429).type_name
        'RateLimitError'
    """

    def __init__(
        self,
        type_name: str,
        message: str,
        *,
        status_code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.type_name = type_name
        self.status_code = status_code
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.type_name, *self.args), vars(self)


# Tracebacks and pickles then name the path that users import the classes from.
for _error in [one for one in globals().values() if isinstance(one, type) and issubclass(one, NbretryError)]:
    _error.__module__ = "nbretry.errors"


def type_name(exception: BaseException) -> str:
    """Return the name of an exception's type; for a `RecordedError`, the name of the type that was recorded."""
    return exception.type_name if isinstance(exception, RecordedError) else type(exception).__name__


def message_of(exception: BaseException) -> str:
    """Return an exception's text with every known secret masked; empty if converting it to text fails."""
    try:
        # A lone surrogate, as in a file's path, would make any text that quotes it impossible to display or save.
        return mask(str(exception).encode("utf-8", "replace").decode())
    except Exception:  # a bug in a foreign exception must not hide the failure that it reports
        return ""


def describe(exception: BaseException) -> str:
    """Return ``Type: message`` with every known secret masked, or only the type if there is no message."""
    message = message_of(exception).strip()
    return f"{type_name(exception)}: {message}" if message else type_name(exception)


def attribute_of(owner: Any, name: str) -> Any:
    """Return an attribute of a foreign object; None if it is missing or cannot be read."""
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


def status_of(exception: BaseException) -> int | None:
    """Return the HTTP status, 400 to 599, found under a usual name on an exception or its response, or None."""
    for owner in (exception, attribute_of(exception, "response")):
        for name in ("status_code", "status", "code", "http_status"):
            value = attribute_of(owner, name)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
    # gpt4free's exceptions have the status only in their text.
    said = re.match(r"Response ([45]\d\d)\b", message_of(exception))
    return int(said[1]) if said else None
