"""Run by `test_gpt4free` in a program of its own, beside one release of gpt4free: prints what became of each case.

A case is a function whose name begins with ``case_``; its docstring is its claim.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any


def _no_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise AssertionError(f"the network is out of bounds: {event} {arguments}")


sys.addaudithook(_no_network)

import g4f  # noqa: E402
from g4f import debug  # noqa: E402
from g4f.client import AsyncClient, ChatCompletion, ChatCompletionChunk, Client  # noqa: E402
from g4f.errors import ResponseError  # noqa: E402
from g4f.providers.base_provider import AsyncGeneratorProvider  # noqa: E402
from g4f.providers.response import FinishReason, ImageResponse, ProviderInfo, Reasoning, Usage  # noqa: E402
from g4f.providers.retry_provider import IterListProvider as TheirIterListProvider  # noqa: E402
from gpt4free_mocks import (  # noqa: E402
    AuthedMock,
    CoroutineMock,
    EchoMock,
    ModelMock,
    Paints,
    Raises,
    StreamMock,
    SyncClassMock,
    SyncMock,
    SyncRaises,
    TellsAll,
    TellsAndFails,
    YieldsNone,
)

from nbretry.answer import fold  # noqa: E402
from nbretry.errors import ConfigError, EmptyResponseError, RetryProviderError  # noqa: E402
from nbretry.providers import IterListProvider, RetryProvider, list_models  # noqa: E402

debug.version_check = False
HELLO = [{"role": "user", "content": "Hello"}]


ALL_KINDS = [SyncMock, SyncClassMock, CoroutineMock, StreamMock, AuthedMock]


def ours(*providers: Any, **options: Any) -> RetryProvider:
    return RetryProvider(list(providers), shuffle=False, **options)


async def read(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


async def failure_of(ask: Callable[[], Any]) -> RetryProviderError:
    """What asking raises, where nobody can answer."""
    try:
        outcome = ask()
        if inspect.isawaitable(outcome):
            await outcome
    except RetryProviderError as error:
        return error
    raise AssertionError("nobody can have answered")


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk for chunk in chunks if isinstance(chunk, str))


def case_every_kind_answers_without_a_loop() -> None:
    """A provider class of each of gpt4free's kinds works as it is, asked synchronously."""
    for kind in ALL_KINDS:
        assert text_of(list(ours(kind).create_completion("m", HELLO, stream=False))) == "Mock", kind


async def case_every_kind_answers_in_a_loop() -> None:
    """A provider class of each of gpt4free's kinds works as it is, asked asynchronously."""
    for kind in ALL_KINDS:
        assert text_of(await read(ours(kind).create_async_generator("m", HELLO, stream=False))) == "Mock", kind


async def case_asynchronous_kinds_answer_synchronously_in_a_running_loop() -> None:
    """Inside a running loop the synchronous form works, too."""
    for kind in (SyncMock, CoroutineMock, StreamMock, EchoMock):
        assert text_of(list(ours(kind).create_completion("m", HELLO))) in ("Mock", "Hello"), kind


def case_they_fall_back() -> None:
    """Their failing and their empty providers are attempts, and the next one answers."""
    chain = ours(SyncRaises, Raises, YieldsNone, StreamMock)
    assert text_of(list(chain.create_completion("m", HELLO))) == "Mock"
    assert chain.last_provider is StreamMock


async def case_all_attempts_are_kept() -> None:
    """Where all of theirs fail, the error has a line and an exception for each."""
    error = await failure_of(lambda: ours(SyncRaises, Raises, YieldsNone).answer("m", HELLO, stream=False))
    assert [a.provider for a in error.attempts] == ["SyncRaises", "Raises", "YieldsNone"]
    assert [type(e) for e in error.exceptions.values()] == [RuntimeError, ResponseError, EmptyResponseError]
    assert "SyncRaises: RuntimeError: SyncRaises\nRaises: ResponseError: Raises\n" in str(error)


async def case_streaming_is_asked_for_of_those_who_can() -> None:
    """Their ``supports_stream`` is respected, and ``ignore_stream`` passes it by."""
    assert SyncMock.supports_stream is False
    chain = ours(SyncMock, EchoMock)
    assert await read(chain.create_async_generator("m", HELLO, stream=True)) == ["Hello"]
    assert await read(chain.create_async_generator("m", HELLO, stream=True, ignore_stream=True)) == ["Mock"]
    assert await read(chain.create_async_generator("m", HELLO, stream=False)) == ["Mock"]


