"""`OpenAIProvider` against a real server, without an event loop and with one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from fault_answers import ODD_TEXT
from fault_server import FaultServer
from heard import QUESTION, Ask

import nbretry
from nbretry._utils.redaction import mask
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
from nbretry.providers import AnthropicProvider, OpenAIProvider
from nbretry.types import ResponseInfo, Usage

ROOT = Path(nbretry.__file__).parents[1]
KEY = "sk-test-0123456789abcdef"


@pytest.fixture
def provider(server: FaultServer) -> OpenAIProvider:
    return OpenAIProvider(server.url, KEY, "ok", "fake", timeout=30.0)


@pytest.fixture
def hasty(server: FaultServer) -> OpenAIProvider:
    """A provider that gives up a silent connection soon, for what ends in no other way."""
    return OpenAIProvider(server.url, KEY, "ok", "fake", timeout=1.5)


def test_an_answer_brings_its_text_and_who_gave_it(ask: Ask, provider: OpenAIProvider) -> None:
    """The text comes in the pieces that were sent, after the wire's model and request id, before reason and usage."""
    heard = ask(provider)
    assert heard.exception is None
    assert [chunk for chunk in heard.chunks if isinstance(chunk, str)] == ["Hello", " ", "wide", " ", "world"]
    assert heard.chunks[0] == ResponseInfo(model="ok-full", request_id="req-1")
    assert heard.finish_reason == "stop"
    assert heard.usage == Usage(7, 5)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("plain", "Hello wide world"),
        ("odd", ODD_TEXT),
        ("crlf", "Hello world"),
        ("single", "Hello wide world"),
        ("huge-2000000", "x" * 2_000_000),
        ("thinking", "Hello wide world"),
        ("parts", "Hello"),
        ("refusal", "I cannot"),
        ("length", "Hello wide world"),
        ("nodone", "Hello wide world"),
        ("nofinish", "Hello wide world"),
        ("lateend", "Hello wide world"),
    ],
)
def test_whole_answers(ask: Ask, provider: OpenAIProvider, model: str, text: str) -> None:
    """However a server puts and cuts a whole answer, its text is heard as it was sent."""
    heard = ask(provider, model)
    assert heard.exception is None
    assert heard.text == text


@pytest.mark.parametrize(("model", "reason"), [("ok", "stop"), ("length", "length"), ("nofinish", None)])
def test_finish_reason(ask: Ask, provider: OpenAIProvider, model: str, reason: str | None) -> None:
    """Why the model stopped is told as the server says it."""
    assert ask(provider, model).finish_reason == reason


@pytest.mark.parametrize("model", ["thinking", "parts"])
def test_reasoning_is_no_content(ask: Ask, provider: OpenAIProvider, model: str) -> None:
    """A model's reasoning is told apart from its answer."""
    heard = ask(provider, model)
    assert heard.reasoning == "let me see"
    assert "let me see" not in heard.text


FAILURES: list[tuple[str, type[ProviderError], str, str]] = [
    ("400", BadRequestError, "", "this is a 400"),
    ("401", AuthenticationError, "", "this is a 401"),
    ("402", PermissionDeniedError, "", "this is a 402"),
    ("403", PermissionDeniedError, "", "this is a 403"),
    ("404", NotFoundError, "", "this is a 404"),
    ("422", BadRequestError, "", "this is a 422"),
    ("429", RateLimitError, "", "this is a 429"),
    ("500", ServerError, "", "this is a 500"),
    ("context", ContextLengthError, "", "This model's maximum context length is 10 tokens."),
    ("quota", PermissionDeniedError, "", "You exceeded your current quota."),
    ("says-API.key.not.valid", AuthenticationError, "", "API key not valid"),
    ("says-Your.credit.balance.is.too.low", PermissionDeniedError, "", "Your credit balance is too low"),
    ("says-x.is.not.a.valid.model.ID", NotFoundError, "", "x is not a valid model ID"),
    ("html", StreamInterruptedError, "", "a page of HTML came in place of an answer"),
    ("html-502", ServerError, "", "HTTP 502: Please log in"),
    ("nothing", StreamInterruptedError, "", "there was no event in the stream"),
    ("refuse", APIConnectionError, "", "was lost before an answer came (Connection reset by peer)"),
    ("hang", APITimeoutError, "", "within 1.5 s"),
    ("hanghdr", APITimeoutError, "", "for 1.5 s"),
    ("drip-50", APITimeoutError, "", "nothing but keep-alive comments came for 1.5 s"),
    ("stall-3", APITimeoutError, "Hello wide", "for 1.5 s"),
    ("cut-0", StreamInterruptedError, "", "without saying that the answer is complete"),
    ("cut-3", StreamInterruptedError, "Hello wide", "without saying that the answer is complete"),
    ("eof-3", StreamInterruptedError, "Hello wide", "was lost in the middle of the answer"),
    ("reset-3", StreamInterruptedError, "Hello wide", "(Connection reset by peer)"),
    ("error-0", ServerError, "", "the engine is too busy"),
    ("error-3", ServerError, "Hello wide", "the engine is too busy"),
    ("badjson-3", StreamInterruptedError, "Hello wide", "something that is not JSON: {not json"),
    ("oddform", StreamInterruptedError, "", "an event of an unknown form"),
]


