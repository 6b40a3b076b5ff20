"""Render what a question would send: the exact messages, the providers in order, and an estimate of the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from nbretry._utils.redaction import mask
from nbretry._utils.text import printable
from nbretry.prices import dollars
from nbretry.renderers.roster import availability, key_text
from nbretry.renderers.tables import block_html, table_html, table_text
from nbretry.session.plan import Plan

__all__ = ["dry_run_html", "dry_run_text"]

_HEADS = ("", "Provider", "Model", "Key", "State", "Prompt")
_PROSE = "white-space:pre-wrap;overflow-wrap:anywhere;border-left:3px solid #8888;padding-left:0.8em"


def dry_run_text(plan: Plan, notes: Sequence[str] = ()) -> str:
    """Return a plan as text for a terminal.

    Args:
        plan: what would be sent.
        notes: what else would happen, one line each.
    """
    lines = [_headline(plan), ""]
    for message in plan.messages:
        lines += [f"[{message['role']}]", printable(mask(_content_text(message["content"]))), ""]
    lines += [*table_text(_HEADS, _rows(plan)), *_options(plan), *notes]
    return "\n".join(lines)


def dry_run_html(plan: Plan, notes: Sequence[str] = ()) -> str:
    """Return a plan as HTML for a notebook cell; images are shown as images."""
    messages = "".join(
        f'<div style="margin:0.4em 0"><b>{escape(str(message["role"]))}</b>'
        f'<div style="{_PROSE}">{_content_html(message["content"])}</div></div>'
        for message in plan.messages
    )
    under = "".join(f"<div>{escape(mask(line))}</div>" for line in [*_options(plan), *notes])
    return block_html(
        f"<div><b>{escape(_headline(plan))}</b></div>",
        messages,
        table_html(_HEADS, _rows(plan), wide=[4]),
        f'<div style="opacity:0.75">{under}</div>',
    )


def _headline(plan: Plan) -> str:
    count = "1 message" if len(plan.messages) == 1 else f"{len(plan.messages)} messages"
    return f"Nothing was sent. This would be: {count}, ≈ {plan.prompt_tokens} tokens."


def _rows(plan: Plan) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for number, entry in enumerate(plan.providers, start=1):
        cost = plan.prompt_cost(entry)
        rows.append(
            (
                f"{number}.",
                entry.provider,
                entry.model or "its own",
                key_text(entry.key, entry.key_variable, entry.key_source),
                availability(entry),
                "price unknown" if cost is None else dollars(cost, estimated=cost > 0),
            )
        )
    return rows


def _options(plan: Plan) -> list[str]:
    given = [f"{name} = {value}" for name, value in plan.options.items()]
    return [f"with {', '.join(given)}"] if given else []


def _content_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", _picture(part))) for part in content)


def _content_html(content: Any) -> str:
    if isinstance(content, str):
        return escape(mask(content))
    return "".join(
        escape(mask(str(part["text"]))) if "text" in part else _picture_html(part, str(_url(part))) for part in content
    )


def _picture(part: dict[str, Any]) -> str:
    kind, _, data = str(_url(part)).removeprefix("data:").partition(";base64,")
    return f"[{kind}, {len(data) * 3 // 4:,} bytes]" if data else f"[{kind}]"


def _picture_html(part: dict[str, Any], url: str) -> str:
    label = escape(_picture(part))
    if not url.startswith("data:image/"):  # a remote image would load as soon as the notebook is opened
        return label
    return f'<img src="{escape(url)}" alt="{label}" style="display:block;max-width:20em;max-height:12em">{label}'


def _url(part: dict[str, Any]) -> Any:
    image = part.get("image_url")
    return image.get("url", "") if isinstance(image, dict) else image
