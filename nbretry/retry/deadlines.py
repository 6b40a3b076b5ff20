"""Time limits for a provider. They wait for content: keep-alives and empty chunks do not extend them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from nbretry.errors import ConfigError

__all__ = ["Deadlines"]

_MESSAGES = {
    "first_content": "no content came within {}",
    "idle": "nothing more came for {} in the middle of the answer",
    "total": "the answer was not complete within {}",
}


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Time limits of one attempt, in seconds; None for no limit.

    Content is text of the answer. For ``first_content`` and ``idle``, a model's reasoning and a provider's status
    messages count as well, because a model may think for minutes before its first word. Comments that keep a
    connection alive, empty chunks and metadata do not count.

    Attributes:
        connect: time to connect, for providers that know when they are connected: those over HTTP do.
        first_content: time from the request to the first content.
        idle: time from one content to the next.
        total: time for the whole attempt.

    Raises:
        ConfigError: a limit is not a number of seconds above 0.

    Example:
        >>> import asyncio
        >>> from nbretry.testing import simulate
        >>> hurried = RetryProvider([simulate("hang", name="slow")], deadlines=Deadlines(first_content=0.1))
        >>> asyncio.run(hurried.answer("", "Anybody there?"))
        Traceback (most recent call last):
        nbretry.errors.RetryProviderError: the provider failed:
        slow: APITimeoutError: no content came within 0.1 s
    """

    connect: float | None = None
    first_content: float | None = None
    idle: float | None = None
    total: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigError(
                    f"the deadline {field.name} is {value!r}, and should be a number of seconds above 0, or None"
                )

    def __bool__(self) -> bool:
        """Return whether there is any limit."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def or_else(self, defaults: Deadlines | None) -> Deadlines:
        """Return these limits, with those that are None taken from the defaults.

        >>> Deadlines(first_content=300).or_else(Deadlines(connect=10, first_content=20))
        Deadlines(connect=10, first_content=300, idle=None, total=None)
        """
        if defaults is None:
            return self
        names = [field.name for field in fields(self)]
        own = {name: getattr(self, name) for name in names}
        return Deadlines(**{name: getattr(defaults, name) if own[name] is None else own[name] for name in names})

    def message(self, name: str) -> str:
        """Return the error message for a limit that has passed.

        There is none for ``connect``: the provider that could not connect raises its own error.
        """
        return _MESSAGES[name].format(f"{getattr(self, name):g} s")
