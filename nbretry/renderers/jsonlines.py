"""A run as JSON lines, one event a line: a log, a replay and a test's fixture in one format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TextIO

from nbretry.answer import Answer
from nbretry.events import Event, from_json, to_json

__all__ = ["JsonLinesRenderer", "read_events"]


class JsonLinesRenderer:
    """Writes each event as one line of JSON, secrets masked.

    Args:
        out: where the lines go, flushed with every event.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: Event, answer: Answer) -> None:
        """Write one event."""
        self._out.write(json.dumps(to_json(event), ensure_ascii=False) + "\n")
        self._out.flush()


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of such a log.

    Args:
        lines: of the log; empty ones are passed over.

    Raises:
        ValueError: a line is no event; the message has its number.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield from_json(json.loads(line))
            except ValueError as error:
                raise ValueError(f"line {number} of the log: {error}") from error
