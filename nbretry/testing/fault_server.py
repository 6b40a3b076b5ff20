"""`FaultServer`, a local HTTP server that answers, refuses, hangs and breaks off according to a script."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nbretry._utils.redaction import MASK, mask
from nbretry.errors import ConfigError
from nbretry.providers.script import Delay, Fault, Hang, Headers, KeepAlive, Script, Step, plays_of
from nbretry.testing.player import Hangup, Player, Response
from nbretry.testing.protocols import AnthropicMessages, ChatCompletions, WireProtocol
from nbretry.types import FinishReason, Messages, Reasoning, Usage

if TYPE_CHECKING:
    from nbretry.providers.openai import OpenAIProvider

__all__ = ["FaultServer", "ReceivedRequest"]

_HOST = "127.0.0.1"
_EVERY_MODEL = ""
_ANY_MODEL = "simulated"
_LARGEST_BODY = 16 * 1024 * 1024
_MOST_CONNECTIONS = 256
_MOST_REQUESTS = 10_000
_SECRET_HEADERS = {"api-key", "authorization", "cookie", "proxy-authorization", "x-api-key"}
_SAYABLE = str | Delay | Headers | Hang | KeepAlive | Fault | FinishReason | Reasoning | Usage

_PROTOCOLS: dict[str, type[WireProtocol]] = {
    "/v1/chat/completions": ChatCompletions,
    "/v1/messages": AnthropicMessages,
}


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request, as the server received it.

    Attributes:
        method: ``POST``, or ``GET`` for the list of models.
        path: the path without its query, such as ``/v1/chat/completions``.
        model: the requested model; empty if there was none.
        messages: the conversation; empty if there was none.
        body: the whole body; empty if it was not a JSON object.
        headers: the headers by lower-case name; a key is replaced by ``[secret]``.

    Example:
        >>> with FaultServer("ok") as server:
        ...     text = "".join(server.provider().create_completion("", [{"role": "user", "content": "Anybody there?"}]))
        >>> server.requests[0].path, server.requests[0].messages
        ('/v1/chat/completions', [{'role': 'user', 'content': 'Anybody there?'}])
    """

    method: str
    path: str
    model: str
    messages: Messages
    body: dict[str, Any]
    headers: dict[str, str]


