"""From what a user typed to the messages that a provider is sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbretry._errors import ConfigError
from nbretry.types import Content, Message, Messages

__all__ = ["build_messages", "tidy"]


def build_messages(prompt: Content, system: str | None = None, history: Sequence[Message] = ()) -> Messages:
    """The conversation for one question.

    Args:
        prompt: the question, sent as typed but for blank lines around it; or its parts, sent as they are.
        system: a system prompt, if any.
        history: messages before the question.

    Half a character, which nothing that is sent can hold, becomes U+FFFD; two halves become one character.

    Raises:
        ConfigError: the question is empty.
    """
    content = tidy(prompt) if isinstance(prompt, str) else prompt
    if not content:
        raise ConfigError("the question is empty: write it below %%ask, after %ask, or after nbretry ask")
    messages: Messages = [*history, {"role": "user", "content": content}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return [{**message, "content": _encodable(message["content"])} for message in messages]


def _encodable(content: Any) -> Any:
    """A message's content that can be encoded, as a lone surrogate cannot."""
    if isinstance(content, list):
        return [{**part, "text": _encodable(part["text"])} if "text" in part else part for part in content]
    if not isinstance(content, str):
        return content
    try:
        content.encode()
    except UnicodeEncodeError:
        return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return content


def tidy(prompt: str) -> str:
    """A prompt without blank lines around it."""
    text = prompt.strip("\n").rstrip()
    return text if text.strip() else ""
