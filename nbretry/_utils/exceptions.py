"""What can be read from any exception: its type's name, its message with secrets masked, its HTTP status."""

from __future__ import annotations

import re
from typing import Any

from nbretry._utils.redaction import mask

__all__ = ["attribute_of", "describe", "message_of", "status_of", "type_name"]


def type_name(exception: BaseException) -> str:
    """Return the name of an exception's type; for an `nbretry.errors.RecordedError`, the name that it recorded."""
    recorded = attribute_of(exception, "type_name") if getattr(type(exception), "is_recorded", False) else None
    return recorded if isinstance(recorded, str) else type(exception).__name__


def message_of(exception: BaseException) -> str:
    """Return an exception's text with every known secret masked; empty if converting it to text fails."""
    try:
        # A lone surrogate, as in a file's path, would make any text that quotes it impossible to display or save.
        return mask(str(exception).encode("utf-8", "replace").decode())
    except Exception:  # a bug in a foreign exception must not hide the failure that it reports
        return ""


def describe(exception: BaseException) -> str:
    """Return ``Type: message`` with every known secret masked, or only the type if there is no message."""
    message = message_of(exception).strip()
    return f"{type_name(exception)}: {message}" if message else type_name(exception)


def attribute_of(owner: Any, name: str) -> Any:
    """Return an attribute of a foreign object; None if it is missing or cannot be read."""
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


def status_of(exception: BaseException) -> int | None:
    """Return the HTTP status, 400 to 599, found under a usual name on an exception or its response, or None."""
    for owner in (exception, attribute_of(exception, "response")):
        for name in ("status_code", "status", "code", "http_status"):
            value = attribute_of(owner, name)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
    # gpt4free's exceptions have the status only in their text.
    said = re.match(r"Response ([45]\d\d)\b", message_of(exception))
    return int(said[1]) if said else None