async def case_models_are_named_as_they_name_them() -> None:
    """Their ``default_model`` and ``model_aliases`` are respected."""
    for asked, got in (("", "house"), ("big", "big-2026"), ("other", "other")):
        assert await read(ours(ModelMock).create_async_generator(asked, HELLO)) == [got]


async def case_their_models_are_listed() -> None:
    """Their classes and whatever asks others of theirs say their models; one that has none does not say."""
    assert await list_models(ModelMock) == ["house", "big"]
    assert await list_models(TheirIterListProvider([EchoMock, ModelMock], shuffle=False)) == ["house", "big"]
    told = await asyncio.gather(list_models(EchoMock), return_exceptions=True)
    assert [(type(one), str(one)) for one in told] == [(ConfigError, "EchoMock does not say which models it has")]


async def case_their_chunks_pass_and_are_understood() -> None:
    """Their chunk types pass through the contract's stream, and are events of the right kinds."""
    chain = ours(TellsAll)
    chunks = await read(chain.create_async_generator("m", HELLO))
    assert [type(chunk) for chunk in chunks] == [ProviderInfo, Reasoning, str, Usage, FinishReason]
    answer = fold(await read(chain.stream_events("m", HELLO)))
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("Mock", "hm", "length")
    assert (answer.model, answer.attempts[0].path) == ("behind-2026", "TellsAll → Behind")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 4


async def case_their_hidden_chunks_are_no_start() -> None:
    """After provider information and the like a failure still leads to the next provider."""
    answer = await ours(TellsAndFails, StreamMock).answer("m", HELLO)
    assert (answer.text, list(answer.exceptions)) == ("Mock", ["TellsAndFails"])


async def case_their_pictures_are_content() -> None:
    """A picture is an answer."""
    (chunk,) = await read(ours(Paints).create_async_generator("m", HELLO))
    assert isinstance(chunk, ImageResponse)


async def case_their_list_in_ours() -> None:
    """gpt4free's own `IterListProvider` is a provider of ours."""
    theirs = TheirIterListProvider([Raises, StreamMock], False)
    assert text_of(await read(ours(Raises, theirs).create_async_generator("m", HELLO))) == "Mock"
    assert text_of(list(ours(Raises, theirs).create_completion("m", HELLO))) == "Mock"


async def case_ours_in_their_list() -> None:
    """Our `RetryProvider` is a provider of gpt4free's own `IterListProvider`."""
    chain = TheirIterListProvider([ours(Raises), ours(YieldsNone, StreamMock)], False)
    assert text_of(await read(chain.create_async_generator("m", HELLO))) == "Mock"


def _answer(response: Any) -> str:
    assert isinstance(response, ChatCompletion)
    return str(response.choices[0].message.content)


def _deltas(chunks: list[Any]) -> list[str]:
    assert all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
    return [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content is not None]


CHAINS: list[tuple[Callable[[], Any], str]] = [
    (lambda: ours(SyncRaises, EchoMock), "Hello"),
    (lambda: ours(Raises, EchoMock), "Hello"),
    (lambda: ours(YieldsNone, EchoMock), "Hello"),
    (lambda: ours(EchoMock, EchoMock), "Hello"),
    (lambda: IterListProvider([EchoMock, EchoMock]), "Hello"),
    (lambda: ours(ours(Raises), ours(EchoMock)), "Hello"),
    (lambda: ours(SyncMock), "Mock"),
    (lambda: ours(CoroutineMock), "Mock"),
    (lambda: ours(StreamMock), "Mock"),
]


def case_their_client() -> None:
    """Our `RetryProvider` answers as the ``provider=`` of their `Client`."""
    for make, text in CHAINS:
        client = Client(provider=make())
        assert _answer(client.chat.completions.create(HELLO, "")) == text
        assert _answer(client.chat.completions.create(HELLO, "m", temperature=0.1)) == text


