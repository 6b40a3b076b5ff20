"""List the models of a provider.

The list comes from the first of these that the provider has:

- ``list_models``, as described in `nbretry.retry.contract`: HTTP providers ask their endpoint, the local provider looks
  for files.
- ``get_models``, as in gpt4free's providers, if it gives any: a list, a dict by name, or one name.
- Other providers that it asks, as `RetryProvider` does: then it has every model that at least one of them has.
- ``models``, as in gpt4free's providers: again a list, a dict by name, or one name.

``default_model`` and the names in ``model_aliases`` are added to the list. A provider with nothing else has only these.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from nbretry._utils.exceptions import describe, status_of
from nbretry._utils.redaction import mask, mask_exception
from nbretry._utils.text import one_line
from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigError,
    NbretryError,
    ProviderError,
    StreamError,
)
from nbretry.retry.async_bridge import call_in_thread, within
from nbretry.retry.classify import status_error
from nbretry.retry.contract import accepts, innermost, provider_name, resolve_model
from nbretry.types import ProviderType

__all__ = ["is_listed", "list_models", "model_names", "read_models"]

_MOST_NAMES = 5000
_LONGEST_NAME = 256

_LARGEST_LIST = 16 * 1024 * 1024
"""Maximum size of a list of models in bytes; the longest known lists have a tenth of it."""

_PATIENCE = 1.0
"""Extra seconds for a provider that enforces the time limit itself, because its error is more precise."""

_BY_NAME: dict[str, type[ProviderError]] = {
    "MissingAuthError": AuthenticationError,  # gpt4free's
    "APITimeoutError": APITimeoutError,
    "TimeoutError": APITimeoutError,
    "TimeoutException": APITimeoutError,
    "Timeout": APITimeoutError,
    "APIConnectionError": APIConnectionError,
    "ClientConnectionError": APIConnectionError,
    "ConnectionError": APIConnectionError,
    "NetworkError": APIConnectionError,
}
"""nbretry's exceptions by the names of the exception classes of HTTP libraries."""


async def list_models(provider: ProviderType, timeout: float = 10.0) -> list[str]:  # noqa: ASYNC109 (it is passed on)
    """Return the models that you can ask a provider for. No model is asked, started or downloaded.

    The names come from outside and may contain any printable character: escape them where you show them.

    Args:
        provider: a class or an instance. A provider that asks others has every model that at least one of them has;
            those that fail to list their models are ignored, unless all of them fail.
        timeout: time limit for the whole call, in seconds.

    Returns:
        The default model first, if there is one, then the others in the provider's order, then the provider's own
        aliases, without duplicates. There are at most 5,000 names of at most 256 printable characters. Anything that
        is not such a name is left out, and so is a name that contains a secret.

    Raises:
        ConfigError: the provider does not say which models it has, or the timeout is not above 0.
        ProviderError: one of its subclasses: the key is missing or refused, the endpoint cannot be reached or does not
            answer in time, or the response is not a list.

    Example:
        >>> import asyncio
        >>> from nbretry.testing import FaultServer
        >>> with FaultServer({"qwen3": "ok", "llama4": "ok"}) as server:
        ...     asyncio.run(list_models(server.provider("qwen3")))
        ['qwen3', 'llama4']
    """
    if not 0 < timeout < math.inf:
        raise ConfigError(f"the timeout is {timeout!r}, and should be a number of seconds above 0")
    name = provider_name(provider)
    try:
        asked = innermost(provider)
        # A name such as ``ollama:qwen3`` has another default model than the provider behind it.
        defaults = [model for model in (resolve_model(one, "") for one in (provider, asked)) if model]
        aliases = getattr(asked, "model_aliases", None)
        said = await _said_by(asked, name, timeout)
    except Exception as exception:
        mask_exception(exception)
        error = _failure_of(exception, name)
        if error is exception:
            raise
        raise error from exception
    own = list(aliases) if isinstance(aliases, Mapping) else []
    if said is None and not defaults and not own:
        raise ConfigError(f"{name} does not say which models it has")
    doubles = {double for default in defaults for double in (f"models/{default}", f"{default}:latest")}
    return [model for model in model_names([*defaults, *(said or []), *own]) if model not in doubles]


