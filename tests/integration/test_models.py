"""`list_models` over HTTP: lists of every form, endpoints that fail or are hostile, and keys that stay unseen."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer
from heard import Ask

from nbretry._utils.exceptions import describe
from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigError,
    NotFoundError,
    ProviderError,
    RateLimitError,
    ServerError,
    StreamError,
)
from nbretry.providers import (
    AnthropicProvider,
    IterListProvider,
    LocalProvider,
    OpenAIProvider,
    RetryProvider,
    list_models,
)
from nbretry.providers.http.sdk import SDKProvider
from nbretry.providers.local.model import DEFAULT_MODEL, ensure_model
from nbretry.providers.local.server import LocalServer
from nbretry.retry.contract import NamedProvider

KEY = "a-key-of-12345"
"""Of no service's shape, so that it is masked only where it is known to be one."""

WITHIN = 30.0
"""Seconds; it takes a small part of that on an idle machine."""

_called: list[Any] = []
_listening = threading.Event()


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if not _listening.is_set():
        return
    if event in ("socket.connect", "socket.sendto"):
        _called.append(arguments[1])
    elif event == "socket.getaddrinfo":
        _called.append(arguments[:2])


sys.addaudithook(_listen)


@pytest.fixture(autouse=True)
def loopback_alone() -> Iterator[None]:
    """No test of this module calls anything but this machine."""
    _called.clear()
    _listening.set()
    yield
    _listening.clear()
    assert {address[0] for address in _called} <= {"127.0.0.1", b"127.0.0.1"}


Make = Callable[..., SDKProvider]


@pytest.fixture(params=["openai", "anthropic"])
def make(request: pytest.FixtureRequest, server: FaultServer) -> Make:
    """Makes a provider of each protocol for a kind of list of the fault server."""

    def openai(kind: str, model: str | None = None, **settings: Any) -> SDKProvider:
        return OpenAIProvider(
            f"{server.origin}/{kind}/v1", **{"api_key": KEY, "model": model, "name": "lab", **settings}
        )

    def anthropic(kind: str, model: str | None = None, **settings: Any) -> SDKProvider:
        address = f"{server.origin}/{kind}"
        return AnthropicProvider(base_url=address, **{"api_key": KEY, "model": model, "name": "lab", **settings})

    make = openai if request.param == "openai" else anthropic
    make("ok").warm_up()  # or the SDK's import would count against short limits
    return make


def listed(provider: Any, timeout: float = WITHIN) -> list[str]:
    """What `list_models` gives."""
    return asyncio.run(list_models(provider, timeout))


def failure(provider: Any, timeout: float = WITHIN) -> ProviderError:
    """What `list_models` raises: one line about this provider, without its key."""
    with pytest.raises(ProviderError) as raised:
        listed(provider, timeout)
    error = raised.value
    for text in (str(error), repr(error), describe(error), "".join(traceback.format_exception(error))):
        assert KEY not in text
    assert "\n" not in str(error)
    assert error.provider == "lab"
    return error


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("v1", ["ok"]),
        ("anthropic", ["claude-b", "claude-a"]),
        ("ollama", ["llama3:latest", "qwen3:8b"]),
        ("bare", ["one", "two"]),
        ("none", []),
    ],
)
def test_lists_of_any_form(make: Make, server: FaultServer, kind: str, names: list[str]) -> None:
    """A list is read in whichever form services give it, in its order, no name twice; nothing but the list is asked."""
    assert listed(make(kind)) == names
    assert [seen.path.removeprefix(f"/{kind}") for seen in server.seen] == ["/v1/models"]
    assert all(KEY in str(seen.headers) for seen in server.seen)


@pytest.mark.parametrize(
    ("kind", "model", "names"),
    [
        ("many-3", "model-2", ["model-2", "model-0", "model-1"]),
        ("many-2", "mine", ["mine", "model-0", "model-1"]),
        ("none", "mine", ["mine"]),
        ("ollama", "llama3", ["llama3", "qwen3:8b"]),
    ],
)
def test_default_model_comes_first(make: Make, kind: str, model: str, names: list[str]) -> None:
    """The default model is the first, whether it is listed or not, and does not come again under its latest tag."""
    assert listed(make(kind, model)) == names


