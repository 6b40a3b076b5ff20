"""The panel's view of an answer: the attempts, the failures, the reasoning, the text, a note and the report."""

from __future__ import annotations

from html import escape

import ipywidgets

from nbretry._utils.redaction import mask
from nbretry.notebook.panel.painting import Picture
from nbretry.notebook.panel.parts import make, markup, show_html

__all__ = ["AnswerView"]


class AnswerView:
    """The attempts, the answer below them, and a note on what went wrong, or the report instead."""

    def __init__(self) -> None:
        self.attempts = markup("nbretry-happened")
        # A separate widget: replacing its HTML closes a fold that the user has opened.
        self.failures = markup("nbretry-happened")
        self.reasoning = markup()
        self.text = markup("nbretry-text", mathematics=True)
        self.note = markup("nbretry-note", "nbretry-quiet")
        self.report = markup()
        parts = [self.attempts, self.failures, self.reasoning, self.text, self.note, self.report]
        self.widget = make(ipywidgets.VBox, "nbretry-answer-view", children=parts)
        self.show(Picture())
        self.show_attempts("")
        self.show_failures("")

    def show(self, picture: Picture) -> None:
        """Show this picture in place of the one before."""
        show_html(self.reasoning, picture.reasoning)
        show_html(self.text, picture.text)
        show_html(self.report, picture.report)
        self.show_note(picture.note)

    def show_attempts(self, html: str) -> None:
        """Show this safe HTML as the lines of all attempts, and leave the rest unchanged."""
        show_html(self.attempts, html)

    def show_failures(self, html: str) -> None:
        """Show this safe HTML as the failures, and leave the rest unchanged."""
        show_html(self.failures, html)

    def show_note(self, note: str) -> None:
        """Show this plain text as the note, and leave the rest unchanged."""
        show_html(self.note, escape(mask(note)))
