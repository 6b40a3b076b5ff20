"""A stream that dies after content: raise, restart or continue, and never two answers in one by accident."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from played import HELLO, VirtualClock, listen_async, listen_sync, provider

from nbretry.answer import Answer, fold
from nbretry.errors import BadRequestError, ConfigError, RetryProviderError, StreamInterruptedError
from nbretry.events import Event
from nbretry.providers import RetryProvider, ScriptedProvider
from nbretry.retry.continuation import Continuation
from nbretry.retry.policy import RetryPolicy

CUT = StreamInterruptedError("cut")


def chain(*providers: Any, **settings: Any) -> RetryProvider:
    return RetryProvider(providers, False, clock=VirtualClock(), **settings)


def answer_of(retry: RetryProvider) -> tuple[Answer, BaseException | None]:
    async def main() -> tuple[Answer, BaseException | None]:
        events: list[Event] = []
        try:
            async with aclosing(retry.stream_events("", "question")) as stream:
                async for event in stream:
                    events.append(event)
        except RetryProviderError as error:
            return fold(events), error
        return fold(events), None

    return asyncio.run(main())


def broken() -> Any:
    return provider("Broken", ["Once ", "upon ", CUT], method="create_async_generator")


def whole() -> Any:
    return provider("Whole", ["All ", "is ", "well."], method="create_async_generator")


def test_raise_ends_the_run() -> None:
    """By default nobody else is asked once content has come, and the partial text stays the answer's."""
    other = whole()
    answer, error = answer_of(chain(broken(), other))
    assert (answer.text, answer.state, other.script.calls) == ("Once upon ", "failed", [])
    assert "Broken broke off after it had begun to answer" in str(error)


def test_restart_starts_clean() -> None:
    """With ``restart`` the answer is the next provider's alone, and the given-up text is kept under its attempt."""
    answer, error = answer_of(chain(broken(), whole(), on_break="restart"))
    assert error is None
    assert (answer.text, answer.provider) == ("All is well.", "Whole")
    assert [attempt.given_up for attempt in answer.attempts] == ["Once upon ", ""]
    assert answer.attempts[0].next_step == "fallback"


def test_restart_with_nobody_left() -> None:
    """Where the last one dies too, its partial text stays, and the error has every attempt."""
    answer, error = answer_of(chain(broken(), broken(), on_break="restart"))
    assert (answer.text, answer.state) == ("Once upon ", "failed")
    assert isinstance(error, RetryProviderError)
    assert len(error.attempts) == 2


@pytest.mark.parametrize("listen", [listen_sync, lambda *args: asyncio.run(listen_async(*args))])
def test_restart_cannot_take_back_what_was_yielded(listen: Any) -> None:
    """The contract's two generators raise under ``restart`` as under ``raise``."""
    other = whole()
    heard = listen(chain(broken(), other, on_break="restart"))
    assert (heard.chunks, heard.error) == (["Once ", "upon "], CUT)
    assert other.script.calls == []


@pytest.mark.parametrize("listen", [listen_sync, lambda *args: asyncio.run(listen_async(*args))])
def test_a_nested_restart_raises_as_well(listen: Any) -> None:
    """An inner provider cannot take back either: the outer one, told to restart, does so for it."""
    inner = RetryProvider([broken(), provider("Never")], False, on_break="restart")
    heard = listen(chain(inner))
    assert (heard.chunks, heard.error) == (["Once ", "upon "], CUT)
    answer, _ = answer_of(chain(RetryProvider([broken()], False), whole(), on_break="restart"))
    assert answer.text == "All is well."


def test_retry_after_content() -> None:
    """With ``restart`` and tries left the same provider is asked again, after a wait, and its text starts clean."""
    flaky = provider("Flaky", ["half", CUT], ["whole"], method="create_async_generator")
    retry = chain(flaky, policy=RetryPolicy(max_attempts=2, on_break="restart"))
    answer, _ = answer_of(retry)
    assert (answer.text, [attempt.next_step for attempt in answer.attempts]) == ("whole", ["retry", None])
    assert retry._clock.waits == [0.5]  # type: ignore[attr-defined]


@pytest.mark.parametrize("listen", [listen_sync, lambda *args: asyncio.run(listen_async(*args))])
@pytest.mark.parametrize("method", ["create_completion", "create_async_generator"])
def test_continue_goes_on(listen: Any, method: str) -> None:
    """With ``continue`` the next one is told the text so far and to go on from it; repeated text is left out."""
    second = provider("Second", ["upon a ", "time."], method=method)
    retry = chain(provider("First", ["Once ", "upon a ", CUT], method=method), second, on_break="continue")
    heard = listen(retry)
    assert (heard.text, heard.error) == ("Once upon a time.", None)
    question, so_far, instruction = second.script.calls[0].messages
    assert (question, so_far) == (HELLO[0], {"role": "assistant", "content": "Once upon a "})
    assert instruction["role"] == "user"
    assert "exactly where it stops" in instruction["content"]


