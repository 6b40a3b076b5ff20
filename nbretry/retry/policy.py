"""What to do after a failure: a pure decision, without a clock, a sleep or a network.

It implements the retry table of the README row by row; `nbretry.retry.classify` finds the row of a failure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from nbretry.errors import ConfigError
from nbretry.events import NextStep
from nbretry.retry.classify import FailureKind, classify, retry_after_of

__all__ = ["Decision", "OnBreak", "RetryPolicy", "check_hedge_after"]

_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")

OnBreak: TypeAlias = Literal["raise", "restart", "continue"]
"""What happens when a stream breaks off after content; see `RetryPolicy`."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows a failed attempt.

    Attributes:
        next_step: ``retry`` (the same provider), ``fallback`` (the next one) or ``stop``.
        wait_for: seconds to wait first.
        again_after: with ``fallback``: seconds after which this provider may be asked again in the next round; None
            if it may not.
    """

    next_step: NextStep
    wait_for: float = 0.0
    again_after: float | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When nbretry retries a provider, and how often.

    ``max_attempts=3`` retries each provider before nbretry asks the next one. ``rounds=2`` asks the next one at once,
    and when all have been asked comes back to those with a temporary failure. You can combine both.

    Attributes:
        max_attempts: how often to ask one provider before the next one; at least once.
        backoff_initial: maximum wait before the first retry, in seconds.
        backoff_max: maximum wait before any retry in seconds, unless the provider sets the wait.
        retry_after_max: seconds; with a longer ``Retry-After``, nbretry asks the next provider at once.
        rounds: how often to go through the list of providers; at least once.
        on_break: what happens when a stream breaks off after content. ``raise`` ends the run. ``restart`` discards the
            text, and the next attempt answers from the start. ``continue`` passes the text to the next attempt, which
            continues it.

    Example:
        >>> from nbretry.testing import simulate
        >>> flaky = simulate("500, 'Hello' ' world'")
        >>> retry_provider = RetryProvider([flaky], policy=RetryPolicy(max_attempts=2, backoff_initial=0.1))
        >>> "".join(retry_provider.create_completion("", [{"role": "user", "content": "Anybody there?"}]))
        'Hello world'
    """

    max_attempts: int = 1
    backoff_initial: float = 0.5
    backoff_max: float = 8.0
    retry_after_max: float = 30.0
    rounds: int = 1
    on_break: OnBreak = "raise"

    def __post_init__(self) -> None:
        if self.on_break not in get_args(OnBreak):
            raise ConfigError(f"on_break is {self.on_break!r}, and should be one of {', '.join(get_args(OnBreak))}")

    def decide(
        self,
        exception: BaseException,
        *,
        attempts_of_provider: int,
        content_started: bool,
        random: Callable[[], float],
        this_round: int = 1,
    ) -> Decision:
        """Decide what follows a failure.

        Args:
            exception: the exception that the attempt failed with.
            attempts_of_provider: how often this provider was asked in this round, including the failed attempt.
            content_started: whether the attempt had sent content.
            random: returns a float from 0 to 1, for the jitter.
            this_round: the number of this round through the list, from 1.

        Example:
            >>> from nbretry.errors import RateLimitError
            >>> failure = RateLimitError("slow down", retry_after=2.0)
            >>> policy = RetryPolicy(max_attempts=3)
            >>> policy.decide(failure, attempts_of_provider=1, content_started=False, random=lambda: 0.5)
            Decision(next_step='retry', wait_for=2.0, again_after=None)
        """
        if content_started and self.on_break == "raise":
            return Decision("stop")
        kind = FailureKind.PASSING if content_started else classify(exception)
        if kind is FailureKind.REQUEST_WRONG:
            return Decision("stop")
        if kind in (FailureKind.KEY_REFUSED, FailureKind.PROVIDER_UNFIT):
            return Decision("fallback")
        wait = retry_after_of(exception)
        if wait is None:
            retry = (this_round - 1) * max(self.max_attempts, 1) + attempts_of_provider
            wait = self.backoff(retry) * random()
        elif wait > self.retry_after_max:
            return Decision("fallback")
        if attempts_of_provider < self.max_attempts:
            return Decision("retry", wait)
        return Decision("fallback", again_after=wait if this_round < self.rounds else None)

    def backoff(self, retry: int) -> float:
        """Return the maximum wait in seconds before this retry (from 1); it doubles each time, up to ``backoff_max``.

        >>> [RetryPolicy().backoff(retry) for retry in range(1, 7)]
        [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
        """
        return float(min(self.backoff_max, self.backoff_initial * 2.0 ** min(retry - 1, 64)))


def check_hedge_after(value: float | str | None) -> None:
    """Check that a setting is None, a number of seconds from 0, or a quantile such as ``p90``.

    Raises:
        ConfigError: it is none of these.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    if not (value is None or number or (isinstance(value, str) and _QUANTILE.fullmatch(value))):
        raise ConfigError(f"hedge_after is {value!r}, and should be seconds from 0, or a quantile such as 'p90'")
