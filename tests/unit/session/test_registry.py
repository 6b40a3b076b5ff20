"""Providers by name: registered ones, known services, those of other packages, and the default order."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import nbretry
from nbretry.errors import ConfigError
from nbretry.providers import BaseProvider, OpenAIProvider, RetryProvider, ScriptedProvider
from nbretry.providers.services import PRESETS
from nbretry.session.session import Session, default_session
from nbretry.types import Messages

ROOT = Path(nbretry.__file__).parents[1]


KEYS = [preset.key_variable for preset in PRESETS.values() if preset.key_variable]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in KEYS:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.mark.parametrize("name", ["mine", "my-provider", "v1.2", "_x", "größe", "日本"])
def test_any_name_that_can_be_typed_is_taken(session: Session, name: str) -> None:
    """A name may have letters of any language, digits, '_', '-' and '.'."""
    provider = ScriptedProvider()
    session.register(name, provider)
    assert session.provider(name) is provider
    assert session.names()[0] == name


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a/b", "'a'", "a\n", "a:b"])
def test_name_that_cannot_be_typed_is_refused(session: Session, name: str) -> None:
    """A name that could not stand after -p is refused in one line that says which letters may be used."""
    with pytest.raises(ConfigError, match=r"cannot name a provider: use letters, digits, '_', '-' and '\.'$"):
        session.register(name, ScriptedProvider())


class Ordinary:
    def create_completion(self, model: str, messages: Messages, **options: Any) -> Iterator[str]:
        yield "Hello"


class Derived(BaseProvider):
    async def create_async_generator(self, model: str, messages: Messages, **options: Any) -> AsyncIterator[str]:
        yield "Hello"


class Empty(BaseProvider):
    pass


class Mixed(Ordinary):
    @classmethod
    async def create_async(cls, model: str, messages: Messages, **options: Any) -> str:
        return "Hello"


class OnlyAccessor:
    def get_create_function(self) -> Any:
        return Ordinary().create_completion


class Dynamic(type):
    def __getattr__(cls, name: str) -> Any:
        if name != "create_completion":
            raise AttributeError(name)
        return Ordinary().create_completion


class OfDynamic(metaclass=Dynamic):
    pass


@pytest.mark.parametrize(
    ("provider", "problem"),
    [
        ("openai", "str is no provider: it has none of create_completion, create_async_generator, create_async"),
        (Empty, "Empty is no provider: it has none of create_completion, create_async_generator, create_async"),
        (Ordinary, "the methods of Ordinary take an instance as self: give Ordinary() in place of the class"),
        (Derived, "the methods of Derived take an instance as self: give Derived() in place of the class"),
        (
            OpenAIProvider,
            "the methods of OpenAIProvider take an instance as self: give OpenAIProvider() in place of the class",
        ),
    ],
)
def test_what_can_never_answer_is_refused(session: Session, provider: Any, problem: str) -> None:
    """What is no provider, and a class whose methods need an instance, is refused with what would be right."""
    with pytest.raises(ConfigError) as caught:
        session.register("mine", provider)
    assert str(caught.value) == f"'mine' cannot be registered: {problem}"
    assert "mine" not in session.names()


@pytest.mark.parametrize(
    "provider",
    [Ordinary(), Derived(), Mixed, Mixed(), OnlyAccessor(), OfDynamic, ScriptedProvider(), RetryProvider([Mixed])],
)
def test_what_may_answer_is_registered(session: Session, provider: Any) -> None:
    """A class with one method that needs no instance is a provider, and whatever gives such a function is."""
    session.register("mine", provider)
    assert session.provider("mine") is provider


def test_registered_name_comes_before_a_known_service(session: Session) -> None:
    """What a user registers under the name of a service stands in its place, and the latest counts."""
    first, second = ScriptedProvider(), ScriptedProvider()
    assert isinstance(session.provider("openai"), OpenAIProvider)
    session.register("openai", first)
    session.register("openai", second)
    assert session.provider("openai") is second


def test_known_service_is_made_once_and_opens_nothing(session: Session) -> None:
    """A name gives the same provider each time, and making it needs no key."""
    assert session.provider("groq") is session.provider("groq")
    assert set(PRESETS) <= set(session.names())


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("opnai", "there is no provider named 'opnai'; did you mean 'openai'?"),
        ("lokal", "there is no provider named 'lokal'; did you mean 'local'?"),
        ("mein", "there is no provider named 'mein'; did you mean 'mine'?"),
        ("zzz", "there is no provider named 'zzz'; known are mine, "),
    ],
)
def test_unknown_name_is_told_with_the_nearest(session: Session, word: str, message: str) -> None:
    """An unknown name is told in one line with the nearest known one, or with all where none is near."""
    session.register("mine", ScriptedProvider())
    with pytest.raises(ConfigError) as caught:
        session.provider(word)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_register_is_for_the_session_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nbretry.register` puts a name into the session that the magic and the command line use."""
    monkeypatch.setattr("nbretry.session.session._default", Session())
    provider = ScriptedProvider()
    nbretry.register("from-a-test", provider)
    assert default_session().provider("from-a-test") is provider


