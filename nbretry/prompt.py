"""From what a user typed to the messages that a provider is sent."""

from __future__ import annotations

from nbretry.errors import ConfigError
from nbretry.types import Messages

__all__ = ["build_messages"]


def build_messages(prompt: str, system: str | None = None) -> Messages:
    """The conversation for one question.

    Args:
        prompt: the question, sent as typed but for blank lines around it.
        system: a system prompt, if any.

    Raises:
        ConfigError: the question is empty.
    """
    text = prompt.strip("\n").rstrip()
    if not text.strip():
        raise ConfigError("the question is empty: write it below %%ask, after %ask, or after nbretry ask")
    messages: Messages = [{"role": "user", "content": text}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return messages
