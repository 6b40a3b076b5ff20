"""Record the cells that have run in this kernel, with their text outputs, for ``--context`` and ``%nbretry fix``.

In a kernel every output passes through the kernel's session, however it was made. What is recorded there is what the
notebook shows, so nothing that ``%%capture`` has taken is recorded. In a terminal the printed text is recorded.
"""

from __future__ import annotations

import re
import sys
import threading
import weakref
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from nbretry.notebook.cells.cell import Cell, ShownOutput, numbered_sources, request_of
from nbretry.notebook.cells.output_taps import KernelTap, TerminalTap, session_of
from nbretry.notebook.kernel.per_shell import PerShell

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

    from nbretry.notebook.cells.tracebacks import Failure

__all__ = [
    "MOST_CELLS",
    "context_block",
    "has_shown",
    "last_failure",
    "outputs_sent",
    "register",
    "send_printed",
    "unregister",
    "widgets_taking",
]

MOST_CELLS = 100
"""How many cells are remembered at most."""

_OUR_REPORT = '<details class="nbretry-'
_ONLY_LOADING = re.compile(r"\s*%?(?:re)?load_ext\s+nbretry\s*(?:#.*)?")


def context_block(shell: InteractiveShell, count: int) -> str:
    """Return the last cells that ran before the running one, oldest first, with their text outputs, for a model.

    Args:
        shell: the user's shell.
        count: number of cells; if fewer have run, all of them.

    Returns:
        Text of at most `nbretry.notebook.cells.context_block.LONGEST_CONTEXT` characters, with secrets masked. If the
        cells are longer, the oldest outputs are cut first, with a note.
    """
    from nbretry.notebook.cells.context_block import block_of

    recorder = _recorders.get(shell) or _Recorder(shell)
    return block_of(recorder.cells_before(count))


def last_failure(shell: InteractiveShell) -> Failure | None:
    """Return the last exception of the notebook; None if there was none.

    Interrupts do not count, nor do questions that no provider answered or that had a mistake.
    """
    recorder = _recorders.get(shell)
    return None if recorder is None else recorder.failure


def outputs_sent(shell: InteractiveShell, request: str, kind: str | None = None) -> int | None:
    """Return how many outputs a cell or a callback has sent so far, with updates and clearings.

    Args:
        shell: the user's shell.
        request: message id of the request that runs the code.
        kind: type of the messages that count; all by default.

    Returns:
        The number; None if it is not known, as the cell began before nbretry was loaded.
    """
    recorder = _recorders.get(shell)
    return None if recorder is None else recorder.outputs_sent(request, kind)


