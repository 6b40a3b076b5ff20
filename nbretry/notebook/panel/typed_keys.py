"""Recognise a key that was typed into a field for something else, so that the panel can empty the field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias
from urllib.parse import unquote

from nbretry._utils.redaction import key_shapes_in, mask, names_secret, remember_secret

__all__ = ["Meant", "remember_typed_key"]

Meant: TypeAlias = Literal["variable", "address", "name"]
"""What a field is for: the name of an environment variable, a URL, or any other name."""

# Repetitions have a limit, so that matching is fast for every text.
_ASSIGNED = re.compile(r"(?<![\w-])(?P<name>[\w-]{1,60})\s{0,20}(?:=|:\s)\s{0,20}[\"']?(?P<value>[^\s\"']{1,500})")
_PARAMETER = re.compile(r"[?&#;](?P<name>[^=&#;]{1,60})=(?P<value>[^&#;]{1,500})")
_SECRET_PARAMETER = re.compile(r"(?:^|[-_.])(?:key|sig|signature|auth|code|pwd|pass\w*)$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?:^|//)(?P<user>[^/?#:@]{0,300})(?::(?P<password>[^/?#]{0,300}))?@")
_CREDENTIALS_WITH_SLASH = re.compile(r"//[^/?#:@]{0,300}:(?!\d{0,5}(?:[/?#]|$))(?P<password>[^@]{1,300})@")
# Keys of services that use no prefix are one long run of letters and digits.
_OF_CHANCE = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{24,500}")
_NO_VARIABLE = re.compile(
    r"""
      (?<![A-Za-z0-9])(?:
        (?=[A-Za-z]*[0-9])[A-Za-z0-9]{16,}
      | (?=[A-Za-z]*[0-9])(?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{10,}
      | [A-Za-z]{24,}
      )
    """,
    re.VERBOSE,
)
_WORD = re.compile(r"[A-Za-z]{1,15}[0-9]{0,4}|[0-9]{1,5}[A-Za-z]?")
_SHORTEST_PLAIN_WORD = 16


def remember_typed_key(text: str, meant: Meant) -> bool:
    """Return whether a text is or contains a key. If so, mask the key from now on wherever it would be shown.

    Args:
        text: the text as typed.
        meant: what the field is for.
    """
    if not text.strip():
        return False
    keys = [key for view in {text, unquote(text)} for key in _keys_in(view, meant)]
    for key in keys:
        # Do not mask a short plain word, such as the password of a test: it occurs in too many other texts.
        if not key.isalpha() or len(key) >= _SHORTEST_PLAIN_WORD:
            remember_secret(key)
    is_key = bool(keys) or (meant == "variable" and not text.strip().isidentifier())
    if is_key and not _is_words(text):
        remember_secret(text.strip())
    return is_key


def _keys_in(text: str, meant: Meant) -> Iterator[str]:
    yield from key_shapes_in(text)
    yield from (word for word in text.split() if mask(word) != word)
    yield from (found["value"] for found in _ASSIGNED.finditer(text) if _names_secret(found["name"]))
    if "://" not in text:  # an account in a URL may look the same, and is not secret
        yield from (found[0] for found in _OF_CHANCE.finditer(text))
    if meant == "variable":
        yield from (found[0] for found in _NO_VARIABLE.finditer(text))
    if meant == "address":
        yield from _keys_in_address(text)


def _keys_in_address(text: str) -> Iterator[str]:
    for found in _CREDENTIALS.finditer(text):
        yield found["password"] or found["user"] or found[0]
    yield from (found["password"] for found in _CREDENTIALS_WITH_SLASH.finditer(text))
    for found in _PARAMETER.finditer(text):
        if _names_secret(found["name"]) or _SECRET_PARAMETER.search(found["name"]) or _OF_CHANCE.search(found["value"]):
            yield found["value"]


def _names_secret(name: str) -> bool:
    return names_secret(name.replace("-", "_"))


def _is_words(text: str) -> bool:
    """Return whether a text is only words and short numbers, such as a host name, which other texts contain, too."""
    return all(_WORD.fullmatch(piece) for piece in re.split(r"[^A-Za-z0-9]+", text) if piece)
