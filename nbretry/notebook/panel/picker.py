"""The panel's tab "Providers": a row for each provider, in the order of asking.

A row that is moved stays the same element of the page, so that it keeps the focus and an open list. Only its place
among the others changes, by the CSS property ``order``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets

from nbretry.notebook.panel.model_list import Spawn, Surroundings
from nbretry.notebook.panel.parts import HIDDEN, make, markup, set_class, set_traits
from nbretry.notebook.panel.provider_row import ProviderRow, heads_html
from nbretry.notebook.panel.state import PanelState, ProviderChoice, Standing

__all__ = ["PICKER_STYLE", "PickerView"]

_MANY = 8
"""With at most this many rows there is no search."""

_NOBODY = "Nobody is offered: see the tab “Add a provider”."

PICKER_STYLE = """
.nbretry-panel .nbretry-picker { container: nbretry-picker / inline-size; overflow: hidden; }
.nbretry-panel .nbretry-picker > *, .nbretry-panel .nbretry-provider > *, .nbretry-panel .nbretry-picker-bar > * {
  margin: 0; min-width: 0; }
.nbretry-panel .nbretry-picker .nbretry-hidden { display: none; }
.nbretry-panel .nbretry-picker-rows { reading-flow: flex-visual; overflow: visible; }
.nbretry-panel .nbretry-picker-bar { align-items: center; gap: 8px; padding: 1px 1px 8px; overflow: visible; }
.nbretry-panel .nbretry-picker-bar > .widget-text { flex: 0 1 16em; width: auto; }
.nbretry-panel .nbretry-picker-bar > .widget-html { flex: 1 1 auto; }
.nbretry-panel .nbretry-picker-bar > button { flex: none; min-width: 5em; }
.nbretry-panel .nbretry-provider { display: grid; align-items: center; gap: 0 10px; padding: 3px 1px; margin: 0;
  overflow: visible; grid-template:
    "place name order model model" auto ". state state first price" auto ". list list list list" auto
    / 22px minmax(0, 1fr) 62px 70px minmax(0, 1.1fr); }
.nbretry-panel .nbretry-provider > * { width: auto; }
.nbretry-panel .nbretry-facts, .nbretry-panel .nbretry-facts > .widget-html-content { display: contents; }
.nbretry-panel .nbretry-facts > .widget-html-content > span { min-width: 0; overflow: hidden; line-height: 22px;
  font-size: 0.92em; text-overflow: ellipsis; white-space: nowrap; font-variant-numeric: tabular-nums; }
.nbretry-panel .nbretry-place { grid-area: place; text-align: right; color: var(--jp-ui-font-color2, inherit); }
.nbretry-panel .nbretry-name { grid-area: name; }
.nbretry-panel .nbretry-order { grid-area: order; }
.nbretry-panel .nbretry-model { grid-area: model; }
.nbretry-panel .nbretry-state { grid-area: state; }
.nbretry-panel .nbretry-first { grid-area: first; }
.nbretry-panel .nbretry-price { grid-area: price; }
.nbretry-panel .nbretry-heads { padding: 0 1px; margin: 0 0 3px;
  border-bottom: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.3)); }
.nbretry-panel .nbretry-heads .nbretry-facts > .widget-html-content > span { font-size: 0.85em; font-weight: 600;
  line-height: 20px; color: var(--jp-ui-font-color2, inherit); }
.nbretry-panel .nbretry-picker-rows > .nbretry-provider {
  border-bottom: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.3)); }
