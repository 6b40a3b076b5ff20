"""Interrupting the kernel stops a question wherever it stands: soon, wholly, and with what has come kept."""

from __future__ import annotations

import threading
import time

import pytest
from kernel import Kernel, Message, Ran, When, says

WITHIN = 10.0
"""Seconds. It takes a fiftieth of that on an idle machine; test machines are busy, and the providers take longer."""

KEYBOARD = "KeyboardInterrupt: stopped; what there is of the answer is in _answer"
CANCELLED = "CancelledError: stopped; what there is of the answer is in _answer"


@pytest.fixture(autouse=True)
def nothing_left(nb: Kernel) -> None:
    nb.run("tasks_before = len(asyncio.all_tasks())")


def assert_stopped(nb: Kernel, ran: Ran, case: str) -> None:
    """The cell has ended soon, nothing of the run is left, and the next cell works."""
    assert ran.stopped_after is not None
    print(f"\ninterrupted, {case}: {ran.stopped_after * 1000:.0f} ms")
    assert ran.stopped_after < WITHIN
    assert nb.value("_answer.state") == "stopped"
    assert nb.value("Book.opened - Book.closed") == 0, "the provider's generator is still open"
    assert nb.value("len(asyncio.all_tasks()) - tasks_before") == 0, "a task is left"
    after = nb.run("%%ask -p good\nWhy?")
    assert not after.failed
    assert after.answer == "The sky is **blue**."


STREAMING = {
    "awaited cell": ("%%ask -p slow\nCount.", KEYBOARD),
    "after a failure": ("%%ask -p dead,slow\nCount.", KEYBOARD),
    "under %%time": ("%%time\n%%ask -p slow\nCount.", KEYBOARD),
    "under %%timeit": ("%%timeit -n1 -r1\n%%ask -p slow\nCount.", KEYBOARD),
    "x = %ask": ("x = %ask -p slow Count.", KEYBOARD),
    "line magic under %%time": ("%%time\nx = %ask -p slow Count.", KEYBOARD),
    "line magic in an async cell": ("await asyncio.sleep(0)\nx = %ask -p slow Count.", KEYBOARD),
    "in a loop": ("for _ in range(3):\n    x = %ask -p slow Count.", KEYBOARD),
    "await ask()": ("await nbretry.ask('Count.', providers=['slow'])", CANCELLED),
}


@pytest.mark.parametrize(("cell", "error"), STREAMING.values(), ids=STREAMING)
def test_interrupt_while_streaming(nb: Kernel, request: pytest.FixtureRequest, cell: str, error: str) -> None:
    """The cell fails with one short line; the partial text stays in the output and in `_answer`, marked as stopped."""
    ran = nb.run(cell, interrupt_when=says("word3"))
    kept = nb.value("_answer.text")
    assert ran.raised
    assert ran.traceback == error
    assert ran.answers == [kept]
    assert kept.startswith("word0 word1 word2 word3")
    assert "stopped · slow" in ran.plain
    assert [record["state"] for record in ran.records] == ["stopped"]
    assert_stopped(nb, ran, request.node.callspec.id)


@pytest.mark.parametrize(
    "cell",
    [
        "%%ask -p hung\nWhy?",
        "%%time\n%%ask -p hung\nWhy?",
        "x = %ask -p hung Why?",
        "await nbretry.ask('Why?', providers=['hung'])",
    ],
)
def test_interrupt_while_nothing_comes(nb: Kernel, cell: str) -> None:
    """A provider that says nothing is given up as soon as one that talks, though nothing wakes the kernel's loop."""
    ran = nb.run(cell, interrupt_when=_has_asked("asking hung"))
    assert ran.raised
    assert ran.traceback in (KEYBOARD, CANCELLED)
    assert ran.answers == []
    assert "stopped · hung" in ran.plain
    assert_stopped(nb, ran, f"nothing comes, {cell[:12]!r}")


@pytest.mark.parametrize("cell", ["%%ask -p retrying\nWhy?", "%%time\n%%ask -p retrying\nWhy?"])
def test_interrupt_while_waiting_for_a_retry(nb: Kernel, cell: str) -> None:
    """A wait of minutes before the next attempt ends with the interrupt."""
    ran = nb.run(f"{cell}", interrupt_when=_has_asked("asking retrying"))
    assert ran.raised
    assert ran.traceback == KEYBOARD
    assert_stopped(nb, ran, f"waiting for a retry, {cell[:6]!r}")


@pytest.mark.parametrize(
    "cell", ["%%ask -p blocked\nWhy?", "%%time\n%%ask -p blocked\nWhy?", "x = %ask -p blocked Why?"]
)
def test_interrupt_of_a_blocked_synchronous_provider(nb: Kernel, cell: str) -> None:
    """A synchronous provider that holds up its thread does not hold up the interrupt; it is closed when it returns."""
    ran = nb.run(cell, interrupt_when=says("before"))
    assert ran.stopped_after is not None
    assert ran.stopped_after < WITHIN, "the interrupt waited for the provider"
    assert ran.answer == "before "
    nb.run("Book.release.set()\nwhile Book.closed < Book.opened: await asyncio.sleep(0.02)")
    assert_stopped(nb, ran, f"blocked in its thread, {cell[:6]!r}")


def test_interrupt_inside_run_cell(nb: Kernel) -> None:
    """In a cell within a cell the inner one is stopped and says so; the outer one goes on, as for any failure."""
    ran = nb.run(
        "await asyncio.sleep(0)\nr = get_ipython().run_cell('%%ask -p slow\\nCount.')", interrupt_when=says("word3")
    )
    assert nb.value("type(r.error_in_exec).__name__") == "Stopped"
    assert KEYBOARD in ran.traceback
    assert ran.answer.startswith("word0 word1")
    assert_stopped(nb, ran, "run_cell in an async cell")


def test_interrupt_of_two_at_once(nb: Kernel) -> None:
    """Two questions that run side by side are both stopped, and both partial answers stay in the cell."""
    ran = nb.run(
        "await asyncio.gather(nbretry.ask('A', providers=['slow']), nbretry.ask('B', providers=['slow']))",
        interrupt_when=says("word3"),
    )
    assert ran.raised
    assert len(ran.answers) == 2
    assert [record["state"] for record in ran.records] == ["stopped", "stopped"]
    assert nb.value("Book.opened - Book.closed") == 0
    assert nb.value("len(asyncio.all_tasks()) - tasks_before") == 0


def test_second_interrupt(nb: Kernel) -> None:
    """Where a provider takes its time to close, a second interrupt ends the cell at once."""

    def first(message: Message) -> bool:
        if not says("word3")(message):
            return False
        threading.Timer(0.1, nb.interrupt).start()
        return True

    ran = nb.run("%%time\n%%ask -p stubborn\nCount.", interrupt_when=first)
    assert ran.raised
    assert ran.traceback == KEYBOARD
    assert ran.stopped_after is not None
    assert 0.1 <= ran.stopped_after < WITHIN
    nb.run("Book.release.set()\nwhile Book.closed < Book.opened: await asyncio.sleep(0.02)")
    assert_stopped(nb, ran, "twice")


def _has_asked(words: str) -> When:
    """A moment after these words are shown, when the provider has been asked."""

    def look(message: Message) -> bool:
        if not says(words)(message):
            return False
        time.sleep(0.3)
        return True

    return look
