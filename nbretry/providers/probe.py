"""What can be known of a provider before it is asked: its key, its endpoint, and the models that are there.

This looks into the providers of this package; of any other provider nothing can be known before it is asked.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Mapping
from typing import Any

from nbretry.diagnosis import KeyState
from nbretry.errors import ProviderError
from nbretry.keys import find_key
from nbretry.providers.base import innermost
from nbretry.providers.clients import is_loopback, tls_context
from nbretry.providers.local import LocalProvider
from nbretry.providers.local_model import find_model
from nbretry.providers.translate import Asked, translate
from nbretry.providers.wire import Endpoint, SDKProvider
from nbretry.types import ProviderType

__all__ = [
    "find_local_model",
    "is_listed",
    "key_can_be_sent",
    "key_of",
    "key_variable_of",
    "load_sdk",
    "look_into_keyring",
    "served_models",
]

_MODELS_PER_PAGE = 1000
"""The most that Anthropic gives at once; others give all they have."""


def key_of(provider: SDKProvider, url: str | None) -> tuple[KeyState, str | None, str | None]:
    """Whether a provider's key is there, the environment variable that it is looked for in, and where it is.

    Args:
        provider: whose key.
        url: its endpoint, where that is known.

    Returns:
        The last is as for `nbretry.keys.FoundKey`.
    """
    variable = provider._key_variable
    if provider._api_key:
        return "set", None, None
    found = find_key(variable) if variable else None
    if variable is None or (found is None and is_loopback(url or "")):
        return "not needed", None, None
    return ("not set", variable, None) if found is None else ("set", variable, found.source)


def key_variable_of(provider: ProviderType) -> str | None:
    """The environment variable of a provider's key; None where it has none, or that is not known."""
    inner = innermost(provider)
    return inner._key_variable if isinstance(inner, SDKProvider) else None


async def look_into_keyring(provider: SDKProvider) -> None:
    """Have the system keyring asked for a key that is nowhere else; its user may have to unlock it."""
    await provider._look_into_keyring(None)


def key_can_be_sent(provider: SDKProvider) -> bool:
    """Whether a provider's key is one that a request's header can hold: one with a line break is not."""
    key = (provider._api_key or provider._found_key()).strip()
    return key.isascii() and key.isprintable()


async def load_sdk(provider: SDKProvider) -> None:
    """Load a provider's SDK without holding up the loop: that takes half a second, which nobody should take for its
    service's.

    Raises:
        ProviderError: it cannot be loaded; the message says what to install.
    """
    await asyncio.to_thread(lambda: tls_context(provider._load()))


async def served_models(provider: SDKProvider, timeout: float) -> list[str] | None:  # noqa: ASYNC109 (the SDK's)
    """The names of the models that an endpoint lists.

    Args:
        provider: whose endpoint.
        timeout: seconds without anything new.

    Returns:
        The names; None where what came is no list of models.

    Raises:
        ProviderError: one of its classes; what came in place of the list.
    """
    url = provider.base_url
    connect_timeout = min(provider.connect_timeout, timeout)
    try:
        client = await provider._async_clients.get(Endpoint(url, provider._key(None, url)))
        query = {"limit": _MODELS_PER_PAGE} if provider.package == "anthropic" else {}
        # The body as it came: the SDKs break on lists of another form than their own services'.
        response = await client.models.with_raw_response.list(
            timeout=provider._load().Timeout(timeout, connect=connect_timeout), extra_query=query
        )
        try:
            return _names_in(response.http_response.json())
        except ValueError:
            return None
    except Exception as exception:
        error = translate(exception, Asked(provider.name, "", url, timeout, connect_timeout))
        if error is None or error is exception:
            raise
        raise error from exception


def is_listed(model: str, models: list[str]) -> bool:
    """Whether a model is in a list, where it may stand under its service's folder, its date or its tag."""
    name = re.compile(rf"(?:models/)?{re.escape(model)}(?::latest|-\d{{8}})?")
    return any(name.fullmatch(listed) for listed in models)


async def find_local_model(provider: LocalProvider) -> bool:
    """Whether a local provider's file is on this machine; nothing is fetched.

    Raises:
        ProviderError: the package that runs it is missing; the message says what to install.
        ConfigError: there is no file at the path that was given.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise ProviderError('the package xllamacpp is missing: pip install "nbretry[local]"', provider=provider.name)
    # In a thread, as the whole file is read to check it.
    return await asyncio.to_thread(find_model, provider._path) is not None


def _names_in(body: Any) -> list[str] | None:
    """OpenAI and Anthropic put the list under ``data``, others under ``models`` or give it bare."""
    if isinstance(body, Mapping):
        body = body.get("data", body.get("models"))
    if not isinstance(body, list):
        return None
    given = [one.get("id", one.get("name")) if isinstance(one, Mapping) else one for one in body]
    return [name for name in given if isinstance(name, str)]