def test_aliases_come_last(make: Make) -> None:
    """What the user has given as aliases can be asked for as well."""
    provider = make("v1", "mine")
    provider.model_aliases = {"fast": "ok", "mine": "ok"}
    assert listed(provider) == ["mine", "ok", "fast"]


def test_all_of_anthropics_models(server: FaultServer) -> None:
    """Of a service that gives 20 models at once where it is not told otherwise, all are had."""
    assert len(listed(AnthropicProvider(KEY, base_url=f"{server.origin}/pages-300"))) == 300


def test_other_names_for_a_provider(make: Make) -> None:
    """A provider under another name has its own models."""
    assert listed(NamedProvider("other", NamedProvider("another", make("v1", "mine")))) == ["mine", "ok"]


def test_those_that_ask_others(make: Make) -> None:
    """One that asks others has what one of them has at least, in their order; who fails is passed over."""
    others = [make("many-2", "mine"), make("500"), make("many-3"), object()]
    for kind in (RetryProvider, IterListProvider):
        assert listed(kind(others)) == ["mine", "model-0", "model-1", "model-2"]


def test_those_that_ask_others_of_whom_none_says(make: Make) -> None:
    """Where each of those fails, the first one's failure is told."""
    with pytest.raises(ServerError, match="this is a 500"):
        listed(RetryProvider([make("500"), make("404"), object()]))


# --- hostile lists ----------------------------------------------------------------------------------------------------


def test_as_many_as_a_list_may_have(make: Make) -> None:
    """Of 50,000 names the default and the first 4,999 are had."""
    names = listed(make("many-50000", "mine"))
    assert names == ["mine", *(f"model-{number}" for number in range(4999))]


def test_names_that_cannot_be_shown(make: Make) -> None:
    """Names with control characters or line breaks and very long ones are left out; one of a page's code is text."""
    assert listed(make("strange")) == ["good", "<script>alert(1)</script>"]


def test_a_key_among_the_names(make: Make) -> None:
    """An endpoint that gives the key back as a model's name does not have it shown."""
    assert listed(make("key")) == ["ok"]


@pytest.mark.parametrize("kind", ["html-200", "garbage", "deep", "nothing", "answer"])
def test_what_is_no_list(make: Make, kind: str) -> None:
    """A page, broken or endlessly nested JSON, an empty body and another object are told as no list of models."""
    error = failure(make(kind))
    assert type(error) is StreamError
    assert str(error) == "what came is no list of models: is the base URL right?"


def test_a_list_without_end(make: Make, server: FaultServer) -> None:
    """A list that does not end is given up at 16 MB, and its connection is closed."""
    assert str(failure(make("endless"))) == "the list of models has more than 16 MB"
    assert server.wait_for(lambda server: server.disconnects == 1, WITHIN)


# --- endpoints that fail ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthenticationError), (404, NotFoundError), (429, RateLimitError), (500, ServerError), (503, ServerError)],
)
def test_refusals(make: Make, status: int, kind: type[ProviderError]) -> None:
    """A status is told with its own class and in the endpoint's words."""
    error = failure(make(str(status)))
    assert (type(error), error.status_code, str(error)) == (kind, status, f"this is a {status}")


def test_a_refusal_that_quotes_the_key(make: Make) -> None:
    """A service that quotes the key that it refuses does not have it shown, in the traceback neither."""
    error = failure(make("quoting"))
    assert (type(error), str(error)) == (AuthenticationError, "Incorrect API key provided: [secret].")


