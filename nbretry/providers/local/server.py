"""The parent's side of a local model: one child process for each model and settings, shared by its providers.

The child is `nbretry.providers.local.child`. It starts at the first use, and again at the next use if it has died. It
ends with this process: normally through ``atexit``, and also if this process is killed, because its standard input then
ends.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any, ClassVar

from nbretry._utils.redaction import remember_secret
from nbretry.errors import APIConnectionError, ConfigError
from nbretry.providers.local import child

__all__ = ["DEFAULT_CONTEXT", "START_TIMEOUT", "LocalServer"]

DEFAULT_CONTEXT = 4096
"""Context size of one conversation in tokens, prompt and answer together."""

START_TIMEOUT = 120.0
"""Seconds that a model may take to load; large models on a slow disk take a minute."""

_PATIENCE = 2.0
"""Seconds that a child has to exit by itself before it is killed."""

_LONGEST_REASON = 300


class LocalServer:
    """One model file, served by a child process on a port of this machine.

    Get it with `shared`: a process has one server for each model and settings, and so one copy of the model in memory.
    You can call all methods from any thread.

    Attributes:
        path: the GGUF file.
        alias: the model's name in its answers: the file's name without its suffix.
        api_key: the key that the server requires. It is generated for this process, and masked wherever text is shown.
    """

    _shared: ClassVar[dict[tuple[str, int, int, int | None], LocalServer]] = {}
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path, n_ctx: int, n_parallel: int, n_threads: int | None) -> None:
        self.path = path
        self.alias = path.stem
        self.api_key = secrets.token_urlsafe(24)
        remember_secret(self.api_key)
        self._n_ctx = n_ctx
        self._n_parallel = n_parallel
        self._n_threads = n_threads
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._url: str | None = None
        self._failures = 0
        self._last_failure: tuple[type[APIConnectionError | ConfigError], str] | None = None

    @classmethod
    def shared(
        cls,
        path: str | os.PathLike[str],
        *,
        n_ctx: int = DEFAULT_CONTEXT,
        n_parallel: int = 2,
        n_threads: int | None = None,
    ) -> LocalServer:
        """Return this process's server for a model; nothing is started yet.

        Args:
            path: a GGUF file.
            n_ctx: context size of one conversation in tokens, prompt and answer together.
            n_parallel: number of conversations to answer at the same time, each with memory for ``n_ctx`` tokens;
                further ones wait.
            n_threads: number of threads to compute with; by default one fewer than the usable processors, because a
                thread that has to wait for its processor delays all the others.

        Raises:
            ConfigError: a number is not positive.
        """
        for name, value in (("n_ctx", n_ctx), ("n_parallel", n_parallel), ("n_threads", n_threads)):
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be 1 or more")
        given = Path(path).expanduser().absolute()  # not resolved: a model cache links names to files named by a hash
        key = (os.path.realpath(given), n_ctx, n_parallel, n_threads)
        with cls._shared_lock:
            if key not in cls._shared:
                cls._shared[key] = cls(given, n_ctx, n_parallel, n_threads)
            return cls._shared[key]

    @property
    def alive(self) -> bool:
        """Whether the model is loaded and its process is running."""
        return self._running_url() is not None

    @property
    def pid(self) -> int | None:
        """Process ID of the child; None if no child is running."""
        return self._pid if self.alive else None

    def start(self, timeout: float = START_TIMEOUT) -> str:
        """Start the child unless it is already running, and wait until the model is loaded.

        Threads that call this at the same time get the same child, or the same failure.

        Args:
            timeout: seconds after which a start counts as failed.

        Returns:
            The base URL for an OpenAI client, such as ``http://127.0.0.1:PORT/v1``.

        Raises:
            APIConnectionError: the file is not a model or is damaged, or the child failed or took too long. The message
                is one line.
            ConfigError: the file does not exist or cannot be read, or ``xllamacpp`` is not installed. The message is
                one line that says what to do.
        """
        url = self._running_url()
        if url is not None:
            return url
        failures = self._failures
        with self._lock:
            url = self._running_url()
            if url is not None:
                return url
            if self._failures != failures and self._last_failure is not None:
                kind, message = self._last_failure  # another thread tried while this one waited for the lock
                raise kind(message)
            self._end(patience=0)  # clean up after a child that died
            try:
                return self._launch(timeout)
            except (APIConnectionError, ConfigError) as exc:
                self._failures += 1
                self._last_failure = (type(exc), str(exc))
                raise

    def stop(self) -> None:
        """End the child and wait until it is gone; a start that is in progress in another thread fails.

        The next `start` starts a new child.
        """
        while not self._lock.acquire(timeout=0.05):
            process = self._process
            if process is not None:
                process.kill()
        try:
            self._end(patience=_PATIENCE)
        finally:
            self._lock.release()

    def _running_url(self) -> str | None:
        process, url = self._process, self._url
        return url if process is not None and url is not None and process.poll() is None else None

    def _launch(self, timeout: float) -> str:
        self._refuse_unless_gguf()
        try:
            with tempfile.TemporaryFile() as log:
                return self._launch_with_log(log, timeout)
        except OSError as exc:
            raise APIConnectionError(f"the local model could not be started: {exc.strerror or exc}") from exc

    def _launch_with_log(self, log: IO[bytes], timeout: float) -> str:
        process = _spawn(log)
        self._process = process
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # the child has ended, and the log says why
                process.stdin.write(json.dumps(self._settings()).encode() + b"\n")
                process.stdin.flush()
            report = _report_of(process, timeout)
            if report is None:
                raise APIConnectionError(
                    f"the local model {self.alias} was not loaded within {timeout:g} seconds; "
                    "give it more time or use a smaller file"
                )
            if "address" not in report:
                process.kill()
                process.wait()  # so that its last output is in the log
                raise self._failure_from(report, process.returncode, log)
            self._pid = report["pid"]
            self._url = f"{report['address']}/v1"
            return self._url
        except BaseException:  # not even an interrupt may leave a child behind
            process.kill()
            self._end(patience=_PATIENCE)
            raise

    def _settings(self) -> child.Settings:
        return {
            "model": str(self.path),
            "alias": self.alias,
            "api_key": self.api_key,
            "n_ctx": self._n_ctx,
            "n_parallel": self._n_parallel,
            "n_threads": self._n_threads,
            "sys_path": [os.path.abspath(entry) for entry in sys.path if entry],
        }

    def _refuse_unless_gguf(self) -> None:
        try:
            with self.path.open("rb") as file:
                magic = file.read(4)
        except FileNotFoundError:
            raise ConfigError(f"there is no file {self.path}; give the path of a .gguf file") from None
        except OSError as exc:
            raise ConfigError(f"the model file {self.path} cannot be read: {exc.strerror}") from exc
        if magic != b"GGUF":
            raise APIConnectionError(
                f"the local model {self.path.name} is not a GGUF file: a file that llama.cpp reads begins with GGUF"
            )

    def _failure_from(
        self, report: dict[str, Any], returncode: int, log: IO[bytes]
    ) -> APIConnectionError | ConfigError:
        if report.get("missing"):
            return ConfigError('the local model needs xllamacpp, which is not installed: pip install "nbretry[local]"')
        log.seek(0)
        text = log.read().decode(errors="replace")
        reason = _reason_in(text) or report.get("error") or _death(returncode, text)
        reason = " ".join(reason.replace(str(self.path), self.path.name).split())[:_LONGEST_REASON]
        return APIConnectionError(f"the local model {self.path.name} did not start: {reason}")

    def _end(self, patience: float) -> None:
        """End the child and close its pipes. The caller holds the lock."""
        process, self._process = self._process, None
        self._pid = self._url = None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):  # a child that died may not have read its settings
            process.stdin.close()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _disown(self) -> None:
        """Give up the model's process after a fork: it belongs to the parent, so the fork neither uses nor ends it."""
        self._lock = threading.Lock()  # another thread may have held it at the fork
        process, self._process = self._process, None
        self._pid = self._url = None
        if process is None:
            return
        process.returncode = 0  # it is not a child of this process; without this, Popen would warn
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()  # or the model would live as long as this process


