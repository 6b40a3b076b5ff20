"""Drive runs to their ends: apply each event to the answer, paint it, and keep the answer however the run ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial

from nbretry._utils.clock import SYSTEM_CLOCK
from nbretry.answer import Answer, RetryProviderError, failure_text
from nbretry.events import Event, RunCancelled
from nbretry.retry.async_bridge import cancellation

__all__ = ["Paint", "PaintColumn", "both", "drive", "drive_all", "first_answered", "nobody_answered"]

Paint = Callable[[Event, Answer], None]
"""A renderer: it is handed each event with the answer after it."""

PaintColumn = Callable[[int, Event, Answer], None]
"""A renderer of several answers: it is handed the number of the answer, from 0, before each event."""


async def drive(events: AsyncGenerator[Event, None], paint: Paint, keep: Callable[[Answer], None]) -> Answer:
    """Run a question to its end: fold each event and paint it.

    Args:
        events: of one run.
        paint: is handed each event with the answer after it.
        keep: is handed the answer at the end, however it ended.

    Raises:
        RetryProviderError: nobody answered; ``.answer`` has what there was.
        asyncio.CancelledError: the run was stopped; `RunCancelled` was painted.
    """
    answer = Answer()
    begun = SYSTEM_CLOCK.monotonic()
    cancelled = cancellation()
    try:
        async with aclosing(events):
            async for event in events:
                answer = answer.apply(event)
                paint(event, answer)
                if cancelled():  # and the provider goes on all the same
                    raise asyncio.CancelledError
    except RetryProviderError as error:
        error.answer = answer
        raise
    except BaseException:
        if answer.state == "running":
            stopped = RunCancelled(SYSTEM_CLOCK.monotonic() - begun)
            answer = answer.apply(stopped)
            paint(stopped, answer)
        raise
    finally:
        keep(answer)
    return answer


async def drive_all(
    runs: Sequence[AsyncGenerator[Event, None]],
    paint: Callable[[int], Paint],
    keep: Callable[[list[Answer]], None],
) -> list[Answer]:
    """Drive several runs at once. One that fails does not stop the others; one that raises anything else does.

    Args:
        runs: the events of each.
        paint: takes the place of a run in this order, from 0, and returns its renderer.
        keep: is handed the answers at the end, however they ended.

    Returns:
        The answers in the order of the runs.

    Raises:
        asyncio.CancelledError: it was stopped, and so was each run that had not ended.
        Exception: what a run raised, except `RetryProviderError`.
    """
    answers = [Answer()] * len(runs)

    async def follow(place: int) -> None:
        with suppress(RetryProviderError):  # its answer says so, and the others go on
            await drive(runs[place], paint(place), partial(answers.__setitem__, place))

    tasks = [asyncio.create_task(follow(place)) for place in range(len(runs))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        broken = next((task for task in tasks if task.done() and not task.cancelled() and task.exception()), None)
    finally:
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            keep(answers)
    if broken is not None:
        broken.result()
    return answers


def both(first: Paint, second: Paint) -> Paint:
    """One renderer that hands each event to two."""

    def paint(event: Event, answer: Answer) -> None:
        first(event, answer)
        second(event, answer)

    return paint


def first_answered(answers: Sequence[Answer]) -> Answer:
    """Of the answers of a comparison the first whole one; without one the first that has text, or else the first."""
    whole = [answer for answer in answers if answer.state == "completed"]
    return [*whole, *(answer for answer in answers if answer.text), *answers][0]


def nobody_answered(names: Sequence[str], answers: Sequence[Answer]) -> RetryProviderError:
    """What a comparison fails with: of each its last exception."""
    failures: list[tuple[str, BaseException]] = []
    for name, answer in zip(names, answers, strict=True):
        failed = [attempt for attempt in answer.attempts if attempt.state == "failed"] or answer.attempts
        exception = failed[-1].exception if failed else None
        failures.append((name, exception or asyncio.CancelledError("it stopped by itself")))
    return RetryProviderError(
        failure_text("every provider failed", failures),
        attempts=[attempt for answer in answers for attempt in answer.attempts],
        exceptions=dict(failures),
        answer=first_answered(answers),
    )
