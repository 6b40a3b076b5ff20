"""Plain records, as JSON has them: made from anything, masked, and read back with each field checked."""

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
    """Lists, dicts and tuples anew at every depth, everything else as it is."""
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    if isinstance(value, list):
        return [copied(item) for item in value]
    return tuple(copied(item) for item in value) if type(value) is tuple else value


def plain(value: Any) -> Any:
    """A new value of those that JSON has; what it has not is put in words."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else repr(value)


def whole_characters(text: str) -> str:
    """The text with half characters, which nothing that is shown or saved can hold, replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def masked(value: Any) -> Any:
    """A record with every secret in its texts masked; an image, which has none, keeps its data."""
    if isinstance(value, str):
        return value if _IMAGE.fullmatch(value) else mask(value)
    if isinstance(value, dict):
        return {masked(name): masked(item) for name, item in value.items()}
    return [masked(item) for item in value] if isinstance(value, list | tuple) else value


class Recorded:
    """What is pickled as its record, as exceptions of SDKs hold clients and sockets, which have no pickle.

    Derived classes do not change, and have ``to_dict`` and the class method ``from_dict``.
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
    """A record whose fields are checked when they are read; one that is missing or None has its default.

    Args:
        record: what was read.
        what: what it should be the record of, for the error, as ``an answer``.
        names: all fields that it may have.

    Raises:
        ValueError: it is no dict, or has another field; so does each method where a field does not fit.
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
        """A text, in whole characters."""
        value = self._record.get(name)
        if not isinstance(value, str | None):
            self.refuse(name, "a text")
        return default if value is None else whole_characters(value)

    def optional_text(self, name: str) -> str | None:
        """A text, or None."""
        return None if self._record.get(name) is None else self.text(name)

    def number(self, name: str) -> float | None:
        """A finite number, or None."""
        value = self._record.get(name)
        if value is not None and not _is_number(value):
            self.refuse(name, "a number")
        return cast("float | None", value)

    def whole(self, name: str) -> int | None:
        """A whole number of 0 or more, or None."""
        value = self._record.get(name)
        if value is not None and not (isinstance(value, int) and _is_number(value) and value >= 0):
            self.refuse(name, "a whole number of 0 or more")
        return value

    def flag(self, name: str) -> bool:
        """Whether something is so."""
        value = self._record.get(name)
        if not isinstance(value, bool | None):
            self.refuse(name, "true or false")
        return bool(value)

    def word(self, name: str, words: Iterable[str]) -> str | None:
        """One of these words, or None."""
        known = list(words)
        value = self._record.get(name)
        if value is not None and value not in known:
            self.refuse(name, f"one of {', '.join(known)}")
        return value

    def numbers(self, name: str) -> list[float]:
        """A list of finite numbers of 0 or more."""
        values = self.items(name, (int, float), "numbers")
        if not all(_is_number(value) and value >= 0 for value in values):
            self.refuse(name, "a list of numbers of 0 or more")
        return values

    def items(self, name: str, kind: type[Any] | tuple[type[Any], ...], kinds: str) -> list[Any]:
        """A list.

        Args:
            name: of the field.
            kind: the type or types of each item.
            kinds: what the items are, for the error.
        """
        value = self._record.get(name)
        if value is None:
            return []
        if not isinstance(value, list | tuple) or not all(isinstance(item, kind) for item in value):
            self.refuse(name, f"a list of {kinds}")
        return list(value)

    def inner(self, name: str, names: Sequence[str]) -> Record | None:
        """A record in this one, or None."""
        value = self._record.get(name)
        return None if value is None else Record(value, f"{self._what}, {name!r}", names)

    def refuse(self, name: str, right: str) -> NoReturn:
        """Say that a field does not fit.

        Args:
            name: of the field.
            right: what would be right.
        """
        value = self._record.get(name)
        self._refuse(f"{name!r} is {'missing' if value is None else _short(value)}, and should be {right}")

    def _refuse(self, why: str) -> NoReturn:
        raise ValueError(f"no record of {self._what}: {why}")


def _is_number(value: Any) -> bool:
    """Whether it can be reckoned with: JSON as Python reads it has NaN, infinity and integers without end."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _short(value: Any) -> str:
    return cut_end(mask(repr(value)), _SHOWN_VALUE)
