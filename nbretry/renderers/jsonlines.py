"""A run as JSON lines, one event a line: a log, a replay and a test's fixture in one format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Protocol

from nbretry._utils.redaction import MaskedStream
from nbretry.answer import Answer
from nbretry.events import Event, TextDelta, from_json, to_json

__all__ = ["JsonLinesRenderer", "Writable", "read_events", "read_runs"]


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
