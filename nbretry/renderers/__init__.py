"""Renderers: they turn events and answers into text, HTML or terminal output. None of them depends on a notebook."""
