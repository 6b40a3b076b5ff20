"""Find keys in the source of a cell: values assigned to the name of a secret, and texts in the shape of a key."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbretry._utils.redaction import key_shapes_in, names_secret

__all__ = ["keys_in"]

_NAME = r"(?<!\w)\w{0,60}(?:key|secret|token|passw(?:or)?d|credential)s?(?!\w)"
_LITERAL = r"""(?:\b[rbuf]{1,2})?(?P<quote>\"{3}|'{3}|["'])(?P<value>[^"'\\\n]{8,500})(?P=quote)"""
# Every repetition is bounded, so that no cell takes long to search.
_ASSIGNED = (
    # NAME = "…", name: str = "…", environ["NAME"] = "…", call(name="…")
    re.compile(
        rf"""(?P<name>{_NAME})(?:["']\s?\])?(?:\s?:[\w.\[\]| ]{{1,40}})?\s{{0,40}}=\s{{0,40}}{_LITERAL}""",
        re.IGNORECASE,
    ),
    # {"name": "…"}, setdefault("NAME", "…")
    re.compile(rf"""["'](?P<name>(?:[\w-]{{0,60}}-)?{_NAME})["']\s{{0,40}}:\s{{0,40}}{_LITERAL}""", re.IGNORECASE),
    re.compile(
        rf"""(?:setdefault|putenv|setenv)\(\s{{0,40}}["'](?P<name>{_NAME})["']\s{{0,40}},\s{{0,40}}{_LITERAL}""",
        re.IGNORECASE,
    ),
    # %env NAME=…, !export NAME=…
    re.compile(
        rf"""^[ \t]{{0,40}}(?:%(?:set_)?env|[%!]?[ ]?(?:export|set|setx))[ \t]{{1,40}}
             (?P<name>{_NAME})(?:=|[ ]=?[ ]?)["']?(?P<value>[^\s"']{{8,500}})["']?[ \t]{{0,40}}\r?$""",
        re.IGNORECASE | re.MULTILINE | re.VERBOSE,
    ),
)
_IN_A_FILE = re.compile(
    rf"""^(?:export[ ])?(?P<name>{_NAME})=["']?(?P<value>[^\s"']{{8,500}})["']?[ \t]{{0,40}}\r?$""",
    re.IGNORECASE | re.MULTILINE,
)
_FILE_CELL = re.compile(r"\s*%%(?:writefile|file)\b")
_FULL_NAME = re.compile(
    r"(?:API[_-]?KEY|(?:ACCESS|AUTH|PRIVATE|SECRET)[_-]?KEY|SECRET|PASSWORD|PASSWD)S?$", re.IGNORECASE
)
_PUBLIC = re.compile(r"public_?key", re.IGNORECASE)
_HALF_A_NAME = re.compile(r"(?:^|_)KEYS?$", re.IGNORECASE)
_KEY_LETTERS = re.compile(r"[!-~]+")  # printable ASCII, no space
_NO_KEY = re.compile(
    r"""
      [{}<>|*…()\[\]]|\.\.\.                            # a template, a word of a model's own, something left out
    | your|example|placeholder|dummy|change_?-?me|insert|replace|redacted|todo|x{4}|fake|\bnone\b
    | needed|required|unused|empty|^no-?key|^lm-?studio|^ollama|^token-abc123$  # what servers without keys are given
    | ^\$ | ^\w+://[^@]*$ | ^[.~]?/ | \.[a-z]{2,5}$     # a variable, an address, a file
    """,
    re.VERBOSE | re.IGNORECASE,
)
_VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
# Letters and digits mixed without separators. Words and numbers with separators are names, dates and versions.
_MIXED = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{8,}")
_SHORTEST = 8
_SHORTEST_OF_CHANCE = 16


def keys_in(source: str) -> list[tuple[str, str]]:
    """Return the keys in the source of a cell.

    Args:
        source: the source of the cell.

    Returns:
        Pairs of a name and a key: the name that the key is assigned to, or an empty string.
    """
    found: dict[str, str] = {}
    for name, value in _assigned(source):
        if _is_secret(name, value):
            found.setdefault(value, name)
    for value in key_shapes_in(source):
        # For the user and password in a URL, any digit is enough.
        is_random = re.search(r"\d", value) if ":" in value else _MIXED.search(value)
        if is_random and not _NO_KEY.search(value) and not any(value in known for known in found):
            found[value] = ""
    return [(name, value) for value, name in found.items()]


def _assigned(source: str) -> Iterator[tuple[str, str]]:
    """Yield names and the values assigned to them, for names that could be those of secrets."""
    for pattern in (*_ASSIGNED, _IN_A_FILE) if _FILE_CELL.match(source) else _ASSIGNED:
        for found in pattern.finditer(source):
            yield found["name"], found["value"]


def _is_secret(name: str, value: str) -> bool:
    if len(value) < _SHORTEST or not _KEY_LETTERS.fullmatch(value) or len(set(value)) < 3:
        return False
    if _NO_KEY.search(value) or _VARIABLE_NAME.fullmatch(value) or value.casefold() == name.casefold():
        return False
    if _FULL_NAME.search(name):
        return True
    # Other things called key or token are just as often names of columns or pieces of text.
    is_named_so = (names_secret(name) or _HALF_A_NAME.search(name) is not None) and not _PUBLIC.search(name)
    return is_named_so and len(value) >= _SHORTEST_OF_CHANCE and _MIXED.search(value) is not None
