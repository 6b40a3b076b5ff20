"""The contract's interface, line by line: paths, names, parameters, defaults, and how a run goes."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
from typing import Any

import pytest
from played import HELLO, KINDS, Listen, VirtualClock, listen_async, provider

from nbretry.errors import RetryNoProviderError, RetryProviderError
from nbretry.providers import IterListProvider, RetryProvider
from nbretry.providers.retry_provider import raise_exceptions

BOTH = pytest.mark.parametrize("kind", [IterListProvider, RetryProvider])


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("nbretry.providers", ["RetryProvider", "IterListProvider"]),
        ("nbretry.providers.retry_provider", ["IterListProvider", "RetryProvider", "raise_exceptions"]),
        ("nbretry.errors", ["RetryProviderError", "RetryNoProviderError"]),
        ("nbretry.types", ["Messages", "CreateResult", "AsyncResult", "ProviderType"]),
    ],
)
def test_every_name_is_at_its_path(module: str, names: list[str]) -> None:
    """Each name of the contract can be imported from each path that the contract gives for it."""
    home = importlib.import_module(module)
    assert [name for name in names if not hasattr(home, name)] == []


def test_both_paths_lead_to_the_same_classes() -> None:
    """`nbretry.providers` and its module `retry_provider` have one and the same classes."""
    home = importlib.import_module("nbretry.providers.retry_provider")
    assert home.RetryProvider is RetryProvider
    assert home.IterListProvider is IterListProvider


EMPTY = inspect.Parameter.empty


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (IterListProvider.__init__, {"providers": EMPTY, "shuffle": True}),
        (
            IterListProvider.create_completion,
            {
                "model": EMPTY,
                "messages": EMPTY,
                "stream": False,
                "ignore_stream": False,
                "ignored": [],
                "kwargs": EMPTY,
            },
        ),
        (
            IterListProvider.create_async_generator,
            {"model": EMPTY, "messages": EMPTY, "stream": True, "ignore_stream": False, "ignored": [], "kwargs": EMPTY},
        ),
        (
            RetryProvider.__init__,
            {"providers": EMPTY, "shuffle": True, "single_provider_retry": False, "max_retries": 3},
        ),
        (RetryProvider.create_completion, {"model": EMPTY, "messages": EMPTY, "stream": False}),
        (RetryProvider.create_async_generator, {"model": EMPTY, "messages": EMPTY, "stream": True}),
    ],
)
def test_parameters_have_the_order_and_the_defaults_of_the_document(function: Any, parameters: dict[str, Any]) -> None:
    """The parameters that the document names come first, in its order and with its defaults."""
    found = [(p.name, p.default) for p in inspect.signature(function).parameters.values() if p.name != "self"]
    assert found[: len(parameters)] == list(parameters.items())


def test_parameters_of_get_providers_and_raise_exceptions() -> None:
    """`get_providers` takes ``stream, ignored`` and `raise_exceptions` takes ``exceptions``, by position or by name."""
    assert list(inspect.signature(IterListProvider.get_providers).parameters) == ["self", "stream", "ignored"]
    assert list(inspect.signature(raise_exceptions).parameters) == ["exceptions"]


@BOTH
def test_attributes_are_as_given(kind: type[IterListProvider]) -> None:
    """`providers` and `shuffle` are as given, `working` is true, `last_provider` is None before the first question."""
    providers = [provider("A"), provider("B")]
    chain = kind(providers)
    assert chain.providers is providers
    assert (chain.shuffle, chain.working, chain.last_provider) == (True, True, None)
    assert kind(providers, False).shuffle is False


def test_retry_provider_extends_iter_list_provider() -> None:
    """`RetryProvider` is an `IterListProvider` with ``single_provider_retry`` and ``max_retries``."""
    chain = RetryProvider([], False, True, 5)
    assert isinstance(chain, IterListProvider)
    assert (chain.shuffle, chain.single_provider_retry, chain.max_retries) == (False, True, 5)
    assert (RetryProvider([]).single_provider_retry, RetryProvider([]).max_retries) == (False, 3)


@BOTH
def test_the_two_methods_give_generators(kind: type[IterListProvider]) -> None:
    """`create_completion` gives a generator and `create_async_generator` an asynchronous one."""
    chain = kind([provider("A", ["a"])])
    assert inspect.isgenerator(chain.create_completion("", HELLO))
    assert inspect.isasyncgen(chain.create_async_generator("", HELLO))


@BOTH
def test_the_create_functions_are_the_two_bound_methods(kind: type[IterListProvider]) -> None:
    """`get_create_function` and `get_async_create_function` give the bound methods themselves."""
    chain = kind([])
    assert chain.get_create_function() == chain.create_completion
    assert chain.get_async_create_function() == chain.create_async_generator


@BOTH
def test_get_providers_leaves_out_who_cannot_stream_and_who_is_ignored(kind: type[IterListProvider]) -> None:
    """With ``stream`` those that support it, without all, and in both cases none whose name is ignored."""
    streams, whole, unsaid = provider("S", supports_stream=True), provider("W", supports_stream=False), provider("U")
    chain = kind([streams, whole, unsaid], shuffle=False)
    assert chain.get_providers(True, []) == [streams, unsaid]
    assert chain.get_providers(False, []) == [streams, whole, unsaid]
    assert chain.get_providers(False, ["S", "U"]) == [whole]


@BOTH
def test_get_providers_shuffles_a_copy(kind: type[IterListProvider]) -> None:
    """With ``shuffle`` the order changes from call to call, and the caller's list never does."""
    providers = [provider(f"P{i}") for i in range(20)]
    before = list(providers)
    orders = [kind(providers, shuffle=True).get_providers(False, []) for _ in range(5)]
    assert any(order != before for order in orders)
    assert all(sorted(order, key=before.index) == before for order in orders)
    assert providers == before


