"""Plain JSON records: made from any value, masked, and read back with each field checked."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, Self, cast

from nbretry._utils.redaction import mask
from nbretry._utils.text import cut_end, nearest

__all__ = ["Record", "Recorded", "copied", "masked", "plain", "whole_characters"]

_IMAGE = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]*")
_SHOWN_VALUE = 40


def copied(value: Any) -> Any:
    """Copy lists, dicts and tuples at every depth; keep everything else as it is."""
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return tuple(copied(item) for item in value) if type(value) is tuple else value


def plain(value: Any) -> Any:
    """Convert a value to the types of JSON; a value of any other type becomes its ``repr``."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else repr(value)


def whole_characters(text: str) -> str:
    """Replace lone surrogates in a text, because text with them can be neither displayed nor saved."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def masked(value: Any) -> Any:
    """Return a record with every secret in its texts masked. Image data stays as it is: it holds no secrets."""
    if isinstance(value, str):
        return value if _IMAGE.fullmatch(value) else mask(value)
    if isinstance(value, dict):
        return {masked(name): masked(item) for name, item in value.items()}
    return [masked(item) for item in value] if isinstance(value, list | tuple) else value


class Recorded:
    """Base class of objects that are pickled as their record.

    They may contain exceptions of SDKs, which hold clients and sockets that cannot be pickled. Derived classes are
    immutable, and have ``to_dict`` and the class method ``from_dict``.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        kind: Any = type(self)
        return kind.from_dict, (kind.to_dict(self),)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Record:
    """A record whose fields are checked when they are read; a field that is missing or None has its default.

    Args:
        record: the value that was read.
        what: what it should be the record of, such as ``an answer``, for error messages.
        names: names of all fields that it may have.

    Raises:
        ValueError: the value is not a dict, or has another field. Each method raises it if its field does not fit.
    """

    def __init__(self, record: Any, what: str, names: Sequence[str]) -> None:
        self._what = what
        if not isinstance(record, Mapping):
            self._refuse(f"it is {_short(record)}, and should be a dict")
        self._record = record
        for name in record:
            if name not in names:
                self._refuse(f"it has {_short(name)}{nearest(str(name), names)}")

    def text(self, name: str, default: str = "") -> str:
        """Return a text, with lone surrogates replaced."""
        value = self._record.get(name)
        if not isinstance(value, str | None):
            self.refuse(name, "a text")
        return default if value is None else whole_characters(value)

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None."""
        return None if self._record.get(name) is None else self.text(name)

    def number(self, name: str) -> float | None:
        """Return a finite number, or None."""
        value = self._record.get(name)
        if value is not None and not _is_number(value):
            self.refuse(name, "a number")
        return cast("float | None", value)

    def whole(self, name: str) -> int | None:
        """Return a whole number of 0 or more, or None."""
        value = self._record.get(name)
        if value is not None and not (isinstance(value, int) and _is_number(value) and value >= 0):
            self.refuse(name, "a whole number of 0 or more")
        return value

    def flag(self, name: str) -> bool:
        """Return a bool; False if the field is missing."""
        value = self._record.get(name)
        if not isinstance(value, bool | None):
            self.refuse(name, "true or false")
        return bool(value)

    def word(self, name: str, words: Iterable[str]) -> str | None:
        """Return one of these words, or None."""
        known = list(words)
        value = self._record.get(name)
        if value is not None and value not in known:
            self.refuse(name, f"one of {', '.join(known)}")
        return value

    def numbers(self, name: str) -> list[float]:
        """Return a list of finite numbers of 0 or more."""
        values = self.items(name, (int, float), "numbers")
        if not all(_is_number(value) and value >= 0 for value in values):
            self.refuse(name, "a list of numbers of 0 or more")
        return values

    def items(self, name: str, kind: type[Any] | tuple[type[Any], ...], kinds: str) -> list[Any]:
        """Return a list.

        Args:
            name: name of the field.
            kind: the type or types of each item.
            kinds: what the items are called in the error message.
        """
        value = self._record.get(name)
        if value is None:
            return []
        if not isinstance(value, list | tuple) or not all(isinstance(item, kind) for item in value):
            self.refuse(name, f"a list of {kinds}")
        return list(value)

    def inner(self, name: str, names: Sequence[str]) -> Record | None:
        """Return a record inside this one, or None."""
        value = self._record.get(name)
        return None if value is None else Record(value, f"{self._what}, {name!r}", names)

    def refuse(self, name: str, right: str) -> NoReturn:
        """Raise the error for a field that does not fit.

        Args:
            name: name of the field.
            right: what would be valid.
        """
        value = self._record.get(name)
        self._refuse(f"{name!r} is {'missing' if value is None else _short(value)}, and should be {right}")

    def _refuse(self, why: str) -> NoReturn:
        raise ValueError(f"no record of {self._what}: {why}")


def _is_number(value: Any) -> bool:
    """Return whether a value is safe to calculate with; Python's JSON allows NaN, infinity and integers of any size."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _short(value: Any) -> str:
    return cut_end(mask(repr(value)), _SHOWN_VALUE)
