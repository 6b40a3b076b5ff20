"""`stream_events` and `answer`: which facts come, in which order, at which times, and what is left at the end."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest
from played import HELLO, METHODS, VirtualClock, provider

from nbretry.answer import Answer, fold
from nbretry.errors import APIStatusError, EmptyResponseError, RetryNoProviderError, RetryProviderError
from nbretry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    ReasoningDelta,
    ResponseIdentified,
    RunCompleted,
    RunFailed,
    RunStarted,
    StatusChanged,
    TextDelta,
    UsageReported,
    from_json,
    to_json,
)
from nbretry.providers import BaseProvider, IterListProvider, RetryProvider
from nbretry.retry.contract import NamedProvider
from nbretry.types import FinishReason, Reasoning, ResponseInfo, Status, Usage

NO = ValueError("no")
TELLING = [
    Status("loading"),
    ResponseInfo("m-2026", "req-1"),
    Reasoning("hm"),
    "Hel",
    "",
    "lo",
    Usage(7, 2),
    FinishReason("stop"),
]


def events_of(chain: Any, messages: Any = HELLO, **options: Any) -> tuple[list[Event], BaseException | None]:
    """Every event of a run, and what was raised after the last one."""

    async def main() -> tuple[list[Event], BaseException | None]:
        seen: list[Event] = []
        try:
            async with aclosing(chain.stream_events("m", messages, **options)) as events:
                async for event in events:
                    seen.append(event)
        except (RetryProviderError, RetryNoProviderError) as error:
            return seen, error
        return seen, None

    return asyncio.run(main())


def kinds(events: list[Event]) -> list[type[Any]]:
    return [type(event) for event in events]


@pytest.mark.parametrize("method", ["create_completion", "create_async_generator"])
def test_the_events_of_a_run_come_in_order(method: str) -> None:
    """Who is asked, what failed, what came and how it ended: each fact at its place, for both kinds of provider."""
    good = provider("Good", TELLING, method=method)
    seen, error = events_of(RetryProvider([provider("Dead", [NO], method=method), good], shuffle=False))
    assert error is None
    assert kinds(seen) == [
        RunStarted,
        AttemptStarted,
        AttemptFailed,
        AttemptStarted,
        StatusChanged,
        ResponseIdentified,
        ReasoningDelta,
        FirstContent,
        TextDelta,
        TextDelta,
        UsageReported,
        AttemptSucceeded,
        RunCompleted,
    ]
    answer = fold(seen)
    assert (answer.text, answer.reasoning, answer.usage, answer.finish_reason) == ("Hello", "hm", Usage(7, 2), "stop")
    assert (answer.provider, answer.model, answer.attempts[1].request_id) == ("Good", "m-2026", "req-1")
    assert [a.provider for a in answer.attempts] == ["Dead", "Good"]


def test_the_run_begins_with_what_was_asked() -> None:
    """The first event names the providers in the order of asking, the model, the time, and a hash of the question."""
    chain = RetryProvider([provider("A", ["a"]), provider("B", ["b"])], shuffle=False, clock=VirtualClock())
    one, other = (events_of(chain, messages)[0][0] for messages in (HELLO, "something else"))
    assert isinstance(one, RunStarted)
    assert isinstance(other, RunStarted)
    assert (one.providers, one.model, one.started_at) == (("A", "B"), "m", 1_700_001_000.0)
    assert one.request_sha256 == events_of(chain)[0][0].request_sha256 != other.request_sha256  # type: ignore[union-attr]


def test_a_text_is_one_message_of_the_user() -> None:
    """`stream_events` takes a plain text for a conversation of one message."""
    a = provider("A", ["a"])
    events_of(RetryProvider([a]), "Hello")
    assert a.script.calls[0].messages == HELLO


def test_a_failed_run_ends_with_run_failed_and_then_raises() -> None:
    """`RunFailed` is the last event; after it the same error is raised, with every attempt and the folded answer."""
    seen, error = events_of(RetryProvider([provider("A", [NO]), provider("B", [])], shuffle=False))
    assert isinstance(seen[-1], RunFailed)
    assert seen[-1].exception is error
    assert isinstance(error, RetryProviderError)
    assert [a.provider for a in error.attempts] == ["A", "B"]
    assert isinstance(error.attempts[1].exception, EmptyResponseError)
    assert error.answer is not None
    assert error.answer.state == "failed"
    assert [event.next_step for event in seen if isinstance(event, AttemptFailed)] == ["fallback", "stop"]


def test_nobody_to_ask_is_a_failed_run() -> None:
    """Without a provider the run starts, fails and raises `RetryNoProviderError`."""
    seen, error = events_of(RetryProvider([]))
    assert kinds(seen) == [RunStarted, RunFailed]
    assert isinstance(error, RetryNoProviderError)


@pytest.mark.parametrize("method", ["create_completion", "create_async_generator"])
def test_a_run_that_breaks_off_fails(method: str) -> None:
    """After text a failure ends the run with `RetryProviderError`, of which the cause is under its attempt."""
    b = provider("B", ["b"])
    seen, error = events_of(RetryProvider([provider("A", ["half", NO], method=method), b], shuffle=False))
    assert kinds(seen)[-3:] == [TextDelta, AttemptFailed, RunFailed]
    assert isinstance(error, RetryProviderError)
    assert error.attempts[0].exception is NO
    assert b.script.calls == []


def test_the_times_are_those_of_the_clock() -> None:
    """Times are seconds since the run's start by the injected clock: tries, waits and the first content included."""
    clock = VirtualClock()
    a = provider("A", [NO], ["a"])

    def take_a_second() -> None:
        clock.now += 1.0

    a.script.before_chunk = take_a_second
    seen, _ = events_of(RetryProvider([a], False, True, clock=clock))
    at = [(type(event).__name__, event.at) for event in seen if hasattr(event, "at")]
    assert at == [
        ("AttemptStarted", 0.0),
        ("AttemptFailed", 1.0),
        ("AttemptStarted", 1.5),
        ("FirstContent", 2.5),
        ("AttemptSucceeded", 2.5),
        ("RunCompleted", 2.5),
    ]
    answer = fold(seen)
    assert (answer.time_to_first_content, answer.duration, answer.attempts[0].wait_for) == (2.5, 2.5, 0.5)
    assert (answer.attempts[1].time_to_first_content, answer.attempts[1].duration) == (1.0, 1.0)


