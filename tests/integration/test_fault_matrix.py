"""Every fault that an endpoint can have, before a provider that is well: the whole right answer, or a full error.

A chain of two is asked in every form at once. What may never come out is a truncated, a spliced or an empty answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import aclosing, closing
from typing import Any

import pytest
from fault_answers import WORDS
from fault_server import FaultServer
from heard import QUESTION

from nbretry import Answer, RetryProvider, RetryProviderError
from nbretry.answer import fold
from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    EmptyResponseError,
    NotFoundError,
    ProviderError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from nbretry.providers import AnthropicProvider, OpenAIProvider
from nbretry.retry.deadlines import Deadlines

SECOND = "".join(f"w{number} " for number in range(20))
"""The whole answer of the second provider, of which no part is in the first one's."""

GENEROUS = Deadlines(first_content=30.0, idle=30.0)
SHORT = Deadlines(first_content=1.0, idle=1.0)

PROTOCOLS = ["openai", "anthropic"]


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address at which nobody listens, and nobody else can while the test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def provider(protocol: str, origin: str, model: str, **options: Any) -> Any:
    if protocol == "openai":
        return OpenAIProvider(f"{origin}/v1", "none", model, model, **options)
    return AnthropicProvider("none", model, model, origin, **options)


def chain(protocol: str, origin: str, model: str, server: FaultServer, deadlines: Deadlines, **options: Any) -> Any:
    """The faulty one under these deadlines, and one after it that answers."""
    second = provider(protocol, server.origin, "words-20", deadlines=GENEROUS)
    faulty = provider(protocol, origin, model)
    return RetryProvider([faulty, second], shuffle=False, deadlines=deadlines, **options)


class Contract:
    """What came out of the contract's generators, and what they raised."""

    def __init__(self) -> None:
        self.text = ""
        self.error: BaseException | None = None

    def listen(self, retry: RetryProvider) -> Contract:
        with closing(retry.create_completion("", QUESTION, stream=True)) as chunks:  # type: ignore[type-var]
            try:
                for chunk in chunks:
                    self.text += chunk
            except Exception as error:
                self.error = error
        return self

    async def alisten(self, retry: RetryProvider) -> Contract:
        async with aclosing(retry.create_async_generator("", QUESTION)) as chunks:
            try:
                async for chunk in chunks:
                    self.text += chunk
            except Exception as error:
                self.error = error
        return self


async def folded(retry: RetryProvider) -> Answer:
    async with aclosing(retry.stream_events("", QUESTION)) as events:
        return fold([event async for event in events])


async def in_every_form(retry: RetryProvider) -> tuple[Answer, Answer, Contract, Contract]:
    """`answer`, the fold of `stream_events`, and the contract's two generators, side by side."""
    return await asyncio.gather(
        retry.answer("", QUESTION),
        folded(retry),
        asyncio.to_thread(Contract().listen, retry),
        Contract().alisten(retry),
    )


def check_closed(server: FaultServer) -> None:
    """Everything that is given up is closed upstream."""
    assert server.wait_for(lambda server: server.open_streams == 0, 15), "a stream was left open"


BEFORE_CONTENT: list[tuple[str, type[ProviderError]]] = [
    ("500", ServerError),
    ("503", ServerError),
    ("429-2", RateLimitError),
    ("401", AuthenticationError),
    ("404", NotFoundError),
    ("refuse", APIConnectionError),
    ("reset-0", StreamInterruptedError),
    ("eof-0", StreamInterruptedError),
    ("cut-0", StreamInterruptedError),
    ("error-0", ServerError),
    ("empty", EmptyResponseError),
    ("nothing", StreamInterruptedError),
    ("html", StreamInterruptedError),
]
TIMEOUTS_BEFORE_CONTENT = ["hang", "hanghdr", "drip-200", "mute-0", "stall-0"]
AFTER_CONTENT: list[tuple[str, type[ProviderError]]] = [
    ("reset-5", StreamInterruptedError),
    ("eof-5", StreamInterruptedError),
    ("cut-5", StreamInterruptedError),
    ("error-5", ServerError),
    ("reset-3", StreamInterruptedError),
    ("eof-3", StreamInterruptedError),
    ("cut-3", StreamInterruptedError),
    ("error-3", ServerError),
    ("badjson-3", StreamInterruptedError),
]
TIMEOUTS_AFTER_CONTENT = ["stall-5", "stall-3", "mute-3"]


async def check_before_content(
    server: FaultServer, protocol: str, origin: str, model: str, kind: Any, limits: Any
) -> None:
    retry = chain(protocol, origin, model, server, limits, on_break="restart")
    *answers, listened, alistened = await in_every_form(retry)
    for answer in answers:
        assert (answer.text, answer.provider, answer.state) == (SECOND, "words-20", "completed")
        assert [type(attempt.exception) for attempt in answer.attempts] == [kind, type(None)]
    for contract in (listened, alistened):
        assert (contract.text, contract.error) == (SECOND, None)


@pytest.mark.parametrize(("model", "kind"), BEFORE_CONTENT, ids=[row[0] for row in BEFORE_CONTENT])
def test_a_fault_before_content(server: FaultServer, protocol: str, model: str, kind: type[ProviderError]) -> None:
    """After a fault before any content each form of asking gives the whole answer of the second provider."""
    asyncio.run(check_before_content(server, protocol, server.origin, model, kind, GENEROUS))
    check_closed(server)


