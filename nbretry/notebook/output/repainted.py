"""Outputs of a cell that are repainted while their content grows.

The interval between repaints grows over time, so that the amount of data sent stays proportional to the content. It
also grows with the time that a paint takes, as the event loop is needed for the streams first. The last state is always
painted.
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
    """Base class of the renderers for a cell. Subclasses define what is painted.

    Args:
        shell: the shell whose running cell is painted into.
        captured: whether to paint only the last state, as is needed under ``%%capture``, which keeps each paint as an
            output of its own. None to find out from the shell and from the setting ``paint``.
        publish: sends outputs, with the arguments of `IPython.core.displaypub.DisplayPublisher.publish`; the shell's
            own by default.

    Attributes:
        shortest_interval: minimum time between two paints, in seconds.
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
        """Note that content has begun to arrive; only the first call counts.

        Args:
            anew: the content is of another kind than before: this call counts too, and the intervals start over from
                the shortest.
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
        """Paint now, in place of any scheduled paint."""
        self.cancel_paint()
        if self._captured:
            return
        begun = time.monotonic()
        self.paint()
        self._painted_at = time.monotonic()
        self._paint_took = self._painted_at - begun

    def cancel_paint(self) -> None:
        """Cancel a scheduled paint."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def paint(self) -> None:
        """Show the current state."""
        self.show(self.picture())

    def picture(self) -> Bundle:
        """Return the current state, for subclasses that show a single output."""
        raise NotImplementedError

    def show(self, data: Bundle, metadata: Bundle | None = None, place: int = 0) -> None:
        """Replace the content of an output, or add a new one.

        Args:
            data: the new content.
            metadata: metadata of the output.
            place: index of the output among those of this renderer, from 0; the number of outputs so far adds one.
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
        """Empty the outputs from this index on, as outputs cannot be removed."""
        for later in range(place, len(self._display_ids)):
            if later not in self._blank:
                self.show(_BLANK, place=later)
                self._blank.add(later)

    def publish(self, data: Bundle, metadata: Bundle | None = None, **kwargs: Any) -> None:
        """Send an output with the publisher of this renderer."""
        publish = self._publish or self._shell.display_pub.publish
        publish(data, metadata or {}, **kwargs)

    def _interval(self) -> float:
        streaming_for = 0.0 if self._content_since is None else time.monotonic() - self._content_since
        growing = min(_LONGEST_INTERVAL, max(self.shortest_interval, streaming_for * _INTERVAL_PER_SECOND))
        return max(growing, self._paint_took * _INTERVALS_PER_PAINT)


def _is_painted_once(shell: InteractiveShell) -> bool:
    return is_captured(shell) or default_session().setting("paint").value == "once"


def provenance(answer: Answer) -> Bundle:
    """Return the record of an answer for an output's metadata, with every known secret masked.

    It leaves out the text, the reasoning and the error, which are in the outputs, and the messages, as the question is
    in the cell.
    """
    record = answer.to_dict()
    for name in ("text", "reasoning", "messages", "error"):
        record.pop(name, None)
    if answer.reasoned_by is not None:
        del record["attempts"][answer.reasoned_by.number - 1]["reasoning"]
    shown: Bundle = masked(record)
    return shown


def is_captured(shell: InteractiveShell) -> bool:
    """Return whether ``%%capture`` or similar keeps the outputs; it would keep each repaint as an output of its own."""
    from IPython.core.displaypub import CapturingDisplayPublisher

    return isinstance(shell.display_pub, CapturingDisplayPublisher)
