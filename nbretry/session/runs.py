"""Drive runs to the end: apply each event to the answer, render both, and keep the answer whatever the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial

from nbretry._utils.clock import SYSTEM_CLOCK
from nbretry.answer import Answer, failure_text
from nbretry.errors import RetryProviderError
from nbretry.events import Event, RunCancelled, TextDelta
from nbretry.retry.async_bridge import cancellation

__all__ = ["Paint", "PaintColumn", "both", "drive", "drive_all", "first_answered", "nobody_answered"]

Paint = Callable[[Event, Answer], None]
"""A renderer: it is called with each event and the answer after that event. It may have a method ``prepare``."""

Prepare = Callable[[Event, Answer], Callable[[], None] | None]
"""A renderer's ``prepare``. What it returns is called in a thread before the renderer is called; None for nothing."""

PaintColumn = Callable[[int, Event, Answer], None]
"""A renderer of several answers: it is called with the index of an answer (from 0), an event and that answer."""


async def drive(events: AsyncGenerator[Event, None], paint: Paint, keep: Callable[[Answer], None]) -> Answer:
    """Drive one run to the end: apply each event to the answer and pass both to the renderer.

    Args:
        events: the events of the run.
        paint: called with each event and the answer after it.
        keep: called with the answer at the end, whatever the outcome.

    Returns:
        The answer after the last event.

    Raises:
        RetryProviderError: no provider answered; ``.answer`` holds what arrived.
        asyncio.CancelledError: the run was stopped; the renderer was called with `RunCancelled`.
    """
    answer = Answer()
    prepare: Prepare | None = getattr(paint, "prepare", None)
    begun = SYSTEM_CLOCK.monotonic()
    cancelled = cancellation()
    try:
        async with aclosing(events):
            async for event in events:
                answer = answer.apply(event)
                work = None if prepare is None or isinstance(event, TextDelta) else prepare(event, answer)
                try:
                    if work is not None:
                        await asyncio.to_thread(work)
                finally:
                    paint(event, answer)
                if cancelled():  # the provider swallowed the cancellation and keeps sending
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
    """Drive several runs at once.

    A run that fails with `RetryProviderError` does not stop the others; any other exception does.

    Args:
        runs: the events of each run.
        paint: takes the index of a run (from 0) and returns the renderer for that run.
        keep: called with all answers at the end, whatever the outcome.

    Returns:
        The answers in the order of the runs.

    Raises:
        asyncio.CancelledError: the call was cancelled; every unfinished run was stopped as well.
        Exception: whatever a run raised, except `RetryProviderError`.
    """
    answers = [Answer()] * len(runs)

    async def follow(place: int) -> None:
        with suppress(RetryProviderError):  # the answer records the failure; the other runs continue
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
    """Return a renderer that passes each event and answer to two renderers, of which the second one may prepare."""

    def paint(event: Event, answer: Answer) -> None:
        first(event, answer)
        second(event, answer)

    paint.prepare = getattr(second, "prepare", None)  # type: ignore[attr-defined]
    return paint


def first_answered(answers: Sequence[Answer]) -> Answer:
    """Return the first completed answer of a comparison; if there is none, the first with text, or else the first."""
    whole = [answer for answer in answers if answer.state == "completed"]
    return [*whole, *(answer for answer in answers if answer.text), *answers][0]


def nobody_answered(names: Sequence[str], answers: Sequence[Answer]) -> RetryProviderError:
    """Return the exception of a failed comparison, with the last exception of each provider."""
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
