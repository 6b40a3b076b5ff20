"""Providers: the classes of the retry-provider contract, and the providers that come with nbretry.

Each name is loaded when you first use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbretry.providers.anthropic import AnthropicProvider
    from nbretry.providers.local.provider import LocalProvider
    from nbretry.providers.models import list_models
    from nbretry.providers.openai import OpenAIProvider
    from nbretry.providers.retry_provider import IterListProvider, RetryProvider, raise_exceptions
    from nbretry.providers.scripted import ScriptedProvider
    from nbretry.retry.contract import BaseProvider

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


if not TYPE_CHECKING:  # a type checker that sees __getattr__ would accept misspelled names

    def __getattr__(name: str) -> Any:
        match name:
            case "AnthropicProvider":
                from nbretry.providers.anthropic import AnthropicProvider as found
            case "LocalProvider":
                from nbretry.providers.local.provider import LocalProvider as found
            case "list_models":
                from nbretry.providers.models import list_models as found
            case "OpenAIProvider":
                from nbretry.providers.openai import OpenAIProvider as found
            case "IterListProvider":
                from nbretry.providers.retry_provider import IterListProvider as found
            case "RetryProvider":
                from nbretry.providers.retry_provider import RetryProvider as found
            case "raise_exceptions":
                from nbretry.providers.retry_provider import raise_exceptions as found
            case "ScriptedProvider":
                from nbretry.providers.scripted import ScriptedProvider as found
            case "BaseProvider":
                from nbretry.retry.contract import BaseProvider as found
            case _:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
