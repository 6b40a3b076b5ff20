"""The settings as a line and as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from settings_files import project_file

from nbretry.config.schema import SETTINGS
from nbretry.config.settings import Settings
from nbretry.renderers.settings import setting_line, settings_html, settings_text

pytestmark = pytest.mark.usefixtures("home")


def test_a_setting_in_a_line() -> None:
    """A line has key, value with its unit, source and meaning; ``none`` is a limit that is none."""
    settings = Settings({"NBRETRY_IDLE": "30", "NBRETRY_TOTAL": "none"})
    assert setting_line(settings.get("idle")) == "idle is 30 seconds (NBRETRY_IDLE): From one content to the next."
    assert setting_line(settings.get("total")).startswith("total is none (NBRETRY_TOTAL): ")
    assert setting_line(settings.get("system")) == "system is — (default): The system prompt."
    settings.set("hedge_after", "p90")
    assert setting_line(settings.get("hedge_after")).startswith("hedge_after is p90 (%nbretry config): ")


def test_the_table(home: Path) -> None:
    """The table has every setting, the described providers, the mistakes and the files; strangers' text is escaped."""
    project_file(
        "[tool.nbretry]\nsystem = '<b>{{x}}</b>'\nidle = 0\n[tool.nbretry.provider.lab]\nbase_url = 'http://l/v1'\n"
    )
    settings = Settings({})
    shown: Any = (
        list(settings.readable().values()),
        list(settings.readable_providers().values()),
        settings.errors(),
        settings.files(),
    )
    text, html = settings_text(*shown), settings_html(*shown)
    lines = text.splitlines()
    assert lines[0].startswith("✗ pyproject.toml, line 3: idle: '0' is no time limit")
    assert [line.split()[0] for line in lines[2 : 2 + len(SETTINGS)]] == list(SETTINGS)
    assert "http://l/v1" in text
    assert lines[-1] == "The project's: [tool.nbretry] in pyproject.toml"
    assert "<b>" not in html
    assert "&lt;b&gt;{{x}}" in html
