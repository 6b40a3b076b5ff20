"""The child process of `nbretry.providers.local.server`: llama.cpp behind a loopback port. Not for import.

llama.cpp writes its log to the process's own file descriptors and takes the process along when it crashes, so it does
not run inside the kernel. The talk with the parent is short:

- The parent writes one line of JSON to standard input: the settings, see `Settings`.
- This process writes one line of JSON to its first standard output: ``{"address": …, "pid": …}``, or
  ``{"error": …, "missing": bool}``. All other output goes to standard error, which the parent has made a log file.
- Standard input then stays open for as long as the parent wants the model. At its end this process exits, so it is
  gone also when the parent was killed and could not say goodbye.

The file imports nothing of nbretry: it is run by its path, and starts as fast as the interpreter does.
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
"""Seconds between two looks at who the parent is."""


class Settings(TypedDict):
    """What the parent says in its one line.

    Attributes:
        model: path of the GGUF file.
        alias: name that the model has in answers, so that they do not carry the path.
        api_key: the key without which nothing is answered.
        n_ctx: tokens that one conversation may have.
        n_parallel: conversations that are answered at the same time.
        n_threads: threads to compute with, or None for one fewer than there are processors to use.
        sys_path: the parent's import path, so that whatever the parent can import is found here too.
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
    # A kernel's interrupt may go to everything that was started from it. It is meant for the cell, not for the model.
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
    except BaseException as exc:  # whatever it is: the parent waits for a word
        _say(report, {"error": f"{type(exc).__name__}: {exc}", "missing": False})
        os._exit(1)
    _say(report, {"address": server.listening_address, "pid": os.getpid()})

    while os.read(0, 4096):
        pass
    os._exit(0)  # at once: unloading the model in order would take time, and there is nothing to save


def _serve(settings: Settings) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    # The port is open to every user and every web page of this machine: the key keeps them out.
    params.api_keys = [settings["api_key"]]
    params.n_parallel = settings["n_parallel"]
    params.n_ctx = settings["n_ctx"] * settings["n_parallel"]  # llama.cpp divides it among the conversations
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = settings["n_threads"] or _spare_processors()
        cpu.poll = 0  # threads that wait by spinning come to a standstill where other programs use the processors
    wishes = {
        "offline": True,  # the model is a file, nothing is to be fetched
        "ui": False,
        "cors_origins": "",
        "cache_ram_mib": 256,  # for prompts seen before; llama.cpp would take 8 GB
        "verbosity": 2,  # warnings and errors
    }
    for name, value in wishes.items():
        if hasattr(params, name):  # nothing fails without them, so another release may have renamed them
            setattr(params, name, value)
    return xllamacpp.Server(params)


def _spare_processors() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return spare_processors(usable, processor_limit())


def spare_processors(usable: int, limit: float) -> int:
    """How many threads are to compute: all but one, that is for the kernel and the browser.

    Args:
        usable: how many processors there are for this process.
        limit: of how many it may use the time.
    """
    return max(1, int(min(usable, limit)) - 1)


def processor_limit(control_groups: Path = Path("/sys/fs/cgroup")) -> float:
    """Processors whose time a container may use; infinite where nothing limits it.

    A container, as Binder's, sees every processor of its host and has the time of one or two: with a thread for each
    that is seen, the model is several times slower than with one.

    Args:
        control_groups: where Linux tells the limits, in either of its two versions of control groups.
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
    except OSError:  # nobody listens any more
        os._exit(1)
    os.close(report)


def _exit_when_orphaned(parent: int) -> None:
    """Exit when the parent is gone, even if a process that it forked still holds the other end of our standard input.

    Looked at from time to time, as the kernel's own signal for it (``PR_SET_PDEATHSIG``) comes with the end of the
    parent's *thread*. While llama.cpp loads the model it holds the interpreter's lock: then this comes after the load.
    """
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK)
    os._exit(0)


if __name__ == "__main__":
    main()
