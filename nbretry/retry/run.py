"""The course of one run, without any waiting: which provider is next, what its chunks say, what follows its failure.

`Run` is driven by the two loops of `retry_provider`, one with an event loop and one without; neither decides anything.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nbretry._errors import APITimeoutError, CostLimitError, NotAskedError, RestingError, describe
from nbretry._utils.clock import Clock
from nbretry._utils.redaction import mask, mask_exception
from nbretry.answer import RetryProviderError, fold
from nbretry.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    NextStep,
    RunCompleted,
    RunFailed,
    RunStarted,
)
from nbretry.prices import PriceTable, dollars, estimate_prompt_tokens, estimate_tokens
from nbretry.retry.budget import Budget
from nbretry.retry.contract import provider_name, resolve_model
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.health import Health
from nbretry.retry.policy import RetryPolicy
from nbretry.retry.running_attempt import Candidate, Request, RunningAttempt
from nbretry.retry.telemetry import new_observer
from nbretry.types import Message, ProviderType, Usage

__all__ = ["Request", "Run", "Settings"]

_USUAL_ANSWER = 500
"""Tokens that an answer is reckoned with before it is asked for, where no ``max_tokens`` says how long it can be."""

_Fact = TypeVar("_Fact", bound=Event)

logger = logging.getLogger("nbretry")
logger.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run goes by.

    Attributes:
        policy: what follows a failure.
        clock: time and chance.
        deadlines: for providers that have none of their own.
        health: the record over many runs, and who rests.
        hedge_after: seconds without content, or a quantile as ``"p90"``, after which the next provider is asked beside.
        budget: what may be spent.
        prices: what tokens cost.
    """

    policy: RetryPolicy
    clock: Clock
    health: Health
    deadlines: Deadlines | None = None
    hedge_after: float | str | None = None
    budget: Budget | None = None
    prices: PriceTable | None = None


