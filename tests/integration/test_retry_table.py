"""The retry table, row by row, for every kind of provider, in both orders of asking, with an event loop and without."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest
import requests
from fault_answers import WORDS
from fault_server import FaultServer
from heard import QUESTION
from played import VirtualClock

from nbretry import RetryPolicy, RetryProvider, RetryProviderError
from nbretry.providers import AnthropicProvider, OpenAIProvider

TEXT = "".join(WORDS)
LONG = 30.0
"""Seconds that a provider may take which is to answer or to refuse."""

SHORT = 0.2
"""Seconds that one may take which is to hang."""


class Refused(Exception):
    """As providers of no library raise it: a plain exception that carries a status and headers."""

    def __init__(self, status_code: int, message: str, headers: dict[str, str]) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.headers = headers


def plain_take(behaviour: str) -> list[Any]:
    """What the fault server does for a model of this name, as a plain Python provider does it."""
    kind, _, argument = behaviour.partition("-")
    said = WORDS[: int(argument)] if argument.isdigit() else []
    match kind:
        case "ok":
            return WORDS
        case "paced":
            return [f"w{number} " for number in range(2000)]
        case "empty":
            return []
        case "refuse":
            return [ConnectionResetError("connection reset by peer")]
        case "hang":
            return [TimeoutError("nothing came")]
        case "reset":
            return [*said, ConnectionResetError("connection reset by peer")]
        case "cut" | "eof":
            return [*said, EOFError("the stream ended early")]
        case "error":
            return [*said, RuntimeError("the engine is too busy")]
        case "context":
            return [Refused(400, "This model's maximum context length is 10 tokens.", {})]
        case "milliseconds":
            return [Refused(429, "slow down", {"retry-after-ms": argument})]
        case _:
            return [Refused(int(kind), f"this is a {kind}", {"Retry-After": argument} if argument else {})]


@dataclass
class Field:
    """Where providers of one kind are made, and what becomes of them.

    Attributes:
        asked: names of the providers, in the order in which they were asked.
        sent: the messages that each request had.
        open: streams that have begun and not ended, of providers without a server.
    """

    kind: str
    server: FaultServer
    open: int = 0
    _plain: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        return self.server.models() or [name for name, _ in self._plain]

    @property
    def sent(self) -> list[Any]:
        return [seen.body["messages"] for seen in self.server.seen] or [messages for _, messages in self._plain]

    def provider(self, name: str, *behaviours: str) -> Any:
        """A provider that behaves in turn as the fault server does for models of these names."""
        self.server.turns[name] = list(behaviours)
        timeout = SHORT if "hang" in behaviours else LONG
        match self.kind:
            case "OpenAIProvider":
                return OpenAIProvider(self.server.url, "none", name, name, timeout=timeout)
            case "AnthropicProvider":
                return AnthropicProvider("none", name, name, self.server.origin, timeout=timeout)
            case "gpt4free's form, over aiohttp":
                return over_aiohttp(name, self.server.url, timeout)
            case "class over requests":
                return over_requests(name, self.server.url, timeout)
            case "synchronous class":
                return self._synchronous(name, behaviours)
            case _:
                return self._asynchronous(name, behaviours)

    def _play(self, name: str, messages: Any, behaviours: Iterator[str]) -> Iterator[Any]:
        self._plain.append((name, messages))
        self.open += 1
        try:
            for item in plain_take(next(behaviours)):
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.open -= 1

    def _synchronous(self, name: str, behaviours: Sequence[str]) -> Any:
        turns = itertools.cycle(behaviours)

        def create_completion(model: str, messages: Any, stream: bool = True, **options: Any) -> Iterator[Any]:
            yield from self._play(name, messages, turns)

        return type(name, (), {"create_completion": staticmethod(create_completion)})

    def _asynchronous(self, name: str, behaviours: Sequence[str]) -> Any:
        turns = itertools.cycle(behaviours)

        async def create_async_generator(cls: Any, model: str, messages: Any, **options: Any) -> AsyncIterator[Any]:
            play = self._play(name, messages, turns)
            try:
                for chunk in play:
                    await asyncio.sleep(0)
                    yield chunk
            finally:
                play.close()  # type: ignore[attr-defined]  # a generator

        return type(name, (), {"create_async_generator": classmethod(create_async_generator)})


def content_of(line: bytes) -> str | None:
    """The content in a line of server-sent events; None where the line says that the answer is complete."""
    data = line.strip().removeprefix(b"data: ")
    if data == b"[DONE]":
        return None
    if not data:
        return ""
    event = json.loads(data)
    if "error" in event:
        raise RuntimeError(event["error"]["message"])
    return event["choices"][0]["delta"].get("content") or ""


def over_aiohttp(name: str, url: str, timeout: float) -> Any:
    class Provider:
        working = True
        supports_stream = True

        @classmethod
        async def create_async_generator(cls, model: str, messages: Any, **options: Any) -> AsyncIterator[str]:
            body = {"model": name, "messages": messages, "stream": True}
            limits = aiohttp.ClientTimeout(sock_read=timeout)
            async with (
                aiohttp.ClientSession(timeout=limits) as session,
                session.post(f"{url}/chat/completions", json=body) as response,
            ):
                if not response.ok:
                    raise aiohttp.ClientResponseError(
                        response.request_info,
                        response.history,
                        status=response.status,
                        message=await response.text(),
                        headers=response.headers,
                    )
                async for line in response.content:
                    content = content_of(line)
                    if content is None:
                        return
                    if content:
                        yield content
                raise EOFError("the stream ended early")

    Provider.__name__ = name
    return Provider


def over_requests(name: str, url: str, timeout: float) -> Any:
    class Provider:
        @staticmethod
        def create_completion(model: str, messages: Any, stream: bool = True, **options: Any) -> Iterator[str]:
            body = {"model": name, "messages": messages, "stream": True}
            with requests.post(f"{url}/chat/completions", json=body, stream=True, timeout=timeout) as response:
                if not response.ok:
                    raise requests.HTTPError(response.text, response=response)
                for line in response.iter_lines():
                    content = content_of(line)
                    if content is None:
                        return
                    if content:
                        yield content
                raise EOFError("the stream ended early")

    Provider.__name__ = name
    return Provider


OVER_HTTP = ["OpenAIProvider", "AnthropicProvider", "gpt4free's form, over aiohttp", "class over requests"]
PLAIN = ["synchronous class", "asynchronous class"]


@pytest.fixture(params=OVER_HTTP + PLAIN)
def field_of_kind(request: pytest.FixtureRequest, server: FaultServer) -> Iterator[Field]:
    """Each kind of provider; no stream of it is open when the test is over."""
    made = Field(request.param, server)
    yield made
    assert server.wait_for(lambda _: made.open == 0, 10), "a stream was left open"


@dataclass
class Outcome:
    text: str = ""
    error: BaseException | None = None


def ask_sync(chain: RetryProvider) -> Outcome:
    outcome = Outcome()
    try:
        for chunk in chain.create_completion("", QUESTION, stream=True):
            outcome.text += chunk
    except Exception as error:
        outcome.error = error
    return outcome


def ask_async(chain: RetryProvider) -> Outcome:
    outcome = Outcome()

    async def main() -> None:
        async with aclosing(chain.create_async_generator("", QUESTION)) as chunks:
            async for chunk in chunks:
                outcome.text += chunk

    try:
        asyncio.run(main())
    except Exception as error:
        outcome.error = error
    return outcome


both_drivers = pytest.mark.parametrize("ask", [ask_sync, ask_async])


@dataclass(frozen=True)
class Again:
    """Worth asking again: after a wait of its own saying, or else after a growing one with jitter."""

    after: float | None = None
    tolerance: float = 0.0

    def waits(self, *backoffs: float) -> list[Any]:
        if self.after is None:
            return list(backoffs)
        return [pytest.approx(self.after, abs=self.tolerance)] * len(backoffs)


NEXT = "the next one at once"
STOP = "nobody else"


def retry_after_date(seconds: float) -> str:
    return f"429-{format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)}"


# What a provider does, or a function that makes it at the time of the test; and what follows.
TABLE: dict[str, tuple[str | Callable[[], str], Again | str]] = {
    "connection lost": ("refuse", Again()),
    "timeout": ("hang", Again()),
    "500": ("500", Again()),
    "503": ("503", Again()),
    "529": ("529", Again()),
    "empty": ("empty", Again()),
    "ended before content": ("cut-0", Again()),
    "cut off before content": ("eof-0", Again()),
    "reset before content": ("reset-0", Again()),
    "error before content": ("error-0", Again()),
    "429": ("429", Again()),
    "429 with seconds": ("429-7", Again(after=7.0)),
    "429 with milliseconds": ("milliseconds-250", Again(after=0.25)),
    "429 at the cap": ("429-30", Again(after=30.0)),
    "429 with a date": (lambda: retry_after_date(25), Again(after=20.0, tolerance=6.0)),
    "429 beyond the cap": ("429-31", NEXT),
    "429 with a date beyond the cap": (lambda: retry_after_date(3600), NEXT),
    "401": ("401", NEXT),
    "402": ("402", NEXT),
    "403": ("403", NEXT),
    "404": ("404", NEXT),
    "context too long": ("context", NEXT),
    "400": ("400", STOP),
    "422": ("422", STOP),
}
each_row = pytest.mark.parametrize(("behaviour", "follows"), TABLE.values(), ids=TABLE.keys())


@both_drivers
@each_row
def test_retry_each_then_next(
    field_of_kind: Field, behaviour: str | Callable[[], str], follows: Again | str, ask: Callable[..., Outcome]
) -> None:
    """With three tries for each, a provider is asked again after the waits of its row, or not at all, then the next."""
    clock = VirtualClock(0.5, 0.25)
    providers = [
        field_of_kind.provider("first", behaviour if isinstance(behaviour, str) else behaviour()),
        field_of_kind.provider("second", "ok"),
    ]
    chain = RetryProvider(providers, shuffle=False, single_provider_retry=True, max_retries=3, clock=clock)
    outcome = ask(chain)
    if follows == STOP:
        assert (type(outcome.error), field_of_kind.asked) == (RetryProviderError, ["first"])
        assert str(outcome.error).startswith("the request itself was refused")
        assert clock.waits == []
        return
    assert (outcome.text, outcome.error) == (TEXT, None)
    if isinstance(follows, Again):
        assert field_of_kind.asked == ["first", "first", "first", "second"]
        assert clock.waits == follows.waits(0.5 * 0.5, 1.0 * 0.25)
    else:
        assert field_of_kind.asked == ["first", "second"]
        assert clock.waits == []


@both_drivers
@each_row
def test_next_at_once_with_a_second_round(
    field_of_kind: Field, behaviour: str | Callable[[], str], follows: Again | str, ask: Callable[..., Outcome]
) -> None:
    """With two rounds the next provider is asked at once, and who is worth it once more when all have been asked."""
    clock = VirtualClock(0.5, 0.25)
    providers = [
        field_of_kind.provider("first", behaviour if isinstance(behaviour, str) else behaviour()),
        field_of_kind.provider("second", "429-30", "ok"),
    ]
    outcome = ask(RetryProvider(providers, shuffle=False, policy=RetryPolicy(rounds=2), clock=clock))
    if follows == STOP:
        assert (type(outcome.error), field_of_kind.asked) == (RetryProviderError, ["first"])
        assert clock.waits == []
        return
    assert (outcome.text, outcome.error) == (TEXT, None)
    assert sum(clock.waits) == pytest.approx(30.0)
    if isinstance(follows, Again):
        assert field_of_kind.asked == ["first", "second", "first", "second"]
        assert clock.waits[:1] == follows.waits(0.5 * 0.5)
    else:
        assert field_of_kind.asked == ["first", "second", "second"]


@both_drivers
@pytest.mark.parametrize(("behaviour", "wait"), [("429-7", 7.0), ("429-0", 0.0), ("500", 0.25)])
def test_the_second_try_answers(field_of_kind: Field, behaviour: str, wait: float, ask: Callable[..., Outcome]) -> None:
    """A provider that is well again after its wait answers itself, and the next one is not asked."""
    clock = VirtualClock(0.5)
    providers = [field_of_kind.provider("first", behaviour, "ok"), field_of_kind.provider("second", "ok")]
    outcome = ask(RetryProvider(providers, shuffle=False, single_provider_retry=True, max_retries=3, clock=clock))
    assert (outcome.text, outcome.error) == (TEXT, None)
    assert field_of_kind.asked == ["first", "first"]
    assert sum(clock.waits) == wait


@both_drivers
def test_the_second_round_begins_with_who_is_ready_first(field_of_kind: Field, ask: Callable[..., Outcome]) -> None:
    """In the second round providers are asked in the order in which their waits end, and each not before that."""
    clock = VirtualClock()
    providers = [
        field_of_kind.provider("first", "429-20", "ok"),
        field_of_kind.provider("second", "429-5", "500"),
        field_of_kind.provider("third", "401"),
    ]
    outcome = ask(RetryProvider(providers, shuffle=False, policy=RetryPolicy(rounds=2), clock=clock))
    assert (outcome.text, outcome.error) == (TEXT, None)
    assert field_of_kind.asked == ["first", "second", "third", "second", "first"]
    assert clock.waits == [5.0, 15.0]


BREAKS = ["cut-3", "eof-3", "reset-3", "error-3"]


@pytest.mark.parametrize("options", [{}, {"single_provider_retry": True}, {"policy": RetryPolicy(rounds=2)}])
@pytest.mark.parametrize("behaviour", BREAKS)
def test_interrupted_after_content_raise(field_of_kind: Field, behaviour: str, options: Any) -> None:
    """A stream that breaks off after content ends the run, whatever the policy: nobody is asked after it."""
    providers = [field_of_kind.provider("first", behaviour), field_of_kind.provider("second", "ok")]
    chain = RetryProvider(providers, shuffle=False, clock=VirtualClock(), **options)
    for ask in (ask_sync, ask_async):
        outcome = ask(chain)
        assert outcome.text == "Hello wide"
        assert outcome.error is not None
        assert not isinstance(outcome.error, RetryProviderError)
    with pytest.raises(RetryProviderError) as caught:
        asyncio.run(chain.answer("", QUESTION))
    assert caught.value.answer is not None
    assert caught.value.answer.text == "Hello wide"
    assert field_of_kind.asked == ["first"] * 3


@pytest.mark.parametrize("behaviour", BREAKS)
def test_interrupted_after_content_restart(field_of_kind: Field, behaviour: str) -> None:
    """With ``restart`` the next provider answers from the start; who cannot take text back gets the failure."""
    providers = [field_of_kind.provider("first", behaviour), field_of_kind.provider("second", "ok")]
    chain = RetryProvider(providers, shuffle=False, on_break="restart", clock=VirtualClock())
    answer = asyncio.run(chain.answer("", QUESTION))
    assert (answer.text, answer.provider) == (TEXT, "second")
    assert field_of_kind.asked == ["first", "second"]
    assert field_of_kind.sent[0] == field_of_kind.sent[1]
    for ask in (ask_sync, ask_async):
        outcome = ask(chain)
        assert outcome.text == "Hello wide"
        assert outcome.error is not None
    assert field_of_kind.asked == ["first", "second", "first", "first"]


@both_drivers
@pytest.mark.parametrize("behaviour", BREAKS)
def test_interrupted_after_content_continue(field_of_kind: Field, behaviour: str, ask: Callable[..., Outcome]) -> None:
    """With ``continue`` the next provider is handed the text so far, and what it repeats of that is left out."""
    providers = [field_of_kind.provider("first", behaviour), field_of_kind.provider("second", "ok")]
    chain = RetryProvider(providers, shuffle=False, on_break="continue", clock=VirtualClock())
    outcome = ask(chain)
    assert (outcome.text, outcome.error) == (TEXT, None)
    assert asyncio.run(chain.answer("", QUESTION)).text == TEXT
    assert field_of_kind.asked == ["first", "second"] * 2
    assert {"role": "assistant", "content": "Hello wide"} in field_of_kind.sent[1]


def test_a_cancelled_task(field_of_kind: Field) -> None:
    """A task that is cancelled in the middle of an answer ends as cancelled, its stream is closed, nobody is asked."""
    providers = [field_of_kind.provider("first", "paced-5"), field_of_kind.provider("second", "ok")]
    chain = RetryProvider(providers, shuffle=False, single_provider_retry=True, on_break="restart")

    async def main() -> None:
        hearing = asyncio.Event()

        async def listen() -> None:
            async with aclosing(chain.create_async_generator("", QUESTION)) as chunks:
                async for _ in chunks:
                    hearing.set()
                    await asyncio.sleep(0.001)

        task = asyncio.create_task(listen())
        await hearing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await field_of_kind.server.await_for(lambda server: field_of_kind.open == server.open_streams == 0, 10)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert field_of_kind.asked == ["first"]
    assert field_of_kind.server.disconnects == (field_of_kind.kind in OVER_HTTP)


def test_a_closed_generator(field_of_kind: Field) -> None:
    """Whoever stops listening to a synchronous run closes its stream, and nobody else is asked."""
    providers = [field_of_kind.provider("first", "paced-5"), field_of_kind.provider("second", "ok")]
    chunks: Any = RetryProvider(providers, shuffle=False, single_provider_retry=True).create_completion(
        "", QUESTION, stream=True
    )
    assert next(chunks) == "w0 "
    chunks.close()
    assert field_of_kind.server.wait_for(lambda server: field_of_kind.open == server.open_streams == 0, 10)
    assert field_of_kind.asked == ["first"]
    assert field_of_kind.server.disconnects == (field_of_kind.kind in OVER_HTTP)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@both_drivers
def test_an_interrupt_passes_through(interrupt: type[BaseException], ask: Callable[..., Outcome]) -> None:
    """An interrupt that is raised in a provider is no failure: it comes out as it is and nobody else is asked."""
    asked: list[str] = []

    class Interrupted:
        @staticmethod
        def create_completion(model: str, messages: Any, **options: Any) -> Iterator[str]:
            asked.append("first")
            raise interrupt
            yield ""

    class Other:
        @staticmethod
        def create_completion(model: str, messages: Any, **options: Any) -> Iterator[str]:
            asked.append("second")
            yield "no"

    with pytest.raises(interrupt):
        ask(RetryProvider([Interrupted, Other], shuffle=False, single_provider_retry=True, clock=VirtualClock()))
    assert asked == ["first"]
