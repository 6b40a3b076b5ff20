"""Deadlines over real connections: each says what has passed, closes its connection, and leads to the next provider."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from fault_answers import WORDS
from fault_server import FaultServer
from heard import QUESTION
from unable import unable

from nbretry import RetryProvider, RetryProviderError
from nbretry.errors import APITimeoutError
from nbretry.events import TextDelta
from nbretry.providers import AnthropicProvider, OpenAIProvider
from nbretry.retry.deadlines import Deadlines

TEXT = "".join(WORDS)
SECOND = "".join(f"w{number} " for number in range(20))

GENEROUS = Deadlines(connect=30.0, first_content=30.0, idle=30.0, total=60.0)
OWN_TIMEOUT = 1.5
"""Seconds after which the slow provider itself gives up a silent connection: more than any limit here."""


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    """Loads the SDKs first: on a slow machine that alone may take longer than a limit here."""
    with FaultServer() as server:
        for provider in (OpenAIProvider(server.url, "none"), AnthropicProvider("none", base_url=server.origin)):
            assert "".join(provider.create_completion("ok", QUESTION)) == TEXT


def providers(protocol: str, origin: str, model: str, server: FaultServer, own: Deadlines | None) -> list[Any]:
    """One that is too slow, under limits of its own or under none, and one that answers and has time to."""
    if protocol == "openai":
        return [
            OpenAIProvider(f"{origin}/v1", "none", model, "slow", timeout=OWN_TIMEOUT, deadlines=own),
            OpenAIProvider(server.url, "none", "words-20", "other", deadlines=GENEROUS),
        ]
    return [
        AnthropicProvider("none", model, "slow", origin, timeout=OWN_TIMEOUT, deadlines=own),
        AnthropicProvider("none", "words-20", "other", server.origin, deadlines=GENEROUS),
    ]


def chains(origin: str, model: str, server: FaultServer, deadlines: Deadlines) -> list[RetryProvider]:
    """Both protocols, the limits once as a provider's own and once as those of the `RetryProvider`."""
    return [
        chain
        for protocol in ("openai", "anthropic")
        for chain in (
            RetryProvider(providers(protocol, origin, model, server, deadlines), False, on_break="restart"),
            RetryProvider(
                providers(protocol, origin, model, server, None), False, deadlines=deadlines, on_break="restart"
            ),
        )
    ]


def listen(chain: RetryProvider) -> tuple[str, Exception | None]:
    """The text of `create_completion`, and what it raised."""
    text = ""
    try:
        for chunk in chain.create_completion("", QUESTION, stream=True):
            text += chunk
    except Exception as error:
        return text, error
    return text, None


CASES: dict[str, tuple[Deadlines, str, str]] = {
    "first content: no response": (Deadlines(first_content=1), "hang", "no content came within 1 s"),
    "first content: no event": (Deadlines(first_content=1), "hanghdr", "no content came within 1 s"),
    "first content: comments for ever": (Deadlines(first_content=1), "drip-50", "no content came within 1 s"),
    "first content: empty deltas for ever": (Deadlines(first_content=1), "mute-0", "no content came within 1 s"),
    "idle: silence": (Deadlines(idle=1), "stall-3", "nothing more came for 1 s in the middle of the answer"),
    "idle: comments": (Deadlines(idle=1), "pause-60000", "nothing more came for 1 s in the middle of the answer"),
    "idle: empty deltas": (Deadlines(idle=1), "mute-3", "nothing more came for 1 s in the middle of the answer"),
    "total: before content": (Deadlines(total=1), "hang", "the answer was not complete within 1 s"),
    "total: in the middle": (Deadlines(total=1), "paced-5", "the answer was not complete within 1 s"),
    "the first of several": (Deadlines(first_content=1, idle=1, total=2), "hang", "no content came within 1 s"),
}


@pytest.mark.parametrize(("deadlines", "model", "message"), CASES.values(), ids=CASES)
def test_a_limit_passes(server: FaultServer, deadlines: Deadlines, model: str, message: str) -> None:
    """With an event loop and without one the failure says which limit, the connection is closed, the next answers."""
    before_content = model in ("hang", "hanghdr", "drip-50", "mute-0")
    asked = chains(server.origin, model, server, deadlines)

    async def main() -> None:
        answers = [chain.answer("", QUESTION) for chain in asked]
        threads = [asyncio.to_thread(listen, chain) for chain in asked]
        answered, listened = await asyncio.gather(asyncio.gather(*answers), asyncio.gather(*threads))
        for answer in answered:
            assert (answer.text, answer.provider) == (SECOND, "other")
            failure = answer.attempts[0].exception
            assert (type(failure), str(failure)) == (APITimeoutError, message)
        for text, error in listened:
            if before_content:
                assert (text, error) == (SECOND, None)
            else:
                assert (bool(text), type(error), str(error)) == (True, APITimeoutError, message)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert server.wait_for(lambda server: server.disconnects == server.models().count(model) > 0, 20)
    assert server.models().count("words-20") == (8 if before_content else 4)


