"""How each provider has done recently, and whether it is cooling down: a circuit breaker across many runs.

A provider that keeps failing cools down, for longer each time. Then one question tries it, and if that succeeds it is
available to all others again. A refused key or a long ``Retry-After`` starts a cooldown at once.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from nbretry._utils.clock import SYSTEM_CLOCK, Clock
from nbretry._utils.exceptions import describe, status_of
from nbretry.errors import APIConnectionError, APITimeoutError, ConfigError
from nbretry.retry.classify import FailureKind, classify, retry_after_of
from nbretry.retry.contract import innermost

__all__ = ["Cooldown", "Health", "HealthState", "ProviderHealth"]

HealthState: TypeAlias = Literal["ready", "resting", "on trial"]

_TIMES_KEPT = 200
_TIMES_NEEDED = 5


@dataclass(frozen=True, slots=True)
class Cooldown:
    """When a provider cools down, and for how long.

    Attributes:
        failures: number of failures in a row that start a cooldown. Failures that are not the provider's fault do not
            count, such as a wrong request (400) or an unknown model (404).
        rest_initial: length of the first cooldown in seconds; each one after a failed trial is twice as long.
        rest_max: maximum length of a cooldown in seconds, also for a long ``Retry-After``.
        retry_after_min: seconds; a longer ``Retry-After`` starts a cooldown.

    Raises:
        ConfigError: a number is not above 0.

    Example:
        >>> import asyncio
        >>> from nbretry.testing import simulate
        >>> providers = [simulate("503", name="busy"), simulate(name="good")]
        >>> retry_provider = RetryProvider(providers, shuffle=False, cooldown=Cooldown(failures=1, rest_initial=60))
        >>> answer = asyncio.run(retry_provider.answer("", "Anybody there?"))
        >>> [health.state for health in retry_provider.health()]
        ['resting', 'ready']
    """

    failures: int = 3
    rest_initial: float = 10.0
    rest_max: float = 600.0
    retry_after_min: float = 30.0

    def __post_init__(self) -> None:
        for name in ("failures", "rest_initial", "rest_max", "retry_after_min"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"the cooldown's {name} is {getattr(self, name)!r}, and should be above 0")

    def rest_after(self, exception: BaseException, failures: int, trips: int) -> float | None:
        """Return the length in seconds of the cooldown after a failure; None if the failure starts none.

        Args:
            exception: the failure.
            failures: number of failures in a row, this one included.
            trips: number of cooldowns in a row, if the failure ended a trial; otherwise 0.
        """
        if not _is_the_providers_own(exception):
            return None
        said = retry_after_of(exception)
        if said is not None and said > self.retry_after_min:
            return min(said, self.rest_max)
        refused = classify(exception) is FailureKind.KEY_REFUSED
        if refused or failures >= self.failures or trips:
            return min(self.rest_max, self.rest_initial * 2.0 ** min(trips, 32))
        return None


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """How one provider is doing.

    Attributes:
        provider: its name.
        state: ``ready``, ``resting`` while it is cooling down, or ``on trial`` while one question tries it afterwards.
        resting_for: seconds left of its cooldown.
        failures: number of failures in a row that count towards a cooldown.
        last_error: ``Type: message`` of the last failure, secrets masked; None after an answer.
        first_content: seconds to the first content, the last time that there was any.
        unreachable: whether the last failure was that the provider could not be connected to.

    Example:
        >>> ProviderHealth("groq", "resting", resting_for=12.0, failures=3).state
        'resting'
    """

    provider: str
    state: HealthState = "ready"
    resting_for: float = 0.0
    failures: int = 0
    last_error: str | None = None
    first_content: float | None = None
    unreachable: bool = False


class _Record:
    __slots__ = (
        "credentials",
        "failures",
        "first_content",
        "last_error",
        "provider",
        "trial",
        "trips",
        "unreachable",
        "until",
    )

    def __init__(self, provider: Any, credentials: Any) -> None:
        self.provider = provider  # see `Health._hold`: the id must not come to mean another object
        self.credentials = credentials
        self.failures = 0
        self.trips = 0
        self.until: float | None = None
        self.trial: object | None = None
        self.last_error: str | None = None
        self.first_content: float | None = None
        self.unreachable = False


class Health:
    """The record of all providers, shared by the runs of one `RetryProvider` or of one session. Any thread may use it.

    Args:
        cooldown: when providers cool down; None for never.
        clock: the clock that measures cooldowns.
    """

    def __init__(self, cooldown: Cooldown | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self.cooldown = cooldown
        self._clock = clock
        self._records: dict[int, _Record] = {}
        self._times: deque[float] = deque(maxlen=_TIMES_KEPT)
        self._lock = threading.Lock()

    def of(self, provider: Any, name: str) -> ProviderHealth:
        """Return how a provider is doing.

        Args:
            provider: the provider itself, which identifies its record.
            name: the name to put into the result.
        """
        with self._lock:
            record = self._records.get(id(innermost(provider)))
            if record is None or record.credentials != _credentials(provider):
                return ProviderHealth(name)
            resting = self._resting_for(record)
            state: HealthState = "resting" if resting else "on trial" if record.trial is not None else "ready"
            return ProviderHealth(
                name, state, resting, record.failures, record.last_error, record.first_content, record.unreachable
            )

    def reset(self, providers: Sequence[Any] | None = None) -> None:
        """Forget every failure and end every cooldown.

        Args:
            providers: the providers to reset; all by default.
        """
        with self._lock:
            if providers is None:
                self._records.clear()
            for provider in providers or ():
                self._records.pop(id(innermost(provider)), None)

    def may_ask(self, provider: Any, asker: object = None, *, anyway: bool = False) -> tuple[bool, float]:
        """Return whether a run may ask a provider now, and how many seconds of its cooldown are left if not.

        The first run after a cooldown may ask, and is the trial of the provider: until it ends, no other run may.

        Args:
            provider: the provider to ask.
            asker: the object that asks. A trial ends with the outcome that the same object reports.
            anyway: ask even if it is cooling down.
        """
        if self.cooldown is None:
            return True, 0.0
        with self._lock:
            record = self._record(provider)
            if record.until is None:
                return True, 0.0
            resting = self._resting_for(record)
            if anyway or not (resting or record.trial is not None):
                record.trial = asker or self
                return True, 0.0
            return False, resting

    def succeeded(self, provider: Any) -> None:
        """Record that a provider has answered, and forget its failures and cooldowns."""
        with self._lock:
            record = self._record(provider)
            record.failures = record.trips = 0
            record.until = record.last_error = record.trial = None
            record.unreachable = False

    def failed(self, provider: Any, exception: BaseException, asker: object = None) -> None:
        """Record that a provider has failed, and start a cooldown if there is a reason to."""
        with self._lock:
            record = self._record(provider)
            on_trial = record.trial is not None and record.trial is (asker or self)
            record.trial = None if on_trial else record.trial
            record.last_error = describe(exception)
            record.unreachable = isinstance(exception, APIConnectionError) and not isinstance(
                exception, APITimeoutError
            )
            if _is_the_providers_own(exception):
                record.failures += 1
            if self.cooldown is None:
                return
            rest = self.cooldown.rest_after(exception, record.failures, record.trips if on_trial else 0)
            if rest is None:
                record.until = None if on_trial else record.until
                return
            until = self._clock.monotonic() + rest
            if on_trial or record.until is None:
                record.trips += 1
                record.until = until
            else:  # one of several questions in progress when the cooldown began
                record.until = max(record.until, until)

    def abandoned(self, provider: Any, asker: object = None) -> None:
        """Record that a run stopped asking a provider, but not because of the provider."""
        with self._lock:
            record = self._records.get(id(innermost(provider)))
            if record is not None and record.trial is (asker or self):
                record.trial = None

    def content_came(self, provider: Any, seconds: float) -> None:
        """Record how many seconds the first content took."""
        with self._lock:
            self._record(provider).first_content = seconds
            self._times.append(seconds)

    def first_content_quantile(self, quantile: float) -> float | None:
        """Return the seconds within which this share of first contents came; None while fewer than five are known.

        Args:
            quantile: 0 to 1.
        """
        with self._lock:
            times = sorted(self._times)
        if len(times) < _TIMES_NEEDED:
            return None
        return times[min(len(times) - 1, int(quantile * len(times)))]

    def _record(self, provider: Any) -> _Record:
        inner = innermost(provider)
        credentials = _credentials(provider)
        record = self._records.get(id(inner))
        if record is None or record.credentials != credentials:
            record = self._records[id(inner)] = _Record(self._hold(inner), credentials)
        return record

    def _hold(self, provider: Any) -> Any:
        """Return what ties a record to its provider: a weak reference, which removes the record with the provider.

        If the provider does not support weak references, it is the provider itself.
        """
        records, key = self._records, id(provider)
        try:
            return weakref.ref(provider, lambda _: records.pop(key, None))
        except TypeError:  # an instance of a class with `__slots__`
            return provider

    def _resting_for(self, record: _Record) -> float:
        return 0.0 if record.until is None else max(0.0, record.until - self._clock.monotonic())


def _is_the_providers_own(exception: BaseException) -> bool:
    kind = classify(exception)
    if kind is FailureKind.KEY_REFUSED:
        # Without a status nothing was sent: the key is not set, and may be set at any moment.
        return status_of(exception) is not None
    return kind in (FailureKind.PASSING, FailureKind.RATE_LIMITED)


def _credentials(provider: Any) -> Any:
    """Return what identifies a provider's key and endpoint; its record starts anew when either changes."""
    return getattr(innermost(provider), "credentials", None)
