"""Base class of renderers whose outputs are repainted while their content grows.

The interval between repaints grows over time, and with what a paint sends, so that the amount of data stays in
proportion to the content. It also grows with the time that a paint takes, as the event loop is needed for the streams
first. The last state is always painted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from nbretry._utils.exceptions import describe
from nbretry._utils.serialization import masked
from nbretry.answer import Answer
from nbretry.events import Event, RunCompleted, RunFailed
from nbretry.notebook.output.places import Bundle, Places, is_captured
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Bundle", "RepaintedOutput", "WholeAnswer", "is_captured", "provenance"]

Drawn = TypeVar("Drawn")

logger = logging.getLogger("nbretry")

_DRAWN_IN_A_THREAD = 20_000
"""Characters from which the event loop would be held too long by drawing a whole answer."""

_LONGEST_INTERVAL = 1.0
_INTERVAL_PER_SECOND = 0.025
_INTERVALS_PER_PAINT = 5
_CHARACTERS_PER_SECOND = 18_000
"""What repaints may send at most; what is longer is repainted less often."""


class RepaintedOutput:
    """Base class of the renderers for a cell. Subclasses define what is painted.

    Args:
        shell: the shell whose running cell is painted into.
        captured: whether to paint only the last state, as is needed under ``%%capture``, which keeps each paint as an
            output of its own. None to find out from the shell and from the setting ``paint``.
        publish: as for `nbretry.notebook.output.places.Places`.

    Attributes:
        shortest_interval: minimum time between two paints, in seconds.
        places: the outputs.
    """

    shortest_interval = 0.1

    def __init__(
        self, shell: InteractiveShell, captured: bool | None = None, publish: Callable[..., None] | None = None
    ) -> None:
        self.places = Places(shell, _is_painted_once(shell) if captured is None else captured, publish)
        self._painted_at = 0.0
        self._paint_took = 0.0
        self._painted_size = 0
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
        if self.places.once or self._timer is not None:
            return
        wait = self._painted_at + self._interval() - time.monotonic()
        if wait <= 0:
            self._repaint()
        else:
            self._timer = asyncio.get_running_loop().call_later(wait, self._repaint)

    def _repaint(self) -> None:
        try:
            self.paint_now()
        except Exception as error:  # the answer goes on, and the whole of it is painted at its end
            logger.warning("an answer that arrives could not be shown: %s", describe(error))

    def paint_now(self) -> None:
        """Paint now, in place of any scheduled paint."""
        self.cancel_paint()
        if self.places.once:
            return
        begun = time.monotonic()
        self._painted_size = 0
        self.paint()
        self._painted_size += self.places.painted()
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

    def show(self, data: Bundle, place: int = 0) -> None:
        """Replace the content of an output, or add a new one.

        Args:
            data: the new content.
            place: index of the output among those of this renderer, from 0; the number of outputs so far adds one.
        """
        self._painted_size += sum(len(form) for form in data.values())
        self.places.show(place, data)

    def _interval(self) -> float:
        streaming_for = 0.0 if self._content_since is None else time.monotonic() - self._content_since
        growing = min(_LONGEST_INTERVAL, max(self.shortest_interval, streaming_for * _INTERVAL_PER_SECOND))
        return max(growing, self._paint_took * _INTERVALS_PER_PAINT, self._painted_size / _CHARACTERS_PER_SECOND)


class WholeAnswer(Generic[Drawn]):
    """The drawing of an answer that has ended; that of a long one can be made in a thread.

    Args:
        draw: draws a text.
    """

    def __init__(self, draw: Callable[[str], Drawn]) -> None:
        self._draw = draw
        self._drawn: tuple[str, Drawn] | None = None

    def prepare(self, event: Event, answer: Answer) -> Callable[[], None] | None:
        """Return what draws a long answer, for a thread, so that the event loop can read other streams and clicks."""
        if not isinstance(event, RunCompleted | RunFailed) or len(answer.text) < _DRAWN_IN_A_THREAD:
            return None

        def draw() -> None:
            self._drawn = answer.text, self._draw(answer.text)

        return draw

    def of(self, text: str) -> Drawn:
        """Return the drawing of this text."""
        if self._drawn is not None and self._drawn[0] == text:
            return self._drawn[1]
        return self._draw(text)


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
