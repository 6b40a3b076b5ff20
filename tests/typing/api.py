"""The public API as a program of a user's has it, with the type that each result must have.

Nobody runs this: mypy and pyright read it, both at their strictest, in `make check` and against the installed wheel.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, assert_never, assert_type

import nbretry
from nbretry import (
    Answer,
    Attempt,
    Cooldown,
    Deadlines,
    IterListProvider,
    PriceTable,
    RetryNoProviderError,
    RetryPolicy,
    RetryProvider,
    RetryProviderError,
)
from nbretry.answer import fold
from nbretry.attempts import AttemptState, RunState
from nbretry.errors import (
    AnswerFormatError,
    APIStatusError,
    APITimeoutError,
    ConfigError,
    ContextLengthError,
    NbretryError,
    ProviderError,
    RateLimitError,
    StreamInterruptedError,
)
from nbretry.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    NextStep,
    ReasoningDelta,
    ResponseIdentified,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    StatusChanged,
    TextDelta,
    UsageReported,
    from_json,
    to_json,
)
from nbretry.prices import Price, estimate_tokens
from nbretry.providers import (
    AnthropicProvider,
    BaseProvider,
    LocalProvider,
    OpenAIProvider,
    ScriptedProvider,
    list_models,
    raise_exceptions,
)
from nbretry.retry.health import HealthState, ProviderHealth
from nbretry.retry.policy import Decision, OnBreak
from nbretry.session.question import Question
from nbretry.session.runlog import read_runs
from nbretry.session.session import Session
from nbretry.testing import FaultServer, ReceivedRequest, simulate
from nbretry.types import AsyncResult, CreateResult, FinishReason, Message, Messages, ProviderType, Reasoning, Usage

# Providers of a user's own, of each shape: with a base class and without, as class methods and ordinary ones.


class Echo:
    """A generator, with no base class."""

    def create_completion(self, model: str, messages: Messages, **options: Any) -> Iterator[str]:
        yield str(messages[-1]["content"])


class Counting:
    """An asynchronous generator on a class that is never instantiated."""

    supports_stream = True
    default_model = "count-1"

    @classmethod
    async def create_async_generator(cls, model: str, messages: Messages, stream: bool = True) -> AsyncIterator[str]:
        yield str(len(messages))


class Thinking:
    """A coroutine."""

    @staticmethod
    async def create_async(model: str, messages: Messages) -> str:
        return "yes"


class Derived(BaseProvider):
    """With the base class, its attributes set and its method a class method, as in the document."""

    default_model = "derived-1"
    model_aliases = {"d": "derived-1"}  # noqa: RUF012 (as gpt4free's providers have it)
    supports_stream = False

    @classmethod
    def create_completion(cls, model: str, messages: Messages, stream: bool = False, **kwargs: Any) -> CreateResult:
        yield Reasoning("Hm.")
        yield "Hello"
        yield Usage(3, 1)
        yield FinishReason("stop")


class DerivedAsync(BaseProvider):
    """With the base class and an ordinary method."""

    async def create_async_generator(
        self, model: str, messages: Messages, stream: bool = True, **kwargs: Any
    ) -> AsyncResult:
        yield "Hello"

    async def list_models(self, timeout: float) -> list[str]:  # noqa: ASYNC109 (it is told how long it has)
        return ["derived-2"]


class DerivedCoroutine(BaseProvider):
    """With the base class and a coroutine."""

    @classmethod
    async def create_async(cls, model: str, messages: Messages, **kwargs: Any) -> str:
        return "Hello"


def providers_of_each_shape() -> list[ProviderType]:
    """Classes and instances are providers, one beside the other."""
    RetryProvider([Echo(), Counting, Thinking, Derived, DerivedAsync(), DerivedCoroutine(), OpenAIProvider()])
    RetryProvider([Derived, DerivedCoroutine], shuffle=False)
    same_base = [OpenAIProvider(), LocalProvider()]
    RetryProvider(same_base)
    RetryProvider((Echo(), Echo()))
    RetryProvider([RetryProvider([Echo()]), IterListProvider([Counting], False)])
    return [Echo(), Counting]


def what_the_base_class_fills_in(provider: Derived) -> None:
    """Of the three methods one was written; the others can be called as well, on the class and on an instance."""
    assert_type(asyncio.run(provider.create_async("", [])), str)
    assert_type(provider.create_async_generator("", []), AsyncIterator[Any])
    assert_type(Derived.get_parent(), str)
    assert_type(provider.get_create_function(), Callable[..., Iterator[Any]])
    assert_type(provider.get_dict(), dict[str, str | None])


def providers_that_come_with_it(path: Path) -> None:
    """Each takes what its documentation says."""
    OpenAIProvider("http://127.0.0.1:8000/v1", "none", "qwen3", "lab", deadlines=Deadlines(first_content=20))
    OpenAIProvider(base_url=lambda: "http://127.0.0.1:8000/v1", key_variable="LAB_KEY", default_headers={"a": "b"})
    AnthropicProvider(model="claude", max_tokens=100)
    local = LocalProvider(path, n_ctx=2048)
    assert_type(local.default_model, str)
    assert_type(ScriptedProvider.words("Hello world."), ScriptedProvider)
    ScriptedProvider("500, 'Hello'")
    ScriptedProvider([["Hello", FinishReason("stop")], [ValueError("no")]], name="own")


def a_run_without_an_event_loop() -> str:
    """Chunks are what a provider yields, so they are joined or printed as they are."""
    messages = [{"role": "user", "content": "Why is the sky blue?"}]
    retry_provider = RetryProvider([OpenAIProvider(), LocalProvider()], shuffle=False)
    for chunk in retry_provider.create_completion("", messages, stream=True, temperature=0.5):
        print(chunk, end="", flush=True)
    assert_type(retry_provider.create_completion("", messages), CreateResult)
    assert_type(retry_provider.last_provider, ProviderType | None)
    assert_type(retry_provider.get_providers(stream=True, ignored=["local"]), list[ProviderType])
    assert_type(retry_provider.__name__, str)
    return "".join(retry_provider.create_completion("", messages, ignored=["local"], ignore_stream=True))


async def a_run_in_an_event_loop(messages: Messages) -> Answer:
    """A list of parts is a content, too."""
    parts: Message = {"role": "user", "content": [{"type": "text", "text": "Why?"}]}
    retry_provider = RetryProvider([Derived], True, True, 5)
    async for chunk in retry_provider.create_async_generator("", [*messages, parts]):
        print(chunk)
    assert_type(retry_provider.create_async_generator("", messages), AsyncResult)
    text = await retry_provider.create_async("", messages)
    assert_type(text, str)
    answer = await retry_provider.answer("", "Why?", max_tokens=100)
    return assert_type(answer, Answer)


async def every_event(retry_provider: RetryProvider) -> Answer:
    """The union of events is closed: a match that names them all is known to be complete."""
    answer = Answer()
    async for event in retry_provider.stream_events("", "Why?"):
        answer = assert_type(answer.apply(event), Answer)
        assert_type(event, Event)
        match event:
            case RunStarted():
                assert_type(event.providers, tuple[str, ...])
                assert_type(event.messages, tuple[Message, ...])
            case AttemptStarted(attempt=number, provider=name):
                assert_type(number, int)
                assert_type(name, str)
                assert_type(event.price, tuple[float, float] | None)
            case AttemptSkipped() | RunFailed():
                assert_type(event.exception, BaseException)
            case AttemptFailed():
                assert_type(event.next_step, NextStep)
                assert_type(event.wait_for, float)
            case AttemptCancelled():
                assert_type(event.reason, str)
            case TextDelta(text=text) | ReasoningDelta(text=text) | StatusChanged(text=text):
                assert_type(text, str)
            case ResponseIdentified():
                assert_type(event.request_id, str | None)
            case UsageReported(usage=usage):
                assert_type(usage, Usage)
            case AttemptSucceeded():
                assert_type(event.finish_reason, str | None)
            case FirstContent() | RunCompleted() | RunCancelled():
                assert_type(event.at, float)
            case _:
                assert_never(event)
        assert_type(from_json(to_json(event)), Event)
    return answer


def what_an_answer_says(answer: Answer) -> None:
    """Each attribute's type tells what can be missing."""
    assert_type(answer.text, str)
    assert_type(answer.code, str)
    assert_type(answer.json(), Any)
    assert_type(answer.reasoning, str)
    assert_type(answer.state, RunState)
    assert_type(answer.provider, str | None)
    assert_type(answer.model, str | None)
    assert_type(answer.providers, tuple[str, ...])
    assert_type(answer.attempts, tuple[Attempt, ...])
    assert_type(answer.attempt, Attempt | None)
    assert_type(answer.exceptions, dict[str, BaseException])
    assert_type(answer.error, BaseException | None)
    assert_type(answer.usage, Usage | None)
    assert_type(answer.cost, float | None)
    assert_type(answer.cost_estimated, bool)
    assert_type(answer.finish_reason, str | None)
    assert_type(answer.time_to_first_content, float | None)
    assert_type(answer.duration, float | None)
    assert_type(answer.messages, Messages)
    assert_type(answer.to_dict(), dict[str, Any])
    assert_type(Answer.from_dict({}), Answer)
    following: Messages = [*answer.messages, {"role": "user", "content": "And?"}]
    print(following)
    answer.raise_for_failure()
    for attempt in answer.attempts:
        assert_type(attempt.state, AttemptState)
        assert_type(attempt.exception, BaseException | None)
        assert_type(attempt.error, str | None)
        assert_type(attempt.usage, Usage | None)
        assert_type(attempt.price, tuple[float, float] | None)
        assert_type(attempt.time_to_first_content, float | None)
    if answer.usage is not None:
        assert_type(answer.usage.total_tokens, int | None)
    match answer.state:
        case "completed" | "failed" | "stopped":
            pass
        case "pending" | "running":
            print("not yet")
        case _:
            assert_never(answer.state)


