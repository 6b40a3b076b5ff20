"""Time and randomness behind one interface, so that a test can replace them."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "Clock"]


class Clock(Protocol):
    """The time and randomness that the drivers of a run need."""

    def time(self) -> float:
        """Return the seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds from a clock that never runs backwards."""

    def sleep(self, seconds: float) -> None:
        """Wait for this many seconds, blocking the thread."""

    async def asleep(self, seconds: float) -> None:
        """Wait for this many seconds, suspending only this task."""

    def random(self) -> float:
        """Return a random float from 0 to 1."""


class _SystemClock:
    def __init__(self) -> None:
        self.time = time.time
        self.monotonic = time.perf_counter
        self.sleep = time.sleep
        self.asleep = asyncio.sleep
        self.random = random.random


SYSTEM_CLOCK: Clock = _SystemClock()
