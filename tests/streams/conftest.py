"""Both drivers for the tests of streams: what takes ``listen`` runs once without an event loop and once with one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from played import Heard, Listen, listen_async, listen_sync


@pytest.fixture(params=["sync", "async"])
def listen(request: pytest.FixtureRequest) -> Listen:
    """Asks a provider a question and gives what was heard: the chunks, and what was raised after them."""
    if request.param == "sync":
        return listen_sync

    def listen(provider: object, *args: object, **options: object) -> Heard:
        return asyncio.run(listen_async(provider, *args, **options))

    return listen


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("nbretry"):
            thread.join(2.0)
            assert not thread.is_alive(), f"{thread.name} is still running"
