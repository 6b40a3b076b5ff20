"""The traceback of an exception as plain text, with its causes and with secrets masked."""

from __future__ import annotations

import traceback

from nbretry._utils.exceptions import attribute_of, describe
from nbretry._utils.redaction import mask

__all__ = ["has_traceback", "traceback_text"]


def traceback_text(exception: BaseException) -> str:
    """Return the whole traceback with those of its causes; the last lines show the exception.

    Args:
        exception: any exception, even one whose own methods raise or one that was never raised.
    """
    try:
        lines = "".join(traceback.format_exception(exception))
    except Exception:  # raised by methods of the exception itself
        return describe(exception)
    return mask(lines.rstrip())


def has_traceback(exception: BaseException) -> bool:
    """Return whether an exception or one of its causes has a traceback; one read from a record has none."""
    waiting, seen = [exception], set[int]()
    while waiting:
        link = waiting.pop()
        if attribute_of(link, "__traceback__") is not None:
            return True
        seen.add(id(link))
        names = ("__cause__",) if attribute_of(link, "__suppress_context__") else ("__cause__", "__context__")
        others = (attribute_of(link, name) for name in names)
        waiting += [other for other in others if other is not None and id(other) not in seen]
    return False
