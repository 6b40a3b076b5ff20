"""The panel widget: it assembles the views, asks questions and shows the answers.

A question of the panel is answered in the background thread, so that cells can run meanwhile and Stop works at any
moment. A browser's messages arrive in whichever thread the kernel chooses; one lock protects all changes to what is
shown.

There is one panel for each shell. All cells that show it show the same panel: a change in one appears in all.

How ipykernel routes a browser's messages: with subshells (ipykernel 7, JupyterLab 4.4) the messages of a page are meant
for a thread of their own. But ipykernel 7.4 sends a message for a widget to the thread in which the widget was last
changed. Without a remedy, typing and clicking in one panel would arrive in two threads and overtake each other, a field
that is first typed in while a cell awaits something would get stuck, and Stop would wait for the running cell. So once
a page shows the panel, all controls follow that page's thread. The panel widget itself stays in the main thread, as the
next page announces itself through it. A busy page may announce itself before it has its thread; then the controls
follow the thread with the first thing that the user does.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets

from nbretry._utils.exceptions import describe, message_of
from nbretry._utils.redaction import mask
from nbretry._utils.text import cut_middle
from nbretry.answer import Answer
from nbretry.errors import ConfigError, NbretryError
from nbretry.notebook.asking.ask import ask_prepared
from nbretry.notebook.asking.background import BackgroundAnswer, noting
from nbretry.notebook.asking.prepare import prepare
from nbretry.notebook.asking.user_variables import ANSWER_VARIABLE, keep_late_in_shell, show_in
from nbretry.notebook.kernel.loop_thread import spawn
from nbretry.notebook.output.late_outputs import CellWatch
from nbretry.notebook.panel.adding import AddingForm
from nbretry.notebook.panel.answer_view import AnswerView
from nbretry.notebook.panel.cell_view import CellView
from nbretry.notebook.panel.painting import PanelPainter, Picture
from nbretry.notebook.panel.parts import close_inside, close_looks, markup
from nbretry.notebook.panel.picker import PickerView
from nbretry.notebook.panel.question_view import QuestionView
from nbretry.notebook.panel.settings_view import SettingsView
from nbretry.notebook.panel.state import PanelState
from nbretry.notebook.panel.static_picture import StaticPicture
from nbretry.notebook.panel.style import STYLE
from nbretry.session.options import names_in
from nbretry.session.runs import Paint
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Panel", "panel"]

_SETTLED = 0.25
"""Seconds without a change after which all text that was typed before a click has arrived. A browser holds text back
while the kernel is busy, so a click can overtake it."""

_TICK = 1.0
"""Seconds between two checks of which providers are still cooling down."""

_PICTURE_INTERVAL = 5.0
"""Seconds between two updates of the static picture while an answer comes. A restart of the kernel loses no more of the
answer than this."""

_STOPPED = f"■ stopped; what there is of the answer is in {ANSWER_VARIABLE}"
_STOPPING = "stopping …"
_NO_WIDGET = "nbretry.panel()"
_CLOSED = "this panel is closed: nbretry.panel() shows another"
_LONGEST_WORD = 2_000
"""Maximum characters of the error that a run failed with; the failures above the answer show it, too."""

_panels: weakref.WeakKeyDictionary[InteractiveShell, Panel] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def panel(providers: Sequence[str] | None = None) -> Panel:
    """Return the panel of this notebook, which asks like ``%%ask``. As the value of a cell it is displayed.

    A notebook has one panel. Any number of cells can show it, and all of them show the same.

    Args:
        providers: names of the providers to pick from, as ``name`` or ``name:model``, in the order of asking; None to
            leave them as they are, or in a new panel to offer those that are asked by default.

    Raises:
        ConfigError: this is not a notebook, a name is unknown, or a settings file has a mistake.

    Example:
        >>> import nbretry
        >>> panel = nbretry.panel(["openai:gpt-5.4-mini", "local"])
        >>> print(panel)
        <Panel: asks openai, local · idle>
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        raise ConfigError("the panel needs a notebook; in a terminal ask with %ask, or with nbretry ask")
    show_in(shell)
    names = None if providers is None else names_in([providers] if isinstance(providers, str) else providers)
    with _making:
        shown = _panels.get(shell)
        if shown is None:
            _panels[shell] = made = Panel(shell, PanelState(default_session(), names))
            return made
    if names is not None:
        shown.offer(names)
    return shown


