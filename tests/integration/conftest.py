"""The fault server, both ways to ask a provider, and no keys or proxies of whoever runs the tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from fault_server import FaultServer
from heard import QUESTION, Ask, Heard


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
