"""Who may be asked and what a question would send, as frozen records: for ``%nbretry providers`` and ``--dry-run``."""

from __future__ import annotations

from dataclasses import dataclass

from nbretry.prices import Price
from nbretry.retry.health import ProviderHealth
from nbretry.session.diagnosis import KeyState
from nbretry.types import Messages, Usage

__all__ = ["Plan", "RosterEntry"]


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
