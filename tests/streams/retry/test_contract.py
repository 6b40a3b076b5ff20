"""What a provider is, whoever wrote it, and the two examples of the user's document."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from unittest.mock import MagicMock

import pytest
from played import HELLO, METHODS, Listen, listen_async, listen_sync, provider

from nbretry.providers import BaseProvider, RetryProvider

TWO_PROVIDERS = """
from nbretry.providers import RetryProvider, GptGo, ChatBase

providers = [GptGo, ChatBase]  # Список провайдеров
retry_provider = RetryProvider(providers=providers, shuffle=True)

try:
    for message in retry_provider.create_completion(model="gpt-3.5-turbo", messages=[{"role": "user", "content": "Hello"}], stream=True):
        print(message, end="", flush=True)
except Exception as e:
    print(f"Error: {e}")
"""  # noqa: E501 (word for word)

ONE_PROVIDER = """
from nbretry.providers import RetryProvider, GptGo

providers = [GptGo]  # Список провайдеров
retry_provider = RetryProvider(providers=providers, shuffle=False, single_provider_retry=True, max_retries=5)

try:
    for message in retry_provider.create_completion(model="gpt-3.5-turbo", messages=[{"role": "user", "content": "Hello"}], stream=True):
        print(message, end="", flush=True)
except Exception as e:
    print(f"Error: {e}")
"""  # noqa: E501 (word for word)


class AtOnce(Exception):
    """A failure after which the same provider can be asked again without waiting."""

    retry_after = 0


@pytest.mark.parametrize(
    ("example", "chat_base", "gpt_go", "printed"),
    [
        (TWO_PROVIDERS, [["Hello ", "world"]], [[AtOnce("busy")]], "Hello world"),
        (TWO_PROVIDERS, [["Hello ", "world"]], [["Hello ", "world"]], "Hello world"),
        (ONE_PROVIDER, [], [[AtOnce("busy")], [], [AtOnce("busy")], ["Hello ", "world"]], "Hello world"),
    ],
)
def test_the_examples_of_the_document_run(
    example: str, chat_base: Any, gpt_go: Any, printed: str, monkeypatch: Any, capsys: Any
) -> None:
    """Both examples of the user's document print the answer when only the package's name and the providers differ."""
    monkeypatch.setattr("nbretry.providers.GptGo", provider("GptGo", *gpt_go), raising=False)
    monkeypatch.setattr("nbretry.providers.ChatBase", provider("ChatBase", *chat_base), raising=False)
    exec(example, {})
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("example", [TWO_PROVIDERS, ONE_PROVIDER])
def test_the_examples_print_the_failures(example: str, monkeypatch: Any, capsys: Any) -> None:
    """Where every provider fails, the examples print an error with a line for each."""
    monkeypatch.setattr("nbretry.providers.GptGo", provider("GptGo", [AtOnce("busy")]), raising=False)
    monkeypatch.setattr("nbretry.providers.ChatBase", provider("ChatBase", [AtOnce("closed")]), raising=False)
    exec(example, {})
    out = capsys.readouterr().out
    assert out.startswith("Error: every provider failed:\n")
    assert "GptGo: AtOnce: busy" in out


class Bare:
    """Takes nothing but what every provider is given."""

    @classmethod
    def create_completion(cls, model, messages):  # type: ignore[no-untyped-def]
        yield "bare"


class BareAsync:
    async def create_async_generator(self, model, messages):  # type: ignore[no-untyped-def]
        yield "bare"


class BareCoroutine:
    @staticmethod
    async def create_async(model, messages, *, stream):  # type: ignore[no-untyped-def]
        return f"bare {stream}"


class WithoutSelf:
    """gpt4free's own test providers are written so: a plain function in a class that is never instantiated."""

    def create_completion(model, messages, stream, **kwargs):  # type: ignore[no-untyped-def]
        yield "bare"


class GivesList:
    @staticmethod
    def create_completion(model, messages, **kwargs):  # type: ignore[no-untyped-def]
        return ["ba", "re"]


class GivesString:
    @staticmethod
    def create_async_generator(model, messages, **kwargs):  # type: ignore[no-untyped-def]
        return "bare"


@pytest.mark.parametrize("kind", [Bare, BareAsync(), BareCoroutine, WithoutSelf, GivesList, GivesString])
def test_a_plain_class_with_one_method_is_a_provider(listen: Listen, kind: Any) -> None:
    """No base class is needed, nor ``**kwargs``, nor a ``stream`` parameter, nor even a generator."""
    heard = listen(RetryProvider([kind]), stream=True)
    assert heard.error is None
    assert heard.text.removesuffix(" True") == "bare"


def test_an_object_without_the_methods_is_no_provider(listen: Listen) -> None:
    """What has none of the methods fails as a provider does, with a message that says what is missing."""
    heard = listen(RetryProvider([object(), Bare], shuffle=False))
    assert heard.chunks == ["bare"]
    assert "it has none of" in str(listen(RetryProvider([object()])).error)


def own_create_function(base: type) -> type:
    class WithAccessors(base):  # type: ignore[misc]
        @classmethod
        def get_create_function(cls) -> Any:
            return lambda model, messages, **options: iter(["from the sync accessor"])

        @classmethod
        def get_async_create_function(cls) -> Any:
            async def function(model: str, messages: Any, **options: Any) -> Any:
                yield "from the async accessor"

            return function

    return WithAccessors


