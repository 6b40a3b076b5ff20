"""The fault server, one for each test, and no keys or proxies from whoever runs the tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fault_server import FaultServer


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
