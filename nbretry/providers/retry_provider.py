"""Asks providers one after the other until one answers: the module of the contract.

`IterListProvider` and `RetryProvider` are providers themselves, so they nest. The names, parameters, defaults and order
of ``create_completion``, ``create_async_generator``, ``get_providers`` and `raise_exceptions` are those of gpt4free's
module of the same name.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any, NoReturn

from nbretry.answer import Answer
from nbretry.clock import SYSTEM_CLOCK, Clock
from nbretry.errors import RetryNoProviderError, RetryProviderError, failure_text
from nbretry.events import AttemptFailed, AttemptStarted, Event, FirstContent, TextDelta
from nbretry.policy import RetryPolicy
from nbretry.providers import bridge
from nbretry.providers.base import (
    BaseProvider,
    aiterate,
    is_content,
    iterate,
    passes_through,
    provider_name,
    supports_stream,
)
from nbretry.providers.run import Request, Run
from nbretry.types import AsyncResult, CreateResult, Messages, ProviderType, ResponseInfo

__all__ = ["IterListProvider", "RetryProvider", "raise_exceptions"]


class IterListProvider(BaseProvider):
    """Asks each provider of a list once, in order or shuffled, until one answers.

    Args:
        providers: classes or instances; see `nbretry.providers.base` for what makes a provider.
        shuffle: ask in a new random order each time. The list itself is never changed.
        clock: time and chance; the system's by default.

    Attributes:
        providers, shuffle: as given.
        working: True.
        last_provider: the provider that was asked last, None before the first question.
    """

    working = True
    supports_stream = True

    def __init__(self, providers: Sequence[ProviderType], shuffle: bool = True, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.providers = providers
        self.shuffle = shuffle
        self.working = True
        self.last_provider: ProviderType | None = None
        self._clock = clock

    @property
    def __name__(self) -> str:
        return type(self).__name__  # type: ignore[return-value]  # mypy takes it for this property

    def get_providers(self, stream: bool = False, ignored: Sequence[str] = ()) -> list[ProviderType]:
        """Whom to ask, in which order.

        Args:
            stream: leave out providers that say they cannot stream.
            ignored: names of providers to leave out.
        """
        providers = [
            provider
            for provider in self.providers
            if (supports_stream(provider) or not stream) and provider_name(provider) not in ignored
        ]
        if self.shuffle:
            random.shuffle(providers)
        return providers

    def create_completion(
        self,
        model: str,
        messages: Messages,
        stream: bool = False,
        ignore_stream: bool = False,
        ignored: Sequence[str] = [],
        **kwargs: Any,
    ) -> CreateResult:
        """The chunks of the first answer, for code without an event loop.

        Args:
            model: name of the model; empty for each provider's own default.
            messages: the conversation.
            stream: ask only providers that stream, and ask them for a stream.
            ignore_stream: with ``stream``, ask the others too.
            ignored: names of providers that are not to be asked.
            **kwargs: passed on to each provider.

        Yields:
            Non-empty strings, and truthy chunks of other types as the provider gives them.

        Raises:
            RetryProviderError: every provider failed.
            RetryNoProviderError: there was nobody to ask.
            Exception: what a provider raised after it had begun to answer, as it was.
        """
        return self._run(_arguments(model, messages, stream, ignore_stream, ignored, kwargs), facts=False)

    def create_async_generator(
        self,
        model: str,
        messages: Messages,
        stream: bool = True,
        ignore_stream: bool = False,
        ignored: Sequence[str] = [],
        **kwargs: Any,
    ) -> AsyncResult:
        """The chunks of the first answer, for code in an event loop; otherwise as `create_completion`."""
        return self._arun(_arguments(model, messages, stream, ignore_stream, ignored, kwargs), facts=False)

    async def stream_events(
        self, model: str, messages: Messages | str, stream: bool = True, **kwargs: Any
    ) -> AsyncGenerator[Event, None]:
        """What happens, as it happens.

        Args:
            model: name of the model; empty for each provider's own default.
            messages: the conversation, or the text of one user's message.
            stream: as for `create_async_generator`, as are the other keyword arguments.

        Yields:
            Events, `RunStarted` first, `RunCompleted` or `RunFailed` last.

        Raises:
            RetryProviderError: after the `RunFailed` event; also where the answer broke off.
            RetryNoProviderError: after the `RunFailed` event.
        """
        async with aclosing(self._arun({"model": model, "messages": messages, "stream": stream, **kwargs})) as items:
            number = 0
            async for item in items:
                if type(item) is str:
                    yield TextDelta(number, item)
                elif type(item) is tuple:
                    attempt, chunk = item
                    event = attempt.event_of(chunk)
                    if event is not None:
                        yield event
                else:
                    if type(item) is AttemptStarted:
                        number = item.attempt
                    yield item

    async def answer(self, model: str, messages: Messages | str, stream: bool = True, **kwargs: Any) -> Answer:
        """The whole answer, with the record of every attempt; otherwise as `stream_events`.

        Raises:
            RetryProviderError: nobody answered, or the answer broke off; ``.answer`` has what there was of it.
            RetryNoProviderError: there was nobody to ask.
        """
        answer = Answer()
        try:
            async with aclosing(self.stream_events(model, messages, stream, **kwargs)) as events:
                async for event in events:
                    answer = answer.apply(event)
        except RetryProviderError as error:
            error.answer, error.attempts = answer, answer.attempts
            raise
        return answer

    def stream_chunks(self, model: str, messages: Messages, stream: bool = True, **kwargs: Any) -> Iterator[Any]:
        """As `create_completion`, with the metadata chunks between: how an outer provider asks this one."""
        with closing(
            self._run({"model": model, "messages": messages, "stream": stream, **kwargs}, facts=True)
        ) as items:
            outward = _Outward()
            yield from (chunk for item in items if (chunk := outward.chunk_of(item)) is not None)

    async def astream_chunks(
        self, model: str, messages: Messages, stream: bool = True, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """As `create_async_generator`, with the metadata chunks between: how an outer provider asks this one."""
        outward = _Outward()
        async with aclosing(self._arun({"model": model, "messages": messages, "stream": stream, **kwargs})) as items:
            async for item in items:
                chunk = outward.chunk_of(item)
                if chunk is not None:
                    yield chunk

    @property
    def policy(self) -> RetryPolicy:
        """What follows a failure."""
        return RetryPolicy(max_attempts=1)

    def _new_run(
        self,
        model: str,
        messages: Messages | str,
        stream: bool,
        ignore_stream: bool = False,
        ignored: Sequence[str] = (),
        **options: Any,
    ) -> Run:
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if options.get("provider") is self:  # gpt4free's synchronous client names the provider to itself
            del options["provider"]
        providers = self.get_providers(stream and not ignore_stream, ignored)
        return Run(Request(model, messages, {"stream": stream, **options}), providers, self.policy, self._clock)

    def _run(self, arguments: Mapping[str, Any], facts: bool = True) -> Generator[Any, None, None]:
        """The loop without an event loop; `_arun` is the same with one. All decisions are `Run`'s.

        Yields strings and foreign chunks; with ``facts``, events too, and what is no string in a pair with its attempt.
        """
        run = self._new_run(**arguments)
        if facts:
            yield run.started
        while (following := run.next_attempt()) is not None:
            attempt, started = following
            self.last_provider = attempt.provider
            if facts:
                yield started
            failure: Exception | None = None
            content_started = False
            try:
                chunks = iterate(attempt.provider, attempt.model, attempt.messages(), **attempt.options())
                try:
                    for chunk in chunks:
                        if not content_started and is_content(chunk):
                            content_started = True
                            first = attempt.start_content()
                            if facts:
                                yield first
                        if type(chunk) is str:
                            if chunk:
                                yield chunk
                        elif facts:
                            yield attempt, chunk
                        elif passes_through(chunk):
                            yield chunk
                finally:
                    bridge.close(chunks)
                attempt.check_content()
            except Exception as exception:
                failure = exception
            if failure is None:
                if facts:
                    yield from run.succeeded(attempt)
                return
            failed = run.failed(attempt, failure)
            if facts:
                yield failed
            elif content_started:
                raise failure
            del failure
            if failed.wait_for:
                self._clock.sleep(failed.wait_for)
        ended = run.ended()
        if facts:
            yield ended
        raise ended.exception

    async def _arun(self, arguments: Mapping[str, Any], facts: bool = True) -> AsyncGenerator[Any, None]:
        run = self._new_run(**arguments)
        cancelled = bridge.cancellation()
        if facts:
            yield run.started
        while (following := run.next_attempt()) is not None:
            attempt, started = following
            self.last_provider = attempt.provider
            if facts:
                yield started
            failure: Exception | None = None
            content_started = False
            try:
                chunks = aiterate(attempt.provider, attempt.model, attempt.messages(), **attempt.options())
                try:
                    async for chunk in chunks:
                        if not content_started and is_content(chunk):
                            content_started = True
                            first = attempt.start_content()
                            if facts:
                                yield first
                        if type(chunk) is str:
                            if chunk:
                                yield chunk
                        elif facts:
                            yield attempt, chunk
                        elif passes_through(chunk):
                            yield chunk
                finally:
                    await bridge.aclose(chunks)
                attempt.check_content()
            except Exception as exception:
                failure = exception
            if cancelled():  # and the provider has made something else of it
                raise asyncio.CancelledError
            if failure is None:
                if facts:
                    for fact in run.succeeded(attempt):
                        yield fact
                return
            failed = run.failed(attempt, failure)
            if facts:
                yield failed
            elif content_started:
                raise failure
            del failure
            if failed.wait_for:
                await self._clock.asleep(failed.wait_for)
        ended = run.ended()
        if facts:
            yield ended
        raise ended.exception


class RetryProvider(IterListProvider):
    """Asks each provider of a list, one of them several times if wanted, until one answers.

    Args:
        providers: classes or instances; see `nbretry.providers.base` for what makes a provider.
        shuffle: ask in a new random order each time. The list itself is never changed.
        single_provider_retry: ask one provider up to ``max_retries`` times, with growing waits, before the next.
        max_retries: how often one provider is asked at most, with ``single_provider_retry``.
        policy: what follows a failure; from the two arguments before by default.
        clock: time and chance; the system's by default.
    """

    def __init__(
        self,
        providers: Sequence[ProviderType],
        shuffle: bool = True,
        single_provider_retry: bool = False,
        max_retries: int = 3,
        *,
        policy: RetryPolicy | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(providers, shuffle, clock=clock)
        self.single_provider_retry = single_provider_retry
        self.max_retries = max_retries
        self._policy = policy

    @property
    def policy(self) -> RetryPolicy:
        """What follows a failure."""
        return self._policy or RetryPolicy(max_attempts=self.max_retries if self.single_provider_retry else 1)


class _Outward:
    """Turns the items of an inner run into chunks for an outer one: who answers is told once content comes."""

    def __init__(self) -> None:
        self._info = ResponseInfo()
        self._content_started = False

    def chunk_of(self, item: Any) -> Any:
        match item:
            case str():
                return item
            case AttemptStarted():
                self._info = ResponseInfo(model=item.model or None, provider=item.provider)
                self._content_started = False
            case (attempt, ResponseInfo() as info):
                provider = f"{attempt.name} → {info.provider}" if info.provider else attempt.name
                request_id = info.request_id or self._info.request_id
                self._info = ResponseInfo(info.model or self._info.model, request_id, provider)
                return self._info if self._content_started else None
            case FirstContent():
                self._content_started = True
                return self._info
            case AttemptFailed() if self._content_started:
                raise item.exception  # as it was, as from `create_completion`
            case (_, chunk):
                return chunk
        return None


def _arguments(
    model: str, messages: Messages, stream: bool, ignore_stream: bool, ignored: Sequence[str], options: dict[str, Any]
) -> dict[str, Any]:
    return {
        "model": model,
        "messages": messages,
        "stream": stream,
        "ignore_stream": ignore_stream,
        "ignored": ignored,
        **options,
    }


def raise_exceptions(exceptions: Mapping[str, BaseException]) -> NoReturn:
    """Raise one error for all that went wrong.

    Args:
        exceptions: what each provider raised, by its name.

    Raises:
        RetryProviderError: there are exceptions; the text has a line ``Name: Type: message`` for each.
        RetryNoProviderError: there are none.
    """
    if not exceptions:
        raise RetryNoProviderError("there was no provider to ask")
    head = "every provider failed" if len(exceptions) > 1 else "the provider failed"
    raise RetryProviderError(failure_text(head, exceptions.items()), exceptions=exceptions)
