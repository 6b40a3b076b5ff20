"""Ask language models from notebook cells, with retry and fallback over providers.

Importing this package loads neither IPython nor an SDK; each name below is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbretry.answer import Answer
    from nbretry.attempts import Attempt
    from nbretry.deadlines import Deadlines
    from nbretry.errors import RetryNoProviderError, RetryProviderError
    from nbretry.notebook import ask, load_ipython_extension, unload_ipython_extension
    from nbretry.notebook.panel.widget import panel
    from nbretry.policy import RetryPolicy
    from nbretry.prices import PriceTable
    from nbretry.providers import IterListProvider, RetryProvider
    from nbretry.providers.health import Cooldown
    from nbretry.session import default_session, register

__version__ = "0.1.0"

_HOMES = {
    "Answer": "nbretry.answer",
    "Cooldown": "nbretry.providers.health",
    "Deadlines": "nbretry.deadlines",
    "PriceTable": "nbretry.prices",
    "Attempt": "nbretry.attempts",
    "IterListProvider": "nbretry.providers.retry_provider",
    "RetryNoProviderError": "nbretry.errors",
    "RetryPolicy": "nbretry.policy",
    "RetryProvider": "nbretry.providers.retry_provider",
    "RetryProviderError": "nbretry.errors",
    "ask": "nbretry.notebook",
    "default_session": "nbretry.session",
    "load_ipython_extension": "nbretry.notebook",
    "panel": "nbretry.notebook.panel.widget",
    "register": "nbretry.session",
    "unload_ipython_extension": "nbretry.notebook",
}

__all__ = [
    "Answer",
    "Attempt",
    "Cooldown",
    "Deadlines",
    "IterListProvider",
    "PriceTable",
    "RetryNoProviderError",
    "RetryPolicy",
    "RetryProvider",
    "RetryProviderError",
    "ask",
    "default_session",
    "load_ipython_extension",
    "panel",
    "register",
    "unload_ipython_extension",
]


if not TYPE_CHECKING:  # where it is seen, type checkers take a name that is misspelt for one that there is

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
