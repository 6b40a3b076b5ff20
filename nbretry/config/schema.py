"""What can be set: every setting with its values, its default and its meaning, and what a file says of a provider."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nbretry._errors import ConfigError
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

__all__ = ["DEFAULT", "SETTINGS", "Definition", "Setting", "definition_of", "shortened", "text_of"]

DEFAULT = "default"
"""Source of a setting that nobody has set."""

_NONE = "none"


@dataclass(frozen=True, slots=True)
class Definition:
    """What can be set.

    Attributes:
        name: the key.
        convert: makes the value of its text, or raises `argparse.ArgumentTypeError`.
        unit: what the value is, in a word or two.
        default: the value where nobody has set one.
        meaning: one sentence.
        takes_none: whether ``none`` may be written, for no limit.
        is_text: whether a file has it as text only.
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
        """Its environment variable."""
        return f"NBRETRY_{self.name.upper()}"

    def value_of(self, written: Any) -> Any:
        """The value of what was written, as text or as TOML has it.

        Raises:
            ConfigError: it is wrong; the text says what would be right, and not where it stands.
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
"""Every setting by its key."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it came from.

    Attributes:
        key: one of `SETTINGS`.
        value: as it is used.
        source: ``pyproject.toml, line 12``, ``NBRETRY_MODEL``, ``%nbretry config``, ``default`` or the like.
    """

    key: str
    value: Any
    source: str

    @property
    def is_default(self) -> bool:
        """Whether nobody has set it."""
        return self.source == DEFAULT


def text_of(value: Any) -> str:
    """A setting's value as it would be written after ``%nbretry config``."""
    if value is None:
        return "—"
    if isinstance(value, list):
        return ",".join(value)
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def definition_of(key: str) -> Definition:
    """The setting of this key.

    Raises:
        ConfigError: there is none; the text has the nearest.
    """
    try:
        return SETTINGS[key]
    except KeyError:
        raise ConfigError(f"there is no setting {key!r}{nearest(key, list(SETTINGS))}") from None


def shortened(value: Any) -> str:
    """A value of a file in a few words, for an error."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "this list"
    return cut_end(repr(value), 40)
