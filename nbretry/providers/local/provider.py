"""A real language model on this machine, without any key: llama.cpp in a child process, asked over loopback.

The child is started at the first question, shared by all who ask for the same file, and started again if it has died.
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

from nbretry._errors import (
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
"""Without an accelerator a long prompt takes minutes before its first token."""

_LAST_BREATH = 0.1
"""Seconds from a child's last byte to its being known as dead."""


@dataclass(frozen=True, slots=True)
class _Served:
    """A model that is being served.

    Attributes:
        asker: what asks the server.
        name: the model's name for people.
    """

    asker: OpenAIProvider
    name: str

    def named(self, chunk: Any) -> Any:
        """The chunk, with the model's name for people in place of the file's."""
        return replace(chunk, model=self.name) if isinstance(chunk, ResponseInfo) else chunk


class LocalProvider(BaseProvider):
    """Asks a model file that is served by a child process of this one.

    Nothing is started, and nothing fetched, until the first question. The default model, SmolLM2-135M-Instruct, is
    small: it answers simply and is often wrong, which is good for trying, for testing and for work without a network.

    Args:
        model_path: a GGUF file; by default the default model's, which is fetched if it is not on this machine.
        name: the provider's name.
        n_ctx: tokens that one conversation may have, prompt and answer together.
        max_tokens: the longest answer in tokens where the question does not say, as small models may go on for ever.
        timeout: seconds without anything new after which a request counts as failed; a long prompt takes a while
            before the first token.
        deadlines: limits of an attempt in a `RetryProvider` or a session, in place of theirs; patient ones by default.
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
        # By file, with the address: a child that is started again listens elsewhere.
        self._askers: dict[Path, tuple[str, OpenAIProvider]] = {}

    supports_prefill = True
    """llama.cpp's server goes on from a last message of the assistant's own."""

    def __repr__(self) -> str:
        return f"LocalProvider(name={self.name!r}, model={self.default_model!r})"

    def stream_chunks(
        self, model: str, messages: Messages, stream: bool = True, **options: Any
    ) -> Generator[Any, None, None]:
        """Ask, for code without an event loop.

        Args:
            model: a path that ends in ``.gguf`` is that file; any other name means this provider's own model.
            messages: the conversation.
            stream: whether the answer is wanted in pieces.
            **options: parameters of the request, as ``temperature`` and ``max_tokens``.

        Yields:
            Non-empty strings, and `nbretry.types.Metadata`, a `Status` while the model is fetched or loaded among them.

        Raises:
            ImageInputError: a message has an image; nothing is fetched or started.
            ProviderError: one of its classes; also where the model cannot be fetched or started.
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
        """Ask, for code in an event loop; otherwise as `stream_chunks`. Where it is cancelled, loading goes on."""
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
        """The model file that it was given; None for the default model's."""
        return self._path

    def list_models(self) -> list[str]:
        """What it can be asked for: its own model by name, fetched or not, and other model files by their path.

        Those are the files that it has served, and those in nbretry's cache. Nothing is started and nothing fetched;
        files are looked at, so `nbretry.providers.models.list_models` calls this in a thread.

        Raises:
            ConfigError: there is no file at the path that it was given.
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
        """The file that a model's name means; None where it is the default model's and not looked for yet."""
        return Path(model).expanduser().absolute() if model.lower().endswith(".gguf") else self._found

    def _running(self, model: str) -> _Served | None:
        """What can be asked at once; None where something is to be fetched or started first."""
        file = self._file(model)
        if file is None:
            return None
        with self._failing_as_provider():
            server = LocalServer.shared(file, **self._server_options)
            return self._served(server, server.start(), file) if server.alive else None

    def _starting(self, model: str) -> Iterator[Status | _Served]:
        """What is done until the model can be asked, and last the model as it is served. Blocks; for a thread."""
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
        """A wrong setting, too, is this provider's failure: the next one is asked."""
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
    """Fetch the default model in a thread, and tell how far that is."""
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
