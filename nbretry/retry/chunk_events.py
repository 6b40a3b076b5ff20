"""Convert the chunks of a provider's stream into events."""

from __future__ import annotations

from typing import Any

from nbretry._utils.serialization import whole_characters
from nbretry._utils.text import one_line
from nbretry.events import Event, ReasoningDelta, ResponseIdentified, StatusChanged, TextDelta, UsageReported
from nbretry.retry.contract import is_content
from nbretry.types import FinishReason, Metadata, Reasoning, ResponseInfo, Status, Usage

__all__ = ["event_of"]

_LONGEST_DETAIL = 500
"""Maximum length in characters of a model's name, a status and the like: every report and every log contains them."""


def event_of(chunk: Any, number: int) -> Event | FinishReason | None:
    """Return the event that a chunk stands for.

    Args:
        chunk: what a provider yielded: text, a chunk of `nbretry.types`, or one of gpt4free's chunk types.
        number: the number of the attempt, from 1.

    Returns:
        The event; a `FinishReason`, which is not an event; or None if the chunk carries no information.
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
    # gpt4free's chunk types are recognized by their names, so its package does not have to be installed.
    match type(chunk).__name__:
        case "Reasoning":
            text = getattr(chunk, "token", None)
            return ReasoningDelta(number, text) if text else None
        case "FinishReason":
            reason = _short(str(getattr(chunk, "reason", "")))
            return FinishReason(reason) if reason else None
        case "Usage":
            tokens = (getattr(chunk, "prompt_tokens", None), getattr(chunk, "completion_tokens", None))
            return UsageReported(number, Usage(*tokens))
        case "ProviderInfo":
            model, name = getattr(chunk, "model", None), getattr(chunk, "name", None)
            return ResponseIdentified(number, _short(model), None, _short(name))
    return TextDelta(number, str(chunk)) if is_content(chunk) and str(chunk) else None


def _short(value: Any) -> Any:
    """Return text as one line of limited length; any other value as it is."""
    return one_line(whole_characters(value), _LONGEST_DETAIL) if isinstance(value, str) else value
