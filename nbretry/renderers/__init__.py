"""Renderers: they turn events and answers into text, HTML or terminal output. None of them depends on a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbretry.renderers import jsonlines as jsonlines

if not TYPE_CHECKING:  # a type checker that sees __getattr__ would accept misspelled names

    def __getattr__(name: str) -> Any:
        if name != "jsonlines":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import nbretry.renderers.jsonlines as found  # the path in the README needs no import of its own

        return found
