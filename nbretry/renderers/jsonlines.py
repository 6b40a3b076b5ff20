"""A run as JSON lines, one event a line: a log, a replay and a test's fixture in one format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TextIO

from nbretry.answer import Answer
from nbretry.events import Event, TextDelta, from_json, to_json
from nbretry.redaction import MaskedStream

__all__ = ["JsonLinesRenderer", "read_events"]


class JsonLinesRenderer:
    """Writes each event as one line of JSON, secrets masked.

    Args:
        out: where the lines go, flushed with every event.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._text = MaskedStream()
        self._attempt = 0

    def __call__(self, event: Event, answer: Answer) -> None:
        """Write one event; of a text that could be the beginning of a secret, only once the rest has told."""
        if isinstance(event, TextDelta):
            self._attempt = event.attempt
            text = self._text.feed(event.text)
            if text:
                self._write(TextDelta(event.attempt, text))
            return
        rest = self._text.flush()
        if rest:
            self._write(TextDelta(self._attempt, rest))
        self._write(event)

    def _write(self, event: Event) -> None:
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
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError(f"not an event of a run: {line.strip()}")
                yield from_json(record)
            except ValueError as error:
                raise ValueError(f"line {number} of the log: {error}") from error
