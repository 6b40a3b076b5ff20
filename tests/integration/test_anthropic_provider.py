"""`AnthropicProvider` against a real server, without an event loop and with one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from fault_answers import ODD_TEXT
from fault_server import FaultServer
from heard import Ask

from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from nbretry.providers import AnthropicProvider
from nbretry.types import ResponseInfo, Usage

KEY = "sk-ant-0123456789abcdef"


@pytest.fixture
def provider(server: FaultServer) -> AnthropicProvider:
    return AnthropicProvider(KEY, "ok", "fake", server.origin, timeout=30.0)


@pytest.fixture
def hasty(server: FaultServer) -> AnthropicProvider:
    """A provider that gives up a silent connection soon, for what ends in no other way."""
    return AnthropicProvider(KEY, "ok", "fake", server.origin, timeout=1.5)


def test_an_answer_brings_its_text_and_who_gave_it(ask: Ask, provider: AnthropicProvider) -> None:
    """The text comes in the pieces that were sent, and model, request id, reason and usage are told as everywhere."""
    heard = ask(provider)
    assert heard.exception is None
    assert [chunk for chunk in heard.chunks if isinstance(chunk, str)] == ["Hello", " ", "wide", " ", "world"]
    assert heard.chunks[0] == ResponseInfo(model="ok-full", request_id="req-1")
    assert heard.finish_reason == "stop"
    assert heard.usage == Usage(7, 5)


def test_the_prompts_tokens_are_told_first(ask: Ask, provider: AnthropicProvider) -> None:
    """What the prompt cost is known also where the answer breaks off."""
    heard = ask(provider, "cut-2")
    assert isinstance(heard.exception, StreamInterruptedError)
    assert heard.usage == Usage(7, None)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("plain", "Hello wide world"),
        ("odd", ODD_TEXT),
        ("crlf", "Hello world"),
        ("huge-2000000", "x" * 2_000_000),
        ("thinking", "Hello wide world"),
        ("length", "Hello wide world"),
    ],
)
def test_whole_answers(ask: Ask, provider: AnthropicProvider, model: str, text: str) -> None:
    """However a server puts and cuts a whole answer, its text is heard as it was sent."""
    heard = ask(provider, model)
    assert heard.exception is None
    assert heard.text == text
    assert heard.finish_reason == ("length" if model == "length" else "stop")
    assert heard.reasoning == ("let me see" if model == "thinking" else "")


FAILURES: list[tuple[str, type[ProviderError], str, str]] = [
    ("400", BadRequestError, "", "this is a 400"),
    ("401", AuthenticationError, "", "this is a 401"),
    ("403", PermissionDeniedError, "", "this is a 403"),
    ("404", NotFoundError, "", "this is a 404"),
    ("413", ContextLengthError, "", "this is a 413"),
    ("429-3", RateLimitError, "", "this is a 429"),
    ("500", ServerError, "", "this is a 500"),
    ("529", ServerError, "", "this is a 529"),
    ("says-Your.credit.balance.is.too.low", PermissionDeniedError, "", "Your credit balance is too low"),
    ("says-prompt.is.too.long:.9.tokens", ContextLengthError, "", "prompt is too long"),
    ("html", StreamInterruptedError, "", "a page of HTML came in place of an answer"),
    ("refuse", APIConnectionError, "", "was lost before an answer came"),
    ("hang", APITimeoutError, "", "within 1.5 s"),
    ("drip-50", APITimeoutError, "", "nothing but keep-alive comments came"),
    ("cut-3", StreamInterruptedError, "Hello wide", "without saying that the answer is complete"),
    ("nodone", StreamInterruptedError, "Hello wide world", "without saying that the answer is complete"),
    ("reset-3", StreamInterruptedError, "Hello wide", "was lost in the middle of the answer"),
    ("error-0", ServerError, "", "Overloaded"),
    ("error-3", ServerError, "Hello wide", "Overloaded"),
    ("badjson-3", StreamInterruptedError, "Hello wide", "something that is not JSON: {not json"),
    ("oddform", StreamInterruptedError, "", "an event of an unknown form"),
]


@pytest.mark.parametrize(("model", "kind", "text", "message"), FAILURES, ids=[row[0] for row in FAILURES])
def test_failures(
    ask: Ask,
    provider: AnthropicProvider,
    hasty: AnthropicProvider,
    model: str,
    kind: type[ProviderError],
    text: str,
    message: str,
) -> None:
    """Each failure is one class of ours with one clear line, told after the text that came before it."""
    heard = ask(hasty if kind is APITimeoutError else provider, model)
    assert type(heard.exception) is kind
    assert message in str(heard.exception)
    assert heard.text == text
    assert heard.exception.provider == "fake"


def test_an_overloaded_stream_has_its_status(ask: Ask, provider: AnthropicProvider) -> None:
    """An ``overloaded_error`` inside a stream is the 529 that it would have been before it, with the request's id."""
    exception = ask(provider, "error-1").exception
    assert isinstance(exception, ServerError)
    assert (exception.status_code, exception.request_id) == (529, "req-1")


