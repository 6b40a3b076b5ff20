"""The state of one run, without any waiting: which provider is next, and what follows the outcome of an attempt.

The drivers in `nbretry.retry.sequential` and `nbretry.retry.hedged` drive a `Run`; they make no decisions themselves.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from nbretry._utils.clock import Clock
from nbretry._utils.exceptions import describe
from nbretry._utils.redaction import mask, mask_exception
from nbretry.answer import fold
from nbretry.errors import APITimeoutError, CostLimitError, NotAskedError, RestingError, RetryProviderError
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
"""Assumed length of an answer in tokens, to estimate its cost before the request if ``max_tokens`` is not set."""

_EventT = TypeVar("_EventT", bound=Event)

logger = logging.getLogger("nbretry")
logger.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a run.

    Attributes:
        policy: what follows a failure.
        clock: source of time and random numbers.
        deadlines: the limits that a provider does not set itself.
        health: the record over many runs, with the cooldowns.
        hedge_after: seconds without content, or a quantile such as ``"p90"``, after which to start the next provider in
            parallel; None for never.
        budget: how much may be spent; None for no limit.
        prices: what tokens cost; None to calculate no costs.
    """

    policy: RetryPolicy
    clock: Clock
    health: Health
    deadlines: Deadlines | None = None
    hedge_after: float | str | None = None
    budget: Budget | None = None
    prices: PriceTable | None = None


class Run:
    """One question and all its attempts, from provider to provider.

    A driver calls `next_attempt`, reports the outcome with `succeeded`, `failed` or `cancelled`, and calls `close` at
    the end. `news` returns the events since its last call.

    Args:
        request: what was asked.
        providers: the providers to ask, in this order.
        settings: the settings of the run.
        takes_back: whether the reader can discard the text of a failed attempt. If not, ``on_break="restart"`` is
            treated as ``"raise"``.
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
        self._events: list[Event] = []
        self._news: list[Event] = []
        self._observe = new_observer(stream=bool(request.options.get("stream")))
        self._unobserved: set[int] = set()
        self._begun = settings.clock.monotonic()
        names = tuple(provider_name(provider) for provider in providers)
        sent = _as_sent(request.messages)
        self.note(RunStarted(settings.clock.time(), names, request.model or "", request.sha256(), sent))

    def now(self) -> float:
        """Return the seconds since the run started."""
        return self.settings.clock.monotonic() - self._begun

    def note(self, event: _EventT) -> _EventT:
        """Add an event to the record of the run and to `news`; return it."""
        self._news.append(event)
        return self.record(event)

    def record(self, event: _EventT) -> _EventT:
        """Add an event to the record of the run, but not to `news`; return it."""
        self._events.append(event)
        if self._observe is not None and getattr(event, "attempt", None) not in self._unobserved:
            self._observe(event)
        return event

    def news(self) -> list[Event]:
        """Return the events since the last call."""
        news, self._news = self._news, []
        return news

    def next_attempt(self) -> RunningAttempt | None:
        """Start an attempt with the next provider; return None if no provider is left."""
        while (candidate := self._next_candidate()) is not None:
            try:
                attempt = self._begin(candidate)
            except BaseException:  # a trial that never starts would keep all other runs from the provider
                self.settings.health.abandoned(candidate.provider, candidate)
                raise
            if attempt is not None:
                return attempt
        return None

    def seconds_to_another(self) -> float:
        """Return the seconds until a hedged run may start one more provider; infinity if none is left in this round."""
        return max(0.0, self._queue[0].ready_at - self.now()) if self._queue else math.inf

    def first_content(self, attempt: RunningAttempt) -> FirstContent:
        """Record that the first content of an attempt has come."""
        now = self.now()
        self.settings.health.content_came(attempt.provider, now - attempt.started_at)
        return self.note(FirstContent(attempt.number, now))

    def failed(self, attempt: RunningAttempt, exception: BaseException) -> AttemptFailed:
        """Record a failure and decide what follows."""
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
        """Record that an attempt was given up because another provider was quicker."""
        self._end(attempt)
        self.settings.health.abandoned(attempt.provider, attempt.candidate)
        self.note(AttemptCancelled(attempt.number, reason, self.now()))

    def succeeded(self, attempt: RunningAttempt) -> None:
        """Record that the answer is complete."""
        self._end(attempt)
        self.settings.health.succeeded(attempt.provider)
        now = self.now()
        self.note(AttemptSucceeded(attempt.number, attempt.finish_reason, now))
        self.note(RunCompleted(now))

    def ended(self) -> RunFailed:
        """Record that no provider answered; return the event, which has the error."""
        answer = fold(self._events)
        error = answer.failure()
        ended = self.note(RunFailed(error, self.now()))
        if isinstance(error, RetryProviderError):
            error.answer = answer.apply(ended)
        return ended

    def close(self) -> None:
        """Close the run, however it ended. Attempts that are still open were stopped from outside."""
        for attempt in list(self._open):
            self._end(attempt)
            self.settings.health.abandoned(attempt.provider, attempt.candidate)
        if self._observe is not None:
            self._observe.end(None)

    def _peek(self) -> Candidate | None:
        """Return the next candidate, or None. Starts the next round if this one is over."""
        if not self._queue and self._later and not self._open:
            self._round += 1
            for candidate in self._later:
                candidate.tries = 0
            self._queue.extend(sorted(self._later, key=lambda candidate: candidate.ready_at))
            self._later.clear()
        if not self._queue and self._resting and self._last_resort is None and not self._open:
            # All others have failed: ask a provider that is cooling down rather than none.
            self._last_resort = self._first_to_wake(self._resting)
            self._queue.append(self._last_resort)
        return self._queue[0] if self._queue else None

    def _next_candidate(self) -> Candidate | None:
        """Return the next candidate that is not cooling down; if all are, the one that is available first."""
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
        with suppress(Exception):  # an error in the provider's own code does not matter here
            model = resolve_model(candidate.provider, self.request.model)
        logger.info("attempt %d: %s %s", self._number, name, exception)
        self.note(AttemptSkipped(self._number, name, model, exception, self.now()))

    def _begin(self, candidate: Candidate) -> RunningAttempt | None:
        """Start an attempt with a provider; return None if it would cost too much."""
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
        if getattr(attempt.provider, "observes_itself", False):  # otherwise its own attempts would be counted twice
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
                own_only=not getattr(attempt.provider, "needs_auth", False),  # a provider without a key sends no bill
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
            return  # refused or not reached, so it cost nothing: the same rule as `Attempt.is_paid`
        usage = attempt.usage or Usage()
        prompt = attempt.prompt_tokens if usage.prompt_tokens is None else usage.prompt_tokens
        text = attempt.said() + attempt.thought()
        completion = estimate_tokens(text) if usage.completion_tokens is None else usage.completion_tokens
        budget.spend(attempt.price.cost(Usage(prompt, completion)) or 0.0)


def _as_sent(messages: Any) -> tuple[Message, ...]:
    """Return a copy of the conversation as it is now, because the caller may change the list later.

    Args:
        messages: what the caller passed; anything that is not a dict is left out, and a `str` becomes one user message.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, list | tuple):
        return ()
    return tuple(dict(message) for message in messages if isinstance(message, dict))
