r"""Fill the notebook's own data into a prompt: ``{{ name }}`` is replaced with the value of the user's variable.

What counts as a placeholder:

- ``{{ expression }}``, with white space after ``{{`` and before ``}}``, anywhere in the prompt, if the inside is a
  Python expression of at most 2,000 characters. It ends at the first ``}}`` outside of the expression's own brackets
  and strings, so ``{{ {"a": {"b": 1}} }}`` is one placeholder.
- ``{{name}}`` and ``{{df.head()}}``, without that white space, likewise; but not inside backticks (a span or a fenced
  block of code), not after a letter, a digit or one of ``\ ^ _ { } $ =``, and not before a letter, a digit or a brace.
  So LaTeX such as ``\frac{{a}}{{b}}``, JSX such as ``style={{color: "red"}}``, an f-string in backticks and ``{{{x}}}``
  stay as they are. Only ASCII letters count here, because Chinese and Japanese put no space around a word.
- ``\{{ name }}`` is sent as ``{{ name }}``, without the backslash and not filled in.
- Anything that is not a Python expression, such as ``{{#each}}`` and ``{{ a \over b }}``, stays as typed, and so does
  ``{{ ... }}``. But if it begins with the name of a variable, it is treated as a mistake and refused.

All names are looked up before anything is evaluated. Then each placeholder is evaluated once, from left to right.
Placeholders inside a value are not filled in, and nothing that an expression assigns is kept. Text outside of
placeholders stays exactly as typed. A value that is not text and takes several lines, such as a table, gets its own
lines: if there is other text on the line of its placeholder, blank lines separate them.
"""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

from nbretry._utils.exceptions import describe
from nbretry._utils.redaction import mask
from nbretry._utils.text import nearest, one_line
from nbretry.errors import ConfigError
from nbretry.prompts.values import as_content
from nbretry.types import Content

__all__ = ["fill"]

_LONGEST = 2_000
_DEEPEST = 20
_LONGEST_SHOWN = 60
_LONGEST_REASON = 300
_MOST_NAMES_LISTED = 8

_RAW_HINT = "write --raw to send the prompt as typed"

