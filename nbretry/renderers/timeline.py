"""Draw when each attempt of a run waited and when its content arrived, as one image or as an HTML bar for each.

Colours are visible on light and on dark. The phases of a bar differ by their pattern as well, never by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, TypeAlias
from urllib.parse import quote

from nbretry.answer import Answer
from nbretry.attempts import Attempt

__all__ = ["COLOURS", "Phase", "Span", "bar_html", "last_moment", "sample_html", "spans_of", "timeline_html"]

Phase: TypeAlias = Literal["waiting", "content", "backoff", "ahead"]
"""Waiting for the first content, receiving content, waiting in a backoff, and the rest of a backoff still to come."""

COLOURS = {
    "answered": "#2e9e5b",
    "failed": "#d4574e",
    "stopped": "#c98a1b",
    "running": "#4a86c8",
    "skipped": "#888888",
    "cancelled": "#888888",
}
"""Colour for each state of an attempt."""

_GREY = "#888"
_BAR_HEIGHT, _BAR_GAP, _PICTURE_WIDTH = 8, 5, 600
_TRACK_OPACITY, _PALE_OPACITY, _PALE_STRIPES_OPACITY = 0.15, 0.45, 0.75
_TRACK = f"background-color:rgba(136,136,136,{_TRACK_OPACITY})"
_STRIPE_WIDTH, _SHORTEST = 6, 3


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a timeline.

    Attributes:
        phase: what was going on.
        begun: seconds since the run started.
        ended: seconds since the run started.
    """

    phase: Phase
    begun: float
    ended: float


def last_moment(answer: Answer) -> float:
    """Return when the run ended, or else the latest known moment of it, in seconds since it started."""
    if answer.duration is not None:
        return answer.duration
    moments = [moment for a in answer.attempts for moment in (a.started, a.first_content, a.ended)]
    return max((moment for moment in moments if moment is not None), default=0.0)


def spans_of(attempt: Attempt, end: float) -> list[Span]:
    """Return when an attempt waited for its first content, and when its content arrived if that took any time.

    Args:
        attempt: the attempt, finished or not.
        end: where the last span of an unfinished attempt ends; seconds since the run started.
    """
    ended = end if attempt.ended is None else attempt.ended
    first = ended if attempt.first_content is None else attempt.first_content
    spans = [Span("waiting", attempt.started, first)]
    return [*spans, Span("content", first, ended)] if first < ended else spans


def timeline_html(answer: Answer, end: float, alt: str) -> str:
    """Return an image with a bar for each attempt: pale while it waited for the first token, full during the answer.

    This is an image and not inline SVG, because viewers drop inline SVG if they do not trust a notebook.

    Args:
        answer: an answer with at least one attempt.
        end: end of the axis; seconds since the run started, above 0.
        alt: what the image shows, in words.
    """
    bars = []
    for row, attempt in enumerate(answer.attempts):
        top = row * (_BAR_HEIGHT + _BAR_GAP)
        bars.append(_rectangle(0, 1, top, _GREY, _TRACK_OPACITY))
        for span in spans_of(attempt, end):
            opacity = 1.0 if span.phase == "content" else _PALE_OPACITY
            bars.append(_rectangle(span.begun / end, span.ended / end, top, COLOURS[attempt.state], opacity))
    height = len(answer.attempts) * (_BAR_HEIGHT + _BAR_GAP) - _BAR_GAP
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_PICTURE_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_PICTURE_WIDTH} {height}" preserveAspectRatio="none">{"".join(bars)}</svg>'
    )
    return (
        f'<img alt="{escape(alt)}" src="data:image/svg+xml,{quote(picture)}" '
        f'style="display:block;width:100%;max-width:{_PICTURE_WIDTH}px;height:{height}px;margin:0 0 0.6em">'
    )


def _rectangle(begun: float, ended: float, top: int, colour: str, opacity: float) -> str:
    width = max(2.0, (ended - begun) * _PICTURE_WIDTH)
    x = min(begun * _PICTURE_WIDTH, _PICTURE_WIDTH - width)
    return (
        f'<rect x="{x:.1f}" y="{top}" width="{width:.1f}" height="{_BAR_HEIGHT}" fill="{colour}" opacity="{opacity}"/>'
    )


def bar_html(spans: Sequence[Span], axis: float, colour: str, *, striped: bool, words: str) -> str:
    """Return the bar of one attempt, as wide as there is room.

    The bar consists of boxes and not of an image, which flickers if you replace it ten times a second. It uses only
    styles that JupyterLab keeps in a notebook that it does not trust.

    Args:
        spans: the spans in chronological order.
        axis: seconds since the run started at which the bar ends, above 0.
        colour: colour of waiting and of content.
        striped: whether to draw stripes, for an attempt that came to nothing.
        words: the bar described in words.
    """
    boxes = []
    at = 0.0
    for span in spans:
        begun, ended = _share(span.begun, axis), _share(span.ended, axis)
        if begun > at:
            boxes.append(f'<span style="flex:0 1 {100 * (begun - at):.2f}%"></span>')
        width = max(0.0, ended - max(at, begun))
        boxes.append(f'<span style="flex:none;width:{100 * width:.2f}%;{_fill(span.phase, colour, striped)}"></span>')
        at = max(at, ended)
    title = escape(words)
    return (
        f'<span role="img" aria-label="{title}" title="{title}" style="display:flex;align-items:center;overflow:hidden;'
        f'height:0.8em;border-radius:2px;{_TRACK}">{"".join(boxes)}</span>'
    )


def sample_html(phase: Phase, colour: str, *, striped: bool) -> str:
    """Return a small piece of a bar, for a legend."""
    return (
        '<span style="display:inline-flex;align-items:center;vertical-align:middle;width:1.4em;height:0.7em;'
        'margin:0 0.3em 0 0">'
        f'<span style="flex:1 1 auto;{_fill(phase, colour, striped)}"></span></span>'
    )


def _share(moment: float, axis: float) -> float:
    return min(1.0, max(0.0, moment / axis))


def _fill(phase: Phase, colour: str, striped: bool) -> str:
    if phase in ("backoff", "ahead"):
        opacity = 1.0 if phase == "backoff" else _PALE_OPACITY
        return f"height:0;border-top:3px dotted {_GREY};opacity:{opacity}"
    box = f"height:100%;min-width:{_SHORTEST}px"
    if not striped:
        return f"{box};background-color:{colour};opacity:{1.0 if phase == 'content' else _PALE_OPACITY}"
    stripes = f"{colour} 25%,transparent 25%,transparent 50%,{colour} 50%,{colour} 75%,transparent 75%"
    ground = f"background-color:{colour}66" if phase == "content" else f"opacity:{_PALE_STRIPES_OPACITY}"
    return (
        f"{box};{ground};background-image:linear-gradient(135deg,{stripes});"
        f"background-size:{_STRIPE_WIDTH}px {_STRIPE_WIDTH}px"
    )
