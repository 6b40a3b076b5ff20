"""What the chunks of a provider's stream say about its answer, as events."""

from __future__ import annotations

from typing import Any

from nbretry._utils.serialization import whole_characters
from nbretry._utils.text import one_line
from nbretry.events import Event, ReasoningDelta, ResponseIdentified, StatusChanged, TextDelta, UsageReported
from nbretry.retry.contract import is_content
from nbretry.types import FinishReason, Metadata, Reasoning, ResponseInfo, Status, Usage

__all__ = ["event_of"]

_LONGEST_DETAIL = 500
"""Limit in characters for a model's name, a status and the like: each stands in every report and every log."""


def event_of(chunk: Any, number: int) -> Event | FinishReason | None:
    """The event that a chunk stands for.

    Args:
        chunk: what a provider yielded: text, one of `nbretry.types`, or one of gpt4free's chunk types.
        number: of the attempt, from 1.

    Returns:
        The event; a `FinishReason`, which is no event of its own; or None where the chunk says nothing.
    """
    match chunk:
        case str():
            return TextDelta(number, str(chunk)) if chunk else None
        case Reasoning():
            return ReasoningDelta(number, chunk.text)
        case Status():
            return StatusChanged(number, _short(chunk.text))
        case ResponseInfo():
            details = (_short(chunk.model), _short(chunk.request_id), _short(chunk.provider))
            return ResponseIdentified(number, *details)
        case Usage():
            return UsageReported(number, chunk)
        case FinishReason():
            return FinishReason(_short(chunk.reason))
        case Metadata() | BaseException() | None:
            return None
        case _:
            return _event_of_foreign(chunk, number)


def _event_of_foreign(chunk: Any, number: int) -> Event | FinishReason | None:
    # gpt4free's chunk types are recognised by their names, so that its package need not be installed.
    match type(chunk).__name__:
        case "Reasoning":
            text = getattr(chunk, "token", None)
            return ReasoningDelta(number, text) if text else None
        case "FinishReason":
            return FinishReason(_short(str(getattr(chunk, "reason", ""))))
        case "Usage":
            tokens = (getattr(chunk, "prompt_tokens", None), getattr(chunk, "completion_tokens", None))
            return UsageReported(number, Usage(*tokens))
        case "ProviderInfo":
            model, name = getattr(chunk, "model", None), getattr(chunk, "name", None)
            return ResponseIdentified(number, _short(model), None, _short(name))
    return TextDelta(number, str(chunk)) if is_content(chunk) and str(chunk) else None


def _short(value: Any) -> Any:
    """Text on one line of limited length; any other value as it is."""
    return one_line(whole_characters(value), _LONGEST_DETAIL) if isinstance(value, str) else value
