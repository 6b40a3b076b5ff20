"""Show several answers to one question: in HTML columns, as text one below the other, and in a terminal.

The HTML is static. Its columns become rows if there is no room, and a viewer that drops styles, as GitHub does, shows
the same words in the same order. A model's Markdown becomes HTML in which nothing runs and nothing is loaded.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from html import escape
from typing import TextIO

from nbretry._utils.redaction import mask
from nbretry._utils.text import printable
from nbretry.answer import Answer
from nbretry.events import Event, RunCancelled, RunCompleted, RunFailed
from nbretry.renderers.painter import AS_WRITTEN, markdown_html, with_style
from nbretry.renderers.reasoning import reasoning_html, reasoning_text
from nbretry.renderers.report import attempt_line, report_html, report_text, status_line, summary

__all__ = ["ComparisonConsole", "column_text_html", "comparison_html", "comparison_text", "headings"]

_SIGNS = {"completed": "✓", "failed": "✗", "stopped": "■"}
_COLOURS = {"completed": "#2e9e5b", "failed": "#d4574e", "stopped": "#c98a1b"}
_SIGN_OF_OTHERS, _COLOUR_OF_OTHERS = "…", "#4a86c8"

_COLUMNS = "display:flex;flex-wrap:wrap;gap:0.8em;margin:0.2em 0"
_RULE_COLOUR = "rgba(128,128,128,0.35)"
_RULE = f"1px solid {_RULE_COLOUR}"
_COLUMN = (
    "flex:1 1 16em;min-width:0;max-width:100%;box-sizing:border-box;display:flex;flex-direction:column;"
    f"border:{_RULE};border-radius:6px;padding:0.6em 0.9em 0.5em"
)
_HEAD = f"border-bottom:{_RULE};margin:0 0 0.6em;padding:0 0 0.4em"
_BODY = "flex:1 1 auto;overflow-x:auto;overflow-wrap:break-word"
_ERROR = "margin:0 0 0.6em;white-space:pre-wrap;overflow-wrap:anywhere"
_LARGEST_HEADING = 3
"""Of the six of a page: a column has little room."""

_LINE = "font-size:0.85em;line-height:1.5;margin:0.2em 0;opacity:0.75;white-space:pre-wrap"


def headings(names: Sequence[str]) -> list[str]:
    """Return the heading of each column: the provider's name, with a number if the name appears more than once."""
    count = Counter(names)
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
    return [f"{name} ({next(numbers[name])})" if count[name] > 1 else name for name in names]


def column_text_html(text: str, is_part: bool = False) -> str:
    """Return the text of an answer, or a part of it, as HTML for a column."""
    return markdown_html(text, _LARGEST_HEADING, is_part)


def comparison_html(heads: Sequence[str], answers: Sequence[Answer], texts: Sequence[str] | None = None) -> str:
    """Return a column for each answer: its heading, the text so far, and a line about it.

    Once all answers have ended, each line opens to the attempts of its answer, and the reasoning is there, collapsed.

    Args:
        heads: one heading for each answer, as `headings` returns them.
        answers: the answers, finished or not.
        texts: what `column_text_html` returns for each answer's text; None to draw them here.
    """
    all_ended = all(answer.state in _SIGNS for answer in answers)
    drawn = [column_text_html(answer.text) for answer in answers] if texts is None else texts
    columns = (_column(*column, all_ended) for column in zip(heads, answers, drawn, strict=True))
    return with_style(f'<div class="nbretry-comparison" style="{_COLUMNS}">{"".join(columns)}</div>')


def comparison_text(heads: Sequence[str], answers: Sequence[Answer]) -> str:
    """Return the same as plain text, one answer below the other."""
    return "\n\n".join(_section(head, answer) for head, answer in zip(heads, answers, strict=True))


class ComparisonConsole:
    """Append-only view of a comparison: it writes each answer in full once it has ended, so that no two are mixed.

    Args:
        out: stream for the answers, each below its heading.
        err: stream for failed and skipped attempts, and for the closing line of each answer.
        heads: headings of the answers.
    """

    def __init__(self, out: TextIO, err: TextIO, heads: Sequence[str]) -> None:
        self._out = out
        self._err = err
        self._heads = heads
        self._wrote_before = False

    def __call__(self, column: int, event: Event, answer: Answer) -> None:
        """Write the answer if this event ends its run."""
        if not isinstance(event, RunCompleted | RunFailed | RunCancelled):
            return
        written = ["", _head_line(self._heads[column]), mask(answer.text).rstrip()]
        if not self._wrote_before:
            del written[0]
        if not answer.text:
            del written[-1]
        self._wrote_before = True
        self._out.write(printable("\n".join([*written, ""])))
        self._out.flush()
        lines = [attempt_line(attempt) for attempt in answer.attempts if attempt.state in ("failed", "skipped")]
        closing = f"{'✓' if isinstance(event, RunCompleted) else '■'} {summary(answer)}"
        self._err.write("".join(f"  {printable(line)}\n" for line in [*lines, closing]))
        self._err.flush()


def _column(head: str, answer: Answer, text: str, all_ended: bool) -> str:
    sign = _coloured(_SIGNS.get(answer.state, _SIGN_OF_OTHERS), answer)
    error = _error(answer)
    body = reasoning_html(answer) if all_ended else ""
    body += text if answer.text else ""
    if error:
        body += f'<div style="{_ERROR}">{_coloured("✗", answer)} {escape(error)}</div>'
    line = (
        report_html(answer) if all_ended else f'<div class="{AS_WRITTEN}" style="{_LINE}">{escape(_line(answer))}</div>'
    )
    return (
        f'<div class="nbretry-column" style="{_COLUMN}">'
        f'<div style="{_HEAD}">{sign} <strong>{escape(mask(head))}</strong></div>'
        f'<div class="{AS_WRITTEN}" dir="auto" style="{_BODY}">{body}</div>{line}</div>'
    )


def _coloured(sign: str, answer: Answer) -> str:
    return f'<span style="color:{_COLOURS.get(answer.state, _COLOUR_OF_OTHERS)}">{sign}</span>'


def _section(head: str, answer: Answer) -> str:
    text = mask(answer.text).rstrip()
    line = report_text(answer) if answer.state in _SIGNS else _line(answer)
    head = "\n".join(filter(None, [_head_line(head), reasoning_text(answer)]))
    return f"{head}\n{text}\n\n{line}" if text else f"{head}\n{line}"


def _head_line(head: str) -> str:
    return f"== {mask(head)} =="


def _line(answer: Answer) -> str:
    """Return the summary of an answer, or what is going on if its text has not begun."""
    if answer.state in _SIGNS:
        return summary(answer)
    return f"{summary(answer)} …" if answer.text else status_line(answer)


def _error(answer: Answer) -> str | None:
    """Return the last error of a failed answer; None if it has not failed."""
    if answer.state != "failed":
        return None
    failed = [attempt for attempt in answer.attempts if attempt.state == "failed"] or answer.attempts
    return failed[-1].error if failed else None
