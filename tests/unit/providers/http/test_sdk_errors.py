"""The border where the exceptions of SDKs become ours: none is without a place, and every message is one line."""

from __future__ import annotations

import inspect
import ssl
from types import ModuleType
from typing import Any

import anthropic
import anyio
import httpx2
import openai
import pytest

from nbretry._utils.text import one_line
from nbretry.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    ServerError,
    StreamError,
    StreamInterruptedError,
)
from nbretry.providers.http.sdk_errors import Asked, error_in_stream, is_mapped, origin, translate

ASKED = Asked("fake", "m", "https://user:hunter22@host.example:8443/v1", 60.0, 10.0)
REQUEST = httpx2.Request("POST", "https://host.example/v1/chat/completions")


def exceptions_of(sdk: ModuleType, root: type[Exception]) -> list[type[Exception]]:
    """Every exception class that the SDK shows or defines, its root aside."""
    found = (kind for module in (sdk, sdk._exceptions) for kind in list(vars(module).values()))
    classes = {kind for kind in found if inspect.isclass(kind) and issubclass(kind, Exception)}
    return sorted(classes - {root}, key=lambda kind: kind.__name__)


SDK_CLASSES = exceptions_of(openai, openai.OpenAIError) + exceptions_of(anthropic, anthropic.AnthropicError)


def made(kind: type[Exception], status: int = 418) -> Exception:
    """An exception of an SDK's class, by whatever its constructor wants."""
    status = getattr(kind, "status_code", status)
    response = httpx2.Response(status, request=REQUEST, headers={"x-request-id": "req-1", "request-id": "req-1"})
    known = {"message": "why", "response": response, "body": {"message": "why"}, "request": REQUEST, "completion": None}
    wanted = inspect.signature(kind.__init__).parameters
    if "completion" in wanted:
        known["completion"] = type("Completion", (), {"usage": None})()
    if "unsent_messages" in wanted:
        return kind("why", unsent_messages=[])  # type: ignore[call-arg]
    keywords = {
        name: known[name] for name in wanted if name in known and wanted[name].kind is not wanted[name].VAR_KEYWORD
    }
    if keywords:
        return kind(**keywords)
    return kind("why") if len(wanted) > 1 else kind()


@pytest.mark.parametrize("kind", SDK_CLASSES, ids=lambda kind: f"{kind.__module__.partition('.')[0]}.{kind.__name__}")
def test_every_class_of_the_sdks_is_mapped(kind: type[Exception]) -> None:
    """Each exception class of both SDKs has a place in our table, and becomes one of our classes with one line."""
    assert is_mapped(kind)
    error = translate(made(kind), ASKED)
    assert isinstance(error, ProviderError)
    assert type(error) is not ProviderError
    assert str(error)
    assert "\n" not in str(error)
    assert (error.provider, error.model) == ("fake", "m")


def test_both_sdks_were_looked_through() -> None:
    """The walk has found the classes that are known to be there."""
    names = {kind.__name__ for kind in SDK_CLASSES}
    assert {"RateLimitError", "APITimeoutError", "OverloadedError", "LengthFinishReasonError"} <= names


STATUSES: list[tuple[int, type[APIStatusError]]] = [
    (400, BadRequestError),
    (401, AuthenticationError),
    (402, PermissionDeniedError),
    (403, PermissionDeniedError),
    (404, NotFoundError),
    (408, APIStatusError),
    (409, APIStatusError),
    (413, ContextLengthError),
    (422, BadRequestError),
    (429, RateLimitError),
    (500, ServerError),
    (502, ServerError),
    (529, ServerError),
]


@pytest.mark.parametrize("sdk", [openai, anthropic])
@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_statuses(sdk: Any, status: int, kind: type[APIStatusError]) -> None:
    """Each HTTP status becomes its class, with the request's id, whichever SDK it came by."""
    headers = {"retry-after": "3", "x-request-id": "req-1", "request-id": "req-1"}
    response = httpx2.Response(status, request=REQUEST, headers=headers)
    error = translate(sdk.APIStatusError("Error code", response=response, body={"message": "why"}), ASKED)
    assert type(error) is kind
    assert (str(error), error.status_code, error.retry_after, error.request_id) == ("why", status, 3.0, "req-1")


