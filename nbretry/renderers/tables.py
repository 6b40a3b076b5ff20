"""Render small tables as text and as HTML, in the same style everywhere.

The HTML is static and its colours follow those of the page. Every cell is masked; in HTML it is escaped as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nbretry._utils.redaction import mask
from nbretry._utils.text import printable
from nbretry.renderers.painter import AS_WRITTEN

__all__ = ["block_html", "cell_html", "cell_text", "line_html", "table_html", "table_text"]

_CELL = "padding:0.2em 1em 0.2em 0;text-align:left;vertical-align:top"
_SMALL = "font-size:0.85em;line-height:1.5"
_SHORT = 24
"""Characters up to which a cell claims no minimum width."""


def table_text(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table for a terminal.

    Args:
        heads: headings of the columns.
        rows: the rows, each with one cell per column.
    """
    table = [[cell_text(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def table_html(heads: Sequence[str], rows: Sequence[Sequence[str]], wide: Sequence[int] = ()) -> str:
    """Return a table as HTML for a notebook cell.

    Args:
        heads: headings of the columns.
        rows: the rows, each with one cell per column.
        wide: indices of the columns whose text may wrap.
    """
    head = "".join(f'<th style="{_CELL};font-weight:600;white-space:nowrap">{cell_html(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(_td(cell, column in wide) for column, cell in enumerate(row))}</tr>" for row in rows)
    return (
        '<table style="border-collapse:collapse;margin:0 0 0.4em;font-size:1em">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def block_html(*parts: str) -> str:
    """Return parts of HTML in one block, in the small font of a report.

    Args:
        *parts: safe HTML.
    """
    return f'<div class="{AS_WRITTEN}" style="{_SMALL};margin:0.2em 0;overflow-x:auto">{"".join(parts)}</div>'


def line_html(text: str) -> str:
    """Return a line, or a few, in a small pale font, about what is going on or what was done."""
    return (
        f'<div class="{AS_WRITTEN}" style="font-size:0.85em;opacity:0.75;white-space:pre-wrap">{cell_html(text)}</div>'
    )


def _td(cell: str, wide: bool) -> str:
    # Short cells claim no width; on a narrow page they would push the columns beside them out of sight.
    claimed = ";min-width:16em" if len(cell) > _SHORT else ""
    width = f"white-space:pre-wrap{claimed}" if wide else "white-space:nowrap"
    return f'<td style="{_CELL};{width}">{cell_html(cell)}</td>'


def cell_text(text: str) -> str:
    """Return a text as one line for a terminal, masked."""
    return printable(" ".join(mask(text).split()))


def cell_html(text: str) -> str:
    """Return a text for HTML, masked and escaped."""
    return escape(mask(text))
