"""One HTTP request to a provider: its endpoint, its contents and its timeout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbretry.retry.deadlines import Deadlines
from nbretry.types import Messages

__all__ = ["Ask", "Endpoint", "backstop"]

_GRACE = 0.5
"""Seconds after a deadline at which a read times out. By then the caller has given up and reported why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send a request, and with which key."""

    url: str
    api_key: str = field(repr=False)


@dataclass(slots=True)
class Ask:
    """One request, ready to be sent.

    Attributes:
        endpoint: where to send it.
        model: name of the model.
        messages: the conversation.
        stream: whether to stream the answer.
        parameters: everything else in the request's body.
        extra: the SDK's own options for a single request: ``extra_headers`` and ``extra_query``.
        timeout: seconds without new data after which the request fails.
        deadlines: time limits of the attempt that sends this request; without any limit if the caller sets none.
        sent: the parameters that were last sent.
    """

    endpoint: Endpoint
    model: str
    messages: Messages
    stream: bool
    parameters: dict[str, Any]
    extra: dict[str, Any]
    timeout: float
    deadlines: Deadlines = Deadlines()  # noqa: RUF009 (frozen)
    sent: Mapping[str, Any] = field(default_factory=dict)


def backstop(deadlines: Deadlines, timeout: float) -> float:
    """Return the seconds without new data after which a read times out, so that it ends if its caller has given up."""
    gaps = (deadlines.first_content, deadlines.idle)
    # One number has to cover both gaps, so if one of them has no limit, the usual timeout applies to it.
    longest = max(timeout if gap is None else gap + _GRACE for gap in gaps)
    return longest if deadlines.total is None else min(longest, deadlines.total + _GRACE)
