"""From what a user typed to the messages that are sent."""

from __future__ import annotations

import json

import pytest

from nbretry.prompts.messages import build_messages, tidy


def test_half_characters() -> None:
    """Lone surrogates, which nothing can send, do not reach a provider; two that are one character become it."""
    history = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Be\ud83dcause"}]
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    messages = build_messages([{"type": "text", "text": "a\udc80b"}, image], "\ud83d\ude00", history)
    assert messages == [
        {"role": "system", "content": "\N{GRINNING FACE}"},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Be\ufffdcause"},
        {"role": "user", "content": [{"type": "text", "text": "a\ufffdb"}, image]},
    ]
    assert json.dumps(messages, ensure_ascii=False).encode()
    assert history[1]["content"] == "Be\ud83dcause", "what was handed in is not changed"


def test_other_content_is_sent_as_it_is() -> None:
    """A message without text, as one that calls a tool, stays as it was."""
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    assert build_messages("مرحبا 😀", None, [called])[0] == called


@pytest.mark.parametrize(
    ("prompt", "tidied"),
    [("\n\n  Why?\n\n", "  Why?"), (" \n\t\nWhy?", "Why?"), (" \n", ""), ("  ", ""), ("", ""), ("a\n \nb ", "a\n \nb")],
)
def test_blank_lines_around_a_prompt_are_dropped(prompt: str, tidied: str) -> None:
    """Blank lines before and after a prompt are dropped, also those of spaces; its own indentation stays."""
    assert tidy(prompt) == tidied
