"""Show several answers to one question: in HTML columns, as text one below the other, and in a terminal.

The HTML is static. Its columns become rows if there is no room, and a viewer that drops styles, as GitHub does, shows
the same words in the same order. A model's Markdown becomes HTML in which nothing runs and nothing is loaded.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING, TextIO, cast

from nbretry._utils.redaction import mask
from nbretry.answer import Answer
from nbretry.events import Event, RunCancelled, RunCompleted, RunFailed
from nbretry.renderers.console import printable
from nbretry.renderers.reasoning import reasoning_html, reasoning_text
from nbretry.renderers.report import AS_WRITTEN, attempt_line, report_html, report_text, status_line, summary

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

__all__ = ["ComparisonConsole", "comparison_html", "comparison_text", "headings", "markdown_html"]

_SIGNS = {"completed": "✓", "failed": "✗", "stopped": "■"}
_COLOURS = {"completed": "#2e9e5b", "failed": "#d4574e", "stopped": "#c98a1b"}
_SIGN_OF_OTHERS, _COLOUR_OF_OTHERS = "…", "#4a86c8"

_COLUMNS = "display:flex;flex-wrap:wrap;gap:0.8em;margin:0.2em 0"
_RULE_COLOUR = "rgba(128,128,128,0.35)"
_RULE = f"1px solid {_RULE_COLOUR}"
_COLUMN = (
    "flex:1 1 16em;min-width:0;max-width:100%;box-sizing:border-box;display:flex;flex-direction:column;"
    f"border:{_RULE};border-radius:6px;padding:0.6em 0.9em 0.5em"
)
_HEAD = f"border-bottom:{_RULE};margin:0 0 0.6em;padding:0 0 0.4em"
_BODY = "flex:1 1 auto;overflow-x:auto;overflow-wrap:break-word"
_ERROR = "margin:0 0 0.6em;white-space:pre-wrap;overflow-wrap:anywhere"
_LINE = "font-size:0.85em;line-height:1.5;margin:0.2em 0;opacity:0.75;white-space:pre-wrap"


def headings(names: Sequence[str]) -> list[str]:
    """Return the heading of each column: the provider's name, with a number if the name appears more than once."""
    count = Counter(names)
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
    return [f"{name} ({next(numbers[name])})" if count[name] > 1 else name for name in names]


def comparison_html(heads: Sequence[str], answers: Sequence[Answer]) -> str:
    """Return a column for each answer: its heading, the text so far, and a line about it.

    Once all answers have ended, each line opens to the attempts of its answer, and the reasoning is there, collapsed.

    Args:
        heads: one heading for each answer, as `headings` returns them.
        answers: the answers, finished or not.
    """
    all_ended = all(answer.state in _SIGNS for answer in answers)
    columns = (_column(head, answer, all_ended) for head, answer in zip(heads, answers, strict=True))
    return f'<div class="nbretry-comparison" style="{_COLUMNS}">{"".join(columns)}</div>'


def comparison_text(heads: Sequence[str], answers: Sequence[Answer]) -> str:
    """Return the same as plain text, one answer below the other."""
    return "\n\n".join(_section(head, answer) for head, answer in zip(heads, answers, strict=True))


class ComparisonConsole:
    """Append-only view of a comparison: it writes each answer in full once it has ended, so that no two are mixed.

    Args:
        out: stream for the answers, each below its heading.
        err: stream for failed and skipped attempts, and for the closing line of each answer.
        heads: headings of the answers.
    """

    def __init__(self, out: TextIO, err: TextIO, heads: Sequence[str]) -> None:
        self._out = out
        self._err = err
        self._heads = heads
        self._wrote_before = False

    def __call__(self, column: int, event: Event, answer: Answer) -> None:
        """Write the answer if this event ends its run."""
        if not isinstance(event, RunCompleted | RunFailed | RunCancelled):
            return
        written = ["", _head_line(self._heads[column]), mask(answer.text).rstrip()]
        if not self._wrote_before:
            del written[0]
        if not answer.text:
            del written[-1]
        self._wrote_before = True
        self._out.write(printable("\n".join([*written, ""])))
        self._out.flush()
        lines = [attempt_line(attempt) for attempt in answer.attempts if attempt.state in ("failed", "skipped")]
        closing = f"{'✓' if isinstance(event, RunCompleted) else '■'} {summary(answer)}"
        self._err.write("".join(f"  {printable(line)}\n" for line in [*lines, closing]))
        self._err.flush()


def _column(head: str, answer: Answer, all_ended: bool) -> str:
    sign = _coloured(_SIGNS.get(answer.state, _SIGN_OF_OTHERS), answer)
    error = _error(answer)
    body = reasoning_html(answer) if all_ended else ""
    body += markdown_html(answer.text) if answer.text else ""
    if error:
        body += f'<div style="{_ERROR}">{_coloured("✗", answer)} {escape(error)}</div>'
    line = (
        report_html(answer) if all_ended else f'<div class="{AS_WRITTEN}" style="{_LINE}">{escape(_line(answer))}</div>'
    )
    return (
        f'<div class="nbretry-column" style="{_COLUMN}">'
        f'<div style="{_HEAD}">{sign} <strong>{escape(mask(head))}</strong></div>'
        f'<div style="{_BODY}">{body}</div>{line}</div>'
    )