async def what_errors_carry(retry_provider: RetryProvider) -> None:
    """What an `except` clause binds has the attributes of its class."""
    try:
        await retry_provider.answer("", "Why?")
    except RetryProviderError as error:
        assert_type(error.attempts, tuple[Attempt, ...])
        assert_type(error.exceptions, dict[str, BaseException])
        assert_type(error.answer, Answer | None)
        for exception in error.exceptions.values():
            if isinstance(exception, RateLimitError):
                assert_type(exception.retry_after, float | None)
            elif isinstance(exception, ContextLengthError | StreamInterruptedError | APITimeoutError | APIStatusError):
                assert_type(exception.provider, str | None)
                assert_type(exception.status_code, int | None)
                assert_type(exception.request_id, str | None)
    except (RetryNoProviderError, ConfigError) as error:
        print(error)
    except AnswerFormatError as error:
        assert_type(error.answer, Answer | None)
    except NbretryError as error:
        assert_type(str(error), str)
    own: ProviderError = RateLimitError("slow down", provider="lab", status_code=429, retry_after=2)
    raise own


def errors_by_name(exceptions: dict[str, Exception]) -> int:
    """`raise_exceptions` never returns, so that nothing has to follow it."""
    raise_exceptions(exceptions)


def every_setting(prices: PriceTable) -> None:
    """What a `RetryProvider` can be given beside its providers."""
    on_break: OnBreak = "continue"
    policy = RetryPolicy(max_attempts=2, rounds=2, on_break="restart", backoff_initial=0.1)
    retry_provider = RetryProvider(
        [Echo()],
        shuffle=False,
        policy=policy,
        on_break=on_break,
        deadlines=Deadlines(connect=10, first_content=20.5, idle=None),
        cooldown=Cooldown(failures=5, rest_initial=1),
        hedge_after="p90",
        max_cost=1,
        prices=prices,
    )
    RetryProvider([Echo()], single_provider_retry=True, max_retries=5, hedge_after=0.5)
    assert_type(retry_provider.policy, RetryPolicy)
    assert_type(retry_provider.spent, float | None)
    assert_type(retry_provider.deadlines, Deadlines | None)
    assert_type(retry_provider.health(), tuple[ProviderHealth, ...])
    assert_type(retry_provider.health()[0].state, HealthState)
    retry_provider.reset_health()
    retry_provider.reset_health("a", "b")
    decision = policy.decide(ValueError(), attempts_of_provider=1, content_started=False, random=lambda: 0.5)
    assert_type(decision, Decision)
    assert_type(decision.again_after, float | None)


