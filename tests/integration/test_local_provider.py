"""`LocalProvider` with the real model: its first start, sharing, death and restart, and failed starts."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from heard import Ask

from nbretry import RetryProvider
from nbretry.errors import APIConnectionError, ProviderError
from nbretry.providers import LocalProvider, ScriptedProvider
from nbretry.providers.local.model import ensure_model
from nbretry.providers.local.server import LocalServer
from nbretry.types import Status

pytestmark = pytest.mark.local_model

QUESTION = [{"role": "user", "content": "Say hello."}]
SMALL: dict[str, Any] = {"n_ctx": 512, "n_parallel": 1}
SHORT: dict[str, Any] = {"max_tokens": 6, "temperature": 0}


@pytest.fixture(scope="module")
def file() -> Path:
    return ensure_model()


@pytest.fixture(scope="module")
def provider(file: Path) -> LocalProvider:
    """One child for the tests of this module; it ends with the process."""
    return LocalProvider(**SMALL)


def server_of(file: Path) -> LocalServer:
    return LocalServer.shared(file, **SMALL)


def test_the_first_question_starts_it(ask: Ask, provider: LocalProvider, file: Path) -> None:
    """The first question tells that the model is loaded, then it answers under its own name, with reason and usage."""
    server_of(file).stop()
    heard = ask(provider, "", QUESTION, **SHORT)
    assert heard.exception is None
    assert heard.chunks[0] == Status("loading the model")
    assert heard.text
    assert heard.info is not None
    assert heard.info.model == "SmolLM2-135M-Instruct"
    assert heard.finish_reason in ("length", "stop")
    assert heard.usage is not None
    assert heard.usage.completion_tokens


def test_the_next_question_finds_it_running(ask: Ask, provider: LocalProvider, file: Path) -> None:
    """A model that runs is asked at once, whatever model is named and whichever provider of this process asks."""
    ask(provider, "", QUESTION, **SHORT)
    pid = server_of(file).pid
    heard = ask(LocalProvider(file, "other", **SMALL), "gpt-4o", QUESTION, **SHORT)
    assert heard.text
    assert not any(isinstance(chunk, Status) for chunk in heard.chunks)
    assert server_of(file).pid == pid


def test_without_a_stream(ask: Ask, provider: LocalProvider) -> None:
    """Without a stream the answer is one chunk."""
    heard = ask(provider, "", QUESTION, stream=False, **SHORT)
    assert len([chunk for chunk in heard.chunks if isinstance(chunk, str)]) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_child_that_died_is_started_again(ask: Ask, provider: LocalProvider, file: Path) -> None:
    """After its process was killed the next question starts a new one and is answered."""
    ask(provider, "", QUESTION, **SHORT)
    pid = server_of(file).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    heard = ask(provider, "", QUESTION, **SHORT)
    assert heard.exception is None
    assert heard.text
    assert server_of(file).pid not in (None, pid)


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_child_that_dies_while_it_is_asked_is_started_again(provider: LocalProvider, file: Path) -> None:
    """A child that dies with a question on the way, before any text, is started again and the question put again."""
    list(provider.stream_chunks("", QUESTION, **SHORT))
    pid = server_of(file).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)

    async def main() -> str:
        task = asyncio.create_task(provider.create_async("", QUESTION, **SHORT))
        await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        return str(await task)

    assert asyncio.run(main())
    assert server_of(file).pid not in (None, pid)


def test_cancelling_while_it_loads(provider: LocalProvider, file: Path) -> None:
    """A task that is cancelled while the model loads ends at once, and the loading goes on for the next question."""
    server_of(file).stop()

    async def main() -> None:
        async def listen() -> None:
            async for _ in provider.astream_chunks("", QUESTION, **SHORT):
                loading.set()

        loading = asyncio.Event()
        task = asyncio.create_task(listen())
        await loading.wait()
        started = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.perf_counter() - started < 5

    asyncio.run(main())
    assert "".join(provider.create_completion("", QUESTION, **SHORT))


def test_a_file_by_its_path(ask: Ask, file: Path, tmp_path: Path) -> None:
    """A path that ends in ``.gguf``, as argument or as a model's name, is that file, and its name is the model's."""
    own = tmp_path / "my-model.gguf"
    shutil.copy(file, own)
    heard = ask(LocalProvider(own, **SMALL), "", QUESTION, **SHORT)
    assert heard.info is not None
    assert heard.info.model == "my-model"
    heard = ask(LocalProvider(**SMALL), str(own), QUESTION, **SHORT)
    assert heard.info is not None
    assert heard.info.model == "my-model"
    server_of(own).stop()


def test_a_failed_start_is_an_ordinary_failure(ask: Ask, tmp_path: Path) -> None:
    """A file that is missing, or is no model, fails this provider in one line, and the next one answers."""
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF and nothing else")
    for path, kind in ((tmp_path / "missing.gguf", ProviderError), (damaged, APIConnectionError)):
        provider = LocalProvider(path, **SMALL)
        exception = ask(provider, "", QUESTION).exception
        assert type(exception) is kind
        assert "\n" not in str(exception)
        assert path.name in str(exception)
        assert (exception.provider, exception.model) == ("local", path.stem)
        retry = RetryProvider([provider, ScriptedProvider("'saved'")], shuffle=False)
        assert "".join(retry.create_completion("", QUESTION)) == "saved"


def test_a_wrong_setting_is_an_ordinary_failure(ask: Ask, file: Path) -> None:
    """A setting that cannot be is this provider's failure in one line."""
    exception = ask(LocalProvider(file, n_ctx=0), "", QUESTION).exception
    assert type(exception) is ProviderError
    assert str(exception) == "n_ctx is 0; it must be 1 or more"


def test_nothing_is_started_before_a_question(tmp_path: Path) -> None:
    """Making a provider neither looks for the file nor starts anything."""
    provider = LocalProvider(tmp_path / "none.gguf")
    assert repr(provider) == "LocalProvider(name='local', model='none')"
    assert provider.default_model == "none"
