"""Cells with their outputs as one text for a model to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nbretry._utils.redaction import mask
from nbretry._utils.text import cut_middle
from nbretry.notebook.cells.cell import Cell
from nbretry.notebook.cells.excerpts import fenced, plain

__all__ = ["LONGEST_CONTEXT", "block_of"]

LONGEST_CONTEXT = 40_000
"""Limit for the text of all cells together, in characters."""


def block_of(cells: Sequence[Cell]) -> str:
    """Return cells as one text of at most `LONGEST_CONTEXT` characters.

    Args:
        cells: the cells, oldest first.
    """
    if not cells:
        return "No cell of this notebook has run before this question."
    parts = [_Parts.of(cell) for cell in cells]
    excess = len(_text(parts)) - LONGEST_CONTEXT
    for name in ("output", "error", "source"):
        for cell in parts:
            text = getattr(cell, name)
            cut = cut_middle(text, max(0, len(text) - excess)) if excess > 0 else text
            if len(cut) < len(text):
                setattr(cell, name, cut)
                excess -= len(text) - len(cut)
    return _text(parts)


@dataclass(slots=True)
class _Parts:
    """The texts of a cell, with secrets masked."""

    number: int | None
    source: str
    output: str
    error: str

    @classmethod
    def of(cls, cell: Cell) -> _Parts:
        output = cell.output()
        # IPython prints some errors (exception groups, magics that do not exist), and so may the user's code: then the
        # error is in the output already.
        error = "" if output.endswith(cell.error.rpartition("\n")[2]) else cell.error
        return cls(cell.number, mask(plain(cell.source)), output, error)

    def __str__(self) -> str:
        language = "" if self.source.lstrip().startswith("%%") else "python"
        blocks = [(f"In [{self.number}]:" if self.number else "In:", fenced(self.source, language))]
        blocks += [(head, fenced(text)) for head, text in (("Output:", self.output), ("Error:", self.error)) if text]
        return "\n".join(f"{head}\n{block}" for head, block in blocks)


def _text(cells: list[_Parts]) -> str:
    head = "These cells of my notebook ran before this question, the oldest first, each with its output:"
    return "\n\n".join([head, *map(str, cells), "That was the last of these cells. Now the question:"])
