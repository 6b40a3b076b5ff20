"""Find out which providers a question would ask and what it would send, for ``%nbretry providers`` and ``--dry-run``.

Nothing is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nbretry._utils.names import split_name
from nbretry.prices import Price, estimate_prompt_tokens
from nbretry.prompts.messages import build_messages
from nbretry.providers import probe
from nbretry.providers.http.sdk import SDKProvider
from nbretry.providers.keys import KeyState
from nbretry.providers.local.provider import LocalProvider
from nbretry.retry.contract import innermost, provider_name, resolve_model
from nbretry.retry.health import ProviderHealth
from nbretry.session.question import Question
from nbretry.session.session import Session
from nbretry.types import Messages, ProviderType, Usage

__all__ = ["Plan", "RosterEntry", "plan", "roster"]


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """One provider that a question may ask.

    Attributes:
        provider: name of the provider.
        model: model that would be asked; empty if the provider chooses it.
        key: state of its key; None if unknown.
        key_variable: environment variable of its key; None if there is none.
        key_source: where the key was found, as in `nbretry.providers.keys.FoundKey`; None if unknown.
        health: how the provider has been doing so far.
        price: US dollars per million tokens; None if unknown.
    """

    provider: str
    model: str
    key: KeyState | None
    key_variable: str | None
    key_source: str | None
    health: ProviderHealth
    price: Price | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a question would send, and to which providers.

    Attributes:
        messages: the conversation as it would be sent.
        providers: the providers in the order in which they would be asked.
        prompt_tokens: estimated number of tokens of the messages.
        options: options that would be sent with the messages, such as ``temperature``.
    """

    messages: Messages
    providers: list[RosterEntry]
    prompt_tokens: int
    options: dict[str, object]

    def prompt_cost(self, entry: RosterEntry) -> float | None:
        """Return the cost of the prompt alone in US dollars; None if the price is unknown."""
        return None if entry.price is None else entry.price.cost(Usage(self.prompt_tokens, 0))


def roster(session: Session, providers: Sequence[ProviderType | str], model: str = "") -> list[RosterEntry]:
    """Return what is known about these providers, without asking them or opening a connection.

    Args:
        session: the session that knows the providers, their health and their prices.
        providers: as ``name`` or ``name:model``, or as objects.
        model: model to ask for if a provider is named without one; empty for each provider's default.

    Raises:
        ConfigError: a name is unknown.
    """
    return [_entry(session, provider, model) for provider in providers]


def plan(session: Session, question: Question) -> Plan:
    """Return what a question would send, without sending it.

    Raises:
        ConfigError: the question is empty, or a provider's name is unknown.
        RetryNoProviderError: there is no provider to ask.
    """
    question = session.filled(question)
    messages = build_messages(question.prompt, question.system, question.history)
    chosen = session.retry_provider(question.providers, question).providers
    options = dict(replace(question, response_format=None).options())
    return Plan(messages, roster(session, chosen, question.model), estimate_prompt_tokens(messages), options)


def _entry(session: Session, provider: ProviderType | str, model: str) -> RosterEntry:
    one = session.provider(provider) if isinstance(provider, str) else provider
    name = split_name(provider)[0] if isinstance(provider, str) else provider_name(one)
    inner = innermost(one)
    key, variable, source = _key_of(inner)
    asked = resolve_model(one, model)
    needs_key = bool(getattr(inner, "needs_auth", False))
    return RosterEntry(
        name,
        asked,
        key,
        variable,
        source,
        session.health.of(one, name),
        session.prices.price(name, asked, own_only=not needs_key),
    )


def _key_of(provider: ProviderType) -> tuple[KeyState | None, str | None, str | None]:
    if isinstance(provider, LocalProvider):
        return "not needed", None, None
    if not isinstance(provider, SDKProvider):
        return None, None, None
    try:
        url: str | None = provider.base_url
    except Exception:  # raised by a function of the user; a question will report it
        url = None
    return probe.key_of(provider, url)