@pytest.mark.parametrize(("model", "kind", "text", "message"), FAILURES, ids=[row[0] for row in FAILURES])
def test_failures(
    ask: Ask,
    provider: OpenAIProvider,
    hasty: OpenAIProvider,
    model: str,
    kind: type[ProviderError],
    text: str,
    message: str,
) -> None:
    """Each failure is one class of ours with one clear line, told after the text that came before it."""
    heard = ask(hasty if kind is APITimeoutError else provider, model)
    assert type(heard.exception) is kind
    assert message in str(heard.exception)
    assert "\n" not in str(heard.exception)
    assert heard.text == text
    assert (heard.exception.provider, heard.exception.model) == ("fake", model)


def test_a_status_failure_carries_what_the_response_said(ask: Ask, provider: OpenAIProvider) -> None:
    """Status, Retry-After in either form, request id and the SDK's own exception are kept."""
    refused = ask(provider, "429-7").exception
    assert isinstance(refused, RateLimitError)
    assert (refused.status_code, refused.retry_after, refused.request_id) == (429, 7.0, "req-1")
    assert type(refused.__cause__).__module__.startswith("openai")
    slowed = ask(provider, "milliseconds-250").exception
    assert isinstance(slowed, RateLimitError)
    assert slowed.retry_after == 0.25


def test_a_dead_endpoint_is_named(ask: Ask) -> None:
    """Where nothing listens, the message has the address and the system's reason."""
    exception = ask(OpenAIProvider("http://127.0.0.1:1/v1", KEY, "m")).exception
    assert type(exception) is APIConnectionError
    assert str(exception) == "cannot connect to http://127.0.0.1:1 (Connection refused)"


def test_a_base_url_that_is_none(ask: Ask) -> None:
    """A base URL without a scheme is this provider's failure, and the message shows it."""
    exception = ask(OpenAIProvider("nonsense", KEY, "m")).exception
    assert isinstance(exception, APIConnectionError)
    assert "nonsense" in str(exception)


def test_without_a_stream_the_answer_is_one_chunk(ask: Ask, provider: OpenAIProvider, server: FaultServer) -> None:
    """``stream=False`` makes one request without a stream, and its text comes at once, with reason and usage."""
    heard = ask(provider, stream=False)
    assert [chunk for chunk in heard.chunks if isinstance(chunk, str)] == ["Hello wide world"]
    assert (heard.finish_reason, heard.usage) == ("stop", Usage(7, 5))
    assert server.seen[0].body["stream"] is False
    assert "stream_options" not in server.seen[0].body


def test_parameters_reach_the_endpoint(ask: Ask, provider: OpenAIProvider) -> None:
    """Parameters go into the body, known to the SDK or not; what is None, or gpt4free's own business, does not."""
    heard = ask(
        provider,
        "echo",
        temperature=0.5,
        max_tokens=9,
        top_k=3,
        seed=None,
        proxy="x",
        extra_body={"own": [1]},
        timeout=1.0,
    )
    sent = json.loads(heard.text)
    assert sent == {
        "messages": QUESTION,
        "model": "echo",
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 9,
        "top_k": 3,
        "own": [1],
    }


def test_an_endpoint_without_stream_options(ask: Ask, provider: OpenAIProvider, server: FaultServer) -> None:
    """An endpoint that refuses to be asked for the usage is asked once more without it, and that is remembered."""
    assert ask(provider, "nostreamoptions").text == "Hello wide world"
    assert len(server.seen) == 2
    assert ask(provider, "nostreamoptions").text == "Hello wide world"
    assert len(server.seen) == 3


