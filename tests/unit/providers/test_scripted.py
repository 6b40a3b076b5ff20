"""`ScriptedProvider`: plays what its script says, the same each time, and knows how it was called and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigError,
    EmptyResponseError,
    RateLimitError,
    RetryProviderError,
    ServerError,
    StreamInterruptedError,
)
from nbretry.providers import RetryProvider, ScriptedProvider
from nbretry.providers.script import (
    Cut,
    Delay,
    End,
    Hang,
    Headers,
    KeepAlive,
    Refusal,
    Reset,
    WrongJSON,
    parse_script,
)
from nbretry.types import FinishReason, Reasoning, ResponseInfo, Usage

QUESTION = [{"role": "user", "content": "What is it?"}]


class FakeClock:
    """A clock that only moves when it is waited by."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def time(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return sum(self.waited)

    def random(self) -> float:
        return 0.5

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)

    async def asleep(self, seconds: float) -> None:
        self.waited.append(seconds)


def ask_sync(provider: ScriptedProvider, **options: Any) -> list[Any]:
    return list(provider.stream_chunks("", QUESTION, **options))


def ask_async(provider: ScriptedProvider, **options: Any) -> list[Any]:
    async def main() -> list[Any]:
        return [chunk async for chunk in provider.astream_chunks("", QUESTION, **options)]

    return asyncio.run(main())


both_ways = pytest.mark.parametrize("ask", [ask_sync, ask_async])
Ask = Callable[..., list[Any]]


def text(chunks: list[Any]) -> str:
    return "".join(chunk for chunk in chunks if isinstance(chunk, str))


@both_ways
def test_a_play_for_each_call(ask: Ask) -> None:
    """Each call plays the next play, and the last one repeats."""
    provider = ScriptedProvider("429 retry-after=2, 'Hel' 'lo' cut, 'done'")
    with pytest.raises(RateLimitError) as refused:
        ask(provider)
    assert (refused.value.status_code, refused.value.retry_after) == (429, 2.0)
    with pytest.raises(StreamInterruptedError):
        ask(provider)
    assert text(ask(provider)) == "done"
    assert text(ask(provider)) == "done"
    assert (provider.opened, provider.closed, len(provider.calls)) == (4, 4, 4)


@both_ways
def test_an_answer_is_told_as_a_services_is(ask: Ask) -> None:
    """Who answers comes first and why it stopped comes last, unless the script says otherwise."""
    chunks = ask(ScriptedProvider("reasoning='hm' 'yes'", name="me", model="m-1"))
    assert chunks == [ResponseInfo("m-1", "me-1"), Reasoning("hm"), "yes", FinishReason("stop")]
    assert ask(ScriptedProvider("'yes' finish=length"))[1:] == ["yes", FinishReason("length")]


@both_ways
def test_words(ask: Ask) -> None:
    """A text is played word by word, with the wait before each word, and nothing of it is lost."""
    clock = FakeClock()
    chunks = ask(ScriptedProvider.words("Hello big\n world ", delay=0.02, clock=clock))
    assert chunks[1:] == ["Hello", " big", "\n world", " ", FinishReason("stop"), Usage(None, 4)]
    assert clock.waited == [0.02] * 4


@both_ways
def test_delays_are_the_clocks(ask: Ask) -> None:
    """A delay is waited for by the clock that was brought, so a test need not sleep."""
    clock = FakeClock()
    assert text(ask(ScriptedProvider("delay=1.5 'a' delay=2 'b'", clock=clock))) == "ab"
    assert clock.waited == [1.5, 2.0]


@both_ways
def test_without_a_stream(ask: Ask) -> None:
    """Without a stream the text comes in one piece, and where the play fails none of it comes."""
    provider = ScriptedProvider(["'a' 'b'", "'a' cut"])
    assert [chunk for chunk in ask(provider, stream=False) if isinstance(chunk, str)] == ["ab"]
    with pytest.raises(StreamInterruptedError):
        ask(provider, stream=False)


