"""Write a run as plain text: the answer to one stream as it arrives, and notes about the run to another."""

from __future__ import annotations

from typing import TextIO

from nbretry._utils.redaction import MaskedStream, mask
from nbretry._utils.text import printable
from nbretry.answer import Answer
from nbretry.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSkipped,
    Event,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    StatusChanged,
    TextDelta,
)
from nbretry.renderers.report import attempt_line, summary

__all__ = ["ConsoleRenderer"]


class ConsoleRenderer:
    """Append-only view of a run.

    Args:
        out: stream for the answer; it is flushed after every fragment.
        err: stream for the status of providers, for attempts that brought no answer, and for the closing line.
    """

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._text = MaskedStream()
        self._in_line = False
        self._thinkers: set[int] = set()

    def __call__(self, event: Event, answer: Answer) -> None:
        """Write what this event adds."""
        match event:
            case TextDelta():
                self._write(self._text.feed(event.text))
            case StatusChanged():
                self._note(f"  … {answer.attempts[event.attempt - 1].path}: {event.text}")
            case ReasoningDelta() if event.attempt not in self._thinkers and not answer.text:
                self._thinkers.add(event.attempt)
                self._note(f"  … {answer.attempts[event.attempt - 1].path}: thinking")
            case AttemptFailed():
                attempt = answer.attempts[event.attempt - 1]
                self._note(f"  {attempt_line(attempt)}", in_between=attempt.contributed)
                if attempt.given_up:
                    self._write(
                        f"──── {attempt.path} broke off: the text above is given up, what follows is new ────\n"
                    )
            case AttemptSkipped() | AttemptCancelled():
                self._note(f"  {attempt_line(answer.attempts[event.attempt - 1])}", in_between=bool(answer.text))
            case RunCompleted() | RunFailed() | RunCancelled():
                self._note(f"  {'✓' if isinstance(event, RunCompleted) else '■'} {summary(answer)}")

    def _write(self, text: str) -> None:
        if text:
            self._out.write(printable(text))
            self._out.flush()
            self._in_line = not text.endswith("\n")

    def _note(self, line: str, in_between: bool = False) -> None:
        """Write a line about the run. With ``in_between``, the answer continues after it and gets no line break."""
        self._write(self._text.flush())
        if self._in_line and in_between:
            self._err.write("\n")
        elif self._in_line:
            self._out.write("\n")
            self._out.flush()
            self._in_line = False
        self._err.write(printable(mask(line)) + "\n")
        self._err.flush()
