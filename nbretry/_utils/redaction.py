"""Masking of secrets in everything that is shown, logged or saved.

Two kinds of text are masked: values that this process knows to be secret (keys passed to providers, and environment
variables whose names say so), and text in the shape of the keys that services issue. A secret is replaced as a whole:
none of its characters stays.
"""

from __future__ import annotations

import functools
import os
import re
import threading

__all__ = [
    "KEY_PREFIX",
    "MASK",
    "MaskedStream",
    "key_shapes_in",
    "mask",
    "mask_exception",
    "names_secret",
    "remember_secret",
]

MASK = "[secret]"

_SHORTEST_SECRET = 8
_SECRET_NAME = re.compile(
    r"(API_?KEY|(?:ACCESS|AUTH|PRIVATE|SECRET)_?KEY|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL)S?$", re.IGNORECASE
)
KEY_PREFIX = r"(?:pk|rk|gsk|xai|csk|fw|tgp_v1|r8|hf|nvapi|ghp|gho|ghs|github_pat|glpat|pplx)[-_]"
"""Pattern of the prefixes of services' keys, in addition to ``sk-``, ``AIza``, ``AKIA`` and ``eyJ``."""
_WITH_DIGIT = r"(?=[A-Za-z0-9._~+/=\-]*\d)[A-Za-z0-9._~+/=\-]"
_KEY_SHAPES = re.compile(
    rf"""
      \bsk-[A-Za-z0-9_\-]{{16,}}
    | \b{KEY_PREFIX}(?=[A-Za-z0-9_\-]*\d)[A-Za-z0-9_\-]{{16,}}
    | \bAIza[A-Za-z0-9_\-]{{30,}}
    | \bAKIA[A-Z0-9]{{12,}}
    | \beyJ[A-Za-z0-9_\-]{{10,}}\.[A-Za-z0-9_\-]{{10,}}\.[A-Za-z0-9_\-]{{10,}}
    | \b(?:sk-|{KEY_PREFIX}|AIza)[A-Za-z0-9_\-]*\*{{3,}}[A-Za-z0-9_\-*]*  # a service that quotes a part of a key
    | (?<=[Bb]earer\ ){_WITH_DIGIT}{{16,}}
    | (?<=://)[^\s/:@]+:[^\s/@]+(?=@)
    | (?:(?<=[?&]key=)|(?<=api_key=)|(?<=api-key:\ )){_WITH_DIGIT}{{6,}}
    """,
    re.VERBOSE,
)
_KEY_BEGINNING = re.compile(rf"\b(?:sk-|{KEY_PREFIX}|AIza|AKIA|eyJ)[A-Za-z0-9._\-]*\Z|\b[A-Za-z0-9_]{{1,10}}\Z")

_known: set[str] = set()
_lock = threading.Lock()


def remember_secret(value: str | None) -> None:
    """Mask this value from now on wherever it would be shown.

    Args:
        value: a key or password. None and values shorter than eight characters are ignored, because masking them would
            garble ordinary text.
    """
    if value and len(value) >= _SHORTEST_SECRET:
        with _lock:
            _known.add(value)


def mask(text: str) -> str:
    """Return the text with every secret in it replaced by ``[secret]``."""
    for value in _values():
        if value in text:
            text = text.replace(value, MASK)
    return _KEY_SHAPES.sub(MASK, text)


def mask_exception(exception: BaseException) -> None:
    """Mask secrets in the texts of an exception and of its causes, in place, so that no later display shows them."""
    seen: set[int] = set()
    link: BaseException | None = exception
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if any(isinstance(argument, str) and mask(argument) != argument for argument in link.args):
            link.args = tuple(mask(argument) if isinstance(argument, str) else argument for argument in link.args)
        link = link.__cause__ or link.__context__


def key_shapes_in(text: str) -> list[str]:
    """Return every part of a text that has the shape of a key."""
    return [found[0] for found in _KEY_SHAPES.finditer(text)]


class MaskedStream:
    """Masks a text that arrives in fragments and that cannot be taken back once it is shown.

    Text that could be the beginning of a secret is held back until the next fragment decides.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, fragment: str) -> str:
        """Add a fragment, and return the text that can be shown now."""
        text = self._held + fragment
        length = len(text) - _undecided(text)
        self._held = text[length:]
        return mask(text[:length])

    @property
    def held(self) -> int:
        """The number of characters that are held back now."""
        return len(self._held)

    def flush(self) -> str:
        """Return the text that was held back; call this after the last fragment."""
        text, self._held = self._held, ""
        return mask(text)


def _undecided(text: str) -> int:
    """Return how many characters at the end of a text could be the beginning of a secret, or are part of one."""
    values = _values()
    beginning = _KEY_BEGINNING.search(text)
    start = beginning.start() if beginning else len(text)
    for value in values:
        for length in range(min(len(value) - 1, len(text)), len(text) - start, -1):
            if text.endswith(value[:length]):
                start = len(text) - length
                break
    whole = [match.span() for match in _KEY_SHAPES.finditer(text)]
    for value in values:
        whole += [match.span() for match in re.finditer(re.escape(value), text)]
    for begun, ended in sorted(whole, reverse=True):
        if begun < start < ended:
            start = begun
    return len(text) - start


def _values() -> list[str]:
    """Return the values known to be secret, longest first, because one may be part of another."""
    values = {os.environ.get(name, "") for name in os.environ if names_secret(name)}
    # A short plain word, such as a test database's password, occurs in too many harmless texts.
    values = {value for value in values if len(value) >= (_SHORTEST_SECRET * (2 if value.isalpha() else 1))}
    with _lock:
        values |= _known
    return sorted(values, key=len, reverse=True)


@functools.cache
def names_secret(name: str) -> bool:
    """Return whether a variable of this name holds a secret, such as one that ends with ``API_KEY`` or ``TOKEN``."""
    return _SECRET_NAME.search(name) is not None
