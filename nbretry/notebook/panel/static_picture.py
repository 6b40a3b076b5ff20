"""What a notebook keeps of the panel: the last answer, as an output that is shown where there is no live panel.

A widget is nothing without its kernel. So the cell that shows the panel has a second output, ordinary HTML, which is
brought up to date after every answer and is hidden for as long as the panel lives in the page: by the panel's own style
sheet, which no saved file has. A page that has no panel to show says so in the first output; the picture's own style
hides that, and where a viewer drops styles it has dropped the widget as well.
"""

from __future__ import annotations

import uuid
from collections import deque
from html import escape
from typing import TYPE_CHECKING

from nbretry._utils.redaction import mask
from nbretry._utils.serialization import whole_characters
from nbretry.answer import Answer
from nbretry.notebook.output.late_outputs import LateOutputs
from nbretry.notebook.output.repainted import Bundle, is_captured
from nbretry.renderers.answer import answer_bundle

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["StaticPicture"]

_KEPT = 20
"""Cells whose pictures are brought up to date; what was shown before stays as it is."""

_NOTHING_ASKED = "nbretry panel: nothing has been asked yet."
_STILL_COMING = "… the answer was still coming in when this was written"
_RUN_AGAIN = "The panel itself needs its kernel: run this cell to ask."


class StaticPicture:
    """The pictures of one panel, one for each time that it is shown.

    Args:
        shell: the user's.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._name = f"nbretry-static-{uuid.uuid4().hex[:12]}"
        self._outputs: deque[LateOutputs] = deque(maxlen=_KEPT)
        self._captured: deque[Bundle] = deque(maxlen=_KEPT)
        self._bundle = self._bundle_of("", None)

    @property
    def style(self) -> str:
        """The rules by which a live panel hides its pictures, and one whose kernel is gone hides itself."""
        live = ".nbretry-panel:not(.jupyter-widgets-disconnected)"
        return (
            f"body:has({live}) .{self._name} {{ display: none; }}\n"
            ".nbretry-panel.jupyter-widgets-disconnected { display: none; }\n"
        )

    def show(self) -> None:
        """Show it in the running cell."""
        if is_captured(self._shell):  # it would keep every update as an output of its own
            self._captured.append(dict(self._bundle))
            self._shell.display_pub.publish(self._captured[-1], {})
            return
        outputs = LateOutputs(self._shell, 1)
        outputs.reserve(self._bundle)
        self._outputs.append(outputs)

    def update(self, question: str, answer: Answer | None) -> None:
        """Bring every picture up to date, from any thread.

        Args:
            question: as it was typed.
            answer: what there is of it; None where there is nothing.
        """
        bundle = self._bundle_of(question, answer)
        if bundle == self._bundle:
            return
        self._bundle = bundle
        for captured in list(self._captured):
            captured.update(bundle)
        for outputs in list(self._outputs):
            outputs.begin_again()
            outputs.publish(bundle)

    def _bundle_of(self, question: str, answer: Answer | None) -> Bundle:
        # JupyterLab puts each output into a child of its own; that before this one has the panel, or says it has none.
        child = ".jp-OutputArea-child"
        hide = f"{child}:not(:has(.nbretry-panel)):has(+ {child} .{self._name}) {{ display: none; }}"
        if answer is None:
            body, text = f"<div>{escape(_NOTHING_ASKED)}</div>", _NOTHING_ASKED
        else:
            shown = answer_bundle(answer)
            asked = mask(question).strip()
            body = f'<div style="white-space:pre-wrap;opacity:0.75">{escape(asked)}</div>{shown["text/html"]}'
            text = f"{asked}\n\n{shown['text/plain']}"
            if answer.duration is None:
                body += f"<div>{escape(_STILL_COMING)}</div>"
                text += f"\n\n{_STILL_COMING}"
        again = f'<div style="opacity:0.6;font-size:0.85em">{escape(_RUN_AGAIN)}</div>'
        html = f'<div class="nbretry-static {self._name}"><style>{hide}</style>{body}{again}</div>'
        return {"text/html": whole_characters(html), "text/plain": whole_characters(f"{text}\n\n{_RUN_AGAIN}")}
