"""Ask language models from notebook cells, with retry and fallback across providers.

Importing this package loads neither IPython nor an SDK: each name below is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbretry._utils.display import set_painter as _set_painter
from nbretry._version import __version__ as __version__

if TYPE_CHECKING:
    from nbretry import errors as errors
    from nbretry import renderers as renderers
    from nbretry.answer import Answer
    from nbretry.attempts import Attempt
    from nbretry.errors import RetryNoProviderError, RetryProviderError
    from nbretry.notebook import load_ipython_extension, unload_ipython_extension
    from nbretry.notebook.asking.ask import ask
    from nbretry.notebook.panel.widget import panel
    from nbretry.prices import PriceTable
    from nbretry.providers.retry_provider import IterListProvider, RetryProvider
    from nbretry.retry.deadlines import Deadlines
    from nbretry.retry.health import Cooldown
    from nbretry.retry.policy import RetryPolicy
    from nbretry.session import default_session, register

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


def _paint(answer: Answer) -> dict[str, str]:
    from nbretry.renderers.answer import answer_bundle  # only a program that shows an answer needs the renderers

    return answer_bundle(answer)


_set_painter(_paint)


if not TYPE_CHECKING:  # a type checker that sees __getattr__ would accept misspelled names

    def __getattr__(name: str) -> Any:
        match name:
            case "Answer":
                from nbretry.answer import Answer as found
            case "Attempt":
                from nbretry.attempts import Attempt as found
            case "RetryNoProviderError":
                from nbretry.errors import RetryNoProviderError as found
            case "RetryProviderError":
                from nbretry.errors import RetryProviderError as found
            case "load_ipython_extension":
                from nbretry.notebook import load_ipython_extension as found
            case "unload_ipython_extension":
                from nbretry.notebook import unload_ipython_extension as found
            case "ask":
                from nbretry.notebook.asking.ask import ask as found
            case "panel":
                from nbretry.notebook.panel.widget import panel as found
            case "PriceTable":
                from nbretry.prices import PriceTable as found
            case "IterListProvider":
                from nbretry.providers.retry_provider import IterListProvider as found
            case "RetryProvider":
                from nbretry.providers.retry_provider import RetryProvider as found
            case "Deadlines":
                from nbretry.retry.deadlines import Deadlines as found
            case "Cooldown":
                from nbretry.retry.health import Cooldown as found
            case "RetryPolicy":
                from nbretry.retry.policy import RetryPolicy as found
            case "default_session":
                from nbretry.session import default_session as found
            case "register":
                from nbretry.session import register as found
            case "errors":
                import nbretry.errors as found  # `except nbretry.errors.RateLimitError` needs no import of its own
            case "renderers":
                import nbretry.renderers as found
            case _:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
