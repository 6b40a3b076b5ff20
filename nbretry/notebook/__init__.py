"""The IPython extension: the magics, their output in a cell, and `ask`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from nbretry.notebook.asking.ask import ask

__all__ = ["ask", "load_ipython_extension", "unload_ipython_extension"]


if not TYPE_CHECKING:  # if type checkers saw this, they would accept every misspelled name

    def __getattr__(name: str) -> Any:
        if name != "ask":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from nbretry.notebook.asking.ask import ask

        return ask


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register ``%%ask``, ``%ask`` and ``%nbretry``. IPython calls this for ``%load_ext nbretry``.

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
    """Remove ``%%ask``, ``%ask`` and ``%nbretry`` again. IPython calls this for ``%unload_ext nbretry``.

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
    if late_outputs is not None:  # a question was asked in the background, and may still be running
        late_outputs.CellWatch.retire(shell)
