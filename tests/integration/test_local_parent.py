"""The local model's process seen from outside: parents of their own that exit, fork, are interrupted or killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nbretry
from nbretry.providers.local.model import ensure_model

pytestmark = pytest.mark.local_model
posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and forks as POSIX has them")

ROOT = Path(nbretry.__file__).parents[1]

START = """
import os, sys
from nbretry.providers.local.server import LocalServer
server = LocalServer.shared(sys.argv[1], n_ctx=512, n_parallel=1)
"""


@pytest.fixture(scope="module")
def model() -> Path:
    return ensure_model()


def run_parent(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A parent of its own, in which every warning is an error."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )


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


def test_without_xllamacpp_the_command_is_named(model: Path, tmp_path: Path) -> None:
    """Where xllamacpp is not installed the error is one line with the command that installs it."""
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin") / "python"
    code = START + "try:\n    server.start()\nexcept Exception as exc:\n    print(type(exc).__name__, exc)\n"
    done = subprocess.run(
        [python, "-W", "error", "-c", code, model],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        'ConfigError the local model needs xllamacpp, which is not installed: pip install "nbretry[local]"'
    ]


def test_the_parent_stays_silent(model: Path) -> None:
    """A parent that starts, asks, starts again and exits writes nothing of llama.cpp's, and no warning."""
    code = START + (
        "server.start(); first = server.pid; server.stop(); server.start()\n"
        "assert server.pid != first\n"
        "print(server.pid)\n"
    )
    parent = run_parent(code, model)
    out, err = parent.communicate(timeout=60)
    assert parent.returncode == 0
    assert err == ""
    assert len(out.split()) == 1
    assert not runs(int(out))


@posix_only
def test_a_killed_parent_takes_the_model_along(model: Path) -> None:
    """When the parent is killed and can say nothing, the model's process is gone within two seconds."""
    parent = run_parent(START + "server.start(); print(server.pid, flush=True); sys.stdin.read()", model)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert runs(pid)
    parent.kill()
    parent.communicate()
    assert wait_until(lambda: not runs(pid), 2)


@posix_only
def test_what_the_parent_started_does_not_keep_the_model(model: Path) -> None:
    """Children that the parent started or forked outlive it, and still the model goes within two seconds."""
    code = START + (
        "import subprocess, time\n"
        "sleeping = [sys.executable, '-c', 'import sys; sys.stdin.read()']\n"
        "server.start()\n"
        "quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "kept = subprocess.Popen(sleeping, close_fds=False, **quiet)\n"
        "forked = os.fork()\n"
        "if forked == 0:\n"
        "    sys.stdin.read(); os._exit(0)\n"
        "print(server.pid, kept.pid, forked, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = run_parent(code, model)
    assert parent.stdout is not None
    assert parent.stdin is not None
    assert parent.stderr is not None
    pid, *others = map(int, parent.stdout.readline().split())
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not runs(pid), 2)
    assert all(runs(other) for other in others)
    parent.stdin.close()  # ends them
    assert wait_until(lambda: not any(runs(other) for other in others), 5)
    parent.stdout.close()
    parent.stderr.close()


@posix_only
def test_a_forked_child_leaves_the_parents_model_alone(model: Path) -> None:
    """A forked child sees no running model, ends without ending the parent's, and may start one of its own."""
    code = START + (
        "url, pid = server.start(), server.pid\n"
        "forked = os.fork()\n"
        "if forked == 0:\n"
        "    assert not server.alive\n"
        "    assert server.start() != url and server.pid != pid\n"
        "    sys.exit(0)\n"
        "assert os.waitpid(forked, 0)[1] == 0\n"
        "assert server.alive and server.start() == url and server.pid == pid\n"
        "print('same')\n"
    )
    parent = run_parent(code, model)
    out, err = parent.communicate(timeout=60)
    assert (out, err, parent.returncode) == ("same\n", "", 0)


@posix_only
def test_an_interrupt_of_the_group_does_not_end_the_model(model: Path) -> None:
    """An interrupt that goes to the parent's whole process group, as a kernel's does, leaves the model running."""
    code = START + (
        "import time\n"
        "url, pid = server.start(), server.pid\n"
        "try:\n"
        "    print(pid, flush=True)\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    print(server.alive and server.start() == url and server.pid == pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = run_parent(code, model, start_new_session=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert os.getpgid(pid) != parent.pid  # so that no other signal to the group ends it either
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.stdout.readline() == "True\n"
    os.kill(pid, signal.SIGINT)  # and one that is meant for it alone is passed over too
    assert not wait_until(lambda: not runs(pid), 0.3)
    out, err = parent.communicate("", timeout=10)
    assert (out, err, parent.returncode) == ("", "", 0)
    assert not runs(pid)


@posix_only
def test_an_interrupt_during_the_start_leaves_no_child(model: Path) -> None:
    """An interrupt while the model loads passes through at once, and neither a child nor a warning is left."""
    code = START + (
        "import threading, time, signal\n"
        "pids = []\n"
        "def interrupt():\n"
        "    while server._process is None: time.sleep(0.001)\n"
        "    pids.append(server._process.pid)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt).start()\n"
        "try:\n    server.start()\n"
        "except KeyboardInterrupt:\n    print(server.alive)\n"
        "try:\n    os.kill(pids[0], 0)\n"
        "except ProcessLookupError:\n    print('gone')\n"
    )
    parent = run_parent(code, model)
    out, err = parent.communicate(timeout=60)
    assert (out, err, parent.returncode) == ("False\ngone\n", "", 0)


def test_files_of_the_notebook_do_not_shadow_the_library(model: Path, tmp_path: Path) -> None:
    """In a directory with a `json.py` and an `xllamacpp.py` of the user's, the model starts as everywhere."""
    for name in ("json.py", "random.py", "xllamacpp.py"):
        (tmp_path / name).write_text("raise RuntimeError('the wrong one')\n")
    code = "import sys; sys.path.remove('')\n" + START + "server.start(); print(server.alive)\n"
    parent = run_parent(code, model, cwd=tmp_path)
    out, err = parent.communicate(timeout=60)
    assert (out, err) == ("True\n", "")
