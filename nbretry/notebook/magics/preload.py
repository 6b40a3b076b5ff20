"""Preload what the first question needs: the engine, the first provider's SDK and the price table.

A thread loads them step by step, and only while no cell runs. Two threads that import the same package at the same
time may each find it half loaded, and a user's ``import openai`` must not fail because of that. A cell that starts in
the middle of a step waits for the end of the step: at most half a second on an ordinary machine.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from nbretry.notebook.kernel.per_shell import PerShell

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

__all__ = ["STEPS", "WarmUp", "load_engine", "load_prices", "load_sdk", "register", "unregister"]

_PAUSE = 0.15
"""Seconds without a running cell before a step starts, so that no cell of "Run All Cells" has to wait."""

_PATIENCE = 10.0
"""Seconds that a cell, or the end of the process, waits at most for a step. Only a stalled machine takes that long."""


def load_engine() -> None:
    """Import the modules that ask questions and render answers."""
    import nbretry.notebook.asking.run
    import nbretry.renderers.report  # noqa: F401 (imported only to load it)


def load_sdk() -> None:
    """Load the SDK of the provider that is asked first by default."""
    from nbretry.retry.contract import warm_up
    from nbretry.session.session import default_session

    session = default_session()
    for name in session.default_providers()[:1]:
        warm_up(session.provider(name))


def load_prices() -> None:
    """Load the price table, if answers of the provider that is asked first by default cost money."""
    from nbretry.session.session import default_session

    session = default_session()
    first = session.default_providers()[:1]
    if first and session.needs_price_table(session.retry_provider(first).providers):
        session.prices.load_package()


STEPS: tuple[Callable[[], None], ...] = (load_engine, load_sdk, load_prices)
"""The steps, in the order in which they run."""


class WarmUp:
    """A preloader that runs its steps in a thread while no cell runs.

    A step that fails is skipped: the error appears again when a question needs what was not loaded.

    Args:
        shell: the IPython shell whose cells count. The first step runs after the cell that is running now.
        steps: the functions to call, in this order.
    """

    def __init__(self, shell: InteractiveShell, steps: Sequence[Callable[[], None]] = STEPS) -> None:
        self._shell = shell
        self._steps = steps
        self._running: list[ExecutionInfo] = []
        self._idle = threading.Event()
        self._idle_since = 0.0
        self._stopped = threading.Event()
        self._stepping = threading.Lock()
        self._thread: threading.Thread | None = None

    def install(self) -> None:
        """Start after the cell that is running now."""
        self._shell.events.register("pre_run_cell", self._before_cell)
        self._shell.events.register("post_run_cell", self._after_cell)

    def uninstall(self) -> None:
        """Run no more steps, and wait for the one that is running."""
        self._shell.events.unregister("pre_run_cell", self._before_cell)
        self._shell.events.unregister("post_run_cell", self._after_cell)
        atexit.unregister(self._end)
        self._end()

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, which ends after the last step; None before it has started."""
        return self._thread

    def _before_cell(self, info: ExecutionInfo) -> None:
        self._running.append(info)
        self._idle.clear()
        with suppress(KeyboardInterrupt):
            self._wait_for_step()

    def _after_cell(self, result: ExecutionResult) -> None:
        # An empty cell has no pre_run_cell event, and that of the cell that loaded the extension was before `install`.
        self._running = [info for info in self._running if info is not result.info]
        if self._running:
            return
        self._idle_since = time.monotonic()
        self._idle.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._take_steps, name="nbretry-warm-up", daemon=True)
            self._thread.start()
            # A thread that loads a compiled module while the interpreter shuts down may crash it.
            atexit.register(self._end)

    def _take_steps(self) -> None:
        for step in self._steps:
            while not self._take(step):
                self._idle.wait()
                if self._stopped.wait(_PAUSE):
                    return

    def _take(self, step: Callable[[], None]) -> bool:
        with self._stepping:
            if not self._idle.is_set() or time.monotonic() - self._idle_since < _PAUSE or self._stopped.is_set():
                return False
            with suppress(BaseException):  # importing a package may raise anything
                step()
            return True

    def _wait_for_step(self) -> None:
        if self._stepping.acquire(timeout=_PATIENCE):
            self._stepping.release()

    def _end(self) -> None:
        self._stopped.set()
        self._idle.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE)


_warm_ups = PerShell(WarmUp)
register, unregister = _warm_ups.register, _warm_ups.unregister
