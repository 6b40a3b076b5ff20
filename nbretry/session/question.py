"""What a user asks, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nbretry.retry.deadlines import Deadlines
from nbretry.retry.policy import OnBreak
from nbretry.types import Content, Message, ProviderType

__all__ = ["Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """What a user asks, and how.

    Attributes:
        prompt: the text, or parts as in `nbretry.types.Content`.
        providers: whom to ask in this order, as ``name``, ``name:model`` or objects; None for the session's own order.
        model: name of the model; empty for each provider's default.
        system: a system prompt.
        temperature: 0 for the same answer each time, larger for more varied ones; None for the provider's default.
        max_tokens: the longest answer in tokens; None for the provider's default.
        on_break: what follows a stream that dies after content; None for the session's own: ``restart``.
        hedge_after: seconds without content, or a quantile as ``"p90"``, after which the next provider is asked beside;
            None for the session's own.
        deadlines: limits of each attempt; where there is none, the session's own count.
        retries: how often one provider is asked again before the next; None for the session's own.
        max_cost: US dollars that this question may cost; what is left of the session's own limit holds as well.
        history: messages of the conversation before this question.
        response_format: a form that the answer must have, as OpenAI's protocol has it, for providers that keep one.

    Example:
        >>> question = Question("Why is the sky blue?", providers=["groq", "local"], temperature=0, max_tokens=200)
        >>> question.options()
        {'temperature': 0, 'max_tokens': 200}
    """

    prompt: Content
    providers: Sequence[ProviderType | str] | None = None
    model: str = ""
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    on_break: OnBreak | None = None
    hedge_after: float | str | None = None
    deadlines: Deadlines = Deadlines()  # noqa: RUF009 (frozen)
    retries: int | None = None
    max_cost: float | None = None
    history: Sequence[Message] = ()
    response_format: dict[str, Any] | None = None

    def options(self) -> dict[str, Any]:
        """The options that go to the provider: those that were given."""
        given = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "preferred_response_format": self.response_format,
        }
        return {name: value for name, value in given.items() if value is not None}
