"""The floor that knows IPython: the magics, their output in a cell, and `ask`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbretry.notebook.asking.ask import ask

__all__ = ["ask", "load_ipython_extension", "unload_ipython_extension"]


if not TYPE_CHECKING:  # where it is seen, type checkers take a name that is misspelt for one that there is

    def __getattr__(name: str) -> Any:
        if name != "ask":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from nbretry.notebook.asking.ask import ask

        return ask


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext nbretry`` does: register ``%%ask``, ``%ask`` and ``%nbretry``.

    >>> %load_ext nbretry
    >>> import nbretry
    >>> from nbretry.testing import simulate
    >>> nbretry.register("hello", simulate("'Hello' ' world'"))
    >>> %ask -p hello Anybody there?
    Hello world
    ...
    """
    from nbretry.notebook.cells import key_warning, recorder
    from nbretry.notebook.magics import ask, completion, nbretry, preload

    for part in (ask, nbretry, recorder, completion, key_warning, preload):
        part.register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%unload_ext nbretry`` does: take ``%%ask``, ``%ask`` and ``%nbretry`` away again.

    >>> %load_ext nbretry
    >>> %unload_ext nbretry
    >>> "ask" in get_ipython().magics_manager.magics["cell"]
    False
    """
    from nbretry.notebook.cells import key_warning, recorder
    from nbretry.notebook.magics import ask, completion, nbretry, preload

    for part in (ask, nbretry, recorder, completion, key_warning, preload):
        part.unregister(shell)
    late_outputs = sys.modules.get("nbretry.notebook.output.late_outputs")
    if late_outputs is not None:  # a question has been asked in the background, which may go on
        late_outputs.CellWatch.retire(shell)
