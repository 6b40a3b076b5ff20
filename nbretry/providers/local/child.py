"""The child process of `nbretry.providers.local.server`: llama.cpp behind a loopback port.

llama.cpp writes its log to the process's own file descriptors and takes the process down when it crashes, so it does
not run inside the kernel. Parent and child communicate as follows:

- The parent writes one line of JSON to standard input: the settings, see `Settings`.
- The child writes one line of JSON to its original standard output: ``{"address": …, "pid": …}``, or
  ``{"error": …, "missing": bool}``. All other output goes to standard error, which the parent has redirected to a log
  file.
- Standard input then stays open for as long as the parent needs the model. When it ends, the child exits. So the child
  is gone even if the parent was killed and could not stop it.

This file imports nothing else of nbretry: the parent runs it by its path, and it starts as fast as the interpreter.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn, TypedDict

__all__ = ["Settings", "main", "processor_limit", "spare_processors"]

_ORPHAN_CHECK = 0.5
"""Seconds between two checks that the parent still exists."""


class Settings(TypedDict):
    """The settings that the parent sends in its line.

    Attributes:
        model: path of the GGUF file.
        alias: the model's name in answers, so that they do not contain the path.
        api_key: the key that every request needs.
        n_ctx: context size of one conversation, in tokens.
        n_parallel: number of conversations to answer at the same time.
        n_threads: number of threads to compute with, or None for one fewer than the usable processors.
        sys_path: the parent's import path, so that the child finds whatever the parent can import.
    """

    model: str
    alias: str
    api_key: str
    n_ctx: int
    n_parallel: int
    n_threads: int | None
    sys_path: list[str]


def main() -> NoReturn:
    """Serve one model until standard input ends; never returns."""
    # A kernel's interrupt may reach every process that it started. It is meant for the cell, not for the model.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    report = os.dup(1)
    os.dup2(2, 1)
    if os.name == "posix":
        threading.Thread(target=_exit_when_orphaned, args=(os.getppid(),), daemon=True).start()

    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(0)
    settings: Settings = json.loads(line)
    sys.path.extend(entry for entry in settings["sys_path"] if entry not in sys.path)
    try:
        server = _serve(settings)
    except ModuleNotFoundError as exc:
        _say(report, {"error": str(exc), "missing": exc.name == "xllamacpp"})
        os._exit(1)
    except BaseException as exc:  # of any kind: the parent is waiting for a report
        _say(report, {"error": f"{type(exc).__name__}: {exc}", "missing": False})
        os._exit(1)
    _say(report, {"address": server.listening_address, "pid": os.getpid()})

    while os.read(0, 4096):
        pass
    os._exit(0)  # at once: a clean unload of the model would take time, and there is nothing to save


def _serve(settings: Settings) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    # Every user and every web page on this machine can reach the port: the key keeps them out.
    params.api_keys = [settings["api_key"]]
    params.n_parallel = settings["n_parallel"]
    params.n_ctx = settings["n_ctx"] * settings["n_parallel"]  # llama.cpp divides it among the conversations
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = settings["n_threads"] or _spare_processors()
        cpu.poll = 0  # threads that spin while waiting stall when other programs use the processors
    wishes = {
        "offline": True,  # the model is a file, nothing has to be downloaded
        "ui": False,
        "cors_origins": "",
        "cache_ram_mib": 256,  # for earlier prompts; llama.cpp's default is 8 GB
        "verbosity": 2,  # warnings and errors
    }
    for name, value in wishes.items():
        if hasattr(params, name):  # they are optional, and another release may have renamed them
            setattr(params, name, value)
    return xllamacpp.Server(params)


def _spare_processors() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return spare_processors(usable, processor_limit())


def spare_processors(usable: int, limit: float) -> int:
    """Return how many threads to compute with: one fewer than the processors, which the kernel and the browser get.

    Args:
        usable: number of processors that this process may run on.
        limit: number of processors whose time it may use, in total.
    """
    return max(1, int(min(usable, limit)) - 1)


def processor_limit(control_groups: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the number of processors whose time a container may use; infinity if nothing limits it.

    A container, such as Binder's, sees every processor of its host but gets the time of only one or two. With a thread
    for each processor that it sees, the model is several times slower than with one thread.

    Args:
        control_groups: directory where Linux gives the limits, in either of its two versions of control groups.
    """
    try:
        quota, period = (control_groups / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = (
                (control_groups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        except OSError:
            return math.inf
    try:
        return float(quota) / float(period) if float(quota) > 0 else math.inf
    except (ValueError, ZeroDivisionError):  # the word max
        return math.inf


def _say(report: int, message: dict[str, Any]) -> None:
    try:
        os.write(report, json.dumps(message).encode() + b"\n")
    except OSError:  # the parent no longer reads
        os._exit(1)
    os.close(report)


def _exit_when_orphaned(parent: int) -> None:
    """Exit when the parent is gone, even if a process that it forked still holds the other end of standard input.

    This polls, because Linux's own signal for it (``PR_SET_PDEATHSIG``) comes when the parent's *thread* ends. While
    llama.cpp loads the model it holds the interpreter's lock, so the exit then waits until the model is loaded.
    """
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK)
    os._exit(0)


if __name__ == "__main__":
    main()
