"""Providers as they are written for gpt4free, in the style of its own test providers."""

from __future__ import annotations

import asyncio
from typing import Any

from g4f.errors import ResponseError
from g4f.providers.base_provider import (
    AbstractProvider,
    AsyncAuthedProvider,
    AsyncGeneratorProvider,
    AsyncProvider,
    ProviderModelMixin,
)
from g4f.providers.response import AuthResult, FinishReason, ImageResponse, ProviderInfo, Reasoning, Usage


class SyncMock(AbstractProvider):
    working = True

    def create_completion(model, messages, stream, **kwargs):  # type: ignore[no-untyped-def]
        yield "Mock"


class SyncClassMock(AbstractProvider):
    working = True

    @classmethod
    def create_completion(cls, model: str, messages: Any, **kwargs: Any) -> Any:
        yield "Mo"
        yield "ck"


class CoroutineMock(AsyncProvider):
    working = True

    @classmethod
    async def create_async(cls, model: str, messages: Any, **kwargs: Any) -> str:
        return "Mock"


class StreamMock(AsyncGeneratorProvider):
    working = True

    @classmethod
    async def create_async_generator(cls, model: str, messages: Any, stream: bool = True, **kwargs: Any) -> Any:
        yield "Mo"
        await asyncio.sleep(0)
        yield "ck"


class AuthedMock(AsyncAuthedProvider):
    working = True

    @classmethod
    async def on_auth_async(cls, **kwargs: Any) -> Any:
        yield AuthResult(token="t")

    @classmethod
    async def create_authed(cls, model: str, messages: Any, auth_result: Any, **kwargs: Any) -> Any:
        yield "Mock"


class EchoMock(AsyncGeneratorProvider):
    working = True

    async def create_async_generator(model, messages, stream, **kwargs):  # type: ignore[no-untyped-def]
        for message in messages:
            yield message["content"]


class ModelMock(AsyncGeneratorProvider, ProviderModelMixin):
    working = True
    default_model = "house"
    model_aliases = {"big": "big-2026"}  # noqa: RUF012 (as gpt4free's own providers are written)

    @classmethod
    async def create_async_generator(cls, model: str, messages: Any, **kwargs: Any) -> Any:
        yield model


class SyncRaises(AbstractProvider):
    working = True

    @classmethod
    def create_completion(cls, model: str, messages: Any, stream: bool, **kwargs: Any) -> Any:
        raise RuntimeError(cls.__name__)
        yield ""


class Raises(AsyncGeneratorProvider):
    working = True

    @classmethod
    async def create_async_generator(cls, model: str, messages: Any, stream: bool, **kwargs: Any) -> Any:
        raise ResponseError(cls.__name__)
        yield ""


class YieldsNone(AsyncGeneratorProvider):
    working = True

    async def create_async_generator(model, messages, stream, **kwargs):  # type: ignore[no-untyped-def]
        yield None


class TellsAll(AsyncGeneratorProvider):
    working = True

    @classmethod
    async def create_async_generator(cls, model: str, messages: Any, **kwargs: Any) -> Any:
        yield ProviderInfo(name="Behind", model="behind-2026", url=None, label=None)
        yield Reasoning("hm")
        yield "Mock"
        yield Usage(prompt_tokens=3, completion_tokens=1, total_tokens=4)
        yield FinishReason("length")


class TellsAndFails(AsyncGeneratorProvider):
    working = True

    @classmethod
    async def create_async_generator(cls, model: str, messages: Any, **kwargs: Any) -> Any:
        yield ProviderInfo(name="Behind", model="behind-2026", url=None, label=None)
        yield FinishReason("stop")
        raise RuntimeError("told, but said nothing")


class Paints(AsyncGeneratorProvider):
    working = True

    @classmethod
    async def create_async_generator(cls, model: str, messages: Any, stream: bool = True, **kwargs: Any) -> Any:
        yield ImageResponse("http://localhost/image.png", "a picture")
