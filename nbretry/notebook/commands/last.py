"""``%nbretry last``: show what happened with the last question."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from nbretry._utils.serialization import masked
from nbretry._utils.text import printable
from nbretry.answer import Answer
from nbretry.errors import ConfigError
from nbretry.notebook.commands.word_parser import WordParser
from nbretry.notebook.output.single_output import Output
from nbretry.renderers.report import attempt_line, report_html, report_text
from nbretry.renderers.tracebacks import traceback_text
from nbretry.session.session import default_session

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["run"]


def run(shell: InteractiveShell, words: Sequence[str]) -> None:
    """Show the last answer's report, its exceptions with their tracebacks, or its record as JSON."""
    parser = WordParser()
    parser.add_argument("--traceback", action="store_true")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args(words)
    answers = default_session().answers
    if not answers:
        raise ConfigError("nothing has been asked yet, so there is no last answer")
    answer = answers[-1]
    if parsed.json:
        text = json.dumps(masked(answer.to_dict()), ensure_ascii=False, indent=2)
    elif parsed.traceback:
        text = "\n\n".join(_tracebacks(answer)) or "no exception was raised"
    else:
        Output(shell).show(report_html(answer), report_text(answer))
        return
    text = printable(text)
    Output(shell).show(f'<pre style="font-size:0.85em;white-space:pre-wrap">{escape(text)}</pre>', text)


def _tracebacks(answer: Answer) -> Iterator[str]:
    """Yield the traceback of each failed attempt, secrets masked, below a line that describes the attempt."""
    for attempt in answer.attempts:
        if attempt.exception is not None:
            yield f"attempt {attempt.number}: {attempt_line(attempt)}\n{traceback_text(attempt.exception)}"
