"""The types that the contract names, and the chunks that our own providers put beside the text.

A *chunk* is what a provider's generator yields. A non-empty `str` is content. The classes below are chunks that tell
about the answer and are no part of it; `RetryProvider.create_completion` and `create_async_generator` drop them, and
`RetryProvider.stream_events` turns them into events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

__all__ = [
    "AsyncResult",
    "Content",
    "CreateResult",
    "FinishReason",
    "Format",
    "Message",
    "Messages",
    "Metadata",
    "ProviderType",
    "Reasoning",
    "ResponseInfo",
    "Status",
    "Usage",
]

Content: TypeAlias = str | list[dict[str, Any]]
"""What a message says: text, or parts as ``{"type": "text", "text": …}`` and ``{"type": "image_url", "image_url":
{"url": …}}``."""

Format: TypeAlias = Literal["markdown", "text", "code", "json", "html"]
"""What an answer is to be."""

Message: TypeAlias = dict[str, Any]
"""One message: ``{"role": "system" | "user" | "assistant" | "tool", "content": str | list of parts}``."""

Messages: TypeAlias = list[Message]
"""A conversation, oldest message first."""

CreateResult: TypeAlias = Iterator[Any]
"""What ``create_completion`` gives: an iterator of chunks."""

AsyncResult: TypeAlias = AsyncIterator[Any]
"""What ``create_async_generator`` gives: an asynchronous iterator of chunks."""

ProviderType: TypeAlias = Any
"""A provider: a class or an instance with ``create_completion``, ``create_async`` or ``create_async_generator``."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Base of the chunks that tell about an answer. As text each of them is empty."""

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Usage(Metadata):
    """Tokens that a provider counted, or an estimate that is marked as one.

    Attributes:
        prompt_tokens: tokens of the messages, None where the provider did not say.
        completion_tokens: tokens of the answer, None where the provider did not say.
        estimated: whether a count is an estimate of ours.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    estimated: bool = False

    @property
    def total_tokens(self) -> int | None:
        """Both together; None where neither is known."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        return (self.prompt_tokens or 0) + (self.completion_tokens or 0)


@dataclass(frozen=True, slots=True)
class FinishReason(Metadata):
    """Why the model stopped: ``stop``, ``length``, ``tool_calls``, ``content_filter`` or the provider's own word."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reasoning(Metadata):
    """A fragment of the model's reasoning, shown apart from the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ResponseInfo(Metadata):
    """Who really answers, as the wire says.

    Attributes:
        model: the model's full name.
        request_id: the provider's own identifier of the request.
        provider: for a provider that passes the question on: the name of the one that took it.
    """

    model: str | None = None
    request_id: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Status(Metadata):
    """What a provider does before it can answer, in a few words (``loading the model``)."""

    text: str
