"""What the fault server says: each kind of answer, in the words of OpenAI's protocol and of Anthropic's."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

__all__ = ["ODD_TEXT", "WORDS", "Answer", "Hangup", "Seen"]

WORDS = ["Hello", " ", "wide", " ", "world"]
ODD_TEXT = "a\u2028b\u0085c \U0001f469\u200d\U0001f680 é\r\n\tend"
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class Hangup(Exception):
    """This connection is over."""


@dataclass(frozen=True)
class Seen:
    """One request, as the server saw it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int
    query: str = ""

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.body.get("model", ""))


class _Chat:
    """How OpenAI's protocol says it."""

    def __init__(self, model: str) -> None:
        self.model = model

    def _event(self, choices: list[Any], **more: Any) -> bytes:
        event = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "model": f"{self.model}-full",
            "choices": choices,
        }
        return _data(event | more)

    def start(self) -> bytes:
        return self._event([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])

    def delta(self, content: Any, field_name: str = "content") -> bytes:
        return self._event([{"index": 0, "delta": {field_name: content}, "finish_reason": None}])

    def reasoning(self, text: str) -> bytes:
        return self.delta(text, "reasoning_content")

    def finish(self, reason: str = "stop") -> bytes:
        return self._event([{"index": 0, "delta": {}, "finish_reason": reason}])

    def usage(self) -> bytes:
        return self._event([], usage={"prompt_tokens": 7, "completion_tokens": len(WORDS), "total_tokens": 12})

    def done(self) -> bytes:
        return b"data: [DONE]\n\n"

    def error(self) -> bytes:
        return _data({"error": {"message": "the engine is too busy", "type": "server_error", "code": 503}})

    def refusal(self, status: int, message: str, code: str | None = None) -> Any:
        return {"error": {"message": message, "type": "some_error", "param": None, "code": code}}

    def whole(self, text: str) -> Any:
        message = {"role": "assistant", "content": text}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": f"{self.model}-full",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 5},
        }


class _Messages(_Chat):
    """How Anthropic's protocol says it."""

    def _typed(self, kind: str, **more: Any) -> bytes:
        return b"event: %s\n" % kind.encode() + _data({"type": kind, **more})

    def start(self) -> bytes:
        message = {"id": "msg_1", "model": f"{self.model}-full", "usage": {"input_tokens": 7, "output_tokens": 1}}
        block = self._typed("content_block_start", index=0, content_block={"type": "text", "text": ""})
        return self._typed("message_start", message=message) + block + self._typed("ping")

    def delta(self, content: Any, field_name: str = "text") -> bytes:
        return self._typed("content_block_delta", index=0, delta={"type": f"{field_name}_delta", field_name: content})

    def reasoning(self, text: str) -> bytes:
        return self.delta(text, "thinking")

    def finish(self, reason: str = "end_turn") -> bytes:
        reason = {"stop": "end_turn", "length": "max_tokens"}.get(reason, reason)
        return self._typed("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": len(WORDS)})

    def usage(self) -> bytes:
        return b""

    def done(self) -> bytes:
        return self._typed("message_stop")

    def error(self) -> bytes:
        return self._typed("error", error={"type": "overloaded_error", "message": "Overloaded"})

    def refusal(self, status: int, message: str, code: str | None = None) -> Any:
        return {"type": "error", "error": {"type": code or "some_error", "message": message}, "request_id": "req_1"}

    def whole(self, text: str) -> Any:
        return {
            "id": "msg_1",
            "type": "message",
            "model": f"{self.model}-full",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 7, "output_tokens": 5},
        }


def _data(event: Any) -> bytes:
    # As it is and not as \u escapes, as most servers send it.
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


