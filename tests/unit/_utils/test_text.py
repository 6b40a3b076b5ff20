"""The hint for a misspelled word."""

from __future__ import annotations

import pytest

from nbretry._utils.text import nearest
from nbretry.providers.services import PRESETS

KEYS = [preset.key_variable for preset in PRESETS.values() if preset.key_variable]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in KEYS:
        monkeypatch.delenv(variable, raising=False)


def test_nearest() -> None:
    """The nearest word is named where one is near."""
    assert nearest("temprature", ["temperature", "model"]) == "; did you mean 'temperature'?"
    assert nearest("OPENAI", ["openai", "model"]) == "; did you mean 'openai'?"
    assert nearest("xyz", ["temperature", "model"]) == "; known are temperature, model"
