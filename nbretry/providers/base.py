"""What a provider is, whoever wrote it.

A provider is a class or an instance with at least one of ``create_completion`` (a generator), ``create_async`` (a
coroutine) or ``create_async_generator``. Nothing has to be inherited; `BaseProvider` fills in the rest for those who do.
The attributes read are those of gpt4free's providers, each with a default.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

from nbretry.providers import bridge
from nbretry.types import AsyncResult, CreateResult, Messages, Metadata, ProviderType

__all__ = [
    "BaseProvider",
    "aiterate",
    "is_content",
    "iterate",
    "passes_through",
    "provider_name",
    "resolve_model",
    "supports_stream",
]

_SYNC_METHODS = ("stream_chunks", "create_completion", "create_async_generator", "create_async")
_ASYNC_METHODS = ("astream_chunks", "create_async_generator", "create_async", "create_completion")
_ACCESSORS = {"get_create_function", "get_async_create_function"}


class BaseProvider:
    """A provider to derive from: write one of the three methods as a class method or an ordinary one, and the others work.

    Attributes:
        working: whether the provider is expected to work.
        supports_stream: whether it sends its answer in pieces.
        default_model: the model that is asked where none is named.
        model_aliases: other names for its models.
    """

    url: str | None = None
    label: str | None = None
    working: bool = True
    active_by_default: bool = True
    needs_auth: bool = False
    supports_stream: bool = True
    supports_message_history: bool = True
    supports_system_message: bool = True
    use_stream_timeout: bool = True
    live: int = 0
    default_model: str = ""
    model_aliases: dict[str, str] = {}  # noqa: RUF012 (gpt4free's providers replace it as a plain class attribute)

    create_completion: Callable[..., CreateResult]
    create_async_generator: Callable[..., AsyncResult]
    create_async: Callable[..., Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, make in _MISSING.items():
            if not hasattr(cls, name):
                setattr(cls, name, make)

    @bridge.class_or_instance_method
    def get_create_function(self) -> Callable[..., CreateResult]:
        """The synchronous generator function of this provider."""
        return self.create_completion

    @bridge.class_or_instance_method
    def get_async_create_function(self) -> Callable[..., AsyncResult]:
        """The asynchronous generator function of this provider."""
        return self.create_async_generator

    @bridge.class_or_instance_method
    def create_function(self, *args: Any, **kwargs: Any) -> CreateResult:
        """gpt4free's name for calling ``create_completion``."""
        return self.create_completion(*args, **kwargs)

    @bridge.class_or_instance_method
    def async_create_function(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """gpt4free's name for calling ``create_async_generator``."""
        return self.create_async_generator(*args, **kwargs)

    @bridge.class_or_instance_method
    def get_parent(self) -> str:
        """Name under which keys for this provider are filed."""
        return getattr(self, "parent", None) or provider_name(self)

    @bridge.class_or_instance_method
    def get_dict(self) -> dict[str, str | None]:
        """Name, URL and label, as gpt4free's clients ask for them."""
        return {"name": provider_name(self), "url": self.url, "label": self.label}


@bridge.class_or_instance_method
def _create_completion(
    self: ProviderType, model: str, messages: Messages, stream: bool = True, **kwargs: Any
) -> CreateResult:
    """The answer's chunks, one after the other, for a provider that has only an asynchronous method."""
    chunks = iterate(self, model, messages, stream=stream, **kwargs)
    try:
        yield from filter(passes_through, chunks)
    finally:
        bridge.close(chunks)


@bridge.class_or_instance_method
async def _create_async_generator(
    self: ProviderType, model: str, messages: Messages, stream: bool = True, **kwargs: Any
) -> AsyncResult:
    """The answer's chunks for a provider that has only a synchronous method, or one coroutine."""
    chunks = aiterate(self, model, messages, stream=stream, **kwargs)
    try:
        async for chunk in chunks:
            if passes_through(chunk):
                yield chunk
    finally:
        await bridge.aclose(chunks)


@bridge.class_or_instance_method
async def _create_async(self: ProviderType, model: str, messages: Messages, **kwargs: Any) -> str:
    """The whole answer."""
    async with aclosing(self.create_async_generator(model, messages, **kwargs)) as chunks:
        return "".join([str(chunk) async for chunk in chunks])


_MISSING = {
    "create_completion": _create_completion,
    "create_async_generator": _create_async_generator,
    "create_async": _create_async,
}
_FILLED_IN = tuple(_MISSING.values())


def provider_name(provider: ProviderType) -> str:
    """The provider's ``__name__``, else its ``name``, else the name of its class."""
    for attribute in ("__name__", "name"):
        value = getattr(provider, attribute, None)
        if isinstance(value, str) and value:
            return value
    return type(provider).__name__


def supports_stream(provider: ProviderType) -> bool:
    """Whether the provider says that it sends its answer in pieces; True where it does not say."""
    return bool(getattr(provider, "supports_stream", True))


def resolve_model(provider: ProviderType, model: str) -> str:
    """The provider's own name for a model, or its default where none is named.

    Where an alias stands for several models, one is chosen at random, as gpt4free does.
    """
    if not model:
        return getattr(provider, "default_model", None) or ""
    aliases = getattr(provider, "model_aliases", None) or {}
    chosen = aliases.get(model, model)
    return str(random.choice(chosen)) if isinstance(chosen, list) else str(chosen)


def passes_through(chunk: Any) -> bool:
    """Whether the contract's generators yield a chunk: if it is truthy and not one of our own about the answer."""
    return bool(chunk) and not isinstance(chunk, Metadata)


def is_content(chunk: Any) -> bool:
    """Whether a chunk is part of the answer itself.

    A non-empty `str` is. Of another type the chunk's own word counts: an ``is_content`` attribute or method, or the
    ``is_content`` function of the module that defines its type (gpt4free's chunks have theirs so).
    """
    if isinstance(chunk, str):
        return bool(chunk)
    if not chunk or isinstance(chunk, Metadata | BaseException):
        return False
    own = getattr(chunk, "is_content", None)
    if own is not None:
        return bool(own() if callable(own) else own)
    judge = getattr(inspect.getmodule(type(chunk)), "is_content", None)
    return bool(judge(chunk)) if callable(judge) else False


def iterate(provider: ProviderType, model: str, messages: Messages, **options: Any) -> Iterator[Any]:
    """The chunks of one call of a provider, for code without an event loop.

    A provider that is asynchronous only is run by an event loop of its own in another thread, so this works inside a
    running loop as well. Close what is returned with `bridge.close`, which closes the provider's stream.

    Raises:
        TypeError: the object has none of a provider's methods.
        Exception: whatever the provider raises.
    """
    function = _function_of(provider, _SYNC_METHODS, "get_create_function")
    return bridge.as_iterator(_call(function, model, messages, options))


def aiterate(provider: ProviderType, model: str, messages: Messages, **options: Any) -> AsyncIterator[Any]:
    """The chunks of one call of a provider, for code in an event loop.

    A provider that is synchronous only runs in a thread, so the loop is not held up. Close what is returned with
    `bridge.aclose`, which closes the provider's stream.

    Raises:
        TypeError: the object has none of a provider's methods.
        Exception: whatever the provider raises.
    """
    function = _function_of(provider, _ASYNC_METHODS, "get_async_create_function")
    if _is_synchronous(function):
        return bridge.iterate_in_thread(lambda: _call(function, model, messages, options))
    return bridge.as_async_iterator(_call(function, model, messages, options))


def _call(function: Callable[..., Any], model: str, messages: Messages, options: dict[str, Any]) -> Any:
    if "stream" in options and not _accepts(function, "stream"):
        options = {name: value for name, value in options.items() if name != "stream"}
    return function(model, messages, **options)


def _accepts(function: Callable[..., Any], name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _function_of(provider: ProviderType, names: tuple[str, ...], accessor: str) -> Callable[..., Any]:
    """The method to call: of the one that is nearest to the provider's own class, the first of ``names``.

    Nearest, because a base class often derives the other forms from the one that was written (in gpt4free's 7.4 line
    ``create_async`` of a synchronous provider waits for the whole answer), and the one that was written streams best.
    """
    kind = provider if isinstance(provider, type) else type(provider)
    own = {} if isinstance(provider, type) else getattr(provider, "__dict__", {})
    chunks, *contract = names
    for namespace in (own, *(vars(base) for base in kind.__mro__ if base is not BaseProvider)):
        if chunks in namespace:
            return _checked(getattr(provider, chunks))
        if accessor in namespace:
            return _checked(getattr(provider, accessor)())
        for name in contract:
            if name in namespace and namespace[name] not in _FILLED_IN:
                return _checked(getattr(provider, name))
    for name in contract:
        if inspect.getattr_static(provider, name, None) not in _FILLED_IN and hasattr(provider, name):
            return _checked(getattr(provider, name))
    raise TypeError(
        f"{provider_name(provider)} is no provider: it has none of create_completion, create_async, create_async_generator"
    )


def _checked(function: Any) -> Callable[..., Any]:
    if not callable(function):
        raise TypeError(f"{function!r} of a provider cannot be called")
    return function  # type: ignore[no-any-return]


def _is_synchronous(function: Callable[..., Any]) -> bool:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return False
    return getattr(function, "__name__", "") in ("create_completion", "create_function", "stream_chunks")