def send_printed() -> None:
    """Send what has been printed so far: a kernel does so a little later."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # it may be a stream of the user's own
            stream.flush()


def has_shown(shell: InteractiveShell, widget: Any) -> bool:
    """Return whether an `ipywidgets.Output` has been sent something since it was last cleared.

    The widget itself knows only later, when the page has told it.
    """
    recorder = _recorders.get(shell)
    return recorder is not None and widget in recorder.filled


def widgets_taking(request: str) -> list[Any]:
    """Return each `ipywidgets.Output` that takes the outputs of this request; there are several if they are nested."""
    if "ipywidgets" not in sys.modules or not request:
        return []
    from ipywidgets import Output
    from ipywidgets.widgets import widget as module

    known: Any = getattr(module, "_instances", None)  # since ipywidgets 8
    if known is None:
        known = module.Widget.widgets
    return [one for one in list(known.values()) if isinstance(one, Output) and one.msg_id == request]


class _Run:
    """A running cell with the cells that run inside it.

    Args:
        cell: None for code that is not a cell of the notebook, such as a request of the frontend itself.
        info: IPython's record of the cell.
    """

    def __init__(self, cell: Cell | None, info: ExecutionInfo) -> None:
        self.cell = cell
        self.infos = [info]
        self.thread = threading.get_ident()
        self.shown_before = _shown_exception()


class _Recorder:
    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._lock = threading.RLock()
        self._cells: dict[Any, Cell] = {}
        self._runs: dict[str, _Run] = {}
        self._cells_by_message: weakref.WeakValueDictionary[str, Cell] = weakref.WeakValueDictionary()
        self._displays: weakref.WeakValueDictionary[str, ShownOutput] = weakref.WeakValueDictionary()
        self._sent: dict[str, Counter[str]] = {}
        self.filled: weakref.WeakSet[Any] = weakref.WeakSet()
        self._began_before = request_of(shell)
        self._in_kernel = session_of(shell) is not None
        self._tap: KernelTap | TerminalTap = (KernelTap if self._in_kernel else TerminalTap)(self, shell)
        for number, source in numbered_sources(shell)[-MOST_CELLS:]:
            cell = Cell(source, number)
            cell.outputs = [ShownOutput("", text) for text in _outputs_of(shell, number)]
            self._remember(None, cell)
        # Until a cell begins or ends, the last one is the cell that loads nbretry, and it is still running.
        self._loading = next(reversed(self._cells.values()), None)
        if self._loading is not None:
            self._cells_by_message[request_of(self._shell)] = self._loading
        self.failure: Failure | None = None
        if _shown_exception() is not None:
            from nbretry.notebook.cells.tracebacks import failure_before

            self.failure = failure_before(shell)

    def install(self) -> None:
        self._shell.events.register("pre_run_cell", self._before_cell)
        self._shell.events.register("post_run_cell", self._after_cell)
        self._tap.install()

    def uninstall(self) -> None:
        self._shell.events.unregister("pre_run_cell", self._before_cell)
        self._shell.events.unregister("post_run_cell", self._after_cell)
        self._tap.uninstall()

    def outputs_sent(self, request: str, kind: str | None) -> int | None:
        with self._lock:
            sent = self._sent.get(request, Counter())
            if request == self._began_before:
                return None
            return sent.total() if kind is None else sent[kind]

    def cells_before(self, count: int) -> list[Cell]:
        send_printed()
        with self._lock:
            running = [self._loading, *(run.cell for run in self._runs.values())]
            cells = [
                cell
                for cell in self._cells.values()
                if not any(cell is one for one in running) and not _only_loads(cell.source)
            ]
        return cells[max(0, len(cells) - count) :]

    # The outputs of a cell that runs inside another one, as with `run_cell`, belong to the outer cell.

    def _before_cell(self, info: ExecutionInfo) -> None:
        self._loading = None
        message = request_of(self._shell)
        run = self._runs.get(message)
        if run is not None:
            run.infos.append(info)
            return
        cell = Cell(info.raw_cell or "") if info.store_history else None
        begun = _Run(cell, info)
        with self._lock:
            # A thread runs one cell at a time, so an earlier run of this thread has ended, even if no event said so.
            self._runs = {other: run for other, run in self._runs.items() if run.thread != begun.thread}
            self._runs[message] = begun
            if cell is not None:
                self._remember(getattr(info, "cell_id", None), cell)
                self._cells_by_message[message] = cell
        self._tap.begin(cell)

    def _after_cell(self, result: ExecutionResult | None) -> None:
        loading, self._loading = self._loading, None
        info = None if result is None else result.info
        if info is not None and not (info.raw_cell or "").strip():
            return  # an empty cell has no event at its beginning
        run = self._runs.get(request_of(self._shell))
        if run is None:
            if loading is not None and result is not None:
                self._keep_error(loading, loading.source, result.error_before_exec or result.error_in_exec)
            return
        if any(one is info for one in run.infos):
            while run.infos.pop() is not info:
                pass
        else:  # IPython passes a different record if the cell's own was lost
            run.infos.pop()
        if run.cell is not None and result is not None:
            exception = result.error_before_exec or result.error_in_exec
            shown = _shown_exception()
            if exception is None and shown is not run.shown_before:
                exception = shown  # shown by a magic such as %run, which continues after it
            run.shown_before = shown
            source = run.cell.source if info is None else info.raw_cell or ""
            self._keep_error(None if run.infos else run.cell, source, exception)
            if not run.infos:
                run.cell.number = result.execution_count or run.cell.number
        if not run.infos:
            with self._lock:
                self._runs.pop(request_of(self._shell), None)
            self._tap.end(run.cell)

    def _keep_error(self, cell: Cell | None, source: str, exception: BaseException | None) -> None:
        if exception is None:
            return
        from nbretry.notebook.cells.tracebacks import failure_of, is_of_the_notebook, short_traceback

        if cell is not None:
            cell.error = short_traceback(exception, self._shell)
        if is_of_the_notebook(exception):
            self.failure = failure_of(exception, source, self._shell)

    def _remember(self, cell_id: str | None, cell: Cell) -> None:
        """Add a cell. If it has run before, only its last run is remembered."""
        by_source = ("source", cell.source.strip())
        key: Any = object()
        if cell_id is not None:
            key = ("id", cell_id)
        elif self._in_kernel:
            key = by_source
        if self._in_kernel:
            self._cells.pop(by_source, None)
        self._cells.pop(key, None)
        self._cells[key] = cell
        while len(self._cells) > MOST_CELLS:
            del self._cells[next(iter(self._cells))]

    # Called by the taps; in a kernel, from the thread that sends the output.

    def printed(self, cell: Cell, stream: str, text: str) -> None:
        with self._lock:
            cell.print(stream, text)

    def drop(self, cell: Cell, stream: str) -> None:
        with self._lock:
            cell.outputs[:] = [output for output in cell.outputs if output.stream != stream]

    def sent(self, kind: str, message: str, content: dict[str, Any]) -> None:
        with self._lock:
            counted = self._sent[message] = self._sent.pop(message, Counter())
            counted[kind] += 1
            if len(self._sent) > MOST_CELLS:
                del self._sent[next(iter(self._sent))]
            for widget in widgets_taking(message):
                (self.filled.discard if kind == "clear_output" else self.filled.add)(widget)
            if not content:
                return
            display_id = (content.get("transient") or {}).get("display_id")
            known = self._displays.get(display_id) if display_id else None
            if kind in ("display_data", "update_display_data") and known is not None:
                known.excerpt.replace(_text_of(content))
            cell = self._cells_by_message.get(message)
            if cell is None or kind == "update_display_data":
                return
            if kind == "stream":
                cell.print(content["name"], content["text"])
            elif kind == "clear_output":
                cell.clear(bool(content.get("wait")))
            else:
                output = known or ShownOutput("", _text_of(content))
                cell.show(output)
                if display_id:
                    self._displays[display_id] = output


def _text_of(content: dict[str, Any]) -> str:
    """Return the text of a display; empty for the report of an answer."""
    data = content["data"]
    if str(data.get("text/html", "")).startswith(_OUR_REPORT):
        return ""
    kinds = ("text/markdown", "text/plain")
    if 'class="nbretry-answer' in str(data.get("text/html", "")):
        kinds = ("text/plain", "text/markdown")  # the answer itself, then its form that is safe to show
    return next((data[kind] for kind in kinds if isinstance(data.get(kind), str) and data[kind]), "")


def _outputs_of(shell: InteractiveShell, number: int) -> list[str]:
    """Return the outputs of a cell that IPython has kept: since IPython 9.1 all of them, before only its value."""
    history = shell.history_manager
    kept = getattr(history, "outputs", {}).get(number, ())
    texts = ["".join(one.bundle.get("stream") or _text_of({"data": one.bundle})) for one in kept]
    values = getattr(history, "output_hist_reprs", {})
    return texts or ([values[number]] if number in values else [])


def _shown_exception() -> BaseException | None:
    """Return the last exception that IPython has shown."""
    return getattr(sys, "last_value", None)


def _only_loads(source: str) -> bool:
    return all(_ONLY_LOADING.fullmatch(line) for line in source.splitlines() if line.strip())


_recorders = PerShell(_Recorder)
register, unregister = _recorders.register, _recorders.unregister
