"""Short tracebacks for a model: the frames in the user's cells and the innermost frames, in plain text."""

from __future__ import annotations

import asyncio
import bdb
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbretry._utils.exceptions import describe
from nbretry._utils.redaction import mask
from nbretry._utils.text import cut_middle
from nbretry.errors import AnswerFormatError, ConfigError, RetryNoProviderError, RetryProviderError
from nbretry.notebook.cells.cell import numbered_sources
from nbretry.notebook.cells.excerpts import plain

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["LONGEST_TRACEBACK", "Failure", "failure_before", "failure_of", "is_of_the_notebook", "short_traceback"]

LONGEST_TRACEBACK = 12_000
"""Limit for a traceback, in characters."""

_CELL_FRAMES = 8
_INNERMOST_FRAMES = 4
_OURS = (RetryProviderError, RetryNoProviderError, ConfigError)
_NO_FAILURES = (KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, bdb.BdbQuit)
_TIMED = "<timed "  # the code that %%time runs has a file name that begins with this


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that ended a cell. Secrets in its texts are masked.

    Attributes:
        source: source of the cell; empty if it is not known.
        traceback: the traceback as `short_traceback` returns it.
        others: sources of the other cells in the traceback, by name, such as ``In[3]``.
    """

    source: str
    traceback: str
    others: dict[str, str]


def is_of_the_notebook(exception: BaseException) -> bool:
    """Return whether the user's code failed, as opposed to an interrupt, a failed question or a wrong setting."""
    if isinstance(exception, AnswerFormatError):
        return exception.answer is None  # raised when the user's code reads an answer
    return not isinstance(exception, (*_OURS, *_NO_FAILURES))


def short_traceback(exception: BaseException, shell: InteractiveShell) -> str:
    """Return an exception with its causes as text, without colours and with secrets masked; a note marks each cut.

    Args:
        exception: any exception; its own methods may fail.
        shell: the shell in which the cells ran.
    """
    try:
        text = _own_rendering(exception) or _rendering(exception, shell)
    except Exception:  # an error while an exception is rendered must not hide the exception
        text = describe(exception)
    return cut_middle(mask(plain(text)).strip("\n"), LONGEST_TRACEBACK)


def failure_of(exception: BaseException, source: str, shell: InteractiveShell) -> Failure:
    """Return an exception with the sources of the cells in its traceback.

    Args:
        exception: the exception that ended a cell.
        source: source of that cell.
        shell: the shell in which it ran.
    """
    sources = dict(numbered_sources(shell))
    others = {f"In[{number}]": sources[number] for number in _cell_numbers(exception, shell) if number in sources}
    return Failure(
        mask(plain(source)),
        short_traceback(exception, shell),
        {name: mask(plain(other)) for name, other in others.items() if other.strip() != source.strip()},
    )


def failure_before(shell: InteractiveShell) -> Failure | None:
    """Return the last exception that this process has shown, if it comes from the user's code."""
    exception = getattr(sys, "last_value", None)
    if exception is None or not is_of_the_notebook(exception):
        return None
    numbers = _cell_numbers(exception, shell)
    source = dict(numbered_sources(shell)).get(numbers[0], "") if numbers else ""
    return failure_of(exception, source, shell)


def _cell_numbers(exception: BaseException, shell: InteractiveShell) -> list[int]:
    """Return the numbers of the cells in an exception's traceback, that of the running cell first."""
    names = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(exception.__traceback__)]
    if isinstance(exception, SyntaxError):
        names.append(exception.filename or "")
    labels = [label for name in names if (label := _cell_label(name, shell))]
    numbers = [label.rpartition("[")[2].rstrip("]") for label in dict.fromkeys(labels)]
    return [int(number) for number in numbers if number.isdecimal()]


def _own_rendering(exception: BaseException) -> str:
    """Return what IPython shows for an exception in place of its traceback; empty if it shows the traceback."""
    render = getattr(exception, "_render_traceback_", None)
    lines = render() if callable(render) else None
    if lines and all(isinstance(line, str) for line in lines):
        return "\n".join(lines)
    from IPython.core.error import UsageError

    return f"UsageError: {exception}" if type(exception) is UsageError else ""


def _rendering(exception: BaseException, shell: InteractiveShell) -> str:
    rendered = traceback.TracebackException.from_exception(exception, compact=True)
    for one in _with_causes(rendered):
        one.stack = _Frames(one.stack, shell)
        filename = getattr(one, "filename", None)  # of a SyntaxError
        if filename:
            one.filename = _cell_label(filename, shell) or filename
            if not one.stack.has_cells:
                one.stack = None
    return "".join(rendered.format())


def _with_causes(rendered: traceback.TracebackException) -> Iterator[Any]:
    waiting = [rendered]
    while waiting:
        one = waiting.pop()
        yield one
        for other in (one.__cause__, one.__context__, *(getattr(one, "exceptions", None) or ())):
            if other is not None:
                waiting.append(other)


def _cell_label(filename: str, shell: InteractiveShell) -> str:
    """Return ``Cell In[3]`` for the file name of a cell; empty for any other file."""
    named = shell.compile.format_code_name(filename)
    return " ".join(named) if named else ""


class _Frames(traceback.StackSummary):
    """The frames of a traceback; only the informative ones are shown."""

    def __init__(self, frames: traceback.StackSummary, shell: InteractiveShell) -> None:
        cells = [index for index, frame in enumerate(frames) if _cell_label(frame.filename, shell)]
        # The frames before the cell are those of IPython, which ran it; so are those between a magic and its code.
        shown = frames[cells[0] :] if cells else frames
        super().__init__(frame for frame in shown if frame is shown[-1] or not _is_of_ipython(frame))
        self._shell = shell
        self.has_cells = bool(cells)

    def format(self, **options: Any) -> list[str]:
        last = len(self) - 1
        cells = [index for index, frame in enumerate(self) if self._is_of_user(frame)]
        shown = {*cells[: _CELL_FRAMES // 2], *cells[-_CELL_FRAMES // 2 :]}
        shown |= set(range(max(0, last - _INNERMOST_FRAMES + 1), last + 1))
        lines: list[str] = []
        before = -1
        for index in sorted(shown):
            if index - before > 1:
                lines.append(f"  [… {_frames(index - before - 1)} cut …]\n")
            lines.append(self._format(self[index]))
            before = index
        return lines

    def _format(self, frame: traceback.FrameSummary) -> str:
        text = self.format_frame_summary(frame)
        label = _cell_label(frame.filename, self._shell)
        return text.replace(f'File "{frame.filename}"', label, 1) if label else text

    def _is_of_user(self, frame: traceback.FrameSummary) -> bool:
        return frame.filename.startswith(_TIMED) or bool(_cell_label(frame.filename, self._shell))


def _is_of_ipython(frame: traceback.FrameSummary) -> bool:
    return frame.filename.startswith(os.path.dirname(sys.modules["IPython"].__file__ or "IPython") + os.sep)


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count:,} frames"
