"""Write the text of a ``%%ask`` cell: the reverse of `nbretry.session.options`, which parses it."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from nbretry.config.converters import to_providers
from nbretry.errors import ConfigError
from nbretry.retry.contract import provider_name
from nbretry.session.options import MAGIC_OPTIONS, Asked, Option, quoted
from nbretry.types import ProviderType

__all__ = ["cell_of"]


def cell_of(asked: Asked) -> str:
    """Return the ``%%ask`` cell that asks exactly this; `nbretry.session.options.parse_magic_line` parses it back.

    The cell leaves out what no option can express: the messages of the conversation and the response format of the
    question. It has ``-c`` and ``-f`` for those.

    Returns:
        On the first line the options that are set, in their short form if they have one; below it the prompt, if any.

    Raises:
        ConfigError: a provider is given as an object instead of a name, a name cannot be written in a list, or the
            prompt is not text.
    """
    prompt = asked.question.prompt
    if not isinstance(prompt, str):
        raise ConfigError("a cell can ask only text, and this question has parts of other kinds")
    values = _values(asked)
    line = " ".join(["%%ask", *(word for option in MAGIC_OPTIONS for word in _words(option, values[option.dest]))])
    return f"{line}\n{prompt}" if prompt.strip() else line


def _values(asked: Asked) -> dict[str, Any]:
    """Return the value of each option by name; None or False if it is not set."""
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
        "format": None if asked.schema else asked.format,  # a schema implies JSON
        "schema": asked.schema,
        "conversation": asked.conversation,
        "new": asked.new,
        "context": asked.context,
        "raw": asked.raw,
        "dry_run": asked.dry_run,
        "background": asked.background,
    }


def _list(providers: Sequence[ProviderType | str] | None) -> str | None:
    """Return the providers as you write them after ``-p``."""
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
