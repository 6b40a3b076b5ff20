"""The panel's state, without widgets: whom it asks and what, and which of its buttons are enabled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from nbretry._utils.exceptions import describe
from nbretry.answer import Answer
from nbretry.config.settings import IN_SESSION
from nbretry.errors import ConfigError
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
"""Settings of a question, besides its deadlines, that its cell can contain as options."""


@dataclass(slots=True, eq=False)
class ProviderChoice:
    """One provider of the picker.

    Attributes:
        name: name of the provider.
        on: whether it is asked.
        model: the model to ask for; empty for the provider's own.
    """

    name: str
    on: bool = True
    model: str = ""

    @property
    def written(self) -> str:
        """The text after ``-p``: ``name`` or ``name:model``.

        Raises:
            ConfigError: the model's name has a comma or a space, and cannot be written there.
        """
        model = self.model.strip()
        if any(character == "," or character.isspace() for character in model):
            raise ConfigError(f"{model!r} cannot be a model of {self.name}: a model's name has no comma and no space")
        return f"{self.name}:{model}" if model else self.name


@dataclass(frozen=True, slots=True)
class Standing:
    """How a provider is doing.

    Attributes:
        kind: ``ready``, ``waiting`` (it is cooling down or on trial), ``failing`` or ``unable`` (it cannot be
            asked, for example because it has no key).
        words: the same in words, on one line.
        model: the model that it is asked for if the user chooses none; empty if the provider decides.
        first_content: seconds to the first content, the last time that there was any; None if there was none.
        price: price of a million tokens, in words; empty if it is not known.
    """

    kind: Literal["ready", "waiting", "failing", "unable"]
    words: str
    model: str = ""
    first_content: float | None = None
    price: str = ""


class PanelState:
    """The panel's state. It is not thread-safe: threads that share it need a lock.

    Args:
        session: the session that knows the providers.
        names: the providers to offer, in the order of asking, as ``name`` or ``name:model``; None for those that are
            asked by default.

    Attributes:
        session: as given.
        choices: the providers, in the order of asking.
        prompt: the question as typed.
        system: the system prompt as typed; empty for that of the conversation or of the settings.
        in_conversation: whether the question continues the conversation of ``%%ask -c``.
        phase: ``idle``, ``running``, or ``stopping`` once the user has pressed Stop.
        answer: the answer to the last question so far; None if there is none to show.
        question: the last question as it was typed; empty if there was none.

    Raises:
        ConfigError: a name is unknown, or a settings file has a mistake.
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
        """Offer exactly these providers, all of them on.

        Args:
            names: in the order of asking, as ``name`` or ``name:model``.

        Raises:
            ConfigError: a name is unknown; then nothing changes.
        """
        self.choices = self._chosen(names)

    def follow_settings(self) -> None:
        """If the setting ``providers`` has changed since the last look, put its providers first and turn off others.

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
        """Offer another provider, as the last one. If it is offered already, it stays where it is.

        Raises:
            ConfigError: no provider of this name is known.
        """
        (added,) = self._chosen([name])
        if added not in self.choices:
            self.choices.append(added)
        return added

    def others(self) -> list[str]:
        """Return the names of the providers that are known and not offered yet."""
        offered = {choice.name for choice in self.choices}
        return [name for name in self.session.names() if name not in offered]

    def move(self, choice: ProviderChoice, by: int) -> None:
        """Move a provider to be asked earlier or later.

        Args:
            choice: the provider.
            by: number of places to move later; below 0 to move earlier. The move stops at either end.
        """
        place = self.choices.index(choice)
        self.choices.remove(choice)
        self.choices.insert(max(0, place + by), choice)

    def may_move(self, choice: ProviderChoice, by: int) -> bool:
        """Return whether `move` has a place to move the provider to."""
        return 0 <= self.choices.index(choice) + by < len(self.choices)

    def standing(self, choice: ProviderChoice) -> Standing:
        """Return how a provider is doing. No request is sent."""
        try:
            own: str | None = self.session.setting("model").value
            provider = self.session.provider(choice.name)
            model = choice.model.strip()
            (entry,) = roster(self.session, [choice.name], resolve_model(provider, model) if model else own or "")
            unchosen = resolve_model(provider, own or "")
        except ConfigError as error:
            return Standing("unable", str(error))
        except Exception as error:  # from a provider's own code, which is called after every cell
            return Standing("unable", " ".join(describe(error).split()))
        return replace(standing_of(entry), model=unchosen)

    @property
    def is_in_use(self) -> bool:
        """Whether ``%%ask`` asks the same as the panel: the same providers, with the same system prompt."""
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
        """Make the providers that are on, their models and the system prompt the defaults of ``%%ask``.

        This does the same as ``%nbretry config providers …`` and, if a system prompt is typed,
        ``%nbretry config system …``.

        Raises:
            ConfigError: a model's name has a comma or a space, and cannot be written in a setting.
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
        """Whether Ask is enabled: there is a prompt, a provider is on, and no question is being answered."""
        return bool(self.prompt.strip()) and self._may_begin

    @property
    def may_ask_again(self) -> bool:
        """Whether Ask again is enabled: there was a question, a provider is on, and none is being answered."""
        return bool(self.question) and self._may_begin

    @property
    def may_stop(self) -> bool:
        """Whether Stop is enabled: a question is being answered, and was not stopped yet."""
        return self.phase == "running"

    @property
    def may_clear(self) -> bool:
        """Whether Clear is enabled: there is something to clear, and no question is being answered."""
        turns = self.turns if self.in_conversation else 0
        return self.is_idle and bool(self.prompt or self.answer is not None or turns)

    # --- what it asks -------------------------------------------------------------------------------------------------

    @property
    def conversation(self) -> Conversation:
        """The conversation that the question continues if ``in_conversation`` is set."""
        return self.session.conversations.open(DEFAULT_CONVERSATION)

    @property
    def turns(self) -> int:
        """Number of turns, each a question and its answer, in that conversation."""
        return len(self.conversation)

    def clear(self) -> None:
        """Clear the prompt and the answer, and the conversation if the question would continue it."""
        self.prompt = self.question = ""
        self.answer = None
        if self.in_conversation:
            self.conversation.clear()

    def asked(self, prompt: str | None = None) -> Asked:
        """Return the question and its options, as from a ``%%ask`` cell.

        Args:
            prompt: used in place of the one that is typed now.

        Raises:
            ConfigError: a model's name has a comma or a space.
        """
        question = Question(
            self.prompt if prompt is None else prompt, self._written(), system=self.system.strip() or None
        )
        return Asked(question, conversation=DEFAULT_CONVERSATION if self.in_conversation else None)

    @property
    def turn_to_replace(self) -> Turn | None:
        """The turn that the new answer replaces when the last question is asked again; None if there is none."""
        turns = self.conversation.turns if self.in_conversation else ()
        if not turns or self.answer is None or not self.answer.request_sha256:
            return None
        return turns[-1] if turns[-1].request_sha256 == self.answer.request_sha256 else None

    def cell(self) -> str:
        """Return the ``%%ask`` cell that asks the same, with the settings that were set for this session only.

        Raises:
            ConfigError: a model's name has a comma or a space, or a settings file has a mistake.
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
        """Return one choice for each name, without duplicates. Existing choices are reused; all are switched on."""
        chosen: list[ProviderChoice] = []
        for written in names:
            self.session.provider(written)  # raises if it is unknown
            name, _, model = written.partition(":")
            exact = [one for one in (*chosen, *self.choices) if (one.name, one.model.strip()) == (name, model)]
            typed = [one for one in self.choices if one.name == name and not model and one not in chosen]
            choice = next(iter([*exact, *typed]), None) or ProviderChoice(name, model=model)
            choice.on = True
            if choice not in chosen:
                chosen.append(choice)
        return chosen


def standing_of(entry: RosterEntry) -> Standing:
    """Return how a provider is doing, from its roster entry."""
    words = " ".join(availability(entry).split())
    health = entry.health
    standing = Standing("ready", words, entry.model, health.first_content, price_text(entry))
    if entry.key == "not set":
        needed = f": set {entry.key_variable}" if entry.key_variable else ""
        return replace(standing, kind="unable", words=f"{words}{needed}")
    if health.state == "resting":  # in whole seconds, as the panel counts them down
        return replace(standing, kind="waiting", words=f"resting {math.ceil(health.resting_for)} s")
    if health.state != "ready":
        return replace(standing, kind="waiting")
    if health.failures and health.unreachable:
        return replace(standing, kind="failing", words=f"unreachable: {_message(health.last_error)}")
    return replace(standing, kind="failing" if health.failures else "ready")


def _message(error: str | None) -> str:
    """Return the message of ``Type: message``, without the type."""
    return (error or "").partition(": ")[2] or (error or "")
