"""Runs of one or two attempts as events and as answers, for tests of what is shown of them."""

from __future__ import annotations

from nbretry.answer import Answer, fold
from nbretry.errors import APIConnectionError, RetryProviderError
from nbretry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
)

SECRET = "a-secret-of-these-tests"


def run_of(name: str, *events: Event) -> Answer:
    return fold([RunStarted(0.0, (name,), "", ""), AttemptStarted(1, name, "", 0.0), *events])


def whole(name: str, text: str) -> Answer:
    return run_of(name, FirstContent(1, 0.5), TextDelta(1, text), AttemptSucceeded(1, "stop", 2.0), RunCompleted(2.0))


def failed(name: str, message: str, text: str = "") -> Answer:
    said = [FirstContent(1, 0.1), TextDelta(1, text)] if text else []
    failure = AttemptFailed(1, APIConnectionError(message), "stop", 0.0, 1.0)
    return run_of(name, *said, failure, RunFailed(RetryProviderError("x"), 1.0))


def stopped(name: str, text: str) -> Answer:
    return run_of(name, FirstContent(1, 0.5), TextDelta(1, text), RunCancelled(1.5))
