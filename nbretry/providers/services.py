"""Known services by name, with endpoint, key variable and default model; and providers that a settings file describes.

A default model is one that its service recommends for general use, and not the service's most expensive one. Services
retire models, so name the model if you need a particular one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from nbretry.retry.deadlines import Deadlines

__all__ = ["PRESETS", "Preset", "ProviderTable", "how_to_set", "service_of_key"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A known service.

    Attributes:
        name: its name in a session.
        kind: the protocol: ``openai``, ``anthropic``, or ``local`` for the model that nbretry serves itself.
        base_url: its endpoint; None if each user has a different one, and for ``local``.
        key_variable: environment variable with the key; None if no key is needed.
        default_model: the model to use if the question names none; None if it is up to the user.
        base_url_variable: environment variable that sets another endpoint.
        on_this_machine: whether it is a server that the user runs on this machine.
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
"""All known services by name. A session asks those that it has a key for in this order."""


def service_of_key(variable: str) -> Preset | None:
    """Return the service whose key an environment variable holds; None if there is none."""
    return next((preset for preset in PRESETS.values() if preset.key_variable == variable), None)


def how_to_set(variable: str, called: str = "it") -> str:
    """Say in a few words how to set a missing key.

    Args:
        variable: environment variable with the key.
        called: how the text refers to the variable.
    """
    service = service_of_key(variable)
    name = variable if service is None else service.name
    return f"set {called} in the environment or in .env, or run %nbretry key {name}"


@dataclass(frozen=True, slots=True)
class ProviderTable:
    """A provider that a settings file describes.

    Attributes:
        name: its name after ``-p``.
        kind: the protocol, ``openai`` or ``anthropic``; None for that of the known service with this name, or else for
            ``openai``.
        base_url: its endpoint; None for the service's own.
        model: the model to use if the question names none.
        key_variable: environment variable with its key.
        deadlines: time limits in place of the session's.
        source: the file and line of the description.
    """

    name: str
    kind: str | None = None
    base_url: str | None = None
    model: str | None = None
    key_variable: str | None = None
    deadlines: Deadlines | None = None
    source: str = field(default="", compare=False)
