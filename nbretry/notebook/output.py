"""A run painted into the output of a cell, as ordinary outputs that need no kernel once they are saved.

The answer is one output that is repainted while it grows, at intervals that grow with it, so that what is sent stays
proportional to the answer; the report is a second output that comes at the end.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any

from nbretry.answer import Answer
from nbretry.events import (
    Event,
    FirstContent,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
)
from nbretry.redaction import mask
from nbretry.renderers.markdown import safe_markdown
from nbretry.renderers.report import report_html, report_text, status_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["CellOutput", "display_answer"]

_SHORTEST_INTERVAL = 0.06
_LONGEST_INTERVAL = 1.0
_INTERVAL_PER_SECOND = 0.02
_INTERVALS_PER_PAINT = 5  # a very long text takes a while to be made safe: the loop is for the stream first

_Bundle = dict[str, Any]


class CellOutput:
    """Renderer for a cell of a notebook.

    Args:
        shell: the shell whose running cell is painted into.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._answer = Answer()
        self._display_id = uuid.uuid4().hex
        self._captured = _is_captured(shell)
        self._shown = False
        self._painted_at = 0.0
        self._paint_took = 0.0
        self._content_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, event: Event, answer: Answer) -> None:
        """Paint this event, now or soon; the last state is always painted."""
        self._answer = answer
        if isinstance(event, RunCompleted | RunFailed | RunCancelled):
            self._cancel_timer()
            self._paint_end()
        elif not self._captured:
            if isinstance(event, FirstContent):
                self._content_since = time.monotonic()
            if isinstance(event, TextDelta | ReasoningDelta):
                self._paint_soon()
            elif isinstance(event, RunStarted) or not answer.text:
                self._cancel_timer()
                self._paint()

    def _paint_soon(self) -> None:
        if self._timer is not None:
            return
        wait = self._painted_at + self._interval() - time.monotonic()
        if wait <= 0:
            self._paint()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait, self._on_timer)

    def _interval(self) -> float:
        streaming_for = time.monotonic() - (self._content_since or time.monotonic())
        growing = min(_LONGEST_INTERVAL, max(_SHORTEST_INTERVAL, streaming_for * _INTERVAL_PER_SECOND))
        return max(growing, self._paint_took * _INTERVALS_PER_PAINT)

    def _on_timer(self) -> None:
        self._timer = None
        self._paint()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _paint(self) -> None:
        begun = time.monotonic()
        if self._answer.text:
            self._show({"text/markdown": safe_markdown(self._answer.text)})
        else:
            self._show(_status(self._answer))
        self._painted_at = time.monotonic()
        self._paint_took = self._painted_at - begun

    def _paint_end(self) -> None:
        metadata = _provenance(self._answer)
        report = _report(self._answer)
        if self._answer.text:
            self._show(_text(self._answer), metadata)
            self._publish(report)
        else:
            self._show(report, metadata)

    def _show(self, data: _Bundle, metadata: _Bundle | None = None) -> None:
        if self._captured:
            self._publish(data, metadata)
            return
        self._publish(data, metadata, transient={"display_id": self._display_id}, update=self._shown)
        self._shown = True

    def _publish(self, data: _Bundle, metadata: _Bundle | None = None, **kwargs: Any) -> None:
        self._shell.display_pub.publish(data, metadata or {}, **kwargs)


def display_answer(shell: InteractiveShell, answer: Answer) -> None:
    """Show an answer that is at its end, as its cell showed it."""
    output = CellOutput(shell)
    output._captured = True
    output._answer = answer
    output._paint_end()


def _text(answer: Answer) -> _Bundle:
    return {"text/markdown": safe_markdown(answer.text), "text/plain": mask(answer.text)}


def _status(answer: Answer) -> _Bundle:
    from html import escape

    line = status_line(answer)
    return {
        "text/html": f'<div style="font-size:0.85em;opacity:0.75;white-space:pre-wrap">{escape(line)}</div>',
        "text/plain": line,
    }


def _report(answer: Answer) -> _Bundle:
    return {"text/html": report_html(answer), "text/plain": report_text(answer)}


def _provenance(answer: Answer) -> _Bundle:
    record = answer.to_dict()
    del record["text"]
    return {"nbretry": _masked(record)}


def _masked(value: Any) -> Any:
    """A record with every known secret masked: a model's name, its reasoning and given-up text are strangers' words."""
    match value:
        case str():
            return mask(value)
        case dict():
            return {name: _masked(item) for name, item in value.items()}
        case list():
            return [_masked(item) for item in value]
    return value


def _is_captured(shell: InteractiveShell) -> bool:
    """Whether ``%%capture`` or the like keeps the outputs: it would keep every repaint as an output of its own."""
    from IPython.core.displaypub import CapturingDisplayPublisher

    return isinstance(shell.display_pub, CapturingDisplayPublisher)
