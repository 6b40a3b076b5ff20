"""Hedging: if a provider sends no content for a while, the next one starts in parallel; the first to send any wins.

`race` is the driver of a run that hedges. Each provider is read in its own task, from its first chunk to its last,
because a generator that was started in one task cannot always continue in another.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

from nbretry.retry import async_bridge
from nbretry.retry.contract import is_content, passes_through
from nbretry.retry.deadline_watch import is_sign_of_life
from nbretry.retry.run import Run
from nbretry.retry.running_attempt import RunningAttempt
from nbretry.types import ProviderType

__all__ = ["race"]


class _Racer:
    """One provider, read in its own task.

    Args:
        attempt: the attempt with the provider.
        arrived: set whenever there is a chunk or the end.
    """

    def __init__(self, attempt: RunningAttempt, arrived: asyncio.Event) -> None:
        self.attempt = attempt
        self.chunks: deque[Any] = deque()
        self.ended = False
        self.failure: BaseException | None = None
        self._given_up = False
        self._arrived = arrived
        self._room = asyncio.Event()
        self._room.set()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        watch = self.attempt.watch
        try:
            chunks = self.attempt.achunks()
            watch.start(is_waiting=self._room.is_set)
            try:
                async for chunk in chunks:
                    if self._given_up:  # and the provider has ignored its cancellation
                        break
                    watch.fresh = watch.fresh or is_sign_of_life(chunk)
                    self.chunks.append(chunk)
                    self._arrived.set()
                    if len(self.chunks) >= async_bridge.READ_AHEAD:
                        self._room.clear()
                        await self._room.wait()
            finally:
                watch.stop()
                await async_bridge.aclose(chunks)
        except BaseException as exception:
            self.failure = exception
            if isinstance(exception, KeyboardInterrupt | SystemExit):
                raise
        finally:
            self.failure = watch.failure() or self.failure
            self.ended = True
            self._arrived.set()

    def give_up(self) -> None:
        """Stop reading. The task ends when the provider is closed."""
        self._given_up = True
        self.task.cancel()

    def take(self) -> Any:
        """Remove and return the next chunk; there must be one."""
        chunk = self.chunks.popleft()
        if not self.chunks:
            self._room.set()
        return chunk

    def check_content(self) -> None:
        """Raise the failure of the provider, or `EmptyResponseError` if it has ended without content."""
        if self.failure is not None:
            raise self.failure
        self.attempt.check_content()


class _Race:
    """The providers that are being asked now, and when to start the next one in parallel."""

    def __init__(self, run: Run, asked: Callable[[ProviderType], None]) -> None:
        self.racers: list[_Racer] = []
        self._run = run
        self._asked = asked
        self._arrived = asyncio.Event()
        self._losers: list[_Racer] = []
        self._hedge_at = math.inf

    def start(self) -> bool:
        """Ask the next provider; return False if none is left."""
        attempt = self._run.next_attempt()
        if attempt is None:
            self._hedge_at = math.inf
            return False
        self._asked(attempt.provider)
        self.racers.append(_Racer(attempt, self._arrived))
        self._hedge_at = asyncio.get_running_loop().time() + self._patience()
        return True

    def start_another(self) -> bool:
        """Start the next provider in parallel if the others have sent no content for long enough.

        Return False if it is too early, or if no provider is left.
        """
        return self._seconds_to_another() <= 0.0 and self.start()

    def choose(self, winner: _Racer) -> None:
        """Give up all other providers, because this one has sent content."""
        self._hedge_at = math.inf
        for racer in self.racers:
            if racer is not winner:
                racer.give_up()
                self._losers.append(racer)
                self._run.cancelled(racer.attempt, f"{winner.attempt.name} was quicker")
        self.racers = [winner]

    async def wait(self) -> None:
        """Wait for a chunk or an end, or until it is time to ask the next provider."""
        if any(racer.chunks or racer.ended for racer in self.racers):
            return
        self._arrived.clear()
        seconds = self._seconds_to_another()
        if seconds == math.inf:
            await self._arrived.wait()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Cancel all providers that are still being asked, and wait a moment until they are closed."""
        tasks = [racer.task for racer in (*self.racers, *self._losers)]
        for racer in self.racers:
            racer.give_up()
        if tasks:
            await asyncio.wait(tasks, timeout=async_bridge.CLOSING_PATIENCE)

    def _seconds_to_another(self) -> float:
        """Return the seconds until the next provider is to start in parallel; infinity if none is."""
        return max(self._hedge_at - asyncio.get_running_loop().time(), self._run.seconds_to_another())

    def _patience(self) -> float:
        """Return the seconds without content after which to ask another provider."""
        after = self._run.settings.hedge_after
        if isinstance(after, str):
            quantile = self._run.settings.health.first_content_quantile(float(after[1:]) / 100)
            return math.inf if quantile is None else quantile
        return math.inf if after is None else after


async def race(
    begin: Callable[[], Run], asked: Callable[[ProviderType], None], with_events: bool
) -> AsyncGenerator[Any, None]:
    """Drive a run that hedges; yields and raises the same as `nbretry.retry.sequential.follow`.

    Args:
        begin: creates the run.
        asked: called with every provider that is asked.
        with_events: whether to yield events, too.
    """
    run = begin()
    cancelled = async_bridge.cancellation()
    field = _Race(run, asked)
    yielded = False
    try:
        while field.start():
            wait_for = 0.0
            while field.racers:
                if with_events:
                    for fact in run.news():
                        yield fact
                await field.wait()
                if cancelled():
                    raise asyncio.CancelledError
                field.start_another()
                for racer in list(field.racers):
                    attempt = racer.attempt
                    while racer.chunks and racer in field.racers:
                        chunk = racer.take()
                        if not attempt.content_started and is_content(chunk):
                            yielded = True
                            attempt.start_content()
                            field.choose(racer)
                            if with_events:
                                for fact in run.news():
                                    yield fact
                        if type(chunk) is str:
                            if chunk:
                                yield chunk
                        elif with_events:
                            yield attempt, chunk
                        else:
                            attempt.event_of(chunk)
                            if passes_through(chunk):
                                yield chunk
                    if racer not in field.racers or not racer.ended:
                        continue
                    field.racers.remove(racer)
                    try:
                        racer.check_content()
                    except Exception as failure:
                        failed = run.failed(attempt, failure)
                        wait_for = failed.wait_for
                        if not with_events and yielded and failed.next_step == "stop":
                            raise
                        continue
                    run.succeeded(attempt)
                    if with_events:
                        for fact in run.news():
                            yield fact
                    return
            if with_events:
                for fact in run.news():
                    yield fact
            if wait_for:
                await run.settings.clock.asleep(wait_for)
        ended = run.ended()
        if with_events:
            for fact in run.news():
                yield fact
        raise ended.exception
    finally:
        try:
            await field.close()
        finally:  # even if the waiting task is cancelled once more
            run.close()
