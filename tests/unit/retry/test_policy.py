"""The retry table, row by row: what kind of failure an exception is, what follows it, and after how long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nbretry.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ContextLengthError,
    EmptyResponseError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    RecordedError,
    RetryNoProviderError,
    RetryProviderError,
    ServerError,
    StreamInterruptedError,
)
from nbretry.retry.classify import FailureKind, classify
from nbretry.retry.policy import Decision, RetryPolicy


class Foreign(Exception):
    """An exception of somebody else's, with whatever attributes it carries."""

    def __init__(self, message: str = "no", **carried: Any) -> None:
        super().__init__(message)
        vars(self).update(carried)


def response(status: int | None = None, **headers: Any) -> SimpleNamespace:
    return SimpleNamespace(status_code=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


PASSING, LIMITED, KEY, UNFIT, WRONG = (
    FailureKind.PASSING,
    FailureKind.RATE_LIMITED,
    FailureKind.KEY_REFUSED,
    FailureKind.PROVIDER_UNFIT,
    FailureKind.REQUEST_WRONG,
)

TABLE = [
    (APIConnectionError("no"), PASSING, "retry", "fallback"),
    (APITimeoutError("no"), PASSING, "retry", "fallback"),
    (ServerError("no", status_code=503), PASSING, "retry", "fallback"),
    (APIStatusError("no", status_code=409), PASSING, "retry", "fallback"),
    (EmptyResponseError("no"), PASSING, "retry", "fallback"),
    (StreamInterruptedError("no"), PASSING, "retry", "fallback"),
    (ProviderError("no"), UNFIT, "fallback", "fallback"),
    (RetryProviderError("no"), PASSING, "retry", "fallback"),
    (ValueError("no"), PASSING, "retry", "fallback"),
    (TimeoutError(), PASSING, "retry", "fallback"),
    (RateLimitError("no", status_code=429), LIMITED, "retry", "fallback"),
    (AuthenticationError("no", status_code=401), KEY, "fallback", "fallback"),
    (PermissionDeniedError("no", status_code=402), KEY, "fallback", "fallback"),
    (PermissionDeniedError("no", status_code=403), UNFIT, "fallback", "fallback"),
    (NotFoundError("no", status_code=404), UNFIT, "fallback", "fallback"),
    (ContextLengthError("no", status_code=400), UNFIT, "fallback", "fallback"),
    (RetryNoProviderError("no"), UNFIT, "fallback", "fallback"),
    (BadRequestError("no", status_code=400), WRONG, "stop", "stop"),
    (Foreign(status_code=500), PASSING, "retry", "fallback"),
    (Foreign(status=401), KEY, "fallback", "fallback"),
    (Foreign(code=429), LIMITED, "retry", "fallback"),
    (Foreign(http_status=404), UNFIT, "fallback", "fallback"),
    (Foreign(response=response(403)), UNFIT, "fallback", "fallback"),
    (Foreign(response=response(400)), WRONG, "stop", "stop"),
    (Foreign("the context window is too small", status_code=400), UNFIT, "fallback", "fallback"),
    (type("MissingAuthError", (Exception,), {})("no key"), KEY, "fallback", "fallback"),
    (Foreign("Response 401: no"), KEY, "fallback", "fallback"),
    (Foreign("Response 429: wait"), LIMITED, "retry", "fallback"),
    (Foreign("Response 400: bad"), WRONG, "stop", "stop"),
    (Foreign("Response 504: Gateway Timeout"), PASSING, "retry", "fallback"),
    (Foreign("the Response 401: was odd"), PASSING, "retry", "fallback"),
    (Foreign(status_code=200), PASSING, "retry", "fallback"),
    (Foreign(status_code="401"), PASSING, "retry", "fallback"),
    (Foreign(code=None, response=None), PASSING, "retry", "fallback"),
    (RecordedError("HTTPError", "no", status_code=422), WRONG, "stop", "stop"),
]


@pytest.mark.parametrize(("exception", "kind", "with_tries_left", "without"), TABLE, ids=lambda value: repr(value))
def test_each_row_of_the_table(exception: Exception, kind: FailureKind, with_tries_left: str, without: str) -> None:
    """Each exception is of its row's kind, and what follows it is what the row says."""
    policy = RetryPolicy(max_attempts=3)
    assert classify(exception) is kind
    for attempts, follows in ((1, with_tries_left), (2, with_tries_left), (3, without)):
        decision = policy.decide(exception, attempts_of_provider=attempts, content_started=False, random=lambda: 1.0)
        assert decision.next_step == follows
        assert (decision.wait_for > 0) is (follows == "retry")


@pytest.mark.parametrize("exception", [row[0] for row in TABLE], ids=lambda value: repr(value))
def test_after_content_the_run_stops(exception: Exception) -> None:
    """A failure after content ends the run, whatever it is and however many tries are left."""
    decision = RetryPolicy(max_attempts=9).decide(
        exception, attempts_of_provider=1, content_started=True, random=lambda: 1.0
    )
    assert decision == Decision("stop")


@pytest.mark.parametrize(("max_attempts", "asked"), [(-1, 1), (0, 1), (1, 1), (5, 5)])
def test_a_provider_is_asked_so_often_and_at_least_once(max_attempts: int, asked: int) -> None:
    """``max_attempts`` is how often one provider is asked; it is asked once in any case."""
    policy = RetryPolicy(max_attempts=max_attempts)
    steps = [
        policy.decide(ValueError(), attempts_of_provider=n, content_started=False, random=lambda: 0.5).next_step
        for n in range(1, 10)
    ]
    assert steps.index("fallback") + 1 == asked


@pytest.mark.parametrize(("chance", "waits"), [(1.0, [0.5, 1.0, 2.0, 3.0, 3.0]), (0.5, [0.25, 0.5, 1.0, 1.5, 1.5])])
def test_waits_are_doubled_up_to_the_longest(chance: float, waits: list[float]) -> None:
    """The longest wait is doubled each time up to ``backoff_max``, and chance says how much of it is waited."""
    policy = RetryPolicy(max_attempts=9, backoff_initial=0.5, backoff_max=3.0)
    found = [
        policy.decide(ValueError(), attempts_of_provider=n, content_started=False, random=lambda: chance).wait_for
        for n in range(1, 6)
    ]
    assert found == waits


def test_a_wait_never_grows_beyond_what_a_float_can_hold() -> None:
    """The hundred thousandth retry is waited for as long as the tenth."""
    assert RetryPolicy(backoff_max=8.0).backoff(100_000) == 8.0


@pytest.mark.parametrize(
    ("retry_after", "decision"),
    [
        (0, Decision("retry", 0.0)),
        (7, Decision("retry", 7.0)),
        (30, Decision("retry", 30.0)),
        (30.5, Decision("fallback")),
        (86400, Decision("fallback")),
    ],
)
@pytest.mark.parametrize("kind", [RateLimitError, ServerError])
def test_what_the_provider_said_is_waited_for_exactly(kind: Any, retry_after: float, decision: Decision) -> None:
    """``retry_after`` within the cap is waited for without jitter; beyond it the next provider is asked at once."""
    exception = kind("no", status_code=429, retry_after=retry_after)
    policy = RetryPolicy(max_attempts=3, retry_after_max=30.0)
    found = policy.decide(exception, attempts_of_provider=1, content_started=False, random=lambda: 0.123)
    assert found == decision


def test_a_date_far_away_leads_to_the_next_provider() -> None:
    """A foreign 429 with a date beyond the cap is not waited for."""
    exception = Foreign(response=response(429, retry_after="Fri, 31 Dec 9999 23:59:59 GMT"))
    policy = RetryPolicy(max_attempts=3)
    decision = policy.decide(exception, attempts_of_provider=1, content_started=False, random=lambda: 1.0)
    assert decision == Decision("fallback")


def test_a_policy_is_a_value() -> None:
    """Two policies with the same numbers are equal, and none can be changed."""
    assert RetryPolicy(max_attempts=2) == RetryPolicy(max_attempts=2)
    with pytest.raises(AttributeError):
        RetryPolicy().max_attempts = 3  # type: ignore[misc]