@pytest.mark.parametrize("base", [object, Bare, BaseProvider])
@pytest.mark.parametrize("derived", [False, True])
def test_the_create_functions_of_a_provider_are_used(base: type, derived: bool) -> None:
    """`get_create_function` and `get_async_create_function` are asked first, also where a base class has them."""
    kind = own_create_function(base)
    if derived:
        kind = type("Derived", (kind,), {"create_completion": Bare.create_completion})
    assert listen_sync(RetryProvider([kind])).chunks == ["from the sync accessor"]
    assert asyncio.run(listen_async(RetryProvider([kind]))).chunks == ["from the async accessor"]


def test_one_of_the_two_create_functions_is_enough(listen: Listen) -> None:
    """A provider that has `get_create_function` alone is asked through it by both drivers."""

    class OnlyAccessor:
        @staticmethod
        def get_create_function() -> Any:
            return lambda model, messages, stream: iter(["made"])

    assert listen(RetryProvider([OnlyAccessor])).chunks == ["made"]


class Proxy:
    """Has nothing of its own: each attribute is looked up where it is asked for."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


@pytest.mark.parametrize("kind", [Bare, BareAsync(), BareCoroutine, own_create_function(Bare)])
def test_a_proxy_of_a_provider_is_a_provider(listen: Listen, kind: Any) -> None:
    """The methods may be found by ``__getattr__`` alone, and so may the two create functions."""
    text = listen(RetryProvider([Proxy(kind)])).text
    assert text.startswith(("bare", "from the "))


def test_a_configured_mock_is_a_provider() -> None:
    """A mock whose create functions are configured, as tests for gpt4free have them, is called through those."""

    async def function(model: str, messages: Any, **options: Any) -> Any:
        yield f"{model} async"

    mock = MagicMock()
    mock.get_create_function.return_value = lambda model, messages, **options: iter([f"{model} sync"])
    mock.get_async_create_function.return_value = function
    assert listen_sync(RetryProvider([mock]), "m").chunks == ["m sync"]
    assert asyncio.run(listen_async(RetryProvider([mock]), "m")).chunks == ["m async"]


def test_a_create_function_that_cannot_be_called_is_a_failure(listen: Listen) -> None:
    """A provider whose accessor gives no function fails with a message that says so."""

    class Broken(Bare):
        get_create_function = get_async_create_function = staticmethod(lambda: "nothing")

    assert "Broken gives nothing that can be called: 'nothing'" in str(listen(RetryProvider([Broken])).error)


def test_an_attribute_that_cannot_be_called_is_no_method(listen: Listen) -> None:
    """A method that a class has taken away by setting it to None is as if it were not there."""

    class Without(Bare):
        create_async_generator = None
        create_async = None

    assert listen(RetryProvider([Without])).chunks == ["bare"]


def test_a_wrapped_synchronous_method_does_not_hold_up_the_loop() -> None:
    """`create_completion` runs in a thread whatever its function is called, as a decorator may have renamed it."""

    def renamed(model: str, messages: Any, **options: Any) -> Any:
        return [threading.current_thread().name]

    wrapped = type("Wrapped", (), {"create_completion": staticmethod(renamed)})
    assert asyncio.run(listen_async(RetryProvider([wrapped]))).chunks == ["nbretry-provider"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("on", ["class", "instance"])
def test_base_provider_fills_in_the_other_methods(method: str, on: str) -> None:
    """Who derives from `BaseProvider` writes one method and has all three, on the class and on an instance."""
    written = {method: vars(provider("A", ["Hello"], method=method))[method]}
    kind = type("Derived", (BaseProvider,), written)
    made: Any = kind if on == "class" else kind()

    async def ask() -> tuple[list[Any], str]:
        return [chunk async for chunk in made.create_async_generator("", HELLO)], await made.create_async("", HELLO)

    assert list(made.create_completion("", HELLO)) == ["Hello"]
    assert asyncio.run(ask()) == (["Hello"], "Hello")
    assert list(made.get_create_function()("", HELLO)) == list(made.create_function("", HELLO)) == ["Hello"]
    assert made.get_async_create_function() == made.create_async_generator
    assert made.get_dict() == {"name": "Derived", "url": None, "label": None}
    assert (made.working, made.supports_stream, made.get_parent()) == (True, True, "Derived")


@pytest.mark.parametrize(
    ("asked", "attributes", "got"),
    [
        ("", {"default_model": "house"}, "house"),
        ("big", {"default_model": "house"}, "big"),
        ("big", {"model_aliases": {"big": "big-2026"}}, "big-2026"),
        ("small", {"model_aliases": {"big": "big-2026"}}, "small"),
        ("big", {"model_aliases": {"big": ["big-2026"]}}, "big-2026"),
        ("", {"default_model": None, "model_aliases": None}, ""),
    ],
)
def test_the_model_is_named_as_the_provider_names_it(listen: Listen, asked: str, attributes: Any, got: str) -> None:
    """`default_model` stands for no model, and `model_aliases` for the provider's own names; both may be missing."""
    a = provider("A", ["a"], **attributes)
    listen(RetryProvider([a]), asked)
    assert a.script.calls[0].model == got


@pytest.mark.parametrize(
    ("attributes", "key"),
    [({}, "for A"), ({"get_parent": staticmethod(lambda: "Parent")}, "for Parent")],
)
def test_each_provider_gets_its_own_key(listen: Listen, attributes: Any, key: str) -> None:
    """Of a dict of keys a provider gets the one under its parent's name, else its own; a single key goes to each."""
    a = provider("A", ["a"], **attributes)
    listen(RetryProvider([a]), api_key={"A": "for A", "Parent": "for Parent"})
    listen(RetryProvider([a]), api_key={"B": "for B"})
    listen(RetryProvider([a]), api_key="one key")
    assert [call.options.get("api_key") for call in a.script.calls] == [key, None, "one key"]
