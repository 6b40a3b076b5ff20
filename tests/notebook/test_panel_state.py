"""What the panel knows without a kernel, and its parts, which are real widgets driven by their own traits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from nbretry.errors import APIConnectionError, APITimeoutError, ConfigError
from nbretry.notebook.commands import panel as panel_command
from nbretry.notebook.panel.state import PanelState, Standing
from nbretry.providers import OpenAIProvider, ScriptedProvider
from nbretry.session.options import parse_magic_line
from nbretry.session.session import Session


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    session = Session()
    for name in ("first", "second", "third"):
        session.register(name, ScriptedProvider(model=f"{name}-large"))
    return session


def test_it_begins_with_those_who_would_be_asked(session: Session) -> None:
    """Without names it offers the session's own order, with names these, each once; others can be added, once."""
    assert [one.name for one in PanelState(session).choices] == session.default_providers()
    state = PanelState(session, ["second", "first", "second"])
    assert [(one.name, one.on) for one in state.choices] == [("second", True), ("first", True)]
    assert "third" in state.others()
    assert not {"first", "second"} & set(state.others())
    assert state.add("third") is state.add("third")
    assert [one.name for one in state.choices] == ["second", "first", "third"]


def test_an_unknown_name_is_one_line(session: Session) -> None:
    """A name that stands for nobody is refused with the nearest one."""
    with pytest.raises(ConfigError, match="no provider named 'secnod'; did you mean 'second'"):
        PanelState(session, ["first", "secnod"])


def test_moving_stops_at_the_ends(session: Session) -> None:
    """A provider moves earlier and later, and no further than there is room."""
    state = PanelState(session, ["first", "second", "third"])
    last = state.choices[-1]
    assert [state.may_move(last, by) for by in (-1, 1)] == [True, False]
    state.move(last, -1)
    state.move(last, -1)
    assert [one.name for one in state.choices] == ["third", "first", "second"]
    assert [state.may_move(last, by) for by in (-1, 1)] == [False, True]
    state.move(last, -1)
    assert state.choices[0] is last


def test_what_may_be_done(session: Session) -> None:
    """Asking needs a prompt and somebody who is on; stopping something that runs; clearing something that is there."""
    state = PanelState(session, ["first"])

    def may() -> list[bool]:
        return [state.may_ask, state.may_stop, state.may_clear]

    assert may() == [False, False, False]
    state.prompt = " \n"
    assert may() == [False, False, True]
    state.prompt = "Why?"
    assert may() == [True, False, True]
    state.choices[0].on = False
    assert may() == [False, False, True]
    state.choices[0].on = True
    state.phase = "running"
    assert may() == [False, True, False]
    state.phase = "stopping"
    assert may() == [False, False, False]


def test_what_it_asks(session: Session) -> None:
    """The question goes to those who are on, in their order, with the models that were chosen."""
    session.settings.set("model", "of-all")
    state = PanelState(session, ["first", "second", "third"])
    state.choices[0].on = False
    state.choices[1].model = " small "
    state.prompt, state.system = "Why?", "  "
    asked = state.asked()
    assert asked.conversation is None
    assert (asked.question.prompt, asked.question.system) == ("Why?", None)
    answer = asyncio.run(session.ask(asked.question, lambda event, answer: None))
    assert answer.providers == ("second", "third")
    calls = session.provider("second").calls
    assert [call.model for call in calls] == ["small"], "what was chosen for it counts more than the setting"
    state.choices.reverse()
    state.system, state.in_conversation = "Be brief.", True
    asked = state.asked()
    assert asked.conversation == "main"
    assert asked.question.system == "Be brief."
    assert asked.question.providers == ["third", "second:small"]


