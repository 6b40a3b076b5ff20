"""Code that the magics, the panel and the command line share: providers by name, questions, options and runs.

Each name below is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbretry.session.question import Question
    from nbretry.session.session import Session, default_session, register

__all__ = ["Question", "Session", "default_session", "register"]


if not TYPE_CHECKING:  # a type checker that sees __getattr__ would accept misspelled names

    def __getattr__(name: str) -> Any:
        match name:
            case "Question":
                from nbretry.session.question import Question as found
            case "Session":
                from nbretry.session.session import Session as found
            case "default_session":
                from nbretry.session.session import default_session as found
            case "register":
                from nbretry.session.session import register as found
            case _:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
