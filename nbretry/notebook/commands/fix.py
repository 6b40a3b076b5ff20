"""``%nbretry fix``: ask a model to explain the notebook's last exception, with the cell that raised it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from nbretry._utils.text import cut_middle
from nbretry.errors import ConfigError
from nbretry.notebook.asking.prepare import prepare
from nbretry.notebook.asking.run import answer_prepared
from nbretry.notebook.cells.excerpts import fenced
from nbretry.notebook.cells.recorder import last_failure
from nbretry.notebook.cells.tracebacks import Failure
from nbretry.session.options import parse_magic_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]

_LONGEST_SOURCE = 20_000
_MOST_OTHER_CELLS = 5
_TASK = """\
A cell of my notebook has failed. Say in a few sentences what the cause is and how it is mended. Then give the corrected
code in one fenced block."""


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Ask a model what caused the last exception, and how to fix it.

    Args:
        shell: the user's IPython shell.
        words: one item, the rest of the line: options of ``%ask``, and optionally a question of the user's.

    Raises:
        ConfigError: no cell has failed, or an option is wrong.
        RetryProviderError: no provider answered.
        KeyboardInterrupt: the user interrupted the kernel.
    """
    asked = parse_magic_line(" ".join(words))
    failure = last_failure(shell)
    if failure is None:
        raise ConfigError("there is nothing to fix: no cell of this notebook has failed")
    question = replace(asked.question, prompt=_prompt(failure, str(asked.question.prompt)))
    # raw: a traceback may contain text like {{ name }}, which must not be replaced with a variable's value.
    # format: the answer is an explanation, so the format that the settings choose does not apply.
    asked = replace(asked, question=question, raw=True, format=asked.format or "markdown")
    answer_prepared(shell, prepare(shell, asked, shell.user_ns))


def _prompt(failure: Failure, question: str) -> str:
    parts = [_TASK]
    for name, source in list(failure.others.items())[-_MOST_OTHER_CELLS:]:
        parts.append(f"{name}, a cell in the traceback that ran before:\n{_code(source)}")
    if failure.source:
        parts.append(f"The cell that failed:\n{_code(failure.source)}")
    parts.append(f"The traceback:\n{fenced(failure.traceback)}")
    if question.strip():
        parts.append(question.strip())
    return "\n\n".join(parts)


def _code(source: str) -> str:
    language = "" if source.lstrip().startswith("%%") else "python"
    return fenced(cut_middle(source, _LONGEST_SOURCE), language)
