"""The two drivers of a run that asks one provider after the other: with an event loop and without one.

Both are the same loop and decide nothing: `Run` makes all decisions. A third driver, for a run that hedges, is
`nbretry.retry.hedged.race`.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from nbretry.retry import async_bridge
from nbretry.retry.contract import is_content, passes_through
from nbretry.retry.deadline_watch import is_sign_of_life
from nbretry.retry.run import Run
from nbretry.types import ProviderType

__all__ = ["afollow", "follow"]


def follow(
    begin: Callable[[], Run], asked: Callable[[ProviderType], None], with_events: bool
) -> Generator[Any, None, None]:
    """Drive a run without an event loop.

    Args:
        begin: creates the run.
        asked: called with every provider that is asked.
        with_events: whether to yield events, too.

    Yields:
        Strings, and chunks of other types except nbretry's `Metadata`. With ``with_events``, events as well, and
        every chunk that is not a string as a pair ``(attempt, chunk)``.

    Raises:
        RetryProviderError: no provider answered.
        RetryNoProviderError: there was no provider to ask.
        Exception: without ``with_events``, what a provider raised after it had begun to answer.
    """
    run = begin()
    yielded = False
    try:
        while (attempt := run.next_attempt()) is not None:
            asked(attempt.provider)
            if with_events:
                yield from run.news()
            failure: Exception | None = None
            try:
                chunks = attempt.chunks()
                try:
                    for chunk in chunks:
                        if not attempt.content_started and is_content(chunk):
                            yielded = True
                            attempt.start_content()
                            if with_events:
                                yield from run.news()
                        if type(chunk) is str:
                            if chunk:
                                yield chunk
                        elif with_events:
                            yield attempt, chunk
                        else:
                            attempt.event_of(chunk)
                            if passes_through(chunk):
                                yield chunk
                finally:
                    async_bridge.close(chunks)
                attempt.check_content()
            except Exception as exception:
                failure = exception
            if failure is None:
                run.succeeded(attempt)
                if with_events:
                    yield from run.news()
                return
            failed = run.failed(attempt, failure)
            if with_events:
                yield from run.news()
            elif yielded and failed.next_step == "stop":
                raise failure
            del failure
            if failed.wait_for:
                run.settings.clock.sleep(failed.wait_for)
        ended = run.ended()
        if with_events:
            yield from run.news()
        raise ended.exception
    finally:
        run.close()


def afollow(
    begin: Callable[[], Run], asked: Callable[[ProviderType], None], with_events: bool
) -> AsyncGenerator[Any, None]:
    """Drive a run in an event loop; otherwise the same as `follow`."""
    # The generator itself, for the watch: it checks whether the generator waits for a provider or is held up.
    reference: list[weakref.ref[Any]] = []
    generator = _afollow(begin, asked, with_events, lambda: reference[0]())
    reference.append(weakref.ref(generator))
    return generator


async def _afollow(
    begin: Callable[[], Run], asked: Callable[[ProviderType], None], with_events: bool, myself: Callable[[], Any]
) -> AsyncGenerator[Any, None]:
    run = begin()
    cancelled = async_bridge.cancellation()
    yielded = False
    try:
        while (attempt := run.next_attempt()) is not None:
            asked(attempt.provider)
            if with_events:
                for fact in run.news():
                    yield fact
            failure: BaseException | None = None
            watch = attempt.watch
            content_started = False
            try:
                chunks = attempt.achunks()
                watch.start(myself())
                try:
                    async for chunk in chunks:
                        if type(chunk) is str and content_started:
                            if chunk:
                                watch.fresh = True
                                yield chunk
                            continue
                        if is_sign_of_life(chunk):
                            watch.fresh = True
                            if not content_started and is_content(chunk):
                                yielded = content_started = True
                                attempt.start_content()
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
                finally:
                    watch.stop()
                    await async_bridge.aclose(chunks)
                attempt.check_content()
            except Exception as exception:
                failure = exception
            except asyncio.CancelledError as exception:
                if watch.name is None:
                    raise
                failure = exception
            if cancelled():  # even if the provider swallowed it or raised something else
                raise asyncio.CancelledError
            failure = watch.failure() or failure
            if failure is None:
                run.succeeded(attempt)
                if with_events:
                    for fact in run.news():
                        yield fact
                return
            failed = run.failed(attempt, failure)
            if with_events:
                for fact in run.news():
                    yield fact
            elif yielded and failed.next_step == "stop":
                raise failure
            del failure
            if failed.wait_for:
                await run.settings.clock.asleep(failed.wait_for)
        ended = run.ended()
        if with_events:
            for fact in run.news():
                yield fact
        raise ended.exception
    finally:
        run.close()
