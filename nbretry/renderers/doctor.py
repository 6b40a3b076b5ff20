"""Render the doctor's results as text and as HTML: a table, advice, and the providers that were not checked.

The HTML is static and its colours follow those of the page; nothing depends on colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbretry.renderers.painter import AS_WRITTEN
from nbretry.renderers.report import seconds
from nbretry.renderers.roster import key_text
from nbretry.renderers.tables import cell_html, cell_text, table_text
from nbretry.session.diagnosis import Diagnosis

__all__ = ["doctor_html", "doctor_text"]

_HEADS = ("", "Provider", "Key", "Endpoint", "Model", "First content", "Cooldown")
_NOTHING = "—"
_COLOURS = {True: "#2e9e5b", False: "#d4574e"}
_SIGNS = {True: "✓", False: "✗"}
_BREAKABLE = {1, 2, 3}
"""Columns whose text may wrap, so that the table fits beside a sidebar."""
_CELL = "padding:0.2em 1em 0.2em 0;text-align:left;vertical-align:top"
_SMALL = "font-size:0.85em;line-height:1.5"


def doctor_text(diagnoses: Sequence[Diagnosis], unconfigured: Mapping[str, str] | None = None) -> str:
    """Return a table for a terminal, and below it a line for each problem and for what to do about it.

    Args:
        diagnoses: results of the check.
        unconfigured: providers that were not checked, by name, with what each of them needs.
    """
    lines: list[str] = []
    if diagnoses:
        lines += [*table_text(_HEADS, [(_SIGNS[one.can_answer], *_cells(one)) for one in diagnoses]), ""]
    notes = [cell_text(note) for note in _notes(diagnoses)]
    lines += [*notes, ""] if notes else []
    lines += map(cell_text, [_verdict(diagnoses), *_others(unconfigured or {})])
    return "\n".join(lines)


def doctor_html(diagnoses: Sequence[Diagnosis], unconfigured: Mapping[str, str] | None = None) -> str:
    """Return the same as HTML for a notebook cell.

    Args:
        diagnoses: results of the check.
        unconfigured: providers that were not checked, by name, with what each of them needs.
    """
    table = _table(diagnoses) if diagnoses else ""
    notes = "".join(f"<div>{cell_html(note)}</div>" for note in _notes(diagnoses))
    troubles = f'<div style="margin:0 0 0.4em">{notes}</div>' if notes else ""
    under = "<br>".join(cell_html(line) for line in [_verdict(diagnoses), *_others(unconfigured or {})])
    return (
        f'<div class="nbretry-doctor {AS_WRITTEN}" style="{_SMALL};margin:0.2em 0;overflow-x:auto">'
        f'{table}{troubles}<div style="opacity:0.75">{under}</div></div>'
    )


def _table(diagnoses: Sequence[Diagnosis]) -> str:
    head = "".join(f'<th style="{_CELL};font-weight:600;white-space:nowrap">{name}</th>' for name in _HEADS)
    return (
        '<table style="border-collapse:collapse;margin:0 0 0.4em;font-size:1em">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, diagnoses))}</tbody></table>"
    )


def _row(one: Diagnosis) -> str:
    sign = f'<span style="color:{_COLOURS[one.can_answer]}">{_SIGNS[one.can_answer]}</span>'
    cells = [f'<td style="{_CELL}">{sign}</td>']
    for column, cell in enumerate(_cells(one)):
        style = _CELL if column in _BREAKABLE else f"{_CELL};white-space:nowrap"
        cells.append(f'<td style="{style}">{cell_html(cell)}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _cells(one: Diagnosis) -> tuple[str, ...]:
    return (
        one.provider,
        key_text(one.key, one.key_variable, one.key_source),
        _endpoint(one),
        _model(one),
        _first_content(one),
        f"resting {seconds(one.resting_for)} more" if one.resting_for else _NOTHING,
    )


def _endpoint(one: Diagnosis) -> str:
    if one.endpoint is None:
        return _NOTHING
    host = one.endpoint.partition("://")[2] or one.endpoint
    if one.reachable is None:
        return host
    return f"{host}, {'reachable' if one.reachable else 'not reachable'}"


def _model(one: Diagnosis) -> str:
    if not one.model:
        return _NOTHING
    if one.listed is None:
        return one.model
    words = ("listed", "not listed") if one.endpoint else ("on this machine", "not on this machine")
    return f"{one.model}, {words[0] if one.listed else words[1]}"


def _first_content(one: Diagnosis) -> str:
    if one.first_content is not None:
        return seconds(one.first_content)
    if not one.asked:
        return "not asked" if one.can_answer else _NOTHING
    return "only thought" if one.can_answer else "failed"


def _notes(diagnoses: Sequence[Diagnosis]) -> list[str]:
    """Return a line for each problem, and for what to do about it."""
    told = [(one.provider, note) for one in diagnoses for note in (None if one.can_answer else one.error, one.advice)]
    return [f"{provider}: {note}" for provider, note in told if note]


def _verdict(diagnoses: Sequence[Diagnosis]) -> str:
    able = [one.provider for one in diagnoses if one.can_answer]
    if not diagnoses:
        return "Nobody is configured."
    if not able:
        return "None of them can answer." if len(diagnoses) > 1 else f"{diagnoses[0].provider} cannot answer."
    return f"Can answer: {', '.join(able)}."


def _others(unconfigured: Mapping[str, str]) -> list[str]:
    missing = [f"{name} ({what})" for name, what in unconfigured.items() if what]
    only_named = [name for name, what in unconfigured.items() if not what]
    parts = [f"not configured: {', '.join(missing)}"] if missing else []
    parts += [f"only where they are named: {', '.join(only_named)}"] if only_named else []
    line = "; ".join(parts)
    return [f"{line[0].upper()}{line[1:]}."] if line else []