def test_a_refused_connection(server: FaultServer, protocol: str, closed_port: str) -> None:
    """Where nobody listens, each form of asking gives the whole answer of the second provider."""
    asyncio.run(check_before_content(server, protocol, closed_port, "refused", APIConnectionError, GENEROUS))


@pytest.mark.parametrize("model", TIMEOUTS_BEFORE_CONTENT)
def test_a_provider_that_never_begins(server: FaultServer, model: str) -> None:
    """One that hangs, or keeps its connection alive without content, is given up in time, and the second answers."""

    async def main() -> None:
        checks = [
            check_before_content(server, name, server.origin, model, APITimeoutError, SHORT) for name in PROTOCOLS
        ]
        await asyncio.gather(*checks)

    asyncio.run(main())
    check_closed(server)


async def failure_of(retry: RetryProvider) -> RetryProviderError:
    with pytest.raises(RetryProviderError) as caught:
        await retry.answer("", QUESTION)
    return caught.value


async def check_after_content(server: FaultServer, protocol: str, model: str, kind: Any, limits: Deadlines) -> None:
    said = "".join(WORDS[: int(model.partition("-")[2])])
    restarting = chain(protocol, server.origin, model, server, limits, on_break="restart")
    raising = chain(protocol, server.origin, model, server, limits)
    (*answers, listened, alistened), failure = await asyncio.gather(in_every_form(restarting), failure_of(raising))
    for answer in answers:
        assert (answer.text, answer.provider, answer.state) == (SECOND, "words-20", "completed")
        assert [type(attempt.exception) for attempt in answer.attempts] == [kind, type(None)]
    for contract in (listened, alistened):
        assert (contract.text, type(contract.error)) == (said, kind)
    assert failure.answer is not None
    assert (failure.answer.text, failure.answer.state) == (said, "failed")
    assert [type(error) for error in failure.exceptions.values()] == [kind]


@pytest.mark.parametrize(("model", "kind"), AFTER_CONTENT, ids=[row[0] for row in AFTER_CONTENT])
def test_a_fault_after_content(server: FaultServer, protocol: str, model: str, kind: type[ProviderError]) -> None:
    """After a fault in the middle ``restart`` gives the second's whole answer; who cannot take back is told."""
    asyncio.run(check_after_content(server, protocol, model, kind, GENEROUS))
    check_closed(server)
    assert server.models().count("words-20") == 2  # by `answer` and `stream_events`, and by nobody else


@pytest.mark.parametrize("model", TIMEOUTS_AFTER_CONTENT)
def test_a_provider_that_falls_silent(server: FaultServer, model: str) -> None:
    """One that stalls in the middle, keep-alives or not, is as one that broke off there."""

    async def main() -> None:
        checks = [check_after_content(server, name, model, APITimeoutError, SHORT) for name in PROTOCOLS]
        await asyncio.gather(*checks)

    asyncio.run(main())
    check_closed(server)


def test_a_wrong_request_stops(server: FaultServer, protocol: str) -> None:
    """After a 400 nobody else is asked, in any form, and the error says that the request was refused."""

    async def main() -> None:
        retry = chain(protocol, server.origin, "400", server, GENEROUS, on_break="restart")
        listened, alistened = Contract().listen(retry), await Contract().alisten(retry)
        with pytest.raises(RetryProviderError) as caught:
            await retry.answer("", QUESTION)
        for error in (caught.value, listened.error, alistened.error):
            assert isinstance(error, RetryProviderError)
            assert str(error).startswith("the request itself was refused")
            assert [type(exception) for exception in error.exceptions.values()] == [BadRequestError]
        assert listened.text == alistened.text == ""

    asyncio.run(main())
    assert server.models() == ["400"] * 3


WHOLE: list[tuple[str, str]] = [
    ("trickle-400", "openai"),
    ("trickle-400", "anthropic"),
    ("nofinish", "openai"),
    ("nodone", "openai"),
    ("lateend", "openai"),
]


@pytest.mark.parametrize(("model", "protocol"), WHOLE, ids=[f"{model}-{protocol}" for model, protocol in WHOLE])
def test_what_is_whole_is_no_fault(server: FaultServer, model: str, protocol: str) -> None:
    """A slow answer within the limits, and one that ends in one of the two ways alone, are the first provider's."""

    async def main() -> None:
        retry = chain(
            protocol, server.origin, model, server, Deadlines(first_content=2.0, idle=2.0), on_break="restart"
        )
        *answers, listened, alistened = await in_every_form(retry)
        for answer in answers:
            assert (answer.text, answer.provider) == ("".join(WORDS), model)
        for contract in (listened, alistened):
            assert (contract.text, contract.error) == ("".join(WORDS), None)

    asyncio.run(main())
    assert set(server.models()) == {model}


@pytest.mark.parametrize("stream", [True, False])
def test_when_everybody_is_faulty(server: FaultServer, protocol: str, stream: bool) -> None:
    """Where every provider has another fault, the error has each of them, and no text comes out."""
    models = ["500", "refuse", "401"] + (["empty", "cut-0"] if stream else [])
    retry = RetryProvider([provider(protocol, server.origin, model) for model in models], shuffle=False)
    with pytest.raises(RetryProviderError) as caught:
        asyncio.run(retry.answer("", QUESTION, stream=stream))
    assert list(caught.value.exceptions) == models
    assert caught.value.answer is not None
    assert caught.value.answer.text == ""
