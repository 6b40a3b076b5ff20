"""One output of a cell that is repainted while what it shows grows.

Repaints come at intervals that grow with the time, so that what is sent stays proportional to what there is, and with
what a paint takes, as the loop is for the streams first. The last state is always painted.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any, TypeAlias

from nbretry.answer import Answer
from nbretry.redaction import mask

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Bundle", "RepaintedOutput", "provenance"]

_SHORTEST_INTERVAL = 0.06
_LONGEST_INTERVAL = 1.0
_INTERVAL_PER_SECOND = 0.02
_INTERVALS_PER_PAINT = 5

Bundle: TypeAlias = dict[str, Any]
"""Data by MIME type, or metadata."""


class RepaintedOutput:
    """What the renderers for a cell have in common. Derived classes say what is painted now.

    Args:
        shell: the shell whose running cell is painted into.
        captured: whether each paint is kept as an output of its own, as under ``%%capture``: then only the last is
            made. Found out by default.
    """

    def __init__(self, shell: InteractiveShell, captured: bool | None = None) -> None:
        self._shell = shell
        self._captured = _is_captured(shell) if captured is None else captured
        self._display_id = uuid.uuid4().hex
        self._shown = False
        self._painted_at = 0.0
        self._paint_took = 0.0
        self._content_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def content_came(self) -> None:
        """Content comes from now on, if it did not before."""
        if self._content_since is None:
            self._content_since = time.monotonic()

    def paint_soon(self) -> None:
        """Paint now, or when enough time has passed since the last paint."""
        if self._captured or self._timer is not None:
            return
        wait = self._painted_at + self._interval() - time.monotonic()
        if wait <= 0:
            self.paint_now()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait, self.paint_now)

    def paint_now(self) -> None:
        """Paint, in place of any paint that is waiting."""
        self.cancel_paint()
        if self._captured:
            return
        begun = time.monotonic()
        self.show(self.picture())
        self._painted_at = time.monotonic()
        self._paint_took = self._painted_at - begun

    def cancel_paint(self) -> None:
        """Forget a paint that is waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def picture(self) -> Bundle:
        """What is to be seen now."""
        raise NotImplementedError

    def show(self, data: Bundle, metadata: Bundle | None = None) -> None:
        """Put this in place of what the output shows."""
        if self._captured:
            self.publish(data, metadata)
            return
        self.publish(data, metadata, transient={"display_id": self._display_id}, update=self._shown)
        self._shown = True

    def publish(self, data: Bundle, metadata: Bundle | None = None, **kwargs: Any) -> None:
        """Send an output of its own."""
        self._shell.display_pub.publish(data, metadata or {}, **kwargs)

    def _interval(self) -> float:
        streaming_for = 0.0 if self._content_since is None else time.monotonic() - self._content_since
        growing = min(_LONGEST_INTERVAL, max(_SHORTEST_INTERVAL, streaming_for * _INTERVAL_PER_SECOND))
        return max(growing, self._paint_took * _INTERVALS_PER_PAINT)


def provenance(answer: Answer) -> Bundle:
    """The record of an answer for an output's metadata, every known secret masked: the output has its text."""
    record = answer.to_dict()
    del record["text"]
    masked: Bundle = _masked(record)
    return masked


def _masked(value: Any) -> Any:
    """A model's name, its reasoning and given-up text are strangers' words."""
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
