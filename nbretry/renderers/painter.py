"""Draw Markdown as HTML. This is the only place where the text of a model becomes part of a page.

A CommonMark parser reads the text, with GitHub's additions, footnotes and formulas. The renderer here makes the HTML,
in which nothing of the text is active: no script, no style, no frame, no form, and nothing that is loaded. A sanitiser
then lets through only a short list of elements. Without the sanitiser, as under Pyodide, all HTML in the text is shown
as written.

The page's own style sheet draws the elements, as it does for Markdown cells; only code has a style sheet here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from functools import cache
from html import escape
from itertools import chain
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from nbretry._utils.redaction import mask
from nbretry._utils.serialization import whole_characters
from nbretry.renderers import code_colours
from nbretry.renderers.dialect import add_dialect
from nbretry.renderers.formulas import add_formulas, can_be_typeset, without_labels

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

__all__ = [
    "AS_WRITTEN",
    "LONGEST_DRAWN",
    "NESTED_TOO_DEEPLY",
    "answer_html",
    "in_one_block",
    "is_safe_address",
    "markdown_html",
    "parser",
    "plain_answer_html",
    "plain_html",
    "with_style",
    "without_images",
]

LONGEST_DRAWN = 200_000
"""Characters. A longer text is shown as plain text, as a page needs seconds for the elements of more."""

AS_WRITTEN = "mathjax_ignore tex2jax_ignore"
"""Classes of an element in which MathJax typesets nothing, whatever dollars are in it."""

_TYPESET = "mathjax_process tex2jax_process"

NESTED_TOO_DEEPLY = 40
"""Blocks inside each other that the parser follows; it drops what is nested more deeply."""

_TAGS = (
    *("b", "br", "del", "details", "em", "hr", "i", "ins", "kbd", "mark", "s", "small", "strong"),
    *("sub", "summary", "sup", "u"),
)
_BLOCK_TAGS = {"details", "summary", "hr"}
_VOID_TAGS = {"br", "hr"}
_ATTRIBUTE = r"""[\w:-]{1,40}(?:\s*=\s*(?:"[^"<>]{0,200}"|'[^'<>]{0,200}'|[^\s"'<>=`]{1,200}))"""
# Without ``=`` words are prose, as in ``<summary of the change>``.
_TAG = re.compile(rf"<(/?)({'|'.join(_TAGS)})(?:\s+(?:open|{_ATTRIBUTE})){{0,20}}\s*/?>", re.IGNORECASE)

_BEFORE_EMPTY_LINE = re.compile(r"\n(?=[^\S\n]*+\n)")

_TASK = re.compile(r"\[([ xX])\](?=\s)")

_parsers = threading.local()
"""linkify-it, which the parser uses, keeps what it has found last."""

_FOOTNOTE = re.compile(r"\[\^([^\]\s]+)\]:")
_FOOTNOTE_USE = re.compile(r"\[\^([^\]\s]+)\](?!:)")

_SAFE_ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)


def answer_html(text: str, is_part: bool = False) -> str:
    """Return the text of an answer as an element for a cell's output, with every known secret masked.

    Args:
        text: Markdown, possibly cut off anywhere.
        is_part: as for `markdown_html`; a part is without the style sheet of code, see `with_style`.
    """
    html = _element(markdown_html(text, is_part=is_part))
    return in_one_block(html if is_part else with_style(html))


def plain_answer_html(text: str) -> str:
    """Return a text, in which all secrets are masked already, as an element that shows it as it is."""
    return in_one_block(_element(plain_html(text)))


def _element(html: str) -> str:
    return f'<div class="nbretry-answer {AS_WRITTEN}" dir="auto">{html}</div>'


def with_style(html: str) -> str:
    """Return HTML of this module with the style sheet that it needs in front of it."""
    return (f"{code_colours.STYLE_SHEET}\n" if code_colours.HAS_CODE in html else "") + html


def in_one_block(html: str) -> str:
    """Return the same HTML without empty lines.

    nbconvert puts it into Markdown, where HTML ends at an empty line: what follows in code would be Markdown again.
    """
    return _BEFORE_EMPTY_LINE.sub("&#10;", html.replace("\r\n", "\n").replace("\r", "\n"))


def markdown_html(text: str, largest_heading: int = 1, is_part: bool = False) -> str:
    """Return Markdown as HTML that runs nothing and loads nothing, with every known secret masked.

    Put it into an element of the class `AS_WRITTEN`.

    Args:
        text: Markdown, possibly cut off anywhere.
        largest_heading: level of the largest heading, from 1.
        is_part: whether more comes before or after it, so that a section may be opened or closed there.
    """
    text = mask(whole_characters(text))
    if len(text) > LONGEST_DRAWN:
        return plain_html(text)
    markdown = parser()
    environment: dict[str, Any] = {"is_part": is_part}
    tokens = markdown.parse(text, environment)
    if any(token.level >= NESTED_TOO_DEEPLY - 1 for token in tokens):
        return plain_html(text)
    for index, token in enumerate(tokens):
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + largest_heading - 1)}"
        if token.children is not None:
            token.children = without_images(token)
            if any(child.type == "tag" and child.tag in _BLOCK_TAGS for child in token.children):
                # A paragraph cannot hold these elements, so that an empty one would be left before and after.
                tokens[index - 1].hidden = tokens[index + 1].hidden = tokens[index - 1].type == "paragraph_open"
    html = str(markdown.renderer.render(tokens, markdown.options, environment))
    sanitiser = _sanitiser()
    return html if sanitiser is None else sanitiser(html)


