"""A provider that swallows its cancellation, or makes an error of it, cannot keep a run from being stopped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from nbretry.answer import Answer
from nbretry.providers import RetryProvider
from nbretry.session.runs import drive


class Translating:
    """Makes a `RuntimeError` of whatever stops it."""

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> AsyncIterator[str]:
        try:
            await asyncio.sleep(60)
        except BaseException as error:
            raise RuntimeError("something went wrong") from error
        yield "never"


class Ignoring:
    """Goes on as if nothing had happened."""

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> AsyncIterator[str]:
        yield "first"
        for _ in range(100):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
            yield "more"


class Good:
    """Answers, and notes that it was asked."""

    asked = 0

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> AsyncIterator[str]:
        self.asked += 1
        yield "good"


async def _stop(provider: Any, good: Good, run: Callable[[RetryProvider], Any]) -> None:
    task = asyncio.ensure_future(run(RetryProvider([provider, good], shuffle=False)))
    await asyncio.sleep(0.03)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("run", [lambda retry: retry.answer("", "Hello?"), lambda retry: retry.create_async("", [])])
def test_a_stop_made_into_an_error_is_no_failure(run: Callable[[RetryProvider], Any]) -> None:
    """Where a provider turns its cancellation into an error of its own, nobody else is asked."""
    good = Good()
    asyncio.run(_stop(Translating(), good, run))
    assert good.asked == 0


def test_a_stop_that_a_provider_ignores_stops_the_run() -> None:
    """Where a provider goes on after its cancellation, the run that is shown ends as stopped at its next word."""
    kept: list[Answer] = []

    def run(retry: RetryProvider) -> Any:
        return drive(retry.stream_events("", "Hello?"), lambda event, answer: None, kept.append)

    asyncio.run(_stop(Ignoring(), Good(), run))
    assert kept[0].state == "stopped"
    assert kept[0].text.startswith("first")
    assert len(kept[0].text) < 100


def test_a_task_that_was_cancelled_before_can_ask() -> None:
    """A task that has survived an earlier cancellation asks as any other does: a failure leads to the next provider."""

    class Failing:
        async def create_async(self, model: str, messages: Any, **options: Any) -> str:
            raise ValueError("no")

    async def main() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return (await RetryProvider([Failing(), Good()], shuffle=False).answer("", "Hello?")).text

    assert asyncio.run(main()) == "good"
