"""A real language model on this machine that needs no key: llama.cpp in a child process, asked over loopback.

The child starts at the first question, and again if it has died. All providers with the same file and settings share
it.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigError,
    ImageInputError,
    ProviderError,
    StreamInterruptedError,
)
from nbretry.prompts.images import has_image
from nbretry.providers.local.model import DEFAULT_MODEL, ensure_model, find_model, found_files
from nbretry.providers.local.server import DEFAULT_CONTEXT, LocalServer
from nbretry.providers.openai import OpenAIProvider
from nbretry.retry import async_bridge
from nbretry.retry.contract import BaseProvider
from nbretry.retry.deadlines import Deadlines
from nbretry.types import Messages, Metadata, ResponseInfo, Status

__all__ = ["LocalProvider"]

_PATIENT = Deadlines(first_content=300.0, idle=300.0)
"""Default time limits, in seconds. Without an accelerator, a long prompt takes minutes before its first token."""

_LAST_BREATH = 0.1
"""Seconds to wait after a connection fails, until a child that died is known to be dead."""


@dataclass(frozen=True, slots=True)
class _Served:
    """A model that is being served.

    Attributes:
        asker: the provider that asks the server.
        name: the model's display name.
    """

    asker: OpenAIProvider
    name: str

    def named(self, chunk: Any) -> Any:
        """Return the chunk, with the model's display name in place of the file's name."""
        return replace(chunk, model=self.name) if isinstance(chunk, ResponseInfo) else chunk


class LocalProvider(BaseProvider):
    """A provider that asks a model file, which a child process of this process serves.

    It starts and downloads nothing until the first question. The default model, SmolLM2-135M-Instruct, is small: it
    answers simply and is often wrong. It is good for trying nbretry, for tests and for work without a network.

    Args:
        model_path: a GGUF file; by default the default model's, which is downloaded if it is not on this machine.
        name: the provider's name.
        n_ctx: context size of one conversation in tokens, prompt and answer together.
        max_tokens: maximum length of the answer in tokens if the question sets none, because small models may never
            stop.
        timeout: seconds without new data after which a request fails; a long prompt takes a while before the first
            token.
        deadlines: time limits for an attempt, in place of those of the `RetryProvider` or the session; by default
            300 seconds each for ``first_content`` and ``idle``.
        **server_options: further settings for `nbretry.providers.local.server.LocalServer.shared`.

    Example:
        >>> import asyncio
        >>> retry_provider = RetryProvider([LocalProvider(max_tokens=50)])
        >>> answer = asyncio.run(retry_provider.answer("", "Why is the sky blue?"))
        >>> answer.provider, answer.model
        ('local', 'SmolLM2-135M-Instruct')
    """

    supports_stream = True
    supports_response_format = True
    needs_auth = False

    def __init__(
        self,
        model_path: str | os.PathLike[str] | None = None,
        name: str = "local",
        *,
        n_ctx: int = DEFAULT_CONTEXT,
        max_tokens: int = 1024,
        timeout: float = 120.0,
        deadlines: Deadlines | None = None,
        **server_options: Any,
    ) -> None:
        self.name = name
        self.max_tokens = max_tokens
        self.timeout = timeout
        self.deadlines: Deadlines = deadlines or _PATIENT
        self._path = None if model_path is None else Path(model_path).expanduser().absolute()
        self.default_model: str = DEFAULT_MODEL.name if self._path is None else self._path.stem
        self._server_options = {"n_ctx": n_ctx, **server_options}
        self._found: Path | None = self._path
        # By file, with the URL: a restarted child listens on another port.
        self._askers: dict[Path, tuple[str, OpenAIProvider]] = {}

    supports_prefill = True
    """llama.cpp's server continues from a final assistant message."""

    def __repr__(self) -> str:
        return f"LocalProvider(name={self.name!r}, model={self.default_model!r})"

    def stream_chunks(
        self, model: str, messages: Messages, stream: bool = True, **options: Any
    ) -> Generator[Any, None, None]:
        """Ask, in synchronous code.

        Args:
            model: a path that ends in ``.gguf`` means that file; any other name means this provider's own model.
            messages: the conversation.
            stream: whether to stream the answer.
            **options: parameters of the request, such as ``temperature`` and ``max_tokens``.

        Yields:
            Non-empty strings, and `nbretry.types.Metadata`, with a `Status` while the model is downloaded or loaded.

        Raises:
            ImageInputError: a message has an image; nothing is downloaded or started.
            ProviderError: one of its subclasses; also if the model cannot be downloaded or started.
        """
        self._refuse_images(messages)
        options = self._options(options)
        for last_try in (False, True):
            served = self._running(model)
            if served is None:
                for step in self._starting(model):
                    if isinstance(step, _Served):
                        served = step
                    else:
                        yield step
            assert served is not None
            content_started = False
            try:
                with closing(served.asker.stream_chunks(served.name, messages, stream, **options)) as chunks:
                    for chunk in chunks:
                        content_started = content_started or not isinstance(chunk, Metadata)
                        yield served.named(chunk)
                return
            except ProviderError as error:
                if content_started or last_try or not _connection_failed(error):
                    raise
            time.sleep(_LAST_BREATH)

    async def astream_chunks(
        self, model: str, messages: Messages, stream: bool = True, **options: Any
    ) -> AsyncGenerator[Any, None]:
        """Ask, in asynchronous code; otherwise as `stream_chunks`. If you cancel it, loading continues."""
        self._refuse_images(messages)
        options = self._options(options)
        for last_try in (False, True):
            served = self._running(model)
            if served is None:
                steps = async_bridge.iterate_in_thread(lambda: self._starting(model))
                try:
                    async for step in steps:
                        if isinstance(step, _Served):
                            served = step
                        else:
                            yield step
                finally:
                    await async_bridge.aclose(steps)
            assert served is not None
            content_started = False
            try:
                asked = served.asker.astream_chunks(served.name, messages, stream, **options)
                async with aclosing(asked) as chunks:
                    async for chunk in chunks:
                        content_started = content_started or not isinstance(chunk, Metadata)
                        yield served.named(chunk)
                return
            except ProviderError as error:
                if content_started or last_try or not _connection_failed(error):
                    raise
            await asyncio.sleep(_LAST_BREATH)

    @property
    def model_path(self) -> Path | None:
        """The model file that the provider was given; None for the default model's."""
        return self._path

    def list_models(self) -> list[str]:
        """Return the provider's own model by name, downloaded or not, and other model files by path.

        Those are the files that it has served, and those in nbretry's cache. Nothing is started or downloaded. This
        reads files, so `nbretry.providers.models.list_models` calls it in a thread.

        Raises:
            ConfigError: there is no file at the path that the provider was given.
        """
        own = find_model(self._path)
        others = [file for file in dict.fromkeys([*self._askers, *found_files()]) if file != own and file.is_file()]
        return [self.default_model, *map(str, others)]

    def warm_up(self) -> None:
        """Load the SDK that asks the model, so that the first question does not wait for it. Nothing is started.

        Raises:
            ProviderError: the package cannot be loaded.
        """
        OpenAIProvider("http://127.0.0.1/v1", name=self.name).warm_up()

    def _refuse_images(self, messages: Messages) -> None:
        if has_image(messages):
            model = self.default_model
            message = f"{model} takes no images: name a provider whose model does"
            raise ImageInputError(message, provider=self.name, model=model)

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in options.items() if name != "api_key" and value is not None}
        if "max_completion_tokens" not in given:
            given.setdefault("max_tokens", self.max_tokens)
        return given

    def _file(self, model: str) -> Path | None:
        """Return the file that a model's name means; None if it is the default model's and not looked for yet."""
        return Path(model).expanduser().absolute() if model.lower().endswith(".gguf") else self._found

    def _running(self, model: str) -> _Served | None:
        """Return the model if it can be asked at once; None if something has to be downloaded or started first."""
        file = self._file(model)
        if file is None:
            return None
        with self._failing_as_provider():
            server = LocalServer.shared(file, **self._server_options)
            return self._served(server, server.start(), file) if server.alive else None

    def _starting(self, model: str) -> Iterator[Status | _Served]:
        """Yield each step until the model can be asked, and last the served model.

        This blocks, so asynchronous code iterates it in a thread.
        """
        with self._failing_as_provider():
            file = self._file(model) or find_model()
            if file is None:
                file = yield from _fetching()
            if not model.lower().endswith(".gguf"):
                self._found = file
            server = LocalServer.shared(file, **self._server_options)
            if not server.alive:
                yield Status("loading the model")
            yield self._served(server, server.start(), file)

    @contextmanager
    def _failing_as_provider(self) -> Iterator[None]:
        """Raise a wrong setting, too, as this provider's failure, so that the next provider is asked."""
        try:
            yield
        except ConfigError as error:
            raise ProviderError(str(error), provider=self.name, model=self.default_model) from error
        except APIConnectionError as error:
            error.provider, error.model = self.name, self.default_model
            raise

    def _served(self, server: LocalServer, url: str, file: Path) -> _Served:
        known = self._askers.get(file)
        if known is None or known[0] != url:
            asker = OpenAIProvider(
                url, server.api_key, server.alias, self.name, timeout=self.timeout, connect_timeout=5.0
            )
            known = self._askers[file] = url, asker
        own = file == self._found
        return _Served(known[1], self.default_model if own else file.stem)


def _fetching() -> Generator[Status, None, Path]:
    """Download the default model in a thread, yield the progress, and return the file."""
    steps: queue.SimpleQueue[Status | Path | Exception] = queue.SimpleQueue()
    told = -1

    def tell(done: int, total: int | None) -> None:
        nonlocal told
        percent = 100 * done // total if total else -1
        if percent > told:
            told = percent
            steps.put(Status(f"fetching the model, {min(percent, 100)} %"))

    def fetch() -> None:
        try:
            steps.put(ensure_model(tell))
        except Exception as error:
            steps.put(error)

    yield Status("fetching the model")
    threading.Thread(target=fetch, name="nbretry-fetch", daemon=True).start()
    while True:
        step = steps.get()
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Path):
            return step
        yield step


def _connection_failed(error: ProviderError) -> bool:
    return isinstance(error, APIConnectionError | StreamInterruptedError) and not isinstance(error, APITimeoutError)