def prices_of_ones_own() -> PriceTable:
    """Prices are pairs of numbers or `Price`, whole ones too, in one dict."""
    prices = PriceTable({"openai/gpt": (0.75, 4.5), "lab": (0, 0), "other": Price(1, 2)})
    prices.set("qwen3", 0.1, 0.4)
    by_name: dict[str, tuple[float, float]] = {"lab": (0, 0)}
    PriceTable(by_name)
    price = prices.price("lab", "qwen3", prompt_tokens=10)
    assert_type(price, Price | None)
    if price is not None:
        assert_type(price.cost(Usage(10, 20)), float | None)
    assert_type(estimate_tokens("Why?"), int)
    return PriceTable()


def names_for_providers(session: Session) -> None:
    """A class and an instance can be given a name."""
    nbretry.register("echo", Echo())
    nbretry.register("counting", Counting)
    nbretry.register("lab", OpenAIProvider(), deadlines=Deadlines(total=5))
    session.register("derived", Derived)
    assert_type(nbretry.default_session(), Session)
    assert_type(session.names(), list[str])
    assert_type(session.provider("echo"), ProviderType)
    assert_type(session.retry_provider(["echo", "lab:qwen3", Echo()]), RetryProvider)
    assert_type(session.answers[-1], Answer)
    session.budget.limit = 2
    assert_type(session.budget.spent, float)
    session.prices.set("lab", 0, 0)
    session.policy = RetryPolicy(rounds=3)


