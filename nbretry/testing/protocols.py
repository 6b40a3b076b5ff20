"""JSON of answers and failures in the protocols of OpenAI's chat completions and of Anthropic's messages."""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar

from nbretry.types import Usage

__all__ = ["AnthropicMessages", "ChatCompletions", "WireProtocol"]


class WireProtocol:
    """Format of one answer; the methods return stream events as bytes, and bodies as values to encode as JSON.

    Args:
        model: the requested model.
        number: number of the request, used in its identifier.
        tells_usage: whether the client wants token counts in a stream.
    """

    request_id_header: ClassVar[str]

    def __init__(self, model: str, number: int, *, tells_usage: bool = True) -> None:
        self.model = model
        self.request_id = f"req-{number}"
        self.number = number
        self.tells_usage = tells_usage

    def start(self, prompt_tokens: int) -> bytes:
        """Return what precedes the first content."""
        raise NotImplementedError

    def text(self, text: str) -> bytes:
        """Return a chunk of the answer."""
        raise NotImplementedError

    def reasoning(self, text: str) -> bytes:
        """Return a chunk of the reasoning."""
        raise NotImplementedError

    def finish(self, reason: str, usage: Usage) -> bytes:
        """Return what follows the last content."""
        raise NotImplementedError

    def whole(self, text: str, reasoning: str, reason: str, usage: Usage) -> dict[str, Any]:
        """Return the whole answer, for a client that does not stream."""
        raise NotImplementedError

    def refusal(self, status_code: int, message: str) -> dict[str, Any]:
        """Return the body of a response with an HTTP status of 400 or more."""
        raise NotImplementedError

    def unknown_model(self) -> dict[str, Any]:
        """Return the body of a 404 for an unknown model."""
        raise NotImplementedError

    def error(self, status_code: int, message: str) -> dict[str, Any]:
        """Return the error to send inside an answer, when the HTTP status has already been sent."""
        raise NotImplementedError

    def error_event(self, status_code: int, message: str) -> bytes:
        """Return `error` as a stream event."""
        raise NotImplementedError


class ChatCompletions(WireProtocol):
    """OpenAI's chat completions."""

    request_id_header = "x-request-id"

    _TYPES: ClassVar = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    _CODES: ClassVar = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}

    def start(self, prompt_tokens: int) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def reasoning(self, text: str) -> bytes:
        return self._chunk({"reasoning_content": text})

    def finish(self, reason: str, usage: Usage) -> bytes:
        events = self._chunk({}, reason)
        if self.tells_usage:
            events += _data({**self._head("chat.completion.chunk"), "choices": [], "usage": self._usage(usage)})
        return events + b"data: [DONE]\n\n"

    def whole(self, text: str, reasoning: str, reason: str, usage: Usage) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        if reasoning:
            message["reasoning_content"] = reasoning
        return {
            **self._head("chat.completion"),
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": self._usage(usage),
        }

    def refusal(self, status_code: int, message: str) -> dict[str, Any]:
        kind = self._TYPES.get(status_code, "server_error" if status_code >= 500 else "invalid_request_error")
        code = self._CODES.get(status_code)
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def unknown_model(self) -> dict[str, Any]:
        return self.refusal(404, f"the model {self.model!r} does not exist")

    def error(self, status_code: int, message: str) -> dict[str, Any]:
        # OpenAI itself sends a word as the code; compatible servers that pass a status on send its number.
        body = self.refusal(status_code, message)
        return {"error": {**body["error"], "code": status_code}}

    def error_event(self, status_code: int, message: str) -> bytes:
        return _data(self.error(status_code, message))

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self.number}", "object": kind, "created": int(time.time()), "model": self.model}

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return _data({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _usage(self, usage: Usage) -> dict[str, int | None]:
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        }


class AnthropicMessages(WireProtocol):
    """Anthropic's messages."""

    request_id_header = "request-id"

    _TYPES: ClassVar = {
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
    _STOP_REASONS: ClassVar = {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
    }

    def __init__(self, model: str, number: int, *, tells_usage: bool = True) -> None:
        super().__init__(model, number, tells_usage=tells_usage)
        self._block = ""
        self._blocks = 0

    def start(self, prompt_tokens: int) -> bytes:
        message = {**self._head(), "content": [], "stop_reason": None, "stop_sequence": None}
        message["usage"] = {"input_tokens": prompt_tokens, "output_tokens": 1}
        return _event("message_start", message=message) + _event("ping")

    def text(self, text: str) -> bytes:
        return self._delta("text", "text_delta", text)

    def reasoning(self, text: str) -> bytes:
        return self._delta("thinking", "thinking_delta", text)

    def finish(self, reason: str, usage: Usage) -> bytes:
        delta = {"stop_reason": self._STOP_REASONS.get(reason, reason), "stop_sequence": None}
        ended = _event("message_delta", delta=delta, usage={"output_tokens": usage.completion_tokens})
        return self._end_block() + ended + _event("message_stop")

    def whole(self, text: str, reasoning: str, reason: str, usage: Usage) -> dict[str, Any]:
        said = {"thinking": reasoning, "text": text}
        return {
            **self._head(),
            "content": [{"type": kind, kind: content} for kind, content in said.items() if content],
            "stop_reason": self._STOP_REASONS.get(reason, reason),
            "stop_sequence": None,
            "usage": {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens},
        }

    def refusal(self, status_code: int, message: str) -> dict[str, Any]:
        return {"type": "error", **self._error(status_code, message), "request_id": self.request_id}

    def unknown_model(self) -> dict[str, Any]:
        return self.refusal(404, f"model: {self.model}")

    def error(self, status_code: int, message: str) -> dict[str, Any]:
        return {"type": "error", **self._error(status_code, message)}

    def error_event(self, status_code: int, message: str) -> bytes:
        return _event("error", **self._error(status_code, message))

    def _head(self) -> dict[str, Any]:
        return {"id": f"msg_{self.number}", "type": "message", "role": "assistant", "model": self.model}

    def _error(self, status_code: int, message: str) -> dict[str, Any]:
        kind = self._TYPES.get(status_code, "api_error" if status_code >= 500 else "invalid_request_error")
        return {"error": {"type": kind, "message": message}}

    def _delta(self, kind: str, delta: str, content: str) -> bytes:
        opened = b""
        if self._block != kind:
            opened = self._end_block()
            self._block = kind
            opened += _event("content_block_start", index=self._blocks, content_block={"type": kind, kind: ""})
        return opened + _event("content_block_delta", index=self._blocks, delta={"type": delta, kind: content})

    def _end_block(self) -> bytes:
        if not self._block:
            return b""
        self._block = ""
        self._blocks += 1
        return _event("content_block_stop", index=self._blocks - 1)


def _data(event: Any) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=False).encode(errors="replace") + b"\n\n"


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\n" + _data({"type": kind, **fields})
