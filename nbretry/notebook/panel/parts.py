"""The parts that the panel is built of: widgets that show what they are told and know nothing of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets

from nbretry.notebook.panel.painting import Picture
from nbretry.notebook.panel.state import ProviderChoice, Standing
from nbretry.redaction import mask

__all__ = ["STYLE", "AnswerView", "ProviderRow", "button", "labelled", "markup", "row_heads", "set_traits"]

_NAME, _ORDER, _MODEL, _STATE = "0 1 9em", "0 0 68px", "2 1 8em", "3 1 8em"
"""How the columns of the picker share its width."""

_SIGNS = {"ready": "✓", "waiting": "…", "failing": "✗", "unable": "–"}
_COLOURS = {"ready": "#2e9e5b", "waiting": "#c98a1b", "failing": "#d4574e", "unable": "#888888"}

STYLE = """
.nbretry-panel { box-sizing: border-box; width: 100%; margin: 2px 0; padding: 12px 14px 10px;
  border: 1px solid var(--jp-border-color1, rgba(128, 128, 128, 0.4)); border-radius: 8px; overflow: hidden;
  color: var(--jp-ui-font-color1, inherit); }
.nbretry-panel .widget-html, .nbretry-panel .jupyter-widget-html { height: auto; min-width: 0; }
.nbretry-panel .widget-html-content { line-height: 1.5; min-width: 0; }
.nbretry-panel .nbretry-style { display: none; }
.nbretry-panel .nbretry-row { align-items: center; gap: 8px; overflow: hidden; }
.nbretry-panel .nbretry-row > * { margin: 2px 0; min-width: 0; width: auto; }
.nbretry-panel .nbretry-heads { color: var(--jp-ui-font-color2, inherit); font-size: 0.85em; font-weight: 600;
  border-bottom: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.3)); margin-bottom: 2px; }
