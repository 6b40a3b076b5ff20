"""The clients of an SDK: made once, used by every request, and closed when what they belong to ends.

A synchronous client belongs to its provider. An asynchronous one has connections that belong to an event loop, so there
is one for each loop. It is closed when that loop shuts down its asynchronous generators, as ``asyncio.run`` does at its
end.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Hashable
from typing import Any
from urllib.parse import urlsplit

__all__ = ["AsyncClients", "SyncClients", "http_client", "is_loopback", "tls_context"]


class SyncClients:
    """Clients without an event loop, by endpoint. They may be used from any thread.

    Args:
        make: makes the client for an endpoint. It must not hold the object that these clients belong to.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._clients: dict[Hashable, Any] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._clients)

    def get(self, endpoint: Hashable) -> Any:
        """The client for an endpoint."""
        with self._lock:
            client = self._clients.get(endpoint)
            if client is None:
                client = self._clients[endpoint] = self._make(endpoint)
            return client


class AsyncClients:
    """Clients with an event loop, by loop and endpoint.

    Args:
        make: makes the client for an endpoint.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._by_loop: dict[asyncio.AbstractEventLoop, dict[Hashable, tuple[Any, AsyncGenerator[None, None]]]] = {}
        self._lock = threading.Lock()

    async def get(self, endpoint: Hashable) -> Any:
        """The running loop's client for an endpoint."""
        loop = asyncio.get_running_loop()
        with self._lock:
            for other in [other for other in self._by_loop if other.is_closed()]:
                del self._by_loop[other]
            held = self._by_loop.setdefault(loop, {})
        if endpoint not in held:
            client = self._make(endpoint)
            keeper = _keep(client, held, endpoint)
            held[endpoint] = client, keeper
            # The loop closes at its end every asynchronous generator that was started in it.
            await anext(keeper)
        return held[endpoint][0]


async def _keep(client: Any, held: dict[Hashable, Any], endpoint: Hashable) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        held.pop(endpoint, None)
        await client.close()


def _close_all(clients: dict[Hashable, Any]) -> None:
    for client in clients.values():
        client.close()


def http_client(sdk: Any, url: str, *, asynchronous: bool) -> Any:
    """An HTTP client as the SDK would make it, but for two things.

    All share one TLS context, as loading the certificates takes longer than all the rest. And for a server on this
    machine the environment's proxy is not used, which could not reach it.
    """
    kind = sdk.DefaultAsyncHttpxClient if asynchronous else sdk.DefaultHttpxClient
    return kind(verify=tls_context(sdk), trust_env=not is_loopback(url))


@functools.cache
def tls_context(sdk: Any) -> ssl.SSLContext:
    """The TLS context of all clients of an SDK, as its HTTP library makes it; the first call takes 0.1 s."""
    # The SDK's client derives from its HTTP library's, which is httpx or httpx2.
    modules = (base.__module__ for base in sdk.DefaultHttpxClient.__mro__)
    library = next(module.partition(".")[0] for module in modules if module.startswith("httpx"))
    context: ssl.SSLContext = importlib.import_module(library).create_ssl_context()
    return context


def is_loopback(url: str) -> bool:
    """Whether a URL means this machine."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127.")
