"""What may be spent, and what has been."""

from __future__ import annotations

import threading

from nbretry._errors import ConfigError

__all__ = ["Budget"]


class Budget:
    """A sum that runs share. Any thread may use it.

    Args:
        limit: US dollars; None where nothing limits them.
        whole: a larger one that this is a part of: what is spent here is spent there, and both limits hold.

    Attributes:
        limit: as given.
        spent: US dollars so far, estimates included.

    Raises:
        ConfigError: the limit is no amount of money.
    """

    def __init__(self, limit: float | None = None, whole: Budget | None = None) -> None:
        if limit is not None and not limit >= 0:
            raise ConfigError(f"max_cost is {limit!r}, and should be an amount of US dollars from 0")
        self.limit = limit
        self.spent: float = 0.0
        self._set_aside = 0.0
        self._whole = whole
        self._lock = threading.Lock()

    def spend(self, amount: float) -> None:
        """Add to what is spent, US dollars."""
        with self._lock:
            self.spent += amount
        if self._whole is not None:
            self._whole.spend(amount)

    @property
    def taken(self) -> float:
        """US dollars that are spent, or set aside for requests that are under way."""
        return self.spent + self._set_aside

    def set_aside(self, amount: float) -> Budget | None:
        """Keep so many US dollars for a request, so that others that are made meanwhile do not spend them.

        Returns:
            None; or this budget, or the larger one, whose limit that would pass: then nothing is kept.
        """
        with self._lock:
            if amount and self.limit is not None and self.taken + amount > self.limit:
                return self
            passed = None if self._whole is None else self._whole.set_aside(amount)
            if passed is None:
                self._set_aside += amount
            return passed

    def give_back(self, amount: float) -> None:
        """End what `set_aside` has kept, when it is known what the request has cost."""
        with self._lock:
            self._set_aside -= amount
        if self._whole is not None:
            self._whole.give_back(amount)