.nbretry-panel .nbretry-state .widget-html-content { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.nbretry-panel .nbretry-order { gap: 4px; overflow: hidden; }
.nbretry-panel button { width: auto; min-width: 6em; }
.nbretry-panel .nbretry-order button { min-width: 0; width: 32px; padding: 0; margin: 0; }
.nbretry-panel .nbretry-name .widget-label-basic, .nbretry-panel .nbretry-name span { overflow: hidden;
  text-overflow: ellipsis; }
.nbretry-panel .widget-checkbox { align-items: center; }
.nbretry-panel .widget-label-basic { display: flex; align-items: center; gap: 6px; line-height: 1.5; }
.nbretry-panel .widget-checkbox input { margin: 0; flex: none; }
.nbretry-panel .widget-accordion, .nbretry-panel .jupyter-widget-Collapse { margin: 0; }
.nbretry-panel .nbretry-bar { flex-wrap: wrap; align-items: center; gap: 8px; margin: 4px 0; overflow: hidden; }
.nbretry-panel .nbretry-bar > * { margin: 2px 0; }
.nbretry-panel .nbretry-quiet { color: var(--jp-ui-font-color2, inherit); }
.nbretry-panel .nbretry-stacked { flex-direction: column; align-items: stretch; height: auto; width: auto;
  margin: 4px 0; }
.nbretry-panel .nbretry-stacked > label { width: auto; max-width: none; text-align: left; margin: 0;
  color: var(--jp-ui-font-color2, inherit); font-size: 0.85em; font-weight: 600; }
.nbretry-panel .nbretry-stacked > textarea { width: 100%; box-sizing: border-box; resize: vertical; }
.nbretry-panel .nbretry-answer { margin-top: 4px; }
.nbretry-panel .nbretry-answer > * { margin: 0; overflow: hidden; }
.nbretry-panel .nbretry-text > div { flex: 1 1 auto; line-height: 1.5; min-width: 0; overflow-x: auto;
  overflow-wrap: break-word; color: var(--jp-content-font-color1, inherit);
  font-size: var(--jp-content-font-size1, inherit); }
.nbretry-panel .nbretry-text > div > :first-child { margin-top: 4px; }
.nbretry-panel .nbretry-note .widget-html-content { white-space: pre-wrap; margin: 2px 0; font-size: 0.9em;
  overflow-wrap: anywhere; }
.nbretry-panel button:focus-visible, .nbretry-panel input:focus-visible, .nbretry-panel textarea:focus-visible,
.nbretry-panel select:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: -1px; }
"""


def button(words: str, tooltip: str, click: Callable[[], None], icon: str = "", style: str = "") -> Any:
    """A button that calls a function without arguments."""
    made = ipywidgets.Button(description=words, tooltip=tooltip, icon=icon, button_style=style)
    made.on_click(lambda _: click())
    return made


def markup(*classes: str, html: str = "", mathematics: bool = False) -> Any:
    """What shows HTML that is safe already."""
    made = (ipywidgets.HTMLMath if mathematics else ipywidgets.HTML)(value=html)
    for name in classes:
        made.add_class(name)
    return made


def labelled(widget: Any) -> Any:
    """A text area with its description above it, as wide as the panel."""
    widget.add_class("nbretry-stacked")
    return widget


def set_traits(widget: Any, **traits: Any) -> None:
    """Set the traits that are to change, so that nothing is sent for those that stay."""
    for name, value in traits.items():
        if getattr(widget, name) != value:
            setattr(widget, name, value)


def row_heads() -> Any:
    """The line above the rows of the picker."""
    heads = [("Provider", _NAME), ("Order", _ORDER), ("Model", _MODEL), ("State", _STATE)]
    cells = [ipywidgets.HTML(escape(words), layout={"flex": flex}) for words, flex in heads]
    return _row(cells, "nbretry-heads")


class ProviderRow:
    """One provider of the picker.

    Args:
        choice: what it shows, and what the user's changes go to.
        changed: is called after those.
        move: is called with the choice and -1 or 1.
    """

    def __init__(
        self, choice: ProviderChoice, changed: Callable[[], None], move: Callable[[ProviderChoice, int], None]
    ) -> None:
        name = choice.name
        self.choice = choice
        self._changed = changed
        self._is_on = ipywidgets.Checkbox(
            choice.on, description=name, indent=False, tooltip=f"ask {name}", layout={"flex": _NAME}
        )
        self._is_on.add_class("nbretry-name")
        self._earlier = button("↑", f"ask {name} earlier", lambda: move(choice, -1))
        self._later = button("↓", f"ask {name} later", lambda: move(choice, 1))
        self._model = ipywidgets.Text(
            choice.model, tooltip=f"model of {name}; empty for its own", layout={"flex": _MODEL}
        )
        self._state = ipywidgets.HTML(layout={"flex": _STATE}).add_class("nbretry-state")
        order = ipywidgets.HBox([self._earlier, self._later], layout={"flex": _ORDER}).add_class("nbretry-order")
        self.widget = _row([self._is_on, order, self._model, self._state])
        self._is_on.observe(self._take, "value")
        self._model.observe(self._take, "value")

    @property
    def controls(self) -> Sequence[Any]:
        """The widgets that a user changes or presses."""
        return self._is_on, self._earlier, self._later, self._model

    def allow(self, *, earlier: bool, later: bool) -> None:
        """Enable the buttons that move it."""
        set_traits(self._earlier, disabled=not earlier)
        set_traits(self._later, disabled=not later)

    def show(self, standing: Standing) -> None:
        """Show how the provider is doing."""
        words = escape(mask(standing.words))
        sign = f'<span style="color:{_COLOURS[standing.kind]}">{_SIGNS[standing.kind]}</span>'
        set_traits(self._state, value=f'<span title="{words}">{sign} {words}</span>')
        set_traits(self._model, placeholder=mask(standing.model) or "its own")

    def _take(self, change: Any) -> None:
        self.choice.on, self.choice.model = self._is_on.value, self._model.value
        self._changed()


class AnswerView:
    """The answer: the reasoning, the text, a line on what goes on or went wrong, and the report in its place."""

    def __init__(self) -> None:
        self._reasoning = markup()
        self._text = markup("nbretry-text", mathematics=True)
        self._note = markup("nbretry-note", "nbretry-quiet")
        self._report = markup()
        self.widget = ipywidgets.VBox([self._reasoning, self._text, self._note, self._report])
        self.widget.add_class("nbretry-answer")

    def show(self, picture: Picture) -> None:
        """Show this in place of what was there before."""
        for widget, html in (
            (self._reasoning, picture.reasoning),
            (self._text, picture.text),
            (self._note, escape(mask(picture.note))),
            (self._report, picture.report),
        ):
            set_traits(widget, value=html)
            set_traits(widget.layout, display=None if html else "none")

    def show_note(self, note: str) -> None:
        """Show this line, and leave the rest as it is."""
        set_traits(self._note, value=escape(mask(note)))
        set_traits(self._note.layout, display=None if note else "none")


def _row(cells: Sequence[Any], *classes: str) -> Any:
    row = ipywidgets.HBox(cells)
    for name in ("nbretry-row", *classes):
        row.add_class(name)
    return row
