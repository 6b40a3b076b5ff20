"""The session that the magics, the panel and the command line share: providers by name, and one way to ask them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from nbretry._utils.clock import SYSTEM_CLOCK, Clock
from nbretry._utils.names import split_name
from nbretry.answer import Answer
from nbretry.config.schema import SETTINGS, Setting
from nbretry.config.settings import IN_SESSION, Settings
from nbretry.errors import RetryNoProviderError
from nbretry.events import Event
from nbretry.prices import PriceTable
from nbretry.prompts.conversations import Conversations
from nbretry.prompts.messages import build_messages
from nbretry.providers.retry_provider import RetryProvider
from nbretry.retry.budget import Budget
from nbretry.retry.contract import provider_name
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.health import Cooldown, Health, ProviderHealth
from nbretry.retry.policy import RetryPolicy
from nbretry.session.question import Question
from nbretry.session.registry import ENTRY_POINT_GROUP, ProviderNames
from nbretry.session.runlog import RunLog
from nbretry.session.runs import Paint, PaintColumn, both, drive, drive_all, nobody_answered
from nbretry.types import Messages, ProviderType

__all__ = ["ENTRY_POINT_GROUP", "Question", "Session", "default_session", "register"]

_ANSWERS_KEPT = 50

_BUDGET_LIMIT = "session.budget.limit"

_OF_A_QUESTION = ("system", "temperature", "max_tokens", "on_break", "hedge_after", "retries", "max_cost")
"""Settings that a question has under the same name; None there means the session's value."""


