"""What can be known of a provider before it is asked: its key, and whether the file of a local one is there.

This looks into the providers of this package; of any other provider nothing can be known before it is asked.
"""

from __future__ import annotations

import asyncio
import importlib.util

from nbretry._errors import ProviderError
from nbretry.providers.http.clients import is_loopback
from nbretry.providers.http.sdk import SDKProvider
from nbretry.providers.keys import KeyState, find_key
from nbretry.providers.local.model import find_model
from nbretry.providers.local.provider import LocalProvider
from nbretry.retry.contract import innermost
from nbretry.types import ProviderType

__all__ = ["find_local_model", "key_of", "key_variable_of"]


def key_of(provider: SDKProvider, url: str | None) -> tuple[KeyState, str | None, str | None]:
    """Whether a provider's key is there, the environment variable that it is looked for in, and where it is.

    Args:
        provider: whose key.
        url: its endpoint, where that is known.

    Returns:
        The last is as for `nbretry.providers.keys.FoundKey`.
    """
    variable = provider.key_variable
    if provider.has_own_key:
        return "set", None, None
    found = find_key(variable) if variable else None
    if variable is None or (found is None and is_loopback(url or "")):
        return "not needed", None, None
    return ("not set", variable, None) if found is None else ("set", variable, found.source)


def key_variable_of(provider: ProviderType) -> str | None:
    """The environment variable of a provider's key; None where it has none, or that is not known."""
    inner = innermost(provider)
    return inner.key_variable if isinstance(inner, SDKProvider) else None


async def find_local_model(provider: LocalProvider) -> bool:
    """Whether a local provider's file is on this machine; nothing is fetched.

    Raises:
        ProviderError: the package that runs it is missing; the message says what to install.
        ConfigError: there is no file at the path that was given.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise ProviderError('the package xllamacpp is missing: pip install "nbretry[local]"', provider=provider.name)
    # In a thread, as the whole file is read to check it.
    return await asyncio.to_thread(find_model, provider.model_path) is not None
