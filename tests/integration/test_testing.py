"""`nbretry.testing` misbehaves as scripted: in the process, on the wire, and through a `RetryProvider`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from heard import QUESTION, Ask
from raw_http import GENEROUS, post

from nbretry import RetryProvider, RetryProviderError
from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    EmptyResponseError,
    NotFoundError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from nbretry.providers import AnthropicProvider, BaseProvider
from nbretry.testing import FaultServer, simulate
from nbretry.types import Usage

Speak = Callable[..., BaseProvider]


def over_openai(server: FaultServer, model: str = "simulated", **settings: Any) -> BaseProvider:
    return server.provider(model, **settings)


def over_anthropic(server: FaultServer, model: str = "simulated", **settings: Any) -> BaseProvider:
    return AnthropicProvider("none", model, model, server.origin, **settings)


both_protocols = pytest.mark.parametrize("speak", [over_openai, over_anthropic])
streamed_or_not = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def events(body: bytes) -> list[Any]:
    """The JSON of a stream's events."""
    lines = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


FAULTS: list[tuple[str, type[Exception], str]] = [
    ("500", ServerError, ""),
    ("503 message='busy'", ServerError, ""),
    ("429 retry-after=2", RateLimitError, ""),
    ("401", AuthenticationError, ""),
    ("404", NotFoundError, ""),
    ("400", BadRequestError, ""),
    ("400 message='the prompt is too long'", ContextLengthError, ""),
    ("reset", APIConnectionError, ""),
    ("headers reset", StreamInterruptedError, ""),
    ("'Hel' 'lo' reset", StreamInterruptedError, "Hello"),
    ("cut", StreamInterruptedError, ""),
    ("'Hel' 'lo' cut", StreamInterruptedError, "Hello"),
    ("badjson", StreamInterruptedError, ""),
    ("'Hello' badjson", StreamInterruptedError, "Hello"),
    ("end", StreamInterruptedError, ""),
    ("'Hello' end", StreamInterruptedError, "Hello"),
    ("headers 503", ServerError, ""),
    ("'Hello' 529 message='overloaded'", ServerError, "Hello"),
]


@both_protocols
@pytest.mark.parametrize(("script", "kind", "text"), FAULTS, ids=[row[0] for row in FAULTS])
def test_each_fault_on_the_wire(ask: Ask, speak: Speak, script: str, kind: type[Exception], text: str) -> None:
    """A fault comes through a real connection as the exception that it stands for, after the text before it."""
    with FaultServer(script) as server:
        heard = ask(speak(server))
        assert type(heard.exception) is kind
        assert heard.text == text
        assert server.wait_until_idle(GENEROUS)


SWALLOWED = {"'Hel' 'lo' reset": APIConnectionError}
"""What is another fault without a stream: a connection that is reset after some text has not begun to answer then."""


@both_protocols
@pytest.mark.parametrize(("script", "kind", "text"), FAULTS, ids=[row[0] for row in FAULTS])
def test_each_fault_without_a_stream(ask: Ask, speak: Speak, script: str, kind: type[Exception], text: str) -> None:
    """Without a stream a fault is the same exception, and no text comes with it."""
    with FaultServer(script) as server:
        heard = ask(speak(server), stream=False)
    assert type(heard.exception) is SWALLOWED.get(script, kind)
    assert heard.text == ""


@streamed_or_not
@pytest.mark.parametrize(("script", "kind", "text"), FAULTS, ids=[row[0] for row in FAULTS])
def test_each_fault_in_the_process(ask: Ask, script: str, kind: type[Exception], text: str, stream: bool) -> None:
    """`simulate` plays the same script to the same exception, without a network."""
    heard = ask(simulate(script), stream=stream)
    assert type(heard.exception) is (kind if stream else SWALLOWED.get(script, kind))
    assert heard.text == (text if stream else "")