def plain_html(text: str) -> str:
    """Return text as HTML that shows it as it is, with its lines."""
    return f'<div style="white-space:pre-wrap;overflow-wrap:anywhere">{escape(text)}</div>'


def is_safe_address(url: str) -> bool:
    """Return whether a link may lead there: to the web or to a mail address."""
    return _SAFE_ADDRESS.match(url) is not None


def without_images(inline: Token) -> list[Token]:
    """Return the tokens of a line, with each image as a link that says where the image is.

    If elements are nested too deeply in it, the line becomes plain text.
    """
    from markdown_it.token import Token

    shown: list[Token] = []
    depth = 0
    in_link = leads = False
    for token in inline.children or []:
        depth += token.nesting
        if token.type == "tag" and token.tag not in _VOID_TAGS:
            depth += 1 if token.info == "open" else -1
        if depth > NESTED_TOO_DEEPLY:
            return [Token("text", "", 0, content=inline.content)]
        if token.type in ("link_open", "link_close"):
            in_link = token.type == "link_open"
            if in_link:
                leads = is_safe_address(str(token.attrs["href"]))  # an empty address is the page's own
            if not leads:
                continue
        if token.type != "image":
            shown.append(token)
            continue
        address = str(token.attrs["src"])
        words = Token("text", "", 0, content=_words_for_image(token, address))
        if in_link or not is_safe_address(address):
            shown.append(words)
        else:
            shown += [Token("link_open", "a", 1, attrs={"href": address}), words, Token("link_close", "a", -1)]
    return shown


def _words_for_image(token: Token, address: str) -> str:
    markdown = parser()
    alternative = cast("RendererHTML", markdown.renderer).renderInlineAsText(token.children, markdown.options, {})
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        host = ""
    return f"[image{f': {alternative}' if alternative else ''}{f', from {host}' if host else ''}]"


def parser() -> MarkdownIt:
    """Return this thread's parser of answers, with the renderer of their HTML."""
    found: MarkdownIt | None = getattr(_parsers, "parser", None)
    if found is None:
        found = _parsers.parser = _new_parser()
    return found


