"""What nbretry costs, beside the same work without it, in one run.

    python tests/benchmarks/overhead.py [--chunks 20000] [--rounds 15]

Prints, each as the median of rounds in which all cases take turns:
- nanoseconds for each chunk over a bare ``async for`` (or ``for``) over the same generator,
- microseconds from a provider's failure to the next one's request, beside a plain ``try``/``except`` around two calls,
- milliseconds of ``import nbretry`` and ``%load_ext nbretry`` in fresh processes,
- milliseconds of a cell ``%load_ext nbretry`` in new kernels beside an empty one's, and from the first question to its
  first content, asked at once and after a pause in which the SDK is loaded.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from nbretry.answer import Answer
from nbretry.providers import RetryProvider
from nbretry.retry.deadlines import Deadlines
from nbretry.testing import FaultServer

TOKENS: list[str] = []
DEADLINES = Deadlines(connect=10, first_content=60, idle=30, total=600)


class Plain:
    """Yields the tokens, awaiting nothing."""

    @staticmethod
    async def create_async_generator(model, messages, **options):
        for token in TOKENS:
            yield token


class PlainSync:
    """The same for code without an event loop."""

    @staticmethod
    def create_completion(model, messages, **options):
        yield from iter(TOKENS)


class Failing:
    """Fails before it has sent anything, and notes when."""

    failed_at = 0.0

    @classmethod
    async def create_async_generator(cls, model, messages, **options):
        cls.failed_at = time.perf_counter()
        raise ConnectionError("no")
        yield


class Next:
    """Notes when it is asked."""

    asked_at = 0.0

    @classmethod
    async def create_async_generator(cls, model, messages, **options):
        cls.asked_at = time.perf_counter()
        yield "yes"


async def bare() -> None:
    async for _ in Plain.create_async_generator("", []):
        pass


async def one_hop() -> None:
    async def hop():
        async for chunk in Plain.create_async_generator("", []):
            yield chunk

    async for _ in hop():
        pass


async def chunks() -> None:
    async for _ in RetryProvider([Plain, Plain], shuffle=False).create_async_generator("", []):
        pass


async def chunks_with_deadlines() -> None:
    chain = RetryProvider([Plain, Plain], shuffle=False, deadlines=DEADLINES)
    async for _ in chain.create_async_generator("", []):
        pass


async def events_and_fold_with_deadlines() -> None:
    answer = Answer()
    async for event in RetryProvider([Plain, Plain], shuffle=False, deadlines=DEADLINES).stream_events("", []):
        answer = answer.apply(event)
    assert len(answer.text) == sum(map(len, TOKENS))


async def chunks_hedged() -> None:
    async for _ in RetryProvider([Plain, Plain], shuffle=False, hedge_after=5).create_async_generator("", []):
        pass


async def events() -> None:
    async for _ in RetryProvider([Plain, Plain], shuffle=False).stream_events("", []):
        pass


async def events_and_fold() -> None:
    answer = Answer()
    async for event in RetryProvider([Plain, Plain], shuffle=False).stream_events("", []):
        answer = answer.apply(event)
    assert len(answer.text) == sum(map(len, TOKENS))


async def bare_sync() -> None:
    for _ in PlainSync.create_completion("", []):
        pass


async def chunks_sync() -> None:
    for _ in RetryProvider([PlainSync], shuffle=False).create_completion("", [], stream=True):
        pass


def per_chunk(rounds: int) -> None:
    cases: dict[str, tuple[Callable[[], Awaitable[None]], str]] = {
        "bare async for": (bare, ""),
        "one plain generator hop": (one_hop, "bare async for"),
        "create_async_generator": (chunks, "bare async for"),
        "  with deadlines": (chunks_with_deadlines, "bare async for"),
        "  with hedging": (chunks_hedged, "bare async for"),
        "stream_events": (events, "bare async for"),
        "stream_events and the fold": (events_and_fold, "bare async for"),
        "  the same with deadlines": (events_and_fold_with_deadlines, "bare async for"),
        "bare for": (bare_sync, ""),
        "create_completion": (chunks_sync, "bare for"),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, (case, _over) in cases.items():
            gc.collect()
            begun = time.perf_counter()
            asyncio.run(case())
            times[name].append((time.perf_counter() - begun) / len(TOKENS) * 1e9)
    print(f"{'case':<30}{'ns a chunk':>12}{'over bare':>12}{'ratio':>8}")
    for name, (_, over) in cases.items():
        median = statistics.median(times[name])
        if over:
            extra = statistics.median(a - b for a, b in zip(times[name], times[over], strict=True))
            ratio = statistics.median(a / b for a, b in zip(times[name], times[over], strict=True))
            print(f"{name:<30}{median:>12.0f}{extra:>12.0f}{ratio:>8.1f}")
        else:
            print(f"{name:<30}{median:>12.0f}")


def failover(rounds: int) -> None:
    async def ours() -> float:
        async for _ in RetryProvider([Failing, Next], shuffle=False).create_async_generator("", []):
            pass
        return Next.asked_at - Failing.failed_at

    async def plain() -> float:
        try:
            async for _ in Failing.create_async_generator("", []):
                pass
        except ConnectionError:
            async for _ in Next.create_async_generator("", []):
                pass
        return Next.asked_at - Failing.failed_at

    async def run() -> None:
        mine, theirs = [], []
        for _ in range(rounds * 20):
            mine.append(await ours() * 1e6)
            theirs.append(await plain() * 1e6)
        print(
            f"\nfrom a failure to the next request: {statistics.median(mine):.0f} µs"
            f" (a plain try/except: {statistics.median(theirs):.1f} µs)"
        )

    asyncio.run(run())


def loading(rounds: int) -> None:
    shell = "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance(); "
    timed = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"
    cases = {
        "import nbretry": timed.format("import nbretry"),
        "from nbretry.providers import RetryProvider": timed.format("from nbretry.providers import RetryProvider"),
        "%load_ext nbretry": shell + timed.format("s.run_line_magic('load_ext', 'nbretry')"),
        "import json (for scale)": timed.format("import json"),
    }
    print(f"\n{'in a fresh process':<46}{'ms':>8}")
    for name, code in cases.items():
        figures = [
            float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) * 1e3
            for _ in range(max(3, rounds // 3))
        ]
        print(f"{name:<46}{statistics.median(figures):>8.1f}")


def run_cell(client: BlockingKernelClient, cell: str) -> tuple[float, float]:
    """Milliseconds until a cell has ended, and until it has shown an answer."""
    answered: list[float] = []
    begun = time.perf_counter()

    def look(message: dict[str, Any]) -> None:
        if "nbretry-answer" in message["content"].get("data", {}).get("text/html", "") and not answered:
            answered.append((time.perf_counter() - begun) * 1e3)

    reply = client.execute_interactive(cell, output_hook=look, timeout=120)
    assert reply["content"]["status"] == "ok", reply["content"]
    return (time.perf_counter() - begun) * 1e3, answered[0] if answered else math.nan


def kernels(rounds: int) -> None:
    """New kernels, in turns: each has run one cell before, as a notebook's first cell waits for the kernel itself."""
    loads: dict[str, list[float]] = {"pass": [], "%load_ext nbretry": []}
    firsts: dict[float, list[float]] = {0.0: [], 3.0: []}
    with FaultServer({"model": "'Hello' ' world'"}) as server:
        environment = {**os.environ, "OPENAI_API_KEY": "none", "OPENAI_BASE_URL": server.url}
        for _ in range(rounds):
            for pause, answered in firsts.items():
                for cell, times in loads.items():
                    manager, client = start_new_kernel(kernel_name="python3", env=environment)
                    try:
                        run_cell(client, "import sys")
                        times.append(run_cell(client, cell)[0])
                        if cell != "pass":
                            time.sleep(pause)
                            answered.append(run_cell(client, "%%ask -m model\nHello?")[1])
                    finally:
                        client.stop_channels()
                        manager.shutdown_kernel(now=True)
    print(f"\n{'a cell in a new kernel':<46}{'ms':>8}{'over empty':>12}")
    for cell, times in loads.items():
        over = statistics.median(a - b for a, b in zip(times, loads["pass"], strict=True))
        print(f"{cell:<46}{statistics.median(times):>8.1f}" + (f"{over:>12.1f}" if cell != "pass" else ""))
    for pause, answered in firsts.items():
        label = f"first content, {pause:.0f} s after loading" if pause else "first content, at once after loading"
        print(f"{label:<46}{statistics.median(answered):>8.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="What nbretry costs.")
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    TOKENS.extend(f"w{i % 1000:03d} " for i in range(arguments.chunks))
    per_chunk(arguments.rounds)
    failover(arguments.rounds)
    loading(arguments.rounds)
    kernels(max(2, arguments.rounds // 3))


if __name__ == "__main__":
    main()
