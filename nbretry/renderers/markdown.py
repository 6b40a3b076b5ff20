"""Make a model's Markdown safe to show: it is untrusted text.

Raw HTML is escaped, an image becomes a link to it, and a link to anything but a page, a file or a mail address stays
plain text. So showing an answer loads nothing, and neither showing it nor clicking on it runs anything. Code in fences
and between backticks keeps every character. A CommonMark parser finds that code; if its result does not match the text,
everything is escaped.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from nbretry._utils.redaction import mask

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["safe_markdown"]

_TAG = re.compile(r"<(?=[A-Za-z/!?])(?!(?:https?://|mailto:)[^\s<>]*>|[\w.+-]+@[\w.-]+>)", re.IGNORECASE)
_IMAGE = re.compile(r"!(?=\[)")
_HARMLESS = r"\s*+(?:<(?!\s))?+(?:https?://|mailto:|[^\s:&\\<>()]*+(?=[\s)>]|$))"
_LINK = re.compile(rf"(?<=\])\((?!{_HARMLESS})")
# The address must be on the same line: some viewers take a fence on the next line as the address.
_LINK_DEFINITION = re.compile(r"(?<=\]):(?![ \t]*+(?:<(?!\s))?+(?:https?://|mailto:|[^\s:&\\<>()]++(?=[\s)>]|$)))")
_SAFE_ADDRESS = re.compile(r"(?:https?|mailto):|[^:]*$", re.IGNORECASE)
_MATH = re.compile(r"(?<!\\)\$\$.*?(?<!\\)\$\$|\\\\\[.*?\\\\\]|\\begin\{([a-z]*\*?)\}.*?\\end\{\1\}", re.DOTALL)
_FORMULA = re.compile(
    r"""(
      (?<!\\)\$\$ .{1,2000}? (?<!\\)\$\$
    | \\{1,2}\[ .{1,2000}? \\{1,2}\]
    | \\{1,2}\( .{1,2000}? \\{1,2}\)
    | \\begin\{[a-z]*\*?\} .{1,2000}? \\end\{
    | (?<![\\$])\$(?![\s$]) [^$\n]* (?<![\s\\$])\$(?!\d)
    )""",
    re.DOTALL | re.VERBOSE,
)
_MATH_BEGIN = re.compile(r"\$|\\\\[(\[]|\\begin\{")
_MATH_END = re.compile(r"\$|\\\\[)\]]|\\end\{")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


def safe_markdown(text: str) -> str:
    """Return the text with raw HTML and unsafe links shown as written, images as links, and known secrets masked.

    Args:
        text: Markdown as a model wrote it, possibly cut off anywhere.
    """
    text = mask(text).replace("\r\n", "\n").replace("\r", "\n")
    if not any(pattern.search(text) for pattern in _ESCAPES):
        return text
    lines = re.split(r"(?<=\n)", text)  # not splitlines: in Markdown only a line feed ends a line
    safe: list[str] = []
    done = 0
    for first, last, kind in _blocks(text, lines):
        safe.append(_escape("".join(lines[done:first])))
        block = "".join(lines[first:last])
        safe.append(block if kind == "code" else _escape_outside_code_spans(block, kind == "table"))
        done = last
    safe.append(_escape("".join(lines[done:])))
    result = "".join(safe)
    # Check again as viewers see it that extract formulas first: a formula may begin in the text and end in the code.
    tag_in_formula = any(_TAG.search(formula[0]) for formula in _MATH.finditer(result))
    active = tag_in_formula or _is_active(result) or _is_active(_MATH.sub("math", result))
    return _escape(text) if active else result


def _is_active(text: str) -> bool:
    """Return whether a viewer that escapes nothing would find HTML, an image or an unsafe link in the text."""
    for token in _trusting_parser().parse(text):
        for part in (token, *(token.children or [])):
            if part.type in ("html_block", "html_inline", "image"):
                return True
            if part.type == "link_open" and not _SAFE_ADDRESS.match(str(part.attrs["href"])):
                return True
    return False


def _blocks(text: str, lines: list[str]) -> list[tuple[int, int, str]]:
    """Return the line ranges of the leaf blocks, in order, each with its kind: ``code``, ``table`` or ``text``.

    Only fences count as code: viewers do not agree on which indented lines are code.
    """
    blocks: list[tuple[int, int, str]] = []
    in_table = False
    for token in _parser().parse(text):
        if token.type in ("table_open", "table_close"):
            in_table = token.type == "table_open"
        if token.map and token.type in ("fence", "inline"):
            first, last = token.map[0], min(token.map[1], len(lines))
            if not blocks or first >= blocks[-1][1]:
                blocks.append((first, last, "code" if token.type == "fence" else "table" if in_table else "text"))
    return blocks


def _escape_outside_code_spans(block: str, in_table: bool) -> str:
    safe: list[str] = []
    done = 0
    spans = list(_CODE_SPAN.finditer(block))
    children = (child for token in _parser().parse(block) for child in token.children or [])
    expected = [(child.markup, child.content) for child in children if child.type == "code_inline"]
    if [(span[1], _content(span[2])) for span in spans] != expected:
        return _escape(block)
    for span in spans:
        safe.append(_escape(block[done : span.start()]))
        before, after = block[: span.start()], block[span.end() :]
        # Viewers do not agree on what ends a code span: a line that begins like HTML, a cell of a table, a formula.
        broken = (
            "\n" in span[0]
            or ("|" in span[0] and (in_table or "|" in after))
            or (_MATH_END.search(span[0]) and _MATH_BEGIN.search(before))
        )
        safe.append(_escape(span[0]) if broken else span[0])
        done = span.end()
    safe.append(_escape(block[done:]))
    return "".join(safe)


def _content(text: str) -> str:
    """Return what a code span shows."""
    text = text.replace("\n", " ")
    return text[1:-1] if text.strip(" ") and text[0] == text[-1] == " " else text


_ESCAPES = {_TAG: ("&lt;", "< "), _IMAGE: ("&#33;", "! "), _LINK: ("&#40;", " ("), _LINK_DEFINITION: ("&#58;", " :")}
"""Replacements for the character that activates each pattern: in text, and in a formula, where a space is ignored."""


def _escape(text: str) -> str:
    parts = _FORMULA.split(text)  # every second part is a formula
    for pattern, replacements in _ESCAPES.items():
        before = ""  # the ``]`` that activates what follows may end the part before
        for index, part in enumerate(parts):
            parts[index] = pattern.sub(replacements[index % 2], before + part)[len(before) :]
            before = "]" if (part or before).endswith("]") else ""
    return "".join(parts)


@cache
def _trusting_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # Disable HTML: the result has none, because it is escaped, and HTML blocks would change what counts as code.
    return MarkdownIt("commonmark").enable("table").disable(["html_block", "html_inline"])
