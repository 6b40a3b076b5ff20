"""The definition of every setting: its values, its default and its meaning."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nbretry._utils.text import cut_end, nearest
from nbretry.config.converters import (
    to_context,
    to_dollars,
    to_format,
    to_hedge_after,
    to_max_tokens,
    to_on_break,
    to_painting,
    to_providers,
    to_retries,
    to_rounds,
    to_seconds,
    to_temperature,
)
from nbretry.errors import ConfigError

__all__ = ["DEFAULT", "SETTINGS", "Definition", "Setting", "definition_of", "shortened", "text_of"]

DEFAULT = "default"
"""Source of a setting that is not set anywhere."""

_NONE = "none"


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition of one setting.

    Attributes:
        name: the setting's key.
        convert: converts the text of a value, or raises `argparse.ArgumentTypeError`.
        unit: what the value is, in a word or two.
        default: the value if the setting is not set anywhere.
        meaning: what the setting does, in one sentence.
        takes_none: whether the value may be ``none``, for no limit.
        is_text: whether a file must give the value as text and not as a number.
    """

    name: str
    convert: Callable[[str], Any]
    unit: str
    default: Any
    meaning: str
    takes_none: bool = False
    is_text: bool = False

    @property
    def variable(self) -> str:
        """Environment variable of this setting."""
        return f"NBRETRY_{self.name.upper()}"

    def value_of(self, written: Any) -> Any:
        """Convert a value that was written as text or in TOML.

        Raises:
            ConfigError: the value is wrong; the message says what would be right, but not where the value was written.
        """
        if self.takes_none and isinstance(written, str) and written.strip().lower() == _NONE:
            return None
        if self.name == "providers" and isinstance(written, list) and all(isinstance(one, str) for one in written):
            written = ",".join(written)
        numeric = isinstance(written, int | float) and not isinstance(written, bool)
        if not isinstance(written, str) and (self.is_text or not numeric):
            raise ConfigError(f"{self.name} is {shortened(written)}, and should be: {self.unit}")
        try:
            return self.convert(str(written).strip())
        except ArgumentTypeError as error:
            or_none = ", or none for no limit" if self.takes_none else ""
            raise ConfigError(f"{self.name}: {error}{or_none}") from None
        except ValueError:
            raise ConfigError(f"{self.name} should be: {self.unit}") from None


def _limit(name: str, default: float | None, meaning: str) -> Definition:
    return Definition(name, to_seconds, "seconds", default, meaning, takes_none=True)


SETTINGS: Mapping[str, Definition] = {
    definition.name: definition
    for definition in (
        Definition("providers", to_providers, "list of names", None, "Whom to ask, in this order.", is_text=True),
        Definition("model", str, "name", "", "Which model, in place of each provider's own.", is_text=True),
        Definition("system", str, "text", None, "The system prompt.", is_text=True),
        Definition("temperature", to_temperature, "number", None, "0 (always the same) to 2 (very varied)."),
        Definition("max_tokens", to_max_tokens, "tokens", None, "The longest answer."),
        Definition(
            "on_break", to_on_break, "word", "restart", "A stream that dies midway: restart, continue or raise."
        ),
        Definition(
            "hedge_after",
            to_hedge_after,
            "seconds or p90",
            None,
            "Silence until the next provider is asked beside; p90: a time that 90 % keep.",
            takes_none=True,
        ),
        _limit("connect", 10.0, "Until the connection to a provider stands."),
        _limit("first_content", 60.0, "From asking to the first content."),
        _limit("idle", 60.0, "From one content to the next."),
        _limit("total", None, "From asking to the end of the answer."),
        Definition("retries", to_retries, "times", 0, "How often one provider is asked again before the next."),
        Definition(
            "rounds", to_rounds, "times", 2, "How often the providers are gone through, where failures are passing."
        ),
        Definition("max_cost", to_dollars, "US dollars", None, "What one question may cost at most.", takes_none=True),
        Definition(
            "budget",
            to_dollars,
            "US dollars",
            None,
            "What all questions of a session may cost together.",
            takes_none=True,
        ),
        Definition("format", to_format, "word", "markdown", "Answers as markdown, text, code, json or html."),
        Definition("context", to_context, "cells", 0, "How many of the cells above go with a question."),
        Definition(
            "paint",
            to_painting,
            "word",
            "live",
            "A cell shows its answer live, while it comes, or once, when it has ended: as nbval needs it.",
        ),
    )
}
"""All settings by key."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a setting and where it came from.

    Attributes:
        key: one of `SETTINGS`.
        value: the converted value.
        source: ``pyproject.toml, line 12``, ``NBRETRY_MODEL``, ``%nbretry config``, ``default`` or the like.
    """

    key: str
    value: Any
    source: str

    @property
    def is_default(self) -> bool:
        """Whether the setting is not set anywhere."""
        return self.source == DEFAULT


def text_of(value: Any) -> str:
    """Return a setting's value as you would type it after ``%nbretry config``; None becomes a dash."""
    if value is None:
        return "—"
    if isinstance(value, list):
        return ",".join(value)
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def definition_of(key: str) -> Definition:
    """Return the definition of a setting.

    Raises:
        ConfigError: there is no setting with this key; the message suggests the nearest one.
    """
    try:
        return SETTINGS[key]
    except KeyError:
        raise ConfigError(f"there is no setting {key!r}{nearest(key, list(SETTINGS))}") from None


def shortened(value: Any) -> str:
    """Describe a value from a file in a few words, for an error message."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "this list"
    return cut_end(repr(value), 40)
