"""Outputs of a cell that are repainted while what they show grows.

Repaints come at intervals that grow with the time, so that what is sent stays proportional to what there is, and with
what a paint takes, as the loop is for the streams first. The last state is always painted.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from nbretry._utils.serialization import masked
from nbretry.answer import Answer
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Bundle", "RepaintedOutput", "is_captured", "provenance"]

_LONGEST_INTERVAL = 1.0
_INTERVAL_PER_SECOND = 0.02
_INTERVALS_PER_PAINT = 5

Bundle: TypeAlias = dict[str, Any]
"""Data by MIME type, or metadata."""

_BLANK: Bundle = {"text/html": "", "text/plain": ""}


class RepaintedOutput:
    """What the renderers for a cell have in common. Derived classes say what is painted now.

    Args:
        shell: the shell whose running cell is painted into.
        captured: whether each paint is kept as an output of its own, as under ``%%capture``: then only the last is
            made. Found out by default, and so is whether the settings want it.
        publish: sends outputs, with the arguments of `IPython.core.displaypub.DisplayPublisher.publish`; the shell's
            own by default.

    Attributes:
        shortest_interval: seconds between two paints at least.
    """

    shortest_interval = 0.06

    def __init__(
        self, shell: InteractiveShell, captured: bool | None = None, publish: Callable[..., None] | None = None
    ) -> None:
        self._shell = shell
        self._publish = publish
        self._captured = _is_painted_once(shell) if captured is None else captured
        self._display_ids: list[str] = []
        self._blank: set[int] = set()
        self._painted_at = 0.0
        self._paint_took = 0.0
        self._content_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def content_came(self, anew: bool = False) -> None:
        """Content comes from now on, if it did not before.

        Args:
            anew: it is of another kind than before, so that the intervals grow from the shortest again.
        """
        if self._content_since is None or anew:
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
        self.paint()
        self._painted_at = time.monotonic()
        self._paint_took = self._painted_at - begun

    def cancel_paint(self) -> None:
        """Forget a paint that is waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def paint(self) -> None:
        """Show what is to be seen now."""
        self.show(self.picture())

    def picture(self) -> Bundle:
        """What is to be seen now, where that is one output."""
        raise NotImplementedError

    def show(self, data: Bundle, metadata: Bundle | None = None, place: int = 0) -> None:
        """Put this in place of what an output shows, or show it in a new one.

        Args:
            data: what is shown.
            metadata: of the output.
            place: of the output among those of this renderer, from 0; at most the next one.
        """
        if self._captured:
            self.publish(data, metadata)
            return
        is_new = place == len(self._display_ids)
        if is_new:
            self._display_ids.append(uuid.uuid4().hex)
        self._blank.discard(place)
        self.publish(data, metadata, transient={"display_id": self._display_ids[place]}, update=not is_new)

    def blank_from(self, place: int) -> None:
        """Show nothing in the outputs from this one on, which cannot be taken away again."""
        for later in range(place, len(self._display_ids)):
            if later not in self._blank:
                self.show(_BLANK, place=later)
                self._blank.add(later)

    def publish(self, data: Bundle, metadata: Bundle | None = None, **kwargs: Any) -> None:
        """Send an output of its own."""
        publish = self._publish or self._shell.display_pub.publish
        publish(data, metadata or {}, **kwargs)

    def _interval(self) -> float:
        streaming_for = 0.0 if self._content_since is None else time.monotonic() - self._content_since
        growing = min(_LONGEST_INTERVAL, max(self.shortest_interval, streaming_for * _INTERVAL_PER_SECOND))
        return max(growing, self._paint_took * _INTERVALS_PER_PAINT)


def _is_painted_once(shell: InteractiveShell) -> bool:
    return is_captured(shell) or default_session().setting("paint").value == "once"


def provenance(answer: Answer) -> Bundle:
    """The record of an answer for an output's metadata, every known secret masked.

    The outputs have its text, its reasoning and its error, the cell has the question.
    """
    record = answer.to_dict()
    for name in ("text", "reasoning", "messages", "error"):
        record.pop(name, None)
    if answer.reasoned_by is not None:
        del record["attempts"][answer.reasoned_by.number - 1]["reasoning"]
    shown: Bundle = masked(record)
    return shown


def is_captured(shell: InteractiveShell) -> bool:
    """Whether ``%%capture`` or the like keeps the outputs: it would keep every repaint as an output of its own."""
    from IPython.core.displaypub import CapturingDisplayPublisher

    return isinstance(shell.display_pub, CapturingDisplayPublisher)
