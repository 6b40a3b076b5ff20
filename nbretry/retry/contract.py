"""The contract of a provider, and how nbretry calls any object that fulfils it.

A provider is a class or an instance with at least one of ``create_completion`` (a generator), ``create_async`` (a
coroutine) or ``create_async_generator``. It does not have to inherit from anything; `BaseProvider` adds the missing
methods to classes that derive from it. nbretry reads the attributes of gpt4free's providers, each with a default.

A provider may also have a method ``list_models``, ordinary or a coroutine, that returns the names of the models that it
can be asked for. If it takes ``timeout``, nbretry passes the number of seconds it has. See `nbretry.providers.models`.
"""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from nbretry.retry import async_bridge
from nbretry.retry.deadlines import Deadlines
from nbretry.types import AsyncResult, CreateResult, HasCreateAsyncGenerator, Messages, Metadata, ProviderType

__all__ = [
    "BaseProvider",
    "NamedProvider",
    "accepts",
    "aiterate",
    "innermost",
    "is_content",
    "iterate",
    "passes_through",
    "problem_with",
    "provider_name",
    "resolve_model",
    "supports_stream",
    "warm_up",
]

_SYNC_METHODS = ("stream_chunks", "create_completion", "create_async_generator", "create_async")
_ASYNC_METHODS = ("astream_chunks", "create_async_generator", "create_async", "create_completion")
_ACCESSORS = ("get_create_function", "get_async_create_function")
_SYNCHRONOUS = {"stream_chunks", "create_completion", "create_function"}


