"""Formulas in Markdown: which parts of a text are LaTeX, and which of them may be typeset.

As in JupyterLab, ``$…$``, ``$$…$$``, ``\\(…\\)``, ``\\[…\\]`` and ``\\begin{…}…\\end{…}`` are formulas. A dollar sign
before an amount of money or a shell variable is text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

__all__ = ["add_formulas", "can_be_typeset", "without_labels"]

_LONGEST = 4_000
"""Limit in characters; a longer formula is text. It also limits the search for the end of one."""

_LONGEST_FENCE = 1_500
"""Limit in characters; an answer that arrives is cut in a longer fence."""

_MOST_BRACES = 400

# Between the dollars no empty line, no unescaped dollar, and no backtick, as that begins code.
_IN_DOLLARS = re.compile(
    rf"\$(?P<content>(?![\s$])(?:[^$\\\n`]|\\.|\n(?!\s*\n)){{1,{_LONGEST}}}+)(?<!\s)\$(?!\d|\$|(?!(?:th|st|nd|rd|s)\b)[A-Za-z])",
    re.DOTALL,
)
_CLOSING = {"$$": "$$", r"\(": r"\)", r"\[": r"\]"}
_EMPTY_LINE = re.compile(r"\n\s*\n")
_IN_WORD = re.compile(r"[A-Za-z\d]")  # in other languages, as in Chinese, a formula follows a letter
_REST_OF_LINE = re.compile(r"[^\n]*")
_ENVIRONMENT = re.compile(r"\\begin\{([a-zA-Z]{1,20}\*?)\}")
_PROSE = re.compile(r"(?<![A-Za-z])(?!d[a-z]\b)[A-Za-z]{2,}+\s+[A-Za-z]{2,}")
_AMOUNT = re.compile(r"\d[\d,.]*+(?:\s*+(?:[kKMB]|million|billion)\b)?+(?=\s|[)\].,;]|$)")
_GOES_ON_AS_FORMULA = re.compile(r"[=+\-*/^_<>\\|×·]|[A-Za-z](?![A-Za-z])")
_NO_END = tuple("/:,;(=")
"""A formula does not end with one of these, but what stands between two shell variables or amounts may."""

# Macros that link, set styles, load packages, define other macros, or draw outside the place of the formula.
_ACTIVE = re.compile(
    r"""\\(?:
      href | url | class | style | cssId | data | html\w* | mmlToken | require | includegraphics | img | input | action
    | def | gdef | edef | xdef | let | futurelet | (?:re)?new(?!line(?![A-Za-z]))[a-z]+ | [a-z]*declare[a-z]*
    | provide[a-z]+ | define[a-z]+ | usetagform | mathtoolsset | csname | catcode | special | write
    | bbox | unicode | enclose | texttip | mathtip | toggle | rule | (?-i:Space)
    | move(?:left|right) | raise(?:box)? | lower
    | (?:math|cramped)?[lrc]lap | (?:math)?makebox | mathmbox | framebox | smash | vcenter
    )(?![A-Za-z])""",
    re.VERBOSE | re.IGNORECASE,
)
_LONG_DISTANCE = re.compile(
    r"(?<![\d.])\d{3,}+(?:\.\d*+)?\s*+(?:em|ex|px|pt|mu|cm|mm|in|pc)\b|-\s*+\d{2,}+(?:\.\d*+)?\s*+(?:em|ex|cm|in|pc)\b"
)
_LABEL = re.compile(r"\\label\s*+\{[^{}]*\}")

# Each of these makes an element inside the one before. Chromium ends the whole page of a formula that is 100 deep.
_NESTING = re.compile(
    r"(?P<deeper>\{|\\(?:left|begin)(?![A-Za-z]))|(?P<back>\}|\\(?:right|end)(?![A-Za-z]))|\\.", re.DOTALL
)
_SWITCH = re.compile(r"\\(?:[a-z]*(?:style|color|size)|tiny|small|large|huge)(?![A-Za-z])", re.IGNORECASE)
_SPACE = re.compile(r"\\(?:[hmv]?(?:space|kern|skip)\b|!|\\\s*+\[)")
_DEEPEST = 30
_MOST_SWITCHES = 60
_MOST_SPACES = 60


def can_be_typeset(formula: str) -> bool:
    """Return whether a formula may be typeset; any other one is shown as it was written.

    An answer must not link, style, load or define anything by a formula, nor draw outside its place.
    """
    if _ACTIVE.search(formula) or _LONG_DISTANCE.search(formula) or formula.count("{") > _MOST_BRACES:
        return False
    depth = deepest = 0
    for found in _NESTING.finditer(formula):
        depth = depth + 1 if found["deeper"] else depth - 1 if found["back"] else depth
        deepest = max(deepest, depth)
        if depth < 0:
            return False
    few_switches = len(_SWITCH.findall(formula)) <= _MOST_SWITCHES and len(_SPACE.findall(formula)) <= _MOST_SPACES
    return depth == 0 and deepest <= _DEEPEST and few_switches


def without_labels(formula: str) -> str:
    """Return a formula that can be typeset again on the same page, on which MathJax takes each label once."""
    return _LABEL.sub("", formula)


def add_formulas(parser: MarkdownIt) -> None:
    """Make a parser recognise formulas, as tokens ``formula`` in a line and ``formula_block``.

    The token's ``content`` is the formula with its delimiters.
    """
    parser.inline.ruler.before("escape", "formula", _inline_rule)
    interrupted = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "formula_block", _block_rule, {"alt": interrupted})
    parser.core.ruler.after("block", "formula_fence", _fence_rule)


def _fence_rule(state: StateCore) -> None:
    """Recognise a fence whose language is ``math``, as GitHub has it."""
    for token in state.tokens:
        content = token.content.strip()
        if token.type != "fence" or token.info.strip() != "math" or not 0 < len(content) <= _LONGEST_FENCE:
            continue
        if "$" not in content and not _EMPTY_LINE.search(content):
            token.type = "formula_block"
            is_whole = content.startswith((r"\[", r"\begin"))
            token.content = content if is_whole else f"$$\n{content}\n$$"


def _inline_rule(state: StateInline, silent: bool) -> bool:
    text, begin = state.src, state.pos
    if text[begin] not in "$\\":
        return False
    end = _end_of_inline(state, text, begin)
    if end is None and text.startswith("$$", begin):
        end = begin + 2  # text; neither dollar may begin a formula of its own
        if not silent:
            state.pending += "$$"
    elif end is None:
        return False
    elif not silent:
        state.push("formula", "", 0).content = text[begin:end]
    state.pos = end
    return True


def _end_of_inline(state: StateInline, text: str, begin: int) -> int | None:
    opening = text[begin : begin + 2]
    if opening in _CLOSING:
        closing = _CLOSING[opening]
        end = _find(state, closing, begin + 2)
        content = "" if end is None else text[begin + 2 : end]
        is_formula = content.strip() and len(content) <= _LONGEST and "\n\n" not in content
        return end + 2 if end is not None and is_formula else None
    if opening[0] == "\\" or (begin and _IN_WORD.match(text[begin - 1])):  # as in US$5
        return None
    if _find(state, "$", begin + 1) is None:
        return None
    found = _IN_DOLLARS.match(text, begin, state.posMax)
    return found.end() if found and _is_mathematics(found["content"]) else None


def _find(state: StateInline, mark: str, begin: int) -> int | None:
    """Return where a mark is next in the line."""
    place = _next_place(state, mark, begin)
    return None if place is None or place >= state.posMax else place


def _next_place(state: StateInline | StateBlock, mark: str, begin: int) -> int | None:
    """Return where a mark is next in the text. It is searched for once, as a long text may have many openings."""
    known: dict[str, tuple[int, int]] = state.env.setdefault("formulas", {}).setdefault(state.src, {})
    searched, place = known.get(mark, (begin + 1, begin))
    if not searched <= begin <= (len(state.src) if place == -1 else place):
        place = state.src.find(mark, begin)
        known[mark] = begin, place
    return None if place == -1 else place


def _is_mathematics(content: str) -> bool:
    """Return whether the text between two dollar signs is a formula, and neither money nor prose nor a variable."""
    if content.endswith(_NO_END) or ("\\" not in content and _PROSE.search(content)):
        return False
    if content.replace(r"\{", "").count("{") != content.replace(r"\}", "").count("}"):
        return False
    amount = _AMOUNT.match(content)
    rest = content[amount.end() :].strip() if amount else ""
    return not rest or _GOES_ON_AS_FORMULA.match(rest) is not None


def _block_rule(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    if state.is_code_block(first):
        return False
    line = _line(state, first)
    opening = line[:2] if line[:2] in ("$$", r"\[") else ""
    environment = None if opening else _ENVIRONMENT.match(line)
    if not opening and environment is None:
        return False
    closing = _CLOSING[opening] if environment is None else f"\\end{{{environment[1]}}}"
    end = _last_line(state, first, last, len(opening), closing)
    if end is None:
        return False
    if silent:
        return True
    token = state.push("formula_block", "", 0)
    token.content = state.getLines(first, end + 1, state.blkIndent, False).strip()
    token.map = [first, end + 1]
    state.line = end + 1
    return True


def _last_line(state: StateBlock, first: int, last: int, skip: int, closing: str) -> int | None:
    """Return the number of the line that a formula ends with; None if it does not end there, or not in time."""
    begin = state.bMarks[first] + state.tShift[first] + skip
    place = _next_place(state, closing, begin)
    if place is None or place > state.bMarks[first] + _LONGEST or not state.src[begin:place].strip():
        return None
    rest = _REST_OF_LINE.match(state.src, place + len(closing))
    if rest is None or rest[0].strip() not in ("", ".", ",", ";"):
        return None
    for number in range(first, last):
        if number > first and _line(state, number) and state.sCount[number] < state.blkIndent:
            return None
        if place < state.eMarks[number]:
            return number
    return None


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]
