"""`RetryProvider` over real connections: the retry table row by row, two questions at once, cancelling."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import aclosing

import pytest
from fault_server import FaultServer
from heard import QUESTION

from nbretry import Answer, RetryPolicy, RetryProvider, RetryProviderError
from nbretry.errors import (
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from nbretry.providers import AnthropicProvider, OpenAIProvider


def chain(server: FaultServer, *models: str, tries: int = 1, backoff: float = 0.002) -> RetryProvider:
    """One provider for each model, asked in order; one that hangs is given up soon."""
    limits = {"hang": 1.5}
    providers = [OpenAIProvider(server.url, "none", model, model, timeout=limits.get(model, 30.0)) for model in models]
    policy = RetryPolicy(max_attempts=tries, backoff_initial=backoff)
    return RetryProvider(providers, shuffle=False, policy=policy)


def sync_outside_a_loop(retry: RetryProvider) -> str:
    return "".join(retry.create_completion("", QUESTION, stream=True))


def sync_inside_a_loop(retry: RetryProvider) -> str:
    async def main() -> str:
        return "".join(retry.create_completion("", QUESTION, stream=True))

    return asyncio.run(main())


def async_inside_a_loop(retry: RetryProvider) -> str:
    async def main() -> str:
        return "".join([chunk async for chunk in retry.create_async_generator("", QUESTION)])

    return asyncio.run(main())


@pytest.mark.parametrize("way", [sync_outside_a_loop, sync_inside_a_loop, async_inside_a_loop])
def test_failover(server: FaultServer, way: Callable[[RetryProvider], str]) -> None:
    """After a 500, one that hangs and one that wants another key, the fourth answers, in every form of asking."""
    assert way(chain(server, "500", "hang", "401", "ok")) == "Hello wide world"
    assert server.models() == ["500", "hang", "401", "ok"]


def test_the_answer_knows_every_attempt(server: FaultServer) -> None:
    """The answer has each failed attempt with its exception, and the model and usage of the wire."""
    answer: Answer = asyncio.run(chain(server, "500", "hang", "401", "ok").answer("", QUESTION))
    assert answer.text == "Hello wide world"
    assert (answer.provider, answer.model) == ("ok", "ok-full")
    kinds = [type(attempt.exception) for attempt in answer.attempts]
    assert kinds == [ServerError, APITimeoutError, AuthenticationError, type(None)]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 12


def test_over_two_protocols(server: FaultServer) -> None:
    """A provider of one protocol stands in for one of another."""
    overloaded = AnthropicProvider("none", "529", base_url=server.origin)
    retry = RetryProvider([overloaded, *chain(server, "ok").providers], shuffle=False)
    assert "".join(retry.create_completion("", QUESTION)) == "Hello wide world"


TABLE: list[tuple[str, int]] = [
    ("refuse", 2),
    ("hang", 2),
    ("500", 2),
    ("503", 2),
    ("empty", 2),
    ("cut-0", 2),
    ("error-0", 2),
    ("429-0.01", 2),
    ("429-99", 1),
    ("401", 1),
    ("403", 1),
    ("404", 1),
    ("context", 1),
]


@pytest.mark.parametrize("way", [sync_outside_a_loop, async_inside_a_loop])
@pytest.mark.parametrize(("model", "times"), TABLE, ids=[row[0] for row in TABLE])
def test_what_is_worth_asking_again(
    server: FaultServer, way: Callable[[RetryProvider], str], model: str, times: int
) -> None:
    """With two tries for each provider, a failure is retried or not as its row of the table says, before the next."""
    assert way(chain(server, model, "ok", tries=2)) == "Hello wide world"
    assert server.models() == [model] * times + ["ok"]


@pytest.mark.parametrize("way", [sync_outside_a_loop, async_inside_a_loop])
@pytest.mark.parametrize("model", ["400", "422"])
def test_a_wrong_request_stops(server: FaultServer, way: Callable[[RetryProvider], str], model: str) -> None:
    """A request that is wrong in itself is put to nobody else."""
    with pytest.raises(RetryProviderError) as caught:
        way(chain(server, model, "ok", tries=2))
    assert isinstance(caught.value.exceptions[model], BadRequestError)
    assert server.models() == [model]


@pytest.mark.parametrize("way", [sync_outside_a_loop, async_inside_a_loop])
@pytest.mark.parametrize("model", ["cut-3", "reset-3", "eof-3", "badjson-3"])
def test_after_the_first_text_it_is_raised(
    server: FaultServer, way: Callable[[RetryProvider], str], model: str
) -> None:
    """An answer that breaks off is raised as it is, and nobody else goes on in its place."""
    with pytest.raises(StreamInterruptedError):
        way(chain(server, model, "ok", tries=2))
    assert server.models() == [model]


def test_when_everybody_fails(server: FaultServer) -> None:
    """The error names each provider with its own exception, one line each, whatever the pages said."""
    with pytest.raises(RetryProviderError) as caught:
        sync_outside_a_loop(chain(server, "html-502", "429-99", "401"))
    head, *lines = str(caught.value).splitlines()
    assert head == "every provider failed:"
    assert lines == [
        "html-502: ServerError: HTTP 502: Please log in",
        "429-99: RateLimitError: this is a 429",
        "401: AuthenticationError: this is a 401",
    ]
    assert isinstance(caught.value.exceptions["429-99"], RateLimitError)


def test_the_next_one_is_asked_at_once(server: FaultServer) -> None:
    """Between a failure and the next provider's request nothing is waited for."""
    retry = chain(server, *["500"] * 9, "ok", backoff=60.0)
    sync_outside_a_loop(retry)  # loads the SDK and makes the clients
    started = time.perf_counter()
    sync_outside_a_loop(retry)
    assert time.perf_counter() - started < 5


def test_two_questions_at_once_do_not_mix(server: FaultServer) -> None:
    """Two questions through one `RetryProvider` each get their own attempts and their own answer."""
    retry = chain(server, "500", "echo")

    async def one(number: int) -> None:
        answer = await retry.answer("", [{"role": "user", "content": f"question {number}"}])
        assert json.loads(answer.text)["messages"][0]["content"] == f"question {number}"
        assert [attempt.provider for attempt in answer.attempts] == ["500", "echo"]

    async def main() -> None:
        await asyncio.gather(*map(one, range(8)))

    asyncio.run(main())
    assert sorted(server.models()) == ["500"] * 8 + ["echo"] * 8


def test_cancelling_closes_upstream(server: FaultServer) -> None:
    """A run that is cancelled in the middle of an answer closes the stream upstream and asks nobody else."""
    retry = chain(server, "500", "paced-5", "ok")

    async def main() -> None:
        hearing = asyncio.Event()

        async def listen() -> None:
            async with aclosing(retry.create_async_generator("", QUESTION)) as chunks:
                async for _ in chunks:
                    hearing.set()

        task = asyncio.create_task(listen())
        await hearing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.await_for(lambda server: server.disconnects == 1, 5)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert server.models() == ["500", "paced-5"]


def test_stopping_a_synchronous_run_closes_upstream(server: FaultServer) -> None:
    """A synchronous run whose generator is closed in the middle of an answer closes the stream upstream."""
    chunks = chain(server, "paced-5", "ok").create_completion("", QUESTION, stream=True)
    assert next(chunks) == "w0 "
    chunks.close()
    assert server.wait_for(lambda server: server.disconnects == 1, 5)
    assert server.models() == ["paced-5"]
