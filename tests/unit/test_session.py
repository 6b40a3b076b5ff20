"""Providers by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nbretry.errors import ConfigError, RetryNoProviderError
from nbretry.providers.presets import PRESETS
from nbretry.session import Question, Session


class Provider:
    """Answers with its name."""

    supports_stream = False

    @classmethod
    async def create_async(cls, model: str, messages: Any, **options: Any) -> str:
        return cls.__name__


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for preset in PRESETS.values():
        if preset.key_variable:
            monkeypatch.delenv(preset.key_variable, raising=False)


def _ask(session: Session, question: Question) -> Any:
    import asyncio

    return asyncio.run(session.ask(question, lambda event, answer: None))


def test_a_registered_name_is_asked_and_shown() -> None:
    """What was registered answers under that name, also where it cannot stream."""
    session = Session()
    session.register("mine", Provider)
    answer = _ask(session, Question("Who?", ["mine"]))
    assert (answer.text, answer.provider) == ("Provider", "mine")
    assert session.answers[-1] is answer


def test_one_name_may_be_given_as_a_string() -> None:
    """A string of names is read like the option's value and not letter by letter."""
    session = Session()
    session.register("a", Provider)
    session.register("b", Provider)
    assert [type(p).__name__ for p in session.retry_provider("a, b").providers] == ["NamedProvider", "NamedProvider"]


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    """A name that stands for nobody is refused in one line before anybody is asked."""
    with pytest.raises(ConfigError, match=r"^there is no provider named 'opnai'; did you mean 'openai'\?$"):
        Session().provider("opnai")


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a/b"])
def test_a_name_that_cannot_be_typed_is_refused(name: str) -> None:
    """A name that ``-p`` could not take is refused at once."""
    with pytest.raises(ConfigError, match="cannot name a provider"):
        Session().register(name, Provider)


def test_the_order_without_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those registered come first, then the services with a key, then the local model."""
    session = Session()
    assert session.default_providers() == ["local"]
    monkeypatch.setenv("GROQ_API_KEY", "for-groq-only-1")
    monkeypatch.setenv("OPENAI_API_KEY", "for-openai-only-1")
    session.register("mine", Provider)
    assert session.default_providers() == ["mine", "openai", "groq", "local"]


def test_a_name_is_the_same_provider_each_time() -> None:
    """A service's provider is made once, so that its connections are used again."""
    session = Session()
    assert session.provider("groq") is session.provider("groq")


def test_nobody_to_ask_says_what_to_do() -> None:
    """An empty list of providers is refused with both ways out."""
    with pytest.raises(RetryNoProviderError, match=r"set a key such as OPENAI_API_KEY .*nbretry\[local\]"):
        Session().retry_provider([])


def test_an_empty_question_is_refused() -> None:
    """A question of blanks is refused before anybody is asked."""
    with pytest.raises(ConfigError, match="the question is empty"):
        Session().events(Question(" \n ", ["local"]))


def test_another_package_offers_a_provider(tmp_path: Path) -> None:
    """A provider of the entry point group goes by its name, and is not asked where it was not named."""
    (tmp_path / "elsewhere.py").write_text(
        "class Elsewhere:\n"
        "    @staticmethod\n"
        "    def create_completion(model, messages, **options):\n"
        "        yield 'from elsewhere'\n"
    )
    info = tmp_path / "elsewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nbretry.providers]\nelsewhere = elsewhere:Elsewhere\nmissing = elsewhere:Nothing\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import asyncio, nbretry\n"
        "from nbretry.errors import ConfigError\n"
        "from nbretry.session import default_session\n"
        "print(asyncio.run(nbretry.ask('Who?', providers=['elsewhere'])))\n"
        "assert 'elsewhere' in default_session().names()\n"
        "assert 'elsewhere' not in default_session().default_providers()\n"
        "try:\n    default_session().provider('missing')\n"
        "except ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "from elsewhere"
    assert said[1].startswith("the provider 'missing' of another package cannot be loaded")
