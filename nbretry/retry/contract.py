"""What a provider is, whoever wrote it.

A provider is a class or an instance with at least one of ``create_completion`` (a generator), ``create_async`` (a
coroutine) or ``create_async_generator``. Nothing has to be inherited; `BaseProvider` fills in the rest for those who
do. The attributes read are those of gpt4free's providers, each with a default.

Beside those a provider may have a method ``list_models``, ordinary or a coroutine, that gives the names of the models
that it can be asked for; one that takes ``timeout`` is told how many seconds it has. See `nbretry.providers.models`.
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
    """A provider to derive from: of the three methods write one, as a class method or an ordinary one; the others work.

    It has no ``list_models``, which is for those to write whose models are not known from ``default_model`` and
    ``model_aliases``: it takes nothing, or ``timeout`` in seconds, and gives a list of names.

    Attributes:
        working: whether the provider is expected to work.
        supports_stream: whether it sends its answer in pieces.
        default_model: the model that is asked where none is named.
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
        """Load what the first question needs, and only that: a session calls it in a thread before anything is asked.

        It opens no connection, starts nothing and looks for no key. By default it does nothing.
        """

    @async_bridge.class_or_instance_method
    def get_create_function(self) -> Callable[..., CreateResult]:
        """The synchronous generator function of this provider."""
        return self.create_completion

    @async_bridge.class_or_instance_method
    def get_async_create_function(self) -> Callable[..., AsyncResult]:
        """The asynchronous generator function of this provider."""
        return self.create_async_generator

    @async_bridge.class_or_instance_method
    def create_function(self, *args: Any, **kwargs: Any) -> CreateResult:
        """gpt4free's name for calling ``create_completion``."""
        return self.create_completion(*args, **kwargs)

    @async_bridge.class_or_instance_method
    def async_create_function(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """gpt4free's name for calling ``create_async_generator``."""
        return self.create_async_generator(*args, **kwargs)

    @async_bridge.class_or_instance_method
    def get_parent(self) -> str:
        """Name under which keys for this provider are filed."""
        return getattr(self, "parent", None) or provider_name(self)

    @async_bridge.class_or_instance_method
    def get_dict(self) -> dict[str, str | None]:
        """Name, URL and label, as gpt4free's clients ask for them."""
        return {"name": provider_name(self), "url": self.url, "label": self.label}


@async_bridge.class_or_instance_method
def _create_completion(
    self: ProviderType, /, model: str, messages: Messages, stream: bool = True, **kwargs: Any
) -> CreateResult:
    """The answer's chunks, one after the other, for a provider that has only an asynchronous method."""
    chunks = iterate(self, model, messages, stream=stream, **kwargs)
    try:
        yield from filter(passes_through, chunks)
    finally:
        async_bridge.close(chunks)


@async_bridge.class_or_instance_method
async def _create_async_generator(
    self: ProviderType, /, model: str, messages: Messages, stream: bool = True, **kwargs: Any
) -> AsyncResult:
    """The answer's chunks for a provider that has only a synchronous method, or one coroutine."""
    chunks = aiterate(self, model, messages, stream=stream, **kwargs)
    try:
        async for chunk in chunks:
            if passes_through(chunk):
                yield chunk
    finally:
        await async_bridge.aclose(chunks)


@async_bridge.class_or_instance_method
async def _create_async(self: HasCreateAsyncGenerator, /, model: str, messages: Messages, **kwargs: Any) -> str:
    """The whole answer."""
    async with aclosing(self.create_async_generator(model, messages, **kwargs)) as chunks:
        return "".join([str(chunk) async for chunk in chunks])


_MISSING = {
    "create_completion": _create_completion,
    "create_async_generator": _create_async_generator,
    "create_async": _create_async,
}
_FILLED_IN = tuple(_MISSING.values())


def problem_with(provider: Any) -> str | None:
    """Why this can never answer, in one line with what would be right; None where it may well.

    Args:
        provider: what somebody offers as a provider.
    """
    try:
        _, without_loop = _function_of(provider, _SYNC_METHODS, _ACCESSORS)
        _, in_loop = _function_of(provider, _ASYNC_METHODS, _ACCESSORS[::-1])
    except TypeError as error:
        return str(error)
    except Exception:  # of the provider's own code, which may do better when it is asked
        return None
    if isinstance(provider, type) and _needs_an_instance(without_loop) and _needs_an_instance(in_loop):
        name = provider.__name__
        return f"the methods of {name} take an instance as self: give {name}() in place of the class"
    return None


def _needs_an_instance(function: Callable[..., Any]) -> bool:
    return inspect.isfunction(function) and next(iter(inspect.signature(function).parameters), "") == "self"


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
        default = getattr(provider, "default_model", None)
        return default if isinstance(default, str) else ""
    aliases = getattr(provider, "model_aliases", None)
    chosen = aliases.get(model, model) if isinstance(aliases, Mapping) else model
    return str(random.choice(chosen)) if isinstance(chosen, list) else str(chosen)


class NamedProvider:
    """A provider under another name than its own: what a session's ``-p NAME`` asks.

    Args:
        name: the name that attempts and errors show.
        provider: who is asked; every attribute is its own.
        deadlines: for it alone; where there are none, its own attribute counts.
    """

    def __init__(self, name: str, provider: ProviderType, deadlines: Deadlines | None = None) -> None:
        self.__name__ = name
        self.provider = provider
        if deadlines is not None:
            self.deadlines = deadlines

    def __getattr__(self, name: str) -> Any:
        return getattr(self.provider, name)


def innermost(provider: ProviderType) -> ProviderType:
    """The provider itself, behind every other name that it was given."""
    while isinstance(provider, NamedProvider):
        provider = provider.provider
    return provider


def warm_up(provider: ProviderType) -> None:
    """Have a provider load what its first question needs; one that is not of ours has nothing to load.

    Raises:
        Exception: whatever `BaseProvider.warm_up` raises.
    """
    inner = innermost(provider)
    if isinstance(inner, BaseProvider):
        inner.warm_up()


def passes_through(chunk: Any) -> bool:
    """Whether the contract's generators yield a chunk: if it is truthy and not one of our own about the answer."""
    return bool(chunk) and not isinstance(chunk, Metadata)


def is_content(chunk: Any) -> bool:
    """Whether a chunk is part of the answer itself.

    A non-empty `str` is. Of another type the chunk's own word counts: an ``is_content`` attribute or method, or the
    ``is_content`` function of the module that defines its type or a base of it (gpt4free's chunks have theirs so).
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
    """The chunks of one call of a provider, for code without an event loop.

    A provider that is asynchronous only is run by an event loop of its own in another thread, so this works inside a
    running loop as well. Close what is returned with `async_bridge.close`, which closes the provider's stream.

    Raises:
        TypeError: the object has none of a provider's methods.
        Exception: whatever the provider raises.
    """
    _, function = _function_of(provider, _SYNC_METHODS, _ACCESSORS)
    return async_bridge.as_iterator(_call(function, model, messages, options))


def aiterate(provider: ProviderType, model: str, messages: Messages, /, **options: Any) -> AsyncIterator[Any]:
    """The chunks of one call of a provider, for code in an event loop.

    A provider that is synchronous only runs in a thread, so the loop is not held up. Close what is returned with
    `async_bridge.aclose`, which closes the provider's stream.

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
    """Whether a function takes an argument of this name; True where that cannot be told."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return True
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _function_of(
    provider: ProviderType, names: tuple[str, ...], accessors: tuple[str, ...]
) -> tuple[str, Callable[..., Any]]:
    """The function to call, after the name of the method that it is or stands for.

    That is what the provider's own accessor gives, where it has one that gives more than one of its methods. Otherwise,
    of the methods nearest to the provider's own class, the first of ``names``: nearest, because a base class often
    derives the other forms from the one that was written (in gpt4free's 7.4 line ``create_async`` of a synchronous
    provider waits for the whole answer), and the one that was written streams best.
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
    """What a provider's accessor gives, likewise; None where it has none but `BaseProvider`'s."""
    if inspect.getattr_static(provider, accessor, None) is vars(BaseProvider)[accessor]:
        return None
    get = getattr(provider, accessor, None)
    if not callable(get):
        return None
    function = get()
    if not callable(function):
        raise TypeError(f"{accessor} of {provider_name(provider)} gives nothing that can be called: {function!r}")
    return "create_completion" if accessor == _ACCESSORS[0] else getattr(function, "__name__", ""), function