def case_their_client_streaming() -> None:
    """Our `RetryProvider` streams as the ``provider=`` of their `Client`."""
    for make, text in CHAINS:
        chunks = list(Client(provider=make()).chat.completions.create(HELLO, "", stream=True, ignore_stream=True))
        assert "".join(_deltas(chunks)) == text
        assert chunks[-1].choices[0].finish_reason == "stop"


async def case_their_async_client() -> None:
    """Our `RetryProvider` answers as the ``provider=`` of their `AsyncClient`."""
    for make, text in CHAINS:
        assert _answer(await AsyncClient(provider=make()).chat.completions.create(HELLO, "")) == text


async def case_their_async_client_streaming() -> None:
    """Our `RetryProvider` streams as the ``provider=`` of their `AsyncClient`, with one last chunk after the text."""
    for make, text in CHAINS:
        client = AsyncClient(provider=make())
        chunks = await read(client.chat.completions.create(HELLO, "", stream=True, ignore_stream=True))
        assert "".join(_deltas(chunks)) == text
        assert len(chunks) == len(_deltas(chunks)) + 1


async def case_their_client_stops_early() -> None:
    """Where their client has enough, after ``max_tokens``, it stops in the middle of our stream."""
    messages = [{"role": "user", "content": word} for word in ("One", "Two", "Never")]
    client = AsyncClient(provider=ours(EchoMock, EchoMock))
    chunks = await read(client.chat.completions.create(messages, "Hello", stream=True, max_tokens=2))
    assert _deltas(chunks) == ["One", "Two"]
    assert len(chunks) == 3
    sync = list(Client(provider=ours(EchoMock)).chat.completions.create(messages, "m", stream=True, max_tokens=2))
    assert _deltas(sync) == ["One", "Two"]


async def case_their_clients_fail_with_our_error() -> None:
    """Where everybody fails, their clients raise our error."""
    chain = ours(SyncRaises, Raises)
    client, async_client = Client(provider=chain), AsyncClient(provider=chain)
    for ask in (
        lambda: client.chat.completions.create(HELLO, ""),
        lambda: list(client.chat.completions.create(HELLO, "", stream=True, ignore_stream=True)),
        lambda: async_client.chat.completions.create(HELLO, ""),
        lambda: read(async_client.chat.completions.create(HELLO, "", stream=True, ignore_stream=True)),
    ):
        assert len((await failure_of(ask)).attempts) == 2


async def case_their_single_retry_is_ours() -> None:
    """With ``single_provider_retry`` a class of theirs that fails in passing is asked again through their client."""

    class AtOnce(Exception):
        retry_after = 0

    class Flaky(AsyncGeneratorProvider):
        working = True
        asked = 0

        @classmethod
        async def create_async_generator(cls, model: str, messages: Any, **kwargs: Any) -> Any:
            cls.asked += 1
            if cls.asked < 3:
                raise AtOnce
            yield "third"

    client = AsyncClient(provider=ours(Flaky, single_provider_retry=True, max_retries=3))
    assert _answer(await client.chat.completions.create(HELLO, "")) == "third"


def case_their_old_interface() -> None:
    """`g4f.ChatCompletion` takes our `RetryProvider`, too."""
    create = g4f.ChatCompletion.create
    assert str(create("", HELLO, ours(SyncRaises, EchoMock))) == "Hello"
    assert text_of(list(create("", HELLO, ours(Raises, EchoMock), stream=True))) == "Hello"


async def case_their_old_asynchronous_interface() -> None:
    """`g4f.ChatCompletion.create_async` takes our `RetryProvider`, too."""
    answer = g4f.ChatCompletion.create_async("", HELLO, ours(SyncRaises, EchoMock))
    assert str(await answer) == "Hello"


async def case_their_pictures_through_ours() -> None:
    """Their image client finds a picture through our `RetryProvider`."""
    client = AsyncClient(image_provider=ours(Raises, YieldsNone, Paints))
    response = await client.images.generate("Hello", "", response_format="url")
    assert response.data[0].url == "http://localhost/image.png"


def main() -> None:
    results = {}
    for name, case in list(globals().items()):
        if name.startswith("case_"):
            try:
                outcome = case()
                if inspect.isawaitable(outcome):
                    asyncio.run(outcome)  # type: ignore[arg-type]
                results[name] = ""
            except BaseException:
                results[name] = traceback.format_exc()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
