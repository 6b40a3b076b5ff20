"""Streams across the border in programs of their own: at the interpreter's end, and on a patched event loop."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
import time

import pytest


def run_script(script: str) -> tuple[str, str, float]:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr, time.monotonic() - begun


SOURCES = """
import asyncio, itertools, time
from nbretry.retry import async_bridge

async def asynchronous():
    for i in itertools.count():
        await asyncio.sleep(0.001)
        yield i

def synchronous():
    for i in itertools.count():
        time.sleep(0.001)
        yield i
"""


def test_the_interpreter_ends_with_streams_still_open() -> None:
    """A program that ends in the middle of a stream ends at once and quietly."""
    out, err, seconds = run_script(
        SOURCES
        + """
chunks = async_bridge.as_iterator(asynchronous())
kept = [next(chunks), chunks]

async def main():
    other = async_bridge.iterate_in_thread(synchronous)
    kept.append(other)
    print(await anext(other))

asyncio.run(main())
print("end")
"""
    )
    assert (out, err) == ("0\nend\n", "")
    assert seconds < 20


@pytest.mark.parametrize("patch", ["nest_asyncio2", "nest_asyncio"])
def test_it_works_on_a_patched_loop(patch: str) -> None:
    """Both directions work in a loop that is patched to run nested, also one inside the other."""
    importlib.import_module(patch)
    out, err, _ = run_script(
        SOURCES
        + f"""
import {patch}

async def read():
    return [i async for i in async_bridge.as_async_iterator(itertools.islice(synchronous(), 3))]

def inner():
    chunks = async_bridge.as_iterator(asynchronous())
    taken = list(itertools.islice(chunks, 3))
    async_bridge.close(chunks)
    return taken + asyncio.get_event_loop().run_until_complete(read())

async def main():
    print(inner(), await read(), inner())

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
{patch}.apply(loop)
loop.run_until_complete(main())
loop.close()
"""
    )
    assert out == "[0, 1, 2, 0, 1, 2] [0, 1, 2] [0, 1, 2, 0, 1, 2]\n"
    assert err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="a signal to oneself is a POSIX matter")
@pytest.mark.parametrize("call", ["hang()", "wait()"])
def test_an_interrupt_from_the_keyboard_gets_through(call: str) -> None:
    """Whoever waits for an asynchronous source that says nothing is interrupted at once, and the source is closed."""
    out, err, _ = run_script(
        f"""
import asyncio, os, signal, threading, time
from nbretry.retry import async_bridge

begun = threading.Event()

async def hang():
    try:
        begun.set()
        await asyncio.sleep(60)
        yield "never"
    finally:
        print("closed")

async def wait():
    try:
        begun.set()
        await asyncio.sleep(60)
    finally:
        print("closed")

def press():
    begun.wait()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press).start()
try:
    for chunk in async_bridge.as_iterator({call}):
        print(chunk)
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert (out, err) == ("closed\ninterrupted\n", "")
