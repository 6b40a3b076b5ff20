"""Budgets in US dollars: how much may be spent, and how much has been."""

from __future__ import annotations

import threading

from nbretry.errors import ConfigError

__all__ = ["Budget"]


class Budget:
    """A budget that runs share. Any thread may use it.

    Args:
        limit: US dollars; None for no limit.
        whole: a larger budget that this one is part of: what is spent here is also spent there, and both limits hold.

    Attributes:
        limit: as given.
        spent: US dollars spent so far, estimates included.

    Raises:
        ConfigError: the limit is not an amount of 0 or more.
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
        """Add an amount in US dollars to what is spent."""
        with self._lock:
            self.spent += amount
        if self._whole is not None:
            self._whole.spend(amount)

    @property
    def taken(self) -> float:
        """US dollars that are spent, or reserved for requests in progress."""
        return self.spent + self._set_aside

    def set_aside(self, amount: float) -> Budget | None:
        """Reserve this many US dollars for a request, so that requests made in the meantime do not spend them.

        Returns:
            None if the amount is reserved. If it would exceed a limit, the budget with that limit, which is this one or
            a larger one; then nothing is reserved.
        """
        with self._lock:
            if amount and self.limit is not None and self.taken + amount > self.limit:
                return self
            passed = None if self._whole is None else self._whole.set_aside(amount)
            if passed is None:
                self._set_aside += amount
            return passed

    def give_back(self, amount: float) -> None:
        """Release what `set_aside` has reserved. Call it when the cost of the request is known."""
        with self._lock:
            self._set_aside -= amount
        if self._whole is not None:
            self._whole.give_back(amount)
