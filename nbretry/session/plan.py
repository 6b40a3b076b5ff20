"""Which providers a question would ask and what it would send: for ``%nbretry providers`` and ``--dry-run``.

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
    """One provider that may be asked.

    Attributes:
        provider: its name.
        model: what would be asked; empty where the provider decides.
        key: whether its key is there; None where that is not known.
        key_variable: environment variable of its key; None where there is none.
        key_source: where the key is, as for `nbretry.providers.keys.FoundKey`; None where that is not known.
        health: how it has done so far.
        price: US dollars; None where it is not known.
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
    """What a question would send, to whom.

    Attributes:
        messages: the conversation as it would be sent.
        providers: in the order of asking.
        prompt_tokens: an estimate.
        options: what would go along, as ``temperature``.
    """

    messages: Messages
    providers: list[RosterEntry]
    prompt_tokens: int
    options: dict[str, object]

    def prompt_cost(self, entry: RosterEntry) -> float | None:
        """US dollars for the prompt alone; None where the price is not known."""
        return None if entry.price is None else entry.price.cost(Usage(self.prompt_tokens, 0))


def roster(session: Session, providers: Sequence[ProviderType | str], model: str = "") -> list[RosterEntry]:
    """What is known of these providers. Nobody is asked and nothing is opened.

    Args:
        session: where the providers are known, and how they have done.
        providers: as ``name`` or ``name:model``, or as objects.
        model: what would be asked for of those that are named without one; empty for each provider's own.

    Raises:
        ConfigError: a name is unknown.
    """
    return [_entry(session, provider, model) for provider in providers]


def plan(session: Session, question: Question) -> Plan:
    """What asking a question would send. Nothing is sent.

    Raises:
        ConfigError: the question is empty, or a provider's name is unknown.
        RetryNoProviderError: there is nobody to ask.
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
    except Exception:  # a function of the user's own; whoever asks is told
        url = None
    return probe.key_of(provider, url)
