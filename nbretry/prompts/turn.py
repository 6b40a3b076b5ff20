"""A turn of a conversation: a question with its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from nbretry._utils.redaction import mask
from nbretry._utils.serialization import copied, whole_characters
from nbretry._utils.text import one_line
from nbretry.types import Content, Messages

__all__ = ["Turn", "TurnState", "text_of"]

TurnState: TypeAlias = Literal["completed", "stopped"]

_SHOWN_QUESTION = 60


@dataclass(frozen=True, slots=True, repr=False)
class Turn:
    """A question with its answer.

    Attributes:
        question: the question as it was sent: text, or parts.
        answer: the text of the answer.
        state: ``completed``, or ``stopped`` if the answer is incomplete.
        provider: the name of the provider that answered; None if unknown.
        model: the model that answered; None if unknown.
        system: the system prompt at that time; None if there was none.
        asked_at: seconds since the epoch; None if unknown.
        request_sha256: hash of model and messages, to find the record of the run; None if unknown.
    """

    question: Content
    answer: str
    state: TurnState = "completed"
    provider: str | None = None
    model: str | None = None
    system: str | None = None
    asked_at: float | None = None
    request_sha256: str | None = None

    def messages(self) -> Messages:
        """Return the question and the answer as messages, which are copies."""
        return [
            {"role": "user", "content": copied(self.question)},
            {"role": "assistant", "content": self.answer},
        ]

    def __repr__(self) -> str:
        question = one_line(mask(whole_characters(text_of(self.question))), _SHOWN_QUESTION)
        return mask(f"<Turn {self.state} by {whole_characters(self.provider or 'somebody')}: {question!r}>")


def text_of(content: Content) -> str:
    """Return the content of a message as text; for images and other parts, their kind in brackets.

    Args:
        content: text, or parts.
    """
    if isinstance(content, str):
        return content
    return "\n".join(_text_of_part(part) for part in content)


def _text_of_part(part: dict[str, Any]) -> str:
    kind = part.get("type")
    text = part.get("text")
    if kind == "text" and isinstance(text, str):
        return text
    return "[image]" if kind == "image_url" else f"[{kind}]"
