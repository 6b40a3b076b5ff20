"""One row of the picker: whether a provider is asked, in which place, for which model, and how it is doing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets

from nbretry._utils.redaction import mask
from nbretry.notebook.panel.model_list import MOST_SHOWN, ModelList, Surroundings
from nbretry.notebook.panel.parts import close_inside, close_looks, make, set_class, set_traits
from nbretry.notebook.panel.state import PanelState, ProviderChoice, Standing
from nbretry.notebook.panel.typed_keys import remember_typed_key
from nbretry.renderers.painter import AS_WRITTEN
from nbretry.renderers.report import seconds
from nbretry.types import ProviderType

__all__ = ["ProviderRow", "heads_html"]

_HEADS = (
    ("name", "Provider", "tick whom to ask"),
    ("order", "Order", "the first is asked first, and where it fails the next"),
    ("model", "Model", "empty for the provider's own"),
    ("state", "State", "how it is doing"),
    ("first", "First token", "seconds to the first token, the last time"),
    ("price", "Price", "US dollars for a million tokens"),
)
_SIGNS = {"ready": "✓", "waiting": "…", "failing": "✗", "unable": "–"}
_NOTHING = "—"
_LONGEST_WORDS = 500
_KEY_TAKEN = "that looks like a key, and was taken away: type the name of a model"
_UNKNOWN = Standing("waiting", "…")


class ProviderRow:
    """The row of one provider. Use it with the lock held.

    Args:
        choice: the choice that the row shows and the user changes.
        state: the panel state in which the choice can be moved.
        panel: the lock and the callbacks of the panel.
        opened: called with this row before its list of models is opened.

    Attributes:
        choice: the choice as given; another one of the same name may replace it.
        models: the list of models.
        widget: the widget of the whole row.
    """

    def __init__(
        self,
        choice: ProviderChoice,
        state: PanelState,
        panel: Surroundings,
        opened: Callable[[ProviderRow], None],
    ) -> None:
        self.choice = choice
        self._state = state
        self._panel = panel
        self._opened = opened
        self._standing = _UNKNOWN
        self._place = ""
        name = self._name = mask(choice.name)
        self._build(name)
        self.models = ModelList(name, self._find, state.session.clock, self._model, self._choose, panel)
        self._fields = (
            _Field(self._is_on, panel.lock, self._switch),
            _Field(self._model, panel.lock, self._type),
            _Field(self._opener, panel.lock, self._open),
        )
        order = make(ipywidgets.HBox, "nbretry-order", children=[self._earlier, self._later])
        model = make(ipywidgets.HBox, "nbretry-model", children=[self._model, self._opener])
        parts = [self._is_on, order, model, self._facts, self.models.widget]
        self.widget = ipywidgets.HBox(parts).add_class("nbretry-provider")  # not shared: its layout has the row's place

    def _build(self, name: str) -> None:
        self._is_on = make(
            ipywidgets.Checkbox,
            "nbretry-name",
            value=self.choice.on,
            description=name,
            indent=False,
            tooltip=f"ask {name}",
        )
        self._earlier = self._mover(f"ask {name} earlier", -1, "nbretry-earlier")
        self._later = self._mover(f"ask {name} later", 1, "nbretry-later")
        self._model = make(
            ipywidgets.Combobox,
            "nbretry-unlabelled",
            value=mask(self.choice.model),
            description=f"model of {name}",
            tooltip=f"model of {name}; empty for its own",
        )
        self._opener = make(ipywidgets.ToggleButton, "nbretry-glyph", "nbretry-opener")
        self._facts = make(ipywidgets.HTML, "nbretry-facts")

    @property
    def controls(self) -> Sequence[Any]:
        """The widgets that a user changes or presses."""
        return self._is_on, self._earlier, self._later, self._model, self._opener, *self.models.controls

    @property
    def words(self) -> str:
        """The text that the search looks at, case-folded."""
        model = self.choice.model.strip() or self._standing.model
        return " ".join([self._name, model, self._standing.words]).casefold()

    def show(self, place: int, may_go_earlier: bool, may_go_later: bool) -> None:
        """Show the choice.

        Args:
            place: the place of the row, from 0.
            may_go_earlier: whether there is a place before it.
            may_go_later: whether there is a place after it.
        """
        # A model's name that comes from elsewhere, such as a settings file, may contain a key.
        shown = (self.choice.on, mask(self.choice.model), self.models.is_open)
        for field, value in zip(self._fields, shown, strict=True):
            field.show(value)
        opens = f"{'close the list of' if self.models.is_open else 'list'} the models of {self._name}"
        set_traits(self._opener, description=opens, tooltip=opens)
        set_traits(self._earlier, disabled=not may_go_earlier)
        set_traits(self._later, disabled=not may_go_later)
        set_traits(self.widget.layout, order=str(place))
        set_class(self.widget, "nbretry-off", not self.choice.on)
        self._place = f"{place + 1}."
        self.show_standing(self._standing)

    def show_standing(self, standing: Standing) -> None:
        """Show how the provider is doing."""
        self._standing = standing
        own = mask(standing.model)
        set_traits(self._model, placeholder=own or "its own", options=self.models.names[:MOST_SHOWN])
        set_traits(self._facts, value=_facts_html(self._place, standing))
        self.models.show(self.choice.model.strip(), own)

    def close(self) -> None:
        """Close the row and all its widgets."""
        close_inside(self.widget)
        close_looks(self.widget)
        self.widget.close()

    # --- what the user does -------------------------------------------------------------------------------------------

    def _mover(self, words: str, by: int, glyph: str) -> Any:
        def move(_: Any) -> None:
            with self._panel.lock:
                if self.choice in self._state.choices and self._state.may_move(self.choice, by):
                    self._state.move(self.choice, by)
                    self._panel.changed()

        made = make(ipywidgets.Button, "nbretry-glyph", glyph, description=words, tooltip=words)
        made.on_click(move)
        return made

    def _switch(self, on: bool) -> None:
        self.choice.on = on
        self._panel.changed()

    def _type(self, model: str) -> None:
        is_key = model.strip() not in self.models.names and remember_typed_key(model, "name")
        self.models.say(_KEY_TAKEN if is_key else "")
        self.choice.model = "" if is_key else model
        self._panel.changed()

    def _choose(self, model: str) -> None:
        self.choice.model = model

    def _open(self, is_open: bool) -> None:
        if is_open:
            self._opened(self)
            self.models.open()
        else:
            self.models.close()
        self._panel.changed()

    def _find(self) -> ProviderType:
        return self._state.session.provider(self.choice.name)


class _Field:
    """A widget's value that both the user and the program change.

    If the user is changing the value at the same moment, in another thread, it is not reset to the one before.

    Args:
        widget: the widget with the value.
        lock: held while the value changes.
        take: called with a value that the user has entered.
    """

    def __init__(self, widget: Any, lock: threading.RLock, take: Callable[[Any], None]) -> None:
        self._widget = widget
        self._lock = lock
        self._take = take
        self._known = widget.value
        widget.observe(self._follow, "value")

    def show(self, value: Any) -> None:
        """Set the widget's value if the program has changed it."""
        if value != self._known:
            self._known = value
            set_traits(self._widget, value=value)

    def _follow(self, change: Any) -> None:
        with self._lock:
            value = self._widget.value
            if value != self._known:
                self._known = value
                self._take(value)


def heads_html() -> str:
    """Return the heads of the rows' columns, as HTML."""
    return "".join(
        f'<span style="grid-area: {column}" title="{escape(meaning)}">{escape(words)}</span>'
        for column, words, meaning in _HEADS
    )


def _facts_html(place: str, standing: Standing) -> str:
    """Return what a row shows beside its controls, as HTML; each part is a cell of the row's grid."""
    words = " ".join(mask(standing.words).split())[:_LONGEST_WORDS]
    sign = f'<span class="nbretry-sign nbretry-{standing.kind}">{_SIGNS[standing.kind]}</span>'
    first = _NOTHING if standing.first_content is None else seconds(standing.first_content)
    price = standing.price
    cells = (
        _cell("place", place),
        _cell("state", sign + escape(words), words),
        _cell("first", first),
        _cell("price", escape(price or _NOTHING), f"{price} for a million tokens" if "$" in price else ""),
    )
    return "".join(cells)


def _cell(name: str, html: str, title: str = "") -> str:
    titled = f' title="{escape(title)}"' if title else ""
    return f'<span class="nbretry-{name} {AS_WRITTEN}"{titled}>{html}</span>'
