"""Ask providers one after the other until one answers. This is the module that the retry-provider contract names.

`IterListProvider` and `RetryProvider` are providers themselves, so you can nest them. The names, parameters, defaults
and parameter order of ``create_completion``, ``create_async_generator``, ``get_providers`` and `raise_exceptions` are
those of gpt4free's module of the same name.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, NoReturn

from nbretry._utils.clock import SYSTEM_CLOCK, Clock
from nbretry.answer import Answer, failure_text
from nbretry.errors import RetryNoProviderError, RetryProviderError
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
    """A provider that asks each provider of a list once, in order or shuffled, until one answers.

    Args:
        providers: classes or instances; see `nbretry.retry.contract` for what makes a provider.
        shuffle: whether to ask in a new random order for each question. The list itself is never changed.
        clock: source of time and random numbers; the system's by default.

    Attributes:
        providers, shuffle: as given.
        working: always True.
        last_provider: the provider that was asked last; None before the first question.

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
        """Return the providers to ask, in the order to ask them.

        Args:
            stream: whether to leave out providers that say they cannot stream.
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
        """Yield the chunks of the first answer, in synchronous code.

        Args:
            model: name of the model; empty for each provider's own default.
            messages: the conversation.
            stream: whether to ask only providers that stream, and to ask them for a stream.
            ignore_stream: with ``stream``, whether to ask the other providers too.
            ignored: names of providers to leave out.
            **kwargs: passed on to each provider.

        Yields:
            Non-empty strings, and truthy chunks of other types as the provider gives them.

        Raises:
            RetryProviderError: every provider failed.
            RetryNoProviderError: there was no provider to ask.
            Exception: what a provider raised after it had begun to answer, unchanged.

        Example:
            >>> from nbretry.testing import simulate
            >>> provider = IterListProvider([simulate("'Hello' ' wide' ' world'")])
            >>> messages = [{"role": "user", "content": "Anybody there?"}]
            >>> for chunk in provider.create_completion("", messages, stream=True):
            ...     print(chunk, end="|")
            Hello| wide| world|
        """
        return self._run(_arguments(model, messages, stream, ignore_stream, ignored, kwargs), with_events=False)

    def create_async_generator(
        self,
        model: str,
        messages: Messages,
        stream: bool = True,
        ignore_stream: bool = False,
        ignored: Sequence[str] = [],
        **kwargs: Any,
    ) -> AsyncResult:
        """Yield the chunks of the first answer, in asynchronous code; otherwise as `create_completion`.

        >>> import asyncio
        >>> from nbretry.testing import simulate
        >>> async def ask(provider):
        ...     messages = [{"role": "user", "content": "Anybody there?"}]
        ...     return [chunk async for chunk in provider.create_async_generator("", messages)]
        >>> asyncio.run(ask(IterListProvider([simulate("'Hello' ' world'")])))
        ['Hello', ' world']
        """
        return self._begin(_arguments(model, messages, stream, ignore_stream, ignored, kwargs), with_events=False)

    async def stream_events(
        self, model: str, messages: Messages | str, stream: bool = True, **kwargs: Any
    ) -> AsyncGenerator[Event, None]:
        """Yield an event for everything that happens until the answer is complete.

        Args:
            model: name of the model; empty for each provider's own default.
            messages: the conversation, or the text of a single user message.
            stream: as for `create_async_generator`, as are the other keyword arguments.

        Yields:
            Events, `RunStarted` first, `RunCompleted` or `RunFailed` last.

        Raises:
            RetryProviderError: after the `RunFailed` event; also if the answer broke off.
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
        """Return the whole answer, with a record of every attempt; otherwise as `stream_events`.

        Raises:
            RetryProviderError: no provider answered, or the answer broke off; ``.answer`` has what arrived of it.
            RetryNoProviderError: there was no provider to ask.

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
        """Yield the chunks of `create_completion` and the metadata chunks between them, for an outer provider."""
        with closing(
            self._run({"model": model, "messages": messages, "stream": stream, **kwargs}, with_events=True)
        ) as items:
            outward = _Outward()
            yield from (chunk for item in items if (chunk := outward.chunk_of(item)) is not None)

    async def astream_chunks(
        self, model: str, messages: Messages, stream: bool = True, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Yield the chunks of `create_async_generator` and the metadata chunks between them, for an outer provider."""
        outward = _Outward()
        async with aclosing(self._begin({"model": model, "messages": messages, "stream": stream, **kwargs})) as items:
            async for item in items:
                chunk = outward.chunk_of(item)
                if chunk is not None:
                    yield chunk

    @property
    def policy(self) -> RetryPolicy:
        """The policy that controls what follows a failure."""
        return RetryPolicy(max_attempts=1)

    def health(self) -> tuple[ProviderHealth, ...]:
        """Return how each provider is doing, in list order: failures in a row, and whether and how long it cools down.

        >>> from nbretry.testing import simulate
        >>> provider = IterListProvider([simulate("500", name="busy"), simulate(name="good")], shuffle=False)
        >>> "".join(provider.create_completion("", [{"role": "user", "content": "Anybody there?"}]))
        'All is well.'
        >>> [(one.provider, one.last_error) for one in provider.health()]
        [('busy', 'ServerError: the script says 500'), ('good', None)]
        """
        return tuple(self._health.of(provider, provider_name(provider)) for provider in self.providers)

    def reset_health(self, *names: str) -> None:
        """Forget failures and end cooldowns, so that a provider can be asked again at once.

        Args:
            *names: names of providers; all by default.
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
        self, arguments: Mapping[str, Any], with_events: bool = True, takes_back: bool = False
    ) -> Generator[Any, None, None]:
        """Run one question in synchronous code; with hedging, in an event loop of its own.

        It yields strings and the provider's other chunks. With ``with_events`` it also yields events, and pairs each
        chunk that is not a string with its attempt.
        """
        if self.hedge_after is not None:
            yield from async_bridge.as_iterator(self._begin(arguments, with_events, takes_back))
        else:
            yield from follow(lambda: self._new_run(takes_back, **arguments), self._asked, with_events)

    def _begin(
        self, arguments: Mapping[str, Any], with_events: bool = True, takes_back: bool = False
    ) -> AsyncGenerator[Any, None]:
        """As `_run`, in asynchronous code: ask one provider after the other, or several in parallel."""
        loop = afollow if self.hedge_after is None else race
        return loop(lambda: self._new_run(takes_back, **arguments), self._asked, with_events)

    def _asked(self, provider: ProviderType) -> None:
        self.last_provider = provider


class RetryProvider(IterListProvider):
    """A provider that asks each provider of a list, several times if you want, until one answers.

    Args:
        providers: classes or instances; see `nbretry.retry.contract` for what makes a provider.
        shuffle: whether to ask in a new random order for each question. The list itself is never changed.
        single_provider_retry: whether to ask each provider up to ``max_retries`` times, with growing waits, before the
            next one.
        max_retries: maximum number of attempts per provider, with ``single_provider_retry``.
        policy: what to do after a failure; by default it follows from the two arguments above.
        on_break: what to do when a stream breaks off after content, in place of the policy's ``on_break``: ``raise``,
            ``restart`` (the next provider answers from the start) or ``continue`` (the next provider continues from the
            text so far). `create_completion` and `create_async_generator` cannot take back what they have yielded: for
            them ``restart`` means ``raise``.
        deadlines: time limits for each attempt; a provider's own attribute ``deadlines`` takes precedence. None by
            default.
        cooldown: when a provider that keeps failing cools down. By default no provider does: the failures of one run
            do not affect later runs.
        hedge_after: seconds without content after which the next provider is started in parallel. The first content
            wins, and the other attempts are cancelled. Or a quantile of the times to first content so far, such as
            ``"p90"``: until five times are known, no other provider is started.
        max_cost: budget in US dollars, or a `nbretry.retry.budget.Budget` to share. A request that would exceed what is
            left is not sent; its answer is estimated at ``max_tokens``, or at 500 tokens. A request whose price is not
            known is sent.
        prices: the prices of tokens. Without them no cost is known, and ``max_cost`` is never reached.
        health: a health record to share with other providers, in place of ``cooldown``.
        clock: source of time and random numbers; the system's by default.

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
        self.policy  # noqa: B018 (reports a wrong on_break here and not at the first question)

    @property
    def policy(self) -> RetryPolicy:
        """The policy that controls what follows a failure."""
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
    """Converter of an inner run's items to chunks for an outer run. It reports who answers once content arrives."""

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
                raise item.exception  # unchanged, as `create_completion` raises it
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
    """Raise one error for the failures of all providers.

    Args:
        exceptions: what each provider raised, by provider name.

    Raises:
        RetryProviderError: there are exceptions; the message has a line ``Name: Type: message`` for each.
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