def _coloured(sign: str, answer: Answer) -> str:
    return f'<span style="color:{_COLOURS.get(answer.state, _COLOUR_OF_OTHERS)}">{sign}</span>'


def _section(head: str, answer: Answer) -> str:
    text = mask(answer.text).rstrip()
    line = report_text(answer) if answer.state in _SIGNS else _line(answer)
    head = "\n".join(filter(None, [_head_line(head), reasoning_text(answer)]))
    return f"{head}\n{text}\n\n{line}" if text else f"{head}\n{line}"


def _head_line(head: str) -> str:
    return f"== {mask(head)} =="


def _line(answer: Answer) -> str:
    """Return the summary of an answer, or what is going on if its text has not begun."""
    if answer.state in _SIGNS:
        return summary(answer)
    return f"{summary(answer)} …" if answer.text else status_line(answer)


def _error(answer: Answer) -> str | None:
    """Return the last error of a failed answer; None if it has not failed."""
    if answer.state != "failed":
        return None
    failed = [attempt for attempt in answer.attempts if attempt.state == "failed"] or answer.attempts
    return failed[-1].error if failed else None


# --- Markdown ---------------------------------------------------------------------------------------------------------

_SAFE_ADDRESS = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
_FORMULA = re.compile(
    r"\$\$.{1,2000}?\$\$|\\\[.{1,2000}?\\\]|\\\(.{1,2000}?\\\)|\$(?![\s$])[^$\n]{0,2000}?(?<![\s\\])\$(?!\d)",
    re.DOTALL,
)
_DEEPEST = 60
"""Maximum nesting of blocks; deeper nesting would exceed Python's stack."""

_LARGEST_HEADING = 3  # of six levels: a column needs smaller headings than a page
_STYLES = {
    "heading_open": "font-size:1.1em;font-weight:600;line-height:1.3;margin:0.4em 0",
    "paragraph_open": "margin:0 0 0.6em",
    "th_open": "text-align:left",
    "td_open": "text-align:left",
}
_CODE = f"border-left:2px solid {_RULE_COLOUR};margin:0 0 0.6em;padding:0 0 0 0.8em;overflow-x:auto;white-space:pre"


def markdown_html(text: str) -> str:
    """Return a model's Markdown as HTML that runs nothing and loads nothing, with every known secret masked.

    Raw HTML is shown as written, an image becomes a link to it, and only links to the web and to mail addresses stay
    links. Formulas keep every character, for viewers that typeset them.

    Args:
        text: Markdown, possibly cut off anywhere.
    """
    parser = _parser()
    text = mask(text)
    tokens = parser.parse(text)
    if any(token.level >= _DEEPEST - 1 for token in tokens):
        # The parser drops what is nested deeper, and everything after it.
        return f'<pre style="{_CODE}">{escape(text)}</pre>\n'
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1:]) + _LARGEST_HEADING - 1)}"
        if token.type in _STYLES and "style" not in token.attrs:
            token.attrSet("style", _STYLES[token.type])
        if token.children:
            token.children = _with_links(token.children)
    return str(parser.renderer.render(tokens, parser.options, {}))


def _with_links(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens of a line with each image as a link to it.

    An image inside a link, or with an unsafe address, becomes plain text. The text is the image's description, or its
    address if it has none.
    """
    from markdown_it.token import Token

    parser = _parser()
    renderer = cast("RendererHTML", parser.renderer)
    shown: list[Token] = []
    in_link = False
    for token in tokens:
        if token.type == "link_open":
            in_link = _is_safe_address(str(token.attrs["href"]))
            shown += [token] if in_link else []
        elif token.type == "link_close":
            shown += [token] if in_link else []
            in_link = False
        elif token.type == "image":
            address = str(token.attrs["src"])
            alternative = renderer.renderInlineAsText(token.children, parser.options, {})
            words = Token("text", "", 0, content=alternative or address)
            if in_link or not _is_safe_address(address):
                shown.append(words)
            else:
                shown += [Token("link_open", "a", 1, attrs={"href": address}), words, Token("link_close", "a", -1)]
        else:
            shown.append(token)
    return shown


def _code_block(renderer: object, tokens: Sequence[Token], index: int, options: object, env: object) -> str:
    """Render a block of code: a rule of the renderer."""
    return f'<pre style="{_CODE}"><code style="white-space:pre">{escape(tokens[index].content)}</code></pre>\n'


def _is_safe_address(url: str) -> bool:
    return _SAFE_ADDRESS.match(url) is not None


def _formula(state: StateInline, silent: bool) -> bool:
    """Parse a formula as text, whatever its characters mean in Markdown: a rule of the parser."""
    if state.src[state.pos] not in "$\\":
        return False
    found = _FORMULA.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        state.pending += found[0]
    state.pos = found.end()
    return True


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _DEEPEST}).enable(["table", "strikethrough"])
    parser.validateLink = _is_safe_address  # type: ignore[method-assign]
    parser.inline.ruler.before("escape", "formula", _formula)
    for block in ("fence", "code_block"):
        parser.add_render_rule(block, _code_block)
    return parser
