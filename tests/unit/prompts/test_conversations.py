"""Conversations: what becomes part of one, and what the next provider is sent of it."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest
from talks import BEGUN, IMAGE, KEY, SECRET, failed, said, stopped, store, talk

from nbretry._utils.redaction import remember_secret
from nbretry.answer import Answer, fold
from nbretry.errors import ConfigError
from nbretry.prompts.conversations import Conversation, Conversations
from nbretry.prompts.turn import Turn, text_of
from nbretry.session.question import Question
from nbretry.session.session import Session
from nbretry.testing import simulate
from nbretry.types import Content


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


# --- what becomes part of one -----------------------------------------------------------------------------------------


def test_a_whole_answer_becomes_a_turn() -> None:
    """A question and its answer are a turn that says who answered what, when, and in which run."""
    conversation = talk(("\nWhy?  \n", "Because."))
    assert conversation.turns == (Turn("Why?", "Because.", "completed", "A", "m", None, 1000.0, "0f" * 32),)
    assert len(conversation) == 1


def test_a_stopped_answer_counts_as_far_as_it_came() -> None:
    """What had come of a stopped answer is kept and marked as stopped; where nothing had come there is no turn."""
    conversation = Conversation("main")
    conversation.add(Question("One?"), stopped("Half an ans"))
    conversation.add(Question("Two?"), stopped(""))
    assert [(turn.question, turn.answer, turn.state) for turn in conversation.turns] == [
        ("One?", "Half an ans", "stopped")
    ]


@pytest.mark.parametrize("answer", [failed("half"), said(""), said(" \n "), Answer(), fold(BEGUN)])
def test_no_other_answer_counts(answer: Answer) -> None:
    """A failed run, an empty answer and one that still comes leave the conversation as it was."""
    conversation = talk(("Why?", "Because."))
    conversation.add(Question("And?", system="Be brief."), answer)
    assert len(conversation) == 1
    assert conversation.system is None


def test_messages_are_those_of_user_and_assistant() -> None:
    """Every turn is two messages, and neither the system prompt nor a note of ours is among them."""
    conversation = talk(("One?", "1"))
    conversation.add(Question("Two?", system="Be brief."), stopped("2"))
    assert conversation.messages() == [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "2"},
    ]


def test_messages_are_copies() -> None:
    """What somebody does to the question or to the messages later changes no conversation."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What is this?"}, json.loads(json.dumps(IMAGE))]
    conversation = Conversation("main")
    conversation.add(Question(parts), said("A cat."))
    parts[1]["image_url"]["url"] = "changed"
    conversation.messages()[0]["content"][1]["image_url"]["url"] = "changed"
    conversation.messages().clear()
    assert conversation.messages()[0]["content"] == [{"type": "text", "text": "What is this?"}, IMAGE]


def test_system_prompt_is_the_last_one_given() -> None:
    """A system prompt holds until a question gives another, or an empty one; a turn knows which held."""
    conversation = Conversation("main")
    systems: list[str | None] = [None, "Be brief.", None, "Be kind.", "", None]
    held = []
    for system in systems:
        conversation.add(Question("Why?", system=system), said("Because."))
        held.append(conversation.system)
    assert held == [None, "Be brief.", "Be brief.", "Be kind.", None, None]
    assert [turn.system for turn in conversation.turns] == held


def test_clear_forgets_the_system_prompt_too() -> None:
    """A cleared conversation is as a new one."""
    conversation = Conversation("main")
    conversation.add(Question("Why?", system="Be brief."), said("Because."))
    conversation.clear()
    assert (conversation.turns, conversation.messages(), conversation.system, len(conversation)) == ((), [], None, 0)


def test_threads_that_add_at_once() -> None:
    """Of threads that add at once no turn is lost, and each turn has the system prompt of the one before or its own."""
    conversation = Conversations().open("main")
    answer = said("Because.")

    def add(thread: int) -> None:
        for number in range(250):
            system = f"{thread} {number}" if thread % 2 else None
            conversation.add(Question(f"{thread} {number}", system=system), answer)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=add, args=(thread,)) for thread in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    turns = conversation.turns
    assert {turn.question for turn in turns} == {f"{thread} {number}" for thread in range(4) for number in range(250)}
    assert len(turns) == 1000
    held: str | None = None
    for turn in turns:
        held = str(turn.question) if int(str(turn.question)[0]) % 2 else held
        assert turn.system == held


