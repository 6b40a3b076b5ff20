"""The settings of a session. Each comes from the highest of these layers that has it, and knows where it came from.

    the options of a cell                     (not here: they are a `nbretry.session.question.Question`)
    %nbretry config KEY VALUE                 for this session
    NBRETRY_MODEL, …                          the environment
    config.toml                               your own, in the user configuration directory
    pyproject.toml, [tool.nbretry]            the nearest one with this table, from the working directory upwards
    the default

The files are read when a setting is first needed, and again when they have changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nbretry.config.schema import DEFAULT, SETTINGS, Definition, Setting, definition_of, text_of
from nbretry.config.settings_file import Layer, read_settings
from nbretry.errors import ConfigError
from nbretry.providers.services import ProviderTable

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT",
    "IN_SESSION",
    "SETTINGS",
    "Definition",
    "ProviderTable",
    "Setting",
    "Settings",
    "text_of",
]

CONFIG_VARIABLE = "NBRETRY_CONFIG"
"""Environment variable with the path of the user's configuration file."""

IN_SESSION = "%nbretry config"
"""Source of a setting that was set for this session."""

_PROJECT_TABLE = "tool.nbretry"


class Settings:
    """The settings of one session.

    Args:
        environment: environment variables; those of this process by default.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._in_session: dict[str, Setting] = {}
        self._files: dict[tuple[Path, str], tuple[tuple[int, int], Layer | None]] = {}

    def get(self, key: str) -> Setting:
        """Return a setting with its current value.

        Raises:
            ConfigError: there is no such key, or a file or the environment has a mistake, in this setting or another.
        """
        definition_of(key)
        return self.current()[key]

    def current(self) -> dict[str, Setting]:
        """Return all settings with their current values, by key.

        Raises:
            ConfigError: a file or the environment has a mistake.
        """
        layers = self._layers()
        _refuse_errors(layers)
        return self._merged(layers)

    def readable(self) -> dict[str, Setting]:
        """Return all settings by key. Values with a mistake are ignored; `errors` lists the mistakes."""
        return self._merged(self._layers())

    def providers(self) -> dict[str, ProviderTable]:
        """Return the providers that the files describe, by name.

        Raises:
            ConfigError: a file or the environment has a mistake.
        """
        layers = self._layers()
        _refuse_errors(layers)
        return _tables(layers)

    def readable_providers(self) -> dict[str, ProviderTable]:
        """Return the providers that the files describe, except those with a mistake; `errors` lists the mistakes."""
        return _tables(self._layers())

    def errors(self) -> list[str]:
        """Return the mistakes in the files and in the environment, one line for each."""
        return [error for layer in self._layers() for error in layer.errors]

    def set(self, key: str, text: str) -> Setting:
        """Set a value for this session.

        Raises:
            ConfigError: there is no such key, or the value is wrong.
        """
        setting = Setting(key, definition_of(key).value_of(text), IN_SESSION)
        self._in_session[key] = setting
        return setting

    def unset(self, key: str) -> None:
        """Undo `set`.

        Raises:
            ConfigError: there is no such key.
        """
        definition_of(key)
        self._in_session.pop(key, None)

    def user_file(self) -> Path:
        """Return the path of the user's configuration file, whether the file exists or not."""
        named = self._environment.get(CONFIG_VARIABLE)
        if named:
            with suppress(RuntimeError):  # the home directory is not known
                return Path(named).expanduser()
            return Path(named)
        import platformdirs

        return platformdirs.user_config_path("nbretry") / "config.toml"

    def files(self) -> list[str]:
        """Return where the files are and whether they exist, one line for each."""
        path = self.user_file()
        project = next((path for path in _project_files() if self._read(path, _PROJECT_TABLE) is not None), None)
        return [
            f"Your own settings: {_shown(path)}{'' if path.exists() else ' (there is no such file)'}",
            f"The project's: {'no pyproject.toml with ' if project is None else ''}[{_PROJECT_TABLE}]"
            + ("" if project is None else f" in {_shown(project)}"),
        ]

    def _merged(self, layers: Sequence[Layer]) -> dict[str, Setting]:
        found = {name: Setting(name, definition.default, DEFAULT) for name, definition in SETTINGS.items()}
        for layer in layers:
            found |= layer.values
        return found | self._in_session

    def _layers(self) -> list[Layer]:
        """Return the layers, the lowest first."""
        layers = [self._project(), self._user(), self._from_environment()]
        return [layer for layer in layers if layer is not None]

    def _project(self) -> Layer | None:
        for path in _project_files():
            layer = self._read(path, _PROJECT_TABLE)
            if layer is not None:
                return layer
        return None

    def _user(self) -> Layer | None:
        path = self.user_file()
        if self._environment.get(CONFIG_VARIABLE) and not path.exists():
            return Layer(errors=[f"{CONFIG_VARIABLE} names {_shown(path)}, and there is no such file"])
        return self._read(path, "")

    def _from_environment(self) -> Layer:
        layer = Layer()
        by_variable = {definition.variable: definition for definition in SETTINGS.values()}
        for variable in list(self._environment):
            text = self._environment.get(variable, "")  # another thread may have removed it
            if not variable.startswith("NBRETRY_") or not text.strip():
                continue
            definition = by_variable.get(variable)
            if definition is None:
                layer.errors += _typing_error(variable, list(by_variable))
                continue
            try:
                layer.values[definition.name] = Setting(definition.name, definition.value_of(text), variable)
            except ConfigError as error:
                layer.errors.append(f"{variable}: {str(error).removeprefix(f'{definition.name}: ')}")
        return layer

    def _read(self, path: Path, table: str) -> Layer | None:
        """Return what a file has; None if there is no file or the table is not in it."""
        try:
            found = path.stat()
        except (OSError, ValueError):
            return None
        state = (found.st_mtime_ns, found.st_size)
        where = _shown(path)
        known = self._files.get((path, where))
        if known is None or known[0] != state:
            known = self._files[path, where] = (state, read_settings(path, where, table))
        return known[1]


def _refuse_errors(layers: Sequence[Layer]) -> None:
    for layer in layers:
        for error in layer.errors:
            raise ConfigError(error)


def _tables(layers: Sequence[Layer]) -> dict[str, ProviderTable]:
    found: dict[str, ProviderTable] = {}
    for layer in layers:
        found |= layer.tables
    return found


def _project_files() -> Iterator[Path]:
    """Yield each possible ``pyproject.toml``, from the working directory upwards, not beyond the home directory."""
    try:
        here = Path.cwd()
    except OSError:  # the working directory was deleted
        return
    home = _home()
    for directory in (here, *here.parents):
        yield directory / "pyproject.toml"
        if directory == home:
            return


def _home() -> Path | None:
    with suppress(RuntimeError):
        return Path.home()
    return None


def _shown(path: Path) -> str:
    """Return a path in its shortest form: relative to the working directory or to the home directory."""
    with suppress(OSError, ValueError):
        here = Path.cwd()
        if here == path.parent or path.parent in here.parents:
            return os.path.relpath(path, here)
    home = _home()
    if home is not None and path.is_relative_to(home):
        return f"~/{path.relative_to(home).as_posix()}"
    return str(path)


def _typing_error(variable: str, known: list[str]) -> list[str]:
    """Return an error for a variable whose name is almost that of a setting, or else an empty list."""
    import difflib

    near = difflib.get_close_matches(variable, known, n=1, cutoff=0.9)
    return [f"there is no setting of the name {variable}; did you mean {near[0]!r}?"] if near else []