def model_names(listed: Iterable[Any]) -> list[str]:
    """Return the names of the models in a list from outside.

    Args:
        listed: names, and dicts with the name as ``id`` or ``name``.

    Returns:
        The names in their order, without duplicates: at most 5,000 names of at most 256 printable characters, without
        secrets. Anything else is left out.
    """
    names: dict[str, None] = {}
    for one in listed:
        name = one.get("id") or one.get("name") if isinstance(one, Mapping) else one
        if isinstance(name, str) and _can_be_a_name(name):
            names[name] = None
            if len(names) == _MOST_NAMES:
                break
    # All names at once: looking for secrets in each one takes half a second for so many.
    shown = mask("\n".join(names)).split("\n")
    return [name for name, as_shown in zip(names, shown, strict=False) if name == as_shown]


async def read_models(pieces: AsyncIterator[bytes]) -> list[str]:
    """Return the names of the models in the JSON list that an endpoint sends.

    OpenAI and Anthropic put the list under ``data``; others put it under ``models`` or send only the list.

    Args:
        pieces: the response body in pieces.

    Returns:
        The names, filtered by `model_names`.

    Raises:
        StreamError: the body is too large, or contains no list.
    """
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > _LARGEST_LIST:
            raise StreamError(f"the list of models has more than {_LARGEST_LIST >> 20} MB")
    try:
        listed = json.loads(bytes(body))
    except (ValueError, RecursionError):
        listed = None
    if isinstance(listed, dict):
        listed = listed.get("data", listed.get("models"))
    if not isinstance(listed, list):
        raise StreamError("what came is no list of models: is the base URL right?")
    return model_names(listed)


def is_listed(model: str, models: Iterable[str]) -> bool:
    """Return whether a model is in a list, where it may have the prefix ``models/``, a date or the tag ``:latest``."""
    name = re.compile(rf"(?:models/)?{re.escape(model)}(?::latest|-\d{{8}})?")
    return any(name.fullmatch(listed) for listed in models)


async def _said_by(provider: ProviderType, name: str, timeout: float) -> list[Any] | None:  # noqa: ASYNC109 (likewise)
    """Return what a provider gives as its models; None if it gives nothing."""
    method = getattr(provider, "list_models", None)
    if callable(method):
        looks_after_it = accepts(method, "timeout")
        call = partial(method, timeout=timeout) if looks_after_it else method
        return await _called(call, name, timeout, grace=_PATIENCE if looks_after_it else 0.0)
    method = getattr(provider, "get_models", None)
    said = await _called(method, name, timeout) if callable(method) else None
    if said:
        return said
    others = getattr(provider, "providers", None)
    if callable(getattr(provider, "get_providers", None)) and isinstance(others, Collection):
        return await _said_by_others(others, timeout)
    return _as_list(getattr(provider, "models", None)) or None  # gpt4free's base class has an empty list


async def _called(call: Callable[[], Any], name: str, timeout: float, *, grace: float = 0.0) -> list[Any] | None:  # noqa: ASYNC109 (likewise)
    given = await within(timeout, _result_of(call), f"no list of models of {name}", grace=grace)
    listed = _as_list(given)
    if listed is None and given is not None:
        raise ProviderError(f"what {name} gives is no list of models, but of the type {type(given).__name__}")
    return listed


async def _result_of(call: Callable[[], Any]) -> Any:
    """Call a method and return its result: a coroutine function here, any other, which may block, in a thread."""
    given = call() if inspect.iscoroutinefunction(call) else await call_in_thread(call)
    return await given if inspect.isawaitable(given) else given


async def _said_by_others(others: Collection[ProviderType], timeout: float) -> list[Any] | None:  # noqa: ASYNC109 (likewise)
    told = await asyncio.gather(*(list_models(one, timeout) for one in others), return_exceptions=True)
    lists = [one for one in told if not isinstance(one, BaseException)]
    failures = [one for one in told if isinstance(one, BaseException)]
    if failures and not lists:
        raise failures[0]
    return [name for names in lists for name in names] if lists else None


def _as_list(given: Any) -> list[Any] | None:
    if isinstance(given, str):
        return [given] if given else None
    return list(given) if isinstance(given, Collection) and not isinstance(given, bytes | bytearray) else None


def _can_be_a_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable() and text == text.strip()


def _failure_of(exception: Exception, name: str) -> NbretryError:
    """Return nbretry's exception for whatever a provider raised instead of giving its list."""
    if isinstance(exception, NbretryError):
        if isinstance(exception, ProviderError) and exception.provider is None:
            exception.provider = name
        return exception
    message = f"{name} cannot say which models it has: {one_line(describe(exception))}"
    status = status_of(exception)
    if status is not None:
        return status_error(status, message, provider=name)
    kinds = (_BY_NAME[base.__name__] for base in type(exception).__mro__ if base.__name__ in _BY_NAME)
    return next(kinds, ProviderError)(message, provider=name)
