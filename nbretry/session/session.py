"""What the magic, the panel and the command line share: the providers by name, and one way to ask them."""

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
from nbretry.answer import Answer, RetryNoProviderError
from nbretry.config.schema import SETTINGS, Setting
from nbretry.config.settings import IN_SESSION, Settings
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
"""Settings that a question has under the same name, where None is for the session's own."""


@dataclass
class Session:
    """The providers by name of one kernel or one command, how they are doing, and the last answers.

    What was set with ``%nbretry config`` comes before ``policy``, ``deadlines``, ``hedge_after`` and ``budget.limit``;
    of those what was changed in Python comes before the environment and the files; see `setting`.

    Attributes:
        answers: the last fifty.
        policy: the next provider is asked at once; those whose failure was passing are asked again in a second round.
        deadlines: for providers that have none of their own.
        hedge_after: seconds without content, or a quantile as ``"p90"``; None not to ask two at once.
        health: how each provider has done, and who rests.
        prices: what tokens cost; an entry of the user's own by ``prices.set``.
        budget: what all questions together have cost, and ``budget.limit``, which they may not pass.
        conversations: what was said before, by name.
        clock: time and chance.
        settings: from the files, the environment and ``%nbretry config``.

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
        """Let a name stand for a provider, in place of what it stood for before.

        Args:
            name: letters, digits, ``_``, ``-`` and ``.``.
            provider: a class or an instance.
            deadlines: for it alone, in place of the session's.

        Raises:
            ConfigError: the name cannot be typed after ``-p``, or this is no provider.

        Example:
            >>> from nbretry.testing import simulate
            >>> session = Session()
            >>> session.register("lab", simulate("'Hello'"))
            >>> session.names()[0], session.provider("lab:qwen3").default_model
            ('lab', 'qwen3')
        """
        self._provider_names.register(name, provider, deadlines)

    def names(self) -> list[str]:
        """Every name that stands for a provider, the user's own first."""
        return self._provider_names.names()

    def provider(self, name: str) -> ProviderType:
        """The provider that a name stands for.

        Args:
            name: ``name``, or ``name:model`` for the same provider, asked for this model whatever else is named.

        Returns:
            Of a name alone the same object each time.

        Raises:
            ConfigError: nothing of that name is known, the package that offers it cannot be loaded, or a file of
                settings has a mistake.
        """
        return self._provider_names.provider(name)

    def default_providers(self) -> list[str]:
        """Whom to ask where nobody was named: those of the setting ``providers``, each ``name`` or ``name:model``.

        Without it: the user's own, those of the files of settings, services whose key is set, the local model. The
        system keyring is not looked into.

        Raises:
            ConfigError: a file of settings or the environment has a mistake.
        """
        return self._provider_names.default_providers()

    def setting(self, key: str) -> Setting:
        """What counts for a question that does not say itself, and where it came from.

        Raises:
            ConfigError: there is no such key; or a file or the environment has a mistake.

        Example:
            >>> session = Session()
            >>> session.setting("first_content")
            Setting(key='first_content', value=60.0, source='default')
        """
        return self.changed_here(self.settings.get(key))

    def changed_here(self, setting: Setting) -> Setting:
        """A setting, or in its place what this session's attribute of that meaning was set to in Python."""
        name, value = self._attributes().get(setting.key, ("", None))
        if not name or setting.source == IN_SESSION or value == SETTINGS[setting.key].default:
            return setting
        return Setting(setting.key, value, name)

    def filled(self, question: Question) -> Question:
        """A question with the settings where it does not say itself what it wants.

        Raises:
            ConfigError: a file of settings or the environment has a mistake.
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
        """How the provider that a name stands for is doing.

        Raises:
            ConfigError: nothing of that name is known.
        """
        return self.health.of(self.provider(name), split_name(name)[0])

    def retry_provider(
        self, providers: Sequence[ProviderType | str] | None = None, question: Question | None = None
    ) -> RetryProvider:
        """One provider that asks these in order.

        Args:
            providers: as ``name`` or ``name:model``, or as objects; None for `default_providers`.
            question: its settings come before the session's own.

        Raises:
            ConfigError: a name is unknown.
            RetryNoProviderError: nobody was named, and there is no key and no local model.

        Example:
            >>> from nbretry.testing import simulate
            >>> retry_provider = Session().retry_provider([simulate("503"), simulate("'Hello'")])
            >>> "".join(retry_provider.create_completion("", [{"role": "user", "content": "Anybody there?"}]))
            'Hello'
        """
        return self._asking(providers, self.filled(question or Question("")))

    def needs_price_table(self, providers: Iterable[ProviderType]) -> bool:
        """Whether what these cost is to be looked up in the package's table, which has not been loaded yet."""
        paid = (provider_name(one) for one in providers if getattr(one, "needs_auth", False))
        return any(map(self.prices.needs_package, paid))

    def _asking(self, providers: Sequence[ProviderType | str] | None, asked: Question) -> RetryProvider:
        """As `retry_provider`, for a question that the settings have filled."""
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
        """The events of one question's run.

        Raises:
            ConfigError: the question is empty, or a provider's name is unknown.
            RetryNoProviderError: there is nobody to ask.
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
        """Ask, painting every event, and keep the answer in `answers`, also one that failed or was stopped.

        Args:
            question: what is asked.
            paint: is handed each event with the answer after it.
            keep: is handed the answer as well, however it ended.

        Raises:
            RetryProviderError: nobody answered; ``.answer`` has what there was.
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
        """Ask several at once, each for itself, painting every event, and keep all their answers in `answers`.

        One that fails does not stop the others, and nobody answers in its place.

        Args:
            question: what is asked; whom it names itself is passed over.
            providers: as ``name`` or ``name:model``, or as objects; one may come several times.
            paint: is handed the answer's place in this order, from 0, each event, and the answer after it.
            keep: is handed the answers in this order as well, however they ended.

        Raises:
            RetryProviderError: nobody answered; the text has a line for each, ``.answer`` is the `first_answered`.
            asyncio.CancelledError: it was stopped, and so was each that had not ended.
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
        """The file that every event is written to; None where there is none."""
        return None if self._log is None else self._log.path

    def start_log(self, path: str | Path) -> None:
        """Write every event of every run from now on to a file, as JSON lines, secrets masked.

        Args:
            path: of the file, which is made or added to.

        Raises:
            ConfigError: it cannot be written.
        """
        log = RunLog(Path(path))
        self.stop_log()
        self._log = log

    def stop_log(self) -> None:
        """Write no more events; the file is closed."""
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def _logged(self, paint: Paint) -> Paint:
        return paint if self._log is None else both(self._log.run(), paint)

    def limited_budget(self) -> Budget:
        """`budget`, with the limit that counts now.

        Raises:
            ConfigError: a file of settings or the environment has a mistake.
        """
        setting = self.setting("budget")
        if setting.source != _BUDGET_LIMIT:
            self.budget.limit = self._limit_from_settings = setting.value
        return self.budget

    def _attributes(self) -> dict[str, tuple[str, Any]]:
        """By key what can be set in Python as well: the attribute and its value."""
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
    """The session of this process.

    >>> session = default_session()
    >>> session.budget.limit = 1.0  # US dollars for all questions of this kernel
    >>> session.setting("budget").value
    1.0
    """
    return _default


def register(name: str, provider: ProviderType, deadlines: Deadlines | None = None) -> None:
    """Let a name stand for a provider in ``%%ask -p NAME``, in `ask` and in the panel.

    Args:
        name: letters, digits, ``_``, ``-`` and ``.``.
        provider: a class or an instance; see `nbretry.retry.contract` for what makes a provider.
        deadlines: for it alone, in place of the session's.

    Raises:
        ConfigError: the name cannot be typed after ``-p``, or this is no provider.

    Example:
        >>> import asyncio
        >>> from nbretry.testing import simulate
        >>> register("flaky", simulate("'Hello' ' world'"))  # from now on: %%ask -p flaky
        >>> asyncio.run(ask("Anybody there?", providers=["flaky"])).text
        'Hello world'
    """
    _default.register(name, provider, deadlines)
