"""``%nbretry config``: show the settings and where each came from, and change them for this session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbretry._utils.redaction import mask
from nbretry._utils.text import nearest
from nbretry.config.schema import definition_of
from nbretry.errors import ConfigError
from nbretry.notebook.output.single_output import Output
from nbretry.renderers.settings import setting_line, settings_html, settings_text
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]

_UNSET = "--unset"


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Show all settings or one, or set or unset settings for this session."""
    output = Output(shell)
    if not words:
        _show_all(output)
        return
    first, *others = words
    if first == _UNSET:
        if not others:
            raise ConfigError(f"{_UNSET} needs the key of a setting")
        for key in others:
            default_session().settings.unset(key)
        _show(output, others)
    elif first.startswith("-"):
        raise ConfigError(f"there is no option {first!r}{nearest(first, [_UNSET])}")
    elif others[-1:] == [_UNSET]:
        raise ConfigError(f"write {_UNSET} before the key, as %nbretry config {_UNSET} {first}")
    else:
        definition_of(first)
        if others:
            default_session().settings.set(first, " ".join(others))
        _show(output, [first])


def _show(output: Output, keys: Sequence[str]) -> None:
    session = default_session()
    lines = [setting_line(session.changed_here(session.settings.readable()[key])) for key in keys]
    output.show_line("\n".join([*lines, *map(mask, session.settings.errors())]))


def _show_all(output: Output) -> None:
    session = default_session()
    settings = [session.changed_here(setting) for setting in session.settings.readable().values()]
    providers = list(session.settings.readable_providers().values())
    shown = (settings, providers, session.settings.errors(), session.settings.files())
    output.show(settings_html(*shown), settings_text(*shown))
