"""The panel: a graphical interface to ``%%ask``, built only with the widgets of ipywidgets."""
