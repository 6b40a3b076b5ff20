"""Plays one play of a script on an HTTP connection."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, NoReturn

from nbretry.providers.script import (
    Cut,
    Delay,
    End,
    Fault,
    Hang,
    Headers,
    KeepAlive,
    Refusal,
    Reset,
    Step,
    WrongJSON,
    in_one_piece,
)
from nbretry.testing.protocols import WireProtocol
from nbretry.types import FinishReason, Reasoning, Usage

__all__ = ["Hangup", "Player", "Response"]

_KEEP_ALIVE_INTERVAL = 0.1
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_BEFORE_RESET = 0.1
"""Seconds between the last text and a reset; without this pause, the client may lose text that it has not read yet."""


class Hangup(Exception):
    """The connection is to be closed."""


class Response:
    """One response on a connection.

    Args:
        writer: the connection.
        headers: headers that the response has in any case.
    """

    def __init__(self, writer: asyncio.StreamWriter, headers: Mapping[str, str]) -> None:
        self.begun = False
        self._writer = writer
        self._headers = headers

    async def whole(self, status_code: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole response: a status and a JSON body."""
        data = _json(body)
        length = {"content-type": "application/json", "content-length": str(len(data))}
        await self._send(_head(status_code, {**length, **self._headers, **(headers or {})}) + data)

    async def begin(self, content_type: str) -> None:
        """Send the headers of a 200 whose body follows in parts; do nothing if they have been sent."""
        if not self.begun:
            self.begun = True
            await self._send(
                _head(200, {"content-type": content_type, "transfer-encoding": "chunked", **self._headers})
            )

    async def part(self, data: bytes) -> None:
        """Send the next part of the body."""
        if data:
            await self._send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """Send the end of the body."""
        await self._send(b"0\r\n\r\n")

    async def reset(self) -> NoReturn:
        """End the connection with a TCP RST, as a process that dies does."""
        if self.begun:
            await asyncio.sleep(_BEFORE_RESET)
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._writer.transport.abort()
        raise Hangup

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


class Player:
    """Plays one play as the answer to one request.

    Args:
        response: the response to write to.
        protocol: the protocol that formats the answer.
        streamed: whether the client wants the answer as a stream.
        prompt_tokens: number of tokens of the question.
        delay: seconds before each chunk of text.
    """

    def __init__(
        self, response: Response, protocol: WireProtocol, *, streamed: bool, prompt_tokens: int, delay: float
    ) -> None:
        self._response = response
        self._protocol = protocol
        self._streamed = streamed
        self._content_type = "text/event-stream" if streamed else "application/json"
        self._delay = delay
        self._started = False
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._finish_reason = "stop"
        self._usage = Usage(prompt_tokens)

    async def play(self, play: Sequence[Step]) -> None:
        """Send the steps of a play as the response.

        Raises:
            Hangup: the play ends the connection.
            ConnectionError: the client disconnected.
        """
        for step in play if self._streamed else in_one_piece(play):
            match step:
                case Delay():
                    await asyncio.sleep(step.seconds)
                case Headers():
                    await self._response.begin(self._content_type)
                case str():
                    await asyncio.sleep(self._delay)
                    await self._say(self._texts, step, self._protocol.text)
                case Reasoning():
                    await self._say(self._reasoning, step.text, self._protocol.reasoning)
                case FinishReason():
                    self._finish_reason = step.reason
                case Usage():
                    self._usage = Usage(
                        self._usage.prompt_tokens if step.prompt_tokens is None else step.prompt_tokens,
                        step.completion_tokens,
                    )
                case Hang():
                    await _forever()
                case KeepAlive():
                    await self._keep_alive()
                case _:
                    assert isinstance(step, Fault), "the server refuses scripts with other steps"
                    await self._fail(step)
                    return
        await self._start()
        if self._streamed:
            await self._response.part(self._protocol.finish(self._finish_reason, self._counted()))
        else:
            await self._response.part(self._whole())
        await self._response.end()

    async def _start(self) -> None:
        await self._response.begin(self._content_type)
        if self._streamed and not self._started:
            self._started = True
            await self._response.part(self._protocol.start(self._usage.prompt_tokens or 0))

    async def _say(self, said: list[str], text: str, event: Callable[[str], bytes]) -> None:
        await self._start()
        said.append(text)
        if self._streamed and text:
            await self._response.part(event(text))

    async def _fail(self, step: Fault) -> None:
        response = self._response
        match step:
            case Refusal() if not response.begun:
                body = self._protocol.refusal(step.status_code, step.text)
                await response.whole(step.status_code, body, _retry_after(step))
                return
            case Reset():
                await response.reset()
        await response.begin(self._content_type)
        match step:
            case Refusal() if self._streamed:
                await response.part(self._protocol.error_event(step.status_code, step.text))
            case Refusal():
                await response.part(_json(self._protocol.error(step.status_code, step.text)))
            case WrongJSON():
                await response.part(b"data: {not json\n\n" if self._streamed else b"{not json")
            case Cut() | End() if not self._streamed:
                whole = self._whole()
                await response.part(whole[: len(whole) // 2])
        if isinstance(step, Cut):
            raise Hangup
        await response.end()

    async def _keep_alive(self) -> None:
        await self._response.begin(self._content_type)
        while True:
            await self._response.part(b": keep-alive\n\n" if self._streamed else b"\n")
            await asyncio.sleep(_KEEP_ALIVE_INTERVAL)

    def _whole(self) -> bytes:
        text, reasoning = "".join(self._texts), "".join(self._reasoning)
        return _json(self._protocol.whole(text, reasoning, self._finish_reason, self._counted()))

    def _counted(self) -> Usage:
        """Return the token counts: those of the script, else one token per word."""
        if self._usage.completion_tokens is not None:
            return self._usage
        return Usage(self._usage.prompt_tokens, len("".join([*self._reasoning, " ", *self._texts]).split()))


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


def _retry_after(refusal: Refusal) -> dict[str, str]:
    if refusal.retry_after is None:
        return {}
    if refusal.as_date:
        # An HTTP date has whole seconds: round up, so that the client does not retry too early.
        return {"retry-after": formatdate(math.ceil(time.time() + refusal.retry_after), usegmt=True)}
    return {"retry-after": f"{refusal.retry_after:g}"}


def _head(status_code: int, headers: Mapping[str, str]) -> bytes:
    phrase = HTTPStatus(status_code).phrase if status_code in set(HTTPStatus) else "Status"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status_code} {phrase}\r\n{lines}\r\n".encode("latin-1")


def _json(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode(errors="replace")
