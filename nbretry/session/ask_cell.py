"""The text of a ``%%ask`` cell: what `nbretry.session.options` reads, written."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from nbretry._errors import ConfigError
from nbretry.config.converters import to_providers
from nbretry.retry.contract import provider_name
from nbretry.session.options import MAGIC_OPTIONS, Asked, Option, quoted
from nbretry.types import ProviderType

__all__ = ["cell_of"]


def cell_of(asked: Asked) -> str:
    """The ``%%ask`` cell that asks just this: `nbretry.session.options.parse_magic_line` of it gives the same again.

    What no option says is left out: the messages of a conversation and the form of the answer, for which the cell has
    ``-c`` and ``-f``, and the limit for the connection.

    Returns:
        The options that are set on the first line, short where they can be; below it the prompt, where there is one.

    Raises:
        ConfigError: a provider is an object and has no name that a cell could write, or a name cannot stand in a list;
            or the prompt is not text.
    """
    prompt = asked.question.prompt
    if not isinstance(prompt, str):
        raise ConfigError("a cell can ask only text, and this question has parts of other kinds")
    values = _values(asked)
    line = " ".join(["%%ask", *(word for option in MAGIC_OPTIONS for word in _words(option, values[option.dest]))])
    return f"{line}\n{prompt}" if prompt.strip() else line


def _values(asked: Asked) -> dict[str, Any]:
    """By option what is set; None and False where nothing is."""
    question = asked.question
    return {
        "providers": _list(question.providers),
        "model": question.model or None,
        "system": None if question.system is None else question.system.split("\n"),
        "temperature": question.temperature,
        "max_tokens": question.max_tokens,
        "on_break": question.on_break,
        "hedge_after": question.hedge_after,
        "connect": question.deadlines.connect,
        "first_content": question.deadlines.first_content,
        "idle": question.deadlines.idle,
        "total": question.deadlines.total,
        "retries": question.retries,
        "max_cost": question.max_cost,
        "compare": _list(asked.compare),
        "into": asked.into,
        "format": None if asked.schema else asked.format,  # a schema is for JSON, whatever else is written
        "schema": asked.schema,
        "conversation": asked.conversation,
        "new": asked.new,
        "context": asked.context,
        "raw": asked.raw,
        "dry_run": asked.dry_run,
        "background": asked.background,
    }


def _list(providers: Sequence[ProviderType | str] | None) -> str | None:
    """Providers as they stand after ``-p``."""
    if providers is None:
        return None
    written: list[str] = []
    for one in providers.split(",") if isinstance(providers, str) else providers:
        if not isinstance(one, str):
            raise ConfigError(f"a cell has no word for the object {provider_name(one)!r}: register it under a name")
        written.append(one)
    text = ",".join(written)
    try:
        names = to_providers(text)
    except ArgumentTypeError as error:
        raise ConfigError(str(error)) from None
    if len(names) != len(written):
        raise ConfigError(f"{text!r} cannot stand in a cell: a name of a provider or a model has no comma")
    return text


def _words(option: Option, value: Any) -> list[str]:
    flag = option.flags[0]
    if value is None or value is False:
        return []
    if option.convert is None or value == option.default:
        return [flag]
    parts = value if option.repeats else [value]
    return [word for part in parts for word in (flag, quoted(_text(part)))]


def _text(value: Any) -> str:
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