def test_standing(session: Session) -> None:
    """Each provider's state is told in words: ready, without a key, failing, resting with the seconds left."""
    session.register("keyless", OpenAIProvider())
    state = PanelState(session, ["first", "keyless"])
    first, keyless = state.choices
    assert state.standing(first) == Standing("ready", "ready", "first-large", None, "")
    assert state.standing(keyless).kind == "unable"
    assert state.standing(keyless).words == "no key: set OPENAI_API_KEY"
    session.health.failed(session.provider("first"), ConnectionError("reset"))
    assert (state.standing(first).kind, state.standing(first).words.split(":")[0]) == ("failing", "failed once")
    for _ in range(2):
        session.health.failed(session.provider("first"), ConnectionError("reset"))
    assert state.standing(first).kind == "waiting"
    assert state.standing(first).words in ("resting 10 s", "resting 9 s")


def test_clearing(session: Session) -> None:
    """Prompt and answer go; the conversation goes only where the question would have gone on with it."""
    state = PanelState(session, ["first"])
    state.prompt = "Why?"
    question = state.asked().question
    state.answer = asyncio.run(session.ask(question, lambda event, answer: None))
    state.conversation.add(question, state.answer)
    state.clear()
    assert (state.prompt, state.answer, state.turns) == ("", None, 1)
    state.in_conversation = True
    assert state.may_clear
    state.clear()
    assert state.turns == 0
    assert not state.may_clear


def test_who_is_offered_is_named_with_a_model(session: Session) -> None:
    """``name:model`` gives a row its model; the same provider may be asked for two; what was typed of others stays."""
    state = PanelState(session, ["first:small", "first:large:7b", "second", "first:small"])
    assert [(one.name, one.model) for one in state.choices] == [
        ("first", "small"),
        ("first", "large:7b"),
        ("second", ""),
    ]
    assert state.asked("Why?").question.providers == ["first:small", "first:large:7b", "second"]
    second = state.choices[2]
    second.model, second.on = " medium ", False
    state.offer(["second", "third"])
    assert state.choices[0] is second
    assert (second.on, second.written) == (True, "second:medium")
    with pytest.raises(ConfigError, match="'second'"):
        state.offer(["third", "secnod"])
    assert [one.name for one in state.choices] == ["second", "third"]


@pytest.mark.parametrize("model", ["a,b", "a b", "a\nb"])
def test_a_model_that_cannot_be_named_is_one_line(session: Session, model: str) -> None:
    """A model with a comma or a space in its name is refused when it is asked for, and stays as typed."""
    state = PanelState(session, ["first"])
    state.choices[0].model = model
    for ask in (state.asked, state.cell, state.use_in_ask):
        with pytest.raises(ConfigError, match="a model's name has no comma and no space"):
            ask()
    assert state.choices[0].model == model
    assert not state.is_in_use


def test_it_follows_the_setting(session: Session) -> None:
    """Whom ``%nbretry config providers`` names come first; others stay, switched off; unset, all are as at first."""
    state = PanelState(session, ["first", "second"])
    state.follow_settings()
    assert [one.on for one in state.choices] == [True, True], "nothing was set"
    session.settings.set("providers", "third,second:small")
    state.follow_settings()
    shown = [(one.name, one.model, one.on) for one in state.choices]
    assert shown == [("third", "", True), ("second", "small", True), ("first", "", False)]
    state.choices[2].on = True
    state.follow_settings()
    assert state.choices[2].on, "the setting has not changed since"
    session.settings.set("providers", "nobody")
    state.follow_settings()
    assert [one.on for one in state.choices] == [True, True, True]
    session.settings.unset("providers")
    state.follow_settings()
    assert [one.name for one in state.choices if one.on] == session.default_providers()