class Panel(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no type annotations
    """The panel widget. Create it with `panel`.

    Args:
        shell: the user's IPython shell, in which a cell is running now.
        state: the state to start with.
    """

    def __init__(self, shell: InteractiveShell, state: PanelState) -> None:
        self._shell = shell
        self._panel_state = state
        self._lock = threading.RLock()
        self._watch = CellWatch.of(shell)
        self._watch.hold()  # also if the extension is reloaded or unloaded
        self._cell_context = self._page_context = contextvars.copy_context()
        self._follows_page = False
        self._run: BackgroundAnswer | None = None
        self._late: list[Answer] = []  # not yet in the user's variables
        self._typed_at = 0.0
        self._note = ""
        self._stop_ticking: Callable[[], None] | None = None
        self._is_closed = False
        self._static = StaticPicture(shell)
        self._static_at = 0.0
        self._build()
        super().__init__(self._parts())
        self.add_class("nbretry-panel")
        self._view_count = 0  # from now on each page that shows the panel reports it
        self.observe(self._follow_page, "_view_count")
        self._show()
        self._show_standings()
        shell.events.register("post_run_cell", self._after_cell)

    @property
    def state(self) -> PanelState:
        """The panel's state."""
        return self._panel_state

    @property
    def run(self) -> BackgroundAnswer | None:
        """The run of the current question, or of the last one; None before the first."""
        return self._run

    def offer(self, names: Sequence[str]) -> None:
        """Offer exactly these providers in the picker.

        Args:
            names: in the order of asking, as ``name`` or ``name:model``.

        Raises:
            ConfigError: a name is unknown; then nothing changes.
        """
        with self._lock:
            self.state.offer(names)
            self._show()
            self._show_standings()

    def ask(self) -> None:
        """Do what the Ask button does. If the button is disabled, do nothing."""
        with self._lock:
            if self.state.may_ask:
                self._begin(again=False)

    def ask_again(self) -> None:
        """Do what the Ask again button does: ask the last question again, with the providers that are picked now.

        In a conversation the new answer replaces the one before. If the button is disabled, do nothing.
        """
        with self._lock:
            if self.state.may_ask_again:
                self._begin(again=True)

    def stop(self) -> None:
        """Do what the Stop button does. If the button is disabled, do nothing."""
        with self._lock:
            if self.state.may_stop and self._run is not None:
                self.state.phase = "stopping"
                self._note = _STOPPING
                self._show()
                self._run.stop()

    def clear(self) -> None:
        """Do what the Clear button does. If the button is disabled, do nothing."""
        with self._lock:
            if self.state.may_clear:
                self.state.clear()
                self._note = ""
                self._in_page(self._question_view.fill_in)
                self._answer_view.show(Picture())
                self._answer_view.show_attempts("")
                self._answer_view.show_failures("")
                self._static.update("", None)
                self._show()

    def use_in_ask(self) -> None:
        """Do what the button "Use in %%ask" does. If the button is disabled, do nothing."""
        with self._lock:
            if self.state.may_be_used:
                try:
                    self.state.use_in_ask()
                except ConfigError as error:
                    self._note = f"✗ {error}"
                self._show()

    def insert_cell(self) -> None:
        """Insert the ``%%ask`` cell of the panel's question, exactly as it was typed, below the running cell.

        Raises:
            ConfigError: a model's name has a comma or a space, or a settings file has a mistake.
        """
        self._shell.set_next_input(self.state.cell())

    def close(self) -> None:
        """Close the panel and stop its question. The next call of `panel` creates another panel."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if _panels.get(self._shell) is self:
                del _panels[self._shell]
            if self._run is not None:
                self._run.stop()
            if self._stop_ticking is not None:
                self._stop_ticking()
            with suppress(ValueError):  # the user has cleared the shell's events
                self._shell.events.unregister("post_run_cell", self._after_cell)
            self._watch.release()
            close_inside(self)
            close_looks(self)
            super().close()

    def __repr__(self) -> str:
        names = ", ".join(choice.name for choice in self.state.choices if choice.on) or "nobody"
        return f"<Panel: asks {mask(names)} · {'closed' if self._is_closed else self.state.phase}>"

    def _ipython_display_(self, **options: Any) -> None:
        """Show the panel in the running cell, and a picture of its last answer for viewers without a kernel."""
        with self._lock:
            if self._is_closed:
                self._shell.display_pub.publish({"text/plain": _CLOSED}, {})
                return
            self._cell_context = contextvars.copy_context()
            view = self._repr_mimebundle_(**options)
            self._shell.display_pub.publish(view, {})
            self._static.show()

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widget alone, without the static picture."""
        return {**(super()._repr_mimebundle_(**options) or {}), "text/html": "", "text/plain": _NO_WIDGET}

    # --- building -----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        state, lock, changed = self.state, self._lock, self._changed
        self._picker = PickerView(state, lock, changed, _in_background)
        self._settings = SettingsView(state.session, lock, changed)
        self._adding = AddingForm(state, lock, changed)
        self._cell_view = CellView(state)
        pages = {
            "Providers": self._picker.widget,
            "Settings": self._settings.widget,
            "Add a provider": self._adding.widget,
            "As a cell": self._cell_view.widget,
        }
        self._tabs = ipywidgets.Tab([*pages.values()], titles=[*pages], selected_index=0)
        self._tabs.add_class("nbretry-tabs")
        self._question_view = QuestionView(state, lock, self._typed, self, self._cell_view.button)
        self._answer_view = AnswerView()

    def _parts(self) -> Sequence[Any]:
        return (
            markup("nbretry-style", html=f"<style>{STYLE}{self._static.style}</style>"),
            self._tabs,
            *self._question_view.parts,
            self._answer_view.widget,
        )

    def _controls(self) -> list[Any]:
        """Every widget that a user changes or presses."""
        views = (self._picker, self._settings, self._adding, self._question_view)
        return [self._tabs, *(control for view in views for control in view.controls)]

    # --- what the user does -------------------------------------------------------------------------------------------

    def _typed(self) -> None:
        """Handle a change in the question."""
        if not self._follows_page:
            self._follow_thread()
        self._typed_at = time.monotonic()
        self._in_page(self._show_question)

    def _changed(self) -> None:
        """Handle a change in one of the tabs."""
        with self._lock:
            if not self._follows_page:
                self._follow_thread()
            self._typed_at = time.monotonic()
            self.state.follow_settings()
            self._show()
            self._show_standings()

    def _follow_page(self, change: Any) -> None:
        """Handle that a page shows the panel, or no longer does. The module's docstring explains this."""
        with self._lock:
            self._follow_thread()
            self._cell_context.copy().run(self.send_state, "tooltip")

    def _follow_thread(self) -> None:
        """Let the controls follow the thread of the page whose message is being handled, if it has one."""
        get_parent = getattr(getattr(self._shell, "kernel", None), "get_parent", None)
        header = (get_parent() if get_parent is not None else {}).get("header") or {}
        self._follows_page = header.get("subshell_id") is not None
        if self._follows_page:
            self._page_context = contextvars.copy_context()
            for control in self._controls():
                control.send_state("tooltip")

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _in_page(self, change: Callable[[], None]) -> None:
        """Change controls in the page's context, so that their messages keep arriving in the page's thread."""
        if not self._is_closed:
            self._page_context.copy().run(change)

    def _show(self) -> None:
        """Update everything to the state, except the answer and how the providers are doing."""
        with self._lock:
            self._in_page(self._show_controls)

    def _show_controls(self) -> None:
        for view in (self._picker, self._settings, self._adding):
            view.show()
        self._question_view.fill_in()
        self._question_view.show_settings()
        self._show_question()

    def _show_question(self) -> None:
        """Update everything that depends on what is typed."""
        self._cell_view.show()
        self._question_view.show()
        self._answer_view.show_note(self._note)

    def _show_standings(self) -> None:
        """Show in each row how its provider is doing, and repeat this while one is cooling down or on trial."""
        with self._lock:
            standings = {choice: self.state.standing(choice) for choice in self.state.choices}
            self._in_page(lambda: self._picker.show_standings(standings))
            if self._is_closed or not any(standing.kind == "waiting" for standing in standings.values()):
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
        """Update the panel: the cell may have asked, set a key, changed a setting or continued the conversation."""
        with self._lock:
            self.state.follow_settings()
            self._show()
            self._show_standings()

    # --- asking -------------------------------------------------------------------------------------------------------

    def _begin(self, again: bool) -> None:
        if self._is_closed:
            return
        self.state.phase = "running"
        self._note = "asking …"
        self._show()

        async def answer_question(note: Callable[[Answer], None]) -> Answer:
            return await self._answer_question(again, note)

        # In the context of the cell, so that a span that is open there is the parent of this run's spans.
        self._run = self._cell_context.copy().run(BackgroundAnswer, answer_question, self._end, self._put_taken, True)

    async def _answer_question(self, again: bool, note: Callable[[Answer], None]) -> Answer:
        while (wait := self._typed_at + _SETTLED - time.monotonic()) > 0:  # noqa: ASYNC110 (no event ends typing)
            await asyncio.sleep(wait)
        with self._lock:
            asked = self.state.asked(self.state.question if again else None)
            in_place_of = self.state.turn_to_replace if again else None
        # In another thread, as filling in a {{ name }} may take a while.
        prepared = await asyncio.to_thread(prepare, self._shell, asked, self._shell.user_ns, in_place_of)
        if prepared.asked.format == "code":  # only a running cell can insert code into the next one
            prepared = replace(prepared, asked=replace(prepared.asked, format=None))
        painters: list[PanelPainter] = []

        def new_renderer() -> Paint:
            with self._lock:
                self.state.question = str(asked.question.prompt)
            painter = PanelPainter(self._shell, self._show_picture, self._show_attempts, self._show_failures)
            painters.append(painter)
            return noting(note, painter)

        def keep(answer: Answer) -> None:
            note(answer)
            with self._lock:
                self._late.append(answer)
            self._watch.call_between_cells(lambda: self._put(answer))

        try:
            answer: Answer = await ask_prepared(self._shell, prepared, new_renderer, keep, self._tell)
            return answer
        finally:
            for painter in painters:
                painter.close()

    def _put_taken(self, background: BackgroundAnswer) -> None:
        """Put the answer into the user's variables, as a cell has waited for it."""
        self._put(background.answer)

    def _put(self, answer: Answer) -> None:
        """Put an answer into the user's variables the first time that this is called for it."""
        with self._lock:
            still = [late for late in self._late if late is not answer]
            if len(still) < len(self._late):
                self._late = still
                keep_late_in_shell(self._shell, answer)

    def _end(self, background: BackgroundAnswer) -> None:
        with self._lock:
            self.state.phase = "idle"
            self._note = _last_word(background.exception(), background.answer)
            self._show()
            self._show_standings()

    def _tell(self, line: str) -> None:
        with self._lock:
            self._note = line
            self._show()

    def _show_picture(self, answer: Answer, picture: Picture) -> None:
        with self._lock:
            if self.state.phase == "stopping" and answer.duration is None:
                picture = replace(picture, note=_STOPPING)
            self.state.answer, self._note = answer, picture.note
            if self._is_closed:
                return
            self._answer_view.show(picture)
            is_due = bool(answer.text) and time.monotonic() - self._static_at > _PICTURE_INTERVAL
            if answer.duration is not None or is_due:
                self._static_at = time.monotonic()
                self._static.update(self.state.question, answer)

    def _show_attempts(self, html: str) -> None:
        with self._lock:
            if not self._is_closed:
                self._answer_view.show_attempts(html)

    def _show_failures(self, html: str) -> None:
        with self._lock:
            if not self._is_closed:
                self._answer_view.show_failures(html)
                self._show_standings()


def _in_background(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in the background thread. It reports its errors to the user itself."""

    def look_at(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # so that asyncio does not report it again, on the kernel's standard error

    spawn(lambda: coroutine, look_at)


def _last_word(exception: BaseException | None, answer: Answer) -> str:
    """Return the note at the end of a run: what the report does not say."""
    if exception is None or isinstance(exception, asyncio.CancelledError):
        if answer.state == "completed":
            return ""
        return _STOPPED if answer.attempts else "■ stopped before anybody was asked"
    told = message_of(exception) if isinstance(exception, NbretryError) else describe(exception)
    if answer.attempts:  # the failed attempts are shown above, with their errors
        told = told.partition("\n")[0].rstrip(":")
    return f"✗ {cut_middle(told, _LONGEST_WORD)}"
