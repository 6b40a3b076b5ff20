"""The panel's settings: each row shows the value in effect and where it came from, and takes another value.

A field shows the value in effect. A value typed there is set for the session, as ``%nbretry config KEY VALUE`` does.
Emptying the field unsets it again.

ipywidgets resets a text field to the last text that the kernel knows whenever any trait of its widget changes. So that
users do not lose what they are typing, only the ``value`` of a field is ever changed, and only if the setting differs
from what the field shows. The widgets around the field show everything else in a row.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, get_args

import ipywidgets

from nbretry._utils.redaction import mask
from nbretry._utils.text import cut_end
from nbretry.config.schema import SETTINGS, Definition, Setting, text_of
from nbretry.config.settings import IN_SESSION
from nbretry.errors import ConfigError
from nbretry.notebook.panel.parts import button, make, markup, set_class, set_traits, show_html
from nbretry.notebook.panel.typed_keys import remember_typed_key
from nbretry.retry.policy import OnBreak
from nbretry.session.session import Session

__all__ = ["SETTINGS_STYLE", "SettingsView"]

_GROUPS: Mapping[str, Sequence[str]] = {
    "Retry and fallback": ("retries", "rounds", "on_break", "hedge_after"),
    "Deadlines of an attempt": ("connect", "first_content", "idle", "total"),
    "Answer": ("temperature", "max_tokens"),
    "Cost": ("max_cost", "budget"),
}

_UNITS = {"word": "", "number": ""}
"""Replacements for units that are no unit of measure, and so say nothing beside a field."""

_SENTENCES = {
    "on_break": "Where a stream dies midway: restart has the next provider answer afresh, continue has it go on from "
    "the text, raise ends the answer.",
}
"""Replacements for meanings that are too short for a user who has to choose."""

_NONE = "none"
_PROVIDERS_OWN = "provider's own"
_FROM_NOW_ON = (
    "What is set here holds for this session, in %%ask as well, from the next question on. "
    "An emptied field goes back to what the files say, or to the default."
)
_NOT_ASKED = "Nobody is asked until this is mended."
_KEY_REFUSED = "what was typed looks like a key, and was taken away: a key is never put into a setting"
_LONGEST = 40
"""Maximum characters of a typed value. Longer text cannot be valid, and is cut."""

SETTINGS_STYLE = """
.nbretry-panel .nbretry-settings { container: nbretry-settings / inline-size; overflow: hidden; }
.nbretry-panel .nbretry-settings > * { margin: 0; overflow: visible; }
.nbretry-panel .nbretry-settings .widget-html-content { line-height: 20px; overflow-wrap: anywhere; }
.nbretry-panel .nbretry-settings > .nbretry-settings-group { margin: 12px 0 2px; padding-bottom: 1px;
  border-bottom: 1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.3)); }
.nbretry-panel .nbretry-settings-errors .widget-html-content { padding-bottom: 6px; }
.nbretry-panel .nbretry-settings > .nbretry-settings-errors + .nbretry-settings-group { margin-top: 4px; }
.nbretry-panel .nbretry-settings-group .widget-html-content { color: var(--jp-ui-font-color2, inherit);
  font-size: 0.85em; font-weight: 600; }
.nbretry-panel .nbretry-setting { display: grid; align-items: start; column-gap: 8px; padding: 3px 0 3px 8px;
  border-left: 3px solid transparent;
  grid-template: "field unit undo words" auto "wrong wrong wrong wrong" auto / 16em 7.8em 28px minmax(0, 1fr); }