def _spawn(log: IO[bytes]) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise ConfigError("the local model needs a Python interpreter that can be started, and sys.executable is empty")
    options: dict[str, Any] = {}
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    else:
        options["start_new_session"] = True  # an interrupt of the kernel goes to its whole process group
    # By its path and with -P, so that Python searches neither the notebook's directory nor the file's own for modules:
    # a random.py there would shadow the standard library's.
    command = [sys.executable, "-P", child.__file__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, **options)


def _report_of(process: subprocess.Popen[bytes], timeout: float) -> dict[str, Any] | None:
    """Return the child's report; None if nothing came in time, ``{}`` if it ended or wrote something else."""
    assert process.stdout is not None
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    readline = process.stdout.readline
    # In a thread: not every platform can wait for a pipe with a timeout. It ends with the child's first line or death.
    threading.Thread(target=lambda: lines.put(readline()), name="nbretry-local-start", daemon=True).start()
    try:
        line = lines.get(timeout=timeout)
    except queue.Empty:
        return None
    with contextlib.suppress(ValueError):
        report = json.loads(line)
        if isinstance(report, dict):
            return report
    return {}


_LOG_ERROR = re.compile(r"^[\d.]+ E +(?:(?:srv|cmn|slot) +)?(?:[\w()]+: *)?(?P<reason>.+)$", re.MULTILINE)
_ABORT = re.compile(r"^.*(?:GGML_ASSERT|GGML_ABORT|what\(\):|MemoryError|bad_alloc).*$", re.MULTILINE)


def _reason_in(log: str) -> str | None:
    """Return the line of llama.cpp's log that says why: an abort, or else the first error, which causes later ones."""
    abort = _ABORT.search(log)
    if abort:
        return abort.group().strip()
    error = _LOG_ERROR.search(log)
    return error["reason"].strip() if error else None


def _death(returncode: int, log: str) -> str:
    """Describe how a child ended that reported nothing, with the last line of its log."""
    if returncode >= 0:
        how = f"its process ended with status {returncode}"
    else:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        hints = {
            "SIGKILL": " (memory may have run out)",
            "SIGILL": " (this processor may be too old for this build of xllamacpp)",
        }
        how = f"its process was ended by {name}{hints.get(name, '')}"
    lines = log.strip().splitlines()
    return f"{how}: {lines[-1]}" if lines else how


def _stop_all() -> None:
    for server in list(LocalServer._shared.values()):
        server.stop()


def _after_fork() -> None:
    LocalServer._shared_lock = threading.Lock()
    for server in LocalServer._shared.values():
        server._disown()


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
