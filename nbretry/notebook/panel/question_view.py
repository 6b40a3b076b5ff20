"""The panel's question: the system prompt, the prompt, and buttons that are enabled only if they do something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import ipywidgets

from nbretry._utils.redaction import mask
from nbretry._utils.text import one_line
from nbretry.notebook.panel.parts import button, make, markup, set_traits
from nbretry.notebook.panel.state import PanelState

__all__ = ["Actions", "QuestionView"]

_QUESTION_SHOWN = 60
"""Maximum characters of a question in a tooltip."""


class Actions(Protocol):
    """What the buttons do."""

    def ask(self) -> None:
        """Ask the question that is typed."""

    def stop(self) -> None:
        """Stop, and keep the answer so far."""

    def ask_again(self) -> None:
        """Ask the last question again."""

    def clear(self) -> None:
        """Clear the prompt and the answer."""

    def use_in_ask(self) -> None:
        """Make ``%%ask`` use the panel's providers and its system prompt."""


class QuestionView:
    """The fields and the buttons of the question.

    Args:
        state: the panel state that they show and change.
        lock: held while anything changes.
        typed: called with the lock held after the user has typed or ticked something.
        actions: what the buttons do.
        beside: another button, shown beside the last one.

    Attributes:
        parts: the rows, from the top. Pressing Tab in the prompt moves to Ask.
        controls: the widgets that a user changes or presses.
    """

    def __init__(
        self, state: PanelState, lock: threading.RLock, typed: Callable[[], None], actions: Actions, beside: Any
    ) -> None:
        self._state = state
        self._lock = lock
        self._tell_typed = typed
        self._seen = (state.prompt, state.system, state.in_conversation)
        self._is_filling = False
        self._system = make(
            ipywidgets.Textarea,
            "nbretry-stacked",
            description="System prompt",
            tooltip="what holds for every answer",
            rows=1,
        )
        self._prompt = make(
            ipywidgets.Textarea,
            "nbretry-stacked",
            description="Prompt",
            placeholder="Why is the sky blue?   {{ name }} stands for what the notebook has there",
            tooltip="the question, as below %%ask",
            rows=4,
        )
        self._in_conversation = make(
            ipywidgets.Checkbox,
            description="Conversation",
            indent=False,
            tooltip="go on with the conversation of %%ask -c",
        )
        self._turns = markup("nbretry-quiet", "nbretry-turns")
        self._ask = button("Ask", "ask the providers in this order", actions.ask, "paper-plane", "primary")
        self._stop = button("Stop", "stop, and keep what has come", actions.stop, "stop")
        self._again = button("Ask again", "", actions.ask_again, "repeat")
        self._clear = button("Clear", "", actions.clear, "eraser")
        self._use = button("Use in %%ask", "", actions.use_in_ask)
        buttons = [self._ask, self._stop, self._again, self._clear]
        bar = [*buttons, self._in_conversation, self._turns, beside, self._use]
        fields = self._fields = (self._prompt, self._system, self._in_conversation)
        self.parts: Sequence[Any] = [
            self._system,
            self._prompt,
            make(ipywidgets.HBox, "nbretry-bar", children=bar),
        ]
        self.controls: Sequence[Any] = [*fields, *buttons, self._use]
        for field in fields:
            field.observe(self._typed, "value")

    def show(self) -> None:
        """Enable or disable the buttons, and say in their tooltips what they would do."""
        state = self._state
        set_traits(self._ask, disabled=not state.may_ask)
        set_traits(self._stop, disabled=not state.may_stop)
        set_traits(self._again, disabled=not state.may_ask_again, tooltip=_again_tooltip(state))
        cleared = "the prompt and the answer, and the conversation" if state.in_conversation else "prompt and answer"
        set_traits(self._clear, disabled=not state.may_clear, tooltip=f"clear {cleared}")
        may_be_used = state.may_be_used
        use = "have %%ask, too, ask these providers in this order where it does not name any"
        in_use = "%%ask asks these providers already"
        set_traits(self._use, disabled=not may_be_used, tooltip=use if may_be_used else in_use)
        turns = f"{state.turns} {'turn' if state.turns == 1 else 'turns'} so far"
        set_traits(self._turns, value=turns if state.in_conversation else "")

    def show_settings(self) -> None:
        """Show in the empty field of the system prompt which one the settings have."""
        setting = self._state.session.settings.readable()["system"]
        set_traits(self._system, placeholder=f"{mask(setting.value)}   ({setting.source})" if setting.value else "none")

    def fill_in(self) -> None:
        """Update the fields with what a cell has changed in the state."""
        # Do not compare with the fields: typed text may still be waiting for the lock to get into the state.
        state, before = self._state, self._seen
        self._seen = (state.prompt, state.system, state.in_conversation)
        self._is_filling = True
        try:
            for field, value, old in zip(self._fields, self._seen, before, strict=True):
                if value != old:
                    set_traits(field, value=value)
        finally:
            self._is_filling = False

    def _typed(self, change: Any) -> None:
        with self._lock:
            if not self._is_filling:
                self._seen = (self._prompt.value, self._system.value, self._in_conversation.value)
                self._state.prompt, self._state.system, self._state.in_conversation = self._seen
                self._tell_typed()


def _again_tooltip(state: PanelState) -> str:
    shown = one_line(mask(state.question), _QUESTION_SHOWN)
    return f"ask the last question again: {shown}" if shown else "ask the last question again"
