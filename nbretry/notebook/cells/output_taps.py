"""Observe the outputs of a shell's cells on their way to the user, without changing what the user sees."""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from nbretry.notebook.cells.cell import request_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["KernelTap", "Listener", "TerminalTap", "session_of"]

_ANSWER = "_answer"  # as in nbretry.notebook.asking.user_variables, whose import takes too long for %load_ext
# Writes to a terminal are passed on in bulk, so that print stays as fast as before.
_MOST_PENDING = 500
_LONGEST_PENDING = 8_000
_OUTPUTS = {"stream", "execute_result", "display_data", "update_display_data", "clear_output"}
_COUNTED = {"error", "input_request"}
"""What a page shows as well; the kernel sends these by their type."""
_TOLD = _OUTPUTS | _COUNTED


class Listener(Protocol):
    """Receiver of outputs. Its methods are called from the thread that the output comes from."""

    def sent(self, kind: str, message: str, content: dict[str, Any]) -> None:
        """Handle an output that a kernel sends.

        Args:
            kind: type of the output's message; ``fork`` if the process was forked, as what the other process prints is
                sent without being observed. The content of ``error``, ``input_request`` and ``fork`` is empty.
            message: message id of the request whose cell made the output.
            content: content of the output's message.
        """

    def printed(self, cell: Any, stream: str, text: str) -> None:
        """Handle text that a cell has printed in a terminal.

        Args:
            cell: the cell as it was given to `TerminalTap.begin`.
            stream: ``stdout`` or ``stderr``.
            text: the printed text.
        """

    def drop(self, cell: Any, stream: str) -> None:
        """Discard what this cell has printed to this stream: it did not come from the cell's own code."""


class KernelTap:
    """Observes every output that the kernel sends."""

    def __init__(self, listener: Listener, shell: InteractiveShell) -> None:
        self._listener = listener
        self._shell = shell
        self._process = os.getpid()
        self._is_open = False
        self._send: Any = None

    def install(self) -> None:
        from jupyter_client.session import extract_header

        session = session_of(self._shell)
        send = session.send

        def send_and_tell(stream: Any, msg_or_type: Any, *args: Any, **kwargs: Any) -> Any:
            with suppress(Exception):  # an output must not be lost because it could not be recorded
                if self._is_open and isinstance(msg_or_type, dict):
                    self._tell(msg_or_type)
                elif self._is_open and msg_or_type in _COUNTED:
                    parent = args[1] if len(args) > 1 else kwargs.get("parent")
                    self._tell({"msg_type": msg_or_type, "parent_header": extract_header(parent or {})})
            return send(stream, msg_or_type, *args, **kwargs)

        self._send = session.send = send_and_tell
        self._is_open = True
        _open_taps.add(self)

    def uninstall(self) -> None:
        self._is_open = False
        session = session_of(self._shell)
        if vars(session).get("send") is self._send:  # if not, other code has wrapped it since
            del session.send

    def begin(self, cell: object | None) -> None:
        pass

    def end(self, cell: object | None) -> None:
        pass

    def _tell(self, message: dict[str, Any]) -> None:
        # In a forked process the thread that holds the lock may not exist, so it would never be released.
        if message.get("msg_type") in _TOLD and os.getpid() == self._process:
            parent = message.get("parent_header") or {}
            self._listener.sent(message["msg_type"], parent.get("msg_id", ""), message.get("content", {}))

    def forked(self) -> None:
        """Tell that the running cell has forked the process."""
        if self._is_open:
            self._listener.sent("fork", request_of(self._shell), {})


_open_taps: weakref.WeakSet[KernelTap] = weakref.WeakSet()


def _tell_fork() -> None:
    for tap in list(_open_taps):
        with suppress(Exception):
            tap.forked()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_parent=_tell_fork)


class TerminalTap:
    """Observes what is printed while a cell runs, except tracebacks, which are recorded in a short form."""

    def __init__(self, listener: Listener, shell: InteractiveShell) -> None:
        self._listener = listener
        self._shell = shell
        self._undo: list[tuple[Any, str, Any]] = []
        self._undo_for_cell: list[tuple[Any, str, Any]] = []
        self._pending: list[tuple[str, str]] = []
        self._tracebacks = 0
        self._answer: Any = None

    def install(self) -> None:
        for name in ("showtraceback", "showsyntaxerror"):
            self._undo += _replaced(self._shell, name, self._untold(getattr(self._shell, name)))

    def uninstall(self) -> None:
        self.end(None)
        _restore(self._undo)

    def begin(self, cell: object | None) -> None:
        _restore(self._undo_for_cell)
        if cell is None:
            return
        self._answer = self._shell.user_ns.get(_ANSWER)
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            self._undo_for_cell += _replaced(stream, "write", self._told(stream.write, cell, name))

    def end(self, cell: object | None) -> None:
        _restore(self._undo_for_cell)
        if cell is not None:
            self._tell(cell)
        if cell is not None and self._shell.user_ns.get(_ANSWER) is not self._answer:
            # A question has written the answer to stdout and the report about it to stderr.
            self._listener.drop(cell, "stderr")
        self._answer = None

    def _told(self, write: Any, cell: object, name: str) -> Any:
        def write_and_tell(text: str, *args: Any, **kwargs: Any) -> Any:
            written = write(text, *args, **kwargs)
            if not self._tracebacks:
                self._pending.append((name, text))
                if len(self._pending) > _MOST_PENDING or len(text) > _LONGEST_PENDING:
                    self._tell(cell)
            return written

        return write_and_tell

    def _tell(self, cell: object) -> None:
        pending, self._pending = self._pending, []
        for name, texts in groupby(pending, itemgetter(0)):
            self._listener.printed(cell, name, "".join(text for _, text in texts))

    def _untold(self, show: Any) -> Any:
        def show_untold(*args: Any, **kwargs: Any) -> Any:
            self._tracebacks += 1
            try:
                return show(*args, **kwargs)
            finally:
                self._tracebacks -= 1

        return show_untold


def _replaced(owner: Any, name: str, value: Any) -> list[tuple[Any, str, Any]]:
    """Replace a method on one object, and return what `_restore` needs to undo that."""
    before = getattr(owner, "__dict__", {}).get(name)
    try:
        setattr(owner, name, value)
    except (AttributeError, TypeError):  # a kind of stream that does not allow it
        return []
    return [(owner, name, (value, before))]


def _restore(replaced: list[tuple[Any, str, Any]]) -> None:
    while replaced:
        owner, name, (value, before) = replaced.pop()
        if getattr(owner, "__dict__", {}).get(name) is not value:
            continue  # other code has wrapped it since
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def session_of(shell: InteractiveShell) -> Any:
    """Return the session that sends the kernel's outputs; None in a terminal."""
    return getattr(getattr(shell, "kernel", None), "session", None)