@pytest.mark.parametrize("kind", ["hang", "hanghdr", "drip-20"])
def test_an_endpoint_that_hangs(make: Make, server: FaultServer, kind: str) -> None:
    """The limit is one for all of it, keep-alives or not, and the connection is closed."""
    begun = time.monotonic()
    error = failure(make(kind), 3.0)
    assert 3.0 <= time.monotonic() - begun < WITHIN
    assert (type(error), str(error)) == (APITimeoutError, f"no answer from {server.origin} within 3 s")
    assert server.wait_for(lambda server: server.disconnects == 1, WITHIN)


def test_a_lost_connection(make: Make, server: FaultServer) -> None:
    """Where the connection breaks before a list has come, that is told."""
    error = failure(make("refuse"))
    assert type(error) is APIConnectionError
    assert str(error).startswith(f"the connection to {server.origin} was lost")


def test_an_endpoint_that_is_not_there() -> None:
    """Where nobody listens that is told with the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = failure(OpenAIProvider(f"http://me:{KEY}@127.0.0.1:{port}/v1", KEY, name="lab"))
    assert type(error) is APIConnectionError
    assert str(error) == f"cannot connect to http://127.0.0.1:{port} (Connection refused)"


def test_an_address_that_cannot_be_had() -> None:
    """What the user's own function for the address raises is told in one line."""

    def address() -> str:
        raise KeyError("lab")

    error = failure(OpenAIProvider(address, KEY, name="lab"))
    assert str(error) == "lab cannot say which models it has: KeyError: 'lab'"


def test_a_key_that_is_not_set(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a service whose key is not set nothing is called, and the variable to set is told."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    error = failure(OpenAIProvider("http://lab.example/v1", name="lab", key_variable="GROQ_API_KEY"))
    assert type(error) is AuthenticationError
    assert str(error) == "GROQ_API_KEY is not set: set it in the environment or in .env, or run %nbretry key groq"


def test_a_key_that_cannot_be_sent(make: Make, server: FaultServer) -> None:
    """A key with a line break is told as such, and not sent."""
    error = failure(make("v1", api_key=f"{KEY}\n{KEY}"))
    assert str(error) == "the key has a line break or a letter in it that no key has"
    assert server.seen == []


def test_a_missing_package(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an SDK cannot be imported, the command that installs it is told."""
    monkeypatch.setitem(sys.modules, "openai", None)
    error = failure(OpenAIProvider(server.url, KEY, name="lab"))
    assert str(error).endswith('pip install "nbretry[openai]"')


@pytest.mark.parametrize("timeout", [0, -1.0, float("inf"), float("nan")])
def test_limits_that_are_none(server: FaultServer, timeout: float) -> None:
    """A limit that is no number of seconds above 0 is told, and nothing is called."""
    with pytest.raises(ConfigError, match="should be a number of seconds above 0"):
        listed(OpenAIProvider(server.url, KEY), timeout)
    assert server.seen == []


def test_cancelling_ends_it(make: Make, server: FaultServer) -> None:
    """Cancelling closes the connection at once, and leaves no task behind."""

    async def cancelled() -> float:
        task = asyncio.create_task(list_models(RetryProvider([make("hang"), make("drip-20")]), 600.0))
        assert await server.await_for(lambda server: len(server.seen) == 2, WITHIN)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return time.monotonic() - begun

    assert asyncio.run(cancelled()) < WITHIN
    assert server.wait_for(lambda server: server.disconnects == 2, WITHIN)


# --- the local model --------------------------------------------------------------------------------------------------


@pytest.mark.local_model
def test_local_files_that_were_asked_for(ask: Ask, tmp_path: Path) -> None:
    """A local provider has its own model by name, and by its path a file that it was asked for, while it is there."""
    settings: dict[str, Any] = {"n_ctx": 512, "n_parallel": 1}
    provider, other = LocalProvider(**settings), tmp_path / "other.gguf"
    shutil.copyfile(ensure_model(), other)
    try:
        assert ask(provider, str(other), max_tokens=2).text
        assert listed(provider)[:2] == [DEFAULT_MODEL.name, str(other)]
    finally:
        LocalServer.shared(other, **settings).stop()
    other.unlink()
    assert str(other) not in listed(provider)
