"""The changelog is kept."""

from __future__ import annotations

import re
from pathlib import Path

import nbretry

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def test_the_version_has_a_section() -> None:
    """The version that this is stands first in the changelog, with a date or as unreleased, and says what is in it."""
    sections = CHANGELOG.read_text(encoding="utf-8").split("\n## ")[1:]
    heading, _, said = sections[0].partition("\n")
    told = re.fullmatch(r"(\S+) \((unreleased|\d{4}-\d{2}-\d{2})\)", heading)
    assert told
    assert told[1] == nbretry.__version__
    assert "\n- " in said
