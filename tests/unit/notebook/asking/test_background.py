"""An answer in the background: awaited from anywhere, stopped from anywhere, and never in anybody's way."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from unable import unable

from nbretry._utils.redaction import remember_secret
from nbretry.answer import Answer
from nbretry.errors import RetryProviderError
from nbretry.events import AttemptStarted, FirstContent, RunStarted, TextDelta
from nbretry.notebook.asking.background import BackgroundAnswer
from nbretry.notebook.kernel import loop_thread

WITHIN = 30.0
"""Seconds, for what takes none."""

Note = Callable[[Answer], None]


@pytest.fixture(scope="module", autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    loop_thread.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "nbretry-background"]


class Asking:
    """Asks, and says nothing more until it is let go on."""

    def __init__(self, value: Any = "the value", text: str = "half") -> None:
        self.value, self.text = value, text
        self.begun, self.closed = threading.Event(), threading.Event()
        self.goes_on = threading.Event()

    async def __call__(self, note: Note) -> Any:
        answer = Answer()
        for event in (
            RunStarted(0.0, ("one",), "", ""),
            AttemptStarted(1, "one", "", 0.0),
            FirstContent(1, 0.0),
            TextDelta(1, self.text),
        ):
            answer = answer.apply(event)
            note(answer)
        self.begun.set()
        try:
            while not self.goes_on.is_set():  # noqa: ASYNC110 (set by another thread)
                await asyncio.sleep(0.005)
        finally:
            self.closed.set()
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


def begun(asking: Asking) -> BackgroundAnswer:
    """An answer of which the first words have come."""
    background = BackgroundAnswer(asking)
    assert asking.begun.wait(WITHIN)
    return background


def ended(asking: Asking) -> BackgroundAnswer:
    """An answer that has ended."""
    background = begun(asking)
    asking.goes_on.set()
    until(background.done)
    return background


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


async def value_of(background: BackgroundAnswer) -> Any:
    return await background


def test_it_can_be_looked_at_while_it_comes() -> None:
    """What has come is there, with its state, before the end and without waiting."""
    asking = Asking()
    background = begun(asking)
    assert (background.state, background.text, background.done()) == ("running", "half", False)
    assert background.answer.provider == "one"
    assert background.exception() is None
    asking.goes_on.set()
    assert background.result(WITHIN) == "the value"
    assert (background.state, background.done(), background.exception()) == ("completed", True, None)


def test_it_is_awaited_in_any_loop_and_again() -> None:
    """It gives its value in several event loops, several times, at once and after its end."""
    asking = Asking()
    background = begun(asking)
    threading.Timer(0.1, asking.goes_on.set).start()

    async def several() -> list[Any]:
        return await asyncio.gather(*(value_of(background) for _ in range(5)))

    assert asyncio.run(several()) == ["the value"] * 5
    assert asyncio.run(several()) == ["the value"] * 5
    assert background.result() == "the value"


def test_a_failure_is_raised_to_all_who_wait() -> None:
    """What the run raised comes from `await`, `result` and `exception`, each time."""
    failure = RetryProviderError("every provider failed")
    background = ended(Asking(failure))
    assert background.state == "failed"
    assert background.exception() is failure
    for _ in range(2):
        with pytest.raises(RetryProviderError) as raised:
            background.result()
        assert raised.value is failure
        with pytest.raises(RetryProviderError):
            asyncio.run(value_of(background))


@pytest.mark.parametrize("failure", [KeyboardInterrupt("of a provider"), SystemExit(3)])
def test_what_would_end_a_loop_does_not(failure: BaseException) -> None:
    """A run that raises what ends a program fails, and the others that share its thread go on."""
    other = Asking()
    background = begun(other)
    failed = ended(Asking(failure))
    assert failed.exception() is failure
    assert failed.state == "failed"
    other.goes_on.set()
    assert background.result(WITHIN) == "the value"


def test_a_failure_that_nobody_awaits_makes_no_noise(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A failed run that is forgotten leaves no "exception was never retrieved" behind."""
    with caplog.at_level(logging.DEBUG):
        background = ended(Asking(RetryProviderError("every provider failed")))
        del background
        gc.collect()
        ended(Asking())  # by now the thread has done with the first one
        gc.collect()
    assert [record for record in caplog.records if record.name in ("asyncio", "concurrent.futures")] == []
    assert capfd.readouterr() == ("", "")


