"""What `tomllib` does not do: it tells in which line of a TOML text each key stands, and writes a table."""

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
    """The line, from 1, in which each key or table of a TOML text is written first.

    Args:
        text: what `tomllib` can read. Of any other text, what stands before the mistake is found.

    Returns:
        By the key's path, as ``("tool", "nbretry", "model")``; tables that have no line of their own stand in that of
        their first key or table.
    """
    scanner = _Scanner(text)
    with suppress(_UnreadableError, RecursionError):  # whoever asks goes without a line
        scanner.scan()
    return scanner.lines


def table_text(path: Path, values: Mapping[str, str]) -> str:
    """A table of texts as TOML.

    Args:
        path: of the table, as ``("tool", "nbretry")``.
        values: what stands in it.

    Returns:
        A line for its name and one for each value.
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
        """A dotted key, each of whose parts gets this line unless it has one."""
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