def test_default_order(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without names those are asked whom the user registered, then services with a key, then the local model."""
    monkeypatch.setenv("GROQ_API_KEY", "x")
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setenv("MISTRAL_API_KEY", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert session.default_providers() == ["openai", "groq", "local"]
    session.register("mine", ScriptedProvider())
    session.register("groq", ScriptedProvider())
    assert session.default_providers() == ["mine", "groq", "openai", "local"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("openai:", "'openai:' names no model: write one behind the colon, or leave the colon out"),
        ("openai: ", "'openai: ' names no model: write one behind the colon, or leave the colon out"),
        (":gpt", "':gpt' names no provider: write one before the colon"),
        (":", "':' names no provider: write one before the colon"),
        ("opnai:gpt:4", "there is no provider named 'opnai'; did you mean 'openai'?"),
    ],
)
def test_half_a_name_and_an_unknown_one(session: Session, written: str, message: str) -> None:
    """Where a side of the colon is empty that is told, and of an unknown name the nearest, each in one line."""
    for ask in (session.provider, lambda name: session.retry_provider([name]), session.health_of):
        with pytest.raises(ConfigError) as caught:
            ask(written)
        assert str(caught.value) == message


def offer(directory: Path, **points: str) -> None:
    """A package in this directory that offers providers by entry points."""
    (directory / "their_package.py").write_text(
        "class Theirs:\n"
        "    @classmethod\n"
        "    def create_completion(cls, model, messages, **options):\n"
        "        yield 'theirs: ' + messages[-1]['content']\n"
    )
    info = directory / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[nbretry.providers]", *lines, ""]))


def in_process(directory: Path, program: str) -> str:
    """What a program prints in a fresh process that finds this directory's packages."""
    path = os.pathsep.join([str(directory), str(ROOT)])
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_provider_of_another_package(tmp_path: Path) -> None:
    """A provider that another package offers by an entry point is found by its name, and loaded when it is asked."""
    offer(tmp_path, theirs="their_package:Theirs", openai="their_package:Theirs")
    program = """
import asyncio, sys
from nbretry.session.question import Question
from nbretry.session.session import Session
session = Session()
names = session.names()
print(names[:2], "their_package" in sys.modules)
answer = asyncio.run(session.ask(Question("Why?", ["theirs"]), lambda event, answer: None))
print(answer.text, answer.provider, session.provider("openai").__name__)"""
    assert in_process(tmp_path, program).splitlines() == ["['theirs', 'openai'] False", "theirs: Why? theirs Theirs"]


@pytest.mark.parametrize("target", ["no_such_package:Theirs", "their_package:Missing"])
def test_broken_provider_of_another_package(tmp_path: Path, target: str) -> None:
    """Where another package's provider cannot be loaded, the error is one line that names it, and others still work."""
    offer(tmp_path, broken=target, theirs="their_package:Theirs")
    program = """
from nbretry.errors import ConfigError
from nbretry._utils.text import nearest
from nbretry.session.session import Session
session = Session()
try:
    session.provider("broken")
except ConfigError as error:
    print(error)
print(session.provider("theirs").__name__)"""
    told, works = in_process(tmp_path, program).splitlines()
    assert told.startswith("the provider 'broken' of another package cannot be loaded: ")
    assert works == "Theirs"
