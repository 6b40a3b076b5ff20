"""Translate the exceptions of the SDKs and of their HTTP library to nbretry's.

An exception is recognized by the names of its classes and by its attributes. So this module imports no SDK, and the two
SDKs, which use the same class names, share one table. The code that raises the translated exception keeps the original
as ``__cause__``.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nbretry._utils.text import one_line
from nbretry.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    ContextLengthError,
    ImageInputError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    StreamError,
    StreamInterruptedError,
)
from nbretry.retry.classify import retry_after_of, status_error

__all__ = ["Asked", "error_in_stream", "is_mapped", "is_transport_error", "origin", "translate"]

_BY_NAME: dict[str, type[ProviderError]] = {
    # In both SDKs. Exceptions with a status are distinguished by it; the class here stands for the whole branch.
    "APIStatusError": APIStatusError,
    "APITimeoutError": APITimeoutError,
    "APIConnectionError": APIConnectionError,
    "APIResponseValidationError": StreamError,
    "APIWebhookValidationError": StreamError,
    "APIError": StreamInterruptedError,
    # Only in openai.
    "SubjectTokenProviderError": AuthenticationError,
    "_AmbiguousModuleClientUsageError": AuthenticationError,
    "LengthFinishReasonError": StreamError,
    "ContentFilterFinishReasonError": StreamError,
    "InvalidWebhookSignatureError": StreamError,
    "WebSocketConnectionClosedError": StreamInterruptedError,
    "WebSocketQueueFullError": APIConnectionError,
    # Only in anthropic.
    "CredentialsError": AuthenticationError,
    "WorkloadIdentityError": AuthenticationError,
    "RetryableError": APIConnectionError,
}
_SDK_ROOTS = {"OpenAIError": ProviderError, "AnthropicError": ProviderError}

_SDKS = {"openai", "anthropic"}
_HTTP_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "h11", "h2"}
_BROKEN_PIPES = {"EndOfStream", "BrokenResourceError", "ClosedResourceError"}

_STATUS_BY_WORD = {
    "api_error": 500,
    "authentication_error": 401,
    "billing_error": 402,
    "context_length_exceeded": 400,
    "engine_overloaded": 503,
    "exceed_context_size_error": 400,
    "insufficient_quota": 429,
    "internal_error": 500,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "request_too_large": 413,
    "server_error": 500,
    "service_unavailable": 503,
    "timeout_error": 504,
}

# Texts of a 400 or 422 that show another cause: the request may be fine elsewhere, so other providers are worth asking.
_TELLTALES: tuple[tuple[type[APIStatusError], re.Pattern[str]], ...] = (
    (AuthenticationError, re.compile(r"(incorrect|invalid) api key|api key not valid|invalid_api_key", re.IGNORECASE)),
    (PermissionDeniedError, re.compile(r"credit balance|insufficient (balance|credit|quota)", re.IGNORECASE)),
    (
        NotFoundError,
        re.compile(r"not a valid model|model.{0,80}(does ?n[o']t exist|not exist|not found)|model_not_found", re.I),
    ),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked when an exception was raised.

    Attributes:
        provider: the provider's name.
        model: the model that was asked for.
        url: base URL of the endpoint.
        timeout: the limit for the time without new data, in seconds.
        connect_timeout: the limit for connecting, in seconds.
    """

    provider: str
    model: str
    url: str
    timeout: float
    connect_timeout: float


def translate(exception: BaseException, asked: Asked, *, answering: bool = False) -> ProviderError | None:
    """Return nbretry's exception for one of an SDK, of its HTTP library or of the network.

    Args:
        exception: what was raised.
        asked: what was asked.
        answering: whether the endpoint had begun to answer.

    Returns:
        The exception to raise from the original. A `ProviderError` is returned itself, with provider and model filled
        in. None for any other kind of exception, which should pass through unchanged.
    """
    if isinstance(exception, ProviderError):
        for name in ("provider", "model"):
            if getattr(exception, name) is None:
                setattr(exception, name, getattr(asked, name) or None)
        return exception
    details: dict[str, Any] = {"provider": asked.provider, "model": asked.model or None}
    names = _names(type(exception))
    if _is_of_network(exception):
        return _of_network(exception, asked, answering, details)
    if not any(name in _SDK_ROOTS or name in _BY_NAME for name in names) or _library(exception) not in _SDKS:
        return None
    if "APIStatusError" in names:
        return _of_status(exception, details)
    if "APIConnectionError" in names:
        cause = exception.__cause__ or exception.__context__
        if cause is not None and _is_of_network(cause):
            return _of_network(cause, asked, answering, details)
        unreached = APITimeoutError if "APITimeoutError" in names else APIConnectionError
        return unreached(f"{origin(asked.url)}: {one_line(str(exception))}", **details)
    body = getattr(exception, "body", None)
    if "APIError" in names and isinstance(body, Mapping):
        return error_in_stream(body, details)
    kind = next((_BY_NAME[name] for name in names if name in _BY_NAME), ProviderError)
    return kind(one_line(str(exception)) or type(exception).__name__, **details)


