"""A conversation over real connections: what the next provider hears of it, in its own protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nbretry import RetryProviderError
from nbretry.prompts.conversations import Conversation
from nbretry.prompts.turn import Turn
from nbretry.providers import AnthropicProvider, BaseProvider
from nbretry.session.question import Question
from nbretry.session.session import Session
from nbretry.testing import FaultServer
from nbretry.types import Content

URL = "data:image/png;base64,iVBORw0KGgo="
PARTS: list[dict[str, Any]] = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": URL}},
]
ANTHROPIC_PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
]


def over_openai(server: FaultServer, model: str) -> BaseProvider:
    return server.provider(model)


def over_anthropic(server: FaultServer, model: str) -> BaseProvider:
    return AnthropicProvider("none", model, model, server.origin)


@pytest.fixture
def faults() -> Iterator[FaultServer]:
    scripts = {"first": "'A ' 'whale.', 500", "second": "'Blue.'", "small": "400 message='the prompt is too long'"}
    with FaultServer(scripts) as server:
        yield server


def ask(session: Session, conversation: Conversation, prompt: Content, *providers: BaseProvider) -> None:
    question = Question(prompt, providers, system=conversation.system or "Be brief.", history=conversation.messages())
    asyncio.run(session.ask(question, lambda event, answer: None, lambda answer: conversation.add(question, answer)))


@pytest.mark.parametrize("first", [over_openai, over_anthropic])
@pytest.mark.parametrize(
    ("second", "parts"), [(over_openai, PARTS), (over_anthropic, ANTHROPIC_PARTS)], ids=["openai", "anthropic"]
)
def test_second_provider_hears_what_the_first_one_said(
    faults: FaultServer,
    first: Callable[[FaultServer, str], BaseProvider],
    second: Callable[[FaultServer, str], BaseProvider],
    parts: list[dict[str, Any]],
) -> None:
    """The next provider is sent question, picture and answer of the one before as messages, whatever both speak."""
    session = Session()
    conversation = session.conversations.open("main")
    ask(session, conversation, PARTS, first(faults, "first"))
    ask(session, conversation, "Which colour?", first(faults, "first"), second(faults, "second"))
    heard = faults.requests[-1]
    assert [request.model for request in faults.requests] == ["first", "first", "second"]
    said = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "A whale."},
        {"role": "user", "content": "Which colour?"},
    ]
    if second is over_openai:
        assert heard.messages == [{"role": "system", "content": "Be brief."}, *said]
    else:
        assert (heard.messages, heard.body["system"]) == (said, "Be brief.")
    assert [(turn.answer, turn.model) for turn in conversation.turns] == [("A whale.", "first"), ("Blue.", "second")]


@pytest.mark.parametrize("speak", [over_openai, over_anthropic])
def test_after_a_stopped_answer(faults: FaultServer, speak: Callable[[FaultServer, str], BaseProvider]) -> None:
    """A partial answer is sent as far as it had come, and the next question follows it as a message of its own."""
    session = Session()
    conversation = session.conversations.open("main")
    conversation.replace([Turn("What is this?", "A wha", "stopped")])
    ask(session, conversation, "Go on.", speak(faults, "second"))
    roles = [(message["role"], message["content"]) for message in faults.requests[-1].messages]
    assert roles[-3:] == [("user", "What is this?"), ("assistant", "A wha"), ("user", "Go on.")]


@pytest.mark.parametrize("speak", [over_openai, over_anthropic])
def test_conversation_that_is_too_long_for_a_model(
    faults: FaultServer, speak: Callable[[FaultServer, str], BaseProvider]
) -> None:
    """Where it is too long for one model the next is asked; where for all, that is said and nothing is added."""
    session = Session()
    conversation = session.conversations.open("main")
    conversation.replace([Turn("x " * 1000, "y")])
    with pytest.raises(RetryProviderError, match=r"ContextLengthError: .*the prompt is too long"):
        ask(session, conversation, "Why?", speak(faults, "small"))
    assert len(conversation) == 1
    ask(session, conversation, "Why?", speak(faults, "small"), speak(faults, "second"))
    assert [turn.answer for turn in conversation.turns] == ["y", "Blue."]
