"""Several providers asked at once: all answers are kept, and none of them stops another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from short_runs import failed, whole

from nbretry.answer import Answer
from nbretry.errors import ConfigError, RetryNoProviderError, RetryProviderError
from nbretry.events import (
    Event,
    RunCancelled,
    RunCompleted,
    RunStarted,
)
from nbretry.providers import ScriptedProvider
from nbretry.retry.policy import RetryPolicy
from nbretry.session.question import Question
from nbretry.session.runs import both, drive, first_answered
from nbretry.session.session import Session

WORDS = ScriptedProvider("'Because.'")


# --- the run ----------------------------------------------------------------------------------------------------------


def compared(
    session: Session, providers: Sequence[Any], prompt: str = "Why?"
) -> tuple[list[tuple[int, Event]], list[list[Answer]], BaseException | None]:
    """What was painted, the lists that were kept, and what was raised."""
    painted: list[tuple[int, Event]] = []
    kept: list[list[Answer]] = []

    def paint(place: int, event: Event, answer: Answer) -> None:
        painted.append((place, event))

    try:
        asyncio.run(session.compare(Question(prompt, ["not-asked"]), providers, paint, kept.append))
    except Exception as error:
        return painted, kept, error
    return painted, kept, None


class Meeting:
    """Providers of which none goes on before all have been asked."""

    def __init__(self, guests: int) -> None:
        self.guests = guests
        self.all_here = asyncio.Event()

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> AsyncIterator[str]:
        self.guests -= 1
        if not self.guests:
            self.all_here.set()
        await self.all_here.wait()
        yield "met"


class Slow:
    """Goes on some steps of the loop after the others of a meeting."""

    def __init__(self, meeting: Meeting) -> None:
        self.meeting = meeting

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> AsyncIterator[str]:
        async for _ in self.meeting.create_async_generator(model, messages):
            for _ in range(50):
                await asyncio.sleep(0)
            yield "at last"


def test_all_are_asked_at_once() -> None:
    """Nobody waits for another one's answer."""
    meeting = Meeting(3)
    _, kept, failure = compared(Session(), [meeting, meeting, meeting])
    assert failure is None
    assert [answer.text for answer in kept[0]] == ["met", "met", "met"]


def test_answers_are_kept_in_the_named_order() -> None:
    """The answers stand in the order of the names, whoever was quicker, and the session keeps each."""
    session = Session()
    meeting = Meeting(3)
    session.register("slow", Slow(meeting))
    session.register("quick", meeting)
    painted, kept, _ = compared(session, ["slow", "quick", "slow"])
    assert [answer.text for answer in kept[0]] == ["at last", "met", "at last"]
    ends = [place for place, event in painted if isinstance(event, RunCompleted)]
    assert ends[0] == 1, "the quick one is to be first"
    assert [answer.providers for answer in kept[0]] == [("slow",), ("quick",), ("slow",)]
    assert list(session.answers) == kept[0]
    for place in range(3):
        events = [event for where, event in painted if where == place]
        assert isinstance(events[0], RunStarted)
        assert isinstance(events[-1], RunCompleted)


def test_one_that_fails_does_not_stop_the_others() -> None:
    """Where one fails the others answer, nothing is raised, and nobody answers in its place."""
    good = ScriptedProvider("'yes'", name="good")
    _, kept, failure = compared(Session(), [ScriptedProvider("401", name="bad"), good])
    assert failure is None
    assert [answer.state for answer in kept[0]] == ["failed", "completed"]
    assert len(good.calls) == 1
    assert first_answered(kept[0]).provider == "good"


def test_all_fail() -> None:
    """Where all fail one error names each with its exception, and has every attempt and the partial text."""
    broken = ScriptedProvider("'half' cut", name="broken")
    bad = ScriptedProvider("401 message='no'", name="bad")
    _, kept, failure = compared(Session(policy=RetryPolicy()), [bad, broken])
    assert isinstance(failure, RetryProviderError)
    lines = str(failure).splitlines()
    assert lines[0] == "every provider failed:"
    assert lines[1] == "bad: AuthenticationError: no"
    assert lines[2].startswith("broken: StreamInterruptedError: ")
    assert list(failure.exceptions) == ["bad", "broken"]
    assert [attempt.provider for attempt in failure.attempts] == ["bad", "broken"]
    assert failure.answer is kept[0][1]
    assert failure.answer.text == "half"


def test_failure_comes_before_the_rest_that_follows_it() -> None:
    """For one that rests after its failure the error tells the failure, not the rest."""
    session = Session()
    refusing = ScriptedProvider("503 message='overloaded'", name="refusing")
    for _ in range(2):
        _, _, failure = compared(session, [refusing])
        assert "refusing: ServerError: overloaded" in str(failure)


def test_unknown_name_is_told_before_anybody_is_asked() -> None:
    """A mistake in one name leaves the others unasked."""
    session = Session()
    good = ScriptedProvider()
    session.register("good", good)
    painted, kept, failure = compared(session, ["good", "goood"])
    assert isinstance(failure, ConfigError)
    assert (painted, kept, good.calls) == ([], [], [])
    assert isinstance(compared(session, ["good", "good"], " ")[2], ConfigError)
    assert isinstance(compared(session, [])[2], RetryNoProviderError)