def test_stop_keeps_what_has_come() -> None:
    """To stop it closes what asks, keeps the text, and is told to all who wait; a second time does nothing."""
    asking = Asking()
    background = begun(asking)
    background.stop()
    background.stop()
    until(background.done)
    assert asking.closed.is_set()
    assert (background.state, background.text) == ("stopped", "half")
    assert isinstance(background.exception(), asyncio.CancelledError)
    with pytest.raises(asyncio.CancelledError, match=r"stopped; what there is of the answer is in \.answer"):
        background.result()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(value_of(background))
    background.stop()
    assert background.state == "stopped"


def test_stop_before_it_has_begun() -> None:
    """Stopped in the moment in which it is started, it ends all the same."""
    for _ in range(50):
        background = BackgroundAnswer(Asking())
        background.stop()
        with pytest.raises(asyncio.CancelledError):
            background.result(WITHIN)
        assert background.state == "stopped"


def test_stop_after_the_end_changes_nothing() -> None:
    """An answer that is whole stays whole."""
    background = ended(Asking())
    background.stop()
    assert background.result() == "the value"
    assert background.state == "completed"


def test_stop_returns_at_once() -> None:
    """Where a provider does not end, whoever stops it is not held up."""
    release = threading.Event()
    stuck = threading.Event()

    async def stubborn(note: Note) -> str:
        try:
            await asyncio.sleep(600)
        finally:
            stuck.set()
            while not release.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return "never"

    background = BackgroundAnswer(stubborn)
    try:
        time.sleep(0.05)
        background.stop()
        assert stuck.wait(WITHIN)
        assert not background.done()
        with pytest.raises(TimeoutError, match=r"it has not ended in 0\.1 s, and goes on"):
            background.result(0.1)
    finally:
        release.set()
    with pytest.raises(asyncio.CancelledError):
        background.result(WITHIN)


def test_to_cancel_who_waits_does_not_stop_it() -> None:
    """A time limit around `await` ends the waiting; the run goes on and can be awaited again."""
    asking = Asking()
    background = begun(asking)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await background

    asyncio.run(impatient())
    assert not asking.closed.is_set()
    assert background.state == "running"
    asking.goes_on.set()
    assert background.result(WITHIN) == "the value"


def test_an_interrupt_ends_the_waiting_alone() -> None:
    """Ctrl-C in `result` raises KeyboardInterrupt there, and the run goes on."""
    asking = Asking()
    background = begun(asking)
    interrupted = threading.Event()

    def press() -> None:
        # Again, as a user does: Python ignores an interrupt that comes while it collects garbage. Not soon, so that the
        # first one has been dealt with on a busy machine, too.
        pause = 0.2
        while not interrupted.wait(pause):
            os.kill(os.getpid(), signal.SIGINT)
            pause = WITHIN / 3

    presses = threading.Thread(target=press)
    presses.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            background.result(WITHIN)
    finally:
        interrupted.set()
        presses.join()
    assert background.state == "running"
    asking.goes_on.set()
    assert background.result(WITHIN) == "the value"


def test_it_sees_the_context_of_whoever_asked() -> None:
    """Context variables, as the span that OpenTelemetry goes by, are those of the moment in which it was started."""
    variable = contextvars.ContextVar("variable", default="unset")

    async def ask(note: Note) -> str:
        await asyncio.sleep(0.05)
        return variable.get()

    variable.set("of the first")
    first = BackgroundAnswer(ask)
    variable.set("of the second")
    second = BackgroundAnswer(ask)
    assert (first.result(WITHIN), second.result(WITHIN)) == ("of the first", "of the second")


