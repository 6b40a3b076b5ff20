"""JSON Lines logs: a file that many runs write to, several at once, and the functions that read it back."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from nbretry._utils.redaction import MaskedStream
from nbretry.answer import Answer
from nbretry.errors import ConfigError
from nbretry.events import Event, TextDelta, from_json, to_json

__all__ = ["JsonLinesRenderer", "RunLog", "Writable", "read_events", "read_runs"]

logger = logging.getLogger("nbretry")


class RunLog:
    """A log file that runs write their events to, from any thread.

    If a write fails, the log ends with a warning and the runs continue.

    Args:
        path: path of the file; nbretry creates it, or appends to it if it exists.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise ConfigError(f"the log cannot be written to {path}: {error.strerror or error}") from error

    def run(self) -> JsonLinesRenderer:
        """Return a renderer that writes the events of one run to this log."""
        return JsonLinesRenderer(self, uuid.uuid4().hex[:12])

    def close(self) -> None:
        """Close the file; later events are discarded."""
        with self._lock:
            self._file.close()

    def write(self, text: str) -> None:
        """Write whole lines."""
        with self._lock:
            if self._file.closed:
                return
            try:
                self._file.write(text)
                self._file.flush()
            except OSError as error:
                logger.warning("the log in %s has ended: %s", self.path, error)
                self._file.close()

    def flush(self) -> None:
        """Do nothing: `write` flushes the file."""


class Writable(Protocol):
    """An object that text can be written to, such as a file."""

    def write(self, text: str, /) -> object:
        """Write text."""

    def flush(self) -> None:
        """Flush what was written."""


class JsonLinesRenderer:
    """A renderer that writes each event as one line of JSON, with secrets masked.

    Args:
        out: the file to write to; it is flushed after every event.
        run: identifier of the run to put into each line, needed if several runs write to one file.
    """

    def __init__(self, out: Writable, run: str | None = None) -> None:
        self._out = out
        self._run = {} if run is None else {"run": run}
        self._text = MaskedStream()
        self._attempt = 0

    def __call__(self, event: Event, answer: Answer) -> None:
        """Write one event. Text that may be the beginning of a secret is held back until more text decides that."""
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
        self._out.write(json.dumps({**self._run, **to_json(event)}, ensure_ascii=False) + "\n")
        self._out.flush()


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a JSON Lines log.

    Args:
        lines: lines of the log; blank lines are skipped.

    Raises:
        ValueError: a line is not an event; the message contains the line number.
    """
    for _, event in _read(lines):
        yield event


def read_runs(lines: Iterable[str]) -> list[Answer]:
    """Return the answers of a log that several runs have written to, in the order in which the runs began.

    Args:
        lines: lines of the log; blank lines are skipped.

    Raises:
        ValueError: a line is not an event; the message contains the line number.

    Example:
        >>> import asyncio
        >>> from nbretry.session import Question, Session
        >>> from nbretry.testing import simulate
        >>> session = Session()
        >>> session.start_log("runs.jsonl")  # as %nbretry log on runs.jsonl does
        >>> question = Question("Anybody there?", providers=[simulate("'Hello'")])
        >>> answer = asyncio.run(session.ask(question, paint=lambda event, answer: None))
        >>> session.stop_log()
        >>> with open("runs.jsonl", encoding="utf-8") as log:
        ...     read_runs(log)
        [<Answer completed from simulated, 1 attempts: 'Hello'>]
    """
    answers: dict[str, Answer] = {}
    for run, event in _read(lines):
        answers[run] = answers.get(run, Answer()).apply(event)
    return list(answers.values())


def _read(lines: Iterable[str]) -> Iterator[tuple[str, Event]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError(f"not an event of a run: {line.strip()}")
                run = str(record.pop("run", ""))
                yield run, from_json(record)
            except ValueError as error:
                raise ValueError(f"line {number} of the log: {error}") from error