def test_use_in_ask(session: Session) -> None:
    """The panel's choice becomes what ``%%ask`` asks: providers in order, models, system prompt; then it is in use."""
    state = PanelState(session, ["first", "second", "third"])
    state.choices[0].on = False
    state.choices[2].model = "small"
    assert (state.is_in_use, state.may_be_used) == (False, True)
    state.use_in_ask()
    assert session.setting("providers").value == ["second", "third:small"]
    assert session.setting("system").value is None
    assert (state.is_in_use, state.may_be_used) == (True, False)
    state.follow_settings()
    assert [one.name for one in state.choices] == ["first", "second", "third"], "what it has set itself moves no row"
    state.system = " Be brief. "
    assert state.may_be_used
    state.use_in_ask()
    assert session.setting("system").value == "Be brief."
    state.choices[1].on = state.choices[2].on = False
    assert (state.is_in_use, state.may_be_used) == (False, False)


def test_as_a_cell(session: Session) -> None:
    """The cell asks the same, with the settings that would end with the kernel, and not with those of files."""
    state = PanelState(session, ["first:small", "second"])
    state.prompt, state.system, state.in_conversation = "Why?\n{{ x }}", 'Be "brief".\nVery.', True
    session.settings.set("temperature", "0.5")
    session.settings.set("first_content", "7")
    line, _, body = state.cell().partition("\n")
    asked = parse_magic_line(line.removeprefix("%%ask"), body)
    assert asked.question.providers == ["first:small", "second"]
    assert asked.question.system == state.system
    assert asked.question.prompt.strip() == state.prompt
    assert (asked.question.temperature, asked.question.deadlines.first_content) == (0.5, 7.0)
    assert (asked.question.retries, asked.question.deadlines.idle) == (None, None)
    assert asked.conversation == "main"


def test_what_is_asked_again(session: Session) -> None:
    """The last question can be asked again; the turn that it has in the conversation is the one that is replaced."""
    state = PanelState(session, ["first"])
    assert not state.may_ask_again
    state.in_conversation = True
    state.prompt = state.question = "Why?"
    assert state.may_ask_again
    asked = state.asked()
    state.answer = asyncio.run(session.ask(asked.question, lambda event, answer: None))
    assert state.turn_to_replace is None
    state.conversation.add(asked.question, state.answer)
    turn = state.turn_to_replace
    assert turn is state.conversation.turns[-1]
    other = asyncio.run(session.ask(state.asked("And?").question, lambda event, answer: None))
    state.conversation.add(state.asked("And?").question, other, in_place_of=turn)
    assert [one.question for one in state.conversation.turns] == ["And?"]
    assert state.turn_to_replace is None, "somebody else went on with the conversation"
    state.conversation.add(asked.question, state.answer, in_place_of=turn)
    assert [one.question for one in state.conversation.turns] == ["And?", "Why?"]


def test_unreachable(session: Session) -> None:
    """Who could not be reached is told apart from who answers with errors."""
    state = PanelState(session, ["first"])
    session.health.failed(session.provider("first"), APIConnectionError("connection refused", provider="first"))
    assert state.standing(state.choices[0]).words == "unreachable: connection refused"
    session.health.failed(session.provider("first"), APITimeoutError("nothing came", provider="first"))
    assert state.standing(state.choices[0]).words.startswith("failed 2 times in a row")


def test_latency_and_price(session: Session) -> None:
    """A standing has the last time to first content and the price in words, of the model that is chosen."""
    session.register("openai", ScriptedProvider(model="gpt-4o"))
    session.prices.set("first/small", 1.0, 2.0)
    state = PanelState(session, ["first:small"])
    asyncio.run(session.ask(state.asked("Why?").question, lambda event, answer: None))
    standing = state.standing(state.choices[0])
    assert standing.first_content is not None
    assert standing.price == "$1.00 in, $2.00 out"
    assert standing.model == "first-large"


@pytest.fixture
def terminal() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    InteractiveShell.clear_instance()


def test_a_terminal_has_no_panel(terminal: InteractiveShell) -> None:
    """Where there is no kernel it says so in one line."""
    with pytest.raises(ConfigError, match=r"the panel needs a notebook; in a terminal ask with %ask"):
        panel_command.run(terminal, ["first"])
