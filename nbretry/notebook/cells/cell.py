"""A cell that has run, with its outputs, and the sources that IPython has kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbretry.notebook.cells.excerpts import Excerpt

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Cell", "ShownOutput", "numbered_sources", "request_of"]

_MOST_OUTPUTS = 200
_LONGEST_OUTPUTS = 60_000


# No dataclasses: making them would take a large part of the time that %load_ext needs.


class ShownOutput:
    """Text that was printed to a stream, or the last state of one display."""

    def __init__(self, stream: str, text: str) -> None:
        self.stream = stream
        self.excerpt = Excerpt(text)


class Cell:
    """A cell that has run or is running.

    Args:
        source: its source as it was typed.
        number: its number, as in ``In [3]``, if it is known.

    Attributes:
        error: a short traceback of the exception that ended it; empty if there was none.
    """

    def __init__(self, source: str, number: int | None = None) -> None:
        self.source = source
        self.number = number
        self.error = ""
        self.outputs: list[ShownOutput] = []
        self._is_cut = False
        self._is_cleared_by_next = False

    def show(self, output: ShownOutput) -> None:
        self._clear_if_due()
        self.outputs.append(output)
        while len(self.outputs) > 2 and (
            len(self.outputs) > _MOST_OUTPUTS or sum(one.excerpt.size for one in self.outputs) > _LONGEST_OUTPUTS
        ):
            del self.outputs[len(self.outputs) // 2]
            self._is_cut = True

    def print(self, stream: str, text: str) -> None:
        self._clear_if_due()
        if self.outputs and self.outputs[-1].stream == stream:
            self.outputs[-1].excerpt.append(text)
        else:
            self.show(ShownOutput(stream, text))

    def clear(self, wait: bool) -> None:
        self._is_cleared_by_next = wait
        if not wait:
            self.outputs.clear()

    def _clear_if_due(self) -> None:
        if self._is_cleared_by_next:
            self.clear(wait=False)

    def output(self) -> str:
        texts = [output.excerpt.text().strip("\n") for output in self.outputs]
        if self._is_cut:
            texts.insert(len(texts) // 2, "[… some outputs cut …]")
        return "\n".join(text for text in texts if text.strip())


def numbered_sources(shell: InteractiveShell) -> list[tuple[int, str]]:
    """Return the numbers and sources of all cells that have run in a shell, as IPython has kept them."""
    sources = list(getattr(shell.history_manager, "input_hist_raw", ()))
    return [(number, source) for number, source in enumerate(sources) if source.strip()]


def request_of(shell: InteractiveShell) -> str:
    """Return the message id of the request for the running cell and all cells inside it; empty in a terminal."""
    get_parent = getattr(shell, "get_parent", None)
    if get_parent is None:
        return ""
    return str((get_parent() or {}).get("header", {}).get("msg_id", ""))