def test_the_last_event_is_the_end() -> None:
    """Exactly one event ends a run, and it is the last."""
    for providers in ([provider("A", ["a"])], [provider("A", [NO])], []):
        seen, _ = events_of(RetryProvider(providers))
        assert [isinstance(event, RunCompleted | RunFailed) for event in seen] == [False] * (len(seen) - 1) + [True]


@pytest.mark.parametrize("method", METHODS)
def test_the_answer_is_the_run_to_its_end(method: str) -> None:
    """`answer` gives the folded answer of a won run."""
    chain = RetryProvider([provider("A", [NO], method=method), provider("B", ["b"], method=method)], shuffle=False)
    answer = asyncio.run(chain.answer("m", "Hello"))
    assert isinstance(answer, Answer)
    assert (answer.text, answer.state, len(answer.attempts)) == ("b", "completed", 2)


def test_the_answer_of_a_run_that_broke_off_is_on_the_error() -> None:
    """Where `answer` raises, the error has the partial text, which stands there once."""
    with pytest.raises(RetryProviderError) as caught:
        asyncio.run(RetryProvider([provider("A", ["half", NO])]).answer("m", HELLO))
    answer = caught.value.answer
    assert answer is not None
    assert (answer.text, answer.state) == ("half", "failed")
    assert caught.value.attempts == answer.attempts
    assert answer.attempts[0].given_up == ""


def test_a_recorded_run_is_replayed_to_the_same_answer() -> None:
    """The events of a run as JSON lines, read again, fold to the same record."""
    clock = VirtualClock()
    chain = RetryProvider([provider("A", [NO]), provider("B", TELLING)], False, True, clock=clock)
    seen, _ = events_of(chain)
    again = fold(from_json(json.loads(json.dumps(to_json(event)))) for event in seen)
    assert again.to_dict() == fold(seen).to_dict()


def test_the_events_are_the_contracts_stream_and_more() -> None:
    """The text of the events is the text of `create_async_generator`, fragment for fragment."""
    seen, _ = events_of(RetryProvider([provider("A", TELLING)]))
    chunks = list(RetryProvider([provider("A", TELLING)]).create_completion("m", HELLO))
    assert [event.text for event in seen if isinstance(event, TextDelta)] == chunks == ["Hel", "lo"]


class Foreign(str):
    """A string of somebody else's class."""


def test_foreign_strings_and_chunks_are_text_where_they_are_content() -> None:
    """A string of another class is text, and so is a content chunk as it is written; other chunks are no event."""

    class Picture:
        is_content = True

        def __str__(self) -> str:
            return "![picture]"

    seen, _ = events_of(RetryProvider([provider("A", [Foreign("a"), object(), Picture()])]))
    texts = [event.text for event in seen if isinstance(event, TextDelta)]
    assert texts == ["a", "![picture]"]
    assert type(texts[0]) is str


def test_chunks_of_gpt4free_are_understood_by_their_names() -> None:
    """Chunk types named as gpt4free's are told as reasoning, usage and so on, without its package."""
    told = [
        ("ProviderInfo", {"name": "Behind", "model": "m-2026"}),
        ("Reasoning", {"token": "hm"}),
        ("Reasoning", {"token": None, "status": "thinking"}),
        ("Usage", {"prompt_tokens": 7, "completion_tokens": 2}),
        ("FinishReason", {"reason": "length"}),
    ]
    chunks = [type(name, (), attributes)() for name, attributes in told]
    answer = fold(events_of(RetryProvider([provider("A", [*chunks, "text"])]))[0])
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("text", "hm", "length")
    assert (answer.usage, answer.model, answer.provider) == (Usage(7, 2), "m-2026", "A → Behind")


