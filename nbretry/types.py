"""The types of the provider contract, and the metadata chunks that nbretry's own providers yield besides text.

A *chunk* is what a provider's generator yields. A non-empty `str` is content. The subclasses of `Metadata` are chunks
with information about the answer, and are not part of it; `RetryProvider.create_completion` and
`create_async_generator` drop them, and `RetryProvider.stream_events` turns them into events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

__all__ = [
    "AsyncResult",
    "Content",
    "CreateResult",
    "FinishReason",
    "Format",
    "HasCreateAsync",
    "HasCreateAsyncGenerator",
    "HasCreateCompletion",
    "Message",
    "Messages",
    "Metadata",
    "Painting",
    "ProviderType",
    "Reasoning",
    "ResponseInfo",
    "Status",
    "Usage",
]

Content: TypeAlias = str | list[dict[str, Any]]
"""The content of a message: text, or parts such as ``{"type": "text", "text": …}`` and ``{"type": "image_url",
"image_url": {"url": …}}``."""

Format: TypeAlias = Literal["markdown", "text", "code", "json", "html"]
"""The requested format of an answer."""

Painting: TypeAlias = Literal["live", "once"]
"""When a notebook shows an answer: while it arrives (``live``), or when it has ended (``once``)."""

Message: TypeAlias = dict[str, Any]
"""One message: ``{"role": "system" | "user" | "assistant" | "tool", "content": str | list of parts}``."""

Messages: TypeAlias = list[Message]
"""A conversation, oldest message first."""

CreateResult: TypeAlias = Iterator[Any]
"""What ``create_completion`` returns: an iterator of chunks."""

AsyncResult: TypeAlias = AsyncIterator[Any]
"""What ``create_async_generator`` returns: an asynchronous iterator of chunks."""


class HasCreateCompletion(Protocol):
    """A provider instance that answers as a generator of chunks.

    >>> from nbretry import RetryProvider
    >>> class Counting:
    ...     def create_completion(self, model, messages, **options):
    ...         yield from ("one ", "two ", "three")
    >>> "".join(RetryProvider([Counting()]).create_completion("", [{"role": "user", "content": "Count."}]))
    'one two three'
    """

    @property
    def create_completion(self) -> Callable[..., Any]:
        """Function that takes model and messages and yields the chunks one by one."""


class HasCreateAsync(Protocol):
    """A provider instance that answers as a coroutine.

    >>> from nbretry import RetryProvider
    >>> class Polite:
    ...     async def create_async(self, model, messages, **options):
    ...         return "You are welcome."
    >>> "".join(RetryProvider([Polite()]).create_completion("", [{"role": "user", "content": "Thanks."}]))
    'You are welcome.'
    """

    @property
    def create_async(self) -> Callable[..., Any]:
        """Coroutine function that takes model and messages and returns the whole answer."""


class HasCreateAsyncGenerator(Protocol):
    """A provider instance that answers as an asynchronous generator of chunks.

    >>> from nbretry import RetryProvider
    >>> class Echo:
    ...     async def create_async_generator(self, model, messages, **options):
    ...         yield messages[-1]["content"]
    ...         yield FinishReason("stop")
    >>> "".join(RetryProvider([Echo()]).create_completion("", [{"role": "user", "content": "Anybody there?"}]))
    'Anybody there?'
    """

    @property
    def create_async_generator(self) -> Callable[..., Any]:
        """Asynchronous generator function that takes model and messages and yields the chunks one by one."""


ProviderType: TypeAlias = HasCreateCompletion | HasCreateAsync | HasCreateAsyncGenerator | type[Any]
"""A provider: a class or an instance with ``create_completion``, ``create_async`` or ``create_async_generator``."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Base class of the chunks with information about an answer. Converted to text, each of them is empty.

    >>> "".join(map(str, ["Hello", Usage(11, 1), " world", FinishReason("stop")]))
    'Hello world'
    """

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Usage(Metadata):
    """Tokens that a provider counted, or an estimate marked as one.

    Attributes:
        prompt_tokens: tokens of the messages; None if the provider did not say.
        completion_tokens: tokens of the answer; None if the provider did not say.
        estimated: whether a count is nbretry's own estimate.

    Example:
        >>> Usage(prompt_tokens=11, completion_tokens=6).total_tokens
        17
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    estimated: bool = False

    @property
    def total_tokens(self) -> int | None:
        """The sum of both counts, where an unknown one counts as 0; None if neither is known."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        return (self.prompt_tokens or 0) + (self.completion_tokens or 0)


@dataclass(frozen=True, slots=True)
class FinishReason(Metadata):
    """Why the model stopped: ``stop``, ``length``, ``tool_calls``, ``content_filter`` or the provider's own word.

    >>> FinishReason("length").reason
    'length'
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Reasoning(Metadata):
    """A fragment of the model's reasoning, shown separately from the answer.

    >>> Reasoning("The user asks why …").text
    'The user asks why …'
    """

    text: str


@dataclass(frozen=True, slots=True)
class ResponseInfo(Metadata):
    """Who actually answers, as reported in the response.

    Attributes:
        model: the model's full name.
        request_id: the provider's own identifier of the request.
        provider: name of the provider that took the question, if the one that was asked passed it on.

    Example:
        >>> ResponseInfo(model="gpt-oss-120b-2026-08-05", request_id="req-7").request_id
        'req-7'
    """

    model: str | None = None
    request_id: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class Status(Metadata):
    """What a provider is doing before it can answer, in a few words (``loading the model``).

    >>> Status("loading the model").text
    'loading the model'
    """

    text: str
