"""The error tree.

    NbretryError
    ├── RetryProviderError          every provider failed, or the one that had begun to answer broke off
    ├── RetryNoProviderError        there was nobody to ask
    ├── ConfigError                 a setting is wrong: which one, and what would be right
    ├── AnswerFormatError           an answer is not in the form that was asked for
    └── ProviderError               one provider failed
        ├── APIConnectionError      it could not be reached
        │   └── APITimeoutError     it did not answer in time
        ├── APIStatusError          it answered with an HTTP status of 400 or more
        │   ├── BadRequestError             400, 422: the request itself is wrong
        │   │   ├── ContextLengthError      the prompt is longer than the model takes
        │   │   └── ImageInputError         the prompt has an image, and the model takes none
        │   ├── AuthenticationError         401
        │   ├── PermissionDeniedError       402, 403
        │   ├── NotFoundError               404
        │   ├── RateLimitError              429
        │   └── ServerError                 5xx
        ├── StreamError             the answer came, and was not whole
        │   ├── StreamInterruptedError      the stream broke off
        │   └── EmptyResponseError          it ended without any content
        └── NotAskedError           it was passed over
            ├── RestingError                it rests after failures
            └── CostLimitError              its request would have passed ``max_cost``

The names below ``ProviderError`` are those of the OpenAI and Anthropic SDKs where those have one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbretry._utils.redaction import mask

if TYPE_CHECKING:
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
    "describe",
    "message_of",
    "nearest",
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


class RetryProviderError(_ShortTraceback):
    """Every provider failed; the text has one line ``Name: Type: message`` for each.

    Attributes:
        attempts: every attempt of the run in order, failures before the last one included.
        exceptions: the last exception of each provider by its name.
        answer: what the run had come to, with the partial text where the run was followed to its end by `answer`, the
            magic or the command line; None where no run was made.

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
    """There was nobody to ask: no provider was given, or all were ignored or cannot stream.

    >>> from nbretry.providers import RetryProvider
    >>> next(RetryProvider([]).create_completion("", [{"role": "user", "content": "Why?"}]))
    Traceback (most recent call last):
    nbretry.errors.RetryNoProviderError: there was no provider to ask
    """


class ConfigError(_ShortTraceback):
    """A setting, a name or an option is wrong; the message is one line that says what would be right.

    >>> from nbretry import RetryPolicy
    >>> RetryPolicy(on_break="restat")
    Traceback (most recent call last):
    nbretry.errors.ConfigError: on_break is 'restat', and should be one of raise, restart, continue
    """


class AnswerFormatError(_ShortTraceback, ValueError):
    """An answer is not in the form that was asked for, as JSON by a schema; the message is one line.

    Attributes:
        answer: the last answer, where several were asked for; else None.

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


def status_error(status_code: int, message: str, **details: Any) -> APIStatusError:
    """The error that stands for an HTTP status.

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


_STATUSES_OF_IMAGES = (400, 404, 415, 422, 500, 501)  # llama.cpp's server says it with a 500

_IMAGES = r"(?<![\w/-])(?:images?|image_url|vision|multi-?modal\w*)(?![\w/-])"
_REFUSED = (
    r"(?:(?:not|n['’]t) (?:\w+ )?(?:support|accept|enabled|allowed|available)|unsupported|only supported by"
    r"|no endpoints found|unknown variant|text-only|not an? (?=multi|vision)|at most 0\b)"
)
_NO_IMAGES = re.compile(f"{_IMAGES}.{{0,60}}{_REFUSED}|{_REFUSED}.{{0,60}}{_IMAGES}", re.IGNORECASE)
_NO_PARTS = re.compile(r"content\W{1,4}(?:value )?must be a string|invalid type: sequence, expected a string", re.I)
_ONE_IMAGE = re.compile(r"format|(?:media|mime|image) type|\bsize|dimension|resolution|\bbase64", re.IGNORECASE)


def _says_images_are_not_taken(message: str) -> bool:
    """Whether no image is taken, and not just this one; a message with an image is also one that is a list of parts."""
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


def type_name(exception: BaseException) -> str:
    """Name of an exception's type, also of one that was read back from a record.

    >>> type_name(RecordedError("RateLimitError", "slow down"))
    'RateLimitError'
    """
    return exception.type_name if isinstance(exception, RecordedError) else type(exception).__name__


def message_of(exception: BaseException) -> str:
    """An exception's text with every known secret masked; empty where it cannot even say that.

    >>> message_of(ValueError("wrong key: sk-" + "7" * 20))
    'wrong key: [secret]'
    """
    try:
        # Half a character, as in the path of a file, would keep whatever quotes it from being shown and saved.
        return mask(str(exception).encode("utf-8", "replace").decode())
    except Exception:  # a foreign exception's own fault must not take the place of the failure that it stands for
        return ""


def describe(exception: BaseException) -> str:
    """``Type: message`` with every known secret masked; the type alone where there is no message.

    >>> describe(TimeoutError("no content came"))
    'TimeoutError: no content came'
    """
    message = message_of(exception).strip()
    return f"{type_name(exception)}: {message}" if message else type_name(exception)


def failure_text(head: str, failures: Iterable[tuple[str, BaseException]]) -> str:
    """A heading and one line ``Name: Type: message`` for each failure."""
    lines = (f"{name}: {' '.join(describe(exception).split())}" for name, exception in failures)
    return "\n".join([f"{head}:", *lines])


def attribute_of(owner: Any, name: str) -> Any:
    """What a stranger's object has under this name; None where it has nothing there, or cannot say."""
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


def status_of(exception: BaseException) -> int | None:
    """The HTTP status, 400 to 599, that an exception or its response carries under any of the usual names.

    >>> status_of(RateLimitError("slow down", status_code=429))
    429
    """
    for owner in (exception, attribute_of(exception, "response")):
        for name in ("status_code", "status", "code", "http_status"):
            value = attribute_of(owner, name)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
    # gpt4free's exceptions have it in their text only.
    said = re.match(r"Response ([45]\d\d)\b", message_of(exception))
    return int(said[1]) if said else None


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a line that refuses a word: ``; did you mean 'x'?`` where a known one is near, else all of them.

    >>> nearest("gorq", ["groq", "xai"])
    "; did you mean 'groq'?"
    """
    import difflib  # for a mistake only

    by_lower_case = {name.lower(): name for name in reversed(known)}
    close = difflib.get_close_matches(word, known, n=1) or [
        by_lower_case[name] for name in difflib.get_close_matches(word.lower(), list(by_lower_case), n=1)
    ]
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"