.nbretry-panel .nbretry-sign { display: inline-block; width: 18px; font-weight: 600; }
.nbretry-panel .nbretry-ready { color: var(--jp-success-color1, #2e9e5b); }
.nbretry-panel .nbretry-waiting { color: var(--jp-warn-color1, #c98a1b); }
.nbretry-panel .nbretry-failing { color: var(--jp-error-color1, #d4574e); }
.nbretry-panel .nbretry-unable { color: var(--jp-ui-font-color2, #888888); }
.nbretry-panel .nbretry-off .nbretry-facts > .widget-html-content > span,
.nbretry-panel .nbretry-off .nbretry-name span { opacity: 0.6; }
.nbretry-panel .nbretry-provider > .widget-checkbox { height: 28px; overflow: hidden; }
.nbretry-panel .nbretry-name .widget-label-basic { min-width: 0; max-width: 100%; padding: 0 2px; overflow: hidden; }
.nbretry-panel .nbretry-name .widget-label-basic span { overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; line-height: 28px; }
.nbretry-panel .nbretry-provider > .widget-hbox { overflow: visible; }
.nbretry-panel .nbretry-order { gap: 4px; }
.nbretry-panel .nbretry-order > button, .nbretry-panel .nbretry-model > button { flex: none; width: 29px; height: 28px;
  min-width: 0; margin: 0; padding: 0; line-height: 26px; }
.nbretry-panel .nbretry-model > .widget-text { flex: 1 1 0; width: auto; min-width: 0; margin: 0; }
.nbretry-panel .nbretry-model input { min-width: 0; text-overflow: ellipsis; border-right-width: 0; }
.nbretry-panel .nbretry-model input::-webkit-calendar-picker-indicator { display: none !important; }
.nbretry-panel .nbretry-glyph { font-size: 0; }
.nbretry-panel .nbretry-glyph::before { font-size: var(--jp-ui-font-size1, 13px); }
.nbretry-panel .nbretry-earlier::before { content: "↑"; content: "↑" / ""; }
.nbretry-panel .nbretry-later::before { content: "↓"; content: "↓" / ""; }
.nbretry-panel .nbretry-opener::before { content: "▾"; content: "▾" / ""; }
.nbretry-panel .nbretry-opener.mod-active::before { content: "▴"; content: "▴" / ""; }
.nbretry-panel .nbretry-unlabelled { position: relative; }
.nbretry-panel .nbretry-unlabelled > label { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap; }
.nbretry-panel .nbretry-provider > .nbretry-models { grid-area: list; max-width: 640px; gap: 4px; padding: 4px 0 8px;
  overflow: visible; }
.nbretry-panel .nbretry-models > * { margin: 0; width: auto; overflow: visible; }
.nbretry-panel .nbretry-models > .widget-hbox { align-items: center; gap: 10px; }
.nbretry-panel .nbretry-models > .widget-hbox > * { margin: 0; }
.nbretry-panel .nbretry-models > .widget-hbox > .widget-text { flex: 0 1 14em; width: auto; min-width: 7em; }
.nbretry-panel .nbretry-models > .widget-hbox > button { flex: none; }
.nbretry-panel .nbretry-models-line .widget-html-content { padding: 4px 0; overflow-wrap: anywhere; }
.nbretry-panel .nbretry-models select { width: 100%; height: auto; margin: 0; box-sizing: border-box; padding: 2px;
  font-family: inherit; }
.nbretry-panel .nbretry-models option { padding: 1px 6px; overflow: hidden; text-overflow: ellipsis; }
@container nbretry-picker (min-width: 700px) {
  .nbretry-panel .nbretry-provider { column-gap: 12px; grid-template:
      "place name order model state first price" auto ". . . list list list list" auto
      / 22px minmax(90px, 1.2fr) 62px minmax(150px, 2fr) minmax(120px, 2fr) 76px minmax(70px, 128px); }
  .nbretry-panel .nbretry-picker-rows > .nbretry-provider { border: none; }
  .nbretry-panel .nbretry-facts > .widget-html-content > span { line-height: 28px; font-size: inherit; }
  .nbretry-panel .nbretry-heads .nbretry-facts > .widget-html-content > span { line-height: 24px; }
}
"""


class PickerView:
    """The provider picker.

    Args:
        state: the panel state with the providers.
        lock: held while anything changes.
        changed: called with the lock held after the user has changed something; it must call `show`.
        spawn: runs a coroutine in the background thread; the one that lists models calls ``changed``, too.

    Attributes:
        widget: the widget of the picker.
    """

    def __init__(self, state: PanelState, lock: threading.RLock, changed: Callable[[], None], spawn: Spawn) -> None:
        self._state = state
        self._lock = lock
        self._panel = Surroundings(lock, changed, spawn)
        self._rows: dict[ProviderChoice, ProviderRow] = {}
        self._search = make(
            ipywidgets.Text,
            placeholder="search",
            description="search the providers",
            tooltip="a part of a name, a model or a state",
        )
        self._search.add_class("nbretry-unlabelled")
        self._search.observe(self._searched, "value")
        self._count = markup("nbretry-quiet")
        self._all_on = self._switch("All on", "ask every provider that is shown", True)
        self._all_off = self._switch("All off", "ask no provider that is shown", False)
        self._bar = ipywidgets.HBox([self._search, self._count, self._all_on, self._all_off])
        self._bar.add_class("nbretry-picker-bar")
        self._row_box = make(ipywidgets.VBox, "nbretry-picker-rows")
        self._nobody = markup("nbretry-quiet", html=_NOBODY)
        self._heads = ipywidgets.HBox([markup("nbretry-facts", html=heads_html())])
        for name in ("nbretry-provider", "nbretry-heads"):
            self._heads.add_class(name)
        self.widget = ipywidgets.VBox([self._bar, self._heads, self._row_box, self._nobody])
        self.widget.add_class("nbretry-picker")
        self.show()

    @property
    def controls(self) -> Sequence[Any]:
        """The widgets that a user changes or presses."""
        rows = [control for row in self._rows.values() for control in row.controls]
        return [self._search, self._all_on, self._all_off, *rows]

    def show(self) -> None:
        """Update the rows to the state, except for how the providers are doing."""
        with self._lock:
            self._follow_choices()
            state = self._state
            for place, choice in enumerate(state.choices):
                self._rows[choice].show(place, state.may_move(choice, -1), state.may_move(choice, 1))
            set_class(self._heads, HIDDEN, not state.choices)
            set_class(self._nobody, HIDDEN, bool(state.choices))
            self._show_found()

    def show_standings(self, standings: Mapping[ProviderChoice, Standing]) -> None:
        """Show in the rows of these providers how they are doing."""
        with self._lock:
            for choice, standing in standings.items():
                if choice in self._rows:
                    self._rows[choice].show_standing(standing)
            self._show_found()

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _follow_choices(self) -> None:
        """Keep one row for each choice. A new choice takes over the row of a removed one that had the same name."""
        choices = self._state.choices
        if set(choices) == self._rows.keys():
            return
        left = [row for choice, row in self._rows.items() if choice not in choices]
        rows: dict[ProviderChoice, ProviderRow] = {}
        for choice in choices:
            row = self._rows.get(choice) or next((one for one in left if one.choice.name == choice.name), None)
            if row is None:
                row = ProviderRow(choice, self._state, self._panel, self._opened)
            elif row in left:
                left.remove(row)
                row.choice = choice
            rows[choice] = row
        self._rows = rows
        set_traits(self._row_box, children=tuple(row.widget for row in rows.values()))
        for row in left:
            row.close()

    def _opened(self, opened: ProviderRow) -> None:
        for row in self._rows.values():
            if row is not opened:
                row.models.close()

    # --- search -------------------------------------------------------------------------------------------------------

    def _found(self) -> list[ProviderRow]:
        """Return the rows that match the search."""
        words = self._search.value.casefold().split() if len(self._rows) > _MANY else []
        return [row for row in self._rows.values() if all(word in row.words for word in words)]

    def _show_found(self) -> None:
        found = self._found()
        for row in self._rows.values():
            set_class(row.widget, HIDDEN, row not in found)
        set_class(self._bar, HIDDEN, len(self._rows) <= _MANY)
        is_narrowed = len(found) < len(self._rows)
        set_traits(self._count, value=f"{len(found)} of {len(self._rows)} shown" if is_narrowed else "")
        set_traits(self._all_on, disabled=all(row.choice.on for row in found))
        set_traits(self._all_off, disabled=not any(row.choice.on for row in found))

    def _searched(self, change: Any) -> None:
        with self._lock:
            self._panel.changed()

    def _switch(self, words: str, tooltip: str, on: bool) -> Any:
        def switch(_: Any) -> None:
            with self._lock:
                for row in self._found():
                    row.choice.on = on
                self._panel.changed()

        made = make(ipywidgets.Button, description=words, tooltip=tooltip)
        made.on_click(switch)
        return made
