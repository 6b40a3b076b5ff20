"""Code with colours: Pygments finds the parts, and a style sheet gives them the colours of the notebook's theme."""

from __future__ import annotations

import time
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pygments.lexer import Lexer

__all__ = ["CLASSES", "HAS_CODE", "STYLE_SHEET", "code_html"]

_LONGEST = 20_000
"""Characters; longer code has no colours, as finding its parts takes too long."""

_LONGEST_TIME = 0.3
"""Seconds. Some lexers, as those for C# and Java, take minutes for a few thousand lines that are no such code."""

_LONGEST_LINE = 2_000
"""Characters; some lexers take a time that grows with the square of a line."""

# Not all of Pygments: some lexers never end on code that is cut off, or take minutes for what is not theirs.
_NAMES_OF_LANGUAGES = """
asm awk bash batch c c# c++ clojure cmake console cpp cs csharp css cuda dart diff django docker dockerfile elixir
erlang f# fortran fsharp go golang graphql groovy haskell hcl html http ini ipython ipython3 java javascript jinja
jinja2 js json json5 jsonc jsx julia kotlin latex lean lisp lua make makefile markdown matlab md nasm nginx nim nix
objective-c objectivec ocaml octave perl php postgresql powershell protobuf ps1 py py3 pycon pytb python python3 r rb
rs ruby rust sass scala scheme scss sh shell solidity sql stan svg swift tcl terraform tex toml ts tsx typescript
vb.net verilog vhdl vue xml yaml yml zig zsh
"""
_LANGUAGES = frozenset(_NAMES_OF_LANGUAGES.split())

# The lexer for MATLAB takes seconds for empty lines; Pygments does not know the others.
_OTHER_NAMES = {"matlab": "octave", "jsonc": "json", "jinja2": "jinja", "svg": "xml"}
_MOST_HEREDOCS = 100
"""Number of ``<<`` in Ruby beyond which its lexer takes seconds."""

_WITH_TAGS = {"json", "yaml", "toml"}
"""Languages whose lexers call a name in the data a tag."""

# JupyterLab's own names for the colours of code, and of each the fallback where a page has no such colour.
_COLOURS = {
    "k": ("keyword", "font-weight:bold"),
    "s": ("string", ""),
    "c": ("comment", "font-style:italic"),
    "n": ("number", ""),
    "o": ("operator", ""),
    "d": ("def", ""),
    "b": ("builtin", ""),
    "m": ("meta", ""),
    "g": ("tag", ""),
    "a": ("attribute", ""),
    "e": ("error", ""),
}
CLASSES = frozenset(_COLOURS)
"""Classes of the elements of code."""

STYLE_SHEET = (
    "<style>.nbretry-code{display:block;margin:0 0 1em 20px}"
    + "".join(
        f".nbretry-code .{name}{{color:var(--jp-mirror-editor-{colour}-color,inherit){';' * bool(more)}{more}}}"
        for name, (colour, more) in _COLOURS.items()
    )
    + "</style>"
)
"""What an output with code has before it. In a file that is not trusted it is removed, and the code has no colours."""


HAS_CODE = '<code class="nbretry-code">'
"""Beginning of a block of code in the HTML."""


def code_html(code: str, language: str = "") -> str:
    """Return a block of code as HTML.

    Args:
        code: its text.
        language: name of the language, as after the opening fence; empty or unknown for no colours.
    """
    is_short = len(code) <= _LONGEST and all(len(line) <= _LONGEST_LINE for line in code.split("\n"))
    if language.lower() in ("rb", "ruby"):
        is_short = is_short and code.count("<<") <= _MOST_HEREDOCS
    lexer = _lexer(language.lower()) if is_short and language.lower() in _LANGUAGES else None
    inner = escape(code, quote=False) if lexer is None else f"<span>{_with_colours(lexer, code)}</span>"
    return f'<pre><code class="nbretry-code">{inner}</code></pre>\n'


def _with_colours(lexer: Lexer, code: str) -> str:
    parts: list[tuple[str, list[str]]] = []
    code = code.removeprefix("\ufeff")  # as the lexer does
    is_data = not _WITH_TAGS.isdisjoint(lexer.aliases)
    place = 0
    end = time.perf_counter() + _LONGEST_TIME
    for kind, text in lexer.get_tokens(code):
        # White space belongs to what it follows: fewer elements, and it looks the same.
        name = parts[-1][0] if parts and not text.strip() else _class_of(kind)
        name = "a" if name == "g" and is_data else name
        if not parts or parts[-1][0] != name:
            parts.append((name, []))
        parts[-1][1].append(escape(text, quote=False))
        place += len(text)
        if time.perf_counter() > end:
            parts.append(("", [escape(code[place:], quote=False)]))
            break
    return "".join(f'<span class="{name}">{"".join(texts)}</span>' if name else "".join(texts) for name, texts in parts)


@cache
def _lexer(language: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer: Lexer = get_lexer_by_name(_OTHER_NAMES.get(language, language), stripnl=False, ensurenl=False)
    except (ClassNotFound, ImportError, ValueError):
        return None
    return lexer


@cache
def _class_of(kind: Any) -> str:
    """Return the class of a kind of Pygments token; empty for ordinary text."""
    from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String

    classes = [
        (Comment, "c"),
        (Keyword, "k"),
        (Operator.Word, "k"),
        (String, "s"),
        (Number, "n"),
        (Operator, "o"),
        (Name.Function, "d"),
        (Name.Class, "d"),
        (Name.Builtin, "b"),
        (Name.Exception, "b"),
        (Name.Decorator, "m"),
        (Name.Tag, "g"),
        (Name.Attribute, "a"),
        (Generic.Inserted, "n"),  # green in both themes
        (Generic.Deleted, "s"),
        (Generic.Heading, "k"),
    ]
    return next((name for base, name in classes if kind in base), "")
