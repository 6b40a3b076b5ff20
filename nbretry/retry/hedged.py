"""Several providers side by side: where one says nothing for a while, the next is asked too; who speaks first wins.

`race` is the loop of `retry_provider` for a run that hedges. Each provider is read in a task of its own, from its first
chunk to its last, as a generator that is begun in one task cannot always go on in another.
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
    """One provider, read in a task of its own.

    Args:
        attempt: who is asked.
        arrived: is set whenever there is something new.
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
                    if self._given_up:  # and the provider goes on all the same
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
        """Stop reading; the task ends when the provider is closed."""
        self._given_up = True
        self.task.cancel()

    def take(self) -> Any:
        """The next chunk, of which there is one."""
        chunk = self.chunks.popleft()
        if not self.chunks:
            self._room.set()
        return chunk

    def check_content(self) -> None:
        """Raise what the provider has failed with, also where it has ended without content."""
        if self.failure is not None:
            raise self.failure
        self.attempt.check_content()


class _Race:
    """Who is being asked now, and when the next is to be asked beside them."""

    def __init__(self, run: Run, asked: Callable[[ProviderType], None]) -> None:
        self.racers: list[_Racer] = []
        self._run = run
        self._asked = asked
        self._arrived = asyncio.Event()
        self._losers: list[_Racer] = []
        self._hedge_at = math.inf

    def start(self) -> bool:
        """Ask the next provider; False where there is nobody left."""
        attempt = self._run.next_attempt()
        if attempt is None:
            self._hedge_at = math.inf
            return False
        self._asked(attempt.provider)
        self.racers.append(_Racer(attempt, self._arrived))
        self._hedge_at = asyncio.get_running_loop().time() + self._patience()
        return True

    def start_another(self) -> bool:
        """Ask the next provider beside those who have said nothing for long enough; False where it is not time to."""
        return self._seconds_to_another() <= 0.0 and self.start()

    def choose(self, winner: _Racer) -> None:
        """Give up all others: this one has spoken."""
        self._hedge_at = math.inf
        for racer in self.racers:
            if racer is not winner:
                racer.give_up()
                self._losers.append(racer)
                self._run.cancelled(racer.attempt, f"{winner.attempt.name} was quicker")
        self.racers = [winner]

    async def wait(self) -> None:
        """Wait until there is something new, or until the next provider is to be asked."""
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
        """Cancel whoever is still being asked, and wait a moment until all are closed."""
        tasks = [racer.task for racer in (*self.racers, *self._losers)]
        for racer in self.racers:
            racer.give_up()
        if tasks:
            await asyncio.wait(tasks, timeout=async_bridge.CLOSING_PATIENCE)

    def _seconds_to_another(self) -> float:
        """Seconds until another provider is to be asked beside these; infinity where none is."""
        return max(self._hedge_at - asyncio.get_running_loop().time(), self._run.seconds_to_another())

    def _patience(self) -> float:
        """Seconds without content after which another provider is asked."""
        after = self._run.settings.hedge_after
        if isinstance(after, str):
            quantile = self._run.settings.health.first_content_quantile(float(after[1:]) / 100)
            return math.inf if quantile is None else quantile
        return math.inf if after is None else after


async def race(
    begin: Callable[[], Run], asked: Callable[[ProviderType], None], facts: bool
) -> AsyncGenerator[Any, None]:
    """The loop of a run that hedges; yields and raises what `nbretry.retry.sequential.follow` does.

    Args:
        begin: makes the run.
        asked: is told of every provider that is asked.
        facts: whether events are wanted, too.
    """
    run = begin()
    cancelled = async_bridge.cancellation()
    field = _Race(run, asked)
    yielded = False
    try:
        while field.start():
            wait_for = 0.0
            while field.racers:
                if facts:
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
                            if facts:
                                for fact in run.news():
                                    yield fact
                        if type(chunk) is str:
                            if chunk:
                                yield chunk
                        elif facts:
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
                        if not facts and yielded and failed.next_step == "stop":
                            raise
                        continue
                    run.succeeded(attempt)
                    if facts:
                        for fact in run.news():
                            yield fact
                    return
            if facts:
                for fact in run.news():
                    yield fact
            if wait_for:
                await run.settings.clock.asleep(wait_for)
        ended = run.ended()
        if facts:
            for fact in run.news():
                yield fact
        raise ended.exception
    finally:
        try:
            await field.close()
        finally:  # also where whoever waits for it is cancelled once more
            run.close()
