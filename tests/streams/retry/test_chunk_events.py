"""What the contract settles beyond the document: what content is, what is kept, what does not mix, what passes."""

from __future__ import annotations

import asyncio
import copy
import sys
import threading
import types
from typing import Any

import pytest
from played import HELLO, KINDS, METHODS, Listen, VirtualClock, listen_sync, provider

from nbretry._utils.redaction import remember_secret
from nbretry.errors import EmptyResponseError, RetryNoProviderError, RetryProviderError
from nbretry.providers import IterListProvider, RetryProvider
from nbretry.retry.contract import is_content
from nbretry.types import FinishReason, Reasoning, Usage


@pytest.mark.parametrize("sequence", [list, tuple])
def test_nothing_of_the_caller_is_changed(listen: Listen, sequence: Any) -> None:
    """A provider that changes its messages and options changes copies: the next one sees what the caller passed."""

    class Vandal:
        @staticmethod
        def create_completion(model: str, messages: Any, **options: Any) -> Any:
            messages[0]["content"] = ""
            messages[0]["parts"][0]["text"] = ""
            options["tools"].append("saw")
            options["extra"]["deep"]["er"] = 1
            if isinstance(messages, list):
                messages.clear()
            raise ValueError("done")

    last = provider("Last", ["x"])
    messages = sequence([{"role": "user", "content": "Hello", "parts": ({"text": "a"},)}])
    options = {"tools": ["hammer"], "extra": {"deep": {}}}
    before = copy.deepcopy((messages, options))
    providers = [Vandal, Vandal, last]
    listen(RetryProvider(providers, shuffle=True), messages=messages, **options)
    listen(RetryProvider([Vandal, last], shuffle=False), messages=messages, **options)
    assert (messages, options) == before
    assert providers == [Vandal, Vandal, last]
    assert last.script.calls[-1].messages == messages
    assert last.script.calls[-1].options == {"stream": True, **options}


class Chunk:
    """A foreign chunk that says nothing about being content."""


class Image:
    is_content = True

    def __str__(self) -> str:
        return "![image]"


class Video(Chunk):
    def is_content(self) -> bool:
        return True


@pytest.mark.parametrize("method", ["create_completion", "create_async_generator"])
def test_falsy_chunks_are_left_out(listen: Listen, method: str) -> None:
    """Empty strings, None, zero and empty lists never come out."""
    assert listen(IterListProvider([provider("A", ["", None, "a", 0, "", [], "b"], method=method)])).chunks == [
        "a",
        "b",
    ]


def test_foreign_chunks_pass_and_are_no_start(listen: Listen) -> None:
    """A truthy chunk of another type comes out as it is, and a failure after it still leads to the next provider."""
    chunk = Chunk()
    heard = listen(RetryProvider([provider("A", [chunk, ValueError("no")]), provider("B", ["b"])], shuffle=False))
    assert heard.chunks == [chunk, "b"]


@pytest.mark.parametrize("chunk", [Image(), Video()])
def test_a_chunk_that_says_it_is_content_is_a_start(listen: Listen, chunk: Any) -> None:
    """After a chunk whose ``is_content`` is or gives true a failure is raised, and alone it is an answer."""
    error = ValueError("no")
    heard = listen(RetryProvider([provider("A", [chunk, error]), provider("B", ["b"])], shuffle=False))
    assert (heard.chunks, heard.error) == ([chunk], error)
    assert listen(RetryProvider([provider("A", [chunk])])).chunks == [chunk]


