"""Hundreds of streams at once: each ends in its own whole answer or in a full error, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_server import FaultServer
from unable import unable

from nbretry import Answer, RetryProvider, RetryProviderError
from nbretry.providers import OpenAIProvider, ScriptedProvider

FAULTS = ["500", "cut-3", "refuse", "error-3", "429-2", "empty", "reset-3", "404"]
A_THIRD = [turn for fault in FAULTS for turn in ("echo", "echo", fault)]
"""One request in three fails, each time in another way; the others are answered with their own question."""

ROUNDS = 10
MOST = 500


@pytest.fixture
def _many_files() -> Iterator[None]:
    """Both ends of hundreds of connections are in this process."""
    try:
        import resource
    except ImportError:
        unable("the open files of a process cannot be counted here, as POSIX can")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if before[1] == resource.RLIM_INFINITY else min(4096, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], wanted), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def open_files() -> int:
    """How many files and sockets this process has open."""
    for directory in ("/proc/self/fd", "/dev/fd"):
        if Path(directory).is_dir():
            return len(os.listdir(directory))
    return 0


def blocks() -> int:
    """How many pieces of memory are in use."""
    gc.collect()
    return sys.getallocatedblocks()


async def settles(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether the condition comes true in time, while the loop goes on."""
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.02)
    return True


async def outcome_of(chain: RetryProvider, number: int) -> tuple[int, Answer | RetryProviderError]:
    try:
        return number, await chain.answer("", [{"role": "user", "content": f"question {number}"}])
    except RetryProviderError as error:
        return number, error


async def ask_many(chain: RetryProvider, count: int) -> tuple[list[Answer], list[RetryProviderError]]:
    """Ask so many different questions at once, and see that each ended in its own answer or in a full error."""
    answers: list[Answer] = []
    errors: list[RetryProviderError] = []
    for number, outcome in await asyncio.gather(*(outcome_of(chain, number) for number in range(count))):
        if isinstance(outcome, RetryProviderError):
            names = [provider.name for provider in chain.providers]
            assert list(outcome.exceptions) == names
            assert [attempt.provider for attempt in outcome.attempts] == names
            errors.append(outcome)
        else:
            assert json.loads(outcome.text)["messages"] == [{"role": "user", "content": f"question {number}"}]
            assert outcome.state == "completed"
            answers.append(outcome)
    return answers, errors


def check_run(main: Callable[[], Awaitable[None]], server: FaultServer | None = None) -> None:
    """Run it in an event loop, and see that no task, stream, thread or file is left of it."""

    async def run() -> None:
        await main()
        assert await settles(lambda: len(asyncio.all_tasks()) == 1), asyncio.all_tasks()
        assert server is None or await settles(lambda: server.open_streams == 0)

    gc.collect()
    files, threads = open_files(), threading.active_count()
    asyncio.run(run())
    gc.collect()
    if server is None:
        assert open_files() == files
    else:  # it notices a moment later that its clients have closed their connections
        assert server.wait_for(lambda _: open_files() <= files, 15), (files, open_files())
    assert threading.active_count() <= threads


def three_providers(server: FaultServer, turns: list[str]) -> list[Any]:
    providers = [OpenAIProvider(server.url, "none", name, name) for name in ("first", "second", "third")]
    server.turns.update({provider.name: turns for provider in providers})
    return providers


@pytest.mark.usefixtures("_many_files")
def test_over_http(server: FaultServer) -> None:
    """500 streams at once, a third of all requests faulty: every one ends well or in full, and nothing is left."""
    chain = RetryProvider(three_providers(server, A_THIRD), shuffle=False, on_break="restart")

    async def main() -> None:
        answers, errors = await ask_many(chain, MOST)
        assert len(answers) + len(errors) == MOST
        assert len(answers) > MOST / 2
        by = Counter(answer.provider for answer in answers)
        assert by["first"] == sum(len(answer.attempts) == 1 for answer in answers) > 0
        assert by["second"] > 0

    asyncio.run(outcome_of(chain, 0))  # loads the SDK and makes what is made once
    check_run(main, server)


@pytest.mark.usefixtures("_many_files")
def test_memory_stays_flat(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Round after round in one event loop takes no more memory, tasks or files than the first ones."""
    monkeypatch.setattr(logging.getLogger("nbretry"), "disabled", True)  # pytest keeps every record
    chain = RetryProvider(three_providers(server, A_THIRD), shuffle=False, on_break="restart")
    in_use: list[int] = []
    files: list[int] = []

    async def main() -> None:
        for _ in range(ROUNDS):
            await ask_many(chain, 32)
            assert await settles(lambda: server.open_streams == 0 and len(asyncio.all_tasks()) == 1)
            server.seen.clear()
            in_use.append(blocks())
            files.append(open_files())

    check_run(main, server)
    grown = max(in_use[-3:]) - max(in_use[2:5])
    assert grown < 2_000, in_use  # twelve for each question between
    assert max(files[-3:]) <= max(files[:5]) + 10, files


@pytest.mark.usefixtures("_many_files")
def test_hedged_over_http(server: FaultServer) -> None:
    """With hedging, where some hang and some fail, every question is answered or fails in full, and nothing is left."""
    turns = ["echo", "hang", "echo", "500", "stall-0", "echo", "refuse", "echo", "slow-300"]
    hedged = [*three_providers(server, turns)[:2], OpenAIProvider(server.url, "none", "echo", "third")]
    chain = RetryProvider(hedged, shuffle=False, hedge_after=0.05)

    async def main() -> None:
        outcomes = await asyncio.gather(*(outcome_of(chain, number) for number in range(150)))
        states: Counter[str] = Counter()
        for number, outcome in outcomes:
            assert isinstance(outcome, Answer), outcome
            assert outcome.text == "Hello wide world" or f'"question {number}"' in outcome.text
            states.update(attempt.state for attempt in outcome.attempts)
        assert states["answered"] == 150
        assert min(states["failed"], states["cancelled"]) > 0
        assert set(states) == {"answered", "failed", "cancelled"}

    asyncio.run(outcome_of(chain, 0))
    check_run(main, server)


SCRIPTS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "in order": (["500", "'All ' cut", "empty", "reset", "404"], {"on_break": "restart"}),
    "hedged": (["500", "hang", "empty", "reset", "404"], {"hedge_after": 0.05}),
}


@pytest.mark.parametrize(("faults", "options"), SCRIPTS.values(), ids=SCRIPTS)
def test_in_process(faults: list[str], options: dict[str, Any]) -> None:
    """500 streams at once over providers in this process: each ends whole or in full, and every stream is closed."""
    plays = [play for fault in faults for play in ("ok", "ok", fault)]
    scripts = [", ".join(plays * (MOST // len(plays) + 1)) for _ in range(2)]
    providers = [ScriptedProvider(script, name=name) for script, name in zip(scripts, ("first", "second"), strict=True)]
    providers.append(ScriptedProvider("ok", name="third") if "hedge_after" in options else providers[0])
    chain = RetryProvider(providers, shuffle=False, **options)

    async def main() -> None:
        outcomes = await asyncio.gather(*(outcome_of(chain, number) for number in range(MOST)))
        answers = [outcome for _, outcome in outcomes if isinstance(outcome, Answer)]
        assert {answer.text for answer in answers} == {"All is well."}
        assert len(answers) > MOST / 2
        for _, outcome in outcomes:
            assert isinstance(outcome, Answer) or len(outcome.attempts) == 3
            assert all(attempt.state in ("answered", "failed", "cancelled") for attempt in outcome.attempts)

    check_run(main)
    for provider in providers:
        assert provider.opened == provider.closed == len(provider.calls) > 0
