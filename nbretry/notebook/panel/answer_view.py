"""What the panel shows of an answer: what happened, the reasoning, the text, a line, and the report."""

from __future__ import annotations

from html import escape

import ipywidgets

from nbretry._utils.redaction import mask
from nbretry.notebook.panel.painting import Picture
from nbretry.notebook.panel.parts import make, markup, show_html

__all__ = ["AnswerView"]


class AnswerView:
    """What happened, the answer under it, and a line on what went wrong or the report in its place."""

    def __init__(self) -> None:
        self.attempts = markup("nbretry-happened")
        # Apart, as a fold that somebody has opened closes when its HTML is replaced.
        self.failures = markup("nbretry-happened")
        self.reasoning = markup()
        self.text = markup("nbretry-text", mathematics=True)
        self.note = markup("nbretry-note", "nbretry-quiet")
        self.report = markup()
        parts = [self.attempts, self.failures, self.reasoning, self.text, self.note, self.report]
        self.widget = make(ipywidgets.VBox, "nbretry-answer", children=parts)
        self.show(Picture())
        self.show_attempts("")
        self.show_failures("")

    def show(self, picture: Picture) -> None:
        """Show this in place of what was there before."""
        show_html(self.reasoning, picture.reasoning)
        show_html(self.text, picture.text)
        show_html(self.report, picture.report)
        self.show_note(picture.note)

    def show_attempts(self, html: str) -> None:
        """Show this safe HTML as the lines of all attempts, and leave the rest as it is."""
        show_html(self.attempts, html)

    def show_failures(self, html: str) -> None:
        """Show this safe HTML as what failed, and leave the rest as it is."""
        show_html(self.failures, html)

    def show_note(self, note: str) -> None:
        """Show this line of text, and leave the rest as it is."""
        show_html(self.note, escape(mask(note)))
