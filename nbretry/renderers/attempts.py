"""The attempts of a run, during the run and after it: a line with a bar for each, and why attempts failed.

The HTML is static; render it again when time has passed (`changes_with_time`). Its colours follow those of the page. A
viewer that drops styles, as GitHub does, shows the same words in the same order. All lines have the same height, so
that nothing below them moves while an answer streams.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from nbretry._utils.exceptions import describe
from nbretry._utils.redaction import mask
from nbretry._utils.text import cut_end, cut_middle, printable
from nbretry.answer import Answer
from nbretry.attempts import Attempt
from nbretry.renderers.painter import AS_WRITTEN
from nbretry.renderers.report import SIGNS, measures, outcome, seconds
from nbretry.renderers.timeline import COLOURS, Span, bar_html, last_moment, sample_html, spans_of
from nbretry.renderers.tracebacks import has_traceback, traceback_text

__all__ = ["attempt_lines_html", "attempts_html", "backoff_left", "changes_with_time", "failures_html"]

_AXES = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds at which the time axis of an unfinished run may end; beyond the last value, the end doubles each time."""

_LONGEST_LINE, _LOOKED_AT = 400, 4_000
"""Maximum characters of a line's words, and of the text that they are taken from."""

_LONGEST_FOLD, _SHORTEST_FOLD, _ALL_FOLDS = 12_000, 1_000, 60_000
"""Characters that one fold shows at most, that it may show however many folds there are, and that all folds share."""

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
    """Return a line with a bar for each attempt, in the order of asking, and below them why attempts failed.

    If you update the view often, put `attempt_lines_html` and `failures_html` into two separate places: a fold that the
    reader has opened stays open only if you do not replace it.

    Args:
        answer: the answer, finished or not.
        now: seconds since the run started; None once it has ended.

    Returns:
        Safe HTML, with every known secret masked; empty for an answer whose run has not begun.
    """
    parts = attempt_lines_html(answer, now) + failures_html(answer)
    return f'<div class="nbretry-attempts">{parts}</div>' if parts else ""


def attempt_lines_html(answer: Answer, now: float | None = None) -> str:
    """Return only the lines and bars of `attempts_html`, which change with time; same arguments and result."""
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
    """Return the exception of each failed attempt, with its traceback and the text it had sent in folds.

    Returns:
        Safe HTML, with every known secret masked, which changes only with the attempts; empty if none has failed.
    """
    failed = [(one, one.exception) for one in answer.attempts if one.state == "failed" and one.exception is not None]
    if not failed:
        return ""
    limit = max(_SHORTEST_FOLD, min(_LONGEST_FOLD, _ALL_FOLDS // len(failed)))
    entries = "".join(_failure(attempt, exception, limit) for attempt, exception in failed)
    return f'<div class="nbretry-failures {AS_WRITTEN}" style="{_SMALL};padding:0.2em 0 0">{entries}</div>'


def changes_with_time(answer: Answer) -> bool:
    """Return whether the view changes over time even without an event: an attempt or a backoff is running."""
    if answer.state != "running":
        return False
    return any(attempt.state == "running" for attempt in answer.attempts) or _waited_after(answer) is not None


def backoff_left(answer: Answer, now: float) -> float | None:
    """Return the seconds left of the current backoff; None if there is none.

    Args:
        answer: the answer so far.
        now: seconds since the run started.
    """
    attempt = _waited_after(answer)
    if answer.state != "running" or attempt is None or attempt.ended is None:
        return None
    return max(0.0, attempt.ended + attempt.wait_for - now)


def _waited_after(answer: Answer) -> Attempt | None:
    """Return the failed attempt whose backoff is running, or was running when the run was stopped; None if none is."""
    ended = [attempt for attempt in answer.attempts if attempt.ended is not None]
    if not ended or len(ended) < len(answer.attempts):
        return None
    # A skipped attempt means that a backoff before it is over.
    last = max(ended, key=lambda attempt: (attempt.ended, attempt.state == "failed", attempt.number))
    return last if last.state == "failed" and last.wait_for > 0 else None


def _next_after(answer: Answer, attempt: Attempt) -> Attempt | None:
    """Return the attempt that followed a failed one and its backoff; None if there was none."""
    ended = attempt.ended
    later = answer.attempts[attempt.number :]
    return next((other for other in later if ended is not None and other.started >= ended), None)


def _is_again(other: Attempt, attempt: Attempt) -> bool:
    return other.provider == attempt.provider and other.state != "skipped"


def _axis(answer: Answer, moment: float) -> float:
    """Return the seconds at which the bars end: in steps during the run, so that bars grow instead of jumping."""
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
    """Return a line for a run that has not asked a provider yet, or ended without asking one."""
    bar = bar_html([], 1.0, COLOURS["running"], striped=False, words="nothing was sent")
    if answer.state != "running":
        return _cells(0, "nobody", "", bar, "skipped", "nobody was asked")
    return _cells(1, next(iter(answer.providers), ""), "", bar, "running", "about to be asked")


def _cells(number: int, path: str, model: str, bar: str, state: str, said: str, certain: str = "") -> str:
    """Return one line as HTML.

    Args:
        number: number of the attempt; 0 for none.
        path: name of the provider, and of the one that it passed the question on to.
        model: name of the model; may be empty.
        bar: the bar as safe HTML.
        state: state of the attempt.
        said: words whose end is cut if there is no room.
        certain: words after them that are shown in full.
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
    """Return what an attempt is doing or how it ended, and the words that must be shown in full."""
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
    """Return what follows or followed a failure, if that is not simply the next attempt; else an empty string."""
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
    """Return the backoff after an attempt as spans: the part that has passed and the part to come."""
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
    """Describe a bar in words, with the meaning of each of its patterns."""
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
    """Return a line with the ends of the axis and the meaning of the bars' patterns."""
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
    """Return an exception, with its traceback and the text that had arrived in folds.

    Args:
        attempt: the failed attempt.
        exception: the exception it failed with.
        limit: maximum characters in one fold.
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
    """Return a line that opens to a text.

    Args:
        head: the line as safe HTML.
        text: the text, already masked.
        limit: maximum characters of the text to show.
        style: CSS of the text.
        direction: direction of the text: ``ltr`` or ``auto``.
    """
    shown = escape(mask(_as_it_reads(cut_middle(text, limit))))
    return (
        f'<details><summary style="cursor:pointer;overflow-wrap:break-word">{head}</summary>'
        f'<pre dir="{direction}" style="{style}">{shown}</pre></details>'
    )


# --- untrusted text ---------------------------------------------------------------------------------------------------


def _line(text: object) -> str:
    """Return a text as one line of limited length, masked but not escaped."""
    return _line_of_masked(mask(str(text)))


def _line_of_masked(text: str) -> str:
    # Cut first, because a line is built again with each repaint and a message may be long. Mask again, because the
    # characters taken out may have separated the parts of a secret.
    return cut_end(mask(" ".join(_as_it_reads(text[:_LOOKED_AT]).split())), _LONGEST_LINE)


def _as_it_reads(text: str) -> str:
    """Return a text without invisible characters and without those that change the order of reading."""
    return printable(text.translate(_REORDERING))
