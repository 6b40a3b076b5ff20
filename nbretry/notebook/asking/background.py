"""Answer questions in the background: ``%%ask --background``.

The cell ends at once. All background runs share one event loop in a thread of its own, so they continue while other
cells run, even cells that block the kernel. The answer streams into the cell that asked.

- An interrupt of the kernel does not stop the run; `BackgroundAnswer.stop` does, and so does the end of the process.
- The user's variables change between cells, and inside a cell only if that cell waits for the answer. ``_answer`` stays
  the answer to the question that was asked last: an earlier question that ends later does not replace it.
- In a terminal nothing is painted, as the user types there. To see the answer, display it or await it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from nbretry._utils.exceptions import describe
from nbretry._utils.redaction import mask
from nbretry.answer import Answer
from nbretry.attempts import RunState
from nbretry.errors import ConfigError
from nbretry.notebook.asking.ask import ask_prepared
from nbretry.notebook.asking.prepare import Prepared
from nbretry.notebook.asking.user_variables import keep_late_in_shell
from nbretry.notebook.kernel.awaited_cells import shown_as, wakeful_loop
from nbretry.notebook.kernel.loop_thread import spawn
from nbretry.notebook.output.cell_output import CellOutput
from nbretry.notebook.output.late_outputs import CellWatch, LateOutputs
from nbretry.notebook.output.places import Bundle, added_to, is_captured, output_widget
from nbretry.renderers.tables import line_html
from nbretry.retry.contract import warm_up
from nbretry.session.question import Question
from nbretry.session.runs import Paint, both
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


__all__ = ["BACKGROUND_VARIABLE", "BackgroundAnswer", "noting", "start"]

BACKGROUND_VARIABLE = "_background"

logger = logging.getLogger("nbretry")

_KEPT = 50
_OUTPUTS = 4
"""Number of outputs: the reasoning, the answer, its report, and one for other messages."""
_WAKING_INTERVAL = 0.2
_STOPPED = "stopped; what there is of the answer is in .answer"
_NOT_AWAITED = "no longer awaited; the question goes on in the background"

Note: TypeAlias = Callable[[Answer], None]
"""A callback that gets the answer each time it has changed."""


class BackgroundAnswer:
    """A question that is being answered in the background; made by `start`. You can use it from any thread.

    ``await`` it, in any event loop and as often as you like, to get its value: the `Answer`, or with ``-f`` the value
    that the format makes of it. If the run failed, that raises its `RetryProviderError`; if it was stopped,
    `asyncio.CancelledError`. Cancelling the code that awaits it does not stop the run.

    Args:
        ask: asks the question, in the background thread, and returns the value; it gets a callback for each new state
            of the answer.
        ended: called in the background thread when the run has ended, before waiting code continues.
        taken: called each time code that waited gets the outcome.
        painted: whether the text is shown elsewhere; if not, displaying this object shows it.
    """

    def __init__(
        self,
        ask: Callable[[Note], Awaitable[Any]],
        ended: Callable[[BackgroundAnswer], None] | None = None,
        taken: Callable[[BackgroundAnswer], None] | None = None,
        painted: bool = False,
    ) -> None:
        self._ask = ask
        self._on_end = ended
        self._on_taken = taken
        self._painted = painted
        self._answer = Answer()
        self._value: Any = None
        self._exception: BaseException | None = None
        self._ended: Future[None] = Future()
        self._ended.set_running_or_notify_cancel()  # so that code that awaits it cannot cancel it
        self._cancel = spawn(self._run, self._finish)

    @property
    def state(self) -> RunState:
        """``pending``, ``running``, ``completed``, ``failed`` or ``stopped``."""
        if not self.done():
            return "pending" if self._answer.state == "pending" else "running"
        if self._exception is None:
            return "completed"
        return "stopped" if isinstance(self._exception, asyncio.CancelledError) else "failed"

    @property
    def answer(self) -> Answer:
        """The answer so far."""
        return self._answer

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return self._answer.text

    def done(self) -> bool:
        """Return whether the run has ended."""
        return self._ended.done()

    def stop(self) -> None:
        """Stop the run and keep the answer so far. Returns at once; does nothing if the run is over already."""
        self._cancel()

    def exception(self) -> BaseException | None:
        """Return the exception that awaiting it raises; None if it raises no exception or the run is still going."""
        return self._exception

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the run without ``await`` and return its value. An interrupt ends the wait, not the run.

        Args:
            timeout: how long to wait at most, in seconds; None for no limit.

        Raises:
            TimeoutError: the run has not ended within that time; it continues.
            RetryProviderError: every provider failed.
            asyncio.CancelledError: the run was stopped.
            Exception: whatever else the run raised.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.done():
            left = _WAKING_INTERVAL if deadline is None else min(_WAKING_INTERVAL, deadline - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"it has not ended in {timeout:g} s, and goes on")
            # A short wait, as on some systems an unlimited one cannot be interrupted from the keyboard.
            wait([self._ended], left)
        return self._outcome()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    def __repr__(self) -> str:
        return f"<BackgroundAnswer {self._line()}>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))
        if not self._painted and self.text:
            printer.text(f"\n{mask(self.text)}")

    def _repr_html_(self) -> str:
        return line_html(f"in the background · {self._line()}")

    async def _wait(self) -> Any:
        if not self.done():
            try:
                with wakeful_loop():
                    await asyncio.wrap_future(self._ended)
            except asyncio.CancelledError as cancelled:
                shown_as(cancelled, _NOT_AWAITED)  # the cell that waits was interrupted
                raise
        return self._outcome()

    def _outcome(self) -> Any:
        if self._on_taken is not None:
            self._on_taken(self)
        if self._exception is not None:
            raise self._exception
        return self._value

    def _line(self) -> str:
        answer = self._answer
        provider = answer.provider or (answer.attempt.path if answer.attempt else "nobody asked yet")
        return mask(f"{self.state} · {provider} · {len(answer.text):,} characters")

    def _note(self, answer: Answer) -> None:
        self._answer = answer

    async def _run(self) -> tuple[Any, BaseException | None]:
        try:
            return await self._ask(self._note), None
        except asyncio.CancelledError:
            raise
        except BaseException as exception:  # a task that raises KeyboardInterrupt would end the loop for all runs
            return None, exception

    def _finish(self, task: asyncio.Task[tuple[Any, BaseException | None]]) -> None:
        if task.cancelled():
            self._exception = asyncio.CancelledError(_STOPPED)
        else:
            self._value, self._exception = task.result()
        if isinstance(self._exception, asyncio.CancelledError):
            shown_as(self._exception, _STOPPED)
        try:
            if self._on_end is not None:
                self._on_end(self)
        except Exception as error:
            logger.debug("the end of a background answer could not be shown: %s", describe(error))
        finally:
            self._ended.set_result(None)


def start(shell: InteractiveShell, prepared: Prepared) -> BackgroundAnswer:
    """Ask in the background and show the answer in the running cell, whose outputs are all created now.

    The user's ``_background`` is the list of the last fifty background answers, newest last. ``-o NAME`` puts the
    `BackgroundAnswer` into that variable at once. When the run has ended, its `Answer` is kept as for any question; see
    the description of this module.

    Args:
        shell: the user's shell.
        prepared: the question and its options.

    Raises:
        ConfigError: the question is empty, a provider's name is unknown, the format is ``code``, or no thread can be
            started.
        RetryNoProviderError: there is no provider to ask.
    """
    asked, session = prepared.asked, default_session()
    if asked.format == "code":
        raise ConfigError(
            "-f code and --background do not go together: only a cell that runs can put code into the next one"
        )
    session.events(prepared.question)  # raises now what the user must fix
    _load(prepared.question)
    if asked.new and prepared.conversation is not None:
        prepared.conversation.clear()
    cell = _Cell(shell, prepared)
    try:
        background = BackgroundAnswer(cell.ask, cell.end, cell.put, hasattr(shell, "kernel"))
    except RuntimeError as error:
        raise ConfigError(f"--background needs a thread, and none can be started here: {error}") from None
    _kept.append(background)
    shell.user_ns[BACKGROUND_VARIABLE] = list(_kept)
    if asked.into:
        shell.user_ns[asked.into] = background
    return background


_kept: deque[BackgroundAnswer] = deque(maxlen=_KEPT)


class _Cell:
    """The cell that asked: shows the answer and puts it into the user's variables.

    Args:
        shell: the user's shell, in which the cell runs.
        prepared: the question and its options.
    """

    def __init__(self, shell: InteractiveShell, prepared: Prepared) -> None:
        self._shell = shell
        self._prepared = prepared
        self._watch = CellWatch.of(shell)
        self._watch.hold()
        self._answer: Answer | None = None
        self._lines: list[str] = []
        self._painted = hasattr(shell, "kernel")
        self._captured = is_captured(shell)
        self._publish: Callable[..., None] = shell.display_pub.publish  # another cell may have another publisher
        self._outputs: LateOutputs | None = None
        if not self._painted:
            self._publish({"text/plain": f"asking in the background; see {BACKGROUND_VARIABLE}[-1]"}, {})
        elif output_widget(shell) is not None:
            # It hears no updates, and nothing that comes after the code in it has ended.
            self._captured = True
            self._publish = added_to(_line("asking …"))
        elif not self._captured:
            self._outputs = LateOutputs(shell, _OUTPUTS)
            self._outputs.reserve(_line("asking …"))
            self._publish = self._outputs.publish

    async def ask(self, note: Note) -> Any:
        """Ask, and pass each new state of the answer to ``note``."""

        def new_renderer() -> Paint:
            return noting(note, self._new_renderer())

        def keep(answer: Answer) -> None:
            note(answer)
            self._answer = answer

        return await ask_prepared(self._shell, self._prepared, new_renderer, keep, self._tell)

    def end(self, background: BackgroundAnswer) -> None:
        """Show how the run ended if the report does not say so, and keep the answer."""
        exception = background.exception()
        if isinstance(exception, asyncio.CancelledError):
            if background.answer.state == "pending":
                self._lines.append("stopped")
        elif exception is not None:
            self._lines.append(describe(exception))
        try:
            self._show_lines()
            self._watch.call_between_cells(lambda: self.put(background))
        finally:
            self._watch.release()

    def put(self, background: BackgroundAnswer) -> None:
        """Put the answer into the user's variables; only the first call does something."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        keep_late_in_shell(self._shell, answer)

    def _new_renderer(self) -> Paint:
        if not self._painted:
            return lambda event, answer: None
        if self._outputs is not None:
            self._outputs.begin_again()
        return CellOutput(self._shell, self._captured, self._prepared.asked.format or "markdown", self._publish)

    def _tell(self, line: str) -> None:
        self._lines.append(mask(line))
        if not self._captured:
            self._show_lines()

    def _show_lines(self) -> None:
        if not (self._painted and self._lines):
            return
        lines = _line("\n".join(self._lines))
        if self._captured:
            self._publish(lines)
        else:
            self._publish(lines, transient={"display_id": "lines"}, update=True)


def _load(question: Question) -> None:
    """Load the packages that the question needs.

    If two threads import the same package at the same time, each may find it half loaded, and the next cell may well
    import a package that a provider needs.
    """
    session = default_session()
    providers = session.retry_provider(question.providers, question).providers
    for provider in providers:
        with suppress(Exception):  # the run reports it and asks the next provider
            warm_up(provider)
    if session.needs_price_table(providers):
        session.prices.load_package()


def noting(note: Note, paint: Paint) -> Paint:
    """Return a renderer that passes each answer to a callback before it paints.

    Args:
        note: the callback.
        paint: the renderer that paints.
    """

    return both(lambda event, answer: note(answer), paint)


def _line(text: str) -> Bundle:
    return {"text/html": line_html(text), "text/plain": text}
