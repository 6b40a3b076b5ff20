"""What `tomllib` does not do: find the line of each key in a TOML text, and write a table as TOML."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress

__all__ = ["key_lines", "table_text"]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r"""(?P<bare>[A-Za-z0-9_-]+)|(?P<basic>"(?:[^"\\\n]|\\.)*")|'(?P<literal>[^'\n]*)'""")
_VALUE = re.compile(
    r'''
      """(?:[^\\]|\\.)*?"""(?:"{1,2}(?!"))?  # quotes may stand before the closing ones
    | \'\'\'.*?\'\'\'(?:'{1,2}(?!'))?
    | "(?:[^"\\\n]|\\.)*"
    | '[^'\n]*'
    | [^\s,\]}\#"'\[{][^,\]}\#\n]*
    ''',
    re.VERBOSE | re.DOTALL,
)

Path = tuple[str, ...]


def key_lines(text: str) -> dict[Path, int]:
    """Return the line, counted from 1, in which each key or table of a TOML text first appears.

    Args:
        text: TOML that `tomllib` can read. In any other text, only the keys before the mistake are found.

    Returns:
        The lines by the key's path, such as ``("tool", "nbretry", "model")``. A table without a line of its own has
        the line of its first key or table.
    """
    scanner = _Scanner(text)
    with suppress(_UnreadableError, RecursionError):  # keys after the mistake have no line
        scanner.scan()
    return scanner.lines


def table_text(path: Path, values: Mapping[str, str]) -> str:
    """Write a table of texts as TOML.

    Args:
        path: path of the table, such as ``("tool", "nbretry")``.
        values: the table's values by key.

    Returns:
        One line for the table's name and one for each value.
    """
    heading = ".".join(map(_key_text, path))
    return "\n".join([f"[{heading}]", *(f"{_key_text(key)} = {_quoted(value)}" for key, value in values.items())])


class _UnreadableError(Exception):
    pass


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._counted_to = 0
        self._line = 1

    def scan(self) -> None:
        table: Path = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._take("["):
                of_array = self._take("[")
                table = self._key(())
                self._expect("]]" if of_array else "]")
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _pair(self, table: Path) -> None:
        path = self._key(table)
        self._expect("=")
        self._value(path)

    def _key(self, table: Path) -> Path:
        """Read a dotted key and return its path. Each part gets the current line unless it already has one."""
        path = table
        while True:
            self._skip(_SPACE)
            part = _KEY.match(self._text, self._at)
            if part is None:
                raise _UnreadableError
            path = (*path, _name(part))
            self.lines.setdefault(path, self._line_now())
            self._at = part.end()
            self._skip(_SPACE)
            if not self._take("."):
                return path

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        if self._take("["):
            self._many(lambda: self._value(path), "]")
        elif self._take("{"):
            self._many(lambda: self._pair(path), "}")
        else:
            self._skip(_VALUE)

    def _many(self, read: Callable[[], None], end: str) -> None:
        self._skip(_BLANK)
        while not self._take(end):
            read()
            self._skip(_BLANK)
            self._take(",")
            self._skip(_BLANK)

    def _take(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise _UnreadableError

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise _UnreadableError
        self._at = found.end()

    def _line_now(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line


def _name(part: re.Match[str]) -> str:
    if part["basic"] is None:
        return part["literal"] if part["bare"] is None else part["bare"]
    if "\\" not in part["basic"]:
        return part["basic"][1:-1]
    import tomllib

    try:
        return str(tomllib.loads(f"key = {part['basic']}")["key"])
    except tomllib.TOMLDecodeError:
        raise _UnreadableError from None


def _key_text(key: str) -> str:
    found = _KEY.fullmatch(key)
    return key if found is not None and found["bare"] else _quoted(key)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'
