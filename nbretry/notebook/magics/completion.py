"""Tab completion in IPython and JupyterLab, in questions and in ``%nbretry``.

IPython calls every matcher of its completer at each Tab, in any cell, so this module imports little. The completions
come from `nbretry.notebook.magics.suggestions`, which is imported at the first Tab in a question or in ``%nbretry``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion, context_matcher

from nbretry.notebook.kernel.per_shell import PerShell

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from nbretry.notebook.magics.suggestions import Suggestions

__all__ = ["complete", "register", "unregister"]

_FIRST = 1000
"""Priority of the matcher: before jedi, which is slow on text that is not Python."""

_CELL_MAGIC = re.compile(r"\s*%%(?P<name>\w*)(?:[ \t]+(?P<line>.*))?")
_LINE_MAGIC = re.compile(r"\s*(?:[\w.\[\]'\",][\w.\[\]'\", ]*=\s*)?%(?P<name>ask|nbretry)[ \t]+(?P<line>.*)")


def complete(cell: str, row: int, column: int, namespace: Mapping[str, Any]) -> Suggestions | None:
    """Return the completions at the cursor, if it is in a question or in ``%nbretry``.

    Args:
        cell: text of the whole cell.
        row: the cursor's line, from 0.
        column: number of characters before the cursor in its line.
        namespace: the user's variables, by name.

    Returns:
        The completions; None to leave completion to IPython.
    """
    lines = cell.split("\n")
    before = lines[row][:column]
    head = _row_of_question(lines)
    if head is not None and row >= head:
        first = _CELL_MAGIC.fullmatch((before if row == head else lines[head]).rstrip("\r"))
        options = None if first is None else first["line"]
        if row == head and options is None:
            return None
        from nbretry.notebook.magics import suggestions

        if row == head:
            return suggestions.for_question_line(options or "", namespace, in_cell=True)
        body = "\n".join([*lines[head + 1 : row], before])
        return suggestions.for_prompt(body, namespace, options=options or "")
    match = _LINE_MAGIC.fullmatch(before)
    if match is None:
        return None
    from nbretry.notebook.magics import suggestions

    if match["name"] == "ask":
        return suggestions.for_question_line(match["line"], namespace, in_cell=False)
    return suggestions.for_command_line(match["line"], namespace)


def _row_of_question(lines: list[str]) -> int | None:
    """Return the row of ``%%ask``, at the top or below other cell magics; None if the cell has no such row."""
    for row, line in enumerate(lines):
        magic = _CELL_MAGIC.match(line)
        if magic is not None and magic["name"] == "ask":
            return row
        if line.strip() and magic is None:
            return None
    return None


class _Only(list[Any]):
    """A list of completions that keeps out those of other matchers, even if it is empty.

    After an empty list the completer would call its other matchers, and offer files and builtins as a temperature.
    """

    def __len__(self) -> int:
        return max(1, super().__len__())


class _Matcher:
    """The matcher in the completer of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

        @context_matcher(priority=_FIRST, identifier="nbretry")  # type: ignore[untyped-decorator]
        def match(context: CompletionContext) -> SimpleMatcherResult:
            return self._match(context)

        self._function = match

    def install(self) -> None:
        self._completer().custom_matchers.append(self._function)

    def uninstall(self) -> None:
        matchers = self._completer().custom_matchers
        if self._function in matchers:
            matchers.remove(self._function)

    def _match(self, context: CompletionContext) -> SimpleMatcherResult:
        try:
            namespace = _visible(self._shell)
            found = complete(context.full_text, context.cursor_line, context.cursor_position, namespace)
        except Exception:
            # Pressing Tab must not show a traceback.
            logging.getLogger("nbretry").debug("no completions", exc_info=True)
            found = None
        if found is None:
            return {"completions": []}
        # The meaning is shown where other completions show a type. With ordinary spaces JupyterLab would wrap it after
        # each word, into lines that overlap.
        completions = _Only(
            SimpleCompletion(text=one.text, type=one.meaning.replace(" ", "\u00a0")) for one in found.suggestions
        )
        return {"completions": completions, "matched_fragment": found.fragment, "ordered": True, "suppress": True}

    def _completer(self) -> Any:
        return self._shell.Completer


def _visible(shell: InteractiveShell) -> dict[str, Any]:
    """Return the user's variables without those that IPython has defined."""
    hidden, missing = shell.user_ns_hidden, object()
    return {name: value for name, value in list(shell.user_ns.items()) if hidden.get(name, missing) is not value}


_matchers = PerShell(_Matcher)
register, unregister = _matchers.register, _matchers.unregister
