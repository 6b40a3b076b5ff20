"""The picture of the panel that a notebook keeps: the last answer, shown where there is no live panel.

A widget cannot be displayed without its kernel. So the cell that shows the panel has a second output of ordinary HTML,
which is updated while an answer comes and when it has ended. While the panel is live in the page, the panel's style
sheet hides this output; a saved file does not contain that style sheet. A page that cannot show the panel says so in
the first output, and the picture's own style hides that. A viewer that drops styles drops the widget as well.
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
from nbretry.renderers.painter import in_one_block

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["StaticPicture"]

_KEPT = 20
"""Number of cells whose pictures are updated; earlier pictures stay as they are."""

_NOTHING_ASKED = "nbretry panel: nothing has been asked yet."
_STILL_COMING = "… the answer was still coming in when this was written"
_RUN_AGAIN = "The panel itself needs its kernel: run this cell to ask."


class StaticPicture:
    """The pictures of one panel, one for each time that it is shown.

    Args:
        shell: the user's IPython shell.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._name = f"nbretry-static-{uuid.uuid4().hex[:12]}"
        self._outputs: deque[LateOutputs] = deque(maxlen=_KEPT)
        self._captured: deque[Bundle] = deque(maxlen=_KEPT)
        self._bundle = self._bundle_of("", None)

    @property
    def style(self) -> str:
        """CSS rules that hide the pictures of a live panel, and a panel whose kernel is gone."""
        live = ".nbretry-panel:not(.jupyter-widgets-disconnected)"
        return (
            f"body:has({live}) .{self._name} {{ display: none; }}\n"
            ".nbretry-panel.jupyter-widgets-disconnected { display: none; }\n"
        )

    def show(self) -> None:
        """Show the picture in the running cell."""
        if is_captured(self._shell):  # a capture would keep every update as a separate output
            self._captured.append(dict(self._bundle))
            self._shell.display_pub.publish(self._captured[-1], {})
            return
        outputs = LateOutputs(self._shell, 1)
        outputs.reserve(self._bundle)
        self._outputs.append(outputs)

    def update(self, question: str, answer: Answer | None) -> None:
        """Update every picture. Any thread may call this.

        Args:
            question: the question as it was typed.
            answer: the answer so far; None if there is none.
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
        # JupyterLab wraps each output in an element. The element before this one has the panel, or says there is none.
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
        return {
            "text/html": in_one_block(whole_characters(html)),
            "text/plain": whole_characters(f"{text}\n\n{_RUN_AGAIN}"),
        }