def test_the_contracts_generator_says_which_limit(server: FaultServer) -> None:
    """`create_async_generator` goes on with the next provider before content, and raises the limit's error after it."""

    async def heard(model: str, deadlines: Deadlines) -> tuple[str, Exception | None]:
        chain = RetryProvider(providers("openai", server.origin, model, server, None), False, deadlines=deadlines)
        text = ""
        async with aclosing(chain.create_async_generator("", QUESTION)) as chunks:
            try:
                async for chunk in chunks:
                    text += chunk
            except Exception as error:
                return text, error
        return text, None

    async def main() -> None:
        before, after = await asyncio.gather(
            heard("drip-50", Deadlines(first_content=1)), heard("stall-3", Deadlines(idle=1))
        )
        assert before == (SECOND, None)
        assert (after[0], type(after[1])) == ("Hello wide", APITimeoutError)
        assert str(after[1]) == "nothing more came for 1 s in the middle of the answer"

    asyncio.run(main())


def test_when_all_are_too_slow(server: FaultServer) -> None:
    """Where every provider is too slow, the error names each with the limit that has passed."""
    slow = [
        OpenAIProvider(server.url, "none", "hang", "never", deadlines=Deadlines(first_content=1, idle=1)),
        OpenAIProvider(server.url, "none", "paced-5", "endless", deadlines=Deadlines(total=1)),
    ]
    with pytest.raises(RetryProviderError) as caught:
        asyncio.run(RetryProvider(slow, False, on_break="restart").answer("", QUESTION))
    assert str(caught.value).splitlines()[1:] == [
        "never: APITimeoutError: no content came within 1 s",
        "endless: APITimeoutError: the answer was not complete within 1 s",
    ]


def test_each_limit_is_for_itself(server: FaultServer) -> None:
    """A limit to the first content is none between two contents, nor the other way round, in either protocol."""
    cases = [("pause-2500", Deadlines(first_content=1.5)), ("slow-2500", Deadlines(idle=1.5))]
    asked = [
        RetryProvider([kind], False, deadlines=deadlines)
        for model, deadlines in cases
        for kind in (
            OpenAIProvider(server.url, "none", model),
            AnthropicProvider("none", model, base_url=server.origin),
        )
    ]

    async def main() -> None:
        answered, listened = await asyncio.gather(
            asyncio.gather(*(chain.answer("", QUESTION) for chain in asked)),
            asyncio.gather(*(asyncio.to_thread(listen, chain) for chain in asked)),
        )
        assert [answer.text for answer in answered] == [TEXT] * 4
        assert listened == [(TEXT, None)] * 4

    asyncio.run(main())