@dataclass
class Session:
    """The providers by name of one kernel or one command, their health, and the latest answers.

    ``%nbretry config`` takes precedence over ``policy``, ``deadlines``, ``hedge_after`` and ``budget.limit``. If you
    change one of these attributes in Python, it takes precedence over the environment and the settings files. See
    `setting`.

    Attributes:
        answers: the latest fifty answers.
        policy: what to do after a failure; by default ask the next provider at once, and ask those with a temporary
            failure again in a second round.
        deadlines: time limits for providers that have none of their own.
        hedge_after: seconds without content, or a quantile such as ``"p90"``, after which the next provider is started
            in parallel; None never to ask two at once.
        health: how each provider has been doing, and which ones are cooling down.
        prices: what tokens cost; add your own prices with ``prices.set``.
        budget: what all questions together have cost, and ``budget.limit``, which they must not exceed, in US dollars.
        conversations: earlier questions and answers, by name of the conversation.
        clock: source of time and randomness.
        settings: settings from the files, the environment and ``%nbretry config``.

    Example:
        >>> import asyncio
        >>> from nbretry.testing import simulate
        >>> session = Session()
        >>> session.register("flaky", simulate("500, 'Hello'"))
        >>> question = Question("Anybody there?", providers=["flaky"])
        >>> answer = asyncio.run(session.ask(question, paint=lambda event, answer: None))
        >>> answer.text, len(answer.attempts)
        ('Hello', 2)
    """

    answers: deque[Answer] = field(default_factory=lambda: deque(maxlen=_ANSWERS_KEPT))
    policy: RetryPolicy = RetryPolicy(rounds=2, on_break="restart")  # noqa: RUF009 (frozen)
    deadlines: Deadlines = Deadlines(connect=10.0, first_content=60.0, idle=60.0)  # noqa: RUF009 (frozen)
    hedge_after: float | str | None = None
    health: Health = field(default_factory=lambda: Health(Cooldown()))
    prices: PriceTable = field(default_factory=PriceTable)
    budget: Budget = field(default_factory=Budget)
    conversations: Conversations = field(default_factory=Conversations)
    clock: Clock = SYSTEM_CLOCK
    settings: Settings = field(default_factory=Settings)
    _limit_from_settings: float | None = None
    _log: RunLog | None = None

    def __post_init__(self) -> None:
        self._provider_names = ProviderNames(self.settings)

    def register(self, name: str, provider: ProviderType, deadlines: Deadlines | None = None) -> None:
        """Register a provider under a name, replacing whatever the name meant before.

        Args:
            name: letters, digits, ``_``, ``-`` and ``.``.
            provider: a class or an instance.
            deadlines: time limits for this provider alone, instead of the session's.

        Raises:
            ConfigError: the name cannot be typed after ``-p``, or the object is not a provider.

        Example:
            >>> from nbretry.testing import simulate
            >>> session = Session()
            >>> session.register("lab", simulate("'Hello'"))
            >>> session.names()[0], session.provider("lab:qwen3").default_model
            ('lab', 'qwen3')
        """
        self._provider_names.register(name, provider, deadlines)

    def names(self) -> list[str]:
        """Return the name of every provider, those you registered first."""
        return self._provider_names.names()

    def provider(self, name: str) -> ProviderType:
        """Return the provider with this name.

        Args:
            name: ``name``, or ``name:model`` for the same provider, always asked for this model.

        Returns:
            The provider; for a plain name, the same object each time.

        Raises:
            ConfigError: the name is unknown, the package that offers it cannot be loaded, the name or the model beside
                the colon is missing, or a settings file has a mistake.
        """
        return self._provider_names.provider(name)

    def default_providers(self) -> list[str]:
        """Return the default providers, each ``name`` or ``name:model``: those of the setting ``providers``.

        Without that setting: providers that you registered, providers of the settings files, services whose key is
        set, and the local model if its package is installed. The system keyring is not searched for keys.

        Raises:
            ConfigError: a settings file or the environment has a mistake.
        """
        return self._provider_names.default_providers()

    def setting(self, key: str) -> Setting:
        """Return the value that applies to a question that does not set it itself, and where the value came from.

        Raises:
            ConfigError: the key is unknown, or a settings file or the environment has a mistake.

        Example:
            >>> session = Session()
            >>> session.setting("first_content")
            Setting(key='first_content', value=60.0, source='default')
        """
        return self.changed_here(self.settings.get(key))

    def changed_here(self, setting: Setting) -> Setting:
        """Return the setting, or what you set in Python instead.

        An attribute of this session with the same meaning replaces the setting if its value is not the default, unless
        ``%nbretry config`` set the setting.
        """
        name, value = self._attributes().get(setting.key, ("", None))
        if not name or setting.source == IN_SESSION or value == SETTINGS[setting.key].default:
            return setting
        return Setting(setting.key, value, name)

    def filled(self, question: Question) -> Question:
        """Return the question with the settings filled in for everything that it does not set itself.

        Raises:
            ConfigError: a settings file or the environment has a mistake.
        """
        current = {key: self.changed_here(setting).value for key, setting in self.settings.current().items()}
        limits = Deadlines(**{limit.name: current[limit.name] for limit in fields(Deadlines)})
        return replace(
            question,
            model=question.model or current["model"],
            deadlines=question.deadlines.or_else(limits),
            **{key: current[key] for key in _OF_A_QUESTION if getattr(question, key) is None},
        )

    def health_of(self, name: str) -> ProviderHealth:
        """Return how the provider with this name is doing.

        Raises:
            ConfigError: the name is unknown.
        """
        return self.health.of(self.provider(name), split_name(name)[0])

    def retry_provider(
        self, providers: Sequence[ProviderType | str] | None = None, question: Question | None = None
    ) -> RetryProvider:
        """Return one provider that asks these providers in order.

        Args:
            providers: as ``name`` or ``name:model``, or as objects; None for `default_providers`.
            question: a question whose options take precedence over the session's settings.

        Raises:
            ConfigError: a name is unknown.
            RetryNoProviderError: there is no provider to ask: none was named, and no key and no local model were found.

        Example:
            >>> from nbretry.testing import simulate
            >>> retry_provider = Session().retry_provider([simulate("503"), simulate("'Hello'")])
            >>> "".join(retry_provider.create_completion("", [{"role": "user", "content": "Anybody there?"}]))
            'Hello'
        """
        return self._asking(providers, self.filled(question or Question("")))

    def needs_price_table(self, providers: Iterable[ProviderType]) -> bool:
        """Return whether prices of these providers must be looked up in a table of a package that is not loaded yet."""
        paid = (provider_name(one) for one in providers if getattr(one, "needs_auth", False))
        return any(map(self.prices.needs_package, paid))

    def _asking(self, providers: Sequence[ProviderType | str] | None, asked: Question) -> RetryProvider:
        """Like `retry_provider`, for a question that `filled` returned."""
        chosen = self._provider_names.chosen(providers)
        if not chosen:
            raise RetryNoProviderError(
                "there is nobody to ask: set a key such as OPENAI_API_KEY in the environment or in .env, "
                'or get the local model with: pip install "nbretry[local]"'
            )
        policy = replace(self.policy, rounds=self.setting("rounds").value, max_attempts=(asked.retries or 0) + 1)
        if asked.on_break is not None:
            policy = replace(policy, on_break=asked.on_break)
        budget = self.limited_budget()
        return RetryProvider(
            chosen,
            shuffle=False,
            policy=policy,
            deadlines=asked.deadlines,
            hedge_after=asked.hedge_after,
            max_cost=budget if asked.max_cost is None else Budget(asked.max_cost, budget),
            prices=self.prices,
            health=self.health,
            clock=self.clock,
        )

    def events(self, question: Question) -> AsyncGenerator[Event, None]:
        """Return the events of one question's run.

        Raises:
            ConfigError: the question is empty, or a provider's name is unknown.
            RetryNoProviderError: there is no provider to ask.
        """
        question = self.filled(question)
        messages = build_messages(question.prompt, question.system, question.history)
        return self._events(self._asking(question.providers, question), question, messages)

    async def _events(
        self, retry_provider: RetryProvider, question: Question, messages: Messages
    ) -> AsyncGenerator[Event, None]:
        if self.needs_price_table(retry_provider.providers):
            await asyncio.to_thread(self.prices.load_package)
        stream = retry_provider.stream_events(question.model, messages, ignore_stream=True, **question.options())
        async with aclosing(stream) as events:
            async for event in events:
                yield event

    async def ask(self, question: Question, paint: Paint, keep: Callable[[Answer], None] | None = None) -> Answer:
        """Ask a question, render every event, and keep the answer in `answers`, even if it failed or was stopped.

        Args:
            question: the question to ask.
            paint: called with each event and the answer after it.
            keep: called with the answer at the end as well, whatever the outcome.

        Returns:
            The answer after the last event.

        Raises:
            RetryProviderError: no provider answered; ``.answer`` holds what arrived.
            Exception: as for `events`.
        """

        def keep_both(answer: Answer) -> None:
            self.answers.append(answer)
            if keep is not None:
                keep(answer)

        return await drive(self.events(question), self._logged(paint), keep_both)

    async def compare(
        self,
        question: Question,
        providers: Sequence[ProviderType | str],
        paint: PaintColumn,
        keep: Callable[[list[Answer]], None] | None = None,
    ) -> list[Answer]:
        """Ask several providers at once, render every event, and keep all answers in `answers`.

        Each provider is asked on its own, without fallback. If one fails, the others continue.

        Args:
            question: the question to ask; its own ``providers`` are ignored.
            providers: as ``name`` or ``name:model``, or as objects; the same provider may appear several times.
            paint: called with the index of an answer (from 0), each event, and the answer after it.
            keep: called with the answers, in the order of the providers, whatever the outcome.

        Returns:
            The answers in the order of the providers.

        Raises:
            RetryProviderError: no provider answered; the message has a line for each, and ``.answer`` is the one that
                `nbretry.session.runs.first_answered` picks.
            asyncio.CancelledError: the comparison was stopped, and with it each unfinished run.
            Exception: as for `events`.

        Example:
            >>> import asyncio
            >>> from nbretry.testing import simulate
            >>> providers = [simulate("'Hello'", name="one"), simulate("503", name="two")]
            >>> question = Question("Anybody there?", retries=0)
            >>> answers = asyncio.run(Session().compare(question, providers, paint=lambda place, event, answer: None))
            >>> [(answer.state, answer.text) for answer in answers]
            [('completed', 'Hello'), ('failed', '')]
        """
        if not providers:
            raise RetryNoProviderError("there is nobody to ask: name the providers that are to be compared")
        runs = [self.events(replace(question, providers=[provider])) for provider in providers]

        def keep_all(answers: list[Answer]) -> None:
            self.answers.extend(answers)
            if keep is not None:
                keep(answers)

        answers = await drive_all(runs, lambda place: self._logged(partial(paint, place)), keep_all)
        if not any(answer.state == "completed" for answer in answers):
            names = [one if isinstance(one, str) else provider_name(one) for one in providers]
            raise nobody_answered(names, answers)
        return answers

    @property
    def log_path(self) -> Path | None:
        """Path of the file that every event is written to; None if there is no log."""
        return None if self._log is None else self._log.path

    def start_log(self, path: str | Path) -> None:
        """Write every event of every run from now on to a file, as JSON Lines with secrets masked.

        Args:
            path: path of the file; nbretry creates it, or appends to it if it exists.

        Raises:
            ConfigError: the file cannot be written.
        """
        log = RunLog(Path(path))
        self.stop_log()
        self._log = log

    def stop_log(self) -> None:
        """Stop writing events and close the file."""
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def _logged(self, paint: Paint) -> Paint:
        return paint if self._log is None else both(self._log.run(), paint)

    def limited_budget(self) -> Budget:
        """Apply the current limit to `budget`, and return it.

        Raises:
            ConfigError: a settings file or the environment has a mistake.
        """
        setting = self.setting("budget")
        if setting.source != _BUDGET_LIMIT:
            self.budget.limit = self._limit_from_settings = setting.value
        return self.budget

    def _attributes(self) -> dict[str, tuple[str, Any]]:
        """Return, by key, the settings that you can also set in Python: name of the attribute, and its value."""
        limits = {limit.name: ("session.deadlines", getattr(self.deadlines, limit.name)) for limit in fields(Deadlines)}
        limit = self.budget.limit
        return limits | {
            "on_break": ("session.policy", self.policy.on_break),
            "rounds": ("session.policy", self.policy.rounds),
            "retries": ("session.policy", self.policy.max_attempts - 1),
            "hedge_after": ("session.hedge_after", self.hedge_after),
            "budget": (_BUDGET_LIMIT, None if limit == self._limit_from_settings else limit),
        }


_default = Session()


def default_session() -> Session:
    """Return the session of this process.

    >>> session = default_session()
    >>> session.budget.limit = 1.0  # US dollars for all questions of this kernel
    >>> session.setting("budget").value
    1.0
    """
    return _default


def register(name: str, provider: ProviderType, deadlines: Deadlines | None = None) -> None:
    """Register a provider under a name, for ``%%ask -p NAME``, `ask` and the panel.

    Args:
        name: letters, digits, ``_``, ``-`` and ``.``.
        provider: a class or an instance; see `nbretry.retry.contract` for what makes a provider.
        deadlines: time limits for this provider alone, instead of the session's.

    Raises:
        ConfigError: the name cannot be typed after ``-p``, or the object is not a provider.

    Example:
        >>> import asyncio
        >>> from nbretry.testing import simulate
        >>> register("flaky", simulate("'Hello' ' world'"))  # from now on: %%ask -p flaky
        >>> asyncio.run(ask("Anybody there?", providers=["flaky"])).text
        'Hello world'
    """
    _default.register(name, provider, deadlines)
