"""Show a model's reasoning apart from its answer: the end of it while it streams, and collapsed afterwards."""

from __future__ import annotations

from html import escape

from nbretry._utils.redaction import MaskedStream, mask
from nbretry.answer import Answer
from nbretry.attempts import Attempt
from nbretry.renderers.report import seconds

__all__ = ["ThoughtTail", "reasoning_html", "reasoning_text", "thinking_html"]

_TAIL_LINES, _TAIL_CHARACTERS = 6, 600
_SMALL = "font-size:0.85em;line-height:1.5;margin:0.2em 0"
_WORDS = (
    "margin:0.4em 0 0.6em;padding:0 0 0 0.8em;border-left:2px solid rgba(128,128,128,0.35);"
    "font:inherit;color:inherit;background:none;opacity:0.75;white-space:pre-wrap;overflow-wrap:anywhere"
)


def reasoning_html(answer: Answer) -> str:
    """Return a pale line that opens to the whole reasoning; empty if there is none."""
    attempt = answer.reasoned_by
    if attempt is None:
        return ""
    took = _took(attempt)
    about = _count(attempt.reasoning) if took is None else f"{_count(attempt.reasoning)}, {seconds(took)}"
    return _details(f"reasoning ({about})", mask(attempt.reasoning).strip(), is_open=False)


def reasoning_text(answer: Answer) -> str:
    """Return one line that says that there is reasoning; empty if there is none."""
    attempt = answer.reasoned_by
    return "" if attempt is None else f"reasoning: {_count(attempt.reasoning)}, in the answer's .reasoning"


def thinking_html(name: str, tail: str) -> str:
    """Return what a model is thinking now.

    Args:
        name: name of the provider.
        tail: the end of the reasoning, already masked.
    """
    return _details(f"{mask(name)}: thinking …", tail, is_open=True)


class ThoughtTail:
    """The end of growing reasoning, masked; text is processed only once."""

    def __init__(self) -> None:
        self._attempt = 0
        self._read = 0
        self._masked = MaskedStream()
        self._end = ""

    def of(self, attempt: Attempt) -> str:
        """Return the last lines of this attempt's reasoning so far."""
        if attempt.number != self._attempt:
            self._attempt, self._read, self._masked, self._end = attempt.number, 0, MaskedStream(), ""
        self._end += self._masked.feed(attempt.reasoning[self._read :])
        self._read = len(attempt.reasoning)
        is_cut = len(self._end) > 2 * _TAIL_CHARACTERS
        self._end = self._end[-2 * _TAIL_CHARACTERS :]
        lines = self._end.rstrip().splitlines()
        tail = "\n".join(lines[-_TAIL_LINES:])
        if len(tail) <= _TAIL_CHARACTERS:
            return f"… {tail}" if is_cut or len(lines) > _TAIL_LINES else tail
        return f"… {tail[-_TAIL_CHARACTERS:].partition(' ')[2] or tail[-_TAIL_CHARACTERS:]}"


def _details(summary: str, words: str, is_open: bool) -> str:
    return (
        f'<details class="nbretry-reasoning" style="{_SMALL}"{" open" if is_open else ""}>'
        f'<summary style="cursor:pointer;opacity:0.75">{escape(summary)}</summary>'
        f'<pre dir="auto" style="{_WORDS}">{escape(words)}</pre></details>'
    )


def _count(text: str) -> str:
    count = len(text.split())
    return f"{count:,} {'word' if count == 1 else 'words'}"


def _took(attempt: Attempt) -> float | None:
    """Return the seconds from asking to the start of the answer, or to the end of an attempt without one."""
    return attempt.duration if attempt.time_to_first_content is None else attempt.time_to_first_content
