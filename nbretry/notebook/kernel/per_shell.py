"""Parts of the extension that are installed once per shell and can be uninstalled again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Installable", "PerShell"]


class Installable(Protocol):
    """A part of the extension that is made for one shell."""

    def install(self) -> None:
        """Add the part to the shell."""

    def uninstall(self) -> None:
        """Remove the part from the shell."""


_Part = TypeVar("_Part", bound=Installable)


class PerShell(Generic[_Part]):
    """One part for each shell.

    Args:
        make: makes the part for a shell.
    """

    def __init__(self, make: Callable[[InteractiveShell], _Part]) -> None:
        self._make = make
        self._parts: dict[InteractiveShell, _Part] = {}

    def register(self, shell: InteractiveShell) -> None:
        """Make the part and install it; a second call does nothing."""
        if shell not in self._parts:
            part = self._parts[shell] = self._make(shell)
            part.install()

    def unregister(self, shell: InteractiveShell) -> None:
        """Uninstall the part and forget it."""
        part = self._parts.pop(shell, None)
        if part is not None:
            part.uninstall()

    def get(self, shell: InteractiveShell) -> _Part | None:
        """Return the part of this shell, or None if it has none."""
        return self._parts.get(shell)