.nbretry-panel .nbretry-setting:hover { background: rgba(128, 128, 128, 0.08); }
.nbretry-panel .nbretry-setting-changed { border-left-color: var(--jp-brand-color1, #1976d2); }
.nbretry-panel .nbretry-setting-refused { border-left-color: var(--jp-error-color1, #d4574e); }
.nbretry-panel .nbretry-setting > * { margin: 0; width: auto; height: auto; min-width: 0; overflow: visible; }
.nbretry-panel .nbretry-setting > .nbretry-setting-field { grid-area: field; height: 28px; }
.nbretry-panel .nbretry-setting > .nbretry-setting-unit { grid-area: unit; }
.nbretry-panel .nbretry-setting > .nbretry-setting-undo { grid-area: undo; width: 28px; height: 28px; min-width: 0;
  padding: 0; display: flex; align-items: center; justify-content: center; font-size: 0; }
.nbretry-panel .nbretry-setting > .nbretry-setting-undo > i { margin: 0; font-size: var(--jp-ui-font-size1, 13px); }
.nbretry-panel .nbretry-setting > .nbretry-setting-words { grid-area: words; }
.nbretry-panel .nbretry-setting > .nbretry-setting-wrong { grid-area: wrong; }
.nbretry-panel .nbretry-setting-field > label { width: 7.4em; min-width: 7.4em; margin: 0; text-align: left;
  line-height: 28px; color: inherit; }
.nbretry-panel .nbretry-setting-changed > .nbretry-setting-field > label { font-weight: 600; }
.nbretry-panel .nbretry-setting-field > input { text-align: right; }
.nbretry-panel .nbretry-setting-field > input::placeholder { color: var(--jp-ui-font-color2, #666); opacity: 1; }
.nbretry-panel .nbretry-setting-field > select { height: 28px; background-size: 5px 5px; background-repeat: no-repeat;
  background-image: linear-gradient(45deg, transparent 50%, currentColor 50%),
    linear-gradient(135deg, currentColor 50%, transparent 50%);
  background-position: right 13px center, right 8px center; }
.nbretry-panel .nbretry-setting-refused > .nbretry-setting-field > input {
  border-color: var(--jp-error-color1, #d4574e); }
.nbretry-panel .nbretry-setting-undo:disabled { opacity: 0.3; background: none; }
.nbretry-panel .nbretry-setting-unit .widget-html-content,
.nbretry-panel .nbretry-setting-words .widget-html-content { padding-top: 5px; }
.nbretry-panel .nbretry-setting-words .nbretry-quiet { display: inline-block; }
.nbretry-panel .nbretry-setting-wrong .widget-html-content { padding: 2px 0 2px 7.4em; }
.nbretry-panel .nbretry-setting-wrong .widget-html-content,
.nbretry-panel .nbretry-settings-wrong { color: var(--jp-error-color1, #d4574e); }
.nbretry-panel .nbretry-settings > .nbretry-settings-note { margin-top: 12px; }
@container nbretry-settings (max-width: 600px) {
  .nbretry-panel .nbretry-setting { column-gap: 6px;
    grid-template: "field unit undo" auto "wrong wrong wrong" auto "words words words" auto
      / 16em minmax(0, 1fr) 28px; }
  .nbretry-panel .nbretry-setting-words .widget-html-content { padding: 2px 0 2px 7.4em; }
}
"""


@dataclass(frozen=True, slots=True)
class _Refused:
    """A refusal of what was typed: why, and the setting that was in effect then."""

    why: str
    setting: Setting


class SettingsView:
    """A view that shows the settings of a session and lets the user change them.

    Args:
        session: the session with the settings.
        lock: held while something is changed or shown.
        changed: called after a change.

    Attributes:
        widget: the widget that shows the settings.
    """

    def __init__(self, session: Session, lock: threading.RLock, changed: Callable[[], None]) -> None:
        self._session = session
        self._lock = lock
        self._errors = markup("nbretry-settings-errors")
        self._rows: list[_SettingRow] = []
        parts: list[Any] = [self._errors]
        for heading, keys in _GROUPS.items():
            rows = [_SettingRow(SETTINGS[key], session, lock, changed) for key in keys]
            parts += [markup("nbretry-settings-group", html=heading), *(row.widget for row in rows)]
            self._rows += rows
        parts.append(markup("nbretry-settings-note", "nbretry-quiet", html=_FROM_NOW_ON))
        self.widget = make(ipywidgets.VBox, "nbretry-settings", children=parts)
        self.show()

    @property
    def controls(self) -> Sequence[Any]:
        """The widgets that a user changes or presses."""
        return [control for row in self._rows for control in row.controls]

    def show(self) -> None:
        """Show the current settings. A field whose text was refused keeps it until its setting changes."""
        with self._lock:
            settings = self._session.settings.readable()
            for row in self._rows:
                row.show(self._session.changed_here(settings[row.key]))
            errors = self._session.settings.errors()
            show_html(self._errors, _errors_html(errors))


class _SettingRow:
    """One setting: its field, its unit, an undo button, its meaning, and what is wrong with the typed text."""

    def __init__(
        self, definition: Definition, session: Session, lock: threading.RLock, changed: Callable[[], None]
    ) -> None:
        self.key = definition.name
        self._session = session
        self._lock = lock
        self._changed = changed
        self._refused: _Refused | None = None
        self._field = _field_for(definition)
        self._field.add_class("nbretry-setting-field")
        self._text = self._field.value
        """The text that the program has put into the field: any other text was typed by the user."""
        self._shown: tuple[Setting, _Refused | None, str] | None = None
        unit = markup(
            "nbretry-setting-unit", "nbretry-quiet", html=escape(_UNITS.get(definition.unit, definition.unit))
        )
        name = _name(definition)
        self._undo = button(f"Undo {name}", f"undo what was set for this session: {name}", self._unset, "undo")
        self._undo.add_class("nbretry-setting-undo")
        self._words = markup("nbretry-setting-words")
        self._wrong = markup("nbretry-setting-wrong")
        self.widget = make(ipywidgets.HBox, children=[self._field, unit, self._undo, self._words, self._wrong])
        self.widget.add_class("nbretry-setting")
        self._field.observe(self._take, "value")

    @property
    def controls(self) -> Sequence[Any]:
        return self._field, self._undo

    def show(self, setting: Setting) -> None:
        """Show this setting. If typed text was refused and the setting is still the same, keep showing that."""
        if self._refused is not None and self._refused.setting != setting:
            self._refused = None
        if (setting, self._refused, self._text) == self._shown:
            return
        if self._refused is None and self._text != _written(setting):
            self._fill(_written(setting))
        self._shown = (setting, self._refused, self._text)
        why = "" if self._refused is None else self._refused.why
        show_html(self._wrong, f'<span role="alert">✗ {escape(why)}</span>' if why else "")
        set_traits(self._words, value=_words_html(setting))
        is_set = setting.source == IN_SESSION
        set_traits(self._undo, disabled=not is_set)
        set_class(self.widget, "nbretry-setting-changed", is_set)
        set_class(self.widget, "nbretry-setting-refused", bool(why))

    def _fill(self, text: str) -> None:
        # Before the trait, as its observer may be called in a thread that handles a browser's message.
        self._text = text
        if not isinstance(self._field, ipywidgets.Dropdown) or text in self._field.options:
            set_traits(self._field, value=text)

    def _take(self, change: Any) -> None:
        with self._lock:
            typed: str = change["new"]
            if typed == self._text:
                return
            self._refused = None
            self._fill(self._set(typed))
        self._changed()

    def _set(self, typed: str) -> str:
        """Set what was typed, or record why it is refused. Return the text that the field shows from then on."""
        if not typed.strip():
            self._session.settings.unset(self.key)
        elif remember_typed_key(typed, "name"):
            self._refuse(f"{self.key}: {_KEY_REFUSED}")
            return ""
        else:
            try:
                self._session.settings.set(self.key, cut_end(typed.strip(), _LONGEST))
            except ConfigError as error:
                self._refuse(str(error))
        return typed

    def _refuse(self, why: str) -> None:
        setting = self._session.changed_here(self._session.settings.readable()[self.key])
        self._refused = _Refused(mask(why), setting)

    def _unset(self) -> None:
        with self._lock:
            self._refused = None
            self._session.settings.unset(self.key)
        self._changed()


def _field_for(definition: Definition) -> Any:
    common = {"description": _name(definition), "tooltip": definition.meaning}
    if definition.name == "on_break":
        return make(ipywidgets.Dropdown, options=_default_first(definition), value=definition.default, **common)
    return make(ipywidgets.Text, placeholder=_default(definition), continuous_update=False, **common)


def _default_first(definition: Definition) -> list[str]:
    return sorted(get_args(OnBreak), key=lambda word: (word != definition.default, word))


def _name(definition: Definition) -> str:
    return definition.name.replace("_", " ").capitalize()


def _default(definition: Definition) -> str:
    if definition.default is None:
        return _NONE if definition.takes_none else _PROVIDERS_OWN
    return text_of(definition.default)


def _written(setting: Setting) -> str:
    """Return a setting as the user would type it; empty for a default of None."""
    if setting.value is None:
        return "" if setting.is_default else _NONE
    return mask(text_of(setting.value))


def _words_html(setting: Setting) -> str:
    definition = SETTINGS[setting.key]
    default = _default(definition)
    told = [f"default: the {default}" if default == _PROVIDERS_OWN else f"default {default}"]
    if setting.source == IN_SESSION:
        told.append(f"set for this session ({IN_SESSION})")
    elif not setting.is_default:
        told.append(f"from {setting.source}")
    sentence = _SENTENCES.get(definition.name, definition.meaning)
    return f'{escape(sentence)} <span class="nbretry-quiet">{escape(mask(" · ".join(told)))}</span>'


def _errors_html(errors: Sequence[str]) -> str:
    lines = "".join(f'<div class="nbretry-settings-wrong">✗ {escape(mask(error))}</div>' for error in errors)
    return f'<div role="alert">{lines}<div class="nbretry-quiet">{_NOT_ASKED}</div></div>' if errors else ""
