"""The errors of one provider and of a setting, and what can be told of any exception.

Users import them from `nbretry.errors`, which shows the whole tree.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nbretry._utils.redaction import mask

if TYPE_CHECKING:
    pass

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
    """Base of every error that nbretry raises by itself. Secrets in its text are masked.

    >>> NbretryError("wrong key: sk-" + "7" * 20)
    NbretryError('wrong key: [secret]')
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(mask(message))

    # Once more when it is shown, as a secret may have become known since.
    def __str__(self) -> str:
        return mask(super().__str__())

    def __repr__(self) -> str:
        return mask(super().__repr__())


class _ShortTraceback(NbretryError):
    """Shown by IPython as its message alone: the frames of the engine tell a user nothing."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class ConfigError(_ShortTraceback):
    """A setting, a name or an option is wrong; the message is one line that says what would be right.

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
        model: name of the model that was asked for, if known.
        retry_after: seconds after which the provider said it can be asked again.
        status_code: HTTP status, if there was one.
        request_id: the provider's own identifier of the request.

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
    """The provider answered with an HTTP status of 400 or more that has no class of its own.

    >>> APIStatusError("it is a teapot", status_code=418).status_code
    418
    """


class BadRequestError(APIStatusError):
    """400 or 422: the request itself is wrong, and would be so for every provider.

    >>> BadRequestError("'messages' must not be empty", status_code=400).status_code
    400
    """


class ContextLengthError(BadRequestError):
    """The prompt is longer than this model takes; another model may take it.

    >>> ContextLengthError("8,000 tokens are too many", model="small-8k").model
    'small-8k'
    """


class ImageInputError(BadRequestError):
    """The prompt has an image, and this model takes none; another model may take it.

    >>> ImageInputError("it takes no images", provider="local").provider
    'local'
    """


class AuthenticationError(APIStatusError):
    """401: the key is missing or wrong.

    >>> AuthenticationError("no such key", provider="groq", status_code=401).status_code
    401
    """


class PermissionDeniedError(APIStatusError):
    """402 or 403: the key may not do this, or there is no credit left.

    >>> PermissionDeniedError("no credit left", status_code=402).status_code
    402
    """


class NotFoundError(APIStatusError):
    """404: the endpoint has no such model or path.

    >>> NotFoundError("no such model", model="gpt-9", status_code=404).model
    'gpt-9'
    """


class RateLimitError(APIStatusError):
    """429: asked too often; ``retry_after`` has the seconds to wait where the provider said so.

    >>> RateLimitError("slow down", status_code=429, retry_after=2.0).retry_after
    2.0
    """


class ServerError(APIStatusError):
    """5xx: the provider has a problem of its own.

    >>> ServerError("overloaded", request_id="req-7", status_code=503).request_id
    'req-7'
    """


class StreamError(ProviderError):
    """An answer came that is not whole.

    >>> isinstance(EmptyResponseError("nothing came"), StreamError)
    True
    """


class StreamInterruptedError(StreamError):
    """The stream broke off: the connection was lost, or it ended without saying that it was at its end.

    >>> StreamInterruptedError("the connection was lost after 12 words")
    StreamInterruptedError('the connection was lost after 12 words')
    """


class EmptyResponseError(StreamError):
    """The provider ended its answer without any content.

    >>> EmptyResponseError("the answer has no text", model="small-8k").model
    'small-8k'
    """


class NotAskedError(ProviderError):
    """The provider was passed over, and nothing was sent to it.

    >>> isinstance(RestingError("it rests 12 s more"), NotAskedError)
    True
    """


class RestingError(NotAskedError):
    """The provider rests after failures; it is asked again later, or at once after `RetryProvider.reset_health`.

    >>> RestingError("it rests 12 s more", provider="groq", retry_after=12.0).retry_after
    12.0
    """


class CostLimitError(NotAskedError):
    """The request would have cost more than ``max_cost`` leaves.

    >>> CostLimitError("it would cost $0.03, and $0.01 is left", provider="openai").provider
    'openai'
    """


class RecordedError(NbretryError):
    """An exception read back from a record: its type's name and its message, without the object itself.

    Args:
        type_name: name of the type that was raised.
        message: its text.
        status_code: HTTP status, if there was one.
        retry_after: seconds, if the provider gave them.

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


# Tracebacks and pickles name the path that users import them from.
for _error in [one for one in globals().values() if isinstance(one, type) and issubclass(one, NbretryError)]:
    _error.__module__ = "nbretry.errors"


def type_name(exception: BaseException) -> str:
    """Name of an exception's type, also of one that was read back from a record."""
    return exception.type_name if isinstance(exception, RecordedError) else type(exception).__name__


def message_of(exception: BaseException) -> str:
    """An exception's text with every known secret masked; empty where it cannot even say that."""
    try:
        # Half a character, as in the path of a file, would keep whatever quotes it from being shown and saved.
        return mask(str(exception).encode("utf-8", "replace").decode())
    except Exception:  # a foreign exception's own fault must not take the place of the failure that it stands for
        return ""


def describe(exception: BaseException) -> str:
    """``Type: message`` with every known secret masked; the type alone where there is no message."""
    message = message_of(exception).strip()
    return f"{type_name(exception)}: {message}" if message else type_name(exception)


def attribute_of(owner: Any, name: str) -> Any:
    """What a stranger's object has under this name; None where it has nothing there, or cannot say."""
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


def status_of(exception: BaseException) -> int | None:
    """The HTTP status, 400 to 599, that an exception or its response carries under any of the usual names."""
    for owner in (exception, attribute_of(exception, "response")):
        for name in ("status_code", "status", "code", "http_status"):
            value = attribute_of(owner, name)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
    # gpt4free's exceptions have it in their text only.
    said = re.match(r"Response ([45]\d\d)\b", message_of(exception))
    return int(said[1]) if said else None
