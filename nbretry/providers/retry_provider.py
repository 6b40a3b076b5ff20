"""Asks providers one after the other until one answers: the module of the contract.

`IterListProvider` and `RetryProvider` are providers themselves, so they nest. The names, parameters, defaults and order
of ``create_completion``, ``create_async_generator``, ``get_providers`` and `raise_exceptions` are those of gpt4free's
module of the same name.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, NoReturn

from nbretry._utils.clock import SYSTEM_CLOCK, Clock
from nbretry.answer import Answer, RetryNoProviderError, RetryProviderError, failure_text
from nbretry.events import AttemptFailed, AttemptStarted, Event, FirstContent, TextDelta
from nbretry.prices import PriceTable
from nbretry.retry import async_bridge
from nbretry.retry.budget import Budget
from nbretry.retry.contract import BaseProvider, provider_name, supports_stream
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.health import Cooldown, Health, ProviderHealth
from nbretry.retry.hedged import race
from nbretry.retry.policy import OnBreak, RetryPolicy, check_hedge_after
from nbretry.retry.run import Run, Settings
from nbretry.retry.running_attempt import Request
from nbretry.retry.sequential import afollow, follow
from nbretry.types import AsyncResult, CreateResult, Messages, ProviderType, ResponseInfo

__all__ = ["IterListProvider", "RetryProvider", "raise_exceptions"]


class IterListProvider(BaseProvider):
    """Asks each provider of a list once, in order or shuffled, until one answers.

    Args:
        providers: classes or instances; see `nbretry.retry.contract` for what makes a provider.
        shuffle: ask in a new random order each time. The list itself is never changed.
        clock: time and chance; the system's by default.

    Attributes:
        providers, shuffle: as given.
        working: True.
        last_provider: the provider that was asked last, None before the first question.

    Example:
        >>> from nbretry.testing import simulate
        >>> provider = IterListProvider([simulate("500"), simulate("'Hello' ' world'")], shuffle=False)
        >>> "".join(provider.create_completion("", [{"role": "user", "content": "Anybody there?"}]))
        'Hello world'
    """

    supports_stream = True
    hedge_after: float | str | None = None
    observes_itself = True

    def __init__(self, providers: Sequence[ProviderType], shuffle: bool = True, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.providers = providers
        self.shuffle = shuffle
        self.working: bool = True
        self.last_provider: ProviderType | None = None
        self._clock = clock
        self._health = Health(None, clock)

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

        Example:
            >>> from nbretry.testing import simulate
            >>> provider = IterListProvider([simulate("'Hello' ' wide' ' world'")])
            >>> messages = [{"role": "user", "content": "Anybody there?"}]
            >>> for chunk in provider.create_completion("", messages, stream=True):
            ...     print(chunk, end="|")
            Hello| wide| world|
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
        """The chunks of the first answer, for code in an event loop; otherwise as `create_completion`.

        >>> import asyncio
        >>> from nbretry.testing import simulate
        >>> async def ask(provider):
        ...     messages = [{"role": "user", "content": "Anybody there?"}]
        ...     return [chunk async for chunk in provider.create_async_generator("", messages)]
        >>> asyncio.run(ask(IterListProvider([simulate("'Hello' ' world'")])))
        ['Hello', ' world']
        """
        return self._begin(_arguments(model, messages, stream, ignore_stream, ignored, kwargs), facts=False)

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

        Example:
            >>> import asyncio
            >>> from nbretry.testing import simulate
            >>> async def watch(provider):
            ...     async for event in provider.stream_events("", "Anybody there?"):
            ...         print(type(event).__name__, end=" ")
            >>> asyncio.run(watch(IterListProvider([simulate("500"), simulate("'Hello'")], shuffle=False)))
            RunStarted AttemptStarted AttemptFailed ... FirstContent TextDelta AttemptSucceeded RunCompleted
        """
        arguments = {"model": model, "messages": messages, "stream": stream, **kwargs}
        async with aclosing(self._begin(arguments, takes_back=True)) as items:
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
                    if type(item) is FirstContent:
                        number = item.attempt
                    yield item

    async def answer(self, model: str, messages: Messages | str, stream: bool = True, **kwargs: Any) -> Answer:
        """The whole answer, with the record of every attempt; otherwise as `stream_events`.

        Raises:
            RetryProviderError: nobody answered, or the answer broke off; ``.answer`` has what there was of it.
            RetryNoProviderError: there was nobody to ask.

        Example:
            >>> import asyncio
            >>> from nbretry.testing import simulate
            >>> answer = asyncio.run(IterListProvider([simulate("'Hello'", name="good")]).answer("", "Anybody there?"))
            >>> answer.provider, answer.text
            ('good', 'Hello')
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
        async with aclosing(self._begin({"model": model, "messages": messages, "stream": stream, **kwargs})) as items:
            async for item in items:
                chunk = outward.chunk_of(item)
                if chunk is not None:
                    yield chunk

    @property
    def policy(self) -> RetryPolicy:
        """What follows a failure."""
        return RetryPolicy(max_attempts=1)

    def health(self) -> tuple[ProviderHealth, ...]:
        """How each provider is doing, in their order: failures in a row, and whether it rests and for how long.

        >>> from nbretry.testing import simulate
        >>> provider = IterListProvider([simulate("500", name="busy"), simulate(name="good")], shuffle=False)
        >>> "".join(provider.create_completion("", [{"role": "user", "content": "Anybody there?"}]))
        'All is well.'
        >>> [(one.provider, one.last_error) for one in provider.health()]
        [('busy', 'ServerError: the script says 500'), ('good', None)]
        """
        return tuple(self._health.of(provider, provider_name(provider)) for provider in self.providers)

    def reset_health(self, *names: str) -> None:
        """Forget failures and end rests, so that a provider is asked again at once.

        Args:
            *names: of providers; all by default.
        """
        self._health.reset([one for one in self.providers if not names or provider_name(one) in names])

    def _settings(self) -> Settings:
        return Settings(policy=self.policy, clock=self._clock, health=self._health)

    def _new_run(
        self,
        takes_back: bool,
        /,
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
        request = Request(model, messages, {"stream": stream, **options})
        return Run(request, providers, self._settings(), takes_back=takes_back)

    def _run(
        self, arguments: Mapping[str, Any], facts: bool = True, takes_back: bool = False
    ) -> Generator[Any, None, None]:
        """The run for code without an event loop; with hedging in a loop of its own.

        Yields strings and foreign chunks; with ``facts``, events too, and what is no string in a pair with its attempt.
        """
        if self.hedge_after is not None:
            yield from async_bridge.as_iterator(self._begin(arguments, facts, takes_back))
        else:
            yield from follow(lambda: self._new_run(takes_back, **arguments), self._asked, facts)

    def _begin(
        self, arguments: Mapping[str, Any], facts: bool = True, takes_back: bool = False
    ) -> AsyncGenerator[Any, None]:
        """The same for code in an event loop: one provider after the other, or several side by side."""
        loop = afollow if self.hedge_after is None else race
        return loop(lambda: self._new_run(takes_back, **arguments), self._asked, facts)

    def _asked(self, provider: ProviderType) -> None:
        self.last_provider = provider


class RetryProvider(IterListProvider):
    """Asks each provider of a list, one of them several times if wanted, until one answers.

    Args:
        providers: classes or instances; see `nbretry.retry.contract` for what makes a provider.
        shuffle: ask in a new random order each time. The list itself is never changed.
        single_provider_retry: ask one provider up to ``max_retries`` times, with growing waits, before the next.
        max_retries: how often one provider is asked at most, with ``single_provider_retry``.
        policy: what follows a failure; from the two arguments before by default.
        on_break: what follows a stream that dies after content, in place of the policy's: ``raise``, ``restart`` (the
            next provider answers from the start) or ``continue`` (it goes on from the text so far). `create_completion`
            and `create_async_generator` cannot take back what they have yielded: for them ``restart`` is ``raise``.
        deadlines: limits for each attempt; a provider's own attribute ``deadlines`` comes first. None by default.
        cooldown: when a provider that keeps failing rests. By default none ever does, and one run knows nothing of
            another.
        hedge_after: seconds without content after which the next provider is started beside; the first content wins,
            and the others are cancelled. Or a quantile of the times to first content so far, as ``"p90"``: while fewer
            than five are known, nobody is started.
        max_cost: US dollars; a request that would pass what is left of it is not sent. An answer is reckoned with
            ``max_tokens``, or 500 tokens. One whose price is not known is sent.
        prices: what tokens cost. Without it no cost is known, and ``max_cost`` never reached.
        health: a record to share with others, in place of ``cooldown``.
        clock: time and chance; the system's by default.

    Raises:
        ConfigError: a setting is wrong.

    Example:
        >>> import asyncio
        >>> from nbretry.testing import simulate
        >>> busy, good = simulate("429 retry-after=60", name="busy"), simulate("'Hello' ' world'", name="good")
        >>> retry_provider = RetryProvider([busy, good], shuffle=False, max_cost=1.0, hedge_after=5)
        >>> answer = asyncio.run(retry_provider.answer("", "Anybody there?"))
        >>> answer.text, answer.provider, list(answer.exceptions)
        ('Hello world', 'good', ['busy'])
    """

    def __init__(
        self,
        providers: Sequence[ProviderType],
        shuffle: bool = True,
        single_provider_retry: bool = False,
        max_retries: int = 3,
        *,
        policy: RetryPolicy | None = None,
        on_break: OnBreak | None = None,
        deadlines: Deadlines | None = None,
        cooldown: Cooldown | None = None,
        hedge_after: float | str | None = None,
        max_cost: float | Budget | None = None,
        prices: PriceTable | None = None,
        health: Health | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(providers, shuffle, clock=clock)
        self.single_provider_retry = single_provider_retry
        self.max_retries = max_retries
        self.on_break = on_break
        self.deadlines = deadlines
        self.prices = prices
        self.hedge_after = hedge_after
        check_hedge_after(hedge_after)
        self._policy = policy
        self._budget = Budget(max_cost) if isinstance(max_cost, int | float) else max_cost
        self._health = health or Health(cooldown, clock)
        self.policy  # noqa: B018 (a wrong on_break is told here and not with the first question)

    @property
    def policy(self) -> RetryPolicy:
        """What follows a failure."""
        policy = self._policy or RetryPolicy(max_attempts=self.max_retries if self.single_provider_retry else 1)
        return policy if self.on_break is None else replace(policy, on_break=self.on_break)

    @property
    def spent(self) -> float | None:
        """US dollars that attempts have cost so far, estimates included; None without ``max_cost``."""
        return None if self._budget is None else self._budget.spent

    def _settings(self) -> Settings:
        return Settings(
            policy=self.policy,
            clock=self._clock,
            health=self._health,
            deadlines=self.deadlines,
            hedge_after=self.hedge_after,
            budget=self._budget,
            prices=self.prices,
        )


class _Outward:
    """Turns the items of an inner run into chunks for an outer one: who answers is told once content comes."""

    def __init__(self) -> None:
        self._infos: dict[int, ResponseInfo] = {}
        self._answering = 0

    def chunk_of(self, item: Any) -> Any:
        match item:
            case str():
                return item
            case AttemptStarted():
                self._infos[item.attempt] = ResponseInfo(model=item.model or None, provider=item.provider)
            case (attempt, ResponseInfo() as info):
                before = self._infos[attempt.number]
                provider = f"{attempt.name} → {info.provider}" if info.provider else attempt.name
                info = ResponseInfo(info.model or before.model, info.request_id or before.request_id, provider)
                self._infos[attempt.number] = info
                return info if self._answering == attempt.number else None
            case FirstContent():
                self._answering = item.attempt
                return self._infos[item.attempt]
            case AttemptFailed() if self._answering == item.attempt and item.next_step != "continue":
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

    Example:
        >>> raise_exceptions({"groq": TimeoutError("no content came"), "xai": ConnectionError("refused")})
        Traceback (most recent call last):
        nbretry.errors.RetryProviderError: every provider failed:
        groq: TimeoutError: no content came
        xai: ConnectionError: refused
    """
    if not exceptions:
        raise RetryNoProviderError("there was no provider to ask")
    head = "every provider failed" if len(exceptions) > 1 else "the provider failed"
    raise RetryProviderError(failure_text(head, exceptions.items()), exceptions=exceptions)
