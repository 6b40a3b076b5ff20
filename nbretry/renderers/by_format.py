"""Render an answer in the requested format, as data by MIME type."""

from __future__ import annotations

import json
import re
from html import escape

from nbretry._extract import code_of, fenced_blocks, json_of
from nbretry._utils.redaction import mask
from nbretry.renderers.markdown import safe_markdown
from nbretry.renderers.report import AS_WRITTEN
from nbretry.types import Format

__all__ = ["bundle_of"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:"
_PAGE = (
    f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    '<meta http-equiv="x-dns-prefetch-control" content="off"><base target="_blank">'
    "<style>body{font-family:sans-serif;margin:8px}</style>\n"
)
"""Beginning of a page with untrusted HTML: it loads nothing, and a click on a link leads nowhere in a sandbox."""

_FRAME = "width:100%;height:24em;resize:vertical;border:1px solid #8886;background:white;color-scheme:light"
_MOST_GROWTH = 20
_OPENS_CONNECTION = re.compile(r"<(?=link\b)", re.IGNORECASE)


def bundle_of(format: Format, text: str, final: bool) -> dict[str, str]:  # noqa: A002
    """Return an answer by MIME type, with every known secret masked. Showing it loads nothing and runs nothing.

    Args:
        format: format of the answer.
        text: text of the answer, possibly cut off anywhere.
        final: whether the answer is complete. While it is not, the data may have only the type that a notebook shows.

    Returns:
        Data by MIME type. If ``final``, it includes ``text/plain``: the answer as the model wrote it, but ``json``
        indented and ``html`` without a fence.
    """
    masked = mask(text)
    match format:
        case "text":
            lines = "<br>".join(escape(masked.replace("\r\n", "\n")).split("\n"))
            # Dollar signs are not formulas here, and line breaks must remain even if a viewer drops styles.
            shown = f'<div class="{AS_WRITTEN}" dir="auto" style="white-space:pre-wrap">{lines}</div>'
            return {"text/html": shown, "text/plain": masked}
        case "html" if final:
            source = mask(code_of(text) if fenced_blocks(text) else text)
            return {"text/html": _sandboxed(source), "text/plain": source}
        case "json" if final and (pretty := _pretty(text)) is not None:
            data = {"text/markdown": safe_markdown(_fenced(pretty, "json")), "text/plain": pretty}
        case "code" | "json" | "html":
            data = {"text/markdown": safe_markdown(_as_block(text, format)), "text/plain": masked}
        case _:
            data = {"text/markdown": safe_markdown(text), "text/plain": masked}
    return data if final else {"text/markdown": data["text/markdown"]}


def _as_block(text: str, format: Format) -> str:  # noqa: A002
    """Return the answer as Markdown: JSON or code without a fence gets one, an answer that begins as prose does not."""
    if fenced_blocks(text) or (format != "json" and not code_of(text)):
        return text
    return _fenced(text.strip("\n"), "" if format == "code" else format)


def _fenced(text: str, language: str) -> str:
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def _pretty(text: str) -> str | None:
    """Return the JSON of the answer, indented; None if there is none or indenting makes it far too long."""
    try:
        value = json_of(text)
        pretty = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    try:
        pretty.encode()
    except UnicodeEncodeError:  # a lone surrogate, which cannot be shown or saved
        pretty = json.dumps(value, indent=2)
    # Pointlessly deep nesting would be nothing but indentation.
    return mask(pretty) if len(pretty) <= _MOST_GROWTH * len(text) else None


def _sandboxed(source: str) -> str:
    """Return untrusted HTML in a frame that runs no script, with its source below for viewers that show no frames."""
    page = _PAGE + _OPENS_CONNECTION.sub("&lt;", source)
    return (
        f'<iframe sandbox="" referrerpolicy="no-referrer" style="{_FRAME}" srcdoc="{escape(page)}"></iframe>'
        f"<details><summary>HTML</summary><pre>{escape(source)}</pre></details>"
    )
