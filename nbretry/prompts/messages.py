"""Build the messages that a provider is sent from what the user typed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from nbretry.errors import ConfigError
from nbretry.types import Content, Message, Messages

__all__ = ["build_messages", "tidy"]

_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")


def build_messages(prompt: Content, system: str | None = None, history: Sequence[Message] = ()) -> Messages:
    """Return the messages for one question.

    A lone surrogate, which cannot be encoded, becomes U+FFFD; a surrogate pair becomes one character.

    Args:
        prompt: the question, sent as typed without blank lines around it; or its parts, sent as they are.
        system: a system prompt, if any.
        history: the messages before the question.

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
    """Return a message's content without lone surrogates, which cannot be encoded."""
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
    """Return a prompt without blank lines around it; empty if it is blank."""
    return _BLANK_LINES.sub("", prompt).rstrip()
