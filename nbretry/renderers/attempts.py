"""What happened in a run, while it runs and at its end: a line with a bar for each attempt, and why attempts failed.

The HTML is static, and has to be made again where time has passed (`changes_with_time`). Its colours follow the page's
own; where a viewer drops styles (GitHub does), the same words remain in the same order. A line is as high whatever it
says, so that nothing below it moves while an answer comes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from nbretry._errors import describe
from nbretry._utils.redaction import mask
from nbretry._utils.text import cut_end, cut_middle
from nbretry.answer import Answer
from nbretry.attempts import Attempt
from nbretry.renderers.console import printable
from nbretry.renderers.report import AS_WRITTEN, SIGNS, measures, outcome, seconds
from nbretry.renderers.timeline import COLOURS, Span, bar_html, last_moment, sample_html, spans_of
from nbretry.renderers.tracebacks import has_traceback, traceback_text

__all__ = ["attempt_lines_html", "attempts_html", "backoff_left", "changes_with_time", "failures_html"]

_AXES = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds at which the axis of a run that goes on may end; beyond the last one each is twice as long."""

_LONGEST_LINE, _LOOKED_AT = 400, 4_000
"""Characters of a line's words, and of the text that they are taken from."""

_LONGEST_FOLD, _SHORTEST_FOLD, _ALL_FOLDS = 12_000, 1_000, 60_000
"""Characters behind one fold, and behind all of them where many attempts have failed."""

_REORDERING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])

_SMALL = "font-size:0.85em;line-height:1.5;margin:0.2em 0"
_ROW = "display:flex;align-items:center;height:1.8em;white-space:nowrap"
_NUMBER = "flex:none;width:1.5em;margin:0 0.7em 0 0;text-align:right;opacity:0.6"
_WHO = "flex:3 1 7em;min-width:0;margin:0 1em 0 0;display:flex"
_BAR = "flex:5 1 5em;min-width:0;margin:0 1.2em 0 0"
_WORDS = "flex:5 1 22em;min-width:0;overflow:hidden;display:flex"
_CUT = "min-width:0;overflow:hidden;text-overflow:ellipsis"
_PALE = "opacity:0.7"
_FOLD = (
    "margin:0.3em 0 0.6em;padding:0.5em 0.8em;max-height:24em;overflow:auto;border:0;"
    "border-left:2px solid rgba(128,128,128,0.35);color:inherit;background:none;line-height:1.45;"
    "white-space:pre-wrap;overflow-wrap:break-word"
)
_CODE = f"{_FOLD};font-family:monospace;font-size:1em"


def attempts_html(answer: Answer, now: float | None = None) -> str:
    """A line with a bar for each attempt, in the order of asking, and under them why attempts failed.

    Whoever paints it often puts `attempt_lines_html` and `failures_html` in two places instead, as a fold that a reader
    has opened stays open only where it is not painted anew.

    Args:
        answer: possibly one that still comes.
        now: seconds since the run started; None once it has ended.

    Returns:
        Safe HTML, every known secret masked; empty for an answer whose run has not begun.
    """
    parts = attempt_lines_html(answer, now) + failures_html(answer)
    return f'<div class="nbretry-attempts">{parts}</div>' if parts else ""


def attempt_lines_html(answer: Answer, now: float | None = None) -> str:
    """The lines and bars of `attempts_html` alone, which change with the time; arguments and result are as there."""
    if answer.state == "pending":
        return ""
    moment = last_moment(answer)
    if now is not None and changes_with_time(answer):
        moment = max(moment, now)
    axis = _axis(answer, moment)
    rows = [_row(answer, attempt, moment, axis, live=now is not None) for attempt in answer.attempts]
    if not rows:
        rows = [_row_of_nobody(answer)]
    lines = "".join([*rows, _legend(answer, axis)])
    return f'<div class="nbretry-attempt-lines {AS_WRITTEN}" style="{_SMALL}">{lines}</div>'


