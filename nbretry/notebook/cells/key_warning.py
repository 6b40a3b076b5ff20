"""Warn about a key in the source of a cell: it is saved with the notebook, and everyone who gets that has the key.

The cell still runs. From then on nbretry masks the key in everything that it shows.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from nbretry._utils.redaction import KEY_PREFIX, remember_secret

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["register", "unregister"]

_WORTH_A_LOOK = re.compile(
    rf"key|secret|token|passw|credential|bearer|://[^\s/@]{{3,300}}@|\b(?:sk[-_]|{KEY_PREFIX})|AIza|AKIA|eyJ",
    re.IGNORECASE,
)
_SHORTEST_WORD = 16


def register(shell: InteractiveShell) -> None:
    """Check every cell of a shell from now on; a second call changes nothing."""
    unregister(shell)
    shell.events.register("pre_run_cell", _look)


def unregister(shell: InteractiveShell) -> None:
    """Stop checking cells."""
    if _look in shell.events.callbacks["pre_run_cell"]:
        shell.events.unregister("pre_run_cell", _look)


def _look(info: Any) -> None:
    source = info.raw_cell or ""
    if not _WORTH_A_LOOK.search(source):
        return
    from nbretry.notebook.cells.key_search import keys_in

    keys = keys_in(source)
    for _, value in keys:
        # A short plain word, such as the password of a test, also occurs in too many harmless texts.
        if not value.isalpha() or len(value) >= _SHORTEST_WORD:
            remember_secret(value)
    if keys:
        print(_warning([name for name, _ in keys]), file=sys.stderr)  # noqa: T201


def _warning(names: list[str]) -> str:
    from nbretry.providers.services import service_of_key

    named = list(dict.fromkeys(name for name in names if name))
    told = f" ({', '.join(named)})" if named else ""
    services = [service.name for name in named if (service := service_of_key(name)) is not None]
    variables = [name for name in named if name.isupper()]
    asked = (services or variables or ["PROVIDER"])[0]
    return (
        f"nbretry: this cell has a key in it{told}, and so has the saved notebook: take it out, and put it into .env "
        f"or enter it with %nbretry key {asked}"
    )
