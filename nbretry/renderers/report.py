"""Report which provider answered, which failed and why, and what it took: a line, a table and a timeline.

Reports are text or HTML. The HTML is static and its colours follow those of the page, so that it is readable in a light
and in a dark theme. A viewer that drops styles and images, as GitHub does, still shows the same words. Nothing depends
on colour alone.
"""

from __future__ import annotations

from html import escape

from nbretry._utils.exceptions import message_of
from nbretry._utils.redaction import mask
from nbretry.answer import Answer
from nbretry.attempts import Attempt
from nbretry.prices import dollars
from nbretry.renderers.painter import AS_WRITTEN
from nbretry.renderers.timeline import COLOURS, last_moment, timeline_html
from nbretry.types import Usage

__all__ = [
    "SIGNS",
    "attempt_line",
    "measures",
    "outcome",
    "report_html",
    "report_text",
    "seconds",
    "status_line",
    "summary",
]

SIGNS = {"answered": "✓", "failed": "✗", "stopped": "■", "running": "…", "skipped": "–", "cancelled": "–"}
"""Sign for each state of an attempt."""


def seconds(value: float) -> str:
    """Return a duration with as few digits as are useful: ``0.41 s``, ``12 s``, ``3 ms``."""
    if value < 0.0995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 9.995 else f"{value:.0f} s"


def summary(answer: Answer) -> str:
    """Return one line: provider, model, time to first token, total time, tokens, cost, failed and skipped providers."""
    attempt = answer.attempt
    if attempt is None:
        return "nobody was asked"
    parts = []
    if answer.state == "failed":
        parts.append("nobody answered" if answer.provider is None else f"{answer.provider} broke off")
    elif answer.state == "stopped":
        parts.append(f"stopped · {attempt.path}")
    else:
        parts.append(answer.provider or attempt.path)
    if answer.state != "failed" and attempt.model:
        parts.append(attempt.model)
    if answer.time_to_first_content is not None:
        parts.append(f"first token {seconds(answer.time_to_first_content)}")
    if answer.duration is not None:
        parts.append(f"total {seconds(answer.duration)}")
    if answer.provider is not None and _tokens(answer.usage):
        parts.append(_tokens(answer.usage))
    if answer.cost:
        parts.append(dollars(answer.cost, estimated=answer.cost_estimated))
    names = list(dict.fromkeys(answer.label(a) for a in answer.attempts if a.state == "failed"))
    if answer.provider is not None and answer.label(attempt) in names:
        names.remove(answer.label(attempt))
    if names:
        parts.append(f"failed: {', '.join(names)}")
    skipped = list(dict.fromkeys(answer.label(a) for a in answer.attempts if a.state == "skipped"))
    if skipped:
        parts.append(f"skipped: {', '.join(skipped)}")
    return mask(" · ".join(parts))


def status_line(answer: Answer) -> str:
    """Return what is going on before the first token, as plain text.

    There is one line for each failed or skipped attempt, and one for what is happening now.
    """
    attempt = answer.attempt
    if attempt is None:
        return f"asking {answer.providers[0]} …" if answer.providers else "asking …"
    failed = [f"✗ {a.provider}: {a.error}" for a in answer.attempts if a.state == "failed"]
    failed += [f"– {a.provider}: {_why_skipped(a)}" for a in answer.attempts if a.state == "skipped"]
    running = [a for a in answer.attempts if a.state == "running"]
    if len(running) > 1:
        return mask("\n".join([*failed, f"asking {' and '.join(a.provider for a in running)} …"]))
    status = "thinking" if attempt.reasoning else attempt.status
    now = f"{attempt.provider}: {status} …" if status else f"asking {attempt.provider} …"
    if attempt.state == "failed" and attempt.wait_for:
        now = f"waiting {seconds(attempt.wait_for)} …"
    return mask("\n".join([*failed, now] if attempt.state == "running" or attempt.wait_for else failed))


def attempt_line(attempt: Attempt) -> str:
    """Return an attempt as one line of text, without its number."""
    parts = [f"{SIGNS[attempt.state]} {attempt.path}"]
    if attempt.model:
        parts.append(attempt.model)
    return mask(" · ".join([*parts, outcome(attempt), *measures(attempt)]))


def measures(attempt: Attempt) -> list[str]:
    """Return what is known about an attempt's times, tokens and cost, in words."""
    parts = []
    if attempt.time_to_first_content is not None:
        parts.append(f"first token {seconds(attempt.time_to_first_content)}")
    if attempt.duration is not None and attempt.state != "skipped":
        parts.append(seconds(attempt.duration))
    if _tokens(attempt.usage):
        parts.append(_tokens(attempt.usage))
    if attempt.cost:
        parts.append(dollars(attempt.cost, estimated=attempt.cost_estimated))
    return parts


