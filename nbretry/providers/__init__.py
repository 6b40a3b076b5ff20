"""Whom to ask: the contract's classes and the providers that come with nbretry, each loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbretry.providers.anthropic import AnthropicProvider
    from nbretry.providers.base import BaseProvider
    from nbretry.providers.local import LocalProvider
    from nbretry.providers.models import list_models
    from nbretry.providers.openai import OpenAIProvider
    from nbretry.providers.retry_provider import IterListProvider, RetryProvider, raise_exceptions
    from nbretry.providers.scripted import ScriptedProvider

_HOMES = {
    "AnthropicProvider": "anthropic",
    "BaseProvider": "base",
    "IterListProvider": "retry_provider",
    "LocalProvider": "local",
    "OpenAIProvider": "openai",
    "RetryProvider": "retry_provider",
    "ScriptedProvider": "scripted",
    "list_models": "models",
    "raise_exceptions": "retry_provider",
}

__all__ = [
    "AnthropicProvider",
    "BaseProvider",
    "IterListProvider",
    "LocalProvider",
    "OpenAIProvider",
    "RetryProvider",
    "ScriptedProvider",
    "list_models",
    "raise_exceptions",
]


if not TYPE_CHECKING:  # where it is seen, type checkers take a name that is misspelt for one that there is

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
