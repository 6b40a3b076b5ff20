"""Render the settings as a table of value, source and meaning, as text and as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nbretry._utils.redaction import mask
from nbretry.config.schema import SETTINGS, Setting, text_of
from nbretry.providers.services import ProviderTable
from nbretry.renderers.tables import block_html, cell_html, table_html, table_text

__all__ = ["setting_line", "settings_html", "settings_text"]

_HEADS = ("Key", "Value", "From", "What it means")
_PROVIDER_HEADS = ("Provider", "Endpoint", "Model", "Key", "From")
_NOTHING = "—"
_WRONG = "#d4574e"
_MEASURES = {"seconds or p90": "seconds"} | {
    unit: unit for unit in ("seconds", "US dollars", "tokens", "times", "cells")
}


def setting_line(setting: Setting) -> str:
    """Return one setting as a line, such as ``idle is 30 seconds (NBRETRY_IDLE): From one content to the next.``"""
    definition = SETTINGS[setting.key]
    value = _value(setting)
    if definition.unit in _MEASURES and setting.value is not None and isinstance(setting.value, int | float):
        value = f"{value} {_MEASURES[definition.unit]}"
    return mask(f"{setting.key} is {value} ({setting.source}): {definition.meaning}")


def settings_text(
    settings: Iterable[Setting],
    providers: Iterable[ProviderTable] = (),
    errors: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """Return the settings as a table for a terminal.

    Args:
        settings: the settings in the order of the rows.
        providers: the providers that settings files describe.
        errors: mistakes in the files and in the environment, one line each.
        notes: lines below the table.
    """
    lines = [*(f"✗ {mask(error)}" for error in errors), *table_text(_HEADS, _rows(settings))]
    described = _provider_rows(providers)
    if described:
        lines += ["", *table_text(_PROVIDER_HEADS, described)]
    return "\n".join([*lines, "", *(mask(note) for note in notes)]).rstrip("\n")


def settings_html(
    settings: Iterable[Setting],
    providers: Iterable[ProviderTable] = (),
    errors: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """Return the same as HTML for a notebook cell."""
    described = _provider_rows(providers)
    sign = f'<span style="color:{_WRONG}">✗</span>'
    return block_html(
        *(f"<div>{sign} {cell_html(error)}</div>" for error in errors),
        table_html(_HEADS, _rows(settings), wide=[1, 3]),
        table_html(_PROVIDER_HEADS, described) if described else "",
        *(f'<div style="opacity:0.75">{cell_html(note)}</div>' for note in notes),
    )


def _rows(settings: Iterable[Setting]) -> list[tuple[str, str, str, str]]:
    return [(one.key, _value(one), one.source, _meaning(one.key)) for one in settings]


def _meaning(key: str) -> str:
    definition = SETTINGS[key]
    return f"{definition.meaning} ({definition.unit})"


def _value(setting: Setting) -> str:
    if setting.value is None and SETTINGS[setting.key].takes_none:
        return "none"
    return text_of(setting.value) or _NOTHING


def _provider_rows(providers: Iterable[ProviderTable]) -> list[tuple[str, ...]]:
    return [
        (
            one.name,
            one.base_url or f"{one.kind or one.name}'s own",
            one.model or _NOTHING,
            one.key_variable or _NOTHING,
            one.source,
        )
        for one in providers
    ]
