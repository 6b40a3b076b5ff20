"""What the panel knows, without widgets: whom it would ask and for what, and what its buttons may do now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from nbretry._errors import ConfigError, describe
from nbretry.answer import Answer
from nbretry.config.settings import IN_SESSION
from nbretry.prompts.conversations import Conversation
from nbretry.prompts.turn import Turn
from nbretry.renderers.roster import availability, price_text
from nbretry.retry.contract import resolve_model
from nbretry.retry.deadlines import Deadlines
from nbretry.session.ask_cell import cell_of
from nbretry.session.options import DEFAULT_CONVERSATION, Asked
from nbretry.session.plan import RosterEntry, roster
from nbretry.session.question import Question
from nbretry.session.session import Session

__all__ = ["PanelState", "Phase", "ProviderChoice", "Standing", "standing_of"]

Phase: TypeAlias = Literal["idle", "running", "stopping"]

_LIMITS = tuple(limit.name for limit in fields(Deadlines))
_OPTIONS = ("temperature", "max_tokens", "on_break", "hedge_after", "retries", "max_cost")
"""Settings of a question, beside its limits, that its cell can say."""


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

    @property
    def written(self) -> str:
        """As it stands after ``-p``: ``name`` or ``name:model``.

        Raises:
            ConfigError: the model's name cannot stand there.
        """
        model = self.model.strip()
        if any(character == "," or character.isspace() for character in model):
            raise ConfigError(f"{model!r} cannot be a model of {self.name}: a model's name has no comma and no space")
        return f"{self.name}:{model}" if model else self.name


@dataclass(frozen=True, slots=True)
class Standing:
    """How a provider is doing.

    Attributes:
        kind: ``ready``, ``waiting`` (it rests or is on trial), ``failing`` or ``unable`` (it has no key).
        words: the same for people, on one line.
        model: the model that it is asked for where nobody chooses one; empty where it decides.
        first_content: seconds to the first content, the last time that there was any.
        price: what a million tokens cost, in words; empty where that is not known.
    """

    kind: Literal["ready", "waiting", "failing", "unable"]
    words: str
    model: str = ""
    first_content: float | None = None
    price: str = ""


class PanelState:
    """The panel's state. It is no more thread-safe than a list.

    Args:
        session: where the providers are known.
        names: whom to offer, in the order of asking, as ``name`` or ``name:model``; None for those that are asked
            where nobody is named.

    Attributes:
        session: as given.
        choices: the providers, in the order of asking.
        prompt: the question as typed.
        system: the system prompt as typed; empty for that of the conversation or of the settings.
        in_conversation: whether the question goes on with the conversation of ``%%ask -c``.
        phase: ``idle``, ``running``, or ``stopping`` once it was told to stop.
        answer: what there is to see of the last question; None where there is nothing.
        question: what was asked last, as it was typed; empty where nothing was.

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
        self.question = ""
        self._followed = session.setting("providers").value
        self.offer(session.default_providers() if names is None else names)

    # --- whom it asks -------------------------------------------------------------------------------------------------

    def offer(self, names: Sequence[str]) -> None:
        """Offer just these, all of them on.

        Args:
            names: in the order of asking, as ``name`` or ``name:model``.

        Raises:
            ConfigError: a name is unknown; then all is as it was.
        """
        self.choices = self._chosen(names)

    def follow_settings(self) -> None:
        """Where the setting ``providers`` has changed since it was last looked at, put those first; others are off.

        A setting with a mistake changes nothing.
        """
        setting = self.session.settings.readable()["providers"].value
        if setting == self._followed:
            return
        self._followed = setting
        try:
            chosen = self._chosen(self.session.default_providers() if setting is None else setting)
        except ConfigError:
            return
        named = {choice.name for choice in chosen}
        others = [choice for choice in self.choices if choice.name not in named]
        for choice in others:
            choice.on = False
        self.choices = [*chosen, *others]

    def add(self, name: str) -> ProviderChoice:
        """Offer another provider, as the last one; one that is offered already stays where it is.

        Raises:
            ConfigError: nothing of that name is known.
        """
        (added,) = self._chosen([name])
        if added not in self.choices:
            self.choices.append(added)
        return added

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

    def standing(self, choice: ProviderChoice) -> Standing:
        """How a provider is doing. It is not asked for that."""
        try:
            own: str | None = self.session.setting("model").value
            provider = self.session.provider(choice.name)
            model = choice.model.strip()
            (entry,) = roster(self.session, [choice.name], resolve_model(provider, model) if model else own or "")
            unchosen = resolve_model(provider, own or "")
        except ConfigError as error:
            return Standing("unable", str(error))
        except Exception as error:  # a provider's own code, which is called whenever a cell has ended
            return Standing("unable", " ".join(describe(error).split()))
        return replace(standing_of(entry), model=unchosen)

    @property
    def is_in_use(self) -> bool:
        """Whether ``%%ask`` asks as the panel would: the same providers, and the same system prompt."""
        try:
            written = self._written()
            current = self.session.default_providers()
            system = self.session.setting("system").value
        except ConfigError:
            return False
        return written == current and self.system.strip() in ("", system)

    @property
    def may_be_used(self) -> bool:
        """Whether `use_in_ask` would change something."""
        return any(choice.on for choice in self.choices) and not self.is_in_use

    def use_in_ask(self) -> None:
        """Make those who are on, their models and the system prompt what ``%%ask`` uses where it does not say itself.

        It is the same as ``%nbretry config providers …`` and, where one is typed, ``%nbretry config system …``.

        Raises:
            ConfigError: a model's name cannot stand in a setting.
        """
        written = self._written()
        self._followed = self.session.settings.set("providers", ",".join(written)).value
        if self.system.strip():
            self.session.settings.set("system", self.system.strip())

    # --- what its buttons may do --------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no question is being answered."""
        return self.phase == "idle"

    @property
    def may_ask(self) -> bool:
        """Whether there is something to ask and somebody to ask it."""
        return bool(self.prompt.strip()) and self._may_begin

    @property
    def may_ask_again(self) -> bool:
        """Whether there was a question, and there is somebody to ask it."""
        return bool(self.question) and self._may_begin

    @property
    def may_stop(self) -> bool:
        """Whether a question is being answered that was not told to stop yet."""
        return self.phase == "running"

    @property
    def may_clear(self) -> bool:
        """Whether there is anything that `clear` would take away."""
        turns = self.turns if self.in_conversation else 0
        return self.is_idle and bool(self.prompt or self.answer is not None or turns)

    # --- what it asks -------------------------------------------------------------------------------------------------

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
        self.prompt = self.question = ""
        self.answer = None
        if self.in_conversation:
            self.conversation.clear()

    def asked(self, prompt: str | None = None) -> Asked:
        """The question, as ``%%ask`` would have it.

        Args:
            prompt: in place of the one that is typed now.

        Raises:
            ConfigError: a model's name cannot be one.
        """
        question = Question(
            self.prompt if prompt is None else prompt, self._written(), system=self.system.strip() or None
        )
        return Asked(question, conversation=DEFAULT_CONVERSATION if self.in_conversation else None)

    @property
    def turn_to_replace(self) -> Turn | None:
        """The turn of the conversation whose place the answer takes when the last question is asked again."""
        turns = self.conversation.turns if self.in_conversation else ()
        if not turns or self.answer is None or not self.answer.request_sha256:
            return None
        return turns[-1] if turns[-1].request_sha256 == self.answer.request_sha256 else None

    def cell(self) -> str:
        """The ``%%ask`` cell that asks the same, with the settings that would end with this kernel.

        Raises:
            ConfigError: a model's name cannot be one, or a file of settings has a mistake.
        """
        asked = self.asked()
        current = self.session.settings.current()
        here = {key: one.value for key, one in current.items() if one.source == IN_SESSION and one.value is not None}
        options: dict[str, Any] = {key: here[key] for key in _OPTIONS if key in here}
        limits = Deadlines(**{key: here[key] for key in _LIMITS if key in here})
        question = replace(asked.question, deadlines=limits, **options)
        if question.system is None and here.get("system"):
            question = replace(question, system=here["system"])
        return cell_of(replace(asked, question=question))

    @property
    def _may_begin(self) -> bool:
        return self.is_idle and any(choice.on for choice in self.choices)

    def _written(self) -> list[str]:
        return [choice.written for choice in self.choices if choice.on]

    def _chosen(self, names: Sequence[str]) -> list[ProviderChoice]:
        """A choice for each name, each once; those that are there already are taken and switched on."""
        chosen: list[ProviderChoice] = []
        for written in names:
            self.session.provider(written)  # raises where it is unknown
            name, _, model = written.partition(":")
            exact = [one for one in (*chosen, *self.choices) if (one.name, one.model.strip()) == (name, model)]
            typed = [one for one in self.choices if one.name == name and not model and one not in chosen]
            choice = next(iter([*exact, *typed]), None) or ProviderChoice(name, model=model)
            choice.on = True
            if choice not in chosen:
                chosen.append(choice)
        return chosen


def standing_of(entry: RosterEntry) -> Standing:
    """How a provider is doing, by what is known of it."""
    words = " ".join(availability(entry).split())
    health = entry.health
    standing = Standing("ready", words, entry.model, health.first_content, price_text(entry))
    if entry.key == "not set":
        needed = f": set {entry.key_variable}" if entry.key_variable else ""
        return replace(standing, kind="unable", words=f"{words}{needed}")
    if health.state == "resting":  # in whole seconds, as it is counted down
        return replace(standing, kind="waiting", words=f"resting {math.ceil(health.resting_for)} s")
    if health.state != "ready":
        return replace(standing, kind="waiting")
    if health.failures and health.unreachable:
        return replace(standing, kind="failing", words=f"unreachable: {_message(health.last_error)}")
    return replace(standing, kind="failing" if health.failures else "ready")


def _message(error: str | None) -> str:
    """What ``Type: message`` says, without the type."""
    return (error or "").partition(": ")[2] or (error or "")
