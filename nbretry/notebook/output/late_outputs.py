"""Outputs of a cell that keep changing after the cell has ended.

All of them are sent while the cell runs, most of them empty, each with a display id. From then on they are only
updated, and the display id says which output an update is for. Jupyter's frontends do not care which cell an update
comes from. But nbclient, with which nbconvert and papermill run notebooks, handles only messages of the running cell.
So an update is sent as if it came from the cell that is running, and if none is running, it is sent again when the next
one begins.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from nbretry._utils.exceptions import describe
from nbretry.notebook.cells.cell import request_of
from nbretry.notebook.output.places import BLANK, Bundle

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["CellWatch", "LateOutputs"]

logger = logging.getLogger("nbretry")


class CellWatch:
    """Knows whether a cell is running, and which. There is one per shell, see `of`; you can use it from any thread.

    Args:
        shell: the user's shell, in which a cell is running now.
    """

    _watches: ClassVar[weakref.WeakKeyDictionary[InteractiveShell, CellWatch]] = weakref.WeakKeyDictionary()

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = weakref.ref(shell)
        self._lock = threading.RLock()
        self._running = True
        self._request = request_of(shell)
        self._inside: list[Any] = []
        """The cells that run inside the running one, innermost last."""
        self._number = 1
        self._context = contextvars.copy_context()
        self._between: list[Callable[[], None]] = []
        self._unheard: list[LateOutputs] = []
        self._holders = 0
        self._is_retired = False
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._end)

    @classmethod
    def of(cls, shell: InteractiveShell) -> CellWatch:
        """Return the watch of this shell. Call it only while a cell is running."""
        if shell not in cls._watches:
            cls._watches[shell] = cls(shell)
        watch = cls._watches[shell]
        watch._is_retired = False
        return watch

    @classmethod
    def retire(cls, shell: InteractiveShell) -> None:
        """Let the watch of this shell, if there is one, unregister its event handlers once nothing holds it."""
        watch = cls._watches.get(shell)
        if watch is not None:
            watch._is_retired = True

    def hold(self) -> None:
        """Keep the watch working until `release`, even if it is retired."""
        with self._lock:
            self._holders += 1

    def release(self) -> None:
        """End one `hold`."""
        with self._lock:
            self._holders -= 1

    @property
    def cell(self) -> int:
        """A unique number of the running cell; 0 if none is running."""
        with self._lock:
            return self._number if self._running else 0

    def call_as_this_cell(self, function: Callable[[], None]) -> None:
        """Call a function so that ipykernel attributes its outputs to the cell that is running or has run last."""
        self._context.copy().run(function)

    def call_between_cells(self, function: Callable[[], None]) -> None:
        """Call a function now or, if a cell is running, when that cell has ended."""
        with self._lock:
            if self._running:
                self._between.append(function)
                return
        function()

    def say_again(self, outputs: LateOutputs) -> bool:
        """Call `LateOutputs.say_again` when the next cell begins.

        Args:
            outputs: the outputs to call it on.

        Returns:
            False if a cell is running now: then it is not going to be called.
        """
        with self._lock:
            if not self._running and outputs not in self._unheard:
                self._unheard.append(outputs)
            return not self._running

    def _begin(self, info: Any) -> None:
        shell = self._shell()
        request = "" if shell is None else request_of(shell)
        with self._lock:
            if self._running and request and request == self._request:
                self._inside.append(info)
                return
            self._request, self._inside = request, []
            self._running = True
            self._number += 1
            self._context = contextvars.copy_context()
            unheard, self._unheard = self._unheard, []
        for outputs in unheard:
            outputs.say_again()

    def _end(self, result: Any) -> None:
        with self._lock:
            if any(info is result.info for info in self._inside):
                while self._inside.pop() is not result.info:
                    pass
                return
            self._running = False
            between, self._between = self._between, []
            is_over = self._is_retired and not self._holders and not self._unheard
        for function in between:
            function()
        shell = self._shell()
        if is_over and shell is not None and self._watches.pop(shell, None) is not None:
            shell.events.unregister("pre_run_cell", self._begin)
            shell.events.unregister("post_run_cell", self._end)


class LateOutputs:
    """The outputs of the running cell, which you can change from any thread at any time. Changing them never raises.

    Args:
        shell: the shell whose cell is running.
        count: how many outputs there can be.
    """

    def __init__(self, shell: InteractiveShell, count: int) -> None:
        self._shell = shell
        self._watch = CellWatch.of(shell)
        # The publisher of this cell: another cell may have one that captures outputs.
        self._publisher = shell.display_pub
        self._ids = [uuid.uuid4().hex for _ in range(count)]
        self._free: deque[str] = deque()
        self._taken: dict[str, str] = {}
        self._shown: dict[str, tuple[Bundle, Bundle]] = {}
        self._unheard: set[str] = set()
        self._lock = threading.Lock()

    def reserve(self, first: Bundle) -> None:
        """Send all outputs from the running cell.

        Args:
            first: what the first output shows; the others are empty.
        """
        for display_id in self._ids:
            data = first if display_id is self._ids[0] else BLANK
            self._publisher.publish(data, {}, transient={"display_id": display_id})
        self._free.extend(self._ids)

    def begin_again(self) -> None:
        """Start over: what is published from now on replaces what was published before."""
        with self._lock:
            for display_id in list(self._shown):
                if display_id is not self._ids[0]:
                    self._send(display_id, BLANK, {})
            self._taken.clear()
            self._free = deque(self._ids)

    def publish(
        self,
        data: Bundle,
        metadata: Bundle | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
    ) -> None:
        """Show something in the next free output, or with ``update`` in the output that was given this display id."""
        asked = (transient or {}).get("display_id", "")
        with self._lock:
            if update and asked in self._taken:
                display_id = self._taken[asked]
            elif self._free:
                display_id = self._free.popleft()
                self._taken[asked] = display_id
            else:
                logger.debug("a cell that has ended has no room for another output")
                return
            self._send(display_id, data, metadata or {})

    def say_again(self) -> None:
        """Resend the updates from the time when no cell ran, if the frontend handles only those of a running cell."""
        with self._lock:
            for display_id in self._unheard if self._is_run_by_a_program() else ():
                self._update(display_id, *self._shown[display_id])
            self._unheard.clear()

    def _send(self, display_id: str, data: Bundle, metadata: Bundle) -> None:
        self._shown[display_id] = data, metadata
        self._unheard.discard(display_id)
        while True:
            cell = self._watch.cell
            self._update(display_id, data, metadata)
            if cell and cell == self._watch.cell:
                return
            if self._watch.say_again(self):
                self._unheard.add(display_id)
                return

    def _update(self, display_id: str, data: Bundle, metadata: Bundle) -> None:
        send = partial(self._publisher.publish, data, metadata, transient={"display_id": display_id}, update=True)
        try:
            self._watch.call_as_this_cell(send)
        except Exception as error:  # the kernel ends, the user closed stdout: the answer itself continues
            logger.debug("an output could not be sent: %s", describe(error))

    def _is_run_by_a_program(self) -> bool:
        """Return whether a program runs the notebook. It allows no input; a person's frontend has got every update."""
        get_parent = getattr(getattr(self._shell, "kernel", None), "get_parent", None)
        parent = get_parent() if get_parent is not None else {}
        return not parent.get("content", {}).get("allow_stdin", True)
