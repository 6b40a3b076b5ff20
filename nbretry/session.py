"""What the magic, the panel and the command line share: the providers by name, and one way to ask them.

A name stands for, in this order: what the user registered, what another package offers by the entry point group
``nbretry.providers``, a known service of `nbretry.providers.presets`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nbretry.answer import Answer
from nbretry.clock import SYSTEM_CLOCK
from nbretry.errors import ConfigError, RetryNoProviderError, RetryProviderError, nearest
from nbretry.events import Event, RunCancelled
from nbretry.prompt import build_messages
from nbretry.providers.base import NamedProvider, provider_name
from nbretry.providers.bridge import cancellation
from nbretry.providers.presets import PRESETS, provider_from_preset
from nbretry.providers.retry_provider import RetryProvider
from nbretry.types import ProviderType

__all__ = ["ENTRY_POINT_GROUP", "Paint", "Question", "Session", "default_session", "drive", "register"]

ENTRY_POINT_GROUP = "nbretry.providers"

Paint = Callable[[Event, Answer], None]
"""A renderer: it is handed each event with the answer after it."""


_ANSWERS_KEPT = 50


@dataclass(frozen=True, slots=True)
class Question:
    """What a user asks, and how.

    Attributes:
        prompt: the text.
        providers: whom to ask in this order, by name or as objects; None for the session's own order.
        model: name of the model; empty for each provider's default.
        system: a system prompt.
        temperature: 0 for the same answer each time, larger for more varied ones; None for the provider's default.
        max_tokens: the longest answer in tokens; None for the provider's default.
    """

    prompt: str
    providers: Sequence[ProviderType | str] | None = None
    model: str = ""
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None

    def options(self) -> dict[str, Any]:
        """The options that go to the provider: those that were given."""
        given = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {name: value for name, value in given.items() if value is not None}


@dataclass
class Session:
    """The providers by name of one kernel or one command, and its last answers."""

    answers: deque[Answer] = field(default_factory=lambda: deque(maxlen=_ANSWERS_KEPT))
    _registered: dict[str, ProviderType] = field(default_factory=dict)
    _made: dict[str, ProviderType] = field(default_factory=dict)

    def register(self, name: str, provider: ProviderType) -> None:
        """Let a name stand for a provider, in place of what it stood for before.

        Args:
            name: letters, digits, ``_``, ``-`` and ``.``.
            provider: a class or an instance.

        Raises:
            ConfigError: the name cannot be typed after ``-p``.
        """
        if not name or not all(character.isalnum() or character in "_-." for character in name):
            raise ConfigError(f"{name!r} cannot name a provider: use letters, digits, '_', '-' and '.'")
        self._registered[name] = provider

    def names(self) -> list[str]:
        """Every name that stands for a provider, the user's own first."""
        return list(dict.fromkeys([*self._registered, *_entry_points(), *PRESETS]))

    def provider(self, name: str) -> ProviderType:
        """The provider that a name stands for; the same object each time.

        Raises:
            ConfigError: nothing of that name is known, or the package that offers it cannot be loaded.
        """
        if name in self._registered:
            return self._registered[name]
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def default_providers(self) -> list[str]:
        """Whom to ask where nobody was named: the user's own, services whose key is set, the local model."""
        with_key = [
            name for name, preset in PRESETS.items() if preset.key_variable and os.environ.get(preset.key_variable)
        ]
        local = ["local"] if importlib.util.find_spec("xllamacpp") else []
        return list(dict.fromkeys([*self._registered, *with_key, *local]))

    def retry_provider(self, providers: Sequence[ProviderType | str] | None = None) -> RetryProvider:
        """One provider that asks these in order.

        Raises:
            ConfigError: a name is unknown.
            RetryNoProviderError: nobody was named, and there is no key and no local model.
        """
        if isinstance(providers, str):
            providers = [name.strip() for name in providers.split(",")]
        chosen = self.default_providers() if providers is None else list(providers)
        if not chosen:
            raise RetryNoProviderError(
                "there is nobody to ask: set a key such as OPENAI_API_KEY in the environment, "
                'or get the local model with: pip install "nbretry[local]"'
            )
        return RetryProvider([self._named(one) if isinstance(one, str) else one for one in chosen], shuffle=False)

    def events(self, question: Question) -> AsyncGenerator[Event, None]:
        """The events of one question's run.

        Raises:
            ConfigError: the question is empty, or a provider's name is unknown.
            RetryNoProviderError: there is nobody to ask.
        """
        messages = build_messages(question.prompt, question.system)
        retry_provider = self.retry_provider(question.providers)
        return retry_provider.stream_events(question.model, messages, ignore_stream=True, **question.options())

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

        return await drive(self.events(question), paint, keep_both)

    def _named(self, name: str) -> ProviderType:
        provider = self.provider(name)
        return provider if provider_name(provider) == name else NamedProvider(name, provider)

    def _make(self, name: str) -> ProviderType:
        points = _entry_points()
        if name in points:
            try:
                return points[name].load()
            except Exception as error:
                raise ConfigError(f"the provider {name!r} of another package cannot be loaded: {error}") from error
        if name in PRESETS:
            return provider_from_preset(name)
        raise ConfigError(f"there is no provider named {name!r}{nearest(name, self.names())}")


async def drive(events: AsyncGenerator[Event, None], paint: Paint, keep: Callable[[Answer], None]) -> Answer:
    """Run a question to its end: fold each event and paint it.

    Args:
        events: of one run.
        paint: is handed each event with the answer after it.
        keep: is handed the answer at the end, however it ended.

    Raises:
        RetryProviderError: nobody answered; ``.answer`` has what there was.
        asyncio.CancelledError: the run was stopped; `RunCancelled` was painted.
    """
    answer = Answer()
    begun = SYSTEM_CLOCK.monotonic()
    cancelled = cancellation()
    try:
        async with aclosing(events):
            async for event in events:
                answer = answer.apply(event)
                paint(event, answer)
                if cancelled():  # and the provider goes on all the same
                    raise asyncio.CancelledError
    except RetryProviderError as error:
        error.answer = answer
        raise
    except BaseException:
        if answer.state == "running":
            stopped = RunCancelled(SYSTEM_CLOCK.monotonic() - begun)
            answer = answer.apply(stopped)
            paint(stopped, answer)
        raise
    finally:
        keep(answer)
    return answer


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


_default = Session()


def default_session() -> Session:
    """The session of this process."""
    return _default


def register(name: str, provider: ProviderType) -> None:
    """Let a name stand for a provider in ``%%ask -p NAME``, in `ask` and in the panel.

    Args:
        name: letters, digits, ``_``, ``-`` and ``.``.
        provider: a class or an instance; see `nbretry.providers.base` for what makes a provider.

    Raises:
        ConfigError: the name cannot be typed after ``-p``.
    """
    _default.register(name, provider)
