"""An input transformer that lets a one-line question end in a question mark.

IPython reads a line that ends in ``?`` as a request for help, so ``%ask Why is the sky blue?`` would show the help of
``blue``, and ``%nbretry fix Why?`` that of ``Why``. For such lines this transformer runs before IPython's.
"""

from __future__ import annotations

import re
import tokenize
from typing import TYPE_CHECKING

from IPython.core.inputtransformer2 import TokenTransformBase

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["install", "uninstall"]

_QUESTION = re.compile(
    r"(?P<before>\s*(?:[\w.\[\]'\",][\w.\[\]'\", ]*=\s*)?)%(?P<magic>ask|nbretry(?=[ \t]+fix\b))[ \t]+"
    r"(?=[\s?]*[^\s?])(?P<line>.*\?)\s*$"  # takes linear time, as a line may be very long
)
_INDENTATION = (tokenize.INDENT, tokenize.DEDENT)


class LineQuestion(TokenTransformBase):
    """A transformer that turns ``%ask …?``, ``x = %ask …?`` and ``%nbretry fix …?`` into calls of the magic."""

    priority = 0  # before IPython's help transformer at the same position

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> LineQuestion | None:
        """Return a transformer for the first ``%ask`` line of a cell, or None if the cell has no such line."""
        for tokens in tokens_by_line:
            first = next((token for token in tokens if token.type not in _INDENTATION), None)
            if first is not None and _QUESTION.match(first.line.splitlines()[0] if first.line else ""):
                return cls(first.start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """Return the cell's lines with this line turned into Python."""
        match = _QUESTION.match(lines[self.start_line])
        if match is None:
            return lines
        call = f"{match['before']}get_ipython().run_line_magic({match['magic']!r}, {match['line']!r})\n"
        return [*lines[: self.start_line], call, *lines[self.start_line + 1 :]]


def install(shell: InteractiveShell) -> None:
    """Add the transformer to the shell."""
    transformers = shell.input_transformer_manager.token_transformers
    if LineQuestion not in transformers:
        transformers.append(LineQuestion)


def uninstall(shell: InteractiveShell) -> None:
    """Remove the transformer from the shell."""
    transformers = shell.input_transformer_manager.token_transformers
    if LineQuestion in transformers:
        transformers.remove(LineQuestion)