BODIES: list[tuple[Any, str]] = [
    ({"error": {"message": "why"}}, "why"),
    ({"error": "why"}, "why"),
    ([{"error": {"message": "why", "status": "UNAVAILABLE"}}], "why"),
    ({"message": "why\nnot"}, "why not"),
    ({"message": {"detail": "why"}}, "why"),
    ({"detail": "why"}, "why"),
    ({"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}, "body.messages: field required"),
    ({"error": {"message": '{"error": {"message": "inner"}}'}}, "inner"),
    ("  why  ", "why"),
    ("<html><head><title>502\nBad Gateway</title></head></html>", "HTTP 500: 502 Bad Gateway"),
    ("<!doctype html><p>hello", "HTTP 500: a page of HTML came in place of an answer"),
    ({"odd": 1}, '{"odd": 1}'),
    (None, "HTTP 500 Internal Server Error"),
    ("", "HTTP 500 Internal Server Error"),
]


@pytest.mark.parametrize(("body", "message"), BODIES)
def test_the_servers_own_words(body: Any, message: str) -> None:
    """The message is what the server says, however it puts it, in one line and without its syntax."""
    response = httpx2.Response(500, request=REQUEST)
    error = translate(openai.InternalServerError("Error code: 500", response=response, body=body), ASKED)
    assert str(error) == message


def test_a_very_long_message_is_shortened() -> None:
    """A server's message of many lines and kilobytes is one line that fits into a table."""
    response = httpx2.Response(500, request=REQUEST)
    error = translate(openai.InternalServerError("x", response=response, body="word\n" * 1000), ASKED)
    assert len(str(error)) == 500
    assert str(error).endswith("…")


REFINED: list[tuple[int, dict[str, Any], type[APIStatusError]]] = [
    (400, {"message": "too long", "code": "context_length_exceeded"}, ContextLengthError),
    (400, {"message": "no", "type": "exceed_context_size_error"}, ContextLengthError),
    (400, {"message": "prompt is too long: 9 tokens > 8 maximum"}, ContextLengthError),
    (400, {"message": "Incorrect API key provided: x."}, AuthenticationError),
    (400, {"message": "API key not valid. Please pass a valid API key."}, AuthenticationError),
    (400, {"message": "Your credit balance is too low to access the API."}, PermissionDeniedError),
    (400, {"message": "Model Not Exist"}, NotFoundError),
    (400, {"message": "The model `gpt-4.1-x` does not exist"}, NotFoundError),
    (400, {"message": "acme/x is not a valid model ID"}, NotFoundError),
    (429, {"message": "no", "code": "insufficient_quota"}, PermissionDeniedError),
    (400, {"message": "messages: field required"}, BadRequestError),
    (429, {"message": "no", "code": "rate_limit_exceeded"}, RateLimitError),
]


@pytest.mark.parametrize(("status", "body", "kind"), REFINED)
def test_what_a_status_alone_does_not_say(status: int, body: dict[str, Any], kind: type[APIStatusError]) -> None:
    """A 400 about a key, credit, model or length, and a 429 without credit, let the next provider be asked at once."""
    response = httpx2.Response(status, request=REQUEST)
    error = translate(openai.APIStatusError("x", response=response, body=body), ASKED)
    assert type(error) is kind
    assert error.status_code == status


NETWORK: list[tuple[Exception, bool, type[ProviderError], str]] = [
    (httpx2.ConnectTimeout("x"), False, APITimeoutError, "cannot connect to https://host.example:8443 within 10 s"),
    (httpx2.PoolTimeout("x"), False, APITimeoutError, "too many open connections to https://host.example:8443"),
    (httpx2.ReadTimeout("x"), False, APITimeoutError, "no answer from https://host.example:8443 within 60 s"),
    (httpx2.ReadTimeout("x"), True, APITimeoutError, "nothing came from https://host.example:8443 for 60 s"),
    (httpx2.ConnectError("no"), False, APIConnectionError, "cannot connect to https://host.example:8443 (no)"),
    (httpx2.ReadError(""), True, StreamInterruptedError, "(ReadError)"),
    (httpx2.ReadError(""), False, APIConnectionError, "lost before an answer came (ReadError)"),
    (httpx2.RemoteProtocolError("odd"), True, StreamInterruptedError, "in the middle of the answer (odd)"),
    (httpx2.DecodingError("odd"), True, StreamInterruptedError, "(odd)"),
    (httpx2.ProxyError("403"), False, APIConnectionError, "the proxy does not let through"),
    (httpx2.UnsupportedProtocol("no scheme"), False, APIConnectionError, "cannot be used (no scheme)"),
    (httpx2.InvalidURL("bad port"), False, APIConnectionError, "cannot be used (bad port)"),
    (anyio.EndOfStream(), True, StreamInterruptedError, "(EndOfStream)"),
    (ssl.SSLError(1, "bad record"), True, StreamInterruptedError, "bad record"),
    (ConnectionResetError(104, "Connection reset by peer"), True, StreamInterruptedError, "(Connection reset by peer)"),
]


@pytest.mark.parametrize(("exception", "answering", "kind", "message"), NETWORK)
def test_the_network(exception: Exception, answering: bool, kind: type[ProviderError], message: str) -> None:
    """What the HTTP library or the system raises says where and why, and whether the answer had begun."""
    error = translate(exception, ASKED, answering=answering)
    assert type(error) is kind
    assert message in str(error)
    assert "hunter22" not in str(error)


def test_every_transport_error_of_the_http_library_is_mapped() -> None:
    """Each exception class that a request can raise in the HTTP library becomes one of ours."""
    classes = [
        kind for kind in vars(httpx2).values() if inspect.isclass(kind) and issubclass(kind, httpx2.RequestError)
    ]
    assert len(classes) > 10
    for kind in classes:
        assert isinstance(translate(kind("why"), ASKED), ProviderError), kind


def test_the_systems_reason_is_found_below() -> None:
    """The reason is the system's own, from below the layers that only say that it failed."""
    failed = openai.APIConnectionError(request=REQUEST)
    failed.__cause__ = httpx2.ConnectError("All connection attempts failed")
    both = ExceptionGroup("two addresses", [ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)")])
    failed.__cause__.__cause__ = both
    error = translate(failed, ASKED)
    assert str(error) == "cannot connect to https://host.example:8443 (Connection refused)"


def test_a_bad_certificate_is_named() -> None:
    """A certificate that cannot be verified is told as that."""
    bad = ssl.SSLCertVerificationError(1, "certificate verify failed")
    bad.verify_message = "self-signed certificate"
    failed = httpx2.ConnectError("x")
    failed.__cause__ = bad
    assert "(certificate verify failed: self-signed certificate)" in str(translate(failed, ASKED))


IN_STREAM: list[tuple[Any, type[ProviderError], int | None]] = [
    ({"message": "why", "code": 503}, ServerError, 503),
    ({"message": "why", "code": "429"}, RateLimitError, 429),
    ({"message": "why", "code": None, "type": "server_error"}, ServerError, 500),
    ({"message": "why", "type": "overloaded_error"}, ServerError, 529),
    ({"message": "why", "code": "rate_limit_exceeded"}, RateLimitError, 429),
    ({"message": "why", "code": "insufficient_quota"}, PermissionDeniedError, 429),
    ({"message": "why", "type": "authentication_error"}, AuthenticationError, 401),
    ({"message": "why", "type": "invalid_request_error", "code": "context_length_exceeded"}, ContextLengthError, 400),
    ({"message": "why", "code": 7}, StreamInterruptedError, None),
    ("why", StreamInterruptedError, None),
    ({}, StreamInterruptedError, None),
]


@pytest.mark.parametrize(("error", "kind", "status"), IN_STREAM)
def test_errors_inside_a_stream(error: Any, kind: type[ProviderError], status: int | None) -> None:
    """An error object inside an answer becomes what its code, status or type stands for."""
    ours = error_in_stream(error, {"request_id": "req-1"})
    assert type(ours) is kind
    assert (ours.status_code, ours.request_id) == (status, "req-1")
    assert isinstance(ours, APIStatusError | StreamError)


@pytest.mark.parametrize("exception", [ValueError("x"), KeyError("x"), openai.OpenAIError, RuntimeError("bug")])
def test_what_is_not_theirs_passes(exception: Any) -> None:
    """A bug, and whatever else is no failure of a provider, is not taken for one; an SDK's bare root class is."""
    if exception is openai.OpenAIError:
        assert type(translate(openai.OpenAIError("Missing credentials."), ASKED)) is ProviderError
    else:
        assert translate(exception, ASKED) is None


def test_ours_are_completed() -> None:
    """An exception of ours is kept, and told whom it is about."""
    ours = StreamInterruptedError("cut", model="own")
    assert translate(ours, ASKED) is ours
    assert (ours.provider, ours.model) == ("fake", "own")


def test_small_helpers() -> None:
    """A URL is shown as scheme, host and port, and a text as one line."""
    assert origin("http://[::1]:80/v1") == "http://[::1]:80"
    assert origin("nonsense") == "nonsense"
    assert origin("http://host:port/") == "http://host:port/"
    assert one_line(" a\n\tb ") == "a b"
