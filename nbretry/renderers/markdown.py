"""Rewrite a model's Markdown, so that every program that reads it sees the same harmless text.

An output of a cell has its answer as HTML, which notebooks show, and as Markdown for programs that convert notebooks.
These read Markdown by rules of their own, which differ where a text is ambiguous: one sees code where another one sees
a tag. So the text is parsed as for the HTML (see `nbretry.renderers.painter`) and written from what the parser has
found: whatever could mean something else is escaped, and only web and mail addresses are links.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from nbretry._utils.redaction import mask
from nbretry._utils.serialization import whole_characters
from nbretry.renderers import painter
from nbretry.renderers.formulas import can_be_typeset

if TYPE_CHECKING:
    from markdown_it.token import Token

__all__ = ["fenced", "safe_markdown"]

_ESCAPED = re.compile(
    r"""
      (?P<apart> \$ | \\(?=[()\[\]]|begin|end) )
    | (?P<as_entity> < | \\(?![A-Za-z\d]) )
    | (?P<bracket> [\[\]] )
    | [\\`~|^{]
    | (?<!\s)\*|\*(?!\s)
    | (?<![^\W_])_|_(?![^\W_])
    | &(?=\#?\w{1,40};)
    | =(?==) | (?<==)=
    | (?<=\w)@(?=\w)
    | (?<=[A-Za-z]):(?=//)
    | (?<=www)\.
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What means something, or does so for one of the programs that read Markdown."""

_ENDS_AS_HEADING = re.compile("#(?=#*$)")
_BEGINS_BLOCK = re.compile(r"(?P<sign>[-+=#:>]|\*\s)|(?P<number>\d{1,9})(?=[.)])")
_LANGUAGE = re.compile(r"(?!mermaid)[\w+#.-]{1,20}", re.IGNORECASE)
"""Without Mermaid, as nbconvert writes the code of a diagram into its page as it is, with any tag."""

_ACTIVE_IN_CODE = re.compile(r"<(?=[A-Za-z/!?])|!(?=\[)|\](?=[(:\[])")
_ACTIVE_IN_FORMULA = re.compile(r"!(?=\[)|\](?=[(:\[])|/(?=/)")
_ENDS_WITH_BACKSLASH = re.compile(r"\\\$+\s*[.,;]?$")
_IN_BRACKETS = re.compile(r"\\(?:\((?P<inline>.*)\\\)|\[(?P<block>.*)\\\])(?P<mark>\s*[.,;]?)", re.DOTALL)
_FORMULA_IN_CODE = re.compile(r"\\(?:begin|end)\{|\\\\[()\[\]]|@@\d")
_MARKS = {"strong_open": "**", "strong_close": "**", "em_open": "*", "em_close": "*", "s_open": "~~", "s_close": "~~"}
_TAGS = {
    **_MARKS,
    "strong_open": "<strong>",
    "strong_close": "</strong>",
    "em_open": "<em>",
    "em_close": "</em>",
}
_EAST_ASIAN = re.compile("[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef]")
_ALIGNMENTS = {"text-align:left": ":--", "text-align:right": "--:", "text-align:center": ":-:"}
_NOTHING = "&#8203;"
"""A space of no width: a line that begins with it, and then with a tag, is no block of HTML."""

_ENTITIES = {"<": "&lt;", "\\": "&#92;", "[": "&#91;", "]": "&#93;"}
_APART = {"$": r"<span>\$</span>", "\\": "<span>&#92;</span>"}
"""What would begin or end a formula for MathJax. It looks at the page and not at the Markdown, but not through tags."""

_IN_ADDRESS = "/:?#&=+,;.-_%"


def safe_markdown(text: str) -> str:
    """Return Markdown that says the same, runs nothing and loads nothing, with every known secret masked.

    Args:
        text: Markdown as a model wrote it, possibly cut off anywhere; an open block of code is closed.
    """
    text = mask(whole_characters(text))
    if len(text) > painter.LONGEST_DRAWN:
        return fenced(text)
    tokens = painter.parser().parse(text)
    if any(token.level >= painter.NESTED_TOO_DEEPLY - 1 for token in tokens):
        return fenced(text)
    return _Writer(tokens).document()


def fenced(code: str, language: str = "") -> str:
    """Return a block of code, whatever is in it.

    Args:
        code: its text.
        language: name of the language after the fence; dropped unless it is one word.
    """
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language if _LANGUAGE.fullmatch(language) else ''}\n{code.rstrip(chr(10))}\n{fence}\n"


class _Writer:
    """Writes Markdown from the tokens of a parsed text.

    Args:
        tokens: of the whole text.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._is_code = all(_is_seen_as_code(token) for token in tokens)

    def document(self) -> str:
        """Return the whole text."""
        return "\n".join(self._blocks())

    def _blocks(self, end: str = "", tight: bool = False) -> list[str]:
        """Return the lines of the blocks up to the token of this type."""
        lines: list[str] = []
        while self._next < len(self._tokens):
            token = self._tokens[self._next]
            self._next += 1
            if token.type == end:
                break
            block = self._block(token)
            if block is None:
                continue
            if lines and not tight:
                lines.append("")
            lines += block
        return lines

    def _block(self, token: Token) -> list[str] | None:
        """Return the lines of the block that begins with this token; None if none does."""
        match token.type:
            case "inline":
                return self._lines(token)
            case "heading_open":
                heading = self._lines(self._tokens[self._next])
                self._next += 2
                text = " ".join(line.removesuffix("\\") for line in heading)
                return [f"{'#' * int(token.tag[1:])} {_ENDS_AS_HEADING.sub(r'&#35;', text)}"]
            case "hr":
                return ["***"]  # below a line in a list, dashes would make that line a heading
            case "fence" | "code_block":
                language = token.info.strip().partition(" ")[0]
                return fenced(self._code(token.content), language).rstrip("\n").split("\n")
            case "formula_block":
                return _formula(token.content).split("\n")
            case "blockquote_open":
                return [f"> {line}".rstrip() for line in self._blocks("blockquote_close")]
            case "bullet_list_open":
                return self._list("bullet_list_close", None)
            case "ordered_list_open":
                return self._list("ordered_list_close", int(token.attrs.get("start", 1)))
            case "footnote_block_open":
                return ["***", "", *self._list("footnote_block_close", 1)]
            case "table_open":
                return self._table()
        return None

    def _list(self, end: str, number: int | None) -> list[str]:
        lines: list[str] = []
        while (opening := self._tokens[self._next]).type != end:
            self._next += 1
            first = self._tokens[self._next] if self._next < len(self._tokens) else opening
            tight = first.type == "paragraph_open" and first.hidden
            item = self._blocks(opening.type.replace("open", "close"), tight) or [""]
            mark = "- " if number is None else f"{number}. "
            number = None if number is None else number + 1
            if lines and not tight:
                lines.append("")
            lines.append(mark + item[0])
            lines += [" " * len(mark) + line if line else "" for line in item[1:]]
        self._next += 1
        return lines

    def _table(self) -> list[str]:
        rows: list[list[str]] = []
        alignments: list[str] = []
        while (token := self._tokens[self._next]).type != "table_close":
            self._next += 1
            match token.type:
                case "tr_open":
                    rows.append([])
                case "th_open" | "td_open":
                    rows[-1].append(" ".join(self._lines(self._tokens[self._next], in_table=True)))
                    if token.type == "th_open":
                        alignments.append(_ALIGNMENTS.get(str(token.attrs.get("style", "")), "---"))
        self._next += 1
        return [f"| {' | '.join(row)} |" for row in (rows[0], alignments, *rows[1:])]

    def _lines(self, inline: Token, in_table: bool = False) -> list[str]:
        text = self._text(painter.without_images(inline), in_table)
        lines = [line if line.endswith("\\") else line.rstrip() for line in text.split("\n")]
        lines = [line.lstrip() for line in lines if line.strip()]
        return lines if in_table else [_escaped_begin(line) for line in lines]

    def _text(self, tokens: Sequence[Token], in_table: bool) -> str:
        parts: list[str] = []
        addresses: list[str] = []
        # Other programs see no mark between a word and punctuation in these languages.
        marks = _TAGS if any(_EAST_ASIAN.search(token.content) for token in tokens) else _MARKS
        for token in tokens:
            match token.type:
                case "softbreak":
                    parts.append(" " if in_table else "\n")
                case "hardbreak":
                    parts.append("<br>" if in_table else "\\\n")
                case "code_inline":
                    parts.append(self._code_span(token.content, in_table))
                case "formula":
                    formula = _formula(" ".join(token.content.split("\n")))
                    if in_table and formula.startswith("$"):
                        formula = formula.replace("|", r"\vert ")
                    if parts and parts[-1].endswith("$"):  # two dollars would begin another formula
                        parts.append(_NOTHING)
                    parts.append(formula)
                case "tag" if token.tag == "details":
                    pass  # for some programs it would be a block of HTML, in which nothing is Markdown
                case "tag" if token.tag == "summary":
                    parts.append("**")
                case "tag":
                    parts.append(f"<{'/' if token.info == 'close' else ''}{token.tag}>")
                case "link_open":
                    if parts and parts[-1].endswith("!"):  # it would make the link an image
                        parts[-1] = f"{parts[-1][:-1]}\\!"
                    addresses.append(quote(str(token.attrs["href"]), safe=_IN_ADDRESS))
                    parts.append("[")
                case "link_close":
                    parts.append(f"](<{addresses.pop()}>)")
                case "footnote_ref":
                    parts.append(_escaped(f"[{token.meta['id'] + 1}]", bool(addresses)))
                case "task":
                    parts.append("[x]" if token.info else "[ ]")
                case kind if kind in marks:
                    parts.append(marks[kind])
                case _:
                    if parts and parts[-1].endswith("$") and token.content[:1].isdigit():  # no end for some programs
                        parts.append(_NOTHING)
                    parts.append(_escaped(token.content, bool(addresses)))
        return "".join(parts)

    def _code(self, code: str) -> str:
        return code if self._is_code else _ACTIVE_IN_CODE.sub(r"\g<0> ", code)

    def _code_span(self, code: str, in_table: bool) -> str:
        code = self._code(" ".join(code.split("\n")))
        if in_table and "|" in code:  # nbconvert would show a backslash before it
            signs = (sign if sign.isalnum() or sign == " " else f"&#{ord(sign)};" for sign in code)
            return f"<code>{''.join(signs)}</code>"
        longest = max((len(run) for run in re.findall("`+", code)), default=0)
        mark = "`" * (longest + 1)
        space = " " if code[:1] == "`" or code[-1:] == "`" or (code[:1] == code[-1:] == " " and code.strip()) else ""
        return f"{mark}{space}{code}{space}{mark}"


def _is_seen_as_code(token: Token) -> bool:
    """Return whether code in this block is code for JupyterLab as well.

    It takes out what looks like a formula before it reads the Markdown, also in code, and puts it back unescaped.
    """
    return not any(
        _FORMULA_IN_CODE.search(part.content)
        or ("$" in part.content and (token.level > 0 if part is token else "\n" in part.content))
        for part in (token, *(token.children or []))
        if part.type in ("fence", "code_block", "code_inline")
    )


def _formula(formula: str) -> str:
    """Return a formula in dollars, as programs agree on no other delimiters, or as text if it may not be typeset.

    In a program that sees no formula here it is Markdown, so that no link, image or tag may be in it.
    """
    dollars = formula = "\n".join(line for line in formula.split("\n") if line.strip())
    found = _IN_BRACKETS.fullmatch(formula)
    if found is not None:
        is_inline = found["block"] is None
        mark, content = ("$", found["inline"].strip()) if is_inline else ("$$", found["block"].strip(" "))
        dollars = f"{mark}{content}{mark}{found['mark']}" if "$" not in content and content.strip() else ""
    has_end = dollars and not _ENDS_WITH_BACKSLASH.search(dollars)
    if not has_end or not can_be_typeset(formula) or "`" in formula or "@@" in formula:
        return _escaped(formula)
    return _ACTIVE_IN_FORMULA.sub(r"\g<0>{}", dollars.replace("<", r"\lt ").replace(">", r"\gt "))


def _escaped(text: str, in_link: bool = False) -> str:
    """Return Markdown of plain text.

    What a backslash may not escape everywhere is an entity: a tag in a block of HTML, a bracket in a link for
    JupyterLab, and the begin of a formula for nbconvert.
    """

    def escape(found: re.Match[str]) -> str:
        if found["apart"]:
            return _APART[found[0]]
        as_entity = found["as_entity"] or (in_link and found["bracket"])
        return _ENTITIES[found[0]] if as_entity else f"\\{found[0]}"

    return _ESCAPED.sub(escape, text)


def _escaped_begin(line: str) -> str:
    """Return a line that begins no block, as a list or HTML, in which code would be HTML as well."""
    if line.startswith("<") and not line.startswith("<span>"):
        return f"{_NOTHING}{line}"
    found = _BEGINS_BLOCK.match(line)
    if found is None:
        return line
    return f"\\{line}" if found["sign"] else f"{found['number']}\\{line[found.end() :]}"
