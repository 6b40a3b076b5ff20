# pyright: standard
"""Uses of the public API that are wrong: mypy and pyright must each report the lines marked so, and no others.

Nobody runs this. Each line is a mistake that is easily made.
"""

from __future__ import annotations

from typing import assert_never

import nbretry
from nbretry import Answer, Deadlines, PriceTable, RetryPolicy, RetryProvider, RetryProviderError
from nbretry.events import RunCompleted, RunFailed
from nbretry.providers import OpenAIProvider, list_models
from nbretry.providers import RetryProvder as Misspelt  # error
from nbretry.session.question import Question
from nbretry.testing import FaultServer, simulate


class NoProvider:
    """It has none of the three methods."""

    def answer(self) -> str:
        return "Hello"


class WrongProvider:
    """What has the name of a method is none."""

    create_completion = "Hello"


def names() -> None:
    """A misspelt name is noticed, although names are loaded when they are first used."""
    print(nbretry.RetryProvder)  # error
    print(nbretry.providers.Anything)  # error
    print(Misspelt)


def providers() -> None:
    """Names stand for providers in a session, and not in a `RetryProvider`."""
    RetryProvider(["openai", "local"])  # error
    RetryProvider([NoProvider()])  # error
    RetryProvider([WrongProvider()])  # error
    RetryProvider(OpenAIProvider())  # error
    nbretry.register("lab", "openai")  # error
    nbretry.register("lab")  # error
    nbretry.default_session().retry_provider([NoProvider()])  # error
    OpenAIProvider(timeout="long")  # error
    OpenAIProvider().create_compltion("", [])  # error


def settings() -> None:
    """Words and numbers are what they should be, and what is frozen stays so."""
    RetryProvider([OpenAIProvider()], max_retry=3)  # error
    RetryProvider([OpenAIProvider()], on_break="resume")  # error
    RetryProvider([OpenAIProvider()], True, False, 3, RetryPolicy())  # error
    RetryProvider([OpenAIProvider()], deadlines=20)  # error
    RetryProvider([OpenAIProvider()], prices={"lab": (0, 0)})  # error
    RetryPolicy(on_break="again")  # error
    RetryPolicy().max_attempts = 3  # error
    Deadlines(first=20)  # error
    Deadlines(idle="30")  # error
    PriceTable({"lab": 0.5})  # error
    PriceTable({"lab": (1, 2, 3)})  # error
    PriceTable().set("lab", (0, 0))  # error


def answers(answer: Answer) -> None:
    """An answer cannot be changed, and what may be missing is to be looked for."""
    answer.text = "Hello"  # error
    answer.attempts.append(answer.attempts[0])  # error
    print(answer.words)  # error
    print(answer.cost + 1)  # error
    print(answer.usage.total_tokens)  # error
    print(answer.provider.upper())  # error
    print(answer.json)
    if answer.state == "completed":
        answer.attempts[0].state = "failed"  # error


async def asking(retry_provider: RetryProvider) -> None:
    """What is to be awaited is awaited, and each method takes what it takes."""
    nbretry.ask("Why?")  # error
    await nbretry.ask(5)  # error
    await nbretry.ask("Why?", "local")  # error
    await nbretry.ask("Why?", on_break="again")  # error
    await nbretry.ask("Why?", providers=[NoProvider()])  # error
    await retry_provider.answer("Why?")  # error
    retry_provider.create_completion("", "Why?")  # error
    for chunk in retry_provider.create_async_generator("", []):  # error
        print(chunk)
    async for part in retry_provider.create_completion("", []):  # error
        print(part)
    models: list[str] = list_models(OpenAIProvider())  # error
    print(models)
    Question("Why?", retries="2")  # error


async def events(retry_provider: RetryProvider) -> None:
    """Not every event has every attribute, and a match that leaves some out is not complete."""
    async for event in retry_provider.stream_events("", "Why?"):
        print(event.text)  # error
        match event:
            case RunCompleted() | RunFailed():
                print(event.at)
            case _:
                assert_never(event)  # error


def errors(retry_provider: RetryProvider) -> None:
    """An error has its own attributes only."""
    try:
        print(*retry_provider.create_completion("", []))
    except RetryProviderError as error:
        print(error.attempts[0].exception.args)  # error
        print(error.answer.text)  # error
        print(error.reason)  # error


def faults() -> None:
    """The simulator takes scripts."""
    simulate(503)  # error
    simulate("ok", speed=2)  # error
    FaultServer()  # error
    FaultServer("ok").url = "http://127.0.0.1"  # error
