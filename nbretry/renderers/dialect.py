"""The Markdown that models write, where it differs from CommonMark.

By the rules of CommonMark some texts of models lose words or their form: lists that are indented too little, formulas
with pipes in a table, bold words beside Chinese, Japanese or Korean punctuation, names with underscores, products of
numbers. The rules here read them as they are meant.
"""

from __future__ import annotations

import builtins
import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

__all__ = ["add_dialect"]

_NUMBERED = re.compile(r"\d{1,9}[.)] {1,4}(?=\S)")
_LITTLE_INDENTED = re.compile(r" {2,3}(?=(?:[-*+]|\d{1,9}[.)])[ \t])")
_FENCE = re.compile(r" *+(`{3,}(?=[^`]*$)|~{3,})")
_INDENTED_CODE = 4
_SHORTEST_INDENTATION = 2

_SHORTEST_UNDERLINE = 4
"""Number of ``-`` below a line that make it a heading. Three are a rule, and one is a list that has just begun."""

_DELIMITER_ROW = re.compile(r"[ \t>]*+(\|?[ \t]*+:?-+:?[ \t]*+(?:\|[ \t]*+:?-+:?[ \t]*+)*+\|?)[ \t]*")
_PIPE = re.compile(r"(?<!\\)\|")
_CODE_OR_FORMULA = re.compile(
    r"(?<![`\\])(`+)(?!`).+?(?<!`)\1(?!`)|\$\$.+?\$\$|\$(?!\s)[^$`]+?(?<![\s\\])\$(?!\d)|\\\(.+?\\\)"
)
_LONGEST_ROW = 4_000
_HIDDEN_PIPE = "\0"
"""Stands for a pipe that ends no cell. No text has this character, as the parser replaces it."""

_SCHEME = re.compile(r"(?<![a-zA-Z\d+.-])https?\Z", re.IGNORECASE)
_LONGEST_SCHEME = len("https") + 1
# Without code, and without the punctuation and the full-width signs of Chinese, Japanese and Korean.
_ADDRESS = re.compile(
    r"https?://(?:[^\s<>`|\\\u2014\u2018-\u201f\u2026\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]"
    r"|\\[!-/:-@\[-`{-~]){1,2000}+",
    re.IGNORECASE,
)

_ENTITY = re.compile(r"&\w{1,30};|&#")
_ESCAPED = re.compile(r"\\(?=.)")

_DUNDER = re.compile(r"__[a-z]+(?:_[a-z]+)*__(?!\w)")
_MORE_DUNDERS = """
aenter aexit aiter all anext author await copy deepcopy enter exit file fspath future getattr getattribute import main
missing path post_init pycache slots version
"""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")


def add_dialect(parser: MarkdownIt) -> None:
    """Make a parser, which has tables and linkify-it, read Markdown as models write it."""
    parser.core.ruler.after("normalize", "sublist", _sublist_rule)
    parser.core.ruler.after("sublist", "hide_pipes", _hide_pipes_rule)
    parser.core.ruler.after("block", "show_pipes", _show_pipes_rule)
    parser.core.ruler.after("inline", "direction", _direction_rule)
    parser.block.ruler.at("lheading", _heading_rule)
    parser.inline.ruler.at("linkify", _address_rule)
    parser.core.ruler.disable("linkify")
    parser.inline.ruler.at("emphasis", _emphasis_rule)


def _sublist_rule(state: StateCore) -> None:
    """Indent a list in an item of a numbered list as far as that item's text, if it is indented less."""
    lines = state.src.split("\n")
    width = more = 0
    fence = ""
    in_formula = False
    for number, line in enumerate(lines):
        if fence or in_formula:
            lines[number] = " " * more + line if line else line
            stripped = line.strip()
            fence = "" if stripped.startswith(fence) and not stripped.strip(fence[:1]) else fence
            in_formula = in_formula and "$$" not in line
            continue
        if not line.strip():
            continue
        indentation = len(line) - len(line.lstrip(" "))
        if item := _NUMBERED.match(line):
            width, more = item.end(), 0
        elif indentation < _SHORTEST_INDENTATION:
            width = more = 0
        elif indentation + more < width and _LITTLE_INDENTED.match(line):
            more = width - indentation
        lines[number] = " " * more + line
        if (found := _FENCE.match(line)) and (width or indentation < _INDENTED_CODE):
            fence = found[1]
        in_formula = line.count("$$") == 1
    state.src = "\n".join(lines)


def _direction_rule(state: StateCore) -> None:
    """Let each paragraph, heading, item and cell with right-to-left letters have a direction of its own."""
    for index, token in enumerate(state.tokens):
        if token.type == "inline" and _RIGHT_TO_LEFT.search(token.content):
            block = state.tokens[index - 1]
            block = state.tokens[index - 2] if block.hidden else block  # the item of a tight list
            block.attrSet("dir", "auto")


