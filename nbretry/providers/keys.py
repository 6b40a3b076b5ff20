"""Find a provider's key: entered in this process, in the environment, in ``.env`` or in the system keyring.

A key has the name of its environment variable in all of these places. nbretry puts no key into ``os.environ``, where
every program that a notebook starts would find it.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from nbretry._utils.redaction import remember_secret
from nbretry.errors import ConfigError

__all__ = [
    "ENTERED",
    "ENVIRONMENT",
    "KEYRING",
    "KEYRING_SERVICE",
    "FoundKey",
    "KeyState",
    "enter_key",
    "find_key",
    "forget_key",
    "save_key",
]

KeyState: TypeAlias = Literal["set", "not set", "not needed"]

KEYRING_SERVICE = "nbretry"
"""Service name of the keys in the system keyring; the user name of each is its environment variable."""

ENTERED = "entered"
ENVIRONMENT = "environment"
KEYRING = "keyring"

_DOTENV_DISABLED = "PYTHON_DOTENV_DISABLED"  # python-dotenv's own switch, which its `load_dotenv` obeys

_log = logging.getLogger("nbretry")


class FoundKey(NamedTuple):
    """A key and where it was found. Its ``repr`` does not show the key.

    Attributes:
        value: the key.
        source: ``entered`` (in this process), ``environment``, ``keyring``, or the path of the ``.env`` file.
    """

    value: str
    source: str

    def __repr__(self) -> str:
        return f"FoundKey(source={self.source!r})"


_entered: dict[str, str] = {}
_from_keyring: dict[str, str] = {}
_keyring_fails: set[str] = set()
"""Variables for which the keyring failed, for example because the user closed its dialog.

The keyring is not asked for them again, so that the dialog does not come back with every question.
"""
_files: dict[Path, tuple[tuple[int, int], dict[str, str]]] = {}
_lock = threading.Lock()


def find_key(variable: str, *, ask_keyring: bool = False) -> FoundKey | None:
    """Return the key of this name and mask it from now on; None if there is no key.

    Args:
        variable: environment variable with the key.
        ask_keyring: whether to look in the system keyring too, which its user may have to unlock first. Keys that the
            keyring has given before are found either way.
    """
    found = _find(variable, ask_keyring)
    if found is not None:
        remember_secret(found.value)
    return found


def enter_key(variable: str, value: str) -> None:
    """Keep a key for this process. It takes precedence over all other keys of its name.

    Raises:
        ConfigError: the key is empty, or contains a character that no key has.
    """
    key = value.strip()
    if not key:
        raise ConfigError("no key was entered")
    remember_secret(key)
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError("this is no key: it has a space, a line break or a foreign letter in it")
    _entered[variable] = key


def save_key(variable: str) -> None:
    """Save an entered key in the system keyring.

    Raises:
        ConfigError: no key was entered, there is no keyring, or the keyring refuses the key.
    """
    value = _entered.get(variable)
    if value is None:
        raise ConfigError(f"{variable} was not entered")
    try:
        keyring = _keyring()
        keyring.set_password(KEYRING_SERVICE, variable, value)
        kept = keyring.get_password(KEYRING_SERVICE, variable) == value
    except ImportError:
        raise ConfigError('the package keyring is missing: pip install "nbretry[keyring]"') from None
    except Exception as error:
        raise ConfigError(f"the system keyring does not take it: {_reason(error)}") from None
    if not kept:
        raise ConfigError("the system keyring has not kept it")
    _from_keyring[variable] = value
    _keyring_fails.discard(variable)


def forget_key(variable: str) -> list[str]:
    """Forget an entered key and remove it from the system keyring.

    Returns:
        The places where the key was: ``entered``, ``keyring``, both or none.
    """
    was = [ENTERED] if _entered.pop(variable, None) is not None else []
    _from_keyring.pop(variable, None)
    try:
        keyring = _keyring()
        if keyring.get_password(KEYRING_SERVICE, variable) is not None:
            keyring.delete_password(KEYRING_SERVICE, variable)
            was.append(KEYRING)
    except Exception as error:
        _log.debug("the system keyring was not asked: %s", _reason(error))
    return was


def _find(variable: str, ask_keyring: bool) -> FoundKey | None:
    # Stripped: text from a file or a clipboard may end with a line break, which no request can contain.
    for source, keys in ((ENTERED, _entered), (ENVIRONMENT, os.environ)):
        value = keys.get(variable, "").strip()
        if value:
            return FoundKey(value, source)
    path = _dotenv_file()
    if path is not None:
        value = _dotenv(path).get(variable, "").strip()
        if value:
            return FoundKey(value, _shown(path))
    if ask_keyring and variable not in _from_keyring:
        _ask_keyring(variable)
    value = _from_keyring.get(variable, "").strip()
    return FoundKey(value, KEYRING) if value else None


def _ask_keyring(variable: str) -> None:
    with _lock:  # several questions at once should not open several dialogs
        if variable in _keyring_fails or variable in _from_keyring:
            return
        try:
            value = _keyring().get_password(KEYRING_SERVICE, variable)
        except Exception as error:
            _keyring_fails.add(variable)
            _log.debug("the system keyring was not asked: %s", _reason(error))
            return
        if value:
            _from_keyring[variable] = value


def _keyring() -> Any:
    return importlib.import_module("keyring")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _dotenv_file() -> Path | None:
    """Return the nearest ``.env`` from the working directory upwards, not beyond the project or the home directory."""
    if os.environ.get(_DOTENV_DISABLED, "").casefold() in ("1", "true", "t", "yes", "y"):
        return None
    with suppress(OSError, RuntimeError):  # no working directory, no home directory
        for directory in _directories():
            path = directory / ".env"
            if path.is_file():
                return path
    return None


def _directories() -> Iterator[Path]:
    here, home = Path.cwd(), Path.home()
    for directory in (here, *here.parents):
        yield directory
        if directory == home or (directory / "pyproject.toml").exists() or (directory / ".git").exists():
            return


def _dotenv(path: Path) -> dict[str, str]:
    try:
        found = path.stat()
        state = (found.st_mtime_ns, found.st_size)
        known = _files.get(path)
        if known is None or known[0] != state:
            known = _files[path] = (state, _read_dotenv(path.read_bytes().decode("utf-8-sig")))
    except (OSError, ValueError) as error:
        _log.debug("%s cannot be read: %s", path.name, _reason(error))
        return {}
    return known[1]


def _read_dotenv(text: str) -> dict[str, str]:
    import io

    from dotenv import dotenv_values

    # Without interpolation: a key may have a $ in it.
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value}


def _shown(path: Path) -> str:
    with suppress(OSError, ValueError):
        return os.path.relpath(path, Path.cwd())
    return path.name
