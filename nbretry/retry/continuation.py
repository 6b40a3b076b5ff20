"""Continue an interrupted answer with another provider: what that provider is sent, and where its new text begins."""

from __future__ import annotations

from typing import Any

from nbretry.types import Messages, ProviderType

__all__ = ["Continuation", "messages_to_continue"]

_INSTRUCTION = (
    "Your answer was cut off by a lost connection. Continue it from exactly where it stops: write only what comes "
    "next, do not repeat any of it, and do not comment on the interruption."
)
_CERTAIN = 8
"""An overlap of at least this many characters is not a coincidence, wherever it is."""

_WORD = 3
"""An overlap of at least this many characters is not a coincidence if it consists of whole words."""


def messages_to_continue(provider: ProviderType, model: str, messages: Messages, text: str) -> Messages:
    """Return the conversation including the answer so far.

    Args:
        provider: the provider to ask. Its ``supports_prefill``, a bool or a function of the model's name, says whether
            it continues a last message of the assistant. Other providers are instructed to continue.
        model: the model to ask.
        messages: the conversation.
        text: the answer so far.
    """
    supports: Any = getattr(provider, "supports_prefill", False)
    if supports(model) if callable(supports) else supports:
        return [*messages, {"role": "assistant", "content": text.rstrip()}]
    return [*messages, {"role": "assistant", "content": text}, {"role": "user", "content": _INSTRUCTION}]


class Continuation:
    """A filter that removes from the beginning of a new text what repeats the end of the text so far.

    An overlap is a string that the text so far ends with and the new text begins with. It has at least eight
    characters (an ideograph counts as three), or consists of whole words of at least three characters, or is all of
    the text so far. New text that may still be the beginning of an overlap is held back.

    Args:
        text: the text so far.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._held = ""
        self._decided = not text

    def feed(self, fragment: str) -> str:
        """Add a fragment of the new text, and return the text to show now."""
        if self._decided:
            return fragment
        self._held += fragment
        return "" if self._may_grow() else self.end()

    def end(self) -> str:
        """Return the text that was held back, without the overlap. Call it when no more fragments come."""
        held, self._held = self._held, ""
        if self._decided or not held:
            return held
        self._decided = True
        overlap = self._overlap(held)
        if overlap:
            return held[overlap:]
        return held.lstrip(" ") if self._text[-1].isspace() else held

    def _may_grow(self) -> bool:
        """Return whether the held text may be the beginning of a longer overlap, or end in the middle of a word."""
        return self._held in self._text

    def _overlap(self, held: str) -> int:
        for length in range(min(len(self._text), len(held)), 0, -1):
            if self._text.endswith(held[:length]) and self._is_no_coincidence(held, length):
                return length
        return 0

    def _is_no_coincidence(self, held: str, length: int) -> bool:
        overlap = held[:length]
        ideographs = sum(character >= "\u2e80" for character in overlap)  # each of them is about a word
        if length + (_WORD - 1) * ideographs >= _CERTAIN or length == len(self._text):
            return True
        begins = not (self._text[-length - 1].isalnum() and overlap[0].isalnum())
        ends = not (overlap[-1].isalnum() and held[length : length + 1].isalnum())
        return begins and ends and len(overlap.strip()) >= _WORD
