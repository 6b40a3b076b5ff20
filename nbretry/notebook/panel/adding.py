"""The panel's tab that adds a provider: a known one that is not offered yet, or a new one, described in a form.

The form never takes a key. It asks for the name of the environment variable that holds the key. Text that looks like a
key is removed from its field as soon as it arrives, before anything else is done with it.

Both Add buttons can always be pressed. A field is sent only when it loses focus, so the kernel learns late that
something was typed. If the kernel had to enable a button first, a click on it would be lost, and Tab would skip it. A
button that is pressed too early says what is missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, NamedTuple

import ipywidgets

from nbretry._utils.redaction import mask
from nbretry.config.settings_file import WrongTableError, checked_provider
from nbretry.errors import ConfigError
from nbretry.notebook.panel.added import added_html, keep_html, mistake_html, offered_html, words_on
from nbretry.notebook.panel.parts import button, make, markup, set_class, set_traits, show_html
from nbretry.notebook.panel.state import PanelState
from nbretry.notebook.panel.typed_keys import Meant, remember_typed_key
from nbretry.providers.factory import provider_from_table
from nbretry.providers.services import PRESETS, ProviderTable
from nbretry.types import ProviderType

__all__ = ["ADDING_STYLE", "AddingForm"]

_NO_OTHER = ("choose one …", "")
_PROTOCOLS = [("OpenAI's protocol (most servers)", "openai"), ("Anthropic's protocol", "anthropic")]
_ADDRESSES = {"openai": "http://gpu-server:8000/v1", "anthropic": "http://gpu-server:8000"}
_ADDRESS_HELP = {
    "openai": "Where the server is; most end with /v1.",
    "anthropic": f"Where the server is, as {_ADDRESSES['anthropic']}, without /v1.",
}
_MEANT: dict[str, Meant] = {"name": "name", "base_url": "address", "model": "name", "key_variable": "variable"}
"""The text fields of the form, and what each is for."""

_NONE_SELECTED = "no provider is selected: select one from the list"
_KEY_TAKEN = "that looks like a key: write the name of the environment variable that holds it"
_KEY_TAKEN_AGAIN = f"{_KEY_TAKEN}, or press Add again to go on without"

ADDING_STYLE = """
.nbretry-panel .nbretry-adding { container: nbretry-adding / inline-size; overflow: hidden; padding-bottom: 2px; }
.nbretry-panel .nbretry-adding > * { margin: 0; overflow: visible; }
.nbretry-panel .nbretry-adding .widget-html-content { line-height: 20px; overflow-wrap: anywhere; }
.nbretry-panel .nbretry-adding > .nbretry-adding-head { margin: 0 0 4px; padding-bottom: 1px;
  border-bottom: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.3)); }
.nbretry-panel .nbretry-adding > .nbretry-adding-bar + .nbretry-adding-head { margin-top: 16px; }
.nbretry-panel .nbretry-adding-head .widget-html-content { color: var(--jp-ui-font-color2, inherit);
  font-size: 0.85em; font-weight: 600; }
.nbretry-panel .nbretry-adding-row { display: grid; align-items: start; column-gap: 12px; padding: 3px 0 3px 8px;
  border-left: 3px solid transparent; grid-template-columns: minmax(0, 11fr) minmax(0, 10fr); }
.nbretry-panel .nbretry-adding-row > * { margin: 0; width: auto; height: auto; min-width: 0; overflow: visible; }
.nbretry-panel .nbretry-adding-row > .widget-inline-hbox { align-items: center; }
.nbretry-panel .nbretry-adding-row > .widget-inline-hbox > label { flex: none; width: 92px; margin: 0 8px 0 0;
  text-align: left; line-height: 29px; color: inherit; }
.nbretry-panel .nbretry-adding-row input, .nbretry-panel .nbretry-adding-row select { flex: 1 1 auto; min-width: 0;
  height: 28px; margin: 0; box-sizing: border-box; text-overflow: ellipsis; }
