"""The list of a provider's models, below its row of the picker; it is fetched when it is opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeAlias

import ipywidgets

from nbretry._utils.clock import Clock
from nbretry._utils.exceptions import describe
from nbretry._utils.redaction import mask
from nbretry._utils.text import one_line
from nbretry.errors import ConfigError
from nbretry.notebook.panel.parts import HIDDEN, button, make, markup, set_class, set_traits
from nbretry.providers.models import list_models
from nbretry.retry.contract import NamedProvider
from nbretry.types import ProviderType

__all__ = ["MOST_SHOWN", "ModelList", "Spawn", "Surroundings"]

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine in the background thread."""

MOST_SHOWN = 400
"""Maximum number of names that are sent to the page."""

_TIMEOUT = 10.0
_KEPT_FOR = 120.0
"""Seconds after which a list is fetched again when it is opened."""

_FEW = 6
"""A list of at most this many names has no filter."""

_ROWS = 8
_LONGEST_PROBLEM = 300
_OWN = "its own"
_STOPPED = "stopped before the list came"


@dataclass(frozen=True, slots=True)
class _Found:
    """A fetched list: the names, the clock's time at that moment in seconds, and the provider that was asked."""

    names: tuple[str, ...]
    at: float
    provider: ProviderType


@dataclass(frozen=True, slots=True, eq=False)
class _Fetch:
    """One request for a list. If another one has started since, the result of this one is discarded."""

    provider: ProviderType


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the parts of the picker need from the panel.

    Attributes:
        lock: held while anything changes.
        changed: called with the lock held after a change; it must call the ``show`` of the parts.
        spawn: runs a coroutine in the background thread.
    """

    lock: threading.RLock
    changed: Callable[[], None]
    spawn: Spawn


class ModelList:
    """The list of one provider's models. Use it with the lock held.

    Args:
        name: name of the provider, as it is shown.
        find: returns the provider; raises ConfigError if it is not known any more.
        clock: the clock that measures a list's age.
        field: the text field that the list is for; it gets the focus when Enter closes the list.
        pick: called with the name that was picked; an empty one means the provider's own model.
        panel: the lock and the callbacks of the panel.

    Attributes:
        widget: the list, which takes no space while it is closed.
        is_open: whether it is open.
    """

    def __init__(
        self,
        name: str,
        find: Callable[[], ProviderType],
        clock: Clock,
        field: Any,
        pick: Callable[[str], None],
        panel: Surroundings,
    ) -> None:
        self._name = name
        self._find = find
        self._clock = clock
        self._field = field
        self._pick = pick
        self._panel = panel
        self._lock = panel.lock
        self._found: _Found | None = None
        self._fetching: _Fetch | None = None
        self._problem = ""
        self._note = ""
        self._parts: _Parts | None = None
        self.is_open = False
        self.widget = make(ipywidgets.VBox, "nbretry-models")

    @property
    def controls(self) -> Sequence[Any]:
        """The widgets that a user changes or presses."""
        return () if self._parts is None else (self._parts.filter, self._parts.again, self._parts.select)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the models; empty until a list was fetched."""
        return () if self._found is None else self._found.names

    def open(self) -> None:
        """Open the list. Fetch it if it is not known, or was fetched a while ago."""
        if self._parts is not None:
            self._parts.filter.value = ""
        self._note = ""
        self.is_open = True
        self._fetch()

    def close(self) -> None:
        """Close the list. If it is being fetched, the result is kept for the next time."""
        self._note = ""
        self.is_open = False

    def say(self, note: str) -> None:
        """Show this line below the row until the list is opened or closed; an empty one removes it."""
        self._note = note

    # --- fetching -----------------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        self._problem = ""
        try:
            provider = self._find()
        except ConfigError as error:
            self._fetching, self._problem = None, one_line(mask(str(error)), _LONGEST_PROBLEM)
            return
        found = self._found
        is_under_way = self._fetching is not None and self._fetching.provider is provider
        is_known = found is not None and found.provider is provider and not self._is_old(found)
        if not is_under_way and not is_known:
            self._fetching = _Fetch(provider)
            self._panel.spawn(self._list(self._fetching))

    def _is_old(self, found: _Found) -> bool:
        return self._clock.monotonic() - found.at >= _KEPT_FOR

    async def _list(self, fetch: _Fetch) -> None:
        names: list[str] | None = None
        problem = _STOPPED
        try:
            names = await list_models(NamedProvider(self._name, fetch.provider), _TIMEOUT)
        except Exception as error:
            problem = str(error) if isinstance(error, ConfigError) else describe(error)
        finally:
            with self._lock:
                if self._fetching is fetch:
                    self._fetching = None
                    if names is None:
                        self._problem = one_line(mask(problem), _LONGEST_PROBLEM)
                    else:
                        self._found = _Found(tuple(names), self._clock.monotonic(), fetch.provider)
                    self._panel.changed()

    # --- what the user does -------------------------------------------------------------------------------------------

    def _picked(self, change: Any) -> None:
        with self._lock:
            if change["new"] is not None:
                self._take(change["new"])

    def _submitted(self, widget: Any, content: Any, buffers: Any) -> None:
        """Pick the first match on Enter, so that the keyboard works even where arrow keys move between cells."""
        with self._lock:
            matches = self._matches()
            if content.get("event") == "submit" and self.is_open and self._filter and matches:
                self._take(matches[0])
                self._field.focus()

    def _take(self, name: str) -> None:
        self._pick(name)
        self.close()
        self._panel.changed()

    def _filtered(self, change: Any) -> None:
        with self._lock:
            if self.is_open:
                self._panel.changed()

    def _try_again(self) -> None:
        with self._lock:
            self._fetch()
            self._panel.changed()

    # --- what is shown ------------------------------------------------------------------------------------------------

    def show(self, chosen: str, own: str) -> None:
        """Update the widgets.

        Args:
            chosen: the model that is chosen now; empty for the provider's own.
            own: the provider's own model; empty if it is not known.
        """
        is_shown = self.is_open or bool(self._note)
        set_class(self.widget, HIDDEN, not is_shown)
        if not is_shown:
            return
        if self._parts is None:
            self._parts = _Parts(self._name, self._filtered, self._submitted, self._try_again, self._picked)
            self.widget.children = self._parts.children
        parts = self._parts
        is_listed = self.is_open and self._fetching is None and not self._problem and bool(self.names)
        set_traits(parts.line, value=self._line())
        set_class(parts.filter, HIDDEN, not is_listed or len(self.names) <= _FEW)
        set_class(parts.again, HIDDEN, not self.is_open or not self._problem)
        set_class(parts.select, HIDDEN, not is_listed)
        if is_listed:
            # Select nothing, so that picking the model that is chosen already is a change, too, and closes the list.
            set_traits(parts.select, index=None)
            set_traits(parts.select, options=tuple(self._options(chosen, own)), rows=min(_ROWS, len(self.names) + 1))

    @property
    def _filter(self) -> str:
        """The text in the filter, case-folded."""
        return "" if self._parts is None else self._parts.filter.value.casefold().strip()

    def _matches(self) -> list[str]:
        """Return the models with every word of the filter: exact matches first, then those that start with it."""
        typed, words = self._filter, self._filter.split()
        found = [name for name in self.names if all(word in name.casefold() for word in words)]
        if not typed:
            return found
        return sorted(found, key=lambda name: (name.casefold() != typed, not name.casefold().startswith(typed)))

    def _options(self, chosen: str, own: str) -> list[tuple[str, str]]:
        options = [] if self._filter else [(f"{_OWN}: {own}" if own else _OWN, "")]
        options += [(name, name) for name in self._matches()[:MOST_SHOWN]]
        return [(f"{label}  ✓" if value == chosen else label, value) for label, value in options]

    def _line(self) -> str:
        """Return the line above the list, as safe HTML."""
        if self._note or self._problem:
            words = escape(self._note or self._problem)
            return f'<span role="alert"><span class="nbretry-failing">✗</span> {words}</span>'
        if self._fetching is not None:
            return f"listing the models of {escape(self._name)} …"
        total, matching = len(self.names), len(self._matches())
        if not total:
            return f"{escape(self._name)} lists no models: type one above"
        count = f"{matching:,} of {_models(total)}" if self._filter else _models(total)
        if matching > MOST_SHOWN:
            return f"{count}; {matching - MOST_SHOWN:,} more than are shown: type to see them"
        return f"{count} · Enter picks the first" if self._filter and matching else count


class _Parts:
    """The widgets of a list, created when there is first something to show."""

    def __init__(
        self,
        name: str,
        filtered: Callable[[Any], None],
        submitted: Callable[[Any, Any, Any], None],
        try_again: Callable[[], None],
        picked: Callable[[Any], None],
    ) -> None:
        self.filter = make(
            ipywidgets.Text,
            placeholder="filter",
            description=f"filter the models of {name}",
            tooltip="a part of the model's name",
        )
        self.line = markup("nbretry-quiet", "nbretry-models-line")
        self.again = button("Try again", f"ask {name} again for its models", try_again, "refresh")
        self.select = make(ipywidgets.Select, index=None, description=f"models of {name}", tooltip="pick a model")
        for widget in (self.filter, self.select):
            widget.add_class("nbretry-unlabelled")
        self.children = (make(ipywidgets.HBox, children=[self.filter, self.line, self.again]), self.select)
        self.filter.observe(filtered, "value")
        self.filter.on_msg(submitted)
        self.select.observe(picked, "value")


def _models(count: int) -> str:
    return f"{count:,} {'model' if count == 1 else 'models'}"