@both_ways
def test_plays_as_objects(ask: Ask) -> None:
    """A play may be a sequence of steps, in which a text is a chunk and an exception is raised."""
    boom = ValueError("own")
    provider = ScriptedProvider([["ok", Delay(0.0)], [Refusal(503, message="busy")], [boom], [WrongJSON()]])
    assert text(ask(provider)) == "ok"
    with pytest.raises(ServerError, match="busy"):
        ask(provider)
    with pytest.raises(ValueError, match="own"):
        ask(provider)
    with pytest.raises(StreamInterruptedError, match="not JSON"):
        ask(provider)


@both_ways
def test_faults_of_a_wire(ask: Ask) -> None:
    """What a wire can do is here what a provider over it makes of that, before an answer has begun and after."""
    provider = ScriptedProvider("reset, 'a' reset, headers reset, 'a' end, 'a' 503 message='busy'")
    with pytest.raises(APIConnectionError, match="before an answer comes"):
        ask(provider)
    for _ in range(2):
        with pytest.raises(StreamInterruptedError, match="resets the connection here"):
            ask(provider)
    with pytest.raises(StreamInterruptedError, match="without saying that the answer is complete"):
        ask(provider)
    with pytest.raises(ServerError, match="busy"):
        ask(provider)


@both_ways
def test_headers_tell_who_answers(ask: Ask) -> None:
    """Headers tell who answers before the wait for its text, and are no chunk of the answer."""
    clock = FakeClock()
    provider = ScriptedProvider("headers delay=1 'a'", clock=clock)
    assert [type(chunk) for chunk in ask(provider)] == [ResponseInfo, str, FinishReason]
    assert clock.waited == [1.0]


@both_ways
def test_the_order_without_a_stream(ask: Ask) -> None:
    """Without a stream the reasoning comes before the text, as services do, and nothing comes of a failing play."""
    chunks = ask(ScriptedProvider("reasoning='hm' 'a' 'b' finish=length"), stream=False)
    assert chunks[1:] == [Reasoning("hm"), "ab", FinishReason("length")]
    heard: list[Any] = []
    with pytest.raises(APIConnectionError):
        heard.extend(ScriptedProvider("reasoning='hm' 'a' reset").stream_chunks("", QUESTION, stream=False))
    assert heard == []


def test_calls_are_recorded() -> None:
    """Each call is kept with its model, messages and options."""
    provider = ScriptedProvider()
    list(provider.stream_chunks("m", QUESTION, temperature=0.5))
    (call,) = provider.calls
    assert (call.model, call.messages, call.options) == ("m", QUESTION, {"stream": True, "temperature": 0.5})


