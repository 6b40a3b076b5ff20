"""Finds out who would be asked and what would be sent, without asking and without sending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nbretry._utils.names import split_name
from nbretry.prices import estimate_prompt_tokens
from nbretry.prompts.messages import build_messages
from nbretry.providers import probe
from nbretry.providers.http.sdk import SDKProvider
from nbretry.providers.local.provider import LocalProvider
from nbretry.retry.contract import innermost, provider_name, resolve_model
from nbretry.session.diagnosis import KeyState
from nbretry.session.question import Question
from nbretry.session.roster import Plan, RosterEntry
from nbretry.session.session import Session
from nbretry.types import ProviderType

__all__ = ["plan", "roster"]


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