@both_protocols
@pytest.mark.parametrize(
    ("script", "text", "message"),
    [
        ("hang", "", "no answer from"),
        ("headers hang", "", "nothing came from"),
        ("'Hello' hang", "Hello", "nothing came from"),
        ("keepalive", "", "nothing but keep-alive comments came"),
        ("'Hello' keepalive", "Hello", "nothing but keep-alive comments came"),
    ],
)
def test_a_hang_lasts_until_the_client_gives_up(speak: Speak, script: str, text: str, message: str) -> None:
    """What hangs does so at the point that the script says, and is over when the client has gone away."""
    with FaultServer(script) as server:
        chunks = speak(server, timeout=2.0).stream_chunks("", QUESTION)
        got: list[Any] = []
        with pytest.raises(APITimeoutError, match=message):
            got.extend(chunk for chunk in chunks if isinstance(chunk, str))
        assert "".join(got) == text
        assert server.wait_until_idle(GENEROUS)


@both_protocols
@streamed_or_not
def test_an_answer_on_the_wire(ask: Ask, speak: Speak, stream: bool) -> None:
    """An answer has its text, its reasoning, why it ended, the tokens, its model and an identifier."""
    with FaultServer("reasoning='let me see' 'Hello' ' wide\u2028' ' world é' finish=length") as server:
        heard = ask(speak(server, "m-1"), stream=stream)
    assert heard.exception is None
    assert (heard.text, heard.reasoning) == ("Hello wide\u2028 world é", "let me see")
    assert heard.finish_reason == "length"
    assert heard.usage == Usage(3, 7)
    assert heard.info is not None
    assert (heard.info.model, heard.info.request_id) == ("m-1", "req-1")


@both_protocols
def test_usage_that_the_script_tells(ask: Ask, speak: Speak) -> None:
    """Tokens that a script names are told as they are."""
    with FaultServer([["Hello", Usage(70, 50)]]) as server:
        assert ask(speak(server), stream=False).usage == Usage(70, 50)


@both_protocols
@streamed_or_not
def test_an_empty_answer(ask: Ask, speak: Speak, stream: bool) -> None:
    """An empty answer ends as it should and has no content, which the engine counts as a failure."""
    with FaultServer("empty") as server:
        provider = speak(server)
        heard = ask(provider, stream=stream)
        assert (heard.exception, heard.text, heard.finish_reason) == (None, "", "stop")
        with pytest.raises(RetryProviderError) as caught:
            list(RetryProvider([provider]).create_completion("", QUESTION, stream=stream))
    assert [type(error) for error in caught.value.exceptions.values()] == [EmptyResponseError]


def test_the_form_of_a_stream() -> None:
    """OpenAI's stream begins with the role and ends with ``[DONE]``; the tokens are told where they are asked for."""
    with FaultServer("'Hello'") as server:
        status, headers, body = post(server, {"model": "m", "stream": True})
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert body.endswith(b"data: [DONE]\n\n")
        role, text, finish = [event["choices"][0] for event in events(body)]
        assert role["delta"]["role"] == "assistant"
        assert text["delta"] == {"content": "Hello"}
        assert finish["finish_reason"] == "stop"
        asked = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
        assert events(post(server, asked)[2])[-1]["usage"]["completion_tokens"] == 1


def test_the_form_of_anthropics_stream() -> None:
    """Anthropic's stream has its events in their order, and a block for the reasoning before the one for the text."""
    with FaultServer("reasoning='hm' 'Hello'") as server:
        body = post(server, {"model": "m", "stream": True}, "/v1/messages")[2]
    kinds = [event["type"] for event in events(body)]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert kinds == ["message_start", "ping", *block, *block, "message_delta", "message_stop"]
    assert [event["index"] for event in events(body) if "index" in event] == [0, 0, 0, 1, 1, 1]


def test_the_form_of_a_refusal() -> None:
    """A refusal has its protocol's own JSON, and says when to come back in seconds or as a date."""
    with FaultServer("429 retry-after=2, 429 retry-after-date=100 message='slow down'") as server:
        status, headers, body = post(server, {"model": "m"})
        assert (status, headers["retry-after"]) == (429, "2")
        assert json.loads(body)["error"]["type"] == "rate_limit_error"
        status, headers, body = post(server, {"model": "m"}, "/v1/messages")
        said = json.loads(body)
        assert (status, said["type"]) == (429, "error")
        assert said["error"] == {"type": "rate_limit_error", "message": "slow down"}
        seconds = parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time()
        assert 100 - GENEROUS < seconds <= 101
        with pytest.raises(RateLimitError) as refused:
            list(server.provider().stream_chunks("", QUESTION))
        assert refused.value.retry_after == pytest.approx(100, abs=GENEROUS)


