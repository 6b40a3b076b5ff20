"""`FaultServer` as a server: whose script it plays, what it remembers, what it bounds, and that it leaves nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import ExitStack, aclosing
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from heard import QUESTION, Ask
from raw_http import GENEROUS, connect, post, written
from unable import unable

from nbretry.errors import ConfigError, NotFoundError, ServerError
from nbretry.providers import AnthropicProvider
from nbretry.testing import FaultServer
from nbretry.types import Status


def test_each_model_has_its_own_script(ask: Ask) -> None:
    """With a mapping each model plays its own script, one play a request, and another model is unknown."""
    with FaultServer({"first": "500, 'one'", "second": "'two'"}) as server:
        first, second = server.provider("first"), AnthropicProvider("none", "second", base_url=server.origin)
        assert isinstance(ask(first).exception, ServerError)
        assert [ask(provider).text for provider in (second, first, first)] == ["two", "one", "one"]
        for third in (server.provider("third"), AnthropicProvider("none", "third", base_url=server.origin)):
            heard = ask(third)
            assert isinstance(heard.exception, NotFoundError)
            assert "third" in str(heard.exception)
        assert server.models == ["first", "second"]


def test_one_script_for_every_model(ask: Ask) -> None:
    """With one script the next request takes the next play, whatever model it names."""
    with FaultServer("'one', 'two'") as server:
        assert [ask(server.provider(model)).text for model in ("a", "b", "c")] == ["one", "two", "two"]
        assert server.provider().default_model == "simulated"


def test_the_list_of_models() -> None:
    """A client that names no model can ask which ones there are."""
    with FaultServer({"first": "ok", "second": "ok"}) as server:
        status, _, body = post(server, b"", "/v1/models", "GET")
        assert (status, [model["id"] for model in json.loads(body)["data"]]) == (200, ["first", "second"])


def test_requests_are_recorded_without_the_key(ask: Ask) -> None:
    """Every request can be looked at, and the keys that came with them are nowhere in it."""
    with FaultServer("ok") as server:
        ask(server.provider("m-1", api_key="a-key-that-is-secret-1"), temperature=0.5)
        ask(AnthropicProvider("a-key-that-is-secret-2", "m-2", base_url=server.origin))
        first, second = server.requests
    assert (first.method, first.path, first.model) == ("POST", "/v1/chat/completions", "m-1")
    assert first.messages == QUESTION
    assert first.body["temperature"] == 0.5
    assert first.headers["authorization"] == "[secret]"
    assert "[secret]" in second.headers.values()
    assert (second.path, second.model) == ("/v1/messages", "m-2")
    assert "a-key-that" not in repr([first, second])
    with pytest.raises(FrozenInstanceError):
        first.model = "other"  # type: ignore[misc]


def test_a_client_that_goes_away_is_noticed() -> None:
    """A stream that is closed or cancelled in the middle is closed at the server, too, which would not end it."""
    with FaultServer("'Hello' hang") as server:
        chunks = server.provider().create_completion("", QUESTION)
        assert next(chunks) == "Hello"
        assert server.open_streams == 1
        chunks.close()
        assert server.wait_until_idle(GENEROUS)
        assert server.open_streams == 0

        async def main() -> None:
            hearing = asyncio.Event()

            async def listen() -> None:
                async with aclosing(server.provider().create_async_generator("", QUESTION)) as chunks:
                    async for _ in chunks:
                        hearing.set()

            task = asyncio.create_task(listen())
            await hearing.wait()
            assert server.open_streams == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.wait_until_idle, GENEROUS)

        asyncio.run(main())


def test_waiting_for_an_answer_that_hangs_ends() -> None:
    """While an answer hangs and its client stays, the server is not idle, and waiting for that has an end."""
    with FaultServer("hang") as server, connect(server) as client:
        client.sendall(written({"model": "m"}))
        deadline = time.monotonic() + GENEROUS
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.open_streams == 1
        assert not server.wait_until_idle(0.05)


def test_connections_are_used_again() -> None:
    """One connection serves several requests, also where the next one is sent before the first is answered."""
    with FaultServer("delay=0.1 'one', 'two', 404") as server, connect(server) as client:
        client.sendall(written({"model": "m"}) + written({"model": "m"}))
        client.sendall(written({"model": "m"}, "/v1/chat/completions", "connection: close"))
        came = b"".join(iter(lambda: client.recv(65536), b""))
    assert came.count(b"HTTP/1.1 ") == 3
    assert came.index(b'"one"') < came.index(b'"two"') < came.index(b" 404 ")


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


def test_stopping_leaves_nothing() -> None:
    """Stopping breaks off what hangs, streams or is not even asked yet, and no thread, descriptor or port is left."""
    if sys.platform == "win32":
        unable("this system has no /dev/fd by which file descriptors could be counted")
    with FaultServer("ok") as server, connect(server):
        pass  # whatever Python opens once for all
    gc.collect()  # the connections of earlier tests
    threads, files = threading.enumerate(), open_files()
    with ExitStack() as clients:
        with FaultServer({"hang": "hang", "stall": "'a' hang", "alive": "keepalive"}) as server:
            for model in ("hang", "stall", "alive"):
                client = clients.enter_context(connect(server))
                client.sendall(written({"model": model, "stream": True}))
                if model != "hang":
                    assert client.recv(10) == b"HTTP/1.1 2"
            idle = clients.enter_context(connect(server))
            half = clients.enter_context(connect(server))
            half.sendall(b"POST /v1/chat")
            unread = clients.enter_context(connect(server))
        assert threading.enumerate() == threads
        assert server.open_streams == 0
        for client in (idle, half, unread):
            assert ended(client)
        with pytest.raises(ConnectionRefusedError):
            connect(server)
    assert open_files() == files


def ended(client: socket.socket) -> bool:
    """Whether the other side has closed the connection, in either way."""
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_stopping_while_a_client_does_not_read() -> None:
    """An answer that its client does not take in does not hold up the stop."""
    threads = threading.enumerate()
    with FaultServer([["x" * 1_000_000] * 30]) as server, connect(server) as client:
        client.sendall(written({"model": "m", "stream": True}))
        assert client.recv(10) == b"HTTP/1.1 2"
    assert threading.enumerate() == threads


def test_start_and_stop_by_hand() -> None:
    """A server is started and stopped by hand as well, again as well, and says where it is only once it is there."""
    server = FaultServer("'one', 'two'")
    assert repr(server) == "FaultServer(stopped, models=['simulated'])"
    with pytest.raises(RuntimeError, match="no address yet"):
        _ = server.url
    server.stop()
    try:
        assert server.start() is server
        assert repr(server) == f"FaultServer(origin='{server.origin}', models=['simulated'])"
        assert b'"one"' in post(server, {"model": "m"})[2]
        with pytest.raises(RuntimeError, match="running already"):
            server.start()
        with pytest.raises(OSError, match="in use"):
            FaultServer("ok", port=int(server.origin.rpartition(":")[2])).start()
        server.stop()
        server.stop()
        assert b'"two"' in post(server.start(), {"model": "m"})[2]
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: many\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n", 413),
        (b"POST /v1/chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 411),
        (written([1], "/v1/messages", "connection: close"), 400),
        (written({"model": "m"}, "/v1/nothing", "connection: close"), 404),
        (b"GET /v1/chat/completions HTTP/1.1\r\nconnection: close\r\n\r\n", 405),
        (written({"model": "m", "messages": [1], "stream_options": 2}, "/v1/messages", "connection: close"), 200),
    ],
)
def test_requests_that_are_none(request_: bytes, status: int) -> None:
    """What is no request for an answer is refused as by any server, and the next one is served."""
    with FaultServer("ok") as server:
        with connect(server) as client:
            client.sendall(request_)
            came = b"".join(iter(lambda: client.recv(65536), b""))
        assert came.startswith(b"HTTP/1.1 %d " % status)
        assert post(server, {"model": "m"})[0] == 200


def test_headers_without_end_are_not_kept() -> None:
    """A client that sends headers without end is hung up on."""
    with FaultServer("ok") as server, connect(server) as client:
        with pytest.raises(ConnectionError):
            client.sendall(b"x" * 20_000_000)
        assert server.requests == []


def test_connections_are_bounded() -> None:
    """Beyond 256 connections further ones are hung up on, and the others go on."""
    with FaultServer("ok") as server, ExitStack() as clients:
        first = clients.enter_context(connect(server))
        others = [clients.enter_context(connect(server)) for _ in range(256)]
        assert ended(others[-1])
        first.sendall(written({"model": "m"}, "/v1/chat/completions", "connection: close"))
        assert first.recv(12) == b"HTTP/1.1 200"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("okk", "unknown step 'okk'; did you mean ok?"),
        ({"m": "okk"}, "unknown step 'okk'"),
        ({}, "the server has no model"),
        ([], "no play"),
        ([[ValueError("own")]], "cannot send the step ValueError"),
        ([[Status("loading")]], "cannot send the step Status"),
    ],
)
def test_a_script_that_a_server_cannot_play(script: Any, message: str) -> None:
    """What cannot be played is refused at once and not at the first request."""
    with pytest.raises(ConfigError) as caught:
        FaultServer(script)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("patch", ["", "import nest_asyncio; nest_asyncio.apply()"], ids=["plain", "nest_asyncio"])
def test_in_a_notebooks_loop(patch: str) -> None:
    """In a running loop, patched or not, the server starts and serves, and a program ends that forgets to stop it."""
    program = f"""
    import asyncio, urllib.request
    {patch}
    from nbretry.testing import FaultServer

    def ask(server):
        request = urllib.request.Request(server.url + "/chat/completions", b'{{"model": "m"}}')
        with urllib.request.urlopen(request) as response:
            print(response.status)

    async def main():
        with FaultServer("ok") as server:
            ask(server)

    asyncio.run(main())
    kept = FaultServer("ok").start()
    ask(kept)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=4 * GENEROUS
    )
    assert (done.stdout, done.stderr, done.returncode) == ("200\n200\n", "", 0)
