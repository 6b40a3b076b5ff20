"""A file of JSON lines to which many runs write, several at once."""

from __future__ import annotations

import logging
import threading
import uuid
from pathlib import Path

from nbretry.answer import Answer
from nbretry.errors import ConfigError
from nbretry.events import Event
from nbretry.renderers.jsonlines import JsonLinesRenderer

__all__ = ["RunLog", "RunWriter"]

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
