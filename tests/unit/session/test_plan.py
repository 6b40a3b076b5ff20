"""What would be asked, told without asking."""

from __future__ import annotations

import pytest

from nbretry.providers import ScriptedProvider
from nbretry.providers.services import PRESETS
from nbretry.session.plan import plan, roster
from nbretry.session.question import Question
from nbretry.session.session import Session

KEYS = [preset.key_variable for preset in PRESETS.values() if preset.key_variable]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in KEYS:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def session() -> Session:
    return Session()


def test_what_would_be_asked_has_the_models(session: Session) -> None:
    """A dry run and the table of providers have each provider by its name, with the model that it would get."""
    session.register("mine", ScriptedProvider(model="its-own"))
    named = ["mine:large", "mine", "groq:small"]
    for entries in (plan(session, Question("Why?", named, "of-all")).providers, roster(session, named, "of-all")):
        assert [(entry.provider, entry.model) for entry in entries] == [
            ("mine", "large"),
            ("mine", "of-all"),
            ("groq", "small"),
        ]
        assert entries[2].key_variable == "GROQ_API_KEY"
