"""What a provider said to a question, in a form that a test can ask about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from nbretry.types import FinishReason, Reasoning, ResponseInfo, Usage

QUESTION = [{"role": "user", "content": "What is it?"}]

_Chunk = TypeVar("_Chunk")


@dataclass
class Heard:
    """What a provider gave: its chunks, and what it raised after them."""

    chunks: list[Any] = field(default_factory=list)
    exception: Exception | None = None

    @property
    def text(self) -> str:
        """The content."""
        return "".join(chunk for chunk in self.chunks if isinstance(chunk, str))

    @property
    def reasoning(self) -> str:
        """The reasoning."""
        return "".join(chunk.text for chunk in self.chunks if isinstance(chunk, Reasoning))

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped."""
        last = self._last(FinishReason)
        return last.reason if last else None

    @property
    def usage(self) -> Usage | None:
        """The tokens that were counted last."""
        return self._last(Usage)

    @property
    def info(self) -> ResponseInfo | None:
        """Who answered."""
        return self._last(ResponseInfo)

    def _last(self, kind: type[_Chunk]) -> _Chunk | None:
        return next((chunk for chunk in reversed(self.chunks) if isinstance(chunk, kind)), None)


Ask: TypeAlias = Callable[..., Heard]
