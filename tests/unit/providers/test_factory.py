"""The table of known services, and the providers that come of it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import nbretry
from nbretry.errors import AuthenticationError, ConfigError, NotFoundError
from nbretry.providers import AnthropicProvider, OpenAIProvider
from nbretry.providers.factory import preset, provider_from_preset
from nbretry.providers.services import PRESETS, Preset
from nbretry.retry.contract import provider_name

QUESTION = [{"role": "user", "content": "x"}]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in PRESETS.values():
        for variable in (service.key_variable, service.base_url_variable):
            if variable:
                monkeypatch.delenv(variable, raising=False)


def test_the_services_that_are_known() -> None:
    """Every service that the documents name is in the table."""
    services = "openai anthropic groq openrouter deepseek together mistral xai gemini fireworks cerebras azure"
    servers = "ollama vllm lmstudio llamacpp local"
    assert list(PRESETS) == services.split() + servers.split()


@pytest.mark.parametrize("service", PRESETS.values(), ids=lambda service: service.name)
def test_each_row_is_sound(service: Preset) -> None:
    """A service has a key and HTTPS, a server on this machine has neither, and a row cannot be changed."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        service.name = "other"  # type: ignore[misc]
    parts = urlsplit(service.base_url or "")
    if service.on_this_machine:
        assert service.key_variable is None
        assert (parts.scheme, parts.hostname) == ("http", "127.0.0.1") or service.kind == "local"
    else:
        assert service.key_variable
        assert service.key_variable.endswith("_API_KEY")
        assert parts.scheme == "https" or service.base_url_variable


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "local"])
def test_a_provider_of_each(name: str) -> None:
    """Each service gives a provider of its name, with its default model and its endpoint, and nothing is asked yet."""
    service = preset(name)
    provider = provider_from_preset(name)
    assert isinstance(provider, AnthropicProvider if service.kind == "anthropic" else OpenAIProvider)
    assert provider_name(provider) == name
    assert provider.default_model == (service.default_model or "")
    if service.base_url:
        assert provider.base_url == service.base_url


def test_the_local_model() -> None:
    """The local model is a preset like the others, and making its provider starts nothing."""
    provider = provider_from_preset("local")
    assert (provider.name, provider.default_model) == ("local", "SmolLM2-135M-Instruct")


def test_overrides() -> None:
    """What is given goes before the table."""
    provider = provider_from_preset("groq", name="mine", model="m", base_url="http://127.0.0.1:9/v1", timeout=3.0)
    assert (provider.name, provider.default_model, provider.base_url) == ("mine", "m", "http://127.0.0.1:9/v1")
    assert provider.timeout == 3.0


def test_each_service_wants_its_own_key() -> None:
    """Where the key is missing, the variable of that service is named, and never another one's."""
    for service in PRESETS.values():
        if service.key_variable and service.base_url:
            with pytest.raises(AuthenticationError, match=f"^{service.key_variable} is not set: .*key {service.name}$"):
                list(provider_from_preset(service.name).stream_chunks("m", QUESTION))


def test_another_services_key_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's key in the environment is not handed to another service."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-0123456789")
    with pytest.raises(AuthenticationError, match="GROQ_API_KEY is not set"):
        list(provider_from_preset("groq").stream_chunks("m", QUESTION))


@pytest.mark.parametrize(
    ("name", "variable", "value", "url"),
    [
        ("openai", "OPENAI_BASE_URL", "http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1"),
        ("anthropic", "ANTHROPIC_BASE_URL", "http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("azure", "AZURE_OPENAI_ENDPOINT", "https://x.openai.azure.com/", "https://x.openai.azure.com/openai/v1/"),
        ("azure", "AZURE_OPENAI_ENDPOINT", "https://x.example/openai/v1/", "https://x.example/openai/v1/"),
        ("ollama", "OLLAMA_HOST", "0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("ollama", "OLLAMA_HOST", ":5000", "http://127.0.0.1:5000/v1"),
        ("ollama", "OLLAMA_HOST", "box:5000", "http://box:5000/v1"),
        ("ollama", "OLLAMA_HOST", "https://box.example/", "https://box.example:443/v1"),
        ("ollama", "OLLAMA_HOST", "[::1]:5000", "http://[::1]:5000/v1"),
    ],
)
def test_the_environments_base_url(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str, value: str, url: str
) -> None:
    """The usual variable names another endpoint, also where it is set after the provider was made."""
    provider = provider_from_preset(name)
    monkeypatch.setenv(variable, value)
    assert provider.base_url == url


def test_azure_has_no_endpoint_of_its_own() -> None:
    """Without its variable Azure is an ordinary failure that names the variable."""
    with pytest.raises(NotFoundError, match=r"^AZURE_OPENAI_ENDPOINT is not set$"):
        list(provider_from_preset("azure", api_key="a-key-of-azure-1").stream_chunks("m", QUESTION))


def test_an_ollama_host_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that cannot be read is shown, with what it should be like."""
    monkeypatch.setenv("OLLAMA_HOST", "box:port")
    with pytest.raises(NotFoundError, match=r"OLLAMA_HOST is 'box:port'; it should be"):
        list(provider_from_preset("ollama").stream_chunks("m", QUESTION))


def test_an_unknown_name() -> None:
    """A name that is unknown is refused in one line, with the nearest one or all of them."""
    assert preset("OpenAI").name == "openai"
    with pytest.raises(ConfigError, match="did you mean 'mistral'"):
        preset("mistrall")
    with pytest.raises(ConfigError, match="known are openai, anthropic"):
        provider_from_preset("xyzzy")


def test_the_table_loads_no_sdk() -> None:
    """Making a service's provider, and asking it without its key, loads neither an SDK nor its HTTP library."""
    program = (
        "import sys; from nbretry.providers.factory import provider_from_preset\n"
        "[provider_from_preset(name) for name in ('openai', 'anthropic', 'ollama', 'local')]\n"
        "try: next(provider_from_preset('groq').stream_chunks('', []))\n"
        "except Exception as error: print(error)\n"
        "print([name for name in ('openai', 'anthropic', 'httpx', 'httpx2', 'xllamacpp') if name in sys.modules])"
    )
    root = Path(nbretry.__file__).parents[1]
    bare = {name: value for name, value in os.environ.items() if name != "GROQ_API_KEY"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env=bare)
    assert (
        done.stdout == "GROQ_API_KEY is not set: set it in the environment or in .env, or run %nbretry key groq\n[]\n"
    )
