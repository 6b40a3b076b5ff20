"""The fault server, both ways to ask a provider, and no keys or proxies of whoever runs the tests."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pytest

from nbretry.types import FinishReason, Reasoning, ResponseInfo, Usage

sys.path.insert(0, str(Path(__file__).parent))

from fault_server import FaultServer

QUESTION = [{"role": "user", "content": "What is it?"}]

_Chunk = TypeVar("_Chunk")


@dataclass
class Heard:
    """What a provider gave: its chunks, and what it raised after them."""

    chunks: list[Any] = field(default_factory=list)
    exception: Exception | None = None

    @property
    def text(self) -> str:
        """The content."""
        return "".join(chunk for chunk in self.chunks if isinstance(chunk, str))

    @property
    def reasoning(self) -> str:
        """The reasoning."""
        return "".join(chunk.text for chunk in self.chunks if isinstance(chunk, Reasoning))

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped."""
        last = self._last(FinishReason)
        return last.reason if last else None

    @property
    def usage(self) -> Usage | None:
        """The tokens that were counted last."""
        return self._last(Usage)

    @property
    def info(self) -> ResponseInfo | None:
        """Who answered."""
        return self._last(ResponseInfo)

    def _last(self, kind: type[_Chunk]) -> _Chunk | None:
        return next((chunk for chunk in reversed(self.chunks) if isinstance(chunk, kind)), None)


Ask: TypeAlias = Callable[..., Heard]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks a provider for a model's answer, once without an event loop and once with one."""

    def ask_sync(provider: Any, model: str = "", messages: Any = QUESTION, **options: Any) -> Heard:
        heard = Heard()
        try:
            for chunk in provider.stream_chunks(model, messages, **options):
                heard.chunks.append(chunk)
        except Exception as exception:
            heard.exception = exception
        return heard

    async def ask_async(provider: Any, model: str = "", messages: Any = QUESTION, **options: Any) -> Heard:
        heard = Heard()
        try:
            async with aclosing(provider.astream_chunks(model, messages, **options)) as chunks:
                async for chunk in chunks:
                    heard.chunks.append(chunk)
        except Exception as exception:
            heard.exception = exception
        return heard

    if request.param == "sync":
        return ask_sync
    return lambda *args, **options: asyncio.run(ask_async(*args, **options))


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A server on loopback whose model name picks what it does; no stream is open on it when the test is over."""
    with FaultServer() as server:
        yield server
        assert server.wait_for(lambda server: server.open_streams == 0), "a stream was left open"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("OPENAI", "ANTHROPIC"):
        for what in ("API_KEY", "BASE_URL"):
            monkeypatch.delenv(f"{service}_{what}", raising=False)
    for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