def report_text(answer: Answer) -> str:
    """Return the line of `summary`, and below it a line for each attempt if there were several or one failed."""
    lines = [summary(answer)]
    if len(answer.attempts) > 1 or any(attempt.exception for attempt in answer.attempts):
        lines += [f"  {attempt.number}. {attempt_line(attempt)}" for attempt in answer.attempts]
    return "\n".join(lines)


def report_html(answer: Answer) -> str:
    """Return the line of `summary`, which opens to a table of all attempts and their timeline."""
    return (
        f'<details class="nbretry-report {AS_WRITTEN}" '
        'style="font-size:0.85em;line-height:1.5;margin:0.2em 0">'
        f'<summary style="cursor:pointer;opacity:0.75">{escape(summary(answer))}</summary>'
        f'<div style="margin:0.5em 0 0.3em;overflow-x:auto">{_timeline(answer)}{_table(answer)}</div>'
        "</details>"
    )


def _table(answer: Answer) -> str:
    heads = ("", "Provider", "Model", "Result", "Asked at", "First token", "Took", "Tokens", "Cost")
    rows = [_cells(attempt) for attempt in answer.attempts]
    shown = [column for column in range(len(heads)) if any(row[column] for row in rows)]
    head = "".join(f'<th style="{_CELL};font-weight:600;white-space:nowrap">{heads[column]}</th>' for column in shown)
    body = "".join(f"<tr>{''.join(_cell(column, row[column]) for column in shown)}</tr>" for row in rows)
    return (
        '<table style="border-collapse:collapse;margin:0;font-size:1em">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


_CELL = "padding:0.2em 1em 0.2em 0;text-align:left;vertical-align:top"
_RESULT_COLUMN = 3


def _cell(column: int, value: str) -> str:
    wrap = "" if column == _RESULT_COLUMN else ";white-space:nowrap"
    return f'<td style="{_CELL}{wrap}">{value}</td>'


def _cells(attempt: Attempt) -> tuple[str, ...]:
    usage = attempt.usage
    tokens = usage.completion_tokens if usage else None
    estimated = usage is not None and usage.estimated
    sign = f'<span style="color:{COLOURS[attempt.state]}">{SIGNS[attempt.state]}</span>'
    result = f"{sign} {escape(mask(outcome(attempt)))}"
    if attempt.given_up and attempt.state == "failed":
        result += f"<details><summary>the text it had sent</summary>{escape(mask(attempt.given_up))}</details>"
    return (
        str(attempt.number),
        escape(mask(attempt.path)),
        escape(mask(attempt.model)),
        result,
        seconds(attempt.started),
        "" if attempt.time_to_first_content is None else seconds(attempt.time_to_first_content),
        "" if attempt.duration is None or attempt.state == "skipped" else seconds(attempt.duration),
        "" if tokens is None or (estimated and not tokens) else f"{'≈ ' if estimated else ''}{tokens}",
        dollars(attempt.cost, estimated=attempt.cost_estimated) if attempt.cost else "",
    )


def _timeline(answer: Answer) -> str:
    end = last_moment(answer)
    if not answer.attempts or end <= 0:
        return ""
    count = "one attempt" if len(answer.attempts) == 1 else f"{len(answer.attempts)} attempts"
    return timeline_html(answer, end, f"time line of {count} in {seconds(end)}")


def outcome(attempt: Attempt) -> str:
    """Return how an attempt ended or what it is doing, in a few words; only its exception is masked."""
    match attempt.state:
        case "answered":
            reason = attempt.finish_reason
            return "answered" if reason in (None, "stop") else f"answered, ended by {reason}"
        case "stopped":
            return "stopped" if attempt.first_content is None else "stopped while it answered"
        case "failed":
            follows = f", asked again after {seconds(attempt.wait_for)}" if attempt.next_step == "retry" else ""
            if attempt.contributed:
                follows = ", the next one went on from its text"
            return f"{' '.join((attempt.error or 'failed').split())}{follows}"
        case "skipped":
            return _why_skipped(attempt)
        case "cancelled":
            return f"cancelled: {attempt.status}"
        case _:
            return attempt.status or "asked"


def _why_skipped(attempt: Attempt) -> str:
    return message_of(attempt.exception) if attempt.exception is not None else "skipped"


def _tokens(usage: Usage | None) -> str:
    """Return the tokens of an answer in words; empty if they are unknown or estimated as 0."""
    if usage is None or usage.completion_tokens is None or (usage.estimated and not usage.completion_tokens):
        return ""
    count = "1 token" if usage.completion_tokens == 1 else f"{usage.completion_tokens} tokens"
    return f"≈ {count}" if usage.estimated else count