async def questions(session: Session) -> None:
    """Names, names with a model and objects can be asked."""
    answer = await nbretry.ask("Why?")
    assert_type(answer, Answer)
    await nbretry.ask("Why?", providers=["local", "lab:qwen3", Echo(), Counting], model="m", system="Be brief.")
    await nbretry.ask("Why?", temperature=0, max_tokens=9, on_break="raise", hedge_after="p90", retries=1, max_cost=0.1)

    def paint(event: Event, answer: Answer) -> None:
        print(type(event).__name__, answer.state)

    assert_type(await session.ask(Question("Why?"), paint), Answer)
    answers = await session.compare(Question("Why?"), ["local", Echo()], lambda place, event, answer: None)
    assert_type(answers, list[Answer])


async def models_of(provider: OpenAIProvider) -> None:
    """Any provider can be asked which models it has."""
    assert_type(await list_models(provider), list[str])
    assert_type(await list_models(Counting, timeout=2), list[str])


def faults_on_demand() -> None:
    """The simulator's two forms."""
    flaky = simulate("429 retry-after=2, 'Hello' cut, ok", name="flaky")
    assert_type(flaky, ScriptedProvider)
    assert_type(len(flaky.calls), int)
    assert_type(flaky.calls[0].messages, Messages)
    simulate([["Hello", ValueError("no")]])
    with FaultServer({"busy": "503, ok", "good": "'Hello'", "own": [["Hello"]]}) as server:
        assert_type(server, FaultServer)
        assert_type(server.url, str)
        assert_type(server.requests, list[ReceivedRequest])
        assert_type(server.requests[0].body, dict[str, Any])
        assert_type(server.provider("busy", deadlines=Deadlines(total=1)), OpenAIProvider)
        assert_type(server.wait_until_idle(timeout=1), bool)
    assert_type(FaultServer("ok", port=0).start(), FaultServer)


def records(path: Path, events: list[Event]) -> None:
    """A log is read back to answers."""
    assert_type(fold(events), Answer)
    with path.open(encoding="utf-8") as lines:
        for answer in read_runs(lines):
            assert_type(answer, Answer)


def the_panel() -> None:
    """The panel takes names, and is told what to do as by its buttons."""
    panel = nbretry.panel(["openai:gpt-5.4-mini", "local"])
    panel.ask()
    panel.stop()
    panel.insert_cell()


def the_version() -> str:
    """The version is a text."""
    return nbretry.__version__
