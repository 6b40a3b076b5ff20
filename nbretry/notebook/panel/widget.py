"""The panel: `%%ask` with the mouse, in widgets of ipywidgets alone.

A question of the panel is answered in the background thread, so that cells run meanwhile and Stop works at any moment.
What a browser does arrives in whichever thread the kernel chooses; what is shown changes under one lock.

How ipykernel routes what a browser sends: with subshells (ipykernel 7, JupyterLab 4.4) a page's messages are meant for
a thread of their own, but ipykernel 7.4 hands those to a widget to wherever this widget was last changed from. Left
alone, one panel's typing and clicking end up in two threads and overtake each other; a field that is first typed in
while a cell awaits something gets stuck; a Stop waits for the running cell. So once a page shows the panel, all
controls follow that page's thread; the panel itself, by which the next page announces itself, stays in the main one.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ipywidgets

from nbretry.answer import Answer
from nbretry.doctor import names_in
from nbretry.errors import ConfigError, NbretryError, describe
from nbretry.notebook.answers import ANSWER_VARIABLE, keep_late_in_shell, show_in
from nbretry.notebook.asking import ask_prepared
from nbretry.notebook.background import BackgroundAnswer, noting
from nbretry.notebook.late_outputs import CellWatch
from nbretry.notebook.loop_thread import spawn
from nbretry.notebook.panel.painting import PanelPainter, Picture
from nbretry.notebook.panel.parts import STYLE, AnswerView, ProviderRow, button, labelled, markup, row_heads, set_traits
from nbretry.notebook.panel.state import PanelState, ProviderChoice
from nbretry.notebook.preparing import prepare
from nbretry.redaction import mask
from nbretry.renderers.answer import answer_bundle
from nbretry.running import Paint
from nbretry.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Panel", "panel"]

_SETTLED = 0.25
"""Seconds without a change after which what was typed before a click has arrived: a browser holds text back while the
kernel is busy, and a click overtakes it."""

_TICK = 1.0
"""Seconds between two looks at who still rests."""

_NO_OTHER = ("another provider …", "")

_STOPPED = f"■ stopped; what there is of the answer is in {ANSWER_VARIABLE}"
_WITHOUT_KERNEL = "The panel needs its kernel: run its cell again."


def panel(providers: Sequence[str] | None = None) -> Panel:
    """A panel that asks as ``%%ask`` does, with a provider picker. As the value of a cell it is shown.

    Args:
        providers: names of the providers to pick from, in the order of asking; None for those that are asked where
            nobody is named.

    Raises:
        ConfigError: this is no notebook, or a name is unknown.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        raise ConfigError("the panel needs a notebook; in a terminal ask with %ask, or with nbretry ask")
    show_in(shell)
    names = None if providers is None else names_in([providers] if isinstance(providers, str) else providers)
    return Panel(shell, PanelState(default_session(), names))


