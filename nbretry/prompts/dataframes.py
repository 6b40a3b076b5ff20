"""Data frames and arrays as text that models read well: what they are, their types, and a Markdown table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nbretry._utils.optional_types import is_a

__all__ = ["array_text", "frame_text"]

_MOST_ROWS = 60
_MOST_COLUMNS = 30
_LONGEST_CELL = 1_000
_MOST_ELEMENTS = 1_000
_EDGE = 10
_LONGEST_LINE = 100


def frame_text(value: Any) -> str | None:
    """Return a frame or series of pandas or polars as text, a styled one without its style; None for anything else.

    Of more than 60 rows, it shows the first and last 30; of more than 30 columns, the first and last 15; of a longer
    cell, the first 1,000 characters. A note says how many are left out.
    """
    if is_a(value, "pandas.io.formats.style", "Styler"):
        value = value.data
    if is_a(value, "pandas", "Series"):
        frame = value.to_frame("value" if value.name is None else value.name)
        return _text(_of_pandas("pandas Series", frame))
    if is_a(value, "pandas", "DataFrame"):
        return _text(_of_pandas("pandas DataFrame", value))
    if is_a(value, "polars", "Series"):
        return _text(_of_polars("polars Series", value.to_frame()))
    if is_a(value, "polars", "DataFrame"):
        return _text(_of_polars("polars DataFrame", value))
    return None


def array_text(value: Any) -> str | None:
    """Return a NumPy array as text, without the middle of more than 1,000 elements; None for anything else."""
    if not is_a(value, "numpy", "ndarray"):
        return None
    numpy = sys.modules["numpy"]
    if is_a(value, "numpy.ma", "MaskedArray"):  # array2string would show its masked elements
        with numpy.printoptions(threshold=_MOST_ELEMENTS, edgeitems=_EDGE, linewidth=_LONGEST_LINE):
            elements = str(value)
    else:
        elements = numpy.array2string(
            value, threshold=_MOST_ELEMENTS, edgeitems=_EDGE, max_line_width=_LONGEST_LINE, separator=", "
        )
    space = "\n" if "\n" in elements else " "
    return f"NumPy array of the shape {value.shape}, {value.dtype}:{space}{elements}"


@dataclass(frozen=True, slots=True)
class _Table:
    """A frame of either library.

    Attributes:
        title: what it is, such as ``pandas DataFrame``.
        labels: the names of the row labels, which are the levels of the index; empty for polars.
        columns: name and type of each column.
        row_count: the number of rows.
        rows: returns the rows from a start to before an end, of the columns with these numbers; labels come first.
    """

    title: str
    labels: Sequence[str]
    columns: Sequence[tuple[str, str]]
    row_count: int
    rows: Callable[[int, int, list[int]], Iterable[Sequence[Any]]]


def _of_pandas(title: str, frame: Any) -> _Table:
    levels = frame.index.nlevels

    def rows(start: int, end: int, chosen: list[int]) -> Iterable[Sequence[Any]]:
        part = frame.iloc[start:end, chosen]
        cells = part.itertuples(index=False, name=None) if chosen else [()] * len(part)
        for label, row in zip(part.index, cells, strict=True):
            yield (*(label if levels > 1 else (label,)), *row)

    # By position, because several columns may have the same name.
    columns = [
        (" / ".join(map(str, name)) if isinstance(name, tuple) else str(name), str(dtype))
        for name, dtype in zip(frame.columns, frame.dtypes, strict=True)
    ]
    labels = ["" if name is None else str(name) for name in frame.index.names]
    return _Table(title, labels, columns, len(frame), rows)


def _of_polars(title: str, frame: Any) -> _Table:
    def rows(start: int, end: int, chosen: list[int]) -> Iterable[Sequence[Any]]:
        part: Iterable[Sequence[Any]] = frame[:, chosen].slice(start, end - start).rows()
        return part

    columns = [(name, str(dtype)) for name, dtype in zip(frame.columns, frame.dtypes, strict=True)]
    return _Table(title, (), columns, frame.height, rows)


def _text(table: _Table) -> str:
    count, width = table.row_count, len(table.columns)
    half = _MOST_COLUMNS // 2
    is_wide, is_long = width > _MOST_COLUMNS, count > _MOST_ROWS
    chosen = [*range(half), *range(width - half, width)] if is_wide else list(range(width))
    columns_note = f"… {_counted(width - 2 * half, 'more column')} …"

    def with_gap(cells: list[str], note: str) -> list[str]:
        return [*cells[:-half], note, *cells[-half:]] if is_wide else cells

    def lines(start: int, end: int) -> list[str]:
        return [_line(with_gap([*map(_cell, row)], "…")) for row in table.rows(start, end, chosen)]

    columns = [table.columns[number] for number in chosen]
    types = with_gap([f"{_cell(name)} {kind}" for name, kind in columns], columns_note)
    header = with_gap([_cell(name) for name in (*table.labels, *(name for name, _ in columns))], columns_note)
    if is_long:
        end = _MOST_ROWS // 2
        note = f"… {_counted(count - 2 * end, 'more row')} …"
        body = [*lines(0, end), _line([note, *[""] * (len(header) - 1)]), *lines(count - end, count)]
    else:
        body = lines(0, count)
    about = [f"{table.title}, {_counted(count, 'row')} × {_counted(width, 'column')}"]
    if types:
        about.append(f"Types: {', '.join(types)}")
    return "\n".join([*about, "", _line(header), _line(["---"] * len(header)), *body])


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float) and value != value:
        return "NaN"
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    if len(text) > _LONGEST_CELL:
        text = f"{text[:_LONGEST_CELL]}… {_counted(len(text) - _LONGEST_CELL, 'more character')} …"
    return text.replace("|", r"\|").replace("\r", r"\r").replace("\n", r"\n")