def failures_html(answer: Answer) -> str:
    """The exception of each attempt that failed, its traceback and the text it had sent behind folds.

    Returns:
        Safe HTML, every known secret masked, that changes with the attempts alone; empty where none has failed.
    """
    failed = [(one, one.exception) for one in answer.attempts if one.state == "failed" and one.exception is not None]
    if not failed:
        return ""
    limit = max(_SHORTEST_FOLD, min(_LONGEST_FOLD, _ALL_FOLDS // len(failed)))
    entries = "".join(_failure(attempt, exception, limit) for attempt, exception in failed)
    return f'<div class="nbretry-failures {AS_WRITTEN}" style="{_SMALL};padding:0.2em 0 0">{entries}</div>'


def changes_with_time(answer: Answer) -> bool:
    """Whether it looks otherwise later though nothing happens: an attempt runs, or a backoff is waited."""
    if answer.state != "running":
        return False
    return any(attempt.state == "running" for attempt in answer.attempts) or _waited_after(answer) is not None


def backoff_left(answer: Answer, now: float) -> float | None:
    """Seconds that are left of the backoff that is being waited; None where there is none.

    Args:
        answer: what has happened so far.
        now: seconds since the run started.
    """
    attempt = _waited_after(answer)
    if answer.state != "running" or attempt is None or attempt.ended is None:
        return None
    return max(0.0, attempt.ended + attempt.wait_for - now)


def _waited_after(answer: Answer) -> Attempt | None:
    """The attempt after whose failure the run waits, or was waiting when it was stopped."""
    ended = [attempt for attempt in answer.attempts if attempt.ended is not None]
    if not ended or len(ended) < len(answer.attempts):
        return None
    # One that was skipped tells that a wait before it is over.
    last = max(ended, key=lambda attempt: (attempt.ended, attempt.state == "failed", attempt.number))
    return last if last.state == "failed" and last.wait_for > 0 else None


def _next_after(answer: Answer, attempt: Attempt) -> Attempt | None:
    """What came after an attempt's failure and the wait that followed it; None where nothing did."""
    ended = attempt.ended
    later = answer.attempts[attempt.number :]
    return next((other for other in later if ended is not None and other.started >= ended), None)


def _is_again(other: Attempt, attempt: Attempt) -> bool:
    return other.provider == attempt.provider and other.state != "skipped"


def _axis(answer: Answer, moment: float) -> float:
    """Seconds at which the bars end: in steps while the run goes on, so that they grow and do not jump."""
    if answer.duration is not None:
        return answer.duration if answer.duration > 0 else 1.0
    waited = _waited_after(answer)
    if waited is not None and waited.ended is not None:
        moment = max(moment, waited.ended + waited.wait_for)
    axis = next((float(axis) for axis in _AXES if moment <= axis), 2.0 * _AXES[-1])
    while axis < moment:
        axis *= 2
    return axis


# --- the lines --------------------------------------------------------------------------------------------------------


def _row(answer: Answer, attempt: Attempt, moment: float, axis: float, *, live: bool) -> str:
    colour = COLOURS[attempt.state]
    is_lost = attempt.state in ("failed", "cancelled", "skipped") and not attempt.contributed
    spans = [*spans_of(attempt, moment), *_waits(answer, attempt, moment)]
    bar = bar_html(spans, axis, colour, striped=is_lost, words=_bar_words(attempt, spans))
    words = _words(answer, attempt, moment, live=live)
    return _cells(attempt.number, attempt.path, attempt.model, bar, attempt.state, *words)


def _row_of_nobody(answer: Answer) -> str:
    """A line for a run in which nobody has been asked yet, or was at all."""
    bar = bar_html([], 1.0, COLOURS["running"], striped=False, words="nothing was sent")
    if answer.state != "running":
        return _cells(0, "nobody", "", bar, "skipped", "nobody was asked")
    return _cells(1, next(iter(answer.providers), ""), "", bar, "running", "about to be asked")


def _cells(number: int, path: str, model: str, bar: str, state: str, said: str, certain: str = "") -> str:
    """A line.

    Args:
        number: of the attempt; 0 for none.
        path: who was asked.
        model: may be empty.
        bar: safe HTML.
        state: of the attempt.
        said: the words, of which the end is cut where there is no room.
        certain: words after those that are not cut for them.
    """
    provider, model = _line(path), _line(model)
    about = f"{provider} · {model}" if model else provider
    named = f'<span style="flex:none;max-width:100%;{_CUT}"><bdi>{escape(provider)}</bdi></span>'
    if model:
        named += f'<span style="flex:0 1 auto;{_CUT};{_PALE}">&nbsp;· <bdi>{escape(model)}</bdi></span>'
    words = f'<span style="flex:none;width:1.5em;color:{COLOURS[state]}">{SIGNS[state]}</span> '
    words += f'<span style="flex:0 1 auto;{_CUT}"><bdi>{escape(said)}</bdi></span>'
    if certain:
        words += f'<span style="flex:none">&nbsp;· {escape(certain)}</span>'
    title = f"{said} · {certain}" if certain else said
    return (
        f'<div style="{_ROW}"><span style="{_NUMBER}">{number or ""}</span> '
        f'<span style="{_WHO}" title="{escape(about)}">{named}</span> <span style="{_BAR}">{bar}</span> '
        f'<span style="{_WORDS}" title="{escape(title)}">{words}</span></div>'
    )


def _words(answer: Answer, attempt: Attempt, moment: float, *, live: bool) -> tuple[str, str]:
    """What an attempt does, or what became of it; and what is to be read of it in any case."""
    if attempt.state == "running":
        return _line(_doing(attempt, moment if live else None)), ""
    if attempt.state != "failed":
        return _line(" · ".join([outcome(attempt), *measures(attempt)])), ""
    took = "" if attempt.duration is None else seconds(attempt.duration)
    follows = _what_follows(answer, attempt, moment)
    error = attempt.error
    said = f"failed: {error}" if error else "failed"
    return _line_of_masked(said), " · ".join(part for part in (took, follows) if part)


def _doing(attempt: Attempt, moment: float | None) -> str:
    if attempt.time_to_first_content is not None:
        return f"answering, first token {seconds(attempt.time_to_first_content)}"
    words = "thinking" if attempt.reasoning else f"{attempt.status or 'asked'}, waiting for the first content"
    passed = 0 if moment is None else math.floor(moment - attempt.started)
    return f"{words} {passed} s" if passed > 0 else words


def _what_follows(answer: Answer, attempt: Attempt, moment: float) -> str:
    """What comes, or came, after a failure, where that is not simply the next attempt; else nothing."""
    if attempt.contributed:
        return "the next one went on"
    if _waited_after(answer) is attempt:
        left = backoff_left(answer, moment)
        if left is not None:
            return f"{'asked again' if attempt.next_step == 'retry' else 'next one'} in {left:.1f} s"
        return "stopped while waiting" if answer.state == "stopped" else ""
    following = _next_after(answer, attempt)
    if following is None:
        return ""
    is_again = _is_again(following, attempt)
    if attempt.wait_for > 0:
        return f"{'asked again' if is_again else 'next one'} after {seconds(attempt.wait_for)}"
    return "asked again" if is_again and attempt.next_step == "retry" else ""


def _waits(answer: Answer, attempt: Attempt, moment: float) -> list[Span]:
    """The backoff after an attempt: what has passed of it and what is to come."""
    if attempt.state != "failed" or attempt.wait_for <= 0 or attempt.ended is None:
        return []
    planned = attempt.ended + attempt.wait_for
    if _next_after(answer, attempt) is not None:
        return [Span("backoff", attempt.ended, planned)]
    if _waited_after(answer) is not attempt:
        return []
    passed = Span("backoff", attempt.ended, min(planned, moment))
    return [passed, Span("ahead", passed.ended, planned)] if answer.state == "running" else [passed]


def _bar_words(attempt: Attempt, spans: Sequence[Span]) -> str:
    """A bar in words, with what each of its patterns stands for."""
    if attempt.state == "skipped":
        return f"skipped at {seconds(attempt.started)}: nothing was sent"
    is_lost = attempt.state in ("failed", "cancelled") and not attempt.contributed
    kept = ", striped, as it came to nothing" if is_lost else ""
    names = {
        "waiting": f"waiting for the first content (pale{kept})",
        "content": f"of content (full{kept})",
        "backoff": "of backoff (dotted)",
        "ahead": "of backoff to come (dotted, pale)",
    }
    said = [f"{seconds(span.ended - span.begun)} {names[span.phase]}" for span in spans if span.ended > span.begun]
    return f"asked at {seconds(attempt.started)}: {', '.join(said) or 'ended at once'}"


def _legend(answer: Answer, axis: float) -> str:
    """The ends of the axis, and what the patterns of the bars stand for."""
    blue, red = COLOURS["running"], COLOURS["failed"]
    samples = (
        (sample_html("waiting", blue, striped=False), "waiting"),
        (sample_html("content", blue, striped=False), "content"),
        (sample_html("waiting", red, striped=True), "failed"),
        (sample_html("backoff", blue, striped=False), "backoff"),
    )
    legend = " ".join(
        f'<span style="margin:0 0.8em 0 0">{sample}<span style="{_PALE}">{words}</span></span>'
        for sample, words in samples
    )
    end = f"{axis:g} s" if answer.duration is None else seconds(axis)
    return (
        f'<div style="{_ROW}"><span style="{_NUMBER}"></span> <span style="{_WHO}"></span> '
        f'<span style="{_BAR};{_PALE}"><span style="display:flex"><span style="flex:1 1 auto">0 s</span> '
        f'<span>{end}</span></span></span> <span style="{_WORDS}"><span style="{_CUT}">{legend}</span></span></div>'
    )


# --- why attempts failed ----------------------------------------------------------------------------------------------


def _failure(attempt: Attempt, exception: BaseException, limit: int) -> str:
    """An exception, and behind folds where it was raised and the text that had come.

    Args:
        attempt: that failed.
        exception: what it failed with.
        limit: characters behind one fold.
    """
    message = describe(exception)
    line = _line_of_masked(message)
    sign = f'<span style="color:{COLOURS["failed"]}">{SIGNS["failed"]}</span>'
    head = f"{sign} {attempt.number}. <bdi>{escape(_line(attempt.path))}</bdi>: <bdi>{escape(line)}</bdi>"
    more = traceback_text(exception) if has_traceback(exception) else ""
    if not more and len(" ".join(message.split())) > _LONGEST_LINE:
        more = message
    entry = _fold(head, more, limit, _CODE, "ltr") if more else f'<div style="padding:0 0 0 1em">{head}</div>'
    if attempt.given_up:
        about = f"the text it had sent ({len(attempt.given_up):,} characters)"
        entry += f'<div style="padding:0 0 0 2.2em">{_fold(about, mask(attempt.given_up), limit, _FOLD, "auto")}</div>'
    return entry


def _fold(head: str, text: str, limit: int, style: str, direction: str) -> str:
    """A line that opens to a text.

    Args:
        head: safe HTML.
        text: masked.
        limit: characters that are shown of it.
        style: of the text.
        direction: of the text: ``ltr`` or ``auto``.
    """
    shown = escape(mask(_as_it_reads(cut_middle(text, limit))))
    return (
        f'<details><summary style="cursor:pointer;overflow-wrap:break-word">{head}</summary>'
        f'<pre dir="{direction}" style="{style}">{shown}</pre></details>'
    )


# --- words of strangers -----------------------------------------------------------------------------------------------


def _line(text: object) -> str:
    """A text as one line of bounded length, masked; not escaped."""
    return _line_of_masked(mask(str(text)))


def _line_of_masked(text: str) -> str:
    # A line is made anew with each repaint, however long a message is. Masked once more, as what is taken out may have
    # stood between the parts of a secret.
    return cut_end(mask(" ".join(_as_it_reads(text[:_LOOKED_AT]).split())), _LONGEST_LINE)


def _as_it_reads(text: str) -> str:
    """A text without characters that cannot be seen, and those by which it would be read in another order."""
    return printable(text.translate(_REORDERING))
