"""A file of JSON lines to which many runs write, several at once."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from nbretry._errors import ConfigError
from nbretry._utils.redaction import MaskedStream
from nbretry.answer import Answer
from nbretry.events import Event, TextDelta, from_json, to_json

__all__ = ["JsonLinesRenderer", "RunLog", "RunWriter", "Writable", "read_events", "read_runs"]

logger = logging.getLogger("nbretry")


class RunLog:
    """Where runs write their events, from any thread. A file that cannot be written any more ends the log, not a run.

    Args:
        path: of the file, which is made or added to.

    Raises:
        ConfigError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise ConfigError(f"the log cannot be written to {path}: {error.strerror or error}") from error

    def run(self) -> RunWriter:
        """What one run's events are handed to."""
        return RunWriter(self)

    def close(self) -> None:
        """Close the file; what runs write after that is lost."""
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


class RunWriter:
    """A renderer that writes one run's events to a log.

    Args:
        log: where to.
    """

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._renderer = JsonLinesRenderer(self, uuid.uuid4().hex[:12])

    def __call__(self, event: Event, answer: Answer) -> None:
        """Write one event."""
        self._renderer(event, answer)

    def write(self, text: str) -> None:
        """Write whole lines."""
        self._log.write(text)

    def flush(self) -> None:
        """Nothing to do: every line is written at once."""


class Writable(Protocol):
    """What takes text: a file, or part of one."""

    def write(self, text: str, /) -> object:
        """Take some text."""

    def flush(self) -> None:
        """Hand on what was taken."""


class JsonLinesRenderer:
    """Writes each event as one line of JSON, secrets masked.

    Args:
        out: where the lines go, flushed with every event.
        run: what the run is called in each line, where several runs write to one file.
    """

    def __init__(self, out: Writable, run: str | None = None) -> None:
        self._out = out
        self._run = {} if run is None else {"run": run}
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
        self._out.write(json.dumps({**self._run, **to_json(event)}, ensure_ascii=False) + "\n")
        self._out.flush()


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of such a log.

    Args:
        lines: of the log; empty ones are passed over.

    Raises:
        ValueError: a line is no event; the message has its number.
    """
    for _, event in _read(lines):
        yield event


def read_runs(lines: Iterable[str]) -> list[Answer]:
    """The answers of a log to which several runs have written, in the order in which they began.

    Args:
        lines: of the log; empty ones are passed over.

    Raises:
        ValueError: a line is no event; the message has its number.

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