class BaseProvider:
    """Base class for providers: write one of the three methods, as a class method or an ordinary one, to get all three.

    The class has no ``list_models``. Write it if ``default_model`` and ``model_aliases`` do not name all models of the
    provider: it takes no arguments, or ``timeout`` in seconds, and returns a list of names.

    Attributes:
        working: whether the provider is expected to work.
        supports_stream: whether it sends its answer in chunks.
        default_model: the model to ask if the request names none.
        model_aliases: other names for its models.

    Example:
        >>> class Shouting(BaseProvider):
        ...     @classmethod
        ...     async def create_async_generator(cls, model, messages, **options):
        ...         for word in messages[-1]["content"].split():
        ...             yield word.upper() + " "
        >>> "".join(Shouting.create_completion("", [{"role": "user", "content": "anybody there?"}]))
        'ANYBODY THERE? '
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
    create_async: Callable[..., Coroutine[Any, Any, str]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, make in _MISSING.items():
            if not hasattr(cls, name):
                setattr(cls, name, make)

    def warm_up(self) -> None:
        """Load what the first question needs, and nothing else. nbretry calls it in a thread before the first question.

        It must not open a connection, start anything or look for a key. By default it does nothing.
        """

    @async_bridge.class_or_instance_method
    def get_create_function(self) -> Callable[..., CreateResult]:
        """Return the synchronous generator function of this provider."""
        return self.create_completion

    @async_bridge.class_or_instance_method
    def get_async_create_function(self) -> Callable[..., AsyncResult]:
        """Return the asynchronous generator function of this provider."""
        return self.create_async_generator

    @async_bridge.class_or_instance_method
    def create_function(self, *args: Any, **kwargs: Any) -> CreateResult:
        """Call ``create_completion``, under gpt4free's name for it."""
        return self.create_completion(*args, **kwargs)

    @async_bridge.class_or_instance_method
    def async_create_function(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """Call ``create_async_generator``, under gpt4free's name for it."""
        return self.create_async_generator(*args, **kwargs)

    @async_bridge.class_or_instance_method
    def get_parent(self) -> str:
        """Return the name under which keys for this provider are stored."""
        return getattr(self, "parent", None) or provider_name(self)

    @async_bridge.class_or_instance_method
    def get_dict(self) -> dict[str, str | None]:
        """Return name, URL and label, in the form that gpt4free's clients expect."""
        return {"name": provider_name(self), "url": self.url, "label": self.label}


@async_bridge.class_or_instance_method
def _create_completion(
    self: ProviderType, /, model: str, messages: Messages, stream: bool = True, **kwargs: Any
) -> CreateResult:
    """Yield the chunks of the answer, for a provider that has only an asynchronous method."""
    chunks = iterate(self, model, messages, stream=stream, **kwargs)
    try:
        yield from filter(passes_through, chunks)
    finally:
        async_bridge.close(chunks)


@async_bridge.class_or_instance_method
async def _create_async_generator(
    self: ProviderType, /, model: str, messages: Messages, stream: bool = True, **kwargs: Any
) -> AsyncResult:
    """Yield the chunks of the answer, for a provider that has only a synchronous method or a coroutine."""
    chunks = aiterate(self, model, messages, stream=stream, **kwargs)
    try:
        async for chunk in chunks:
            if passes_through(chunk):
                yield chunk
    finally:
        await async_bridge.aclose(chunks)


@async_bridge.class_or_instance_method
async def _create_async(self: HasCreateAsyncGenerator, /, model: str, messages: Messages, **kwargs: Any) -> str:
    """Return the whole answer as text."""
    async with aclosing(self.create_async_generator(model, messages, **kwargs)) as chunks:
        return "".join([str(chunk) async for chunk in chunks])


_MISSING = {
    "create_completion": _create_completion,
    "create_async_generator": _create_async_generator,
    "create_async": _create_async,
}
_FILLED_IN = tuple(_MISSING.values())


def problem_with(provider: Any) -> str | None:
    """Return why this object can never answer, in one line that says what to do; None if it may.

    Args:
        provider: an object to be used as a provider.
    """
    try:
        _, without_loop = _function_of(provider, _SYNC_METHODS, _ACCESSORS)
        _, in_loop = _function_of(provider, _ASYNC_METHODS, _ACCESSORS[::-1])
    except TypeError as error:
        return str(error)
    except Exception:  # the provider's own code failed, and may work when it is asked
        return None
    if isinstance(provider, type) and _needs_an_instance(without_loop) and _needs_an_instance(in_loop):
        name = provider.__name__
        return f"the methods of {name} take an instance as self: give {name}() in place of the class"
    return None


def _needs_an_instance(function: Callable[..., Any]) -> bool:
    return inspect.isfunction(function) and next(iter(inspect.signature(function).parameters), "") == "self"


def provider_name(provider: ProviderType) -> str:
    """Return the provider's ``__name__``, otherwise its ``name``, otherwise the name of its class."""
    for attribute in ("__name__", "name"):
        value = getattr(provider, attribute, None)
        if isinstance(value, str) and value:
            return value
    return type(provider).__name__


def supports_stream(provider: ProviderType) -> bool:
    """Return whether the provider says that it sends its answer in chunks; True if it does not say."""
    return bool(getattr(provider, "supports_stream", True))


def resolve_model(provider: ProviderType, model: str) -> str:
    """Return the provider's own name for a model, or its default model if ``model`` is empty.

    If an alias stands for several models, one is chosen at random, as in gpt4free.
    """
    if not model:
        default = getattr(provider, "default_model", None)
        return default if isinstance(default, str) else ""
    aliases = getattr(provider, "model_aliases", None)
    chosen = aliases.get(model, model) if isinstance(aliases, Mapping) else model
    return str(random.choice(chosen)) if isinstance(chosen, list) else str(chosen)


class NamedProvider:
    """A provider under a name other than its own, such as the one that a session asks for ``-p NAME``.

    Args:
        name: the name that attempts and errors show.
        provider: the provider to ask; all other attributes are read from it.
        deadlines: for this name only; None for the provider's own attribute.
    """

    def __init__(self, name: str, provider: ProviderType, deadlines: Deadlines | None = None) -> None:
        self.__name__ = name
        self.provider = provider
        if deadlines is not None:
            self.deadlines = deadlines

    def __getattr__(self, name: str) -> Any:
        return getattr(self.provider, name)


def innermost(provider: ProviderType) -> ProviderType:
    """Return the provider itself, without any `NamedProvider` around it."""
    while isinstance(provider, NamedProvider):
        provider = provider.provider
    return provider


def warm_up(provider: ProviderType) -> None:
    """Load what a provider's first question needs; do nothing if it is not a `BaseProvider`.

    Raises:
        Exception: whatever `BaseProvider.warm_up` raises.
    """
    inner = innermost(provider)
    if isinstance(inner, BaseProvider):
        inner.warm_up()


def passes_through(chunk: Any) -> bool:
    """Return whether the contract's generators yield a chunk: it is truthy and not one of nbretry's `Metadata`."""
    return bool(chunk) and not isinstance(chunk, Metadata)


def is_content(chunk: Any) -> bool:
    """Return whether a chunk is part of the answer itself.

    A non-empty `str` is. A chunk of another type decides for itself: by an ``is_content`` attribute or method, or by an
    ``is_content`` function in the module that defines its type or a base of it (as for gpt4free's chunks).
    """
    if isinstance(chunk, str):
        return bool(chunk)
    if not chunk or isinstance(chunk, Metadata | BaseException):
        return False
    own = getattr(chunk, "is_content", None)
    if own is not None:
        return bool(own() if callable(own) else own)
    for base in type(chunk).__mro__:
        judge = getattr(sys.modules.get(base.__module__), "is_content", None)
        if callable(judge) and judge is not is_content:
            return bool(judge(chunk))
    return False


def iterate(provider: ProviderType, model: str, messages: Messages, /, **options: Any) -> Iterator[Any]:
    """Return the chunks of one call of a provider, for code without an event loop.

    A provider that is only asynchronous runs in its own event loop in another thread, so this works inside a running
    loop as well. Close the returned iterator with `async_bridge.close`, which closes the provider's stream.

    Raises:
        TypeError: the object has none of a provider's methods.
        Exception: whatever the provider raises.
    """
    _, function = _function_of(provider, _SYNC_METHODS, _ACCESSORS)
    return async_bridge.as_iterator(_call(function, model, messages, options))


def aiterate(provider: ProviderType, model: str, messages: Messages, /, **options: Any) -> AsyncIterator[Any]:
    """Return the chunks of one call of a provider, for code in an event loop.

    A provider that is only synchronous runs in a thread, so it does not block the loop. Close the returned iterator
    with `async_bridge.aclose`, which closes the provider's stream.

    Raises:
        TypeError: the object has none of a provider's methods.
        Exception: whatever the provider raises.
    """
    name, function = _function_of(provider, _ASYNC_METHODS, _ACCESSORS[::-1])
    if name in _SYNCHRONOUS and not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        return async_bridge.iterate_in_thread(lambda: _call(function, model, messages, options))
    return async_bridge.as_async_iterator(_call(function, model, messages, options))


def _call(function: Callable[..., Any], model: str, messages: Messages, options: dict[str, Any]) -> Any:
    if "stream" in options and not accepts(function, "stream"):
        options = {name: value for name, value in options.items() if name != "stream"}
    return function(model, messages, **options)


def accepts(function: Callable[..., Any], name: str) -> bool:
    """Return whether a function takes an argument of this name; True if that cannot be found out."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _function_of(
    provider: ProviderType, names: tuple[str, ...], accessors: tuple[str, ...]
) -> tuple[str, Callable[..., Any]]:
    """Return the function to call, preceded by the name of the method that it is or stands for.

    If the provider has its own accessor, and that returns a function other than the provider's methods, this function
    is used. Otherwise it is the first of ``names`` in the class nearest to the provider's own that defines any of them.
    The nearest class counts because a base class often derives the other methods from the one that was written, and
    the written one streams best. (In gpt4free 7.4, ``create_async`` of a synchronous provider waits for the whole
    answer.)
    """
    provider = innermost(provider)
    accessor, other = accessors
    methods = [(name, getattr(provider, name, None)) for name in names[1:]]
    given = _given_by(provider, accessor)
    if given and all(given[1] != function for _, function in methods):
        return given
    kind = provider if isinstance(provider, type) else type(provider)
    own = {} if isinstance(provider, type) else getattr(provider, "__dict__", {})
    for namespace in (own, *(vars(base) for base in kind.__mro__ if base is not BaseProvider)):
        for name in names:
            if name in namespace and namespace[name] not in _FILLED_IN and callable(getattr(provider, name)):
                return name, getattr(provider, name)
    if given:
        return given
    for name, function in methods:
        if inspect.getattr_static(provider, name, None) not in _FILLED_IN and callable(function):
            return name, function
    given = _given_by(provider, other)
    if given:
        return given
    raise TypeError(f"{provider_name(provider)} is no provider: it has none of {', '.join(names[1:])}")


def _given_by(provider: ProviderType, accessor: str) -> tuple[str, Callable[..., Any]] | None:
    """Return what a provider's own accessor returns, in the form of `_function_of`; None if it has no such accessor."""
    if inspect.getattr_static(provider, accessor, None) is vars(BaseProvider)[accessor]:
        return None
    get = getattr(provider, accessor, None)
    if not callable(get):
        return None
    function = get()
    if not callable(function):
        raise TypeError(f"{accessor} of {provider_name(provider)} gives nothing that can be called: {function!r}")
    return "create_completion" if accessor == _ACCESSORS[0] else getattr(function, "__name__", ""), function