class Run:
    """One question on its way from provider to provider.

    Whoever drives it asks for the `next_attempt`, tells what became of it by `succeeded`, `failed` or `cancelled`, and
    calls `close` at the end. What has happened since it was last asked is in `news`.

    Args:
        request: what was asked.
        providers: whom to ask, in this order.
        settings: what the run goes by.
        takes_back: whether text that was given up can be taken back by whoever reads it.
    """

    def __init__(
        self, request: Request, providers: Sequence[ProviderType], settings: Settings, *, takes_back: bool = True
    ) -> None:
        self.request = request
        self.settings = settings
        self.text_so_far = ""
        policy = settings.policy
        if policy.on_break == "restart" and not takes_back:
            policy = replace(policy, on_break="raise")
        self.policy = policy
        self.keeps_text = policy.on_break == "continue" or settings.budget is not None
        self._queue = deque(Candidate(provider) for provider in providers)
        self._later: list[Candidate] = []
        self._resting: list[Candidate] = []
        self._last_resort: Candidate | None = None
        self._open: list[RunningAttempt] = []
        self._round = 1
        self._number = 0
        self._somebody_was_asked = False
        self._facts: list[Event] = []
        self._news: list[Event] = []
        self._observe = new_observer(stream=bool(request.options.get("stream")))
        self._unobserved: set[int] = set()
        self._begun = settings.clock.monotonic()
        names = tuple(provider_name(provider) for provider in providers)
        sent = _as_sent(request.messages)
        self.note(RunStarted(settings.clock.time(), names, request.model or "", request.sha256(), sent))

    def now(self) -> float:
        """Seconds since the run started."""
        return self.settings.clock.monotonic() - self._begun

    def note(self, event: _Fact) -> _Fact:
        """Keep a fact for the record of the run, and for `news`."""
        self._news.append(event)
        return self.record(event)

    def record(self, event: _Fact) -> _Fact:
        """Keep a fact for the record of the run alone."""
        self._facts.append(event)
        if self._observe is not None and getattr(event, "attempt", None) not in self._unobserved:
            self._observe(event)
        return event

    def news(self) -> list[Event]:
        """The facts since this was last called."""
        news, self._news = self._news, []
        return news

    def next_attempt(self) -> RunningAttempt | None:
        """Ask the next provider; None where there is nobody left."""
        while (candidate := self._next_candidate()) is not None:
            try:
                attempt = self._begin(candidate)
            except BaseException:  # a trial that is never begun would keep all others away from the provider
                self.settings.health.abandoned(candidate.provider, candidate)
                raise
            if attempt is not None:
                return attempt
        return None

    def seconds_to_another(self) -> float:
        """Seconds until a hedged run may ask one more beside the others; infinity where this round has nobody left."""
        return max(0.0, self._queue[0].ready_at - self.now()) if self._queue else math.inf

    def first_content(self, attempt: RunningAttempt) -> FirstContent:
        """Take note that the first content of an attempt has come."""
        now = self.now()
        self.settings.health.content_came(attempt.provider, now - attempt.started_at)
        return self.note(FirstContent(attempt.number, now))

    def failed(self, attempt: RunningAttempt, exception: BaseException) -> AttemptFailed:
        """Take note of a failure and decide what follows."""
        self._end(attempt, exception)
        mask_exception(exception)
        logger.warning("attempt %d: %s failed: %s", attempt.number, attempt.name, describe(exception))
        self.settings.health.failed(attempt.provider, exception, attempt.candidate)
        candidate = attempt.candidate
        decision = self.policy.decide(
            exception,
            attempts_of_provider=candidate.tries,
            content_started=attempt.content_started,
            random=self.settings.clock.random,
            this_round=self._round,
        )
        if self.policy.on_break == "continue" and attempt.content_started:
            self.text_so_far += attempt.said()
        now = self.now()
        if decision.next_step == "retry":
            candidate.ready_at = now + decision.wait_for
            self._queue.appendleft(candidate)
        elif decision.again_after is not None:
            candidate.ready_at = now + decision.again_after
            self._later.append(candidate)
        elif decision.next_step == "stop":
            self._queue.clear()
            self._later.clear()
            self._resting.clear()
        following = self._peek()
        wait = 0.0
        if following is None:
            step: NextStep = "stop" if not self._open else "fallback"
        else:
            step = "continue" if self.text_so_far else "retry" if following is candidate else "fallback"
            if following is candidate:
                wait = decision.wait_for if decision.again_after is None else decision.again_after
            elif not self._open and not self._rests(following):
                wait = max(0.0, following.ready_at - now)
        return self.note(AttemptFailed(attempt.number, exception, step, wait, now))

    def cancelled(self, attempt: RunningAttempt, reason: str) -> None:
        """Take note that a provider was given up because another one was quicker."""
        self._end(attempt)
        self.settings.health.abandoned(attempt.provider, attempt.candidate)
        self.note(AttemptCancelled(attempt.number, reason, self.now()))

    def succeeded(self, attempt: RunningAttempt) -> None:
        """Take note that the answer is whole."""
        self._end(attempt)
        self.settings.health.succeeded(attempt.provider)
        now = self.now()
        self.note(AttemptSucceeded(attempt.number, attempt.finish_reason, now))
        self.note(RunCompleted(now))

    def ended(self) -> RunFailed:
        """The fact that nobody answered, with the error that says so."""
        answer = fold(self._facts)
        error = answer.failure()
        ended = self.note(RunFailed(error, self.now()))
        if isinstance(error, RetryProviderError):
            error.answer = answer.apply(ended)
        return ended

    def close(self) -> None:
        """The run is over, however it ended: attempts that are still open were stopped from outside."""
        for attempt in list(self._open):
            self._end(attempt)
            self.settings.health.abandoned(attempt.provider, attempt.candidate)
        if self._observe is not None:
            self._observe.end(None)

    def _peek(self) -> Candidate | None:
        """Who is next, the next round begun where this one is over."""
        if not self._queue and self._later and not self._open:
            self._round += 1
            for candidate in self._later:
                candidate.tries = 0
            self._queue.extend(sorted(self._later, key=lambda candidate: candidate.ready_at))
            self._later.clear()
        if not self._queue and self._resting and self._last_resort is None and not self._open:
            # All others have failed: one that rests is asked rather than nobody.
            self._last_resort = self._first_to_wake(self._resting)
            self._queue.append(self._last_resort)
        return self._queue[0] if self._queue else None

    def _next_candidate(self) -> Candidate | None:
        """Who is to be asked, of those who do not rest; where all rest, who wakes first."""
        health = self.settings.health
        while self._peek() is not None:
            if not self._somebody_was_asked and all(self._rests(candidate) for candidate in self._queue):
                self._last_resort = self._first_to_wake(self._queue)
                self._queue.remove(self._last_resort)
                self._queue.appendleft(self._last_resort)
            candidate = self._queue.popleft()
            may_ask, seconds = health.may_ask(candidate.provider, candidate, anyway=candidate is self._last_resort)
            if may_ask:
                return candidate
            self._resting.append(candidate)
            self._skip(candidate, self._resting_error(candidate, seconds))
        return None

    def _first_to_wake(self, candidates: Iterable[Candidate]) -> Candidate:
        return min(candidates, key=lambda candidate: self.settings.health.of(candidate.provider, "").resting_for)

    def _rests(self, candidate: Candidate) -> bool:
        return self.settings.health.of(candidate.provider, "").state != "ready"

    def _resting_error(self, candidate: Candidate, seconds: float) -> RestingError:
        name = provider_name(candidate.provider)
        state = self.settings.health.of(candidate.provider, name)
        rests = f"resting {seconds:.0f} s more" if seconds >= 1 else "resting, and another question is trying it now"
        after = f", after {state.last_error}" if state.last_error else ""
        return RestingError(f"skipped: {rests}{after}", provider=name)

    def _skip(self, candidate: Candidate, exception: NotAskedError) -> None:
        self._number += 1
        name, model = provider_name(candidate.provider), ""
        with suppress(Exception):  # of the provider's own code; it is not asked
            model = resolve_model(candidate.provider, self.request.model)
        logger.info("attempt %d: %s %s", self._number, name, exception)
        self.note(AttemptSkipped(self._number, name, model, exception, self.now()))

    def _begin(self, candidate: Candidate) -> RunningAttempt | None:
        """Ask a provider, unless that would cost too much."""
        attempt = RunningAttempt(self, candidate, self._number + 1, self.settings.deadlines)
        self._count(attempt)
        too_dear = self._too_dear(attempt)
        if too_dear is not None:
            self.settings.health.abandoned(attempt.provider, attempt.candidate)
            self._skip(candidate, too_dear)
            return None
        self._number += 1
        candidate.tries += 1
        self._somebody_was_asked = True
        self._open.append(attempt)
        if getattr(attempt.provider, "observes_itself", False):  # its own attempts would be counted twice
            self._unobserved.add(attempt.number)
        model = mask(attempt.model) or "its default model"
        logger.debug("attempt %d: asking %s for %s", attempt.number, attempt.name, model)
        price = None if attempt.price is None else (attempt.price.prompt, attempt.price.completion)
        self.note(
            AttemptStarted(
                attempt.number, attempt.name, attempt.model, attempt.started_at, attempt.prompt_tokens, price
            )
        )
        return attempt

    def _count(self, attempt: RunningAttempt) -> None:
        if self.settings.prices is None and self.settings.budget is None:
            return
        attempt.prompt_tokens = estimate_prompt_tokens(attempt.messages())
        if self.settings.prices is not None:
            attempt.price = self.settings.prices.price(
                attempt.name,
                attempt.model,
                prompt_tokens=attempt.prompt_tokens,
                own_only=not getattr(attempt.provider, "needs_auth", False),  # who needs no key sends no bill
            )

    def _too_dear(self, attempt: RunningAttempt) -> CostLimitError | None:
        budget, price = self.settings.budget, attempt.price
        if budget is None or price is None:
            return None
        longest = self.request.options.get("max_tokens")
        usage = Usage(attempt.prompt_tokens, longest if isinstance(longest, int) else _USUAL_ANSWER)
        cost = price.cost(usage) or 0.0
        passed = budget.set_aside(cost)
        if passed is None:
            attempt.set_aside = cost
            return None
        return CostLimitError(
            f"skipped: asking it would cost about {dollars(cost)}, and {dollars(passed.taken)} of max_cost "
            f"{dollars(passed.limit or 0.0)} are spent",
            provider=attempt.name,
            model=attempt.model or None,
        )

    def _end(self, attempt: RunningAttempt, exception: BaseException | None = None) -> None:
        self._open.remove(attempt)
        budget = self.settings.budget
        if budget is None or attempt.price is None:
            return
        budget.give_back(attempt.set_aside)
        answered = attempt.content_started or attempt.usage is not None
        if not (exception is None or answered or isinstance(exception, APITimeoutError)):
            return  # refused or not reached, as `Attempt.is_paid` has it
        usage = attempt.usage or Usage()
        prompt = attempt.prompt_tokens if usage.prompt_tokens is None else usage.prompt_tokens
        text = attempt.said() + attempt.thought()
        completion = estimate_tokens(text) if usage.completion_tokens is None else usage.completion_tokens
        budget.spend(attempt.price.cost(Usage(prompt, completion)) or 0.0)


def _as_sent(messages: Any) -> tuple[Message, ...]:
    """The conversation as it is now, whatever its owner does to the list later.

    Args:
        messages: what a user of the contract handed over; only what has the form of messages is kept.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, list | tuple):
        return ()
    return tuple(dict(message) for message in messages if isinstance(message, dict))
