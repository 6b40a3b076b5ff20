"""Conversations, and answers to go into them."""

from __future__ import annotations

from nbretry.answer import Answer, fold
from nbretry.errors import APIConnectionError, RetryProviderError
from nbretry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
)
from nbretry.prompts.conversations import Conversation, Conversations
from nbretry.prompts.turn import Turn
from nbretry.session.question import Question

SECRET = "a-secret-of-the-talk"


KEY = "sk-" + "0123456789abcdefghij"


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


ODD_TEXTS = [
    "{{ x }} {'a': [1]} \\frac{1}{2} $x$",
    "quotes \" ' ` and \\ back",
    "line\nfeeds\r\nof\rall\x0bkinds\x0c\x1c\x1d\x1e\x85\u2028\u2029end",
    "👩‍👩‍👧 שלום عالم \u202eback",
    "half \ud83d a character",
    "a\x00b\x1b[31m",
    "x" * 200_000,
]


BEGUN: list[Event] = [RunStarted(1000.0, ("A",), "m", "0f" * 32), AttemptStarted(1, "A", "m", 0.0)]


def said(text: str) -> Answer:
    """A whole answer."""
    texts: list[Event] = [FirstContent(1, 0.5), TextDelta(1, text)] if text else []
    return fold([*BEGUN, *texts, AttemptSucceeded(1, "stop", 1.0), RunCompleted(1.0)])


def stopped(text: str) -> Answer:
    """One that was stopped after this text."""
    texts: list[Event] = [FirstContent(1, 0.5), TextDelta(1, text)] if text else []
    return fold([*BEGUN, ReasoningDelta(1, "hm"), *texts, RunCancelled(1.0)])


def failed(text: str) -> Answer:
    """One that broke off after this text."""
    error = APIConnectionError("reset")
    events = [FirstContent(1, 0.5), TextDelta(1, text), AttemptFailed(1, error, "stop", 0.0, 1.0)]
    return fold([*BEGUN, *events, RunFailed(RetryProviderError("no"), 1.0)])


def talk(*turns: tuple[str, str], name: str = "main") -> Conversation:
    """A conversation with these questions and answers."""
    conversation = Conversation(name)
    for question, answer in turns:
        conversation.add(Question(question), said(answer))
    return conversation


def store(**turns: list[Turn]) -> Conversations:
    """Conversations with these turns."""
    conversations = Conversations()
    for name, own in turns.items():
        conversations.open(name).replace(own)
    return conversations
