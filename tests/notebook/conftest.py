"""Kernels for the tests of the notebook floor."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kernel import Kernel, kernel  # noqa: E402 (a module beside this one)

PROVIDERS = '''
import asyncio, nbretry
from nbretry.errors import APIConnectionError, AuthenticationError

class Book:
    """What the providers below saw."""
    opened = 0
    closed = 0

class Provider:
    def __init__(self, name, words, delay=0.0, failure=None):
        self.name, self.words, self.delay, self.failure = name, words, delay, failure

    async def create_async_generator(self, model, messages, **options):
        Book.opened += 1
        try:
            for word in self.words:
                await asyncio.sleep(self.delay)
                yield word
            if self.failure:
                raise self.failure
        finally:
            Book.closed += 1

class Echo:
    @classmethod
    def create_completion(cls, model, messages, **options):
        yield repr((model, messages, options))

SECRET = "sk-" + "0123456789abcdefghij"
nbretry.register("good", Provider("good", ["The ", "sky ", "is ", "**blue**."]))
nbretry.register("slow", Provider("slow", [f"word{i} " for i in range(400)], delay=0.02))
nbretry.register("hung", Provider("hung", ["never"], delay=600))
nbretry.register("dead", Provider("dead", [], failure=APIConnectionError("nobody listens")))
nbretry.register("badkey", Provider("badkey", [], failure=AuthenticationError(f"wrong key {SECRET}", status_code=401)))
nbretry.register("broken", Provider("broken", ["half an ans"], failure=APIConnectionError("reset")))
nbretry.register("echo", Echo)
'''


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(str(tmp_path_factory.mktemp("notebook")), PROVIDERS) as running:
        yield running


@pytest.fixture
def nb(shared_kernel: Kernel) -> Kernel:
    """The module's kernel, its counters at zero."""
    shared_kernel.run("Book.opened = Book.closed = 0")
    return shared_kernel
