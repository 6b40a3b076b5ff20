"""Makes a model's Markdown safe to show: its words come from a stranger.

Raw HTML is escaped, an image becomes a link to it, and a link to anything but a page, a file or a mail address stays
plain text: showing an answer loads nothing, and neither that nor a click on it runs anything. Code keeps every
character. Where code is, is asked of a CommonMark parser; where its answer and the text do not agree, all is escaped.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from nbretry.redaction import mask

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["safe_markdown"]

_TAG = re.compile(r"<(?=[A-Za-z][A-Za-z0-9-]*(?:[\s/>]|$)|/|!|\?)", re.MULTILINE)
_IMAGE = re.compile(r"!(?=\[)")
_HARMLESS = r"\s*+<?+(?:https?://|mailto:|[^\s:&\\<>()]*+(?=[\s)>]|$))"
_LINK = re.compile(rf"(?<=\])\((?!{_HARMLESS})")
_LINK_DEFINITION = re.compile(rf"(?<=\]):(?!{_HARMLESS})")
_AUTOLINK = re.compile(r"<(?=[A-Za-z][A-Za-z0-9+.-]*:)(?!https?://|mailto:)", re.IGNORECASE)
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


def safe_markdown(text: str) -> str:
    """The text with raw HTML and unsafe links shown as written, images as links, and every known secret masked.

    Args:
        text: Markdown as a model wrote it, possibly cut off anywhere.
    """
    text = mask(text).replace("\r\n", "\n").replace("\r", "\n")
    if not any(pattern.search(text) for pattern in _ESCAPES):
        return text
    lines = re.split(r"(?<=\n)", text)  # not splitlines: for Markdown only a line feed ends a line
    safe: list[str] = []
    done = 0
    for first, last, is_code in _blocks(text, len(lines)):
        safe.append(_escape("".join(lines[done:first])))
        block = "".join(lines[first:last])
        safe.append(block if is_code else _escape_outside_code_spans(block))
        done = last
    safe.append(_escape("".join(lines[done:])))
    return "".join(safe)


def _blocks(text: str, lines: int) -> list[tuple[int, int, bool]]:
    """Line ranges of the leaf blocks, in order, with whether each is a code block."""
    blocks: list[tuple[int, int, bool]] = []
    for token in _parser().parse(text):
        if token.map and token.type in ("fence", "code_block", "inline"):
            first, last = token.map[0], min(token.map[1], lines)
            if not blocks or first >= blocks[-1][1]:
                blocks.append((first, last, token.type != "inline"))
    return blocks


def _escape_outside_code_spans(block: str) -> str:
    safe: list[str] = []
    done = 0
    spans = list(_CODE_SPAN.finditer(block))
    expected = sum(child.type == "code_inline" for token in _parser().parse(block) for child in token.children or [])
    if len(spans) != expected:
        return _escape(block)
    for span in spans:
        safe.append(_escape(block[done : span.start()]))
        safe.append(span.group())
        done = span.end()
    safe.append(_escape(block[done:]))
    return "".join(safe)


_ESCAPES = {
    _TAG: "&lt;",
    _AUTOLINK: "&lt;",
    _IMAGE: "&#33;",
    _LINK: "&#40;",
    _LINK_DEFINITION: "&#58;",
}


def _escape(text: str) -> str:
    for pattern, entity in _ESCAPES.items():
        text = pattern.sub(entity, text)
    return text


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")
