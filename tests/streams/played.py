"""Providers that play a script, in every form that a provider can have, and a clock that nobody waits for."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from typing import Any, TypeAlias

HELLO = [{"role": "user", "content": "Hello"}]

METHODS = ("create_completion", "create_async_generator", "create_async")
KINDS = [(method, on) for method in METHODS for on in ("class", "instance")]


class VirtualClock:
    """A clock that stands still until somebody waits; what was waited for is in ``waits``."""

    def __init__(self, *chances: float) -> None:
        self.now = 1000.0
        self.waits: list[float] = []
        self._chances = itertools.cycle(chances or (1.0,))

    def time(self) -> float:
        return 1_700_000_000.0 + self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)

    def random(self) -> float:
        return next(self._chances)


@dataclass
class Call:
    """What a provider was asked once, and how far its stream is."""

    model: str
    messages: list[dict[str, Any]]
    options: dict[str, Any]
    opened: bool = False
    closed: bool = False


@dataclass
class Script:
    """What a provider says, call for call: chunks in order, and an exception where it is to be raised.

    Each question begins at the first of ``takes``; the last is played again and again. ``to_question`` has the takes
    for questions that are answered otherwise. ``before_chunk`` is called before each chunk.
    """

    takes: tuple[list[Any], ...]
    to_question: dict[str, tuple[list[Any], ...]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    before_chunk: Callable[[], None] = lambda: None

    def begin(self, model: str, messages: list[dict[str, Any]], options: dict[str, Any]) -> tuple[Call, list[Any]]:
        call = Call(model, messages, options)
        self.calls.append(call)
        takes = self.to_question.get(messages[-1]["content"], self.takes)
        so_far = sum(other.messages == messages for other in self.calls)
        return call, takes[min(so_far, len(takes)) - 1]

    def chunks(self, call: Call, take: list[Any]) -> Any:
        call.opened = True
        try:
            for item in take:
                self.before_chunk()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            call.closed = True

    @property
    def all_closed(self) -> bool:
        return all(call.closed for call in self.calls if call.opened)


def provider(
    name: str, *takes: list[Any], method: str = "create_completion", on: str = "class", **attributes: Any
) -> Any:
    """A provider with one of the three methods, as a class or as an instance; its ``script`` has the calls."""
    script = Script(takes or ([],))

    def create_completion(cls: Any, model: str, messages: Any, **options: Any) -> Any:
        yield from script.chunks(*script.begin(model, messages, options))

    async def create_async_generator(cls: Any, model: str, messages: Any, **options: Any) -> Any:
        with closing(script.chunks(*script.begin(model, messages, options))) as chunks:
            for chunk in chunks:
                await asyncio.sleep(0)
                yield chunk

    async def create_async(cls: Any, model: str, messages: Any, **options: Any) -> Any:
        await asyncio.sleep(0)
        chunks = list(script.chunks(*script.begin(model, messages, options)))
        return "".join(chunks) if all(isinstance(chunk, str) for chunk in chunks) else chunks[0]

    function: Any = {f.__name__: f for f in (create_completion, create_async_generator, create_async)}[method]
    made = type(name, (), {method: classmethod(function) if on == "class" else function, **attributes})
    made.script = script  # type: ignore[attr-defined]
    return made if on == "class" else made()


@dataclass
class Heard:
    """The chunks of one answer, and what was raised after them."""

    chunks: list[Any] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def text(self) -> str:
        return "".join(chunk for chunk in self.chunks if isinstance(chunk, str))


Listen: TypeAlias = Callable[..., Heard]


def listen_sync(provider: Any, model: str = "", messages: Any = HELLO, stream: bool = True, **options: Any) -> Heard:
    """Ask without an event loop."""
    heard = Heard()
    with closing(provider.create_completion(model, messages, stream=stream, **options)) as chunks:
        try:
            for chunk in chunks:
                heard.chunks.append(chunk)
        except BaseException as error:
            heard.error = error
    return heard


async def listen_async(
    provider: Any, model: str = "", messages: Any = HELLO, stream: bool = True, **options: Any
) -> Heard:
    """Ask in the running event loop."""
    heard = Heard()
    async with aclosing(provider.create_async_generator(model, messages, stream=stream, **options)) as chunks:
        try:
            async for chunk in chunks:
                heard.chunks.append(chunk)
        except BaseException as error:
            heard.error = error
    return heard
