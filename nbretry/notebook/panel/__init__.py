"""The panel: `%%ask` with the mouse, in widgets of ipywidgets alone."""

from nbretry.notebook.panel.widget import Panel, panel

__all__ = ["Panel", "panel"]
