"""The local model's child process, with the real model: fetched once for each machine, answered by llama.cpp."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nbretry
from nbretry._utils.redaction import mask
from nbretry.errors import APIConnectionError, ConfigError
from nbretry.providers.local.model import ensure_model
from nbretry.providers.local.server import LocalServer

pytestmark = pytest.mark.local_model
posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and forks as POSIX has them")

ROOT = Path(nbretry.__file__).parents[1]
SMALL = 512
"""Tokens of context: enough for these questions, and quick to set up."""


@pytest.fixture(scope="module")
def model() -> Path:
    return ensure_model()


@pytest.fixture
def server(model: Path) -> Iterator[LocalServer]:
    shared = LocalServer.shared(model, n_ctx=SMALL, n_parallel=1)
    yield shared
    shared.stop()


def ask(url: str, key: str | None, question: str = "Say hello.", max_tokens: int = 8) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": max_tokens}
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def text_of(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):  # where there is no /proc, one that nobody has waited for counts as running
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_it_starts_at_first_use_and_answers(model: Path) -> None:
    """Nothing runs before the first start, and after it the model answers a chat completion under its own name."""
    server = LocalServer.shared(model, n_ctx=SMALL + 64, n_parallel=1)  # which no other test uses
    assert not server.alive
    assert server.pid is None
    url = server.start()
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/v1")
    assert server.alive
    answer = ask(url, server.api_key)
    assert text_of(answer)
    assert answer["model"] == "SmolLM2-135M-Instruct.Q4_1"
    server.stop()


def test_only_the_key_opens_it(server: LocalServer) -> None:
    """Without the key another user of the machine gets nothing, and the key is masked wherever text is shown."""
    url = server.start()
    for key in (None, "another"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(url, key)
        assert caught.value.code == 401
        caught.value.close()
    assert mask(f"the key {server.api_key} leaked") == "the key [secret] leaked"


def test_one_child_for_one_model(model: Path, server: LocalServer, tmp_path: Path) -> None:
    """The same file, also by another path to it, is the same server, and other settings are another one."""
    assert LocalServer.shared(str(model), n_ctx=SMALL, n_parallel=1) is server
    if os.name == "posix":
        (tmp_path / "link.gguf").symlink_to(model)
        assert LocalServer.shared(tmp_path / "link.gguf", n_ctx=SMALL, n_parallel=1) is server
        assert LocalServer.shared(tmp_path / "link.gguf", n_ctx=3 * SMALL).alias == "link"
    assert LocalServer.shared(model, n_ctx=2 * SMALL, n_parallel=1) is not server


def test_threads_that_start_at_once_get_one_child(server: LocalServer) -> None:
    """Eight threads that start the model at the same time get the address of one child."""
    together = threading.Barrier(8)
    seen: list[tuple[str, int | None]] = []

    def start() -> None:
        together.wait()
        url = server.start()
        seen.append((url, server.pid))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_two_questions_at_once(model: Path) -> None:
    """Two questions that are asked at the same time are both answered."""
    server = LocalServer.shared(model, n_ctx=SMALL, n_parallel=2)
    try:
        url = server.start()
        answers: list[str] = []
        threads = [
            threading.Thread(target=lambda: answers.append(text_of(ask(url, server.api_key, max_tokens=24))))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 2
        assert all(answers)
    finally:
        server.stop()


@posix_only
def test_a_child_that_was_killed_starts_again(server: LocalServer) -> None:
    """After the child was killed it counts as dead, and the next start brings a new one that answers."""
    server.start()
    killed = server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    assert wait_until(lambda: not server.alive, 5)
    url = server.start()
    assert server.pid != killed
    assert text_of(ask(url, server.api_key))


def test_stop_ends_it_and_start_brings_it_back(server: LocalServer) -> None:
    """After `stop` the child is gone, a second `stop` does nothing, and `start` begins anew."""
    server.start()
    pid = server.pid
    assert pid is not None
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 5
    assert not runs(pid)
    assert not server.alive
    server.stop()
    assert text_of(ask(server.start(), server.api_key))


def test_a_start_that_takes_too_long_fails(server: LocalServer) -> None:
    """A start beyond its deadline is a connection error in one line, leaves no child, and can be tried again."""
    begin = time.monotonic()
    with pytest.raises(APIConnectionError, match=r"not loaded within 0\.01 seconds") as caught:
        server.start(timeout=0.01)
    assert time.monotonic() - begin < 15
    assert "\n" not in str(caught.value)
    assert not server.alive
    server.start()
    assert server.alive


def test_stop_ends_a_start_under_way(server: LocalServer) -> None:
    """A `stop` while another thread starts the model is not held up, and that start fails and does not hang."""
    failures: list[Exception] = []

    def start() -> None:
        try:
            server.start()
        except APIConnectionError as exc:
            failures.append(exc)

    starting = threading.Thread(target=start)
    starting.start()
    time.sleep(0.1)  # within the load, which takes half a second; before or after it the claim holds as well
    server.stop()
    starting.join(10)
    assert not starting.is_alive()
    assert not server.alive
    assert all("\n" not in str(failure) for failure in failures)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not a GGUF file"),
        (b"<html>no model here</html>", "is not a GGUF file"),
        (b"GGUF", "did not start: "),
        (b"GGUF" + b"\xff" * 4000, "did not start: "),
    ],
    ids=["empty", "web-page", "magic-alone", "nonsense"],
)
def test_a_file_that_is_no_model_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    """A file that is no model is a connection error in one line that names it, and never a hang."""
    file = tmp_path / "bad.gguf"
    file.write_bytes(content)
    server = LocalServer.shared(file)
    begin = time.monotonic()
    with pytest.raises(APIConnectionError, match=says) as caught:
        server.start()
    assert time.monotonic() - begin < 30
    message = str(caught.value)
    assert "bad.gguf" in message
    assert "\n" not in message
    assert len(message) < 400
    assert not server.alive


def test_a_file_that_is_cut_off_says_so(model: Path, tmp_path: Path) -> None:
    """A model that was copied in part fails with llama.cpp's own reason, and without the path to it."""
    file = tmp_path / "part.gguf"
    with model.open("rb") as whole:
        file.write_bytes(whole.read(3_000_000))
    with pytest.raises(APIConnectionError, match="corrupted or incomplete") as caught:
        LocalServer.shared(file).start()
    assert str(tmp_path) not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A path without a file is a wrong setting, said in one line."""
    with pytest.raises(ConfigError, match=r"give the path of a \.gguf file"):
        LocalServer.shared(tmp_path / "none.gguf").start()


def test_threads_share_a_failure(tmp_path: Path) -> None:
    """Threads that wait for a start that fails get that failure, each as an exception of its own."""
    file = tmp_path / "nonsense.gguf"
    file.write_bytes(b"GGUF" + b"\xff" * 4000)
    server = LocalServer.shared(file)
    together = threading.Barrier(4)
    failures: list[Exception] = []

    def start() -> None:
        together.wait()
        try:
            server.start()
        except APIConnectionError as exc:
            failures.append(exc)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 4
    assert len({id(failure) for failure in failures}) == 4
    assert len({str(failure) for failure in failures}) == 1
