"""An event loop in which nobody waits: where nothing is to be done, its time jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

from nbretry.answer import Answer
from nbretry.errors import RetryProviderError
from nbretry.providers import RetryProvider

_LOOKS_WITHOUT_TIME = 10_000
_A_MOMENT = 1e-9
"""Seconds. Who waits for less than the clock can tell looks again and again, and a real clock goes on meanwhile."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self._looks_in_a_row = 0

    def select(self, timeout: float | None = None) -> Any:
        self._looks_in_a_row = 0 if timeout else self._looks_in_a_row + 1
        if timeout:
            self.now += timeout
            timeout = 0
        elif self._looks_in_a_row > _LOOKS_WITHOUT_TIME:
            self.now += _A_MOMENT
        return super().select(timeout)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its timers go off in order and at once."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


class LoopClock:
    """The running loop's time as a run's clock."""

    def __init__(self, chance: float = 1.0) -> None:
        self.waits: list[float] = []
        self._chance = chance

    def time(self) -> float:
        return 1_700_000_000.0 + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps in an event loop")

    async def asleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(seconds)

    def random(self) -> float:
        return self._chance


async def answer_or_what_there_is(chain: RetryProvider) -> Answer:
    """The answer to a greeting, also one that failed."""
    try:
        return await chain.answer("", "Hello")
    except RetryProviderError as error:
        if error.answer is None:
            raise
        return error.answer


def run_virtually(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end in a new loop of this kind, and see that no task is left."""

    async def main() -> Any:
        result = await coroutine
        assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()
        return result

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


class Timed:
    """A provider that says what its plays have: texts, seconds to wait, metadata, and exceptions to raise.

    Args:
        name: its name.
        *plays: one for each call, of which the last repeats.
    """

    def __init__(self, name: str, *plays: list[Any]) -> None:
        self.name = name
        self.plays = plays
        self.calls: list[tuple[float, list[Any]]] = []
        self.closed = 0

    @property
    def asked_at(self) -> list[float]:
        return [moment - 1000.0 for moment, _ in self.calls]

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> Any:
        play = self.plays[min(len(self.calls), len(self.plays) - 1)]
        self.calls.append((asyncio.get_running_loop().time(), messages))
        try:
            for item in play:
                if isinstance(item, BaseException):
                    raise item
                if isinstance(item, float | int):
                    await asyncio.sleep(item)
                else:
                    yield item
        finally:
            self.closed += 1
