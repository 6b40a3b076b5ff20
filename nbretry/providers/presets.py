"""Known services by name: where they are, which environment variable has their key, which model is asked by default.

A default model is one that its service recommends for general use, and is not its most expensive. Services retire
models; whoever needs a certain one names it.
"""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import urlsplit

from nbretry.errors import ConfigError, NotFoundError
from nbretry.types import ProviderType

__all__ = ["PRESETS", "Preset", "preset", "provider_from_preset"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A known service.

    Attributes:
        name: what it is called in a session.
        kind: the protocol: ``openai``, ``anthropic``, or ``local`` for the model that nbretry serves itself.
        base_url: its endpoint; None where each user has another one, and for ``local``.
        key_variable: environment variable with the key; None where no key is needed.
        default_model: the model that is asked where none is named; None where that is the user's to say.
        base_url_variable: environment variable that names another endpoint.
        on_this_machine: whether it is a server that the user runs here.
    """

    name: str
    kind: Literal["openai", "anthropic", "local"]
    base_url: str | None = None
    key_variable: str | None = None
    default_model: str | None = None
    base_url_variable: str | None = None
    on_this_machine: bool = False


def _service(name: str, base_url: str, default_model: str | None, **more: Any) -> Preset:
    return Preset(name, "openai", base_url, f"{name.upper()}_API_KEY", default_model, **more)


def _server(name: str, port: int, **more: Any) -> Preset:
    return Preset(name, "openai", f"http://127.0.0.1:{port}/v1", on_this_machine=True, **more)


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _service("openai", "https://api.openai.com/v1", "gpt-5.4-mini", base_url_variable="OPENAI_BASE_URL"),
            Preset(
                "anthropic",
                "anthropic",
                "https://api.anthropic.com",
                "ANTHROPIC_API_KEY",
                "claude-sonnet-5",
                "ANTHROPIC_BASE_URL",
            ),
            _service("groq", "https://api.groq.com/openai/v1", "openai/gpt-oss-120b"),
            _service("openrouter", "https://openrouter.ai/api/v1", "openrouter/auto"),
            _service("deepseek", "https://api.deepseek.com", "deepseek-flash"),
            _service("together", "https://api.together.xyz/v1", "openai/gpt-oss-120b"),
            _service("mistral", "https://api.mistral.ai/v1", "mistral-small-latest"),
            _service("xai", "https://api.x.ai/v1", "grok-4.3"),
            _service("gemini", "https://generativelanguage.googleapis.com/v1beta/openai/", "gemini-flash-latest"),
            _service("fireworks", "https://api.fireworks.ai/inference/v1", "accounts/fireworks/models/gpt-oss-120b"),
            _service("cerebras", "https://api.cerebras.ai/v1", "gpt-oss-120b"),
            Preset(
                "azure",
                "openai",
                key_variable="AZURE_OPENAI_API_KEY",
                base_url_variable="AZURE_OPENAI_ENDPOINT",
            ),
            _server("ollama", 11434, base_url_variable="OLLAMA_HOST"),
            _server("vllm", 8000),
            _server("lmstudio", 1234),
            _server("llamacpp", 8080),
            Preset("local", "local", default_model="SmolLM2-135M-Instruct", on_this_machine=True),
        )
    }
)
"""Every known service by its name, in the order in which a session asks those that it has a key for."""


def preset(name: str) -> Preset:
    """The service of that name.

    Raises:
        ConfigError: there is none; the message has the nearest name.
    """
    found = PRESETS.get(name.lower())
    if found is None:
        near = difflib.get_close_matches(name.lower(), PRESETS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(PRESETS)}"
        raise ConfigError(f"there is no service named {name!r}{hint}")
    return found


def provider_from_preset(name: str, /, **overrides: Any) -> ProviderType:
    """A provider for a known service. No key is looked for and nothing is opened until it is asked.

    Args:
        name: the service.
        **overrides: arguments for its provider's class, in place of the preset's.

    Raises:
        ConfigError: there is no such service.
    """
    service = preset(name)
    if service.kind == "local":
        from nbretry.providers.local import LocalProvider

        return LocalProvider(**{"name": service.name, **overrides})
    settings: dict[str, Any] = {
        "name": service.name,
        # Asked for at each question: a notebook may set the variable later.
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
    """``OLLAMA_HOST`` is what the server listens on: ``0.0.0.0``, ``:11434``, ``host:port`` or a URL."""
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
