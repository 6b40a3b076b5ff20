"""How each provider has done lately, and whether it rests: a circuit breaker over many runs.

A provider that keeps failing rests for a while that grows; then one question tries it, and all others follow if that
went well. A refused key and a long ``Retry-After`` send it to rest at once.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from nbretry._errors import APIConnectionError, APITimeoutError, ConfigError, describe, status_of
from nbretry._utils.clock import SYSTEM_CLOCK, Clock
from nbretry.retry.classify import FailureKind, classify, retry_after_of
from nbretry.retry.contract import innermost

__all__ = ["Cooldown", "Health", "HealthState", "ProviderHealth"]

HealthState: TypeAlias = Literal["ready", "resting", "on trial"]

_TIMES_KEPT = 200
_TIMES_NEEDED = 5


@dataclass(frozen=True, slots=True)
class Cooldown:
    """When a provider rests, and for how long.

    Attributes:
        failures: how many failures in a row send a provider to rest. Those of the request itself (400), of a model that
            is unknown there (404) and the like do not count.
        rest_initial: seconds of the first rest; each that follows a failed trial is twice as long.
        rest_max: seconds of the longest rest, a long ``Retry-After`` included.
        retry_after_min: seconds; a ``Retry-After`` beyond it is a rest.

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
        """Seconds to rest after a failure; None where there is no reason to.

        Args:
            exception: the failure.
            failures: how many there have been in a row, this one included.
            trips: how many rests there have been in a row.
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
        state: ``ready``, ``resting``, or ``on trial`` while one question tries it after a rest.
        resting_for: seconds that it still rests.
        failures: failures in a row, of those that count towards a rest.
        last_error: ``Type: message`` of the last failure, secrets masked; None after an answer.
        first_content: seconds to the first content, the last time that there was any.
        unreachable: whether the last failure was that no connection could be had.

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
        self.provider = provider  # held, so that its id is not given to another object
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
        cooldown: when providers rest; None for a record by which nobody ever rests.
        clock: what rests are measured by.
    """

    def __init__(self, cooldown: Cooldown | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self.cooldown = cooldown
        self._clock = clock
        self._records: dict[int, _Record] = {}
        self._times: deque[float] = deque(maxlen=_TIMES_KEPT)
        self._lock = threading.Lock()

    def of(self, provider: Any, name: str) -> ProviderHealth:
        """How a provider is doing.

        Args:
            provider: the provider itself, by which it is known.
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
        """Forget every failure and end every rest.

        Args:
            providers: whose; all by default.
        """
        with self._lock:
            if providers is None:
                self._records.clear()
            for provider in providers or ():
                self._records.pop(id(innermost(provider)), None)

    def may_ask(self, provider: Any, asker: object = None, *, anyway: bool = False) -> tuple[bool, float]:
        """Whether a run may ask a provider now, and if not, how many seconds it still rests.

        The first run after a rest may, and is its trial: until that has ended, others may not.

        Args:
            provider: whom to ask.
            asker: who asks, by which a trial knows its own end.
            anyway: ask it although it rests.
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
        """A provider has answered: it is as good as new."""
        with self._lock:
            record = self._record(provider)
            record.failures = record.trips = 0
            record.until = record.last_error = record.trial = None
            record.unreachable = False

    def failed(self, provider: Any, exception: BaseException, asker: object = None) -> None:
        """A provider has failed; it may rest now."""
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
            else:  # one of several questions that were under way when the rest began
                record.until = max(record.until, until)

    def abandoned(self, provider: Any, asker: object = None) -> None:
        """A run has stopped asking a provider, through no fault of its own."""
        with self._lock:
            record = self._records.get(id(innermost(provider)))
            if record is not None and record.trial is (asker or self):
                record.trial = None

    def content_came(self, provider: Any, seconds: float) -> None:
        """Take note of how long the first content took."""
        with self._lock:
            self._record(provider).first_content = seconds
            self._times.append(seconds)

    def first_content_quantile(self, quantile: float) -> float | None:
        """Seconds within which this share of first contents came; None while fewer than five are known.

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
        """What keeps a record true to its provider: it goes with the provider, which it does not keep alive."""
        records, key = self._records, id(provider)
        try:
            return weakref.ref(provider, lambda _: records.pop(key, None))
        except TypeError:  # a class with `__slots__`
            return provider

    def _resting_for(self, record: _Record) -> float:
        return 0.0 if record.until is None else max(0.0, record.until - self._clock.monotonic())


def _is_the_providers_own(exception: BaseException) -> bool:
    kind = classify(exception)
    if kind is FailureKind.KEY_REFUSED:
        # Without a status nothing was sent: a key that is not set can be set at any moment.
        return status_of(exception) is not None
    return kind in (FailureKind.PASSING, FailureKind.RATE_LIMITED)


def _credentials(provider: Any) -> Any:
    """By what a provider says that it is asked with another key or at another place than before: then all is new."""
    return getattr(innermost(provider), "credentials", None)
