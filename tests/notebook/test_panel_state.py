"""What the panel knows without a kernel, and its parts, which are real widgets driven by their own traits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from page import Page
from traitlets.config import Config

from nbretry.errors import ConfigError
from nbretry.notebook.commands import panel as panel_command
from nbretry.notebook.panel.painting import Picture
from nbretry.notebook.panel.parts import AnswerView, ProviderRow
from nbretry.notebook.panel.state import PanelState, Standing
from nbretry.providers import OpenAIProvider, ScriptedProvider
from nbretry.session import Session


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
    assert [one if isinstance(one, str) else one.__name__ for one in asked.question.providers or ()] == [
        "third",
        "second",
    ]


def test_standing(session: Session) -> None:
    """Each provider's state is told in words: ready, without a key, failing, resting with the seconds left."""
    session.register("keyless", OpenAIProvider())
    state = PanelState(session, ["first", "keyless"])
    first, keyless = state.choices
    assert state.standing(first) == Standing("ready", "ready", "first-large")
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


# --- its parts --------------------------------------------------------------------------------------------------------


def test_a_row_passes_on_what_the_user_does(session: Session) -> None:
    """A row's checkbox and model go to its choice, its buttons say where to; each control says what it is for."""
    state = PanelState(session, ["first", "second"])
    told: list[object] = []
    row = ProviderRow(state.choices[0], lambda: told.append("changed"), lambda choice, by: told.append((choice, by)))
    is_on, earlier, later, model = row.controls
    is_on.value = False
    model.value = "small"
    assert (state.choices[0].on, state.choices[0].model) == (False, "small")
    earlier.click()
    later.click()
    assert told == ["changed", "changed", (state.choices[0], -1), (state.choices[0], 1)]
    assert all(control.tooltip for control in row.controls)
    row.allow(earlier=False, later=True)
    assert (earlier.disabled, later.disabled) == (True, False)
    row.show(Standing("failing", 'failed once: <b>"x"</b> sk-0123456789abcdefghij', "a-model"))
    page = Page(row.widget.children[-1].value)
    page.assert_well_formed()
    page.assert_harmless()
    assert "b" not in page.tags
    assert 'failed once: <b>"x"</b> [secret]' in page.text
    assert "sk-0123" not in row.widget.children[-1].value
    assert model.placeholder == "a-model"


def test_an_answer_has_no_empty_lines() -> None:
    """Where a part of the answer has nothing to show it takes no room; a note is text and not HTML."""
    view = AnswerView()
    view.show(Picture(text="<p>yes</p>", note="<i>asking</i> …"))
    assert [(part.value, part.layout.display) for part in view.widget.children] == [
        ("", "none"),
        ("<p>yes</p>", None),
        ("&lt;i&gt;asking&lt;/i&gt; …", None),
        ("", "none"),
    ]


@pytest.fixture
def terminal() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    InteractiveShell.clear_instance()


def test_a_terminal_has_no_panel(terminal: InteractiveShell) -> None:
    """Where there is no kernel it says so in one line."""
    with pytest.raises(ConfigError, match=r"the panel needs a notebook; in a terminal ask with %ask"):
        panel_command.run(terminal, ["first"])
