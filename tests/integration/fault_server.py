"""A real HTTP server on loopback whose model name picks what it does: it answers, refuses, hangs, breaks off.

It speaks OpenAI's ``/v1/chat/completions`` and ``/v1/models`` and Anthropic's ``/v1/messages``. A model name is a kind
and at most one argument: ``ok``, ``cut-3``, ``429-2``. The kinds are the methods of `fault_answers.Answer` whose name
begins with ``do_``, and every number from 400 to 599.

A list of models is picked likewise by the first part of the path, as in ``/many-50000/v1/models``; its kinds are the
methods that begin with ``list_``, those that begin with ``do_``, and the numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fault_answers import Answer, Hangup, Seen

__all__ = ["FaultServer", "Seen"]


@dataclass
class FaultServer:
    """The server, in a thread of its own; a context manager.

    Attributes:
        seen: every request so far.
        open_streams: answers that are being sent now.
        disconnects: how often a client went away before its answer was sent.
        turns: models whose requests are answered in turn as these models' would be, and then from the first again.
    """

    seen: list[Seen] = field(default_factory=list)
    turns: dict[str, list[str]] = field(default_factory=dict)
    open_streams: int = 0
    disconnects: int = 0
    connections: int = 0
    _taken: dict[str, int] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """Base URL for a client of OpenAI's protocol."""
        return f"{self.origin}/v1"

    def models(self) -> list[str]:
        """The models that were asked for, in order."""
        return [seen.model for seen in self.seen]

    def wait_for(self, condition: Callable[[FaultServer], bool], seconds: float = 2.0) -> bool:
        """Whether the condition comes true in time."""
        end = time.monotonic() + seconds
        while not condition(self):
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    async def await_for(self, condition: Callable[[FaultServer], bool], seconds: float = 2.0) -> bool:
        """As `wait_for`, in an event loop, which goes on meanwhile."""
        return await asyncio.to_thread(self.wait_for, condition, seconds)

    def __enter__(self) -> FaultServer:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="fault-server")
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._talk(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stopped.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        connection = self.connections
        early = b""
        try:
            while True:
                seen = await _read_request(reader, early, connection)
                if seen is None:
                    return
                self.seen.append(seen)
                early = await self._answer_while_connected(Answer(seen, writer, self._behaviour(seen.model)), reader)
        except (ConnectionError, asyncio.IncompleteReadError, Hangup):
            pass
        finally:
            writer.close()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await writer.wait_closed()

    def _behaviour(self, model: str) -> str:
        turns = self.turns.get(model)
        if turns is None:
            return model
        taken = self._taken[model] = self._taken.get(model, -1) + 1
        return turns[taken % len(turns)]

    async def _answer_while_connected(self, answer: Answer, reader: asyncio.StreamReader) -> bytes:
        """Answer, but stop when the client goes away. Gives what it has sent of its next request."""
        self.open_streams += 1
        answering = asyncio.ensure_future(answer.send())
        listening = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({answering, listening}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and listening.result() == b"":
                self.disconnects += 1
                raise Hangup
            await answering
            if listening.done():
                return listening.result()
        except ConnectionError:
            self.disconnects += 1
            raise
        finally:
            self.open_streams -= 1
            for task in (answering, listening):
                task.cancel()
            await asyncio.gather(answering, listening, return_exceptions=True)
        return b""


async def _read_request(reader: asyncio.StreamReader, early: bytes, connection: int) -> Seen | None:
    try:
        head = early + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    path, _, query = first.split(" ")[1].partition("?")
    return Seen(path, headers, json.loads(body) if body else {}, connection, query)