.nbretry-panel .nbretry-adding-row input::placeholder { color: var(--jp-ui-font-color2, #666); opacity: 0.75; }
.nbretry-panel .nbretry-adding-row select { padding-right: 24px; background-size: 5px 5px;
  background-repeat: no-repeat; background-position: right 13px center, right 8px center;
  background-image: linear-gradient(45deg, transparent 50%, currentColor 50%),
    linear-gradient(135deg, currentColor 50%, transparent 50%); }
.nbretry-panel .nbretry-adding-wrong { border-left-color: var(--jp-error-color1, #d4574e); }
.nbretry-panel .nbretry-adding-wrong input { border-color: var(--jp-error-color1, #d4574e); }
.nbretry-panel .nbretry-adding-help .widget-html-content { padding-top: 5px;
  color: var(--jp-ui-font-color2, inherit); }
.nbretry-panel .nbretry-adding-bar { align-items: flex-start; gap: 4px 12px; padding: 5px 0 0 111px; }
.nbretry-panel .nbretry-adding-bar, .nbretry-panel .nbretry-adding-bar > * { overflow: visible; }
.nbretry-panel .nbretry-adding-bar > button { flex: none; height: 28px; line-height: 28px; margin: 0; }
.nbretry-panel .nbretry-adding-said { flex: 1 1 auto; width: auto; margin: 0; min-width: 0; }
.nbretry-panel .nbretry-adding-said .widget-html-content { padding: 4px 0; }
.nbretry-panel .nbretry-adding code { padding: 0; background: none; color: inherit;
  font-family: var(--jp-code-font-family, monospace); font-size: var(--jp-code-font-size, 13px); }
.nbretry-panel .nbretry-adding-said code { display: inline-block; max-width: 100%; }
.nbretry-panel .nbretry-adding > .nbretry-adding-keep { margin: 6px 0 0 111px; }
.nbretry-panel .nbretry-adding-keep .nbretry-quiet { margin-top: 4px; }
.nbretry-panel .nbretry-adding .nbretry-good { color: var(--jp-success-color1, #2e9e5b); font-weight: 600; }
.nbretry-panel .nbretry-adding .nbretry-bad { color: var(--jp-error-color1, #d4574e); font-weight: 600; }
@container nbretry-adding (max-width: 600px) {
  .nbretry-panel .nbretry-adding-row { grid-template-columns: minmax(0, 1fr); }
  .nbretry-panel .nbretry-adding-help .widget-html-content { padding: 2px 0 3px 100px; }
}
@container nbretry-adding (max-width: 420px) {
  .nbretry-panel .nbretry-adding-row > .widget-inline-hbox { flex-direction: column; align-items: stretch; }
  .nbretry-panel .nbretry-adding-row > .widget-inline-hbox > label { width: auto; line-height: 22px; }
  .nbretry-panel .nbretry-adding-row input, .nbretry-panel .nbretry-adding-row select { flex: none; }
  .nbretry-panel .nbretry-adding-help .widget-html-content { padding: 2px 0 3px; }
  .nbretry-panel .nbretry-adding-bar { flex-wrap: wrap; padding-left: 11px; }
  .nbretry-panel .nbretry-adding-bar > .nbretry-adding-said { flex-basis: 100%; }
  .nbretry-panel .nbretry-adding > .nbretry-adding-keep { margin-left: 11px; }
}
"""


class _Added(NamedTuple):
    """A provider that was added, for the first time or again."""

    table: ProviderTable
    is_again: bool


class AddingForm:
    """The tab "Add a provider".

    An added provider is known to the session, so that ``%%ask -p NAME`` can use it too, and is offered in the panel.

    Args:
        state: the panel state that providers are added to.
        lock: held while anything changes.
        changed: called with the lock held after the user has changed something; it must call `show`.
    """

    def __init__(self, state: PanelState, lock: threading.RLock, changed: Callable[[], None]) -> None:
        self._state = state
        self._lock = lock
        self._changed = changed
        self._is_showing = False
        self._added: dict[str, ProviderType] = {}
        self._last_known = ""
        self._last_added: _Added | None = None
        self._known_mistake = self._mistake = ""
        self._wrong = ""
        self._key_was_taken = False
        self._build()
        self.widget = make(ipywidgets.VBox, "nbretry-adding", children=self._parts())
        self._others.observe(self._choose, "value")
        for widget in (*self._fields.values(), self._kind):
            widget.observe(self._typed, "value")
        self.show()

    @property
    def controls(self) -> Sequence[Any]:
        """The widgets that a user changes or presses."""
        fields = self._fields
        typed_in = (fields["name"], self._kind, fields["base_url"], fields["model"], fields["key_variable"])
        return self._others, self._add_known_button, *typed_in, self._add_button

    def show(self) -> None:
        """Update the widgets to what the session knows now."""
        with self._lock, self._showing():
            self._take_keys()
            self._show_others()
            # Leave the text fields alone: any change to one makes the browser discard what is being typed in it.
            set_traits(self._address_help, value=escape(_ADDRESS_HELP[self._kind.value]))
            for key, row in self._rows.items():
                set_class(row, "nbretry-adding-wrong", key == self._wrong)
            session, name, added = self._state.session, self._last_known, self._last_added
            offered = offered_html(session, name) if name else ""
            show_html(self._known_said, mistake_html(self._known_mistake) if self._known_mistake else offered)
            told = added_html(session, added.table, is_again=added.is_again) if added else ""
            show_html(self._said, mistake_html(self._mistake) if self._mistake else told)
            show_html(self._keep, keep_html(added.table) if added else "")

    # --- building -----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self._others = make(
            ipywidgets.Dropdown,
            options=[_NO_OTHER],
            description="Provider",
            tooltip="a provider that is known and not offered yet",
        )
        self._kind = make(
            ipywidgets.Dropdown,
            options=_PROTOCOLS,
            description="Protocol",
            tooltip="what the server speaks with those who ask it",
        )
        placeholders = {
            "name": ("Name", "lab", "what the provider is called after -p"),
            "base_url": ("Base URL", _ADDRESSES["openai"], "where the server is"),
            "model": ("Model", "qwen3", "the model that is asked where no other one is chosen"),
            "key_variable": ("Key variable", "NBRETRY_LAB_KEY", "the environment variable that holds the key"),
        }
        self._fields = {
            # Not continuous: a key would arrive letter by letter, and be in the widget before it is recognised.
            key: make(ipywidgets.Text, description=label, placeholder=example, tooltip=tooltip, continuous_update=False)
            for key, (label, example, tooltip) in placeholders.items()
        }
        self._address_help = _help("")
        self._rows = {
            "name": _row(self._fields["name"], _help("What you write after -p, as %%ask -p lab.")),
            "kind": _row(self._kind, _help("What the server speaks, whatever its models are.")),
            "base_url": _row(self._fields["base_url"], self._address_help),
            "model": _row(self._fields["model"], _help("Empty for the one that a server on this machine serves.")),
            "key_variable": _row(
                self._fields["key_variable"], _help("The environment variable with the key; may be empty.")
            ),
        }
        self._add_known_button = button("Add", "offer the chosen provider as well", self._add_known, "plus")
        self._add_button = button("Add", "add this server as a provider", self._add, "plus")
        self._known_said = markup("nbretry-adding-said")
        self._said = markup("nbretry-adding-said")
        self._keep = markup("nbretry-adding-keep", "nbretry-code")

    def _parts(self) -> Sequence[Any]:
        where = "Its key is looked for in the environment, .env and the keyring."
        return (
            markup("nbretry-adding-head", html="One that is known"),
            _row(self._others, _help(where)),
            _bar(self._add_known_button, self._known_said),
            markup("nbretry-adding-head", html="Another server"),
            *self._rows.values(),
            _bar(self._add_button, self._said),
            self._keep,
        )

    # --- what the user does -------------------------------------------------------------------------------------------

    def _choose(self, change: Any) -> None:
        with self._lock:
            if not self._is_showing:
                self._known_mistake = ""
                self._changed()

    def _typed(self, change: Any) -> None:
        with self._lock:
            if self._is_showing:
                return
            if not self._wrong or change.owner is self._rows[self._wrong].children[0]:
                self._mistake = self._wrong = ""
                self._key_was_taken = False
            self._take_keys()
            self._changed()

    def _add_known(self) -> None:
        with self._lock:
            name = self._others.value
            if not name:
                if self._last_known and not self._known_mistake:
                    return  # a second click
                self._known_mistake = _NONE_SELECTED
            else:
                try:
                    self._state.add(name)
                    self._last_known, self._known_mistake = name, ""
                except ConfigError as error:
                    self._known_mistake = str(error)
            self._changed()

    def _add(self) -> None:
        with self._lock:
            if self._last_added and not self._mistake and not self._is_begun:
                return  # a second click
            self._take_keys()
            if self._key_was_taken:
                # The click may have been meant for the text that was in the field before.
                self._key_was_taken = False
                self._mistake = _KEY_TAKEN_AGAIN
            else:
                self._add_typed()
            self._changed()

    def _add_typed(self) -> None:
        written = {key: text for key, field in self._fields.items() if (text := field.value.strip())}
        try:
            table = self._checked(written.pop("name", ""), {"kind": self._kind.value, **written})
            provider = provider_from_table(table)
            self._state.session.register(table.name, provider)
            self._last_added = _Added(table, is_again=table.name in self._added)
            self._added[table.name] = provider
            self._state.add(table.name).model = ""
        except WrongTableError as wrong:
            self._mistake, self._wrong = str(wrong), wrong.key or "name"
            return
        except ConfigError as error:
            self._mistake, self._wrong = str(error), ""
            return
        self._mistake = self._wrong = ""
        with self._showing():
            for field in self._fields.values():
                set_traits(field, value="")
            self._kind.value = _PROTOCOLS[0][1]

    def _checked(self, name: str, written: dict[str, str]) -> ProviderTable:
        if not name:
            raise WrongTableError("name is missing: write what the provider is called after -p, as lab")
        self._refuse_known(name)
        if "base_url" not in written:
            # Without base_url the question and the key would go to the protocol's own service.
            example = _ADDRESSES[written["kind"]]
            raise WrongTableError(f"base_url is missing: write where the server is, as {example}", "base_url")
        return checked_provider(name, written, of_project=False)

    def _refuse_known(self, name: str) -> None:
        session = self._state.session
        names = session.names()
        known = name if name in names else name.lower() if name.lower() in PRESETS else None
        if known is None or (known in self._added and self._added[known] is session.provider(known)):
            return
        what = "is a known service" if known in PRESETS else "is the name of a provider already"
        hint = "add it above, or choose another name" if known in self._state.others() else "choose another name"
        raise WrongTableError(f"{known} {what}: {hint}")

    def _take_keys(self) -> None:
        """Empty every field whose text looks like a key."""
        for key, meant in _MEANT.items():
            if remember_typed_key(self._fields[key].value, meant):
                with self._showing():
                    self._fields[key].value = ""
                self._mistake, self._wrong = _KEY_TAKEN, key
                self._key_was_taken = True

    # --- what is shown ------------------------------------------------------------------------------------------------

    @property
    def _is_begun(self) -> bool:
        return any(field.value.strip() for field in self._fields.values())

    @contextmanager
    def _showing(self) -> Iterator[None]:
        """Mark changes in this context as made by the program, not by the user."""
        before, self._is_showing = self._is_showing, True
        try:
            yield
        finally:
            self._is_showing = before

    def _show_others(self) -> None:
        others = self._state.others()
        words = words_on(self._state.session, others)
        labels = (" — ".join(part for part in (mask(name), words[name]) if part) for name in others)
        options = (_NO_OTHER, *zip(labels, others, strict=True))
        chosen = self._others.value
        with self._others.hold_sync():
            set_traits(self._others, options=options)
            self._others.value = chosen if chosen in others else ""


def _row(widget: Any, help_text: Any) -> Any:
    return make(ipywidgets.Box, "nbretry-adding-row", children=[widget, help_text])


def _bar(pressed: Any, said: Any) -> Any:
    return make(ipywidgets.HBox, "nbretry-adding-bar", children=[pressed, said])


def _help(words: str) -> Any:
    return markup("nbretry-adding-help", html=escape(words))