def _new_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.footnote import footnote_plugin

    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTED_TOO_DEEPLY, "linkify": True})
    markdown.enable(["table", "strikethrough", "linkify"])
    linkify = markdown.linkify
    assert linkify is not None
    linkify.set({"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})  # a file's name is no address
    markdown.validateLink = is_safe_address  # type: ignore[method-assign]
    markdown.inline.ruler.before("autolink", "tag", _tag_rule)
    add_formulas(markdown)
    add_dialect(markdown)
    markdown.core.ruler.after("inline", "tag_pairs", _pair_rule)
    markdown.use(footnote_plugin)
    markdown.inline.ruler.disable("footnote_inline")
    _keep_unused_footnotes(markdown)
    markdown.core.ruler.push("task", _task_rule)
    for name, render in _RENDERERS.items():
        markdown.add_render_rule(name, render)
    return markdown


def _keep_unused_footnotes(markdown: MarkdownIt) -> None:
    """Make a footnote that nothing refers to text, as a line of regular expressions that looks like one."""
    from mdit_py_plugins.footnote.index import footnote_def

    def footnote_rule(state: StateBlock, first: int, last: int, silent: bool) -> bool:
        begin = state.bMarks[first] + state.tShift[first]
        label = _FOOTNOTE.match(state.src, begin, state.eMarks[first])
        if label is None:
            return False
        used: set[str] | None = state.env.get("used_footnotes")
        if used is None:
            used = state.env["used_footnotes"] = set(_FOOTNOTE_USE.findall(state.src))
        is_known = f":{label[1]}" in state.env.get("footnotes", {}).get("refs", {})
        return label[1] in used and not is_known and footnote_def(state, first, last, silent)

    markdown.block.ruler.at("footnote_def", footnote_rule, {"alt": ["paragraph", "reference"]})


def _tag_rule(state: StateInline, silent: bool) -> bool:
    """Recognise a harmless tag; its attributes are dropped."""
    if state.src[state.pos] != "<":
        return False
    found = _TAG.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        token = state.push("tag", found[2].lower(), 0)
        token.content = found[0]
        token.info = "close" if found[1] else "open"
    state.pos = found.end()
    return True


def _pair_rule(state: StateCore) -> None:
    """Make a tag text unless it has its other half: ``List<S>`` is no tag, and nothing is open at a text's end."""
    in_blocks: dict[str, list[Token]] = {}
    for token in state.tokens:
        in_line: dict[str, list[Token]] = {}
        for tag in token.children or []:
            if tag.type != "tag" or tag.tag in _VOID_TAGS:
                continue
            opened = (in_blocks if tag.tag in _BLOCK_TAGS else in_line).setdefault(tag.tag, [])
            if tag.info == "open":
                opened.append(tag)
            elif opened:
                opened.pop()
            else:
                _make_text(tag, state)
        for tag in chain.from_iterable(in_line.values()):
            _make_text(tag, state)
    for tag in chain.from_iterable(in_blocks.values()):
        _make_text(tag, state)


def _make_text(tag: Token, state: StateCore) -> None:
    """Make a tag text; but in a part of an answer, the other half of a section may be in another part."""
    if state.env.get("is_part") and tag.tag in _BLOCK_TAGS:
        tag.content = ""
    tag.type = "text"


def _task_rule(state: StateCore) -> None:
    """Recognise a task, which is an item of a list that begins with a checkbox."""
    from markdown_it.token import Token

    lists: list[Token] = []
    for index, token in enumerate(state.tokens):
        if token.type in ("bullet_list_open", "ordered_list_open"):
            lists.append(token)
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        before = [other.type for other in state.tokens[max(0, index - 2) : index]]
        if token.type != "inline" or not token.children or before != ["list_item_open", "paragraph_open"]:
            continue
        first = token.children[0]
        found = _TASK.match(first.content) if first.type == "text" else None
        if found is None:
            continue
        first.content = first.content[found.end() :]
        token.children.insert(0, Token("task", "", 0, info=found[1].strip()))
        state.tokens[index - 2].attrSet("class", "task-list-item")
        lists[-1].attrSet("class", "contains-task-list")


def _render_task(renderer: Any, tokens: Sequence[Token], index: int, options: Any, environment: Any) -> str:
    checked = 'checked="checked" ' if tokens[index].info else ""
    return f'<input {checked}disabled="disabled" type="checkbox">'


def _render_tag(renderer: Any, tokens: Sequence[Token], index: int, options: Any, environment: Any) -> str:
    token = tokens[index]
    if _sanitiser() is None:
        return escape(token.content)
    return f"<{'/' if token.info == 'close' else ''}{token.tag}>"


def _render_formula(renderer: Any, tokens: Sequence[Token], index: int, options: Any, environment: Any) -> str:
    token = tokens[index]
    name, end = ("div", "\n") if token.type == "formula_block" else ("span", "")
    if not can_be_typeset(token.content):
        return f"<{name}>{escape(token.content, quote=False)}</{name}>{end}"
    return f'<{name} class="{_TYPESET}">{escape(without_labels(token.content), quote=False)}</{name}>{end}'


def _render_code(renderer: Any, tokens: Sequence[Token], index: int, options: Any, environment: Any) -> str:
    token = tokens[index]
    return code_colours.code_html(token.content, token.info.strip().partition(" ")[0])


def _render_footnote(renderer: Any, tokens: Sequence[Token], index: int, options: Any, environment: Any) -> str:
    return f"<sup>[{tokens[index].meta['id'] + 1}]</sup>"


def _fixed(html: str) -> Callable[..., str]:
    return lambda renderer, tokens, index, options, environment: html


_RENDERERS: dict[str, Callable[..., str]] = {
    "tag": _render_tag,
    "task": _render_task,
    "formula": _render_formula,
    "formula_block": _render_formula,
    "fence": _render_code,
    "code_block": _render_code,
    # Without the links between a footnote and its place: a page renames what they would lead to.
    "footnote_ref": _render_footnote,
    "footnote_block_open": _fixed("<hr>\n<ol>\n"),
    "footnote_block_close": _fixed("</ol>\n"),
    "footnote_open": _fixed("<li>"),
    "footnote_close": _fixed("</li>\n"),
    "footnote_anchor": _fixed(""),
}

_ELEMENTS = {
    *("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "span", "div", "a"),
    *("table", "thead", "tbody", "tr", "th", "td", "input", *_TAGS),
}


@cache
def _sanitiser() -> Callable[[str], str] | None:
    """Return a function that lets through only what answers are made of; None where its package is missing."""
    try:
        import nh3
    except ImportError:
        return None
    typeset = set(_TYPESET.split())
    clean: Callable[[str], str] = nh3.Cleaner(
        tags=_ELEMENTS,
        attributes={
            "*": {"dir"},
            "a": {"href", "title"},
            "ol": {"start"},
            "th": {"style"},
            "td": {"style"},
            "input": {"checked", "disabled"},
        },
        tag_attribute_values={"input": {"type": {"checkbox"}}},
        set_tag_attribute_values={"a": {"target": "_blank"}},
        allowed_classes={
            "span": {*typeset, *code_colours.CLASSES},
            "div": typeset,
            "code": {"nbretry-code"},
            "ul": {"contains-task-list"},
            "li": {"task-list-item"},
        },
        filter_style_properties={"text-align"},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
    ).clean
    return clean
