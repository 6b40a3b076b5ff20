"""Small tables as text and as HTML, alike wherever one is shown.

The HTML is static and its colours follow the page's own. Every cell is masked; in HTML it is escaped as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nbretry._utils.redaction import mask
from nbretry.renderers.console import printable
from nbretry.renderers.report import AS_WRITTEN

__all__ = ["block_html", "cell_html", "cell_text", "line_html", "table_html", "table_text"]

_CELL = "padding:0.2em 1em 0.2em 0;text-align:left;vertical-align:top"
_SMALL = "font-size:0.85em;line-height:1.5"
_SHORT = 24
"""Characters of a cell that need no room of their own."""


def table_text(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table for a terminal.

    Args:
        heads: of the columns.
        rows: as many cells each.
    """
    table = [[cell_text(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def table_html(heads: Sequence[str], rows: Sequence[Sequence[str]], wide: Sequence[int] = ()) -> str:
    """The table for a cell of a notebook.

    Args:
        heads: of the columns.
        rows: as many cells each.
        wide: columns whose text may be broken into several lines.
    """
    head = "".join(f'<th style="{_CELL};font-weight:600;white-space:nowrap">{cell_html(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(_td(cell, column in wide) for column, cell in enumerate(row))}</tr>" for row in rows)
    return (
        '<table style="border-collapse:collapse;margin:0 0 0.4em;font-size:1em">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def block_html(*parts: str) -> str:
    """Parts of HTML one under the other, as small as a report.

    Args:
        *parts: HTML that is safe already.
    """
    return f'<div class="{AS_WRITTEN}" style="{_SMALL};margin:0.2em 0;overflow-x:auto">{"".join(parts)}</div>'


def line_html(text: str) -> str:
    """A line, or a few, in small pale letters: what is going on, or what was done."""
    return (
        f'<div class="{AS_WRITTEN}" style="font-size:0.85em;opacity:0.75;white-space:pre-wrap">{cell_html(text)}</div>'
    )


def _td(cell: str, wide: bool) -> str:
    # Short ones claim no width, or the columns beside them would be out of sight where the page is narrow.
    claimed = ";min-width:16em" if len(cell) > _SHORT else ""
    width = f"white-space:pre-wrap{claimed}" if wide else "white-space:nowrap"
    return f'<td style="{_CELL};{width}">{cell_html(cell)}</td>'


def cell_text(text: str) -> str:
    """A text as one line for a terminal, masked."""
    return printable(" ".join(mask(text).split()))


def cell_html(text: str) -> str:
    """A text for HTML, masked and escaped."""
    return escape(mask(text))
