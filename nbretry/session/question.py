"""One question: the prompt and the options it is asked with."""

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
    """One question: the prompt and the options it is asked with.

    Attributes:
        prompt: the text, or parts as in `nbretry.types.Content`.
        providers: providers to ask in this order, as ``name``, ``name:model`` or objects; None for the session's
            default providers.
        model: name of the model; empty for the session's setting, by default each provider's own model.
        system: a system prompt; None for the session's setting, by default none.
        temperature: 0 for the same answer each time, larger for more varied ones; None for the session's setting, by
            default the provider's.
        max_tokens: the longest answer in tokens; None for the session's setting, by default the provider's.
        on_break: what to do if a stream breaks off after content; None for the session's setting, by default
            ``restart``.
        hedge_after: seconds without content, or a quantile such as ``"p90"``, after which the next provider is started
            in parallel; None for the session's setting.
        deadlines: time limits of each attempt; the session's setting applies to each limit that is None.
        retries: how many times to ask a provider again before the next one; None for the session's setting.
        max_cost: US dollars that this question may cost; None for the session's setting, by default no limit. What
            is left of the session's budget applies as well.
        history: messages of the conversation before this question.
        response_format: required format of the answer, as in OpenAI's API, for providers that support it.

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
        """Return the options to send to the provider: those that are set."""
        given = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "preferred_response_format": self.response_format,
        }
        return {name: value for name, value in given.items() if value is not None}
