"""The clients of an SDK: created once, used by every request, and closed when their owner ends.

A synchronous client belongs to its provider. An asynchronous client has connections that belong to an event loop, so
there is one for each loop. It is closed when that loop shuts down its asynchronous generators, as ``asyncio.run`` does
at its end.
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
    """Synchronous clients, one for each endpoint. You can use them from any thread.

    Args:
        make: creates the client for an endpoint. If it refers to the object that owns these clients, they are closed
            only when the garbage collector frees that cycle of references.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._clients: dict[Hashable, Any] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._clients)

    def get(self, endpoint: Hashable) -> Any:
        """Return the client for an endpoint."""
        with self._lock:
            client = self._clients.get(endpoint)
            if client is None:
                client = self._clients[endpoint] = self._make(endpoint)
            return client


class AsyncClients:
    """Asynchronous clients, one for each event loop and endpoint.

    Args:
        make: creates the client for an endpoint.
    """

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._by_loop: dict[asyncio.AbstractEventLoop, dict[Hashable, tuple[Any, AsyncGenerator[None, None]]]] = {}
        self._lock = threading.Lock()

    async def get(self, endpoint: Hashable) -> Any:
        """Return the running loop's client for an endpoint."""
        loop = asyncio.get_running_loop()
        with self._lock:
            for other in [other for other in self._by_loop if other.is_closed()]:
                del self._by_loop[other]
            held = self._by_loop.setdefault(loop, {})
        if endpoint not in held:
            client = self._make(endpoint)
            keeper = _keep(client, held, endpoint)
            held[endpoint] = client, keeper
            # When the loop ends, it closes every asynchronous generator that was started in it.
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
    """Return an HTTP client as the SDK would create it, except for two things.

    All clients share one TLS context, because loading the certificates takes longer than everything else. And for a
    server on this machine the client ignores the environment's proxy, which could not reach it.
    """
    kind = sdk.DefaultAsyncHttpxClient if asynchronous else sdk.DefaultHttpxClient
    return kind(verify=tls_context(sdk), trust_env=not is_loopback(url))


@functools.cache
def tls_context(sdk: Any) -> ssl.SSLContext:
    """Return the TLS context of all clients of an SDK, as its HTTP library creates it; the first call takes 0.1 s."""
    # The SDK's client derives from its HTTP library's, which is httpx or httpx2.
    modules = (base.__module__ for base in sdk.DefaultHttpxClient.__mro__)
    library = next(module.partition(".")[0] for module in modules if module.startswith("httpx"))
    context: ssl.SSLContext = importlib.import_module(library).create_ssl_context()
    return context


def is_loopback(url: str) -> bool:
    """Return whether a URL points to this machine."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127.")
