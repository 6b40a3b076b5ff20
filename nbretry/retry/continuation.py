"""How an answer that broke off goes on with another provider: what that one is asked, and where new text begins."""

from __future__ import annotations

from typing import Any

from nbretry.types import Messages, ProviderType

__all__ = ["Continuation", "messages_to_continue"]

_INSTRUCTION = (
    "Your answer was cut off by a lost connection. Continue it from exactly where it stops: write only what comes "
    "next, do not repeat any of it, and do not comment on the interruption."
)
_CERTAIN = 8
"""Letters of overlap that are no coincidence wherever they stand."""

_WORD = 3
"""Letters of overlap that are no coincidence where they are whole words."""


def messages_to_continue(provider: ProviderType, model: str, messages: Messages, text: str) -> Messages:
    """The conversation with the answer so far in it.

    Args:
        provider: who is asked; its ``supports_prefill``, a bool or a function of the model's name, says whether it goes
            on from a last message of the assistant's own. Others are told to.
        model: the model that is asked.
        messages: the conversation.
        text: the answer so far.
    """
    supports: Any = getattr(provider, "supports_prefill", False)
    if supports(model) if callable(supports) else supports:
        return [*messages, {"role": "assistant", "content": text.rstrip()}]
    return [*messages, {"role": "assistant", "content": text}, {"role": "user", "content": _INSTRUCTION}]


class Continuation:
    """Trims from the beginning of a text what repeats the end of another.

    An overlap is what the text so far ends with and the new one begins with: at least eight letters of it, whole
    words of at least three, or all of the text so far. What may still be the beginning of one is held.

    Args:
        text: the text so far.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._held = ""
        self._decided = not text

    def feed(self, fragment: str) -> str:
        """What of the new text is to be shown after this fragment of it."""
        if self._decided:
            return fragment
        self._held += fragment
        return "" if self._may_grow() else self.end()

    def end(self) -> str:
        """What has been held, when nothing more comes, less the overlap."""
        held, self._held = self._held, ""
        if self._decided or not held:
            return held
        self._decided = True
        overlap = self._overlap(held)
        if overlap:
            return held[overlap:]
        return held.lstrip(" ") if self._text[-1].isspace() else held

    def _may_grow(self) -> bool:
        """Whether what is held may be the beginning of a longer overlap, or end in the middle of a word."""
        return self._held in self._text

    def _overlap(self, held: str) -> int:
        for length in range(min(len(self._text), len(held)), 0, -1):
            if self._text.endswith(held[:length]) and self._is_no_coincidence(held, length):
                return length
        return 0

    def _is_no_coincidence(self, held: str, length: int) -> bool:
        overlap = held[:length]
        ideographs = sum(character >= "\u2e80" for character in overlap)  # one of them is about a word
        if length + (_WORD - 1) * ideographs >= _CERTAIN or length == len(self._text):
            return True
        begins = not (self._text[-length - 1].isalnum() and overlap[0].isalnum())
        ends = not (overlap[-1].isalnum() and held[length : length + 1].isalnum())
        return begins and ends and len(overlap.strip()) >= _WORD
