"""The base class of the HTTP providers.

It uses an SDK's client for keys, endpoints and errors, but reads the tokens from the response's raw bytes: the SDK's
own stream builds a validated object for each token, which costs more than everything else together. An `AnswerReader`
turns the bytes into chunks and does no I/O, so the synchronous and the asynchronous loop of `SDKProvider` are thin and
alike.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib
import math
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import aclosing, suppress
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import urlsplit

from nbretry._utils.redaction import mask, remember_secret
from nbretry.errors import AuthenticationError, NotFoundError, ProviderError
from nbretry.providers.http.clients import AsyncClients, SyncClients, http_client, is_loopback, tls_context
from nbretry.providers.http.reader import AnswerReader
from nbretry.providers.http.request import Ask, Endpoint, backstop
from nbretry.providers.http.sdk_errors import Asked, is_transport_error, translate
from nbretry.providers.keys import find_key
from nbretry.providers.models import read_models
from nbretry.providers.services import PRESETS, how_to_set
from nbretry.retry.async_bridge import call_in_thread
from nbretry.retry.contract import BaseProvider, resolve_model
from nbretry.retry.deadlines import Deadlines
from nbretry.types import Messages

__all__ = ["UNSENDABLE_KEY", "SDKProvider"]

_DRAIN_TIMEOUT = 0.1
"""Seconds to wait for the end of a response whose answer is complete, so that its connection can be reused."""


UNSENDABLE_KEY = "the key has a line break or a letter in it that no key has"
"""Message for a key that no request header can contain."""

_NOT_FOR_THE_ENDPOINT = frozenset(
    ("conversation", "conversation_id", "ignore_stream", "ignored", "provider", "proxy", "return_conversation")
)
"""Options of gpt4free's clients that are meant for the provider's class and are not request parameters."""


class SDKProvider(BaseProvider):
    """A provider that uses an official SDK. Subclasses define which SDK, what a request is, and how to read an answer.

    Args:
        base_url: the endpoint, or a function that returns it when it is needed; None for the subclass's own.
        api_key: the key; None for the one that `nbretry.providers.keys.find_key` finds.
        model: the model to use if the question names none; None for the service's default.
        name: the provider's name.
        timeout: seconds without new data after which a request fails.
        connect_timeout: time limit for connecting, in seconds.
        deadlines: time limits for an attempt, in place of those of the `RetryProvider`.
        key_variable: environment variable with the key; None for the service's own, or for an endpoint that needs none.
        client_options: further arguments for the SDK's clients.
    """

    accepts_deadlines = True

    package: ClassVar[str]
    """Name of the SDK, of the extra that installs it, and of the service that the SDK is made for."""

    modules: ClassVar[tuple[str, ...]]
    """Modules that the SDK loads only with the first request."""

    default_base_url: ClassVar[str]
    base_url_variable: ClassVar[str]
    """Environment variable with the base URL, used if none is given."""

    _query_for_models: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init__(
        self,
        *,
        base_url: str | Callable[[], str] | None,
        api_key: str | None,
        model: str | None,
        name: str,
        timeout: float,
        connect_timeout: float,
        key_variable: str | None,
        deadlines: Deadlines | None,
        client_options: Mapping[str, Any],
    ) -> None:
        remember_secret(api_key)
        if base_url is None or base_url == self.default_base_url:
            service = PRESETS[self.package]
            model = model or service.default_model
            key_variable = key_variable or service.key_variable
        self.name = name
        self.default_model: str = model or ""
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.deadlines = deadlines
        self.needs_auth: bool = key_variable is not None
        self._base_url = base_url
        self._api_key = api_key
        self._key_variable = key_variable
        self._client_options = dict(client_options)
        self._sync_clients = SyncClients(functools.partial(self._make_client, asynchronous=False))
        self._async_clients = AsyncClients(functools.partial(self._make_client, asynchronous=True))

    @property
    def base_url(self) -> str:
        """The endpoint that requests go to now: the argument, else the environment's, else the service's own."""
        if callable(self._base_url):
            return self._base_url()
        return self._base_url or os.environ.get(self.base_url_variable) or self.default_base_url

    @property
    def key_variable(self) -> str | None:
        """Environment variable with the key; None for an endpoint that needs none."""
        return self._key_variable

    @property
    def has_own_key(self) -> bool:
        """Whether the provider was given a key, in place of the one in `key_variable`."""
        return bool(self._api_key)

    @property
    def key_can_be_sent(self) -> bool:
        """Whether a request header can contain the key, which must not have a line break or a non-ASCII letter."""
        return _can_be_sent((self._api_key or self._found_key()).strip())

    @property
    def credentials(self) -> str:
        """A hash of the endpoint and the key, to notice when either changes. It reveals neither."""
        key = self._api_key or self._found_key()
        return hashlib.sha256(f"{self._base_url!r} {key}".encode()).hexdigest()

    def __repr__(self) -> str:
        shown = [f"name={self.name!r}"]
        if isinstance(self._base_url, str):
            shown.append(f"base_url={mask(self._base_url)!r}")
        if self.default_model:
            shown.append(f"model={self.default_model!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def stream_chunks(
        self, model: str, messages: Messages, stream: bool = True, **options: Any
    ) -> Generator[Any, None, None]:
        """Ask, in synchronous code.

        Args:
            model: name of the model; empty for the provider's default.
            messages: the conversation.
            stream: whether to stream the answer.
            **options: parameters of the request, such as ``temperature`` and ``max_tokens``; also ``api_key`` and
                ``timeout`` (seconds), for this request only. Options that are None are left out.

        Yields:
            Non-empty strings, and `nbretry.types.Metadata`.

        Raises:
            ProviderError: one of its subclasses, with the SDK's exception as ``__cause__``.
        """
        ask = self._ask(model, messages, stream, options, ask_keyring=True)
        client = self._sync_clients.get(ask.endpoint)
        while True:
            reader = self._reader(ask)
            try:
                if not ask.model:
                    self._require_served_model(ask)
                    ask.model = _first_of(client.models.list())
                with self._request(client, ask) as response:
                    reader.begin(response.headers)
                    for data in response.http_response.iter_bytes():
                        chunks = reader.feed(data)
                        if chunks:
                            yield from chunks
                            reader.resume()
                        if reader.done:
                            break
            except Exception as exception:
                if not (reader.finished and is_transport_error(exception)):
                    self._adapt_or_raise(exception, ask, reader)
                    continue
            yield from self._end(reader, ask)
            return

    async def astream_chunks(
        self, model: str, messages: Messages, stream: bool = True, **options: Any
    ) -> AsyncGenerator[Any, None]:
        """Ask, in asynchronous code; otherwise as `stream_chunks`. Cancelling closes the connection."""
        if not options.get("api_key"):
            await self.look_into_keyring()
        ask = self._ask(model, messages, stream, options)
        await self._load_in_thread()
        client = await self._async_clients.get(ask.endpoint)
        while True:
            reader = self._reader(ask)
            try:
                if not ask.model:
                    self._require_served_model(ask)
                    ask.model = _first_of(await client.models.list())
                async with self._request(client, ask) as response:
                    reader.begin(response.headers)
                    async with aclosing(response.http_response.aiter_bytes()) as pieces:
                        async for data in pieces:
                            chunks = reader.feed(data)
                            if chunks:
                                for chunk in chunks:
                                    yield chunk
                                reader.resume()
                            if reader.done:
                                if reader.finished:
                                    await _drain(pieces)
                                break
            except Exception as exception:
                if not (reader.finished and is_transport_error(exception)):
                    self._adapt_or_raise(exception, ask, reader)
                    continue
            for chunk in self._end(reader, ask):
                yield chunk
            return

    async def list_models(self, timeout: float = 10.0) -> list[str]:  # noqa: ASYNC109 (it is passed to the SDK, too)
        """Return the models that the endpoint lists, in its order.

        Args:
            timeout: time limit for the whole call, in seconds.

        Returns:
            The names, filtered by `nbretry.providers.models.model_names`.

        Raises:
            StreamError: the response is not a list of models.
            ProviderError: another of its subclasses, with the SDK's exception as ``__cause__``.
            Exception: what a function given as ``base_url`` raises.
        """
        url = self.base_url
        connect_timeout = min(self.connect_timeout, timeout)
        try:
            async with asyncio.timeout(timeout):
                await self.look_into_keyring()
                await self._load_in_thread()
                client = await self._async_clients.get(Endpoint(url, self._key(None, url)))
                # Read the raw body: the SDKs fail on lists in another format than their own services', and would read
                # an endless one.
                request = client.models.with_streaming_response.list(
                    timeout=self._load().Timeout(timeout, connect=connect_timeout), extra_query=self._query_for_models
                )
                async with request as response, aclosing(response.http_response.aiter_bytes()) as pieces:
                    return await read_models(pieces)
        except Exception as exception:
            error = translate(exception, Asked(self.name, "", url, timeout, connect_timeout))
            if error is None or error is exception:
                raise
            raise error from exception

    async def look_into_keyring(self) -> None:
        """Look in the system keyring for a key that is nowhere else; the user may have to unlock the keyring."""
        if self._key_variable and not (self._api_key or self._found_key()):
            # In a thread, because the call may block until then.
            await call_in_thread(lambda: self._found_key(ask_keyring=True))

    def warm_up(self) -> None:
        """Load the SDK, so that the first question does not wait for it. No key is looked for, no connection opened.

        Raises:
            ProviderError: the package cannot be loaded.
        """
        tls_context(self._load())
        with suppress(ImportError):
            # The HTTP library would load this at the first request, which takes 0.1 s. The private name may change.
            importlib.import_module("anyio._backends._asyncio")

    async def _load_in_thread(self) -> None:
        if any(module not in sys.modules for module in self.modules):
            # Importing an SDK takes half a second, which would block the event loop.
            await asyncio.to_thread(lambda: tls_context(self._load()))

    def _load(self) -> Any:
        """Import the SDK and return its module."""
        try:
            for module in self.modules:
                importlib.import_module(module)
            return importlib.import_module(self.package)
        except ImportError as error:
            raise ProviderError(
                f'the package {self.package} cannot be loaded ({error}): pip install "nbretry[{self.package}]"',
                provider=self.name,
            ) from error

    def _ask(
        self, model: str, messages: Messages, stream: bool, options: dict[str, Any], *, ask_keyring: bool = False
    ) -> Ask:
        given = {key: value for key, value in options.items() if value is not None and key not in _NOT_FOR_THE_ENDPOINT}
        url = self.base_url
        endpoint = Endpoint(url, self._key(given.pop("api_key", None), url, ask_keyring=ask_keyring))
        deadlines = given.pop("deadlines", Deadlines())
        timeout = float(given.pop("timeout", self.timeout))
        timeout = backstop(deadlines, timeout)
        extra: dict[str, Any] = {key: given.pop(key) for key in ("extra_headers", "extra_query") if key in given}
        given |= given.pop("extra_body", {})
        return Ask(endpoint, resolve_model(self, model), messages, stream, given, extra, timeout, deadlines)

    def _timeout(self, ask: Ask) -> Any:
        """Return the timeouts of a request in the HTTP library's form."""
        return self._load().Timeout(ask.timeout, connect=self._connect_timeout(ask))

    def _connect_timeout(self, ask: Ask) -> float:
        return min(self.connect_timeout, ask.timeout, ask.deadlines.connect or math.inf)

    def _key(self, given: str | None, url: str, *, ask_keyring: bool = False) -> str:
        key = (given or self._api_key or self._found_key(ask_keyring=ask_keyring)).strip()
        if key:
            remember_secret(key)
            if not _can_be_sent(key):
                # Refused here, because the HTTP library would quote the key in its exception.
                raise AuthenticationError(UNSENDABLE_KEY, provider=self.name)
            return key
        if self._key_variable is None or is_loopback(url):
            return "none"  # the SDKs require some text
        raise AuthenticationError(
            f"{self._key_variable} is not set: {how_to_set(self._key_variable)}", provider=self.name
        )

    def _found_key(self, *, ask_keyring: bool = False) -> str:
        found = find_key(self._key_variable, ask_keyring=ask_keyring) if self._key_variable else None
        return found.value if found else ""

    def _require_served_model(self, ask: Ask) -> None:
        """Raise unless the endpoint is on this machine.

        If no model was named, the provider asks a local server which model it serves, but never a paid service.
        """
        if not is_loopback(ask.endpoint.url):
            raise NotFoundError(f"no model was named, and {self.name} has no default one")

    def _end(self, reader: AnswerReader, ask: Ask) -> list[Any]:
        try:
            return reader.end()
        except ProviderError as exception:
            raise self._translated(exception, ask, reader) or exception from exception.__cause__

    def _adapt_or_raise(self, exception: Exception, ask: Ask, reader: AnswerReader) -> None:
        """Change the request so that it is worth sending again, or raise nbretry's exception for this one."""
        error = self._translated(exception, ask, reader)
        if error is None or error is exception:
            raise exception
        if not reader.answering and self._adapt(ask, error):
            return
        raise error from exception

    def _translated(self, exception: Exception, ask: Ask, reader: AnswerReader) -> ProviderError | None:
        url = ask.endpoint.url
        asked = Asked(self.name, ask.model, url, ask.timeout, self._connect_timeout(ask))
        error = translate(exception, asked, answering=reader.answering)
        if error is not None and error.request_id is None:
            error.request_id = reader.request_id
        return error

    def _make_client(self, endpoint: Endpoint, *, asynchronous: bool) -> Any:
        sdk = self._load()
        options = {
            "api_key": endpoint.api_key,
            "max_retries": 0,  # the retry policy decides whether to ask again
            "http_client": http_client(sdk, endpoint.url, asynchronous=asynchronous),
            **self._client_options,
        }
        client = self._client_class(sdk, asynchronous)(**options, **self._address(endpoint))
        if not self._is_own_service(endpoint.url):
            # Do not send elsewhere what the environment has for the SDK's own service, such as tokens in headers.
            for name in ("auth_token", "organization", "project"):
                if hasattr(client, name):
                    setattr(client, name, self._client_options.get(name))
            client._custom_headers = {**(self._client_options.get("default_headers") or {})}
        return client

    def _is_own_service(self, url: str) -> bool:
        """Return whether a URL belongs to the service that the SDK is made for, or to the endpoint set for it."""
        hosts = [urlsplit(own).hostname for own in (self.default_base_url, os.environ.get(self.base_url_variable, ""))]
        host = urlsplit(url).hostname or ""
        return any(own and (host == own or host.endswith(f".{own}")) for own in hosts)

    def _client_class(self, sdk: Any, asynchronous: bool) -> Any:
        """Return the SDK's client class."""
        raise NotImplementedError

    def _address(self, endpoint: Endpoint) -> dict[str, Any]:
        """Return the arguments that tell a client its endpoint."""
        return {"base_url": endpoint.url}

    def _request(self, client: Any, ask: Ask) -> Any:
        """Return the SDK's context manager that sends the request and gives the raw response."""
        raise NotImplementedError

    def _reader(self, ask: Ask) -> AnswerReader:
        """Return the reader of the answer."""
        raise NotImplementedError

    def _adapt(self, ask: Ask, error: ProviderError) -> bool:
        """Change a refused request so that this endpoint accepts it; return False if there is nothing to change."""
        return False


def _first_of(models: Any) -> str:
    if not models.data:
        raise NotFoundError("no model was named, and the server serves none")
    return str(models.data[0].id)


def _can_be_sent(key: str) -> bool:
    return key.isascii() and key.isprintable()


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    try:
        async with asyncio.timeout(_DRAIN_TIMEOUT):
            async for _ in pieces:
                pass
    except Exception:
        return  # the answer is complete, so the connection no longer matters
