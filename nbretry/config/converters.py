"""Convert the text of an option or a setting to its value.

Each converter raises `argparse.ArgumentTypeError` with a one-line message if the text is not valid.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any, get_args

from nbretry._utils.names import split_name
from nbretry.errors import ConfigError
from nbretry.retry.policy import OnBreak, check_hedge_after
from nbretry.types import Format, Painting

__all__ = [
    "to_context",
    "to_dollars",
    "to_format",
    "to_hedge_after",
    "to_max_tokens",
    "to_on_break",
    "to_painting",
    "to_providers",
    "to_retries",
    "to_rounds",
    "to_seconds",
    "to_temperature",
]


def to_providers(text: str) -> list[str]:
    """Return the names in a comma-separated list, each as ``name`` or ``name:model``."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        hint = ", and no spaces" if text.endswith(",") else ""
        raise ArgumentTypeError(f"{text!r} is no list of providers: write their names with commas between{hint}")
    for name in names:
        try:
            split_name(name)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from None
    return names


def to_temperature(text: str) -> float:
    """Return a temperature, a number from 0 to 2."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2:
        raise ArgumentTypeError(f"{text!r} is no temperature: write a number from 0 to 2")
    return value


def to_max_tokens(text: str) -> int:
    """Return a number of tokens, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number of tokens: write a whole number from 1")
    return int(text)


def to_seconds(text: str) -> float:
    """Return a time limit in seconds, above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no time limit: write a number of seconds above 0")
    return value


def to_hedge_after(text: str) -> float | str:
    """Return seconds, or a quantile such as ``p90``."""
    try:
        value: float | str = float(text)
    except ValueError:
        value = text
    try:
        check_hedge_after(value)
    except ConfigError:
        raise ArgumentTypeError(
            f"{text!r} is no time: write seconds, or p90 for the time within which 90 % have begun to answer"
        ) from None
    return value


def to_on_break(text: str) -> str:
    """Return one of `nbretry.retry.policy.OnBreak`."""
    return _one_of(OnBreak, text)


def to_painting(text: str) -> str:
    """Return one of `nbretry.types.Painting`."""
    return _one_of(Painting, text)


def to_retries(text: str) -> int:
    """Return how many times to retry a provider, 0 to 20."""
    if not text.isdecimal() or int(text) > 20:
        raise ArgumentTypeError(f"{text!r} is no number of retries: write a whole number from 0 to 20")
    return int(text)


def to_rounds(text: str) -> int:
    """Return how many times to go through the providers, 1 to 20."""
    if not text.isdecimal() or not 1 <= int(text) <= 20:
        raise ArgumentTypeError(f"{text!r} is no number of rounds: write a whole number from 1 to 20")
    return int(text)


def to_dollars(text: str) -> float:
    """Return an amount of US dollars, 0 or more; the text may start with ``$``."""
    try:
        value = float(text.removeprefix("$"))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no amount of money: write US dollars, as 0.05")
    return value


def to_context(text: str) -> int:
    """Return a number of cells; ``-`` means none."""
    if text == "-":
        return 0
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no number of cells: write a whole number, or - for none")
    return int(text)


def to_format(text: str) -> str:
    """Return one of `nbretry.types.Format`."""
    return _one_of(Format, text)


def _one_of(words: Any, text: str) -> str:
    known = get_args(words)
    if text not in known:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(known)}")
    return text