@pytest.mark.parametrize(("method", "on"), KINDS)
def test_truthy_chunks_are_yielded_as_they_come(listen: Listen, method: str, on: str) -> None:
    """What a provider yields comes out in its order, whichever of the three methods it has, as class or instance."""
    chunks = ["Hel", "lo"] if method != "create_async" else ["Hello"]
    heard = listen(IterListProvider([provider("A", chunks, method=method, on=on)]))
    assert (heard.chunks, heard.error) == (chunks, None)


def test_a_chunk_comes_out_before_the_next_is_asked_for() -> None:
    """The first chunk of a synchronous provider is there while its generator has not gone on to the second."""
    first = provider("A", ["a", "b"])
    steps: list[None] = []
    first.script.before_chunk = lambda: steps.append(None)
    chunks = iter(IterListProvider([first]).create_completion("", HELLO))
    assert next(chunks) == "a"
    assert len(steps) == 1
    assert list(chunks) == ["b"]


def test_a_chunk_comes_out_before_the_next_is_asked_for_asynchronously() -> None:
    """The first chunk of an asynchronous provider is there while its generator has not gone on to the second."""

    async def main() -> None:
        first = provider("A", ["a", "b"], method="create_async_generator")
        steps: list[None] = []
        first.script.before_chunk = lambda: steps.append(None)
        chunks = aiter(IterListProvider([first]).create_async_generator("", HELLO))
        assert await anext(chunks) == "a"
        assert len(steps) == 1
        assert [chunk async for chunk in chunks] == ["b"]

    asyncio.run(main())


@pytest.mark.parametrize(("method", "on"), KINDS)
def test_a_failure_before_content_leads_to_the_next_provider(listen: Listen, method: str, on: str) -> None:
    """An exception before any content is not raised: the next provider answers."""
    dead = provider("Dead", [ValueError("no")], method=method, on=on)
    good = provider("Good", ["good"], method=method, on=on)
    chain = IterListProvider([dead, good], shuffle=False)
    heard = listen(chain)
    assert (heard.chunks, heard.error) == (["good"], None)
    assert chain.last_provider is good
    assert dead.script.all_closed
    assert good.script.all_closed


def test_a_failure_is_logged(listen: Listen, caplog: pytest.LogCaptureFixture) -> None:
    """An exception that is stored is also logged, with the provider's name and the message."""
    with caplog.at_level(logging.WARNING, "nbretry"):
        listen(IterListProvider([provider("Dead", [ValueError("out of order")]), provider("B", ["b"])], shuffle=False))
    assert "Dead failed: ValueError: out of order" in caplog.text


@pytest.mark.parametrize("method", ["create_completion", "create_async_generator"])
@pytest.mark.parametrize("retry", [False, True])
def test_a_failure_after_content_ends_the_run(listen: Listen, method: str, retry: bool) -> None:
    """An exception after content is raised as it was, nobody else is asked, and nothing is asked again."""
    error = ValueError("broke off")
    broken = provider("Broken", ["half ", error], method=method)
    other = provider("Other", ["other"], method=method)
    heard = listen(RetryProvider([broken, other], False, single_provider_retry=retry, clock=VirtualClock()))
    assert heard.chunks == ["half "]
    assert heard.error is error
    assert (len(broken.script.calls), len(other.script.calls)) == (1, 0)
    assert broken.script.all_closed


def test_the_exception_keeps_the_traceback_of_the_provider(listen: Listen) -> None:
    """The traceback of an exception after content leads to the line of the provider that raised it."""
    heard = listen(IterListProvider([provider("A", ["a", ValueError("here")], method="create_async_generator")]))
    assert heard.error is not None
    frames, traceback = [], heard.error.__traceback__
    while traceback:
        frames.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert frames[-1] == "chunks"  # of `providers.Script`


