"""Time and chance, in one place so that a test can bring its own."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol

__all__ = ["SYSTEM_CLOCK", "Clock"]


class Clock(Protocol):
    """What the drivers of a run need of the outer world."""

    def time(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""

    def sleep(self, seconds: float) -> None:
        """Wait, holding up this thread."""

    async def asleep(self, seconds: float) -> None:
        """Wait, holding up this task."""

    def random(self) -> float:
        """A float from 0 to 1."""


class _SystemClock:
    def __init__(self) -> None:
        self.time = time.time
        self.monotonic = time.perf_counter
        self.sleep = time.sleep
        self.asleep = asyncio.sleep
        self.random = random.random


SYSTEM_CLOCK: Clock = _SystemClock()
