"""Keeps secrets out of everything that is shown, logged or saved.

Two nets: the values that this process knows to be secret (keys handed to providers, and environment variables whose
name says so), and the shapes of keys that services hand out. A secret is replaced whole: not one character stays.
"""

from __future__ import annotations

import functools
import os
import re
import threading

__all__ = ["mask", "remember_secret"]

MASK = "[secret]"

_SHORTEST_SECRET = 8
_SECRET_NAME = re.compile(
    r"(API_?KEY|(?:ACCESS|AUTH|PRIVATE|SECRET)_?KEY|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL)S?$", re.IGNORECASE
)
_KEY_SHAPES = re.compile(
    r"""
      \b(?:sk|pk|rk|gsk|xai|csk|fw|tgp_v1|r8|hf|nvapi|key|ghp|gho|ghs|github_pat|glpat|pplx)[-_][A-Za-z0-9_\-]{16,}
    | \bAIza[A-Za-z0-9_\-]{30,}
    | \bAKIA[A-Z0-9]{12,}
    | \beyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}
    | (?<=bearer\ )[A-Za-z0-9._~+/=\-]{12,}
    | (?<=://)[^\s/:@]+:[^\s/@]+(?=@)
    | (?<=[?&]key=)[^\s&\#'"]+ | (?<=api_key=)[^\s&\#'",)]+ | (?<=api-key:\ )[^\s'",]+
    """,
    re.VERBOSE | re.IGNORECASE,
)

_known: set[str] = set()
_lock = threading.Lock()


def remember_secret(value: str | None) -> None:
    """Mask this value from now on wherever it would be shown.

    Args:
        value: a key or password. None and values under eight characters are passed over, as masking them would garble
            ordinary text.
    """
    if value and len(value) >= _SHORTEST_SECRET:
        with _lock:
            _known.add(value)


def mask(text: str) -> str:
    """The text with every secret in it replaced by ``[secret]``."""
    values = {os.environ.get(name, "") for name in os.environ if _names_secret(name)}
    with _lock:
        values |= _known
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST_SECRET and value in text:
            text = text.replace(value, MASK)
    return _KEY_SHAPES.sub(MASK, text)


@functools.cache
def _names_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None
