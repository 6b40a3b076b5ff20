"""The provider for Anthropic's Messages API, and for other endpoints that speak its protocol."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, ClassVar

from nbretry.errors import ProviderError, StreamInterruptedError
from nbretry.providers.http.reader import AnswerReader
from nbretry.providers.http.request import Ask
from nbretry.providers.http.sdk import SDKProvider
from nbretry.providers.http.sdk_errors import error_in_stream
from nbretry.retry.contract import resolve_model
from nbretry.retry.deadlines import Deadlines
from nbretry.types import FinishReason, Message, Messages, Reasoning, Usage

__all__ = ["AnthropicProvider"]

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}

_TAKES_PREFILL = re.compile(r"claude-(?:2|instant|3|(?:opus|sonnet|haiku)-4(?:-[0-5])?(?:-20\d{6}|@20\d{6})?$)")

_ROLES = {"assistant": "assistant", "model": "assistant"}


class AnthropicProvider(SDKProvider):
    """A provider that asks Claude through the official ``anthropic`` SDK, with the SDK's own retries off.

    It takes messages in OpenAI's format: system messages become the request's ``system``, and consecutive messages of
    one role are merged. It opens no connection and looks for no key until the first question.

    Args:
        api_key: the key; by default the one in ``key_variable``.
        model: the model to use if the question names none; by default a general-purpose model of Anthropic's.
        name: the provider's name.
        base_url: the endpoint, or a function that returns it for each question; by default the one in
            ``ANTHROPIC_BASE_URL``, or else Anthropic's own.
        max_tokens: maximum length of the answer in tokens if the question sets none; this protocol requires a number.
        timeout: seconds without new data after which a request fails; keep-alives do not count as new data.
        connect_timeout: time limit for connecting, in seconds.
        key_variable: environment variable with the key. By default it is the service's own for the service's own
            endpoint, and none for any other endpoint, so that the key is not sent elsewhere.
        deadlines: time limits for an attempt, in place of those of the `RetryProvider` or the session.
        **client_options: further arguments for ``anthropic.Anthropic`` and ``anthropic.AsyncAnthropic``.

    Example:
        >>> from nbretry.testing import FaultServer  # in place of Anthropic's own endpoint
        >>> with FaultServer("'Hello' ' world'") as server:
        ...     provider = AnthropicProvider(api_key="none", base_url=server.origin)
        ...     "".join(provider.create_completion("", [{"role": "user", "content": "Anybody there?"}]))
        'Hello world'
    """

    package = "anthropic"
    modules: ClassVar[tuple[str, ...]] = ("anthropic.resources.messages.messages",)
    default_base_url = "https://api.anthropic.com"
    base_url_variable = "ANTHROPIC_BASE_URL"
    _query_for_models = MappingProxyType({"limit": 1000})  # the largest page; other endpoints send all models

    def __init__(
        self,
        api_key: str | None = None,
        model: str | None = None,
        name: str = "anthropic",
        base_url: str | Callable[[], str] | None = None,
        *,
        max_tokens: int = 4096,
        timeout: float = 60.0,
        connect_timeout: float = 10.0,
        key_variable: str | None = None,
        deadlines: Deadlines | None = None,
        **client_options: Any,
    ) -> None:
        super().__init__(
            base_url=base_url,
            api_key=api_key,
            model=model,
            name=name,
            timeout=timeout,
            connect_timeout=connect_timeout,
            key_variable=key_variable,
            deadlines=deadlines,
            client_options=client_options,
        )
        self.max_tokens = max_tokens

    def supports_prefill(self, model: str) -> bool:
        """Return whether a model continues from a final assistant message; newer Claude models refuse that."""
        return _TAKES_PREFILL.match(resolve_model(self, model)) is not None

    def _client_class(self, sdk: Any, asynchronous: bool) -> Any:
        return sdk.AsyncAnthropic if asynchronous else sdk.Anthropic

    def _request(self, client: Any, ask: Ask) -> Any:
        parameters = dict(ask.parameters)
        system, messages = _split_system(ask.messages)
        if system:
            parameters.setdefault("system", system)
        max_tokens = parameters.pop("max_tokens", None) or parameters.pop("max_completion_tokens", None)
        stop = parameters.pop("stop", None)
        if stop:
            parameters.setdefault("stop_sequences", [stop] if isinstance(stop, str) else stop)
        # In extra_body, unchanged: the SDK then also accepts parameters that only this endpoint knows.
        return client.messages.with_streaming_response.create(
            model=ask.model,
            messages=messages,
            max_tokens=max_tokens or self.max_tokens,
            stream=ask.stream,
            extra_body=parameters,
            timeout=self._timeout(ask),
            **ask.extra,
        )

    def _reader(self, ask: Ask) -> AnswerReader:
        return _MessagesReader(ask.timeout)


class _MessagesReader(AnswerReader):
    """Reader of the events from ``message_start`` to ``message_stop``, and of a whole ``message``."""

    def __init__(self, timeout: float) -> None:
        super().__init__(timeout)
        self._prompt_tokens: int | None = None
        self._completion_tokens: int | None = None
        self._finish_reason: str | None = None

    def _read(self, event: dict[str, Any], chunks: list[Any]) -> None:
        match event.get("type"):
            case "content_block_delta":
                self._take_block(event.get("delta") or {}, chunks)
            case "content_block_start":
                self._take_block(event.get("content_block") or {}, chunks)
            case "message_start":
                message = event.get("message") or {}
                self._tell(chunks, message.get("model"), message.get("id"))
                self._take_usage(message.get("usage"))
                if self._prompt_tokens is not None:
                    # Report it now: the prompt costs the same if the answer breaks off.
                    chunks.append(Usage(self._prompt_tokens, None))
            case "message_delta":
                self._take_stop_reason((event.get("delta") or {}).get("stop_reason"))
                self._take_usage(event.get("usage"))
            case "message_stop":
                self.finished = self.done = True
            case "error":
                raise self._error(event)
            case None if event.get("error"):
                raise self._error(event)

    def _chunks_of_whole(self, answer: dict[str, Any]) -> list[Any]:
        if answer.get("type") == "error" or answer.get("error"):
            raise self._error(answer)
        if not isinstance(answer.get("content"), list):
            raise StreamInterruptedError("JSON came that is no answer: is the base URL right?")
        chunks: list[Any] = []
        self._tell(chunks, answer.get("model"), answer.get("id"))
        for block in answer["content"]:
            self._take_block(block, chunks)
        self._take_stop_reason(answer.get("stop_reason"))
        self._take_usage(answer.get("usage"))
        self.finished = True
        return chunks

    def _last_chunks(self) -> list[Any]:
        chunks: list[Any] = []
        if self._finish_reason:
            chunks.append(FinishReason(self._finish_reason))
        if self._prompt_tokens is not None or self._completion_tokens is not None:
            chunks.append(Usage(self._prompt_tokens, self._completion_tokens))
        return chunks

    def _take_block(self, block: Any, chunks: list[Any]) -> None:
        text, thinking = block.get("text"), block.get("thinking")
        if text and isinstance(text, str):
            chunks.append(text)
        elif thinking and isinstance(thinking, str):
            chunks.append(Reasoning(thinking))

    def _take_stop_reason(self, reason: Any) -> None:
        if reason:
            self._finish_reason = _FINISH_REASONS.get(reason, str(reason))

    def _take_usage(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        if isinstance(usage.get("input_tokens"), int):
            # Tokens read from or written to the cache are part of the prompt, but are counted separately.
            cached = (usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens"))
            self._prompt_tokens = usage["input_tokens"] + sum(count for count in cached if isinstance(count, int))
        if isinstance(usage.get("output_tokens"), int):
            self._completion_tokens = usage["output_tokens"]

    def _error(self, event: dict[str, Any]) -> ProviderError:
        return error_in_stream(event.get("error") or event, {"request_id": self.request_id or event.get("request_id")})


def _split_system(messages: Messages) -> tuple[str | list[Any], Messages]:
    """Return the system messages as one prompt, and the other messages, with consecutive ones of one role merged."""
    system: list[Any] = []
    merged: Messages = []
    for message in messages:
        role = message.get("role")
        if role in ("system", "developer"):
            system += _blocks(message.get("content"))
            continue
        role = _ROLES.get(str(role), "user")
        content = message.get("content")
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] = _joined(merged[-1]["content"], content)
        elif content:
            merged.append(_message(role, content))
    only_text = all(set(block) == {"type", "text"} for block in system)
    return ("\n\n".join(block["text"] for block in system) if only_text else system), merged


def _message(role: str, content: Any) -> Message:
    return {"role": role, "content": content if isinstance(content, str) else _blocks(content)}


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_blocks(first), *_blocks(second)]


def _blocks(content: Any) -> list[Any]:
    """Convert content to this protocol's blocks, images included."""
    if not content:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_block(part) for part in content]


def _block(part: Any) -> Any:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict) or part.get("type") != "image_url":
        return part
    image = part.get("image_url")
    url = str(image.get("url", "") if isinstance(image, dict) else image)
    head, _, data = url.partition(";base64,")
    if data and head.startswith("data:"):
        return {"type": "image", "source": {"type": "base64", "media_type": head[5:], "data": data}}
    return {"type": "image", "source": {"type": "url", "url": url}}