def test_all_share_one_thread() -> None:
    """Many at once run in one thread, and a blocked main thread holds up none of them."""
    askings = [Asking(number) for number in range(40)]
    answers = [begun(asking) for asking in askings]
    threads = [thread for thread in threading.enumerate() if thread.name == "nbretry-background"]
    assert len(threads) == 1
    assert threads[0].daemon
    for asking in askings:
        asking.goes_on.set()
    time.sleep(0.5)  # a main thread that does not look
    until(lambda: all(answer.done() for answer in answers))
    assert [answer.result() for answer in answers] == list(range(40))


def test_it_says_how_it_is_in_one_line() -> None:
    """As text and as HTML it is one line with state, provider and length, and no secret."""
    secret = "a-secret-of-some-length-1"
    remember_secret(secret)

    async def ask(note: Note) -> Any:
        answer = Answer()
        for event in (RunStarted(0.0, ("x",), "", ""), AttemptStarted(1, f"<b>{secret}", "", 0.0)):
            answer = answer.apply(event)
        note(answer.apply(FirstContent(1, 0.0)).apply(TextDelta(1, f"it is {secret}\n" * 100)))
        await asyncio.sleep(600)

    background = BackgroundAnswer(ask)
    until(lambda: background.text)
    shown = repr(background)
    assert shown == f"<BackgroundAnswer running · <b>[secret] · {len(background.text):,} characters>"
    html = background._repr_html_()
    assert "running · &lt;b&gt;[secret] · 3,200 characters" in html
    assert "\n" not in shown + html
    assert secret not in shown + html
    background.stop()
    until(background.done)
    assert "stopped" in repr(background)


def test_waiters_go_on_after_everything_is_kept() -> None:
    """Whoever awaits it finds what its end leaves behind."""
    order: list[str] = []

    async def ask(note: Note) -> str:
        return "the value"

    def at_end(background: BackgroundAnswer) -> None:
        time.sleep(0.2)
        order.append("kept")

    background = BackgroundAnswer(ask, at_end, lambda background: order.append("taken"))
    assert background.result(WITHIN) == "the value"
    assert order == ["kept", "taken"]


def test_an_end_that_goes_wrong_does_not_leave_anybody_waiting(capfd: pytest.CaptureFixture[str]) -> None:
    """Where showing the end fails, the value is there all the same."""

    async def ask(note: Note) -> str:
        return "the value"

    def at_end(background: BackgroundAnswer) -> None:
        raise ValueError("a broken notebook")

    background = BackgroundAnswer(ask, at_end)
    assert background.result(WITHIN) == "the value"
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that a forked process may deadlock
def test_after_a_fork_there_is_a_new_thread() -> None:
    """In a forked process, which has no such thread, questions are answered in the background as well."""
    if not hasattr(os, "fork"):
        unable("this system has no fork")
    parent = Asking()
    background = begun(parent)

    def child(result: Any) -> None:
        result.send(ended(Asking("of the child")).result(WITHIN))

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(sender,))
    process.start()
    try:
        assert receiver.poll(WITHIN)
        assert receiver.recv() == "of the child"
    finally:
        process.join(WITHIN)
        process.kill()
    parent.goes_on.set()
    assert background.result(WITHIN) == "the value"


PROGRAM = """
import asyncio, sys, threading
from nbretry.notebook.kernel import loop_thread
from nbretry.notebook.asking.background import BackgroundAnswer

begun = threading.Event()

async def ask(note):
    begun.set()
    try:
        await asyncio.sleep(600)
    finally:
        {closing}

backgrounds = [BackgroundAnswer(ask) for _ in range(3)]
begun.wait()
"""


@pytest.mark.parametrize(
    ("closing", "printed"),
    [("print('closed', flush=True)", "closed\n" * 3), ("await asyncio.sleep(600)", "")],
    ids=["ends", "does not end"],
)
def test_a_program_ends_while_it_runs(closing: str, printed: str) -> None:
    """At the end of the process all are stopped and closed; one that does not end does not hold it up; no traceback."""
    program = PROGRAM.format(closing=closing)
    run = subprocess.run([sys.executable, "-Wd", "-c", program], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr, run.returncode) == (printed, "", 0)


def _type_checks(background: BackgroundAnswer) -> Awaitable[Any]:
    """It is an awaitable, for a type checker as well."""
    return background
