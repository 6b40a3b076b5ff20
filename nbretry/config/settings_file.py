"""Read the settings of one file, with the line of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nbretry._utils.names import is_name, name_refused
from nbretry._utils.text import nearest
from nbretry.config.schema import SETTINGS, Setting, shortened
from nbretry.config.toml_lines import key_lines
from nbretry.errors import ConfigError
from nbretry.providers.services import PRESETS, ProviderTable, service_of_key
from nbretry.retry.deadlines import Deadlines

__all__ = ["Layer", "WrongTableError", "checked_provider", "read_settings"]

_KINDS = ("openai", "anthropic")
_TEXTS = ("kind", "base_url", "model", "key_variable")
_LIMITS = ("connect", "first_content", "idle", "total")
_FOR_NBRETRY = "NBRETRY_"
_KEY_REFUSED = "a key may not stand in a file of settings: put it into .env, and name its variable with key_variable"


@dataclass(slots=True)
class Layer:
    """The settings in one file or in the environment.

    Attributes:
        values: the settings by key.
        tables: the providers by name.
        errors: the mistakes, one line for each.
    """

    values: dict[str, Setting] = field(default_factory=dict)
    tables: dict[str, ProviderTable] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def read_settings(path: Path, where: str, table: str) -> Layer | None:
    """Read the settings in a file.

    Args:
        path: the file.
        where: the file's name in messages.
        table: dotted name of the table to read; empty for the whole file.

    Returns:
        The settings and mistakes; None if the table is not in the file, or if a table is given and the file cannot
        be read.
    """
    return _FileReader(path, where, table).layer()


class WrongTableError(ConfigError):
    """The table of a provider has a mistake.

    Attributes:
        key: the key with the mistake; None if the mistake is not in a single key.
    """

    def __init__(self, text: str, key: str | None = None) -> None:
        super().__init__(text)
        self.key = key


def checked_provider(name: str, written: Mapping[str, Any], *, of_project: bool) -> ProviderTable:
    """Check the table of a provider and return it as a `ProviderTable`.

    Args:
        name: the provider's name.
        written: its table, with the values as TOML has them.
        of_project: whether the table is a project's, which may do less than the user's own.

    Raises:
        WrongTableError: the table has a mistake; the message says what would be right, but not where the table is.
    """
    if not is_name(name):
        raise WrongTableError(name_refused(name, "a provider"))
    for key, value in written.items():
        if _is_api_key(key):
            raise WrongTableError(_KEY_REFUSED, key)
        if key not in _TEXTS and key not in _LIMITS:
            raise WrongTableError(f"there is no {key!r}{nearest(key, [*_TEXTS, *_LIMITS])}", key)
        if key in _TEXTS and not (isinstance(value, str) and value.strip()):
            raise WrongTableError(f"{key} is {shortened(value)}, and should be text", key)
    texts = {key: written[key].strip() for key in _TEXTS if key in written}
    _check_texts(name, texts)
    if of_project:
        _check_project(name, texts)
    limits = {key: _seconds(key, written[key]) for key in _LIMITS if key in written}
    return ProviderTable(name, **texts, deadlines=Deadlines(**limits) if limits else None)


class _FileReader:
    def __init__(self, path: Path, where: str, table: str) -> None:
        self._path = path
        self._where = where
        self._prefix = tuple(table.split(".")) if table else ()
        self._layer = Layer()
        self._lines: dict[tuple[str, ...], int] = {}

    def layer(self) -> Layer | None:
        try:
            text = self._path.read_bytes().decode("utf-8-sig")
        except (OSError, ValueError) as error:
            if self._prefix:
                return None  # a project's file: nothing shows that it is meant for nbretry
            reason = "it is not UTF-8" if isinstance(error, ValueError) else error.strerror
            return Layer(errors=[f"{self._where} cannot be read: {reason}"])
        if not all(word in text for word in self._prefix):
            return None
        import tomllib

        try:
            content: Any = tomllib.loads(text)
        except ValueError as error:  # a mistake in the TOML, or a number with thousands of digits
            return Layer(errors=[_syntax_error(self._where, str(error))])
        except RecursionError:
            return Layer(errors=[f"{self._where} is nested too deep"])
        for word in self._prefix:
            if not isinstance(content, dict) or word not in content:
                return None
            content = content[word]
        self._lines = key_lines(text)
        if not isinstance(content, dict):
            self._error(f"{'.'.join(self._prefix)} is no table: write [{'.'.join(self._prefix)}]")
            return self._layer
        for key, written in content.items():
            if key == "provider":
                self._providers(written)
            else:
                self._setting(key, written)
        return self._layer

    def _setting(self, key: str, written: Any) -> None:
        if key not in SETTINGS:
            hint = nearest(key, [*SETTINGS, "provider"])
            self._error(_KEY_REFUSED if _is_api_key(key) else f"there is no setting {key!r}{hint}", key)
            return
        try:
            self._layer.values[key] = Setting(key, SETTINGS[key].value_of(written), self._source(key))
        except ConfigError as error:
            self._error(str(error), key)

    def _providers(self, written: Any) -> None:
        heading = ".".join((*self._prefix, "provider"))
        if not isinstance(written, dict):
            self._error(f"provider is no table: write [{heading}.NAME]", "provider")
            return
        for name, table in written.items():
            if not isinstance(table, dict):
                self._error(f"provider.{name} is no table: write [{heading}.NAME]", "provider", name)
                continue
            try:
                checked = checked_provider(name, table, of_project=bool(self._prefix))
            except WrongTableError as wrong:
                self._error(f"provider.{name}: {wrong}", "provider", name, *([] if wrong.key is None else [wrong.key]))
            else:
                self._layer.tables[name] = replace(checked, source=self._source("provider", name))

    def _source(self, *path: str) -> str:
        line = self._lines.get((*self._prefix, *path))
        return self._where if line is None else f"{self._where}, line {line}"

    def _error(self, text: str, *path: str) -> None:
        # The file may come from someone else: escape characters that would move the cursor of a terminal.
        told = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
        self._layer.errors.append(f"{self._source(*path)}: {told}")


def _check_texts(name: str, texts: Mapping[str, str]) -> None:
    kind, url, variable = texts.get("kind"), texts.get("base_url"), texts.get("key_variable")
    service = PRESETS.get(name)
    if service is None and name.lower() in PRESETS:
        raise WrongTableError(f"the service is called {name.lower()}: write provider.{name.lower()}")
    if kind not in (None, *_KINDS):
        raise WrongTableError(f"kind is {kind!r}, and should be {' or '.join(_KINDS)}", "kind")
    if url is not None and not _is_address(url):
        raise WrongTableError(f"base_url is {url!r}, and should be as http://gpu-server:8000/v1", "base_url")
    if service is not None and service.kind == "local":
        raise WrongTableError("this is the model on this machine: choose another name")
    if service is None and kind is None and url is None:
        raise WrongTableError("there is no service of this name: give its base_url")
    if not texts.get("model", "").isprintable():
        raise WrongTableError(f"model is {shortened(texts['model'])}, which has an invisible character in it", "model")
    if variable is not None and not variable.isidentifier():
        raise WrongTableError("key_variable should be the name of an environment variable", "key_variable")


def _check_project(name: str, texts: Mapping[str, str]) -> None:
    """Raise if a project's table redirects a known service or sends a key that is not meant for its provider.

    A project may come from someone else, who could have the user's questions and keys sent to a server of their own.
    """
    kind, url, variable = texts.get("kind"), texts.get("base_url"), texts.get("key_variable")
    service = PRESETS.get(name)
    if url is not None and service is not None:
        raise WrongTableError("a project may not give a known service another address: choose another name", "base_url")
    if variable is None:
        return
    owner = service_of_key(variable.upper())  # on Windows, names of variables are not case-sensitive
    goes_to = url or (service or PRESETS[kind or "openai"]).base_url or ""
    if owner is not None and owner is not service and not _is_at(goes_to, owner.base_url):
        raise WrongTableError(
            f"a project may not send the key of {owner.name} elsewhere: name another variable", "key_variable"
        )
    if owner is None and url is not None and not variable.startswith(_FOR_NBRETRY):
        # Any variable may hold a secret that is meant for something else, such as GITHUB_TOKEN.
        raise WrongTableError(
            f"a project may have only a key sent that is meant for nbretry: call its variable "
            f"{_FOR_NBRETRY}{variable}, or describe the provider in your own settings",
            "key_variable",
        )


def _seconds(key: str, value: Any) -> float:
    try:
        return float(replace(SETTINGS[key], takes_none=False).value_of(value))
    except ConfigError as error:
        raise WrongTableError(str(error), key) from None


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it raises ValueError if the port is not a number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url


def _is_at(url: str, base_url: str | None) -> bool:
    """Return whether two URLs have the same scheme, host and port."""
    return base_url is not None and urlsplit(url)[:2] == urlsplit(base_url)[:2]


def _is_api_key(key: str) -> bool:
    return key.lower().replace("_", "").replace("-", "") in ("apikey", "key", "token", "secret")


def _syntax_error(where: str, message: str) -> str:
    told = re.match(r"(?P<what>.*) \(at line (?P<line>\d+), column \d+\)$", message, re.DOTALL)
    if told is None:
        return f"{where}: this is no TOML: {' '.join(message.split())}"
    return f"{where}, line {told['line']}: this is no TOML: {' '.join(told['what'].split())}"
