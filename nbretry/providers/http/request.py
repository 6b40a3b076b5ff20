""""""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbretry.retry.deadlines import Deadlines
from nbretry.types import Messages

__all__ = ["Ask", "Endpoint"]


_GRACE = 0.5
"""Seconds after a deadline at which a read ends by itself: whoever asks has given up by then, and told why."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send a request, and with which key."""

    url: str
    api_key: str = field(repr=False)


@dataclass(slots=True)
class Ask:
    """One request, as it is going to be sent.

    Attributes:
        endpoint: where to.
        model: name of the model.
        messages: the conversation.
        stream: whether the answer is wanted in pieces.
        parameters: everything else that goes into the request's body.
        extra: the SDK's own options for one request: ``extra_headers`` and ``extra_query``.
        timeout: seconds without anything new that are allowed.
        deadlines: of the attempt that this request is, where whoever asks has some.
        sent: the parameters that were sent last.
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


def _backstop(deadlines: Deadlines, timeout: float) -> float:
    """Seconds without anything new after which a read ends, so that none is left that nobody waits for any more."""
    gaps = (deadlines.first_content, deadlines.idle)
    # One number stands for both gaps, so where there is no limit for one of them, the usual timeout counts.
    longest = max(timeout if gap is None else gap + _GRACE for gap in gaps)
    return longest if deadlines.total is None else min(longest, deadlines.total + _GRACE)
