"""Create providers: for the known services of `nbretry.providers.services`, and from tables in a settings file."""

from __future__ import annotations

import functools
import os
from typing import Any
from urllib.parse import urlsplit

from nbretry._utils.text import nearest
from nbretry.errors import ConfigError, NotFoundError
from nbretry.providers.services import PRESETS, Preset, ProviderTable
from nbretry.types import ProviderType

__all__ = ["PRESETS", "Preset", "preset", "provider_from_preset", "provider_from_table"]


def preset(name: str) -> Preset:
    """Return the service with this name.

    Raises:
        ConfigError: there is no such service; the message suggests the nearest name.
    """
    found = PRESETS.get(name.lower())
    if found is None:
        raise ConfigError(f"there is no service named {name!r}{nearest(name.lower(), list(PRESETS))}")
    return found


def provider_from_preset(name: str, /, **overrides: Any) -> ProviderType:
    """Create a provider for a known service. It looks for no key and opens no connection until you ask it.

    Args:
        name: the service's name.
        **overrides: arguments for the provider's class, in place of the preset's.

    Raises:
        ConfigError: there is no such service.
    """
    service = preset(name)
    if service.kind == "local":
        from nbretry.providers.local.provider import LocalProvider

        return LocalProvider(**{"name": service.name, **overrides})
    settings: dict[str, Any] = {
        "name": service.name,
        # A function that runs for each question: a notebook may set the variable later.
        "base_url": functools.partial(_base_url, service) if service.base_url_variable else service.base_url,
        "model": service.default_model,
        "key_variable": service.key_variable,
        **overrides,
    }
    if service.kind == "anthropic":
        from nbretry.providers.anthropic import AnthropicProvider

        return AnthropicProvider(**settings)
    from nbretry.providers.openai import OpenAIProvider

    return OpenAIProvider(**settings)


def provider_from_table(table: ProviderTable) -> ProviderType:
    """Create a provider that a settings file describes. It opens no connection until you ask it."""
    given: dict[str, Any] = {
        name: value
        for name in ("base_url", "model", "key_variable", "deadlines")
        if (value := getattr(table, name)) is not None
    }
    service = PRESETS.get(table.name)
    if service is not None and table.kind is None and table.base_url is None:
        return provider_from_preset(table.name, **given)
    kind = table.kind or (service.kind if service else "openai")
    if kind == "anthropic":
        from nbretry.providers.anthropic import AnthropicProvider

        return AnthropicProvider(name=table.name, **given)
    from nbretry.providers.openai import OpenAIProvider

    return OpenAIProvider(name=table.name, **given)


def _base_url(service: Preset) -> str:
    value = os.environ.get(service.base_url_variable or "", "").strip()
    if not value:
        if service.base_url is None:
            raise NotFoundError(f"{service.base_url_variable} is not set", provider=service.name)
        return service.base_url
    if service.name == "ollama":
        return _ollama_url(value)
    if service.name == "azure" and "/openai" not in value:
        return f"{value.rstrip('/')}/openai/v1/"
    return value


def _ollama_url(value: str) -> str:
    """Return the URL for the value of ``OLLAMA_HOST``.

    That is what the server listens on: ``0.0.0.0``, ``:11434``, ``host:port`` or a URL.
    """
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotFoundError(
            f"OLLAMA_HOST is {value!r}; it should be a host and a port, as 127.0.0.1:11434", provider="ollama"
        ) from None
    host = parts.hostname or "127.0.0.1"
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    default = {"http": 11434 if "://" not in value else 80, "https": 443}.get(parts.scheme, 11434)
    return f"{parts.scheme}://{host}:{port or default}{parts.path.rstrip('/')}/v1"
