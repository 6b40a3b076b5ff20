"""What the panel knows, without widgets: whom it would ask and for what, and what its buttons may do now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from nbretry.answer import Answer
from nbretry.conversations import Conversation
from nbretry.errors import ConfigError
from nbretry.options import DEFAULT_CONVERSATION, Asked
from nbretry.planning import roster
from nbretry.providers.base import NamedProvider, resolve_model
from nbretry.renderers.roster import availability
from nbretry.roster import RosterEntry
from nbretry.session import Question, Session
from nbretry.types import ProviderType

__all__ = ["PanelState", "Phase", "ProviderChoice", "Standing", "standing_of"]

Phase: TypeAlias = Literal["idle", "running", "stopping"]


@dataclass(slots=True, eq=False)
class ProviderChoice:
    """One provider of the picker.

    Attributes:
        name: its name.
        on: whether it is asked.
        model: which model; empty for its own.
    """

    name: str
    on: bool = True
    model: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a provider is doing.

    Attributes:
        kind: ``ready``, ``waiting`` (it rests or is on trial), ``failing`` or ``unable`` (it has no key).
        words: the same for people, on one line.
        model: the model that it is asked for where nobody chooses one; empty where it decides.
    """

    kind: Literal["ready", "waiting", "failing", "unable"]
    words: str
    model: str = ""


class PanelState:
    """The panel's state. It is no more thread-safe than a list.

    Args:
        session: where the providers are known.
        names: whom to offer, in the order of asking; None for those that are asked where nobody is named.

    Attributes:
        session: as given.
        choices: the providers, in the order of asking.
        prompt: the question as typed.
        system: the system prompt as typed; empty for that of the conversation or of the settings.
        in_conversation: whether the question goes on with the conversation of ``%%ask -c``.
        phase: ``idle``, ``running``, or ``stopping`` once it was told to stop.
        answer: what there is to see of the last question; None where there is nothing.

    Raises:
        ConfigError: a name is unknown, or a file of settings has a mistake.
    """

    def __init__(self, session: Session, names: Sequence[str] | None = None) -> None:
        self.session = session
        self.choices: list[ProviderChoice] = []
        self.prompt = ""
        self.system = ""
        self.in_conversation = False
        self.phase: Phase = "idle"
        self.answer: Answer | None = None
        for name in session.default_providers() if names is None else names:
            self.add(name)

    def add(self, name: str) -> ProviderChoice:
        """Offer another provider, as the last one; one that is offered already stays where it is.

        Raises:
            ConfigError: nothing of that name is known.
        """
        self.session.provider(name)
        for choice in self.choices:
            if choice.name == name:
                return choice
        self.choices.append(ProviderChoice(name))
        return self.choices[-1]

    def others(self) -> list[str]:
        """The names that are known and not offered yet."""
        offered = {choice.name for choice in self.choices}
        return [name for name in self.session.names() if name not in offered]

    def move(self, choice: ProviderChoice, by: int) -> None:
        """Have a provider asked earlier or later.

        Args:
            choice: which.
            by: how many places later; below 0 for earlier. It goes no further than to the end.
        """
        place = self.choices.index(choice)
        self.choices.remove(choice)
        self.choices.insert(max(0, place + by), choice)

    def may_move(self, choice: ProviderChoice, by: int) -> bool:
        """Whether there is a place to move it to."""
        return 0 <= self.choices.index(choice) + by < len(self.choices)

    @property
    def is_idle(self) -> bool:
        """Whether no question is being answered."""
        return self.phase == "idle"

    @property
    def may_ask(self) -> bool:
        """Whether there is something to ask and somebody to ask it."""
        return self.is_idle and bool(self.prompt.strip()) and any(choice.on for choice in self.choices)

    @property
    def may_stop(self) -> bool:
        """Whether a question is being answered that was not told to stop yet."""
        return self.phase == "running"

    @property
    def may_clear(self) -> bool:
        """Whether there is anything that `clear` would take away."""
        turns = self.turns if self.in_conversation else 0
        return self.is_idle and bool(self.prompt or self.answer is not None or turns)

    @property
    def conversation(self) -> Conversation:
        """The conversation that the question goes on with, where it does."""
        return self.session.conversations.open(DEFAULT_CONVERSATION)

    @property
    def turns(self) -> int:
        """How many questions and answers that conversation has."""
        return len(self.conversation)

    def clear(self) -> None:
        """Take away the prompt and the answer; where the question would go on with the conversation, that as well."""
        self.prompt = ""
        self.answer = None
        if self.in_conversation:
            self.conversation.clear()

    def asked(self) -> Asked:
        """The question, as ``%%ask`` would have it.

        Raises:
            ConfigError: a provider is not known any more, or a file of settings has a mistake.
        """
        providers = [self._provider(choice) for choice in self.choices if choice.on]
        question = Question(self.prompt, providers, system=self.system.strip() or None)
        return Asked(question, conversation=DEFAULT_CONVERSATION if self.in_conversation else None)

    def standing(self, choice: ProviderChoice) -> Standing:
        """How a provider is doing. It is not asked for that."""
        try:
            model: str | None = self.session.setting("model").value
            (entry,) = roster(self.session, [choice.name], model or "")
        except ConfigError as error:
            return Standing("unable", str(error))
        return standing_of(entry)

    def _provider(self, choice: ProviderChoice) -> ProviderType | str:
        model = choice.model.strip()
        if not model:
            return choice.name
        provider = self.session.provider(choice.name)
        return _AskedForModel(
            choice.name, provider, resolve_model(provider, model), self.session.setting("model").value
        )


class _AskedForModel(NamedProvider):
    """A provider that has its own choice of a model, which counts more than that of the settings."""

    def __init__(self, name: str, provider: ProviderType, model: str, from_settings: str | None) -> None:
        super().__init__(name, provider)
        self.default_model = model
        self.model_aliases = {from_settings: model} if from_settings else {}


def standing_of(entry: RosterEntry) -> Standing:
    """How a provider is doing, by what is known of it."""
    words = " ".join(availability(entry).split())
    if entry.key == "not set":
        needed = f": set {entry.key_variable}" if entry.key_variable else ""
        return Standing("unable", f"{words}{needed}", entry.model)
    if entry.health.state == "resting":  # in whole seconds, as it is counted down
        return Standing("waiting", f"resting {math.ceil(entry.health.resting_for)} s", entry.model)
    if entry.health.state != "ready":
        return Standing("waiting", words, entry.model)
    return Standing("failing" if entry.health.failures else "ready", words, entry.model)
