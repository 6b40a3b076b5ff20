"""What an exception says: its kind, and when to come back."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry.errors import (
    ServerError,
)
from nbretry.retry.classify import FailureKind, classify, parse_retry_after, retry_after_of

NOON = datetime(2026, 10, 21, 12, 0, 0, tzinfo=UTC)


class Foreign(Exception):
    """An exception of somebody else's, with whatever attributes it carries."""

    def __init__(self, message: str = "no", **carried: Any) -> None:
        super().__init__(message)
        vars(self).update(carried)


def response(status: int | None = None, **headers: Any) -> SimpleNamespace:
    return SimpleNamespace(status_code=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Wed, 21 Oct 2026 12:00:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 11:00:00 GMT", 0.0),
        ("Wed, 21 Oct 2026 14:00:30 +0200", 30.0),
        ("Wed, 21 Oct 2026 12:00:30 -0000", 30.0),
        ("Wednesday, 21-Oct-26 12:00:30 GMT", 30.0),
        ("soon", None),
        ("", None),
        ("Wed, 99 Foo 2026", None),
        ("Wed, 21 Oct 2026 12:00:30 +99999999999", None),
        ("nan", None),
        (None, None),
        (7, None),
    ],
)
def test_a_retry_after_header_is_seconds_or_a_date(value: Any, seconds: float | None) -> None:
    """Both forms of the header are read, and what is neither is as if it were not there."""
    assert parse_retry_after(value, NOON) == seconds


@given(st.text())
def test_no_header_can_do_harm(value: str) -> None:
    """Whatever a server sends, the outcome is None or a number of seconds that is not negative."""
    seconds = parse_retry_after(value, NOON)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("exception", "seconds"),
    [
        (Foreign(retry_after=3), 3.0),
        (Foreign(retry_after=-3), 0.0),
        (Foreign(retry_after="3"), None),
        (Foreign(retry_after=True), None),
        (Foreign(response=response(429, retry_after="3")), 3.0),
        (Foreign(response=response(429, Retry_After="3")), 3.0),
        (Foreign(response=response(429, retry_after=3)), 3.0),
        (Foreign(response=response(429, retry_after_ms="1500", retry_after="9")), 1.5),
        (Foreign(response=response(429, retry_after_ms="x", retry_after="9")), 9.0),
        (Foreign(response=response(429)), None),
        (Foreign(response=SimpleNamespace(status_code=429, headers=None)), None),
        (Foreign(response=None), None),
        (Foreign(status=429, headers={"Retry-After": "4"}), 4.0),
        (Foreign(), None),
        (ServerError("no", retry_after=2.0), 2.0),
    ],
)
def test_foreign_exceptions_say_when_to_come_back(exception: Exception, seconds: float | None) -> None:
    """``retry_after`` of the exception counts first, then the headers of its response, or its own."""
    assert retry_after_of(exception) == seconds


class OddError(Exception):
    """What a stranger's exception may carry under the names that are looked for."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__("odd")
        vars(self).update(attributes)

    @property
    def status(self) -> int:
        raise RuntimeError("not known yet")


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"retry_after": 10**400},
        {"headers": {"retry-after": OddError}},
        {"headers": SimpleNamespace(items=5)},
    ],
    ids=str,
)
def test_odd_exceptions_are_failures_like_others(attributes: dict[str, Any]) -> None:
    """What cannot be read from a stranger's exception is not there, and the run goes on."""
    exception = OddError(**attributes)
    assert classify(exception) is FailureKind.PASSING
    assert retry_after_of(exception) is None
