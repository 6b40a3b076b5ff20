"""A run in which one provider fails and the next one answers, as events."""

from __future__ import annotations

from nbretry.errors import APIConnectionError
from nbretry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    FirstContent,
    RunCompleted,
    TextDelta,
    UsageReported,
)
from nbretry.types import Usage

FAILED = (
    AttemptStarted(1, "first", "big", 0.0),
    AttemptFailed(1, APIConnectionError("refused"), "fallback", 0.0, 0.5),
)


ANSWERED = (
    AttemptStarted(2, "second", "small", 0.5),
    FirstContent(2, 0.75),
    TextDelta(2, "An answer."),
    UsageReported(2, Usage(5, 3)),
    AttemptSucceeded(2, "stop", 2.0),
    RunCompleted(2.0),
)
