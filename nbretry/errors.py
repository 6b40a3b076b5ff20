"""The exceptions that nbretry raises, as a tree.

    NbretryError
    ├── RetryProviderError          no provider gave a complete answer
    ├── RetryNoProviderError        there was no provider to ask
    ├── ConfigError                 a setting is invalid: which one, and what would be valid
    ├── AnswerFormatError           an answer is not in the requested format
    └── ProviderError               one provider failed
        ├── APIConnectionError      the provider could not be reached
        │   └── APITimeoutError     it did not answer in time
        ├── APIStatusError          it answered with an HTTP status of 400 or more
        │   ├── BadRequestError             400, 422: the request itself is invalid
        │   │   ├── ContextLengthError      the prompt is longer than the model accepts
        │   │   └── ImageInputError         the prompt contains an image, and the model accepts none
        │   ├── AuthenticationError         401
        │   ├── PermissionDeniedError       402, 403
        │   ├── NotFoundError               404
        │   ├── RateLimitError              429
        │   └── ServerError                 5xx
        ├── StreamError             the answer is incomplete
        │   ├── StreamInterruptedError      the stream broke off
        │   └── EmptyResponseError          the answer has no content
        └── NotAskedError           the provider was skipped
            ├── RestingError                it is cooling down after failures
            └── CostLimitError              the request would exceed ``max_cost``

The names below ``ProviderError`` match those of the OpenAI and Anthropic SDKs where the SDKs have an equivalent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbretry._utils.redaction import mask

if TYPE_CHECKING:  # the only pair of modules that name each other, and only in types
    from nbretry.answer import Answer
    from nbretry.attempts import Attempt

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AnswerFormatError",
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
    "RetryNoProviderError",
    "RetryProviderError",
    "ServerError",
    "StreamError",
    "StreamInterruptedError",
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


class RetryProviderError(_ShortTraceback):
    """No provider gave a complete answer. The message has one line ``Name: Type: message`` for each failure.

    Attributes:
        attempts: every attempt of the run in order, including failures before the last one.
        exceptions: the last exception of each provider, by provider name.
        answer: the result of the run, with the partial text if the run was made by `RetryProvider.answer`, the magic or
            the command line; None if there was no run.

    Example:
        >>> from nbretry.providers import RetryProvider
        >>> from nbretry.testing import simulate
        >>> retry_provider = RetryProvider([simulate("503", name="groq"), simulate("401", name="xai")], shuffle=False)
        >>> try:
        ...     print(*retry_provider.create_completion("", [{"role": "user", "content": "Why?"}]))
        ... except RetryProviderError as error:
        ...     print(list(error.exceptions))
        ['groq', 'xai']
    """

    def __init__(
        self,
        message: str = "",
        *,
        attempts: Sequence[Attempt] = (),
        exceptions: Mapping[str, BaseException] | None = None,
        answer: Answer | None = None,
    ) -> None:
        super().__init__(message)
        self.attempts: tuple[Attempt, ...] = tuple(attempts)
        self.exceptions: dict[str, BaseException] = dict(exceptions or {})
        self.answer = answer


class RetryNoProviderError(_ShortTraceback):
    """There was no provider to ask: none was given, or all of them were ignored or cannot stream.

    >>> from nbretry.providers import RetryProvider
    >>> next(RetryProvider([]).create_completion("", [{"role": "user", "content": "Why?"}]))
    Traceback (most recent call last):
    nbretry.errors.RetryNoProviderError: there was no provider to ask
    """


class AnswerFormatError(_ShortTraceback, ValueError):
    """An answer is not in the requested format, such as JSON that fits a schema; the message is one line.

    Attributes:
        answer: the last answer, if a question with the format ``json`` failed after its retries; else None.

    Example:
        >>> from nbretry import Answer
        >>> try:
        ...     Answer().json()
        ... except AnswerFormatError as error:
        ...     print(error)
        the answer is no JSON: ...
    """

    def __init__(self, message: str = "", *, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.answer = answer


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

    Also raised if a service reports missing credit with another status, such as 429.

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

    is_recorded = True
    """Tells `nbretry._utils.exceptions.type_name`, which does not import this module, to use ``type_name``."""

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