@pytest.fixture
def full_backlog() -> Iterator[str]:
    """An address that takes no more connections: one listens there who accepts none, and its queue is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        for _ in range(10):
            connecting = stack.enter_context(socket.socket())
            connecting.settimeout(0.5)
            try:
                connecting.connect(address)
            except TimeoutError:
                yield f"http://127.0.0.1:{address[1]}"
                return
        unable("this system takes connections beyond the backlog, so none can be kept waiting on loopback")


def test_connect(server: FaultServer, full_backlog: str) -> None:
    """Where there is no connection in time, the failure names the address and the limit, and the next one answers."""
    asked = chains(full_backlog, "ok", server, Deadlines(connect=1))

    async def main() -> None:
        started = time.monotonic()
        answered, listened = await asyncio.gather(
            asyncio.gather(*(chain.answer("", QUESTION) for chain in asked)),
            asyncio.gather(*(asyncio.to_thread(listen, chain) for chain in asked)),
        )
        assert time.monotonic() - started < 15
        for answer in answered:
            assert answer.text == SECOND
            failure = answer.attempts[0].exception
            assert type(failure) is APITimeoutError
            assert str(failure) == f"cannot connect to {full_backlog} within 1 s"
        assert listened == [(SECOND, None)] * 4

    asyncio.run(main())


async def wait_for_each(chain: RetryProvider, seconds: float) -> tuple[str, BaseException | None]:
    """Read as many consumers do: in a limit of their own for each chunk, which may be a task for each chunk."""
    text = ""
    async with aclosing(chain.create_async_generator("", QUESTION)) as chunks:
        while True:
            try:
                text += await asyncio.wait_for(anext(chunks), seconds)
            except StopAsyncIteration:
                return text, None
            except Exception as error:
                return text, error


def test_a_limit_passes_while_each_chunk_is_waited_for(server: FaultServer) -> None:
    """Where each chunk is waited for in a task of its own, the limits hold, too, and nobody else is cancelled."""

    async def main() -> None:
        other = OpenAIProvider(server.url, "none", "words-20", "other")
        # Their own timeout is a minute, so that nothing but the limit ends the wait.
        before, after, whole = (
            RetryProvider([OpenAIProvider(server.url, "none", model, model), other], False, deadlines=deadlines)
            for model, deadlines in (
                ("hang", Deadlines(first_content=1)),
                ("stall-3", Deadlines(idle=1)),
                ("words-300", GENEROUS),
            )
        )
        started = time.monotonic()
        heard = await asyncio.gather(*(wait_for_each(chain, 30) for chain in (before, after, whole)))
        assert time.monotonic() - started < 15
        assert heard[0] == (SECOND, None)
        assert (heard[1][0], type(heard[1][1])) == ("Hello wide", APITimeoutError)
        assert str(heard[1][1]) == "nothing more came for 1 s in the middle of the answer"
        assert heard[2] == ("".join(f"w{number} " for number in range(300)), None)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert await server.await_for(lambda server: server.disconnects == 2, 15)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_consumers_own_limit(server: FaultServer) -> None:
    """Where the consumer's own limit passes first it is told so, the stream is closed, and nobody else is asked."""

    async def main() -> None:
        chain = RetryProvider(
            providers("openai", server.origin, "stall-3", server, None), False, deadlines=Deadlines(idle=60)
        )
        text, error = await wait_for_each(chain, 1.5)
        assert (text, type(error)) == ("Hello wide", TimeoutError)
        assert await server.await_for(lambda server: server.disconnects == 1, 15)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert server.models() == ["stall-3"]


HOLD = 2.5
"""Seconds for which a slow consumer holds its third chunk, the last that has come by then."""

LESS = 1.5
"""Seconds of a limit that is shorter."""


def listen_slowly(chain: RetryProvider) -> str:
    chunks = chain.create_completion("", QUESTION, stream=True)
    text = "".join(str(next(chunks)) for _ in range(3))
    time.sleep(HOLD)
    return text + "".join(chunks)


async def alisten_slowly(chain: RetryProvider) -> str:
    async with aclosing(chain.create_async_generator("", QUESTION)) as chunks:
        text = "".join([str(await anext(chunks)) for _ in range(3)])
        await asyncio.sleep(HOLD)
        return text + "".join([str(chunk) async for chunk in chunks])


async def follow_slowly(chain: RetryProvider) -> str:
    pieces: list[str] = []
    async with aclosing(chain.stream_events("", QUESTION)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                pieces.append(event.text)
                if len(pieces) == 3:
                    await asyncio.sleep(HOLD)
    return "".join(pieces)


def test_a_slow_consumer_is_not_the_providers_fault(server: FaultServer) -> None:
    """Who holds a chunk longer than any limit hears the rest, whether the server has sent it meanwhile or not yet."""

    def chain(model: str, **options: Any) -> RetryProvider:
        return RetryProvider([OpenAIProvider(server.url, "none", model)], False, **options)

    def silent(model: str) -> RetryProvider:
        return RetryProvider([OpenAIProvider(server.url, "none", model, timeout=LESS)], False)

    idle = Deadlines(idle=LESS)
    words = "".join(f"w{number} " for number in range(500))

    async def main() -> None:
        sent = [
            *(ask(chain("words-500", deadlines=idle)) for ask in (alisten_slowly, follow_slowly)),
            alisten_slowly(chain("words-500", deadlines=idle, hedge_after=60.0)),
            asyncio.to_thread(listen_slowly, chain("words-500", deadlines=idle)),
            asyncio.to_thread(listen_slowly, chain("words-500", deadlines=idle, hedge_after=60.0)),
        ]
        # The server sends comments for half a second more after the consumer has come back.
        unsent = [
            *(ask(chain("pause-3000", deadlines=idle)) for ask in (alisten_slowly, follow_slowly)),
            alisten_slowly(silent("pause-3000")),
            asyncio.to_thread(listen_slowly, silent("pause-3000")),
        ]
        heard = await asyncio.gather(asyncio.gather(*sent), asyncio.gather(*unsent))
        assert heard == [[words] * len(sent), [TEXT] * len(unsent)]

    asyncio.run(main())