@pytest.mark.parametrize("says", [True, False])
def test_a_module_may_say_what_is_content(listen: Listen, says: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ``is_content`` function of the module in which a chunk's type, or a base of it, is defined is asked."""
    module = types.ModuleType("chunks_of_somebody")
    module.is_content = lambda chunk: says  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    base = type("Base", (), {"__module__": module.__name__})
    heard = listen(
        RetryProvider([provider("A", [type("Derived", (base,), {})()]), provider("B", ["b"])], shuffle=False)
    )
    assert len(heard.chunks) == (1 if says else 2)


def test_a_module_that_uses_our_own_judgement_says_nothing(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk type beside which our own `is_content` was imported is an ordinary foreign chunk."""
    monkeypatch.setattr(sys.modules[__name__], "is_content", is_content, raising=False)
    assert listen(RetryProvider([provider("A", [Chunk()]), provider("B", ["b"])], shuffle=False)).text == "b"


def test_our_own_chunks_about_the_answer_do_not_come_out(listen: Listen) -> None:
    """Usage, finish reason and reasoning of our own types are no part of the contract's stream, and no start."""
    told = [Usage(1, 2), Reasoning("hm"), FinishReason("stop")]
    heard = listen(RetryProvider([provider("A", told), provider("B", [*told, "b"])], shuffle=False))
    assert heard.chunks == ["b"]


@pytest.mark.parametrize("nothing", [[], [""], [None], ["", None], [Chunk()]])
@pytest.mark.parametrize("method", METHODS)
def test_a_provider_that_ends_without_content_has_failed(listen: Listen, nothing: list[Any], method: str) -> None:
    """An answer with no content is an attempt with an `EmptyResponseError`, and the next provider is asked."""
    empty = provider("Empty", nothing or [None], method=method)
    assert listen(RetryProvider([empty, provider("B", ["b"])], shuffle=False)).chunks[-1] == "b"
    error = listen(RetryProvider([empty])).error
    assert isinstance(error, RetryProviderError)
    assert isinstance(error.attempts[0].exception, EmptyResponseError)


def test_every_attempt_is_kept_in_order(listen: Listen) -> None:
    """`.attempts` has every attempt, also of providers with one name; `.exceptions` has the last one of each name."""
    same = [provider("Same", [ValueError(str(i))]) for i in range(3)]
    other = provider("Other", [KeyError("k")])
    error = listen(RetryProvider([same[0], other, *same[1:]], shuffle=False)).error
    assert isinstance(error, RetryProviderError)
    assert [(a.number, a.provider) for a in error.attempts] == [(1, "Same"), (2, "Other"), (3, "Same"), (4, "Same")]
    assert [str(a.exception) for a in error.attempts] == ["0", "'k'", "1", "2"]
    assert {name: str(e) for name, e in error.exceptions.items()} == {"Same": "2", "Other": "'k'"}
    assert str(error).count("Same: ValueError") == 3


def test_a_successful_answer_keeps_the_attempts_too() -> None:
    """An answer that was found after failures has every attempt with its exception."""
    chain = RetryProvider([provider("Dead", [ValueError("no")]), provider("Good", ["good"])], shuffle=False)
    answer = asyncio.run(chain.answer("", HELLO))
    assert (answer.text, answer.provider) == ("good", "Good")
    assert [(a.provider, a.state, a.error) for a in answer.attempts] == [
        ("Dead", "failed", "ValueError: no"),
        ("Good", "answered", None),
    ]


def test_no_exception_is_put_into_the_stream(listen: Listen) -> None:
    """What failed providers raised is not among the chunks."""
    chain = RetryProvider([provider("A", [ValueError("no")]), provider("B", ["b"])], shuffle=False)
    assert listen(chain).chunks == ["b"]


def test_key_text_is_masked(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known keys, keys in the environment and texts that look like keys are not in the error's text."""
    monkeypatch.setenv("SOME_API_KEY", "from-the-environment")
    remember_secret("handed-to-a-provider")
    secrets = ["from-the-environment", "handed-to-a-provider", "sk-proj-abcdef0123456789abcdef"]
    providers = [provider(f"P{i}", [ValueError(f"bad key {secret}!")]) for i, secret in enumerate(secrets)]
    error = listen(RetryProvider(providers, shuffle=False)).error
    assert isinstance(error, RetryProviderError)
    for text in (str(error), repr(error), str(error.args), "".join(error._render_traceback_())):
        assert not any(secret in text for secret in secrets)
    assert str(error).count("bad key [secret]!") == 3


@pytest.mark.parametrize(("method", "on"), KINDS)
def test_it_nests(listen: Listen, method: str, on: str) -> None:
    """A `RetryProvider` in a `RetryProvider` answers, fails and falls back as any other provider."""
    dead, good = provider("Dead", [ValueError("no")], method=method, on=on), provider("G", ["g"], method=method, on=on)
    inner = RetryProvider([dead, good], shuffle=False)
    assert listen(RetryProvider([IterListProvider([inner])])).chunks == ["g"]
    assert listen(RetryProvider([RetryProvider([dead]), good], shuffle=False)).chunks == ["g"]
    assert listen(RetryProvider([RetryProvider([]), good], shuffle=False)).chunks == ["g"]
    error = listen(RetryProvider([RetryProvider([dead])])).error
    assert isinstance(error, RetryProviderError)
    assert "RetryProvider: RetryProviderError: the provider failed: Dead: ValueError: no" in str(error)
    assert isinstance(error.attempts[0].exception, RetryProviderError)


def test_a_nested_provider_that_breaks_off_raises_what_it_was(listen: Listen) -> None:
    """An exception after content is the provider's own, however deep it was nested."""
    error = ValueError("no")
    inner = IterListProvider([RetryProvider([provider("A", ["a", error])])])
    heard = listen(RetryProvider([inner, provider("B", ["b"])], shuffle=False))
    assert (heard.chunks, heard.error) == (["a"], error)


@pytest.mark.parametrize("method", ["create_completion", "create_async_generator"])
def test_two_runs_on_one_object_do_not_mix(method: str) -> None:
    """Two runs of one object, taken turn by turn, each give their own answer and keep their own failures."""
    words = {"one": ["one ", "two ", "three"], "eins": ["eins ", "zwei ", "drei"]}
    questions = [[{"role": "user", "content": question}] for question in words]
    good = provider("Good", method=method)
    good.script.to_question = {question: (said,) for question, said in words.items()}
    chain = RetryProvider([provider("Dead", [ValueError("no")], method=method), good], shuffle=False)
    first, second = (chain.create_completion("", question) for question in questions)
    heard = [(next(first), next(second)) for _ in range(3)]
    assert list(map(list, zip(*heard, strict=True))) == list(words.values())
    assert (list(first), list(second)) == ([], [])

    async def main() -> list[Any]:
        return await asyncio.gather(*(chain.answer("", question) for question in questions))

    answers = asyncio.run(main())
    assert [answer.text for answer in answers] == ["".join(said) for said in words.values()]
    assert [len(answer.attempts) for answer in answers] == [2, 2]


@pytest.mark.parametrize(("method", "on"), KINDS)
def test_the_synchronous_form_works_inside_a_running_loop(method: str, on: str) -> None:
    """`create_completion` answers in a thread whose event loop is running, whatever kind of provider it is."""

    async def main() -> list[Any]:
        return listen_sync(RetryProvider([provider("A", ["a"], method=method, on=on)])).chunks

    assert asyncio.run(main()) == ["a"]


def test_a_synchronous_provider_needs_no_event_loop_and_no_thread() -> None:
    """A synchronous provider asked synchronously runs in the caller's own thread."""
    a, seen = provider("A", ["a"]), []
    a.script.before_chunk = lambda: seen.append(threading.current_thread())
    assert listen_sync(RetryProvider([a])).chunks == ["a"]
    assert seen == [threading.current_thread()]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit, SystemExit])
@pytest.mark.parametrize("said", [[], ["a"]])
def test_interrupts_pass_through(listen: Listen, method: str, kind: Any, said: list[str]) -> None:
    """An interrupt or a cancellation out of a provider is no failure: it is raised, and nobody else is asked."""
    a, b = provider("A", [*said, kind()], method=method), provider("B", ["b"])
    heard = listen(RetryProvider([a, b], False, True, clock=VirtualClock()))
    assert isinstance(heard.error, kind)
    assert (len(a.script.calls), len(b.script.calls)) == (1, 0)
    assert a.script.all_closed


@pytest.mark.parametrize("method", ["create_completion", "create_async_generator"])
def test_closing_the_stream_closes_the_provider(method: str) -> None:
    """Closing the contract's generator half-way closes the provider's generator, and nobody else is asked."""
    a, b = provider("A", ["a", "b"], method=method), provider("B", ["b"])

    async def main() -> None:
        stream = RetryProvider([a, b], shuffle=False).create_async_generator("", HELLO)
        await anext(stream)  # type: ignore[arg-type]
        await stream.aclose()  # type: ignore[attr-defined]

    stream = RetryProvider([a, b], shuffle=False).create_completion("", HELLO)
    assert next(stream) == "a"
    stream.close()  # type: ignore[attr-defined]
    asyncio.run(main())
    assert len(a.script.calls) == 2
    assert a.script.all_closed
    assert b.script.calls == []


def test_no_provider_error_is_not_asked_again() -> None:
    """An inner `RetryProvider` that has nobody to ask is not asked again."""
    clock = VirtualClock()
    heard = listen_sync(RetryProvider([RetryProvider([])], False, True, 5, clock=clock))
    assert isinstance(heard.error, RetryProviderError)
    assert isinstance(heard.error.attempts[0].exception, RetryNoProviderError)
    assert (len(heard.error.attempts), clock.waits) == (1, [])
