"""The panel's question as a ``%%ask`` cell: its text, and a button that inserts it below.

A widget cannot insert a cell, but JupyterLab and Notebook 7 can: an HTML button that names their commands runs these
when it is clicked, and asks the user first if the notebook is not trusted. Elsewhere the button is hidden, and the user
can copy the text.
"""

from __future__ import annotations

import json
from html import escape

import ipywidgets

from nbretry._utils.redaction import MASK, mask
from nbretry.errors import ConfigError
from nbretry.notebook.panel.parts import make, markup, set_traits
from nbretry.notebook.panel.state import PanelState

__all__ = ["CellView"]

_WORDS = "Insert as cell"
_COMMANDS = ("notebook:insert-cell-below", "notebook:replace-selection")
_HINT = (
    "The same question as a cell, which runs again tomorrow without this panel. "
    "Copy it, or press <b>Insert as cell</b> where there is such a button; "
    "a cell with <code>nbretry.panel().insert_cell()</code> puts it below itself everywhere."
)
_KEY_LEFT_OUT = f"{MASK} stands for a key: the question is asked with it, and the button writes the cell without it."


class CellView:
    """The text of the cell, and the button.

    Args:
        state: the panel state that has the question.
    """

    def __init__(self, state: PanelState) -> None:
        self._state = state
        self._code = markup("nbretry-code", "nbretry-as-cell")
        self.button = markup("nbretry-insert")
        self.widget = make(ipywidgets.VBox, children=[markup("nbretry-quiet", html=_HINT), self._code])

    def show(self) -> None:
        """Show the state's question as a cell."""
        try:
            cell = self._state.cell()
        except ConfigError as refused:
            set_traits(self._code, value=f"<div>✗ {escape(mask(str(refused)))}</div>")
            set_traits(self.button, value=_button("", is_whole=True))
            return
        shown = mask(cell)
        note = "" if shown == cell else f'<div class="nbretry-quiet">{_KEY_LEFT_OUT}</div>'
        set_traits(self._code, value=f"<pre>{escape(shown)}</pre>{note}")
        set_traits(self.button, value=_button(shown if self._state.prompt.strip() else "", is_whole=shown == cell))


def _button(cell: str, *, is_whole: bool) -> str:
    """Return the button that inserts this cell; it is disabled if the cell is empty.

    Args:
        cell: text of the cell, secrets masked.
        is_whole: whether nothing in the cell was masked.
    """
    look = f'class="lm-Widget jupyter-widgets jupyter-button widget-button" title="{_title(cell, is_whole)}"'
    if not cell:
        return f"<button {look} disabled>{_WORDS}</button>"
    arguments = json.dumps({"commands": _COMMANDS, "args": {"text": cell}})
    command = f'data-commandlinker-command="apputils:run-all-enabled" data-commandlinker-args="{escape(arguments)}"'
    return f"<button {look} {command}>{_WORDS}</button>"


def _title(cell: str, is_whole: bool) -> str:
    if not cell:
        return "type a prompt first"
    words = "write this question as a cell below"
    return words if is_whole else f"{words}, with {MASK} in place of a key"
