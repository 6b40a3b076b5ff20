"""Run coroutines from magics: in a cell that the kernel awaits, or from synchronous code; both can be interrupted.

A top-level ``%%ask`` cell in a kernel is rewritten into ``await …``, which makes it a real asynchronous cell: the
kernel's loop keeps running, and an interrupt arrives as `asyncio.CancelledError`. If that is not possible (under
``%%time``, in ``run_cell``, with ``%autoawait False``, as ``x = %ask …``), the magic runs as an ordinary function: on
the kernel's own loop, patched so that it can be nested, or on a new loop if none is running.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
import signal
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

__all__ = ["AwaitedCells", "Stopped", "run", "shown_as", "wakeful_loop"]

_Result = TypeVar("_Result")
_DRAINING_PATIENCE = 2.0
_WAKING_INTERVAL = 0.1


class Stopped(KeyboardInterrupt):
    """The user interrupted the kernel; shown as one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"KeyboardInterrupt: {self}"]


def shown_as(cancelled: asyncio.CancelledError, line: str) -> None:
    """Make IPython show a cancellation as this one line. Its class stays the same, as asyncio checks for exactly that.

    Args:
        cancelled: the exception that is going to be raised.
        line: the text to show after the name of its class.
    """
    cancelled._render_traceback_ = lambda: [f"CancelledError: {line}"]  # type: ignore[attr-defined]


class AwaitedCells:
    """Rewrites cells of one magic so that the kernel awaits them wherever it can.

    Args:
        shell: the shell that the cells run in.
        magic: name of the cell magic.
        expression: a Python expression for the function to await; it is called with the magic's line and the cell.
        is_ours: returns whether the magic of that name is still the one that this object was made for.
    """

    has_side_effects = True  # so that IPython skips it when it checks whether the input typed so far is complete

    def __init__(self, shell: InteractiveShell, magic: str, expression: str, is_ours: Callable[[], bool]) -> None:
        self._shell = shell
        self._magic = magic
        self._first_line = re.compile(rf"%%{re.escape(magic)}(?:[ \t]+(?P<line>.*))?$")
        self._expression = expression
        self._is_ours = is_ours
        self._running: list[ExecutionInfo] = []

    def install(self) -> None:
        """Register the input transformer and the event handlers with the shell."""
        # First, as IPython's own transformers would remove prompts such as >>> from a question about code.
        self._shell.input_transformers_cleanup.insert(0, self)
        self._shell.events.register("pre_run_cell", self._before_cell)
        self._shell.events.register("post_run_cell", self._after_cell)

    def uninstall(self) -> None:
        """Remove the input transformer and the event handlers."""
        self._shell.input_transformers_cleanup.remove(self)
        self._shell.events.unregister("pre_run_cell", self._before_cell)
        self._shell.events.unregister("post_run_cell", self._after_cell)

    def __call__(self, lines: list[str]) -> list[str]:
        """Rewrite a cell that begins with the magic: await it if possible, otherwise run it as IPython would."""
        from IPython.core.inputtransformer2 import leading_empty_lines, leading_indent

        tidied: list[str] = leading_indent(leading_empty_lines(lines))  # type: ignore[no-untyped-call]
        first_line, *others = tidied or [""]
        first = self._first_line.match(first_line.rstrip("\r\n"))
        if first is None or not self._is_ours():
            return lines
        asked = f"{first['line'] or ''!r}, {''.join(others)!r}"
        if self._running or not self._shell.autoawait or not _loop_is_running():
            return [f"get_ipython().run_cell_magic({self._magic!r}, {asked})\n"]
        return [f"await {self._expression}({asked})\n"]

    # A cell is transformed before its pre_run_cell event, so a cell that finds another one running is not at the top
    # level. For an empty cell IPython sends a post_run_cell event without a pre_run_cell event.

    def _before_cell(self, info: ExecutionInfo) -> None:
        self._running.append(info)

    def _after_cell(self, result: ExecutionResult) -> None:
        if any(info is result.info for info in self._running):
            while self._running.pop() is not result.info:
                pass


def run(make: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
    """Run a coroutine to its end from synchronous code, inside or outside a running loop.

    Args:
        make: returns the coroutine.

    Raises:
        KeyboardInterrupt: the user interrupted. The coroutine was cancelled; it has ended, unless that took too long or
            the user interrupted again.
        Exception: whatever the coroutine raises.
    """
    if not _loop_is_running():
        with asyncio.Runner() as runner:
            return runner.run(make())
    import nest_asyncio2

    loop = asyncio.get_running_loop()
    try:
        with warnings.catch_warnings():
            # The warning is right if the notebook has applied the older nest_asyncio, but it does not belong in the
            # output of a question.
            warnings.filterwarnings("ignore", "asyncio is already patched by nest_asyncio", UserWarning)
            nest_asyncio2.apply(loop)
    except ValueError:  # another kind of loop, which cannot be patched
        return _run_in_thread(make)
    task, gave_up = loop.create_task(make()), loop.create_future()
    with _interrupt_cancels(loop, task, gave_up):
        try:
            loop.run_until_complete(asyncio.wait([task, gave_up], return_when=asyncio.FIRST_COMPLETED))
            if task.done() and not task.cancelled():
                return task.result()
            raise KeyboardInterrupt
        finally:
            if not task.done() and not gave_up.done():
                task.cancel()
                loop.run_until_complete(asyncio.wait([task], timeout=_DRAINING_PATIENCE))


def _run_in_thread(make: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
    results: list[_Result] = []
    failures: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[_Result]]] = []

    async def main() -> _Result:
        task = asyncio.ensure_future(make())
        running.append((asyncio.get_running_loop(), task))
        return await task

    def target() -> None:
        try:
            with asyncio.Runner() as runner:
                results.append(runner.run(main()))
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(target,), daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)
    except KeyboardInterrupt:
        for loop, task in running:
            loop.call_soon_threadsafe(task.cancel)
        thread.join(_DRAINING_PATIENCE)
        raise
    if failures:
        raise failures[0]
    return results[0]


@contextmanager
def wakeful_loop() -> Iterator[None]:
    """Wake the running loop ten times a second inside the ``with`` block.

    ipykernel passes an interrupt to its loop without waking it, so a loop that waits for a silent provider would not
    notice it.
    """
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def wake() -> None:
        timers[:] = [loop.call_later(_WAKING_INTERVAL, wake)]

    wake()
    try:
        yield
    finally:
        timers[0].cancel()


@contextmanager
def _interrupt_cancels(
    loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any], gave_up: asyncio.Future[None]
) -> Iterator[None]:
    """Handle interrupts inside the ``with`` block: the first cancels the task, the second stops waiting for its end.

    Without this the interrupt would leave the task running (with a `KeyboardInterrupt` from the middle of the loop), or
    would cancel the cell's own task, which is waiting here. The third interrupt raises `KeyboardInterrupt`, for a
    provider that blocks the loop itself.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    presses = 0

    def on_interrupt(number: int, frame: Any) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            loop.call_soon_threadsafe(task.cancel)
        elif presses == 2:
            loop.call_soon_threadsafe(gave_up.cancel)
        else:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
