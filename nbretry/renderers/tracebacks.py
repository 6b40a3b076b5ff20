"""Where an exception was raised: its traceback as plain text, with its causes and with secrets masked."""

from __future__ import annotations

import traceback

from nbretry._errors import attribute_of, describe
from nbretry._utils.redaction import mask

__all__ = ["has_traceback", "traceback_text"]


def traceback_text(exception: BaseException) -> str:
    """The whole traceback with those of its causes, and what was raised in the last lines.

    Args:
        exception: may be a stranger's, whatever its methods do, and may never have been raised.
    """
    try:
        lines = "".join(traceback.format_exception(exception))
    except Exception:  # of an exception that cannot even say what it is
        return describe(exception)
    return mask(lines.rstrip())


def has_traceback(exception: BaseException) -> bool:
    """Whether it is known where an exception or one of its causes was raised; not so for one of a record."""
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