def test_continue_says_who_spoke() -> None:
    """The answer names every provider whose text it has, in order, also over one that failed without content."""
    dead = provider("Dead", [ValueError("no")], method="create_async_generator")
    last = provider("Last", ["the ", "end."], method="create_async_generator")
    answer, error = answer_of(chain(broken(), dead, last, on_break="continue"))
    assert error is None
    assert (answer.text, answer.provider) == ("Once upon the end.", "Broken + Last")
    assert [attempt.contributed for attempt in answer.attempts] == [True, False, False]
    assert [attempt.next_step for attempt in answer.attempts] == ["continue", "continue", None]
    assert [attempt.given_up for attempt in answer.attempts] == ["", "", ""]
    assert last.script.calls[0].messages[1]["content"] == "Once upon "


def test_continue_with_nobody_left() -> None:
    """Where nobody can go on, the text so far stays, and the failure of the last is raised by the generators."""
    dead = provider("Dead", [ValueError("no")])
    answer, error = answer_of(chain(broken(), dead, on_break="continue"))
    assert (answer.text, answer.state, answer.provider) == ("Once upon ", "failed", "Broken")
    assert isinstance(error, RetryProviderError)
    heard = listen_sync(chain(provider("B", ["Once ", CUT]), dead, on_break="continue"))
    assert (heard.text, type(heard.error)) == ("Once ", ValueError)


@pytest.mark.parametrize("supports", [True, lambda model: model == "m"])
def test_continue_by_prefill(supports: Any) -> None:
    """A provider that goes on from the assistant's own last message is handed just that."""
    second = ScriptedProvider("'there.'", model="m")
    second.supports_prefill = supports  # type: ignore[attr-defined]
    answer, _ = answer_of(chain(broken(), second, on_break="continue"))
    assert answer.text == "Once upon there."
    assert second.calls[0].messages[1:] == [{"role": "assistant", "content": "Once upon"}]


def test_the_callers_messages_stay_as_they_are() -> None:
    """The conversation that was handed in is not changed by going on."""
    messages = [{"role": "user", "content": "Hello"}]
    listen_sync(chain(provider("B", ["x", CUT]), provider("W", ["y"]), on_break="continue"), "", messages)
    assert messages == [{"role": "user", "content": "Hello"}]


def test_a_refused_request_stops_before_content_only() -> None:
    """400 stops the run before content; in the middle of an answer it is a stream that died."""
    wrong = BadRequestError("no", status_code=400)
    answer, _ = answer_of(chain(provider("A", ["half", wrong]), whole(), on_break="restart"))
    assert answer.text == "All is well."
    answer, _ = answer_of(chain(provider("A", [wrong]), whole(), on_break="restart"))
    assert answer.state == "failed"


@pytest.mark.parametrize("make", [lambda: RetryPolicy(on_break="stop"), lambda: chain(on_break="again")])  # type: ignore[arg-type]
def test_a_wrong_word_is_told(make: Any) -> None:
    """Another word than the three is one line that names them."""
    with pytest.raises(ConfigError, match="should be one of raise, restart, continue"):
        make()


JOINED = [
    ("Hello wide", ["wide", " world"], " world"),
    ("Hello wide", ["wide world"], " world"),
    ("Hello wide ", ["wide world"], "world"),
    ("Hello wide", ["Hello", " wide", " world"], " world"),
    ("Hello wide", [" world"], " world"),
    ("Hello wide", ["wider"], "wider"),
    ("Hello wide ", [" world"], "world"),
    ("the bal", ["l", "oon"], "loon"),
    ("a number of long words", ["of long", " words", " follow"], " follow"),
    ("Hello", ["Hello"], ""),
    ("", ["Hello"], "Hello"),
    ("Hello", [], ""),
    ("one two three four fi", ["three four five"], "ve"),
    ("日本語のテキストがあり", ["テキストがあります"], "ます"),
]


@pytest.mark.parametrize(("text", "fragments", "added"), JOINED)
def test_overlaps(text: str, fragments: list[str], added: str) -> None:
    """What repeats the end of the text so far is left out, and what only happens to look like it is not."""
    continuation = Continuation(text)
    assert "".join([*map(continuation.feed, fragments), continuation.end()]) == added


@given(text=st.text(min_size=1), new=st.text(), cuts=st.lists(st.integers(1, 5), max_size=20))
def test_overlaps_do_not_depend_on_how_the_text_is_cut(text: str, new: str, cuts: list[int]) -> None:
    """The same text is added however it comes in fragments, and what is left out stands at the end of the text."""
    whole = Continuation(text)
    expected = whole.feed(new) + whole.end()
    pieces, rest = [], new
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    continuation = Continuation(text)
    assert "".join([*map(continuation.feed, [*pieces, rest]), continuation.end()]) == expected
    assert new.endswith(expected)
    left_out = new[: len(new) - len(expected)]
    assert text.endswith(left_out) or not left_out.strip(" ")


def test_an_answer_that_is_no_text_is_not_begun_anew() -> None:
    """A chunk of another type that says it is content is part of the text that the next provider is handed."""

    class Picture:
        is_content = True

        def __str__(self) -> str:
            return "![a picture]"

    second = provider("Second", [" and text"])
    retry = chain(provider("First", [Picture(), CUT]), second, on_break="continue")
    assert listen_sync(retry).chunks[1:] == [" and text"]
    assert "![a picture]" in str(second.script.calls[0].messages[1:])
