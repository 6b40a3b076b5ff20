"""The first cell of a test's notebook, run in its kernel: providers that keep a book about who asked them."""

import asyncio
import threading
import time

import nbretry
from nbretry.errors import APIConnectionError, AuthenticationError
from nbretry.providers import RetryProvider
from nbretry.retry.policy import RetryPolicy
from nbretry.types import FinishReason, ResponseInfo, Usage

SECRET = "sk-" + "0123456789abcdefghij"


class Book:
    """What the providers below saw."""

    opened = 0
    closed = 0
    prompts: list = []  # noqa: RUF012
    release = threading.Event()


class Provider:
    """Says these words, each after a delay, and then fails if it is to."""

    def __init__(self, name, words, delay=None, failure=None):
        self.name, self.words, self.delay, self.failure = name, words, delay, failure

    async def create_async_generator(self, model, messages, **options):
        Book.opened += 1
        Book.prompts.append(messages[-1]["content"])
        try:
            for word in self.words:
                if self.delay is not None:
                    await asyncio.sleep(self.delay)
                yield word
            if self.failure:
                raise self.failure
        finally:
            Book.closed += 1


class Pausing(Provider):
    """Says two words at once, is silent, and goes on."""

    async def create_async_generator(self, model, messages, **options):
        yield "one "
        yield "two "
        await asyncio.sleep(0.6)
        yield "three"


class Stubborn(Provider):
    """Takes its time when it is closed: until it is released, or half a minute."""

    async def create_async_generator(self, model, messages, **options):
        Book.opened += 1
        try:
            for word in self.words:
                await asyncio.sleep(self.delay)
                yield word
        finally:
            end = time.monotonic() + 30
            while not Book.release.is_set() and time.monotonic() < end:  # noqa: ASYNC110 (set by another thread)
                await asyncio.sleep(0.01)
            Book.closed += 1


class Counting(Provider):
    """Tells what a service tells beside the text."""

    async def create_async_generator(self, model, messages, **options):
        yield ResponseInfo(model="great-model-2", request_id="request-7")
        yield "Because of Rayleigh scattering."
        yield Usage(11, 6)
        yield FinishReason("stop")


class Echo:
    """Answers with what it was asked."""

    @classmethod
    def create_completion(cls, model, messages, **options):
        yield repr((model, messages, options))


class Blocked:
    """A synchronous provider that holds up its thread: until it is released, or half a minute."""

    @classmethod
    def create_completion(cls, model, messages, **options):
        Book.opened += 1
        try:
            yield "before "
            Book.release.wait(30)
            yield "after"
        finally:
            Book.closed += 1


def refused(name, message="nobody listens"):
    return Provider(name, [], failure=APIConnectionError(message))


for provider in (
    Provider("good", ["The ", "sky ", "is ", "**blue**."]),
    Provider("steady", [f"word{i} " for i in range(20)], delay=0.03),
    Provider("slow", [f"word{i} " for i in range(2000)], delay=0.02),
    Provider("fast", [f"tok{i % 10} " for i in range(2000)]),
    Provider("busy", [f"tok{i % 10} " for i in range(2000)], delay=0.0005),
    Provider("hung", ["never"], delay=600),
    Provider("broken", ["half an ", "ans"], failure=APIConnectionError("reset")),
    Provider("fading", ["half an ", "ans"], delay=0.3, failure=APIConnectionError("reset")),
    Provider("badkey", [], failure=AuthenticationError(f"wrong key {SECRET}", status_code=401)),
    Pausing("pausing", []),
    Stubborn("stubborn", [f"word{i} " for i in range(400)], delay=0.02),
    Counting("counting", []),
    refused("dead"),
):
    nbretry.register(provider.name, provider)
nbretry.register("echo", Echo)
nbretry.register("blocked", Blocked)
patient = RetryPolicy(max_attempts=3, backoff_initial=300.0, backoff_max=300.0)
nbretry.register("retrying", RetryProvider([refused("dead")], policy=patient))
