"""How many threads the local model takes in a container."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from nbretry.providers.local.child import processor_limit, spare_processors

NEWER = "cpu.max"
QUOTA, PERIOD = "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, math.inf),
        ({NEWER: "max 100000\n"}, math.inf),
        ({NEWER: "100000 100000\n"}, 1.0),
        ({NEWER: "250000 100000\n"}, 2.5),
        ({NEWER: "\n"}, math.inf),
        ({NEWER: "100000 0\n"}, math.inf),
        ({QUOTA: "-1\n", PERIOD: "100000\n"}, math.inf),
        ({QUOTA: "50000\n", PERIOD: "100000\n"}, 0.5),
        ({QUOTA: "50000\n"}, math.inf),
        ({QUOTA: "many\n", PERIOD: "100000\n"}, math.inf),
    ],
)
def test_processor_limit(tmp_path: Path, files: dict[str, str], limit: float) -> None:
    """The time that a container may use is read from both versions of control groups; anything odd limits nothing."""
    for name, text in files.items():
        place = tmp_path / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    assert processor_limit(tmp_path) == limit


@pytest.mark.parametrize(
    ("usable", "limit", "threads"), [(8, math.inf, 7), (8, 4.0, 3), (8, 1.5, 1), (64, 0.5, 1), (1, math.inf, 1)]
)
def test_spare_processors(usable: int, limit: float, threads: int) -> None:
    """One processor is left free of those that may be used, and one thread computes at least."""
    assert spare_processors(usable, limit) == threads
