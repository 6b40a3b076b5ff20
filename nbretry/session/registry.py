"""Look up providers by name: those you registered, those of settings files and other packages, and known services.

The first match counts, in this order: a provider that you registered, one that a settings file describes, one that
another package offers through the entry point group ``nbretry.providers``, a known service of
`nbretry.providers.services`. ``name:model`` is the same provider, always asked for this model.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from nbretry._utils.names import is_name, name_refused, split_name
from nbretry._utils.text import nearest
from nbretry.config.settings import Settings
from nbretry.errors import ConfigError
from nbretry.providers.factory import provider_from_preset, provider_from_table
from nbretry.providers.keys import find_key
from nbretry.providers.services import PRESETS, ProviderTable
from nbretry.retry.contract import NamedProvider, problem_with, provider_name, resolve_model
from nbretry.retry.deadlines import Deadlines
from nbretry.types import ProviderType

__all__ = ["ENTRY_POINT_GROUP", "ProviderNames", "offered_by_packages"]

ENTRY_POINT_GROUP = "nbretry.providers"


class ProviderNames:
    """The providers of one session by name.

    Args:
        settings: settings of the session; they may describe providers and set the default ones.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registered: dict[str, ProviderType] = {}
        self._made: dict[str, ProviderType] = {}
        self._described: dict[str, tuple[ProviderTable, ProviderType]] = {}

    def register(self, name: str, provider: ProviderType, deadlines: Deadlines | None = None) -> None:
        """Register a provider under a name, replacing whatever the name meant before.

        Args:
            name: letters, digits, ``_``, ``-`` and ``.``.
            provider: a class or an instance.
            deadlines: time limits for this provider alone, instead of the session's.

        Raises:
            ConfigError: the name cannot be typed after ``-p``, or the object is not a provider.
        """
        if not is_name(name):
            raise ConfigError(name_refused(name, "a provider"))
        if problem := problem_with(provider):
            raise ConfigError(f"{name!r} cannot be registered: {problem}")
        self._registered[name] = provider if deadlines is None else NamedProvider(name, provider, deadlines)

    def names(self) -> list[str]:
        """Return the name of every provider, those you registered first."""
        described = self._settings.readable_providers()
        return list(dict.fromkeys([*self._registered, *described, *offered_by_packages(), *PRESETS]))

    def provider(self, written: str) -> ProviderType:
        """Return the provider that is written as ``name`` or ``name:model``.

        Returns:
            For a plain name, the same object each time. For ``name:model``, a wrapper around it that is always asked
            for this model, whatever model a question names.

        Raises:
            ConfigError: the name is unknown, the package that offers it cannot be loaded, the name or the model beside
                the colon is missing, or a settings file has a mistake.
        """
        try:
            name, model = split_name(written)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        provider = self._provider(name)
        return _AskedForModel(name, provider, model) if model else provider

    def default_providers(self) -> list[str]:
        """Return the names of the default providers: those of the setting ``providers``.

        Without that setting: providers that you registered, providers of the settings files, services whose key is
        set, and the local model if its package is installed. The system keyring is not searched for keys.

        Raises:
            ConfigError: a settings file or the environment has a mistake.
        """
        named: list[str] | None = self._settings.get("providers").value
        if named is not None:
            return list(named)
        with_key = [name for name, preset in PRESETS.items() if preset.key_variable and find_key(preset.key_variable)]
        local = ["local"] if importlib.util.find_spec("xllamacpp") else []
        described = [table.name for table in self._settings.providers().values() if _may_be_asked(table)]
        return list(dict.fromkeys([*self._registered, *described, *with_key, *local]))

    def chosen(self, providers: Sequence[ProviderType | str] | None) -> list[ProviderType]:
        """Return the providers to ask, each under the name by which you ask it.

        Args:
            providers: names or objects, or a string of names separated by commas; None for `default_providers`.

        Raises:
            ConfigError: as for `provider`; if the mistake is in the setting ``providers``, the message starts with the
                source of the setting.
        """
        if isinstance(providers, str):
            providers = [name.strip() for name in providers.split(",")]
        written = self.default_providers() if providers is None else providers
        try:
            return [self._named(one) if isinstance(one, str) else one for one in written]
        except ConfigError as error:
            setting = self._settings.get("providers")
            if providers is None and setting.value is not None:
                raise ConfigError(f"{setting.source}: providers: {error}") from None
            raise

    def _provider(self, name: str) -> ProviderType:
        if name in self._registered:
            return self._registered[name]
        table = self._settings.providers().get(name)
        if table is not None:
            known = self._described.get(name)
            if known is None or known[0] != table:
                known = self._described[name] = (table, provider_from_table(table))
            return known[1]
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _named(self, written: str) -> ProviderType:
        provider = self.provider(written)
        name, _ = split_name(written)
        return provider if provider_name(provider) == name else NamedProvider(name, provider)

    def _make(self, name: str) -> ProviderType:
        points = offered_by_packages()
        if name in points:
            try:
                provider: ProviderType = points[name].load()
            except Exception as error:
                raise ConfigError(f"the provider {name!r} of another package cannot be loaded: {error}") from error
            if problem := problem_with(provider):
                raise ConfigError(f"the provider {name!r} of another package cannot be asked: {problem}")
            return provider
        if name in PRESETS:
            return provider_from_preset(name)
        raise ConfigError(f"there is no provider named {name!r}{nearest(name, self.names())}")


class _AskedForModel(NamedProvider):
    """A provider that is always asked for one model, whatever model a question or the settings name."""

    def __init__(self, name: str, provider: ProviderType, model: str) -> None:
        super().__init__(name, provider)
        self.default_model = resolve_model(provider, model)
        self.model_aliases = _EveryNameFor(self.default_model)


class _EveryNameFor(Mapping[str, str]):
    """Model aliases that map every name to one model."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __getitem__(self, name: str) -> str:
        return self._model

    def __iter__(self) -> Iterator[str]:
        return iter(())  # every name is an alias, so there is no list of them

    def __len__(self) -> int:
        return 0


def offered_by_packages() -> Mapping[str, EntryPoint]:
    """Return the providers that other packages offer, by name, as entry points that are not loaded yet."""
    return _offered(tuple((path, _changed_at(path)) for path in sys.path))


@lru_cache(maxsize=1)
def _offered(directories: tuple[tuple[str, int], ...]) -> Mapping[str, EntryPoint]:
    """Look up the entry points, which takes 30 ms.

    The result is cached until a directory changes, as it does when a package is installed.
    """
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _changed_at(path: str) -> int:
    try:
        return os.stat(path or ".").st_mtime_ns
    except OSError:
        return 0


def _may_be_asked(table: ProviderTable) -> bool:
    """Return whether a provider of a settings file is asked by default: a known service without a key is not."""
    preset = PRESETS.get(table.name)
    if preset is None:
        return True
    variable = table.key_variable or (preset.key_variable if table.base_url is None else None)
    return variable is None or find_key(variable) is not None
