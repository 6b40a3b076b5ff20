"""Deadlines: what counts as content, which limit ends an attempt, and that an attempt that is ended is closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from played import HELLO
from virtual_time import LoopClock, Timed, answer_or_what_there_is, run_virtually

from nbretry.answer import Answer
from nbretry.errors import APITimeoutError, ConfigError, RetryProviderError
from nbretry.providers import RetryProvider
from nbretry.retry.contract import NamedProvider
from nbretry.retry.deadlines import Deadlines
from nbretry.types import Reasoning, ResponseInfo, Status, Usage

NEVER = 10_000.0


def good() -> Timed:
    return Timed("good", ["fine"])


def ask(*providers: Any, **settings: Any) -> Answer:
    async def main() -> Answer:
        chain = RetryProvider(providers, False, clock=LoopClock(), **settings)
        return await answer_or_what_there_is(chain)

    answer: Answer = run_virtually(main())
    return answer


CASES: dict[str, tuple[Deadlines, list[Any], float, str]] = {
    "nothing comes": (Deadlines(first_content=5), [NEVER, "x"], 5.0, "no content came within 5 s"),
    "empty chunks": (Deadlines(first_content=5), ["", 1, "", 1, ""] * 9 + [NEVER], 5.0, "no content came within 5 s"),
    "metadata": (
        Deadlines(first_content=5),
        [1, ResponseInfo("m"), 1, Usage(3), 1, "", NEVER],
        5.0,
        "no content came within 5 s",
    ),
    "a gap": (Deadlines(idle=4), ["a", 3, "b", NEVER], 7.0, "nothing more came for 4 s in the middle of the answer"),
    "empty in a gap": (
        Deadlines(idle=4),
        ["a", *["", 1.0] * 50],
        4.0,
        "nothing more came for 4 s in the middle of the answer",
    ),
    "after reasoning": (
        Deadlines(first_content=9, idle=4),
        [Reasoning("hm"), 3, Reasoning("so"), NEVER],
        7.0,
        "nothing more came for 4 s in the middle of the answer",
    ),
    "in all": (Deadlines(total=10), ["a", 3] * 50, 10.0, "the answer was not complete within 10 s"),
    "in all, before content": (Deadlines(first_content=20, total=10), [NEVER], 10.0, "not complete within 10 s"),
    "first content of several": (Deadlines(first_content=2, idle=1, total=9), [NEVER], 2.0, "no content came within 2"),
}


@pytest.mark.parametrize(("deadlines", "play", "after", "says"), CASES.values(), ids=CASES)
def test_a_limit_ends_the_attempt(deadlines: Deadlines, play: list[Any], after: float, says: str) -> None:
    """Each limit ends the attempt when it has passed and with its own message; the stream is closed, the next asked."""
    slow, other = Timed("slow", play), good()
    answer = ask(slow, other, deadlines=deadlines, on_break="restart")
    assert answer.text == "fine"
    failed = answer.attempts[0]
    assert isinstance(failed.exception, APITimeoutError)
    assert says in str(failed.exception)
    assert after <= other.asked_at[0] <= after + 0.1 * (deadlines.idle or 0) + 0.001
    assert slow.closed == 1


KEPT: dict[str, tuple[Deadlines, list[Any]]] = {
    "content in time": (Deadlines(first_content=5, idle=5), [4.9, "a", 4.4, "b", 4.4, "c"]),
    "reasoning is a sign of life": (
        Deadlines(first_content=5, idle=5),
        [4, Reasoning("hm"), 4, Reasoning("so"), 4, "a"],
    ),
    "so is a status": (Deadlines(first_content=5, idle=5), [4, Status("loading"), 4, "a"]),
    "no limit": (Deadlines(), [NEVER, "a", NEVER, "b"]),
    "a long answer without a gap": (Deadlines(idle=2), ["a", 1] * 500),
}


@pytest.mark.parametrize(("deadlines", "play"), KEPT.values(), ids=KEPT)
def test_a_limit_leaves_others_alone(deadlines: Deadlines, play: list[Any]) -> None:
    """Whoever keeps within the limits is heard to the end."""
    answer = ask(Timed("slow", play), good(), deadlines=deadlines)
    assert answer.provider == "slow"
    assert answer.text == "".join(item for item in play if isinstance(item, str))


def test_a_providers_own_limits_come_first() -> None:
    """A provider's own deadlines stand in place of the run's, each for itself; the others are the run's."""
    slow, named, other = Timed("slow", [NEVER]), Timed("named", [NEVER]), good()
    slow.deadlines = Deadlines(first_content=3)  # type: ignore[attr-defined]
    ask(slow, NamedProvider("x", named, Deadlines(total=1)), other, deadlines=Deadlines(first_content=5))
    assert (named.asked_at, other.asked_at) == ([3.0], [4.0])