_OPENING = re.compile(r"\{\{(?!\{)")
_BRACKET_OR_QUOTE = re.compile(r"\"\"\"|'''|[\"'\[\](){}]")
_REST_OF_STRING = {
    '"': re.compile(r'[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"', re.DOTALL),
    "'": re.compile(r"[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'", re.DOTALL),
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*+"""', re.DOTALL),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*+'''", re.DOTALL),
}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_NOT_AFTER = re.compile(r"[A-Za-z0-9\\^_{}$=]")
_NOT_BEFORE = re.compile(r"[A-Za-z0-9{}]")
_NAME = re.compile(r"[^\W\d]\w*")

_FENCE = re.compile(r"[ \t]*(`{3,})([^`]*)$")
_BACKTICKS = re.compile("`+")

_OF_IPYTHON = {"In", "Out", "exit", "quit", "get_ipython", "open"}
_OF_NBRETRY = {"_answer", "_answers", "_comparison"}


@dataclass(frozen=True, slots=True)
class _Placeholder:
    """A placeholder in the prompt, with the expression to evaluate.

    Attributes:
        start, end: its position in the prompt, including both pairs of braces.
        shown: the short line that error messages show for it.
        code: the compiled expression.
        names: the variables that it reads.
    """

    start: int
    end: int
    shown: str
    code: CodeType
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Literal:
    """Text that only looks like a placeholder, with the text that replaces it."""

    start: int
    end: int
    text: str


def fill(text: str, namespace: Mapping[str, Any]) -> Content:
    """Return a prompt with the values of its placeholders filled in.

    Args:
        text: the prompt, as typed.
        namespace: the user's variables; it is not changed.

    Returns:
        The text. If a value is an image, a list of parts in the order of the prompt, without blank text parts.

    Raises:
        ConfigError: a variable does not exist, an expression is wrong or fails, or its value cannot be sent.
    """
    parts = _Parts()
    position = 0
    for piece in list(_pieces(text, namespace)):
        parts.add_text(text[position : piece.start])
        position = piece.end
        if isinstance(piece, _Literal):
            parts.add_text(piece.text)
            continue
        value = _evaluate(piece, namespace)
        content = _content_of(piece, value)
        if isinstance(content, str) and not isinstance(value, str) and "\n" in content:
            content = f"{_break_before(text, piece.start)}{content}{_break_after(text, piece.end)}"
        parts.add(content)
    parts.add_text(text[position:])
    return parts.content()


class _Parts:
    """The content of a message, collected part by part."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._parts: list[dict[str, Any]] = []

    def add_text(self, text: str) -> None:
        self._texts.append(text)

    def add(self, content: Content) -> None:
        if isinstance(content, str):
            self._texts.append(content)
            return
        self._end_text()
        self._parts += content

    def content(self) -> Content:
        if not self._parts:
            return "".join(self._texts)
        self._end_text()
        return self._parts

    def _end_text(self) -> None:
        text, self._texts = "".join(self._texts), []
        if text.strip():  # some services refuse a blank part
            self._parts.append({"type": "text", "text": text})


def _pieces(text: str, namespace: Mapping[str, Any]) -> Iterator[_Placeholder | _Literal]:
    """Yield the placeholders and the escaped ones in order; raise if a name that they read does not exist."""
    code = _Code(text)
    opening = _OPENING.search(text)
    while opening is not None:
        start = opening.start()
        piece = _piece_at(text, start, namespace, code)
        if piece is not None:
            yield piece
        opening = _OPENING.search(text, start + 2 if piece is None else piece.end)


def _piece_at(text: str, start: int, namespace: Mapping[str, Any], code: _Code) -> _Placeholder | _Literal | None:
    inside_start = start + 2
    before = text[start - 1 : start]
    opens_with_space = text[inside_start : inside_start + 1].isspace()
    if not opens_with_space and _NOT_AFTER.match(before):
        return None
    inside_end = _end_of_expression(text, inside_start)
    parsed = None if inside_end is None else _parse(text[inside_start:inside_end])
    if inside_end is None or parsed is None:
        inside_end = text.find("}}", inside_start, inside_start + _LONGEST)
        if inside_end < 0 or not _is_slip(text[inside_start:inside_end], namespace):
            return None
    if not (opens_with_space and text[inside_end - 1].isspace()):
        if _NOT_AFTER.match(before) or _NOT_BEFORE.match(text, inside_end + 2) or start in code:
            return None
    elif before == "\\":
        return _Literal(start - 1, inside_end + 2, text[start : inside_end + 2])
    shown = one_line(mask(text[start : inside_end + 2]), _LONGEST_SHOWN)
    if parsed is None:
        raise ConfigError(f"{shown} is no Python expression{_why(text[inside_start:inside_end])}; {_RAW_HINT}")
    return _placeholder(start, inside_end + 2, shown, parsed, namespace)


def _placeholder(
    start: int, end: int, shown: str, parsed: ast.Expression, namespace: Mapping[str, Any]
) -> _Placeholder:
    names = _names_read(parsed)
    is_name = isinstance(parsed.body, ast.Name)  # input, id or type alone is a template's word, not Python's function
    for name in names:
        if name not in namespace and (is_name or not hasattr(builtins, name)):
            raise _unknown_name(shown, name, namespace)
    try:
        code = _compile(parsed)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # for example for await
        reason = describe(error)
    else:
        return _Placeholder(start, end, shown, code, names)
    raise ConfigError(f"{shown} cannot be evaluated: {one_line(mask(reason), _LONGEST_REASON)}; {_RAW_HINT}")


def _end_of_expression(text: str, start: int) -> int | None:
    """Return the position of the ``}}`` that closes a placeholder; None if brackets or strings before it do not match.

    It looks at each bracket once, and gives up at the first one that cannot belong to an expression, so the time for a
    long prompt full of braces is proportional to its length.
    """
    closings: list[str] = []
    limit = min(len(text), start + _LONGEST)
    position = start
    while (found := _BRACKET_OR_QUOTE.search(text, position, limit)) is not None:
        sign, position = found[0], found.end()
        if sign in _REST_OF_STRING:
            string = _REST_OF_STRING[sign].match(text, position, limit)
            if string is None:
                return None
            position = string.end()
        elif sign in _CLOSING:
            if len(closings) == _DEEPEST:
                return None
            closings.append(_CLOSING[sign])
        elif closings:
            if closings.pop() != sign:
                return None
        else:
            return found.start() if text.startswith("}}", found.start()) else None
    return None


def _parse(inside: str) -> ast.Expression | None:
    try:
        return _compile_quietly(inside.strip(), ast.PyCF_ONLY_AST)  # type: ignore[no-any-return]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _compile(parsed: ast.Expression) -> CodeType:
    return _compile_quietly(parsed, 0)  # type: ignore[no-any-return]


def _compile_quietly(source: str | ast.Expression, flags: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # text that is not an expression must not cause warnings
        compiled = compile(source, "<prompt>", "eval", flags, dont_inherit=True)
    if isinstance(compiled, ast.Expression) and isinstance(compiled.body, ast.Constant) and compiled.body.value is ...:
        raise SyntaxError("an ellipsis stands for words that were left out")
    return compiled


def _why(inside: str) -> str:
    try:
        _compile_quietly(inside.strip(), ast.PyCF_ONLY_AST)
    except SyntaxError as error:
        return f": {error.msg}"
    except (ValueError, RecursionError, MemoryError):
        return ""
    return ""


def _is_slip(inside: str, namespace: Mapping[str, Any]) -> bool:
    """Return whether text that is not an expression was meant to be one."""
    name = _NAME.match(inside.strip())
    return name is not None and name[0] in namespace and "{{" not in inside


def _names_read(parsed: ast.Expression) -> tuple[str, ...]:
    """Return the variables that an expression reads, without those that it defines itself."""
    nodes = list(ast.walk(parsed))
    own = {node.arg for node in nodes if isinstance(node, ast.arg)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    read = (node.id for node in nodes if isinstance(node, ast.Name))
    return tuple(dict.fromkeys(name for name in read if name not in own))


def _unknown_name(shown: str, name: str, namespace: Mapping[str, Any]) -> ConfigError:
    users = [known for known in namespace if _is_users(known)]
    hint = nearest(name, users) if users else ""
    if "did you mean" not in hint and len(users) > _MOST_NAMES_LISTED:
        hint = ""
    return ConfigError(f"{shown}: there is no variable {name!r}{hint}; {_RAW_HINT}")


def _is_users(name: str) -> bool:
    return name in _OF_NBRETRY or not (name.startswith("_") or name in _OF_IPYTHON)


def _evaluate(placeholder: _Placeholder, namespace: Mapping[str, Any]) -> Any:
    # A new copy each time, because an expression may assign; and passed as globals, because functions and
    # comprehensions in the expression look up names there.
    variables = dict(namespace)
    try:
        return eval(placeholder.code, variables)
    except Exception as error:
        failure = error
    # Raised outside of the except block, so that IPython does not show the original exception as context.
    if isinstance(failure, NameError) and failure.name in placeholder.names:
        raise _unknown_name(placeholder.shown, failure.name, namespace)
    raise ConfigError(f"{placeholder.shown} raised {one_line(mask(describe(failure)), _LONGEST_REASON)}")


def _content_of(placeholder: _Placeholder, value: Any) -> Content:
    try:
        return as_content(value)
    except ConfigError as error:
        message = str(error)
    raise ConfigError(f"{placeholder.shown}: {message}")


def _break_before(text: str, start: int) -> str:
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return "\n\n" if line.strip() else ""


def _break_after(text: str, end: int) -> str:
    line_end = text.find("\n", end)
    line = text[end:] if line_end < 0 else text[end:line_end]
    return "\n\n" if line.strip() else ""


class _Code:
    """The ranges of a text that are code in backticks; computed at the first use.

    Args:
        text: Markdown.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts: list[int] = []
        self._ends: list[int] | None = None

    def __contains__(self, position: int) -> bool:
        if self._ends is None:
            stretches = sorted(_code_in(self._text))
            self._starts, self._ends = [start for start, _ in stretches], [end for _, end in stretches]
        number = bisect_right(self._starts, position) - 1
        return number >= 0 and position < self._ends[number]


def _code_in(text: str) -> Iterator[tuple[int, int]]:
    fence, fence_start, paragraph_start, position = "", 0, 0, 0
    for line in text.split("\n"):
        end = position + len(line) + 1
        found = _FENCE.match(line)
        if fence:
            if found and len(found[1]) >= len(fence) and not found[2].strip():
                yield fence_start, end
                fence, paragraph_start = "", end
        elif found or not line.strip():
            yield from _spans_in(text, paragraph_start, position)
            paragraph_start = end
            if found:
                fence, fence_start = found[1], position
        position = end
    if fence:
        yield fence_start, position
    else:
        yield from _spans_in(text, paragraph_start, len(text))


def _spans_in(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the code spans of a paragraph: from a run of backticks to the next run of the same length."""
    runs = [found.span() for found in _BACKTICKS.finditer(text, start, end)]
    closing: dict[int, int] = {}
    partner: list[int | None] = [None] * len(runs)
    for number in range(len(runs) - 1, -1, -1):
        length = runs[number][1] - runs[number][0]
        partner[number] = closing.get(length)
        closing[length] = number
    number = 0
    while number < len(runs):
        other = partner[number]
        if other is not None:
            yield runs[number][0], runs[other][1]
            number = other
        number += 1