@BOTH
def test_if_every_provider_failed_the_exceptions_are_raised_together(listen: Listen, kind: Any) -> None:
    """Where nobody answered, `RetryProviderError` has a line ``Name: Type: message`` for each provider."""
    chain = kind([provider("A", [ValueError("one")]), provider("B", [KeyError("two")])], shuffle=False)
    error = listen(chain).error
    assert isinstance(error, RetryProviderError)
    assert str(error).splitlines()[-2:] == ["A: ValueError: one", "B: KeyError: 'two'"]
    assert [type(e) for e in error.exceptions.values()] == [ValueError, KeyError]


@pytest.mark.parametrize(
    ("providers", "options"),
    [
        ([], {}),
        ([provider("A", ["a"])], {"ignored": ["A"]}),
        ([provider("A", ["a"], supports_stream=False)], {"stream": True}),
    ],
)
@BOTH
def test_with_nobody_to_ask_that_is_what_is_raised(listen: Listen, kind: Any, providers: Any, options: Any) -> None:
    """With no provider, or none left after ``ignored`` and ``stream``, `RetryNoProviderError` is raised."""
    assert isinstance(listen(kind(providers), **options).error, RetryNoProviderError)


@BOTH
def test_ignored_and_ignore_stream_say_who_is_asked(listen: Listen, kind: Any) -> None:
    """``ignored`` leaves providers out by name, and ``ignore_stream`` brings in those that cannot stream."""
    a, b = provider("A", ["a"]), provider("B", ["b"], supports_stream=False)
    assert listen(kind([a, b], shuffle=False), ignored=["A"], stream=False).chunks == ["b"]
    assert listen(kind([b, a], shuffle=False), stream=True).chunks == ["a"]
    assert listen(kind([b, a], shuffle=False), stream=True, ignore_stream=True).chunks == ["b"]


def test_arguments_reach_the_provider(listen: Listen) -> None:
    """Model, messages, ``stream`` and other keyword arguments reach the provider; ``ignored`` and the like do not."""
    a = provider("A", ["a"])
    listen(IterListProvider([a]), "some-model", HELLO, stream=True, ignored=["Z"], ignore_stream=True, temperature=0.5)
    (call,) = a.script.calls
    assert (call.model, call.messages) == ("some-model", HELLO)
    assert call.options == {"stream": True, "temperature": 0.5}


def test_any_name_reaches_the_provider(listen: Listen) -> None:
    """A keyword argument may have any name, one of the engine's own included."""
    a = provider("A", ["a"])
    assert listen(RetryProvider([a]), takes_back="x", request="y", facts="z").chunks == ["a"]
    assert a.script.calls[0].options.items() >= {"takes_back": "x", "request": "y", "facts": "z"}.items()


def test_single_provider_retry_asks_each_provider_so_often_before_the_next(listen: Listen) -> None:
    """With ``single_provider_retry`` one provider is asked up to ``max_retries`` times before the next one is."""
    dead, good = provider("Dead", [ValueError("no")]), provider("Good", ["good"])
    heard = listen(RetryProvider([dead, good], False, True, max_retries=4, clock=VirtualClock()))
    assert heard.chunks == ["good"]
    assert (len(dead.script.calls), len(good.script.calls)) == (4, 1)


def test_without_single_provider_retry_each_provider_is_asked_once(listen: Listen) -> None:
    """By default a provider that failed is not asked again."""
    dead = provider("Dead", [ValueError("no")], ["late"])
    assert isinstance(listen(RetryProvider([dead])).error, RetryProviderError)
    assert len(dead.script.calls) == 1


def test_raise_exceptions_with_exceptions() -> None:
    """`raise_exceptions` of some raises `RetryProviderError` with a line for each, and keeps them by name."""
    given = {"A": ValueError("one"), "B": TimeoutError()}
    with pytest.raises(RetryProviderError, match=r"A: ValueError: one\nB: TimeoutError") as caught:
        raise_exceptions(given)
    assert caught.value.exceptions == given


def test_raise_exceptions_without_exceptions() -> None:
    """`raise_exceptions` of none raises `RetryNoProviderError`."""
    with pytest.raises(RetryNoProviderError):
        raise_exceptions({})


def test_the_asynchronous_form_works_in_a_running_loop() -> None:
    """Awaited in a loop that runs already, as in a notebook's cell, the asynchronous form gives the same answer."""

    async def main() -> list[Any]:
        return (await listen_async(RetryProvider([provider("A", ["a"])]))).chunks

    assert asyncio.run(main()) == ["a"]