@pytest.mark.parametrize(
    ("usage", "total"),
    [(Usage(7, 2), 9), (Usage(7, None), 7), (Usage(None, 2), 2), (Usage(), None)],
)
def test_the_tokens_of_an_answer_are_added_up(usage: Usage, total: int | None) -> None:
    """``total_tokens`` is the sum of what is known, and None where nothing is; as text each such chunk is empty."""
    assert (usage.total_tokens, str(usage)) == (total, "")


def test_closing_the_events_closes_the_provider() -> None:
    """Closing the stream of events half-way closes the provider's stream, and nobody else is asked."""
    a, b = provider("A", ["a", "b"], method="create_async_generator"), provider("B", ["b"])

    async def main() -> None:
        async with aclosing(RetryProvider([a, b], shuffle=False).stream_events("m", HELLO)) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break

    asyncio.run(main())
    assert (len(a.script.calls), a.script.all_closed, b.script.calls) == (1, True, [])


@pytest.mark.parametrize("method", ["create_completion", "create_async_generator"])
def test_who_answers_inside_a_nested_provider_is_told(method: str) -> None:
    """The attempt keeps the name of the provider that was asked, and says beside it who took the question."""
    leaf = provider("Leaf", [ResponseInfo("leaf-2026", "req-1"), "text", Usage(1, 2)], method=method)
    inner = IterListProvider([provider("Dead", [NO], method=method), leaf], shuffle=False)
    seen, _ = events_of(RetryProvider([RetryProvider([inner])]))
    answer = fold(seen)
    (attempt,) = answer.attempts
    assert (attempt.provider, attempt.passed_to) == ("RetryProvider", "IterListProvider → Leaf")
    assert (attempt.model, attempt.request_id, answer.usage) == ("leaf-2026", "req-1", Usage(1, 2))
    assert answer.provider == "RetryProvider → IterListProvider → Leaf"


def test_what_is_told_about_an_answer_is_short() -> None:
    """A stranger's name of a model, request, state or reason is one line of bounded length and of whole characters."""
    endless = "a\nb\ud83d" + "x" * 100_000
    told = [ResponseInfo(endless, endless, endless), Status(endless), "text", FinishReason(endless)]
    seen, _ = events_of(RetryProvider([provider("A", told)]))
    (attempt,) = fold(seen).attempts
    for fact in (attempt.model, attempt.request_id, attempt.passed_to, attempt.finish_reason):
        assert fact is not None
        assert (fact[:5], fact[-2:], len(fact)) == ("a b?x", "x…", 500)
    assert [len(event.text) for event in seen if isinstance(event, StatusChanged)] == [500]


@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize("base", [object, BaseProvider])
def test_another_name_changes_nothing_else(method: str, base: type) -> None:
    """A provider under another name tells the same about its answer, nested or not, and is called by that name."""
    written = vars(provider("A", TELLING, method=method))[method]
    named = NamedProvider("twice", NamedProvider("once", type("A", (base,), {method: written})))
    for asked, path in ((named, "twice"), (NamedProvider("outer", RetryProvider([named])), "outer → twice")):
        answer = fold(events_of(RetryProvider([asked]))[0])
        assert (answer.text, answer.usage, answer.finish_reason) == ("Hello", Usage(7, 2), "stop")
        assert (answer.provider, answer.model) == (path, "m-2026")
    assert list(RetryProvider([named]).create_completion("m", HELLO)) == ["Hel", "lo"]


def test_the_failures_of_a_provider_that_passes_on_are_filed_under_its_own_name() -> None:
    """A provider that said whom it asked, and then failed, is found in `.exceptions` by its own name."""
    seen, error = events_of(RetryProvider([provider("A", [ResponseInfo(provider="Behind"), NO])]))
    assert isinstance(error, RetryProviderError)
    assert list(error.exceptions) == ["A"]
    assert "A: ValueError: no" in str(error)
    assert fold(seen).attempts[0].path == "A → Behind"


def test_a_cause_is_kept_and_no_group_is_made() -> None:
    """A translated failure keeps its original as the cause, and the error of the run has no context in its way."""
    error = APIStatusError("no", status_code=500)
    error.__cause__ = KeyError("original")
    _, raised = events_of(RetryProvider([provider("A", [error])]))
    assert isinstance(raised, RetryProviderError)
    assert raised.attempts[0].exception is error
    assert isinstance(raised.exceptions["A"].__cause__, KeyError)
    assert raised.__context__ is None