def _heading_rule(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """Recognise a heading by the line below it."""
    from markdown_it.rules_block import lheading

    count, line = len(state.tokens), state.line
    if not lheading(state, first, last, silent):
        return False
    last_line = state.line - 1
    under = state.src[state.bMarks[last_line] + state.tShift[last_line] : state.eMarks[last_line]].rstrip()
    if under.startswith("-") and len(under) < _SHORTEST_UNDERLINE:
        del state.tokens[count:]
        state.line = line
        return False
    return True


def _hide_pipes_rule(state: StateCore) -> None:
    """Hide the pipes in code and formulas of a table's row that would have too many cells by them."""
    lines = state.src.split("\n")
    columns = 0
    for number, line in enumerate(lines):
        if not line.strip():
            columns = 0
            continue
        row = _DELIMITER_ROW.fullmatch(line)
        if row is not None and number and "|" in line:
            columns = _count_cells(row[1])
            lines[number - 1] = _with_hidden_pipes(lines[number - 1], columns)
            columns = columns if _count_cells(lines[number - 1]) == columns else 0
        elif columns:
            lines[number] = _with_hidden_pipes(line, columns)
    state.src = "\n".join(lines)


def _show_pipes_rule(state: StateCore) -> None:
    for token in state.tokens:
        token.content = token.content.replace(_HIDDEN_PIPE, "|")
        token.info = token.info.replace(_HIDDEN_PIPE, "|")


def _with_hidden_pipes(line: str, columns: int) -> str:
    if len(line) > _LONGEST_ROW or _count_cells(line) <= columns:
        return line
    hidden = _CODE_OR_FORMULA.sub(lambda found: _PIPE.sub(_HIDDEN_PIPE, found[0]), line)
    return hidden if _count_cells(hidden) >= columns else line


def _count_cells(row: str) -> int:
    return len(_PIPE.findall(row.strip(" \t>").removeprefix("|").removesuffix("|"))) + 1


def _address_rule(state: StateInline, silent: bool) -> bool:
    """Recognise a web address in the text, before a sign in it means something else."""
    if state.linkLevel or not state.src.startswith("://", state.pos):
        return False
    scheme = _SCHEME.search(state.pending[-_LONGEST_SCHEME:])
    if scheme is None:
        return False
    begin = state.pos - len(scheme[0])
    known: dict[str, int] = state.env.setdefault("no_address_before", {})
    found = None if begin < known.get(state.src, 0) else _ADDRESS.match(state.src, begin, state.posMax)
    linkify = state.md.linkify
    if found is None or linkify is None:
        return False
    candidate = _without_marks(found[0], state.src[max(0, begin - 2) : begin])
    written = [candidate] if "\\" not in candidate else _ESCAPED.split(candidate)
    link = linkify.match_at_start("".join(written))
    if link is None:
        known[state.src] = found.end()
        return False
    address: str = link.url.rstrip("*~:")
    url = state.md.normalizeLink(address)
    if not state.md.validateLink(url):
        return False
    if not silent:
        state.pending = state.pending[: -len(scheme[0])]
        state.push("link_open", "a", 1).attrs = {"href": url}
        state.push("text", "", 0).content = state.md.normalizeLinkText(address)
        state.push("link_close", "a", -1)
    state.pos = begin + len(address)
    for text in written[:-1]:  # there is a backslash after each of these
        if len(text) >= len(address):
            break
        address = address[len(text) :]
        state.pos += 1
    return True


def _without_marks(address: str, before: str) -> str:
    """Return an address up to an entity, and up to the end of the emphasis that begins before it."""
    address = _ENTITY.split(address, maxsplit=1)[0]
    mark = next((mark for mark in ("**", "~~", "__", "*", "_") if before.endswith(mark)), "")
    return re.split(rf"{re.escape(mark)}(?!\w)", address, maxsplit=1)[0] if mark else address


def _emphasis_rule(state: StateInline, silent: bool) -> bool:
    """Recognise what may begin or end emphasis, except between two digits and in names of Python."""
    from markdown_it.rules_inline.state_inline import Delimiter

    marker = state.src[state.pos]
    if silent or marker not in "*_":
        return False
    name = _DUNDER.match(state.src, state.pos, state.posMax)
    if name and name[0] in _dunders():
        state.pending += name[0]
        state.pos = name.end()
        return True
    scanned = state.scanDelims(state.pos, marker == "*")
    end = state.pos + scanned.length
    can_open, can_close = scanned.can_open, scanned.can_close
    if marker == "*":
        before = state.src[state.pos - 1] if state.pos else " "
        can_open, can_close = _flanks(before, state.src[end] if end < state.posMax else " ")
    for _ in range(scanned.length):
        state.push("text", "", 0).content = marker
        state.delimiters.append(Delimiter(ord(marker), scanned.length, len(state.tokens) - 1, -1, can_open, can_close))
    state.pos = end
    return True


def _flanks(before: str, after: str) -> tuple[bool, bool]:
    """Return whether asterisks between these characters may begin emphasis, and whether they may end it.

    As CommonMark has it, but Chinese, Japanese and Korean characters and their punctuation are neither letters nor
    punctuation of a language that has spaces between words.
    """
    if before.isdigit() and after.isdigit():
        return False, False
    opens = not after.isspace() and (not _is_punctuation(after) or before.isspace() or _is_no_letter(before))
    closes = not before.isspace() and (not _is_punctuation(before) or after.isspace() or _is_no_letter(after))
    return opens, closes


def _is_no_letter(character: str) -> bool:
    return _is_punctuation(character) or _is_east_asian(character)


def _is_punctuation(character: str) -> bool:
    from markdown_it.common.utils import isMdAsciiPunct, isPunctChar

    return (isMdAsciiPunct(ord(character)) or isPunctChar(character)) and not _is_east_asian(character)


def _is_east_asian(character: str) -> bool:
    is_wide = unicodedata.east_asian_width(character) in "WFH" or "\u1100" <= character <= "\u11ff"
    return is_wide and unicodedata.category(character) != "So"  # as an emoji is


@cache
def _dunders() -> frozenset[str]:
    """Return the names of Python with two underscores on each side, which are no bold words."""
    names = {f"__{name}__" for name in _MORE_DUNDERS.split()}
    for value in vars(builtins).values():
        names.update(name for name in dir(value) if _DUNDER.fullmatch(name))
    return frozenset(names)