class FaultServer:
    """A server on this machine that misbehaves according to a script, for testing its clients.

    It speaks OpenAI's chat completions at ``url`` and Anthropic's messages at ``origin``, with and without streaming.
    It accepts any key, and can be reached from this machine only. It runs in its own thread:

    >>> import urllib.error, urllib.request
    >>> with FaultServer({"busy": "429 retry-after=2", "good": "'Hello' ' world'"}) as server:
    ...     request = urllib.request.Request(f"{server.url}/chat/completions", b'{"model": "busy"}')
    ...     try:
    ...         urllib.request.urlopen(request)
    ...     except urllib.error.HTTPError as error:
    ...         with error:
    ...             print(error.code, error.headers["Retry-After"])
    429 2
    >>> [request.model for request in server.requests]
    ['busy']

    Args:
        script: one script for every model, or a mapping from a model's name to its own script; other models are then
            unknown. Each request takes the next play of its script, and the last one repeats. For the text form see
            `nbretry.providers.script.parse_script`.
        port: the port to listen on; 0 for any free port.
        delay: seconds before each chunk of text.

    Raises:
        ConfigError: a script has a step that is unknown or that a server cannot play, or there is no play.
    """

    def __init__(self, script: Script | Mapping[str, Script], *, port: int = 0, delay: float = 0.0) -> None:
        if isinstance(script, Mapping) and not script:
            raise ConfigError("the server has no model; the shortest mapping is {'model': 'ok'}")
        scripts = script if isinstance(script, Mapping) else {_EVERY_MODEL: script}
        self._plays = {model: _wire_plays(own) for model, own in scripts.items()}
        self._played: Counter[str] = Counter()
        self.delay = delay
        self._wanted_port = port
        self._port: int | None = None
        self._requests: deque[ReceivedRequest] = deque(maxlen=_MOST_REQUESTS)
        self._numbers = itertools.count(1)
        self._open_streams = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event

    def __repr__(self) -> str:
        where = f"origin={self.origin!r}" if self._thread else "stopped"
        return f"FaultServer({where}, models={self.models})"

    @property
    def models(self) -> list[str]:
        """Names of the models that it serves; a single placeholder if one script serves all models."""
        return [model if model != _EVERY_MODEL else _ANY_MODEL for model in self._plays]

    @property
    def origin(self) -> str:
        """Scheme, host and port: the base URL for Anthropic's protocol.

        Raises:
            RuntimeError: the server has not been started.
        """
        if self._port is None:
            raise RuntimeError("the server has no address yet: start it, or use it as a context manager")
        return f"http://{_HOST}:{self._port}"

    @property
    def url(self) -> str:
        """The base URL for OpenAI's protocol.

        Raises:
            RuntimeError: the server has not been started.
        """
        return f"{self.origin}/v1"

    @property
    def requests(self) -> list[ReceivedRequest]:
        """The requests so far, in order; only the last 10,000 are kept."""
        with self._changed:
            return list(self._requests)

    @property
    def open_streams(self) -> int:
        """How many answers are being sent now; one that hangs counts until its client disconnects."""
        return self._open_streams

    def wait_until_idle(self, timeout: float = 5.0) -> bool:
        """Wait until every client has its answer or has disconnected, and return whether that happened in time.

        This blocks the thread: if the client runs in an event loop, call it with ``asyncio.to_thread``.

        Args:
            timeout: the longest wait in seconds.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._open_streams == 0, timeout)

    def provider(self, model: str | None = None, **settings: Any) -> OpenAIProvider:
        """Return a provider that asks this server.

        Args:
            model: the model to ask; by default the first one. It is also the provider's name, unless ``name`` is given.
            **settings: as for `nbretry.providers.OpenAIProvider`, which needs the extra ``openai``.

        Raises:
            RuntimeError: the server has not been started.

        Example:
            >>> from nbretry import RetryProvider
            >>> with FaultServer({"busy": "503", "good": "'Hello' ' world'"}) as server:
            ...     retry_provider = RetryProvider([server.provider("busy"), server.provider("good")], shuffle=False)
            ...     "".join(retry_provider.create_completion("", [{"role": "user", "content": "Anybody there?"}]))
            'Hello world'
        """
        from nbretry.providers.openai import OpenAIProvider

        model = model or self.models[0]
        return OpenAIProvider(**{"base_url": self.url, "api_key": "none", "model": model, "name": model, **settings})

    def start(self) -> FaultServer:
        """Start the server.

        Raises:
            OSError: the port is taken.
            RuntimeError: the server is running already.
        """
        if self._thread is not None:
            raise RuntimeError("the server is running already")
        listener = socket.create_server((_HOST, self._wanted_port))  # connections queue from here on
        self._port = listener.getsockname()[1]
        self._loop, self._stopping = asyncio.SelectorEventLoop(), asyncio.Event()
        # A daemon thread, so that a server that is never stopped does not keep its program from ending.
        self._thread = threading.Thread(target=self._run, args=(listener,), name="nbretry-fault-server", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Break off every answer, close every connection and end the thread; do nothing if the server is stopped."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has already ended by itself
            self._loop.call_soon_threadsafe(self._stopping.set)
        thread.join()

    def __enter__(self) -> FaultServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, listener: socket.socket) -> None:
        # Not asyncio.run: nest_asyncio replaces it with a version that needs a loop of the main thread.
        with listener, asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        connections: set[asyncio.Task[None]] = set()

        def accept() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:  # the client has already disconnected
                return
            if len(connections) >= _MOST_CONNECTIONS:
                connection.close()
                return
            task = self._loop.create_task(self._talk(connection))
            connections.add(task)
            task.add_done_callback(connections.discard)
            task.add_done_callback(lambda _: connection.close())

        # Not asyncio.start_server: when closed, it leaves a connection open that it was about to hand over.
        listener.setblocking(False)
        self._loop.add_reader(listener, accept)
        await self._stopping.wait()
        self._loop.remove_reader(listener)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _talk(self, connection: socket.socket) -> None:
        """Answer the requests of one connection, one after the other."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            reader, writer = await asyncio.open_connection(sock=connection)
            try:
                with contextlib.suppress(Hangup):
                    early = b""
                    while True:
                        early = await self._answer_next(reader, writer, early)
                writer.close()
                await writer.wait_closed()
            finally:
                writer.transport.abort()

    async def _answer_next(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes) -> bytes:
        """Read a request and answer it; return the part of the next request that was read in the meantime."""
        try:
            received = await _read_request(reader, early)
        except _UnreadableError as error:
            said = ChatCompletions("", 0).refusal(error.status_code, str(error))
            await Response(writer, {"connection": "close"}).whole(error.status_code, said)
            raise Hangup from None
        with self._changed:
            self._requests.append(received)
            self._open_streams += 1
        answering = self._loop.create_task(self._answer(received, writer))
        listening = self._loop.create_task(reader.read(1))
        try:
            await asyncio.wait({answering, listening}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and listening.result() == b"":
                raise Hangup
            await answering
            if received.headers.get("connection", "").lower() == "close":
                raise Hangup
            return listening.result() if listening.done() else b""
        finally:
            for task in (answering, listening):
                task.cancel()
            await asyncio.gather(answering, listening, return_exceptions=True)
            with self._changed:
                self._open_streams -= 1
                self._changed.notify_all()

    async def _answer(self, received: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        kind = _PROTOCOLS.get(received.path, ChatCompletions)
        options = received.body.get("stream_options")
        wants_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        protocol = kind(received.model, next(self._numbers), tells_usage=wants_usage)
        response = Response(writer, {protocol.request_id_header: protocol.request_id})
        if received.path == "/v1/models" and received.method == "GET":
            await response.whole(200, _model_list(self.models))
        elif received.path not in _PROTOCOLS:
            await response.whole(404, protocol.refusal(404, f"no such path: {received.path}"))
        elif received.method != "POST":
            await response.whole(405, protocol.refusal(405, f"{received.method} is not allowed here, only POST"))
        elif not received.body:
            await response.whole(400, protocol.refusal(400, "the body is no JSON object"))
        elif (play := self._next_play(received.model)) is None:
            await response.whole(404, protocol.unknown_model())
        else:
            streamed = bool(received.body.get("stream"))
            tokens = _word_count(received.messages)
            player = Player(response, protocol, streamed=streamed, prompt_tokens=tokens, delay=self.delay)
            await player.play(play)

    def _next_play(self, model: str) -> Sequence[Step] | None:
        """Return the play to answer with; None for an unknown model."""
        whose = model if model in self._plays else _EVERY_MODEL
        if whose not in self._plays:
            return None
        plays = self._plays[whose]
        self._played[whose] += 1
        return plays[min(self._played[whose], len(plays)) - 1]


class _UnreadableError(Exception):
    """A request that cannot be read, with the HTTP status to refuse it with."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code


async def _read_request(reader: asyncio.StreamReader, early: bytes) -> ReceivedRequest:
    head = (early + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    try:
        method, target, _ = first.split(" ")
        length = int(headers.get("content-length", 0))
    except ValueError:
        raise _UnreadableError(400, "this is no HTTP request") from None
    if "transfer-encoding" in headers:
        raise _UnreadableError(411, "the request needs a Content-Length")
    if not 0 <= length <= _LARGEST_BODY:
        raise _UnreadableError(413, f"the body is larger than {_LARGEST_BODY} bytes")
    body = _json_object(await reader.readexactly(length))
    messages = body.get("messages")
    shown = {name: MASK if name in _SECRET_HEADERS else mask(value) for name, value in headers.items()}
    return ReceivedRequest(
        method=method,
        path=target.partition("?")[0],
        model=str(body.get("model") or ""),
        messages=messages if isinstance(messages, list) else [],
        body=body,
        headers=shown,
    )


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _word_count(messages: Messages) -> int:
    return sum(len(str(message.get("content")).split()) for message in messages if isinstance(message, dict))


def _model_list(models: Sequence[str]) -> dict[str, Any]:
    data = [{"id": model, "object": "model", "created": 0, "owned_by": "nbretry"} for model in models]
    return {"object": "list", "data": data}


def _wire_plays(script: Script) -> list[list[Step]]:
    plays = plays_of(script)
    for step in (step for play in plays for step in play):
        if not isinstance(step, _SAYABLE):
            raise ConfigError(f"a server cannot send the step {type(step).__name__}; known are those of the grammar")
    return plays