def test_stop_stops_all() -> None:
    """A cancelled comparison closes every provider, keeps what had come, and marks as stopped who had not ended."""
    hanging = [ScriptedProvider("'half' hang", name="half"), ScriptedProvider("hang", name="silent")]
    quick = ScriptedProvider("'whole'", name="quick")
    session = Session()
    kept: list[list[Answer]] = []
    painted: list[tuple[int, Event]] = []

    async def stop_once_two_have_text() -> None:
        task = asyncio.current_task()
        assert task is not None
        with_text: set[int] = set()

        def paint(place: int, event: Event, answer: Answer) -> None:
            painted.append((place, event))
            if answer.state == "completed" or (place == 0 and answer.text):
                with_text.add(place)
                if len(with_text) == 2:
                    task.cancel()

        await session.compare(Question("Why?"), [*hanging, quick], paint, kept.append)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stop_once_two_have_text())
    assert [(answer.state, answer.text) for answer in kept[0]] == [
        ("stopped", "half"),
        ("stopped", ""),
        ("completed", "whole"),
    ]
    assert [(provider.opened, provider.closed) for provider in [*hanging, quick]] == [(1, 1)] * 3
    assert {place for place, event in painted if isinstance(event, RunCancelled)} == {0, 1}
    assert list(session.answers) == kept[0]


@pytest.mark.parametrize("hedge_after", [None, 600.0])
def test_stop_before_the_beginning(hedge_after: float | None) -> None:
    """Stopped before anything was said, each answer is painted and kept as stopped, and no provider is left open."""
    provider = ScriptedProvider("hang")
    kept: list[list[Answer]] = []
    painted: list[int] = []

    def paint(place: int, event: Event, answer: Answer) -> None:
        if isinstance(event, RunCancelled):
            painted.append(place)

    async def stop_at_once() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await Session(hedge_after=hedge_after).compare(Question("Why?"), [provider, provider], paint, kept.append)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stop_at_once())
    assert [answer.state for answer in kept[0]] == ["stopped", "stopped"]
    assert painted == [0, 1]
    assert provider.opened == provider.closed


def test_broken_renderer_ends_the_comparison() -> None:
    """Where painting one answer fails, the others are stopped and the failure is raised as it was."""
    endless = ScriptedProvider("'word' hang", name="endless")

    def paint(place: int, event: Event, answer: Answer) -> None:
        if place == 0 and isinstance(event, RunCompleted):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        asyncio.run(Session().compare(Question("Why?"), [ScriptedProvider(), endless], paint))
    assert (endless.opened, endless.closed) == (1, 1)


def test_first_answered() -> None:
    """The first whole answer comes before partial ones, those before empty ones."""
    bad, half, good = failed("bad", "no"), failed("half", "cut", "half"), whole("good", "yes")
    assert first_answered([bad, half, good]) is good
    assert first_answered([bad, half]) is half
    assert first_answered([bad, bad]) is bad


# --- what is done before a paint --------------------------------------------------------------------------------------


class Preparing:
    """A renderer whose last paint is prepared in a thread.

    Args:
        work: is done there.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.begun = asyncio.Event()
        self.happened: list[str] = []

    def prepare(self, event: Event, answer: Answer) -> Callable[[], None] | None:
        if not isinstance(event, RunCompleted):
            return None
        main, loop = threading.current_thread(), asyncio.get_running_loop()

        def work() -> None:
            self.happened.append(f"prepared {answer.text}, in a thread: {threading.current_thread() is not main}")
            loop.call_soon_threadsafe(self.begun.set)
            self.work()

        return work

    def __call__(self, event: Event, answer: Answer) -> None:
        self.happened.append(type(event).__name__)


@pytest.mark.parametrize("wrap", [lambda paint: paint, lambda paint: both(lambda event, answer: None, paint)])
def test_a_paint_is_prepared_in_a_thread(wrap: Callable[[Any], Any]) -> None:
    """What a renderer prepares is done before it paints, while the event loop does other things."""
    turned = threading.Event()
    paint = Preparing(lambda: turned.wait(60))

    async def main() -> Answer:
        events = Session().events(Question("Why?", [WORDS]))
        asking = asyncio.create_task(drive(events, wrap(paint), lambda answer: None))
        await paint.begun.wait()
        turned.set()  # only a loop that turns gets here
        return await asking

    assert asyncio.run(main()).text == "Because."
    assert paint.happened[-2:] == ["prepared Because., in a thread: True", "RunCompleted"]


def test_stopped_while_it_is_prepared() -> None:
    """A complete answer is painted as complete, even if its question is stopped while the paint is prepared."""
    turned = threading.Event()
    paint = Preparing(lambda: turned.wait(60))
    kept: list[Answer] = []

    async def main() -> None:
        asking = asyncio.create_task(drive(Session().events(Question("Why?", [WORDS])), paint, kept.append))
        await paint.begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        turned.set()

    asyncio.run(main())
    assert paint.happened[-1] == "RunCompleted"
    assert [answer.state for answer in kept] == ["completed"]


def test_what_cannot_be_prepared() -> None:
    """An exception in the thread is raised once the renderer has painted."""

    def fail() -> None:
        raise OSError("no thread")

    paint = Preparing(fail)
    with pytest.raises(OSError, match="no thread"):
        asyncio.run(drive(Session().events(Question("Why?", [WORDS])), paint, lambda answer: None))
    assert paint.happened[-1] == "RunCompleted"