class Panel(ipywidgets.VBox):  # type: ignore[misc]  # its package tells no types
    """The panel as a widget; made by `panel`.

    Args:
        shell: the user's, in which a cell runs now.
        state: what it begins with.
    """

    def __init__(self, shell: InteractiveShell, state: PanelState) -> None:
        self._shell = shell
        self._panel_state = state
        self._lock = threading.RLock()
        self._watch = CellWatch.of(shell)
        self._cell_context = self._page_context = contextvars.copy_context()
        self._run: BackgroundAnswer | None = None
        self._typed_at = 0.0
        self._note = ""
        self._stop_ticking: Callable[[], None] | None = None
        self._filling = False
        self._rows: dict[ProviderChoice, ProviderRow] = {}
        self._build()
        super().__init__(self._parts())
        self.add_class("nbretry-panel")
        self._view_count = 0  # from now on each page that shows the panel says so
        self.observe(self._follow_page, "_view_count")
        self._show()
        self._show_standings()
        shell.events.register("post_run_cell", self._after_cell)

    @property
    def state(self) -> PanelState:
        """What the panel knows."""
        return self._panel_state

    @property
    def run(self) -> BackgroundAnswer | None:
        """The question that is being answered, or was last; None before the first."""
        return self._run

    def ask(self) -> None:
        """What the Ask button does; nothing where that is disabled."""
        with self._lock:
            if not self.state.may_ask:
                return
            self.state.phase = "running"
            self._note = "asking …"
            self._show()
            # In the context of the cell: a span that is open there is the parent of this run's spans.
            self._run = self._cell_context.copy().run(BackgroundAnswer, self._answer_question, self._end, None, True)

    def stop(self) -> None:
        """What the Stop button does; nothing where that is disabled."""
        with self._lock:
            if self.state.may_stop and self._run is not None:
                self.state.phase = "stopping"
                self._show()
                self._run.stop()

    def clear(self) -> None:
        """What the Clear button does; nothing where that is disabled."""
        with self._lock:
            if self.state.may_clear:
                self.state.clear()
                self._note = ""
                self._fill_in()
                self._answer_view.show(Picture())
                self._show()

    def close(self) -> None:
        """Take the panel away; what it asks is stopped."""
        with self._lock:
            if self._run is not None:
                self._run.stop()
            if self._stop_ticking is not None:
                self._stop_ticking()
            with suppress(ValueError):  # closed before
                self._shell.events.unregister("post_run_cell", self._after_cell)
            super().close()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The widget, and for where there is no kernel the last answer as it is now."""
        answer = self.state.answer
        html = f"<div>{_WITHOUT_KERNEL}</div>"
        static = {"text/html": html, "text/plain": _WITHOUT_KERNEL} if answer is None else answer_bundle(answer)
        return {**(super()._repr_mimebundle_(**options) or {}), **static}

    # --- building -----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self._row_box = ipywidgets.VBox()
        self._others = ipywidgets.Dropdown(options=[_NO_OTHER], tooltip="another known provider")
        self._others.observe(self._typed, "value")
        self._add = button("Add", "offer this provider as well", self._add_provider, "plus")
        self._prompt = labelled(
            ipywidgets.Textarea(
                description="Prompt",
                placeholder="Why is the sky blue?   {{ name }} stands for what the notebook has there",
                tooltip="the question, as below %%ask",
                rows=4,
            )
        )
        self._system = labelled(
            ipywidgets.Textarea(description="System prompt", tooltip="what holds for every answer", rows=2)
        )
        self._ask_button = button("Ask", "ask the providers in this order", self.ask, "paper-plane", "primary")
        self._stop_button = button("Stop", "stop, and keep what has come", self.stop, "stop")
        self._clear_button = button("Clear", "", self.clear, "eraser")
        self._in_conversation = ipywidgets.Checkbox(
            description="Conversation", indent=False, tooltip="go on with the conversation of %%ask -c"
        )
        self._in_conversation.layout.width = "auto"
        self._turns = markup("nbretry-quiet")
        self._answer_view = AnswerView()
        for field in (self._prompt, self._system, self._in_conversation):
            field.observe(self._typed, "value")

    def _parts(self) -> Sequence[Any]:
        adding = ipywidgets.HBox([self._others, self._add]).add_class("nbretry-bar")
        buttons = [self._ask_button, self._stop_button, self._clear_button, self._in_conversation, self._turns]
        return (
            markup("nbretry-style", html=f"<style>{STYLE}</style>"),
            row_heads(),
            self._row_box,
            adding,
            ipywidgets.Accordion([self._system], titles=["System prompt"], selected_index=None),
            self._prompt,  # with Ask one Tab away
            ipywidgets.HBox(buttons).add_class("nbretry-bar"),
            self._answer_view.widget,
        )

    def _controls(self) -> list[Any]:
        """Every widget that a user changes or presses."""
        controls = [control for row in self._rows.values() for control in row.controls]
        controls += [self._others, self._add, self._prompt, self._system, self._in_conversation]
        return [*controls, self._ask_button, self._stop_button, self._clear_button]

    # --- what the user does -------------------------------------------------------------------------------------------

    def _typed(self, change: Any) -> None:
        with self._lock:
            if self._filling:
                return
            self._typed_at = time.monotonic()
            self.state.prompt, self.state.system = self._prompt.value, self._system.value
            self.state.in_conversation = self._in_conversation.value
            self._show()

    def _chosen(self) -> None:
        with self._lock:
            self._typed_at = time.monotonic()
            self._show()

    def _move(self, choice: ProviderChoice, by: int) -> None:
        with self._lock:
            if self.state.may_move(choice, by):
                self.state.move(choice, by)
                self._show()

    def _add_provider(self) -> None:
        with self._lock:
            if not self._others.value:
                return
            try:
                self.state.add(self._others.value)
            except ConfigError as error:
                self._note = str(error)
            self._show()
            self._show_standings()

    def _fill_in(self) -> None:
        """Have the fields show the state."""
        self._filling = True
        try:
            self._in_page(lambda: set_traits(self._prompt, value=self.state.prompt))
        finally:
            self._filling = False

    def _follow_page(self, change: Any) -> None:
        """A page shows the panel, or does so no more; see this module's description."""
        get_parent = getattr(getattr(self._shell, "kernel", None), "get_parent", None)
        header = (get_parent() if get_parent is not None else {}).get("header") or {}
        with self._lock:
            if header.get("subshell_id") is not None:
                self._page_context = contextvars.copy_context()
                for control in self._controls():
                    control.send_state("tooltip")
            self._cell_context.copy().run(self.send_state, "tooltip")

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _in_page(self, change: Callable[[], None]) -> None:
        """Change controls so that what is done with them goes on to arrive in the page's thread."""
        self._page_context.copy().run(change)

    def _show(self) -> None:
        """Have everything but the answer and the providers' standing show the state."""
        with self._lock:
            self._in_page(self._show_controls)

    def _show_controls(self) -> None:
        state = self.state
        for choice in state.choices:
            if choice not in self._rows:
                self._rows[choice] = ProviderRow(choice, self._chosen, self._move)
            self._rows[choice].allow(earlier=state.may_move(choice, -1), later=state.may_move(choice, 1))
        set_traits(self._row_box, children=tuple(self._rows[choice].widget for choice in state.choices))
        others = (_NO_OTHER, *((name, name) for name in state.others()))
        if self._others.options != others:
            self._filling = True
            try:
                self._others.options = others
            finally:
                self._filling = False
        set_traits(self._add, disabled=not self._others.value)
        set_traits(self._ask_button, disabled=not state.may_ask)
        set_traits(self._stop_button, disabled=not state.may_stop)
        cleared = "the prompt and the answer, and the conversation" if state.in_conversation else "prompt and answer"
        set_traits(self._clear_button, disabled=not state.may_clear, tooltip=f"clear {cleared}")
        turns = f"{state.turns} {'turn' if state.turns == 1 else 'turns'} so far"
        set_traits(self._turns, value=turns if state.in_conversation else "")
        self._answer_view.show_note(self._note)

    def _show_standings(self) -> None:
        """Have each row show how its provider is doing, and go on with that while somebody rests."""
        with self._lock:
            standings = {choice: self.state.standing(choice) for choice in self.state.choices}

            def show() -> None:
                for choice, standing in standings.items():
                    self._rows[choice].show(standing)

            self._in_page(show)
            if not any(standing.kind == "waiting" for standing in standings.values()):
                self._stop_ticking = None
            elif self._stop_ticking is None:
                self._stop_ticking = spawn(self._tick, lambda task: None)

    async def _tick(self) -> None:
        with self._lock:
            this = self._stop_ticking
        while self._stop_ticking is not None and self._stop_ticking is this:
            await asyncio.sleep(_TICK)
            self._show_standings()

    def _after_cell(self, result: Any) -> None:
        """A cell may have asked, set a key, or gone on with the conversation."""
        self._show_standings()
        self._show()

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _answer_question(self, note: Callable[[Answer], None]) -> Answer:
        while (wait := self._typed_at + _SETTLED - time.monotonic()) > 0:  # noqa: ASYNC110 (that nothing happens has no event)
            await asyncio.sleep(wait)
        # In another thread, as what stands for a {{ name }} may take its time.
        prepared = await asyncio.to_thread(prepare, self._shell, self.state.asked(), self._shell.user_ns)

        def new_renderer() -> Paint:
            return noting(note, PanelPainter(self._shell, self._show_picture, self._show_standings))

        def keep(answer: Answer) -> None:
            note(answer)
            self._watch.call_between_cells(lambda: keep_late_in_shell(self._shell, answer))

        answer: Answer = await ask_prepared(self._shell, prepared, new_renderer, keep)
        return answer

    def _end(self, background: BackgroundAnswer) -> None:
        with self._lock:
            self.state.phase = "idle"
            self._note = _last_word(background.exception(), background.answer)
            self._show()
            self._show_standings()

    def _show_picture(self, answer: Answer, picture: Picture) -> None:
        with self._lock:
            self.state.answer, self._note = answer, picture.note
            self._answer_view.show(picture)


def _last_word(exception: BaseException | None, answer: Answer) -> str:
    """What there is to say at the end that the report does not say."""
    if answer.state == "completed":
        return ""
    if exception is None or isinstance(exception, asyncio.CancelledError):
        return _STOPPED if answer.attempts else "■ stopped before anybody was asked"
    return f"✗ {exception}" if isinstance(exception, NbretryError) else f"✗ {mask(describe(exception))}"
