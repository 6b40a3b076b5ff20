"""The panel: ``%%ask`` with the mouse, in widgets of ipywidgets alone."""