# --- by name ----------------------------------------------------------------------------------------------------------


def test_one_exists_once_it_has_a_turn() -> None:
    """Opening gives the same conversation each time, and one without a turn is not listed."""
    conversations = Conversations()
    lab = conversations.open("lab")
    conversations.open("main").add(Question("Why?"), said("Because."))
    assert conversations.names() == ["main"]
    assert "lab" not in conversations
    lab.add(Question("Why?"), said("Because."))
    assert conversations.open("lab") is lab
    assert (conversations.names(), len(conversations), "lab" in conversations) == (["lab", "main"], 2, True)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "a\n", "\ud800"])
def test_name_that_cannot_be_typed_is_refused(name: str) -> None:
    """A name that could not stand after -c is refused in one line that says which letters may be used."""
    with pytest.raises(ConfigError, match=r"cannot name a conversation: use letters, digits, '_', '-' and '\.'$"):
        Conversations().open(name)


def test_forgetting() -> None:
    """Forgetting takes those that are named, or all; an unknown name is told with the nearest and forgets nothing."""
    turn = [Turn("Why?", "Because.")]
    conversations = store(main=turn, lab=turn, other=turn)
    with pytest.raises(ConfigError, match=r"^there is no conversation named 'labb'; did you mean 'lab'\?$"):
        conversations.forget("main", "labb")
    assert conversations.names() == ["main", "lab", "other"]
    conversations.forget("main", "lab", "lab")
    assert conversations.names() == ["other"]
    assert len(conversations.open("main")) == 0
    assert conversations.forget_all() == ["other"]
    with pytest.raises(ConfigError, match=r"^there is no conversation named 'other'; there is none$"):
        conversations.forget("other")


def test_late_answer_does_not_bring_back_what_was_forgotten() -> None:
    """A question that is still being answered when its conversation is forgotten becomes part of no later one."""
    conversations = store(main=[Turn("Why?", "Because.")])
    asked = conversations.open("main")
    conversations.forget("main")
    asked.add(Question("And?"), said("So."))
    assert conversations.names() == []


# --- what the next provider hears -------------------------------------------------------------------------------------


def test_second_provider_knows_what_the_first_one_said() -> None:
    """A conversation goes on with another provider, which is sent all that was said, and the system prompt."""
    session = Session()
    first, second = simulate("'A whale.', 500"), simulate("'Blue.'")
    session.register("first", first)
    session.register("second", second)
    conversation = session.conversations.open("main")

    def ask(prompt: Content, providers: list[str], system: str | None = None) -> None:
        question = Question(prompt, providers, system=system or conversation.system, history=conversation.messages())
        own = replace(question, system=system)
        asyncio.run(session.ask(question, lambda event, answer: None, lambda answer: conversation.add(own, answer)))

    ask([{"type": "text", "text": "What is this?"}, IMAGE], ["first"], "Be brief.")
    ask("Which colour?", ["first", "second"])
    assert second.calls[0].messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]},
        {"role": "assistant", "content": "A whale."},
        {"role": "user", "content": "Which colour?"},
    ]
    assert [(turn.answer, turn.provider) for turn in conversation.turns] == [("A whale.", "first"), ("Blue.", "second")]


# --- shown ------------------------------------------------------------------------------------------------------------


def test_no_secret_in_a_repr() -> None:
    """A turn, a conversation and a store print themselves shortly and without secrets."""
    turn = Turn(f"{'x' * 50} {SECRET} {'y' * 1000}", KEY, "stopped", "A")
    conversations = store(**{"main": [turn], SECRET: [turn]})
    shown = [repr(turn), repr(conversations), *(repr(conversations.open(name)) for name in conversations.names())]
    assert all(SECRET not in one and KEY not in one and len(one) < 150 for one in shown)
    assert shown[1:] == [
        "<Conversations: main, [secret]>",
        "<Conversation 'main': 1 turn>",
        "<Conversation '[secret]': 1 turn>",
    ]
    assert repr(Turn("Why?", "Because.", provider="A")) == "<Turn completed by A: 'Why?'>"


def test_text_of_parts() -> None:
    """Parts are shown as text, and what is none is named."""
    assert text_of("Why?") == "Why?"
    assert text_of([{"type": "text", "text": "Why?"}, IMAGE, {"type": "audio"}, {"type": "text"}]) == (
        "Why?\n[image]\n[audio]\n[text]"
    )