def test_an_error_inside_a_stream() -> None:
    """After text a status is an event of the stream, which then ends as a stream does."""
    with FaultServer("'Hello' 503 message='busy'") as server:
        status, _, body = post(server, {"model": "m", "stream": True})
        assert status == 200
        assert events(body)[-1]["error"] == {"message": "busy", "type": "server_error", "param": None, "code": 503}
        body = post(server, {"model": "m", "stream": True}, "/v1/messages")[2]
        assert events(body)[-1] == {"type": "error", "error": {"type": "api_error", "message": "busy"}}


def test_delays_are_waited_for() -> None:
    """A delay of the script and the server's own one before each chunk of text are both waited for."""
    with FaultServer("delay=0.3 'a' 'b'", delay=0.2) as server:
        begun = time.monotonic()
        assert "".join(server.provider().create_completion("", QUESTION)) == "ab"
        assert time.monotonic() - begun > 0.65


PASSING = ["500", "reset", "'' cut", "end", "empty", "badjson", "headers 503", "429 retry-after=0.01"]


@pytest.mark.parametrize("script", PASSING)
@both_protocols
def test_through_a_retry_provider(speak: Speak, script: str) -> None:
    """After a fault that passes the same provider answers at the second try, or else the next one does."""
    with FaultServer({"flaky": f"{script}, 'again'", "broken": script, "good": "'Hello'"}) as server:
        flaky, broken, good = (speak(server, model) for model in ("flaky", "broken", "good"))
        again = RetryProvider([flaky], single_provider_retry=True)
        assert "".join(again.create_completion("", QUESTION, stream=True)) == "again"
        fallback = RetryProvider([broken, good], shuffle=False)
        answer = asyncio.run(fallback.answer("", QUESTION))
        assert (answer.text, answer.provider) == ("Hello", "good")
        assert [request.model for request in server.requests] == ["flaky", "flaky", "broken", "good"]


@both_protocols
def test_what_hangs_through_a_retry_provider(speak: Speak) -> None:
    """A provider that hangs is given up for the next one when its time is over."""
    with FaultServer({"hangs": "hang", "good": "'Hello'"}) as server:
        providers = [speak(server, "hangs", timeout=1.0), speak(server, "good")]
        answer = asyncio.run(RetryProvider(providers, shuffle=False).answer("", QUESTION))
        assert answer.text == "Hello"
        assert [type(attempt.exception) for attempt in answer.attempts] == [APITimeoutError, type(None)]
        assert server.wait_until_idle(GENEROUS)


@both_protocols
def test_a_broken_stream_through_a_retry_provider(speak: Speak) -> None:
    """After the first text nobody else is asked: the error is raised, and the text before it was given."""
    with FaultServer({"cut": "'Hel' 'lo' cut", "good": "ok"}) as server:
        retry_provider = RetryProvider([speak(server, "cut"), speak(server, "good")], shuffle=False)
        got: list[str] = []
        with pytest.raises(StreamInterruptedError):
            got.extend(retry_provider.create_completion("", QUESTION, stream=True))
        assert "".join(got) == "Hello"
        assert [request.model for request in server.requests] == ["cut"]


def test_simulate() -> None:
    """`simulate` gives a provider with its name, its model and its clock, which records its calls."""
    provider = simulate("500, 'Hello'", name="flaky", model="m-1")
    answer = asyncio.run(RetryProvider([provider, simulate(name="good")], shuffle=False).answer("", QUESTION))
    assert (answer.provider, answer.text, answer.model) == ("good", "All is well.", "simulated")
    assert "".join(provider.create_completion("", QUESTION)) == "Hello"
    assert [call.messages for call in provider.calls] == [QUESTION, QUESTION]
    assert (provider.name, provider.default_model) == ("flaky", "m-1")
