"""Render the providers that a question may ask: name, model, key, health, last latency, price."""

from __future__ import annotations

from collections.abc import Sequence

from nbretry.providers.keys import ENVIRONMENT, KeyState
from nbretry.renderers.report import seconds
from nbretry.renderers.tables import block_html, table_html, table_text
from nbretry.session.plan import RosterEntry

__all__ = ["availability", "key_text", "price_text", "roster_html", "roster_text"]

_HEADS = ("", "Provider", "Model", "Key", "State", "First content", "Price for 1M tokens")
_NOTHING = "—"


def roster_text(entries: Sequence[RosterEntry], others: Sequence[str] = ()) -> str:
    """Return the providers as a table for a terminal.

    Args:
        entries: the providers in the order in which they are asked.
        others: names of providers that are asked only if you name them.
    """
    if not entries:
        return "\n".join(["Nobody would be asked: see %nbretry doctor.", *_others(others)])
    return "\n".join([*table_text(_HEADS, _rows(entries)), *_others(others)])


def roster_html(entries: Sequence[RosterEntry], others: Sequence[str] = ()) -> str:
    """Return the same table as HTML for a notebook cell."""
    if not entries:
        return block_html("<div>Nobody would be asked: see <code>%nbretry doctor</code>.</div>", *_others(others))
    under = "".join(f'<div style="opacity:0.75">{line}</div>' for line in _others(others))
    return block_html(table_html(_HEADS, _rows(entries), wide=[4]), under)


def key_text(key: KeyState | None, variable: str | None, source: str | None) -> str:
    """Return the state of a provider's key in words.

    Args:
        key: state of the key; None if unknown.
        variable: environment variable to look up the key in.
        source: where the key was found, as in `nbretry.providers.keys.FoundKey`.
    """
    if key is None:
        return _NOTHING
    where = variable if source in (None, ENVIRONMENT) else source
    return f"{key} ({where})" if where else key


def availability(entry: RosterEntry) -> str:
    """Return how a provider is doing, in words."""
    health = entry.health
    if entry.key == "not set":
        return "no key"
    if health.state == "resting":
        return f"resting {seconds(health.resting_for)} more"
    if health.state == "on trial":
        return "on trial"
    if health.failures:
        times = "once" if health.failures == 1 else f"{health.failures} times in a row"
        return f"failed {times}: {' '.join((health.last_error or '').split())}"
    return "ready"


def _rows(entries: Sequence[RosterEntry]) -> list[tuple[str, ...]]:
    return [
        (
            f"{number}.",
            entry.provider,
            entry.model or _NOTHING,
            key_text(entry.key, entry.key_variable, entry.key_source),
            availability(entry),
            _NOTHING if entry.health.first_content is None else seconds(entry.health.first_content),
            price_text(entry) or _NOTHING,
        )
        for number, entry in enumerate(entries, start=1)
    ]


def price_text(entry: RosterEntry) -> str:
    """Return the price of a million tokens of the prompt and of the answer; empty if unknown."""
    price = entry.price
    if price is None:
        return ""
    if not (price.prompt or price.completion):
        return "free"
    return f"{_dollars(price.prompt)} in, {_dollars(price.completion)} out"


def _dollars(value: float) -> str:
    """Return an amount with two decimals, or with more if it has more."""
    return f"${value:.2f}" if round(value, 2) == value else f"${value:g}"


def _others(names: Sequence[str]) -> list[str]:
    return [f"Only where they are named: {', '.join(names)}."] if names else []