@pytest.mark.parametrize("script", ["'a' hang", "headers hang", "keepalive"])
def test_a_hang_ends_when_it_is_cancelled(script: str) -> None:
    """In an event loop a hang lasts until the task is cancelled, and then the stream counts as closed."""
    provider = ScriptedProvider(script)

    async def main() -> None:
        task = asyncio.create_task(provider.create_async("", QUESTION))
        await asyncio.sleep(0.01)
        assert (provider.opened, provider.closed) == (1, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (provider.opened, provider.closed) == (1, 1)


def test_a_hang_without_a_loop_is_bounded_by_the_clock() -> None:
    """Without an event loop a hang lasts an hour of the clock, kept alive or not, and is then a timeout."""
    clock = FakeClock()
    for script in ("hang", "keepalive"):
        with pytest.raises(APITimeoutError):
            ask_sync(ScriptedProvider(script, clock=clock))
    assert clock.waited == [3600.0, 3600.0]


def test_closing_in_the_middle_is_counted() -> None:
    """A stream that its consumer closes in the middle counts as closed, in both forms."""
    provider = ScriptedProvider("'a' 'b' 'c'")
    chunks = provider.stream_chunks("", QUESTION)
    next(chunks)
    assert (provider.opened, provider.closed) == (1, 0)
    chunks.close()
    assert provider.closed == 1

    async def main() -> None:
        async with aclosing(provider.astream_chunks("", QUESTION)) as chunks:
            await anext(chunks)
        assert provider.closed == 2

    asyncio.run(main())


def test_through_a_retry_provider() -> None:
    """Faults of a script go through the engine as a service's do."""
    clock = FakeClock()
    first = ScriptedProvider("429 retry-after=2, empty, ok", name="first", clock=clock)
    retry = RetryProvider([first], single_provider_retry=True, clock=clock)
    answer = asyncio.run(retry.answer("", QUESTION))
    assert answer.text == "All is well."
    assert [type(attempt.exception) for attempt in answer.attempts] == [RateLimitError, EmptyResponseError, type(None)]
    assert clock.waited[0] == 2.0
    with pytest.raises(RetryProviderError):
        list(RetryProvider([ScriptedProvider("500")]).create_completion("", QUESTION))


@pytest.mark.parametrize(
    ("script", "plays"),
    [
        ("ok", [["All is well."]]),
        ("empty", [[]]),
        ("500 , cut,hang", [[Refusal(500)], [Cut()], [Hang()]]),
        ("429 retry-after=0.5 message='slow, please'", [[Refusal(429, 0.5, "slow, please")]]),
        (r"""'it\'s\n' "a 'b', c" badjson""", [["it's\n", "a 'b', c", WrongJSON()]]),
        ("headers reset, 'a' end, keepalive", [[Headers(), Reset()], ["a", End()], [KeepAlive()]]),
        ("503 retry-after-date=9", [[Refusal(503, 9.0, as_date=True)]]),
        ("OK, Delay=1 finish=length", [["All is well."], [Delay(1.0), FinishReason("length")]]),
    ],
)
def test_the_grammar(script: str, plays: list[list[Any]]) -> None:
    """A comma parts plays, a space parts steps, and quotes keep both."""
    assert parse_script(script) == plays


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("okk", "unknown step 'okk'; did you mean ok?"),
        ("hangs, ok", "unknown step 'hangs'; did you mean hang?"),
        ("200", "unknown step '200'"),
        ("4299", "unknown step '4299'; did you mean 429?"),
        ("retry=2", "unknown step 'retry=2'; did you mean retry-after=2?"),
        ("500 retry-after=soon", "unknown step 'retry-after=soon'; did you mean retry-after=2?"),
        ("delay=-1", "unknown step 'delay=-1'; did you mean delay=0.1?"),
        ("'a' retry-after-date=2", "belongs after a status, as in '429 retry-after-date=2'"),
        ("keep-alive", "unknown step 'keep-alive'; did you mean keepalive?"),
        ("retry-after=2", "belongs after a status, as in '429 retry-after=2'"),
        ("xyzzy", "known are ok, 'text', 429"),
        ("'open", 'unknown step "\'open"'),
        ("ok,,ok", "has a play without a step; for an answer without content write 'empty'"),
        ("", "has a play without a step"),
    ],
)
def test_a_bad_script_is_told_in_one_line(script: str, message: str) -> None:
    """A step that is unknown is named in one line, with the nearest one that is known."""
    with pytest.raises(ConfigError) as caught:
        ScriptedProvider(script)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_play_at_all() -> None:
    """A script of no plays is refused at once and not at the first question."""
    with pytest.raises(ConfigError, match="no play"):
        ScriptedProvider([])


@given(st.text())
def test_any_text_is_a_script_or_a_config_error(script: str) -> None:
    """Whatever is written, it is read as a script or refused by `ConfigError`, and by nothing else."""
    try:
        plays = parse_script(script)
    except ConfigError:
        return
    assert plays


@given(st.lists(st.text(), min_size=1))
def test_quoted_texts_come_back(texts: list[str]) -> None:
    """A text in quotes, with backslashes and quotes escaped, is played as it was."""
    quoted = ("'" + piece.replace("\\", "\\\\").replace("'", "\\'") + "'" for piece in texts)
    assert parse_script(" ".join(quoted)) == [texts]
