"""Render an answer in the format that was requested, as data by MIME type."""

from __future__ import annotations

import json
import re
from html import escape

from nbretry._extract import code_of, fenced_blocks, json_of
from nbretry._utils.redaction import mask
from nbretry._utils.text import printable
from nbretry.renderers.markdown import fenced, safe_markdown
from nbretry.renderers.painter import AS_WRITTEN, LONGEST_DRAWN, answer_html, in_one_block, plain_answer_html
from nbretry.types import Format

__all__ = ["bundle_of"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:"
_PAGE = (
    f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    '<meta http-equiv="x-dns-prefetch-control" content="off">'
    "<style>body{font-family:sans-serif;margin:8px}</style>\n"
)
"""Begin of the page in the frame. Its policy loads nothing."""

_FRAME = "width:100%;height:24em;resize:vertical;border:1px solid #8886;background:white;color-scheme:light"
_MOST_GROWTH = 20

# Neither the sandbox of a frame nor its policy prevents a click from leading it to another page, so no attribute may
# say where to. The name of an attribute cannot be written in any other way; SVG can set one with ``attributeName``.
_LEADS_AWAY = re.compile(
    r"(?<![\w-])(?:href|action|formaction|ping|srcdoc|http-equiv|attributename)(?=\s*+=)", re.IGNORECASE
)


def bundle_of(format: Format, text: str, final: bool) -> dict[str, str]:  # noqa: A002
    """Return the data that shows an answer. Showing it loads and runs nothing, and every known secret is masked.

    Args:
        format: the requested format.
        text: the answer's text, possibly cut off anywhere.
        final: whether the answer is complete. Before that, the answer is HTML only.

    Returns:
        Data by MIME type: ``text/html``, which notebooks show; ``text/markdown`` for programs that convert notebooks,
        except for ``text`` and ``html``; and ``text/plain``, which is safe to print.
    """
    match format:
        case "text":
            masked = mask(text).replace("\r\n", "\n")
            lines = "<br>".join(escape(masked).split("\n"))
            # A line break is one also where no style is kept.
            shown = f'<div class="{AS_WRITTEN}" dir="auto" style="white-space:pre-wrap">{lines}</div>'
            return {"text/html": shown, "text/plain": printable(masked)} if final else {"text/html": shown}
        case "html" if final:
            source = mask(code_of(text) if fenced_blocks(text) else text)
            return {"text/html": _sandboxed(source), "text/plain": printable(source)}
        case "json" if final and (pretty := _pretty(text)) is not None:
            markdown, plain = fenced(pretty, "json"), pretty
        case "code" | "json" | "html":
            plain = mask(text)
            markdown = _as_block(plain, format)
        case _:
            markdown = plain = mask(text)
    is_long = len(markdown) > LONGEST_DRAWN  # so that it is not masked again, which takes a while
    html = plain_answer_html(plain) if is_long else answer_html(markdown)
    if not final:
        return {"text/html": html}
    hardened = fenced(plain) if is_long else safe_markdown(markdown)
    return {"text/html": html, "text/markdown": hardened, "text/plain": printable(plain)}


def _as_block(text: str, format: Format) -> str:  # noqa: A002
    """Return the answer as Markdown, in a fence if it has none and is not a sentence."""
    if fenced_blocks(text) or (format != "json" and not code_of(text)):
        return text
    return fenced(text.strip("\n"), "" if format == "code" else format)


def _pretty(text: str) -> str | None:
    """Return the answer's JSON, indented; None if it has none."""
    try:
        value = json_of(text)
        pretty = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    try:
        pretty.encode()
    except UnicodeEncodeError:  # a lone surrogate, which nothing that is shown or saved can hold
        pretty = json.dumps(value, indent=2)
    # Indentation of something nested very deeply would be much larger than the text.
    return mask(pretty) if len(pretty) <= _MOST_GROWTH * len(text) else None


def _sandboxed(source: str) -> str:
    """Return HTML in a frame that runs no script and leads nowhere, and below it its source."""
    page = _PAGE + _LEADS_AWAY.sub(r"data-\g<0>", source)
    return in_one_block(
        f'<iframe sandbox="" referrerpolicy="no-referrer" style="{_FRAME}" srcdoc="{escape(page)}"></iframe>'
        f"<details><summary>HTML</summary><pre>{escape(source)}</pre></details>"
    )