def test_a_model_that_wants_max_completion_tokens(ask: Ask, provider: OpenAIProvider, server: FaultServer) -> None:
    """A model that refuses ``max_tokens`` gets it under its newer name, and that is remembered for this model."""
    for requests in (2, 3):
        sent = json.loads(ask(provider, "completiontokens", max_tokens=5).text)
        assert sent["max_completion_tokens"] == 5
        assert len(server.seen) == requests
    assert json.loads(ask(provider, "echo", max_tokens=5).text)["max_tokens"] == 5


def test_no_key(ask: Ask) -> None:
    """Without a key the failure names the variable; it comes with the question and not before, and nothing is sent."""
    exception = ask(OpenAIProvider(model="m")).exception
    assert type(exception) is AuthenticationError
    assert str(exception) == (
        "OPENAI_API_KEY is not set: set it in the environment or in .env, or run %nbretry key openai"
    )


def test_the_key_is_looked_for_at_each_question(ask: Ask, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is set or changed in the environment later is used; a key given with the question comes first."""
    provider = OpenAIProvider(server.url, model="ok", key_variable="OPENAI_API_KEY")
    ask(provider)
    monkeypatch.setenv("OPENAI_API_KEY", "first-key-1")
    ask(provider)
    monkeypatch.setenv("OPENAI_API_KEY", "other-key-2")
    ask(provider)
    ask(provider, api_key="third-key-3")
    sent = [seen.headers["authorization"] for seen in server.seen]
    assert sent == ["Bearer none", "Bearer first-key-1", "Bearer other-key-2", "Bearer third-key-3"]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("kind", [OpenAIProvider, AnthropicProvider])
def test_headers_of_the_environment_stay_with_their_service(
    ask: Ask,
    server: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[OpenAIProvider | AnthropicProvider],
    own: bool,
) -> None:
    """What the environment has an SDK send, as tokens in headers, goes to its own endpoint and to no other."""
    given = {"x-given": "of-the-caller"}
    package = kind.package.upper()
    monkeypatch.setenv(f"{package}_CUSTOM_HEADERS", "X-Gateway: of-the-gateway")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-0123456789")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    if own:
        monkeypatch.setenv(f"{package}_BASE_URL", server.url)
    provider = kind(base_url=None if own else server.url, model="ok", api_key="key-0123456789", default_headers=given)
    ask(provider)
    sent = server.seen[-1].headers
    assert ("x-gateway" in sent) is own
    assert ("openai-organization" in sent) is (own and kind is OpenAIProvider)
    assert sent["x-given"] == "of-the-caller"
    assert "token-0123456789" not in sent.values() or own


def test_the_key_of_openai_stays_with_openai(ask: Ask, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another endpoint is not sent the key that the environment has for OpenAI's own."""
    monkeypatch.setenv("OPENAI_API_KEY", "for-openai-only-1")
    ask(OpenAIProvider(server.url, model="ok"))
    assert [seen.headers["authorization"] for seen in server.seen] == ["Bearer none"]


def test_no_model(ask: Ask, server: FaultServer) -> None:
    """Without a model a server on this machine is asked for the one it serves; elsewhere it is a failure."""
    heard = ask(OpenAIProvider(server.url))
    assert heard.text == "Hello wide world"
    assert [seen.path for seen in server.seen] == ["/v1/models", "/v1/chat/completions"]
    exception = ask(OpenAIProvider("https://service.invalid/v1", KEY)).exception
    assert type(exception) is NotFoundError
    assert "no model was named" in str(exception)


def test_keys_are_not_shown(provider: OpenAIProvider) -> None:
    """A key given to a provider is in no representation of it, and is masked in any text from then on."""
    assert KEY not in repr(provider)
    assert KEY not in repr(provider._ask("m", [], True, {}))
    assert mask(f"the key {KEY}") == "the key [secret]"


def test_names() -> None:
    """A provider without a name is called after its endpoint, so two of them can be told apart."""
    urls = [None, "https://api.openai.com/v1", "https://api.example.org/v1", "http://127.0.0.1:8000/v1"]
    assert [OpenAIProvider(url).name for url in urls] == ["openai", "openai", "api.example.org", "127.0.0.1:8000"]
    assert OpenAIProvider("https://api.example.org/v1", name="mine").name == "mine"


def test_a_missing_package(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDK the failure is one line with what to install."""
    monkeypatch.setitem(sys.modules, "openai", None)
    exception = ask(OpenAIProvider("http://127.0.0.1:1/v1", KEY, "m")).exception
    assert type(exception) is ProviderError
    assert str(exception).endswith('pip install "nbretry[openai]"')


def test_azure(ask: Ask, server: FaultServer) -> None:
    """With ``api_version`` a deployment of Azure is asked by its older path, with the key in Azure's header."""
    provider = OpenAIProvider(server.origin, KEY, "ok", api_version="2024-10-21")
    assert ask(provider).text == "Hello wide world"
    assert server.seen[0].path == "/openai/deployments/ok/chat/completions"
    assert server.seen[0].headers["api-key"] == KEY


def test_a_proxy_is_not_used_for_this_machine(
    ask: Ask, provider: OpenAIProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment, which could not reach a server on this machine, is passed by."""
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ask(provider).text == "Hello wide world"


def test_the_contracts_methods(provider: OpenAIProvider) -> None:
    """``create_completion``, ``create_async_generator`` and ``create_async`` give the text alone."""
    words = ["Hello", " ", "wide", " ", "world"]
    assert list(provider.create_completion("", QUESTION)) == words

    async def main() -> None:
        assert [chunk async for chunk in provider.create_async_generator("", QUESTION)] == words
        assert await provider.create_async("", QUESTION) == "Hello wide world"
        assert list(provider.create_completion("", QUESTION)) == words

    asyncio.run(main())


async def _start(provider: OpenAIProvider, heard: list[Any], model: str = "paced-5") -> None:
    async for chunk in provider.astream_chunks(model, QUESTION):
        heard.append(chunk)


@pytest.mark.parametrize("model", ["paced-5", "hang", "hanghdr", "drip-20"])
def test_cancelling_closes_the_connection(server: FaultServer, model: str) -> None:
    """A task that is cancelled while it waits for the server ends at once, and the server sees its client go."""
    provider = OpenAIProvider(server.url, KEY)

    async def main() -> None:
        heard: list[Any] = []
        task = asyncio.create_task(_start(provider, heard, model))
        assert await server.await_for(lambda server: server.open_streams == 1)
        await asyncio.sleep(0.03)
        started = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.await_for(lambda server: server.disconnects == 1, 5)
        assert time.perf_counter() - started < 5
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_closing_the_generator_closes_the_connection(server: FaultServer) -> None:
    """Whoever stops listening in the middle and closes the generator closes the request upstream, in either form."""
    provider = OpenAIProvider(server.url, KEY, "paced-5")

    async def main() -> None:
        async with aclosing(provider.astream_chunks("", QUESTION)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, str):
                    break
        assert await server.await_for(lambda server: server.disconnects == 1, 5)

    asyncio.run(main())
    chunks = provider.stream_chunks("", QUESTION)
    assert [next(chunks) for _ in range(3)][1:] == ["w0 ", "w1 "]
    chunks.close()
    assert server.wait_for(lambda server: server.disconnects == 2, 5)


def test_two_questions_at_once_do_not_mix(server: FaultServer) -> None:
    """Questions that one provider is asked at the same time each get their own answer."""
    provider = OpenAIProvider(server.url, KEY, "echo")

    async def one(number: int) -> str:
        return str(await provider.create_async("", [{"role": "user", "content": f"question {number}"}]))

    async def main() -> None:
        answers = await asyncio.gather(*map(one, range(10)))
        assert [json.loads(answer)["messages"][0]["content"] for answer in answers] == [
            f"question {number}" for number in range(10)
        ]

    asyncio.run(main())


def test_a_connection_is_used_again(server: FaultServer) -> None:
    """In one event loop the next question goes over the connection of the one before."""
    provider = OpenAIProvider(server.url, KEY, "ok")

    async def main() -> None:
        for _ in range(3):
            await provider.create_async("", QUESTION)

    asyncio.run(main())
    assert {seen.connection for seen in server.seen} == {1}


PROGRAM = """
import asyncio, sys
from nbretry.providers import OpenAIProvider
provider = OpenAIProvider(sys.argv[1], "none", "ok")
question = [{"role": "user", "content": "x"}]
async def main():
    chunks = provider.astream_chunks("paced-1", question)
    await anext(chunks)  # left open on purpose
    return await asyncio.gather(*(provider.create_async("", question) for _ in range(3)))
for _ in range(3):
    assert asyncio.run(main()) == ["Hello wide world"] * 3
assert list(provider.create_completion("", question))
left_open = provider.stream_chunks("paced-1", question)
next(left_open)
print("ok")
"""


def test_nothing_is_left_open(server: FaultServer) -> None:
    """A program that runs several event loops and leaves streams open ends without any warning about them."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, server.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )
    assert (done.stdout, done.stderr) == ("ok\n", "")
