"""The providers by name: the user's own, those of the files of settings and of other packages, and known services.

A name stands for, in this order: what the user registered, what a file of settings describes, what another package
offers by the entry point group ``nbretry.providers``, a known service of `nbretry.providers.factory`. Written as
``name:model`` it stands for the same provider, asked for this model and for no other.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from nbretry._errors import ConfigError
from nbretry._utils.names import is_name, name_refused, split_name
from nbretry._utils.text import nearest
from nbretry.config.settings import Settings
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
        settings: whose files may describe providers, and say who is asked where nobody is named.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._registered: dict[str, ProviderType] = {}
        self._made: dict[str, ProviderType] = {}
        self._described: dict[str, tuple[ProviderTable, ProviderType]] = {}

    def register(self, name: str, provider: ProviderType, deadlines: Deadlines | None = None) -> None:
        """Let a name stand for a provider, in place of what it stood for before.

        Args:
            name: letters, digits, ``_``, ``-`` and ``.``.
            provider: a class or an instance.
            deadlines: for it alone, in place of the session's.

        Raises:
            ConfigError: the name cannot be typed after ``-p``, or this is no provider.
        """
        if not is_name(name):
            raise ConfigError(name_refused(name, "a provider"))
        if problem := problem_with(provider):
            raise ConfigError(f"{name!r} cannot be registered: {problem}")
        self._registered[name] = provider if deadlines is None else NamedProvider(name, provider, deadlines)

    def names(self) -> list[str]:
        """Every name that stands for a provider, the user's own first."""
        described = self._settings.readable_providers()
        return list(dict.fromkeys([*self._registered, *described, *offered_by_packages(), *PRESETS]))

    def provider(self, written: str) -> ProviderType:
        """The provider that is written as ``name`` or ``name:model``.

        Returns:
            Of a name the same object each time. With a model one around it that is asked for this model, whatever else
            a question names.

        Raises:
            ConfigError: nothing of that name is known, the package that offers it cannot be loaded, the model or the
                name is missing beside the colon, or a file of settings has a mistake.
        """
        try:
            name, model = split_name(written)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        provider = self._provider(name)
        return _AskedForModel(name, provider, model) if model else provider

    def default_providers(self) -> list[str]:
        """Whom to ask where nobody was named: those of the setting ``providers``.

        Without it: the user's own, those of the files of settings, services whose key is set, the local model. The
        system keyring is not looked into.

        Raises:
            ConfigError: a file of settings or the environment has a mistake.
        """
        named: list[str] | None = self._settings.get("providers").value
        if named is not None:
            return list(named)
        with_key = [name for name, preset in PRESETS.items() if preset.key_variable and find_key(preset.key_variable)]
        local = ["local"] if importlib.util.find_spec("xllamacpp") else []
        described = [table.name for table in self._settings.providers().values() if _may_be_asked(table)]
        return list(dict.fromkeys([*self._registered, *described, *with_key, *local]))

    def chosen(self, providers: Sequence[ProviderType | str] | None) -> list[ProviderType]:
        """The providers to ask, each known by the name under which the user asks it.

        Args:
            providers: by name or as objects, or a text of names with commas between; None for `default_providers`.

        Raises:
            ConfigError: as for `provider`; where the setting ``providers`` has the mistake, its source comes first.
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
    """A provider that is asked for one model, whatever model a question or the settings name."""

    def __init__(self, name: str, provider: ProviderType, model: str) -> None:
        super().__init__(name, provider)
        self.default_model = resolve_model(provider, model)
        self.model_aliases = _EveryNameFor(self.default_model)


class _EveryNameFor(Mapping[str, str]):
    """Aliases by which every name means one model."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __getitem__(self, name: str) -> str:
        return self._model

    def __iter__(self) -> Iterator[str]:
        return iter(())  # none of them can be listed

    def __len__(self) -> int:
        return 0


def offered_by_packages() -> Mapping[str, EntryPoint]:
    """By name what other packages offer; none of it is loaded."""
    return _offered(tuple((path, _changed_at(path)) for path in sys.path))


@lru_cache(maxsize=1)
def _offered(directories: tuple[tuple[str, int], ...]) -> Mapping[str, EntryPoint]:
    """Looked up anew where a directory has changed, as it does when a package is installed: that takes 30 ms."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _changed_at(path: str) -> int:
    try:
        return os.stat(path or ".").st_mtime_ns
    except OSError:
        return 0


def _may_be_asked(table: ProviderTable) -> bool:
    """Whether somebody who was only described is asked by default: not a known service without a key."""
    preset = PRESETS.get(table.name)
    if preset is None:
        return True
    variable = table.key_variable or (preset.key_variable if table.base_url is None else None)
    return variable is None or find_key(variable) is not None