def test_a_request_is_what_this_protocol_wants(ask: Ask, provider: AnthropicProvider, server: FaultServer) -> None:
    """System messages go to ``system``, one role in a row becomes one message, and OpenAI's names are put right."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "One"},
        {"role": "user", "content": [{"type": "text", "text": "Two"}, picture]},
        {"role": "system", "content": "Be kind."},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": "Three"},
        {"role": "user", "content": "Four"},
    ]
    sent = json.loads(ask(provider, "echo", messages, stop="END", temperature=0, seed=None).text)
    assert sent["system"] == "Be short.\n\nBe kind."
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in sent["messages"][0]["content"]] == ["text", "text", "image"]
    assert sent["messages"][0]["content"][2]["source"] == {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    assert sent["messages"][2]["content"] == "Three\n\nFour"
    assert (sent["max_tokens"], sent["stop_sequences"], sent["temperature"]) == (4096, ["END"], 0)
    assert "seed" not in sent
    headers = server.seen[0].headers  # the SDK's 1.x sends the key in the first of these, its 2.x in the second
    assert KEY in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer "))


def test_max_tokens(ask: Ask, provider: AnthropicProvider) -> None:
    """The longest answer is the question's to say, by either of OpenAI's names."""
    assert json.loads(ask(provider, "echo", max_tokens=5).text)["max_tokens"] == 5
    assert json.loads(ask(provider, "echo", max_completion_tokens=6).text)["max_tokens"] == 6


def test_without_a_stream_the_answer_is_one_chunk(ask: Ask, provider: AnthropicProvider, server: FaultServer) -> None:
    """``stream=False`` makes one request without a stream, and its text comes at once, with reason and usage."""
    heard = ask(provider, stream=False)
    assert [chunk for chunk in heard.chunks if isinstance(chunk, str)] == ["Hello wide world"]
    assert (heard.finish_reason, heard.usage) == ("stop", Usage(7, 5))
    assert server.seen[0].body["stream"] is False


def test_no_key(ask: Ask) -> None:
    """Without a key the failure names the variable, and comes with the question."""
    exception = ask(AnthropicProvider(model="m")).exception
    assert type(exception) is AuthenticationError
    assert str(exception) == (
        "ANTHROPIC_API_KEY is not set: set it in the environment or in .env, or run %nbretry key anthropic"
    )


def test_cancelling_closes_the_connection(server: FaultServer) -> None:
    """A task that is cancelled while it waits for the server ends at once, and the server sees its client go."""
    provider = AnthropicProvider(KEY, "paced-5", base_url=server.origin)

    async def main() -> None:
        task = asyncio.create_task(provider.create_async("", [{"role": "user", "content": "x"}]))
        assert await server.await_for(lambda server: server.open_streams == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.await_for(lambda server: server.disconnects == 1, 5)

    asyncio.run(main())
