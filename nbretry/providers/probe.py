"""Inspect a provider before asking it: find its key, or check whether a local provider's file exists.

This works only for the providers of this package: nothing can be known about any other before it is asked.
"""

from __future__ import annotations

import asyncio
import importlib.util

from nbretry.errors import ProviderError
from nbretry.providers.http.clients import is_loopback
from nbretry.providers.http.sdk import SDKProvider
from nbretry.providers.keys import KeyState, find_key
from nbretry.providers.local.model import find_model
from nbretry.providers.local.provider import LocalProvider
from nbretry.retry.contract import innermost
from nbretry.types import ProviderType

__all__ = ["find_local_model", "key_of", "key_variable_of"]


def key_of(provider: SDKProvider, url: str | None) -> tuple[KeyState, str | None, str | None]:
    """Return whether a provider's key is set, the environment variable of the key, and where the key was found.

    Args:
        provider: the provider.
        url: its endpoint, if known.

    Returns:
        The state, the variable and the source. The source is as in `nbretry.providers.keys.FoundKey`. The variable is
        None if no key is needed or the provider was given one; the source is None if the key was not looked up or not
        found.
    """
    variable = provider.key_variable
    if provider.has_own_key:
        return "set", None, None
    found = find_key(variable) if variable else None
    if variable is None or (found is None and is_loopback(url or "")):
        return "not needed", None, None
    return ("not set", variable, None) if found is None else ("set", variable, found.source)


def key_variable_of(provider: ProviderType) -> str | None:
    """Return the environment variable of a provider's key; None if it has none or the variable is not known."""
    inner = innermost(provider)
    return inner.key_variable if isinstance(inner, SDKProvider) else None


async def find_local_model(provider: LocalProvider) -> bool:
    """Return whether a local provider's file is on this machine; nothing is downloaded.

    Raises:
        ProviderError: the package that runs the model is missing; the message says what to install.
        ConfigError: there is no file at the path that the provider was given.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise ProviderError('the package xllamacpp is missing: pip install "nbretry[local]"', provider=provider.name)
    # In a thread, because checking the file may read all of it.
    return await asyncio.to_thread(find_model, provider.model_path) is not None