def is_mapped(kind: type[BaseException]) -> bool:
    """Return whether an SDK's exception class or one of its bases is in the table; the SDK's root is not."""
    return any(name in _BY_NAME for name in _names(kind))


def is_transport_error(exception: BaseException) -> bool:
    """Return whether the connection failed, and not what was sent over it."""
    return _is_of_network(exception)


def error_in_stream(error: Any, details: Mapping[str, Any]) -> ProviderError:
    """Return nbretry's exception for an error object that came inside an answer.

    Args:
        error: the object: a text, or a dict with ``message`` and one of ``code``, ``type``, ``status``.
        details: keyword arguments for `ProviderError`.
    """
    message = one_line(_message_in(error)) or "the provider reports an error and does not say which"
    codes = [error.get(key) for key in ("code", "status", "type")] if isinstance(error, Mapping) else []
    for code in codes:
        status = _status_of_code(code)
        if status is not None:
            return _status_error(status, message, _words(codes), dict(details))
    return StreamInterruptedError(f"the provider broke off with an error: {message}", **details)


def origin(url: str) -> str:
    """Return scheme, host and port of a URL: enough to identify the server, without any credentials."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    except ValueError:
        return url
    return f"{parts.scheme}://{host}{port}" if parts.scheme and host else url


def _of_status(exception: Any, details: dict[str, Any]) -> APIStatusError:
    status = exception.status_code
    body = exception.body
    message = one_line(_message_in(body)) if body else ""
    if isinstance(body, str) and body.lstrip().startswith("<"):
        message = f"HTTP {status}: {message}"
    error = body.get("error", body) if isinstance(body, Mapping) else None
    codes = [error.get(key) for key in ("code", "type")] if isinstance(error, Mapping) else []
    details = {
        **details,
        "retry_after": retry_after_of(exception),
        "request_id": getattr(exception, "request_id", None),
    }
    reason = getattr(exception.response, "reason_phrase", "")
    return _status_error(status, message or f"HTTP {status} {reason}".strip(), _words(codes), details)


def _status_error(status: int, message: str, words: str, details: dict[str, Any]) -> APIStatusError:
    error = status_error(status, message, **details)
    kind: type[APIStatusError] | None = None
    if "context_length" in words or "context_size" in words:
        kind = ContextLengthError
    elif status == 429 and "insufficient_quota" in words:
        kind = PermissionDeniedError  # no credit left: waiting does not help
    elif status in (400, 422) and not isinstance(error, ContextLengthError | ImageInputError):
        said = f"{message} {words}"
        kind = next((kind for kind, signs in _TELLTALES if signs.search(said)), None)
    return error if kind is None else kind(message, status_code=status, **details)


def _of_network(
    exception: BaseException, asked: Asked, answering: bool, details: dict[str, Any]
) -> APIConnectionError | StreamInterruptedError:
    names = _names(type(exception))
    where = origin(asked.url)
    if "ConnectTimeout" in names:
        return APITimeoutError(f"cannot connect to {where} within {asked.connect_timeout:g} s", **details)
    if "PoolTimeout" in names:
        return APITimeoutError(f"too many open connections to {where}", **details)
    if "TimeoutException" in names or isinstance(exception, TimeoutError):
        said = f"nothing came from {where} for" if answering else f"no answer from {where} within"
        return APITimeoutError(f"{said} {asked.timeout:g} s", **details)
    reason = _reason(exception)
    if "UnsupportedProtocol" in names or "InvalidURL" in names:
        return APIConnectionError(f"the base URL {asked.url!r} cannot be used ({reason})", **details)
    if "ProxyError" in names:
        return APIConnectionError(f"the proxy does not let through to {where} ({reason})", **details)
    if "ConnectError" in names:
        return APIConnectionError(f"cannot connect to {where} ({reason})", **details)
    if answering:
        return StreamInterruptedError(
            f"the connection to {where} was lost in the middle of the answer ({reason})", **details
        )
    return APIConnectionError(f"the connection to {where} was lost before an answer came ({reason})", **details)


def _is_of_network(exception: BaseException) -> bool:
    names, library = _names(type(exception)), _library(exception)
    if library in _HTTP_LIBRARIES:
        return any(
            name in ("RequestError", "InvalidURL", "TimeoutException", "NetworkError", "ProtocolError")
            for name in names
        )
    if library == "anyio":
        return any(name in _BROKEN_PIPES for name in names)
    return isinstance(exception, ConnectionError | TimeoutError | ssl.SSLError)


def _reason(exception: BaseException) -> str:
    """Return the operating system's message, if there is one, because it is clearer than the HTTP library's."""
    said = one_line(str(exception), 200) or type(exception).__name__
    for link in _causes(exception):
        if isinstance(link, ssl.SSLCertVerificationError):
            return one_line(f"certificate verify failed: {link.verify_message}", 200)
        if isinstance(link, OSError) and link.strerror and not isinstance(link, ssl.SSLError):
            words = link.strerror
            # asyncio writes: Connect call failed ('127.0.0.1', 1)
            found = re.match(r"(?:\[Errno -?\d+\] )?Connect call failed", words)
            said = _ERRNO_WORDS.get(type(link).__name__, words) if found else words
    return said


_ERRNO_WORDS = {
    "ConnectionRefusedError": "Connection refused",
    "ConnectionResetError": "Connection reset by peer",
    "ConnectionAbortedError": "Connection aborted",
}


def _causes(exception: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    links: list[BaseException | None] = [exception]
    while links:
        link = links.pop(0)
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        links += [link.__cause__, link.__context__]
        links += list(getattr(link, "exceptions", ()))


def _message_in(body: Any) -> str:
    """Return the message in an error's body, whatever the body's form."""
    match body:
        case str():
            return _message_in_text(body)
        case [first, *_]:
            return _message_in(first)
        case {"error": (dict() | str()) as error} if error:
            return _message_in(error)
        case {"message": str() as message} if message:
            return _message_in_text(message)
        case {"message": (dict() | list()) as message} if message:
            return _message_in(message)
        case {"detail": str() as detail}:
            return detail
        case {"detail": [{"msg": str() as what, **rest}, *_]}:
            place = ".".join(str(step) for step in _as_list(rest.get("loc")))
            return f"{place}: {what}" if place else what
        case {"msg": str() as message}:
            return message
        case dict():
            return json.dumps(body, ensure_ascii=False, default=str)
    return "" if body is None else str(body)


def _message_in_text(text: str) -> str:
    """Return the title of an HTML page, the message of an error in JSON within the text, or else the text."""
    start = text.lstrip()[:200].lower()
    if start.startswith("<"):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        return title[1] if title and title[1].strip() else "a page of HTML came in place of an answer"
    if start.startswith(('{"', "[{")):
        try:
            inner = json.loads(text)
        except ValueError:
            return text
        return _message_in(inner) if inner else text
    return text


def _status_of_code(code: Any) -> int | None:
    if isinstance(code, str):
        code = int(code) if code.isdigit() else _STATUS_BY_WORD.get(code.lower())
    return code if isinstance(code, int) and 400 <= code <= 599 else None


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _words(codes: list[Any]) -> str:
    return " ".join(code.lower() for code in codes if isinstance(code, str))


def _names(kind: type[BaseException]) -> list[str]:
    return [base.__name__ for base in kind.__mro__]


def _library(exception: BaseException) -> str:
    # Look at all base classes, because a subclass may be defined elsewhere.
    for base in type(exception).__mro__:
        library = base.__module__.partition(".")[0]
        if library in _SDKS or library in _HTTP_LIBRARIES or library == "anyio":
            return library
    return type(exception).__module__.partition(".")[0]