class Answer:
    """One answer to one request.

    Args:
        seen: the request.
        writer: where to.
        behaviour: the kind of the answer and its argument; the model's name by default.
    """

    def __init__(self, seen: Seen, writer: asyncio.StreamWriter, behaviour: str | None = None) -> None:
        self.seen, self.writer = seen, writer
        self.behaviour = seen.model if behaviour is None else behaviour
        self.say = (_Messages if seen.path.endswith("/messages") else _Chat)(seen.model)

    async def send(self) -> None:
        kind, _, argument = self.behaviour.partition("-")
        if self.seen.path.endswith("/models"):
            kind, _, argument = self.seen.path.split("/")[1].partition("-")
            if kind.isdigit():
                await self.json(int(kind), self.say.refusal(int(kind), f"this is a {kind}"))
            else:
                await (getattr(self, f"list_{kind}", None) or getattr(self, f"do_{kind}"))(argument)
        elif not self.seen.path.endswith(("/chat/completions", "/v1/messages")):
            await self.json(404, {"error": {"message": f"no such path {self.seen.path}"}})
        elif kind.isdigit():
            headers = {"retry-after": argument} if argument else {}
            await self.json(int(kind), self.say.refusal(int(kind), f"this is a {kind}"), headers)
        else:
            await getattr(self, f"do_{kind}")(argument)

    # Answers that are whole.

    async def do_ok(self, _: str) -> None:
        if not self.seen.body.get("stream"):
            return await self.json(200, self.say.whole("".join(WORDS)))
        return await self.text(WORDS)

    async def do_words(self, count: str) -> None:
        await self.text([f"w{number} " for number in range(int(count))])

    async def do_paced(self, milliseconds: str) -> None:
        await self.head()
        await self.part(self.say.start())
        for number in range(2000):
            await self.part(self.say.delta(f"w{number} "))
            await asyncio.sleep(float(milliseconds) / 1000)

    async def do_slow(self, milliseconds: str) -> None:
        await asyncio.sleep(float(milliseconds) / 1000)
        await self.text(WORDS)

    async def do_pause(self, milliseconds: str) -> None:
        """Three pieces, a pause in which comments are sent, and the rest."""
        await self.begin("3")
        end = asyncio.get_running_loop().time() + float(milliseconds) / 1000
        while asyncio.get_running_loop().time() < end:
            await self.part(b": keep-alive\n\n")
            await asyncio.sleep(0.05)
        await self.part(b"".join([*map(self.say.delta, WORDS[3:]), self.say.finish(), self.say.done()]))
        await self.end()

    async def do_trickle(self, milliseconds: str) -> None:
        """Each piece after a pause."""
        await self.head()
        await self.part(self.say.start())
        for event in (*map(self.say.delta, WORDS), self.say.finish() + self.say.done()):
            await asyncio.sleep(float(milliseconds) / 1000)
            await self.part(event)
        await self.end()

    async def do_echo(self, _: str) -> None:
        await self.text([json.dumps(self.seen.body, sort_keys=True)])

    async def do_plain(self, _: str) -> None:
        await self.json(200, self.say.whole("".join(WORDS)))

    async def do_odd(self, _: str) -> None:
        """Odd line breaks and an emoji of several characters, byte by byte."""
        await self.head()
        events = self.say.start() + self.say.delta(ODD_TEXT) + self.say.finish() + self.say.done()
        for number in range(len(events)):
            await self.part(events[number : number + 1])
        await self.end()

    async def do_crlf(self, _: str) -> None:
        """CRLF, comments, other fields, no space after the colon, and one event on several lines."""
        spread = self.say.delta("Hello").replace(b'"index": 0, ', b'"index": 0,\ndata:')
        events = (
            b": hi\n\nretry: 5\nid: 1\n"
            + self.say.start()
            + spread
            + self.say.delta(" world").replace(b": {", b":{", 1)
        )
        events += self.say.finish() + self.say.done()
        await self.head()
        await self.part(events.replace(b"\n", b"\r\n"))
        await self.end()

    async def do_single(self, _: str) -> None:
        """Events that end with one line break, and a last one that ends with none."""
        events = [self.say.start(), *map(self.say.delta, WORDS), self.say.finish(), self.say.done()]
        await self.head()
        await self.part(b"".join(events).replace(b"\n\n", b"\n").rstrip())
        await self.end()

    async def do_huge(self, size: str) -> None:
        await self.text(["x" * int(size)])

    async def do_thinking(self, _: str) -> None:
        await self.stream(
            self.say.reasoning("let me see"), *map(self.say.delta, WORDS), self.say.finish(), self.say.done()
        )

    async def do_parts(self, _: str) -> None:
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "let me see"}]}
        parts = [thought, {"type": "text", "text": "Hello"}]
        await self.stream(self.say.delta(parts), self.say.finish(), self.say.done())

    async def do_refusal(self, _: str) -> None:
        await self.stream(self.say.delta("I cannot", "refusal"), self.say.finish(), self.say.done())

    async def do_length(self, _: str) -> None:
        await self.stream(*map(self.say.delta, WORDS), self.say.finish("length"), self.say.done())

    async def do_nodone(self, _: str) -> None:
        await self.stream(*map(self.say.delta, WORDS), self.say.finish())

    async def do_nofinish(self, _: str) -> None:
        await self.stream(*map(self.say.delta, WORDS), self.say.done())

    async def do_lateend(self, _: str) -> None:
        """Everything has been said, but the connection is lost before the end of the body."""
        await self.head()
        await self.part(b"".join([self.say.start(), *map(self.say.delta, WORDS), self.say.finish()]))
        await asyncio.sleep(0.02)
        self.reset()

    # Endpoints that refuse parameters.

    async def do_nostreamoptions(self, _: str) -> None:
        if "stream_options" in self.seen.body:
            return await self.json(400, self.say.refusal(400, "Unrecognized request argument: stream_options"))
        return await self.text(WORDS)

    async def do_completiontokens(self, _: str) -> None:
        if "max_tokens" in self.seen.body:
            message = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
            return await self.json(400, self.say.refusal(400, message, "unsupported_parameter"))
        return await self.do_echo("")

    # Failures before the answer, or in place of it.

    async def do_says(self, message: str) -> None:
        """A 400 that says this, with dots in place of spaces."""
        await self.json(400, self.say.refusal(400, message.replace(".", " ")))

    async def do_context(self, _: str) -> None:
        message = "This model's maximum context length is 10 tokens."
        await self.json(400, self.say.refusal(400, message, "context_length_exceeded"))

    async def do_quota(self, _: str) -> None:
        await self.json(429, self.say.refusal(429, "You exceeded your current quota.", "insufficient_quota"))

    async def do_milliseconds(self, milliseconds: str) -> None:
        await self.json(429, self.say.refusal(429, "slow down"), {"retry-after-ms": milliseconds})

    async def do_html(self, status: str) -> None:
        await self.whole(int(status or 200), b"<html><title>Please\nlog in</title></html>", "text/html; charset=utf-8")

    async def do_empty(self, _: str) -> None:
        await self.stream(self.say.finish(), self.say.done())

    async def do_nothing(self, _: str) -> None:
        await self.head()
        await self.end()

    async def do_hang(self, _: str) -> None:
        await asyncio.sleep(60)

    async def do_hanghdr(self, _: str) -> None:
        await self.head()
        await asyncio.sleep(60)

    async def do_stall(self, count: str) -> None:
        await self.begin(count)
        await asyncio.sleep(60)

    async def do_drip(self, milliseconds: str) -> None:
        await self.head()
        while True:
            await self.part(b": keep-alive\n\n")
            await asyncio.sleep(float(milliseconds) / 1000)

    async def do_mute(self, count: str) -> None:
        """After some pieces nothing but comments, empty pieces and chunks with a role alone, for ever."""
        await self.begin(count)
        while True:
            for empty in (b": keep-alive\n\n", self.say.delta(""), self.say.start()):
                await self.part(empty)
                await asyncio.sleep(0.02)

    async def do_refuse(self, _: str) -> None:
        self.reset()

    # Failures in the middle.

    async def do_cut(self, count: str) -> None:
        """The body ends as it should, but the answer does not."""
        await self.begin(count)
        await self.end()

    async def do_eof(self, count: str) -> None:
        await self.begin(count)
        raise Hangup

    async def do_reset(self, count: str) -> None:
        await self.begin(count)
        await asyncio.sleep(0.02)
        self.reset()

    async def do_error(self, count: str) -> None:
        await self.begin(count)
        await self.part(self.say.error())
        await self.end()

    async def do_badjson(self, count: str) -> None:
        await self.begin(count)
        await self.part(b"data: {not json\n\n")
        await self.end()

    async def do_oddform(self, _: str) -> None:
        await self.stream(_data({"choices": ["what"], "type": "content_block_delta", "delta": "what"}))

    # Lists of models.

    async def list_v1(self, _: str) -> None:
        """As OpenAI's, and what comes where the path picks nothing."""
        await self.json(200, {"object": "list", "data": [{"id": "ok", "object": "model", "created": 1}]})

    async def list_anthropic(self, _: str) -> None:
        data = [{"type": "model", "id": f"claude-{name}", "display_name": name} for name in ("b", "a")]
        await self.json(200, {"data": data, "has_more": False, "first_id": "claude-b", "last_id": "claude-a"})

    async def list_pages(self, count: str) -> None:
        """As Anthropic's with so many models: 20 at once, or as many as are asked for."""
        limit = int(dict(parse_qsl(self.seen.query)).get("limit", 20))
        data = [{"type": "model", "id": f"model-{number}"} for number in range(int(count))]
        await self.json(200, {"data": data[:limit], "has_more": limit < int(count)})

    async def list_ollama(self, _: str) -> None:
        """As its own ``/api/tags``."""
        names = ("llama3:latest", "qwen3:8b", "llama3:latest")
        await self.json(200, {"models": [{"name": name, "model": name, "size": 1} for name in names]})

    async def list_bare(self, _: str) -> None:
        await self.json(200, ["one", {"id": "two"}, 3, None, {"what": "four"}, ["five"], ""])

    async def list_many(self, count: str) -> None:
        await self.json(200, {"data": [{"id": f"model-{number}"} for number in range(int(count))]})

    async def list_strange(self, _: str) -> None:
        """Names that would break a line, a terminal or a page, and among them two that are as they should be."""
        strange = ["\x1b[31mred", "two\nlines", "nul\0", "a\u202eb", "\ud800", "\u2028", " padded ", "x" * 10_000]
        await self.json(200, {"data": [{"id": name} for name in ["good", *strange, "<script>alert(1)</script>"]]})

    async def list_none(self, _: str) -> None:
        await self.json(200, {"data": []})

    async def list_answer(self, _: str) -> None:
        await self.json(200, self.say.whole("".join(WORDS)))

    async def list_garbage(self, _: str) -> None:
        await self.whole(200, bytes(range(256)), "application/json")

    async def list_deep(self, _: str) -> None:
        await self.whole(200, b"[" * 100_000, "application/json")

    async def list_key(self, _: str) -> None:
        """The key that came as one of the names."""
        await self.json(200, {"data": [{"id": "ok"}, {"id": self._key}, {"id": f"model-{self._key}"}]})

    async def list_quoting(self, _: str) -> None:
        """A refusal that quotes the key."""
        await self.json(401, self.say.refusal(401, f"Incorrect API key provided: {self._key}."))

    async def list_endless(self, _: str) -> None:
        await self.head()
        await self.part(b'{"data": [')
        while True:
            await self.part(b'{"id": "' + b"x" * 1_000_000 + b'"},')

    @property
    def _key(self) -> str:
        headers = self.seen.headers
        return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")

    # How it is sent.

    async def text(self, pieces: list[str]) -> None:
        usage = [self.say.usage()] if self.seen.body.get("stream_options") else []
        await self.stream(*map(self.say.delta, pieces), self.say.finish(), *usage, self.say.done())

    async def begin(self, count: str) -> None:
        await self.head()
        await self.part(self.say.start() + b"".join(map(self.say.delta, WORDS[: int(count or 0)])))

    async def stream(self, *events: bytes) -> None:
        await self.head()
        for event in (self.say.start(), *events):
            await self.part(event)
        await self.end()

    async def head(self) -> None:
        self.writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req-1\r\nrequest-id: req-1\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        await self.writer.drain()

    async def part(self, data: bytes) -> None:
        if data:
            self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await self.writer.drain()
            await asyncio.sleep(0)

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        await self.whole(status, json.dumps(body).encode(), "application/json", headers)

    async def whole(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        given = {"content-type": kind, "content-length": str(len(body)), "x-request-id": "req-1", "request-id": "req-1"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (given | (headers or {})).items())
        self.writer.write(f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\n{lines}\r\n".encode() + body)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection by a RST, as a process that dies does."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        raise Hangup