def test_a_reader_that_takes_its_time_is_not_the_providers_fault() -> None:
    """While whoever reads holds a chunk, no time passes for the provider."""

    async def main() -> list[str]:
        chain = RetryProvider([Timed("slow", ["a", 1, "b", 1, "c"])], False, deadlines=Deadlines(2, 2, 2))
        heard = []
        async for chunk in chain.create_async_generator("", HELLO):
            heard.append(chunk)
            await asyncio.sleep(100)
        return heard

    assert run_virtually(main()) == ["a", "b", "c"]


@pytest.mark.parametrize("form", ["create_async_generator", "stream_events"])
def test_a_task_for_each_chunk(form: str) -> None:
    """The limits hold, and hit the right task, where each chunk is taken by a task of its own."""
    slow, other = Timed("slow", [1, "a", 1, "b", NEVER]), good()

    async def main() -> BaseException | None:
        chain = RetryProvider([slow, other], False, deadlines=Deadlines(idle=5))
        async with aclosing(getattr(chain, form)("", HELLO)) as chunks:
            try:
                while True:
                    await asyncio.create_task(anext(chunks))
            except (APITimeoutError, RetryProviderError) as error:
                return error
        return None

    assert "nothing more came for 5 s" in str(run_virtually(main()))
    assert slow.closed == 1


def test_a_provider_that_swallows_its_cancellation() -> None:
    """A provider that goes on although it was cancelled is cancelled again, and its attempt has failed all the same."""
    swallowed = []

    class Stubborn:
        @staticmethod
        async def create_async_generator(model: str, messages: Any, **options: Any) -> Any:
            for _ in range(3):
                try:
                    await asyncio.sleep(NEVER)
                except asyncio.CancelledError:
                    swallowed.append(True)
            yield "too late"

    answer = ask(Stubborn, good(), deadlines=Deadlines(first_content=1), on_break="restart")
    assert len(swallowed) == 3
    assert (answer.text, type(answer.attempts[0].exception)) == ("fine", APITimeoutError)


@pytest.mark.parametrize("after", [0.5, 1.0, 1.5])
def test_cancelling_the_reader_is_no_deadline(after: float) -> None:
    """A task that is cancelled stays cancelled, before a deadline, with it and after it."""
    slow, next_one = Timed("slow", [NEVER]), Timed("next", [NEVER])

    async def main() -> None:
        chain = RetryProvider([slow, next_one], False, deadlines=Deadlines(first_content=1.0))
        task = asyncio.create_task(chain.answer("", HELLO))
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtually(main())
    assert slow.closed == len(slow.calls)
    assert next_one.closed == len(next_one.calls)


def test_an_outer_timeout_is_not_a_deadline() -> None:
    """`asyncio.timeout` around a run ends the run, and no attempt is made after it."""
    slow, other = Timed("slow", [NEVER]), good()

    async def main() -> None:
        chain = RetryProvider([slow, other], False, deadlines=Deadlines(first_content=5))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await chain.answer("", HELLO)

    run_virtually(main())
    assert (slow.closed, other.calls) == (1, [])


class Blocking:
    """A synchronous provider that blocks until it is released."""

    name = "blocking"

    def __init__(self, *before: str) -> None:
        self.before = before
        self.release = threading.Event()
        self.closed = threading.Event()

    def create_completion(self, model: str, messages: Any, **options: Any) -> Iterator[str]:
        try:
            yield from self.before
            self.release.wait(60)
            yield "late"
        finally:
            self.closed.set()


class Fine:
    name = "fine"

    def create_completion(self, model: str, messages: Any, **options: Any) -> Iterator[str]:
        yield "fine"


def test_without_an_event_loop() -> None:
    """A synchronous provider that blocks is given up without an event loop as well, and closed once it returns."""
    blocking = Blocking()
    chain = RetryProvider([blocking, Fine()], False, deadlines=Deadlines(first_content=0.2))
    assert list(chain.create_completion("", HELLO)) == ["fine"]
    blocking.release.set()
    assert blocking.closed.wait(20)


def test_without_an_event_loop_after_content() -> None:
    """A gap in the middle of an answer ends a synchronous run with the limit's message, after the text that came."""
    blocking = Blocking("one ", "two ")
    chunks = RetryProvider([blocking, Fine()], False, deadlines=Deadlines(idle=0.2)).create_completion("", HELLO)
    heard = [next(chunks), next(chunks)]
    with pytest.raises(APITimeoutError, match="in the middle of the answer"):
        next(chunks)
    blocking.release.set()
    assert heard == ["one ", "two "]
    assert blocking.closed.wait(20)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "5", True])
def test_a_wrong_limit_is_told(value: Any) -> None:
    """A limit that is no number of seconds above 0 is one line that says what would be right."""
    with pytest.raises(ConfigError, match=r"deadline idle is .+ should be a number of seconds above 0, or None"):
        Deadlines(idle=value)


def test_limits_stand_in_for_each_other() -> None:
    """`or_else` fills in what is not set, and nothing else."""
    assert Deadlines(idle=1).or_else(Deadlines(2, 3, 4, 5)) == Deadlines(2, 3, 1, 5)
    assert Deadlines(idle=1).or_else(None) == Deadlines(idle=1)
    assert not Deadlines()
