r"""Puts the notebook's own data into a prompt: ``{{ name }}`` stands for what the user's variables have there.

What is a placeholder:

- ``{{ expression }}``, with white space after ``{{`` and before ``}}``, wherever it stands, where the inside is an
  expression of Python of at most 2,000 characters. It ends at the first ``}}`` that is outside of the expression's own
  brackets and strings, so ``{{ {"a": {"b": 1}} }}`` is one.
- ``{{name}}`` and ``{{df.head()}}``, without that white space, likewise; but not inside backticks (a span or a fenced
  block of code), not after a letter, a digit or one of ``\ ^ _ { } $ =``, and not before a letter, a digit or a brace.
  So LaTeX as ``\frac{{a}}{{b}}``, JSX as ``style={{color: "red"}}``, an f-string in backticks and ``{{{x}}}`` stay as
  they are. Letters here are those of ASCII, as Chinese and Japanese put no space around a word.
- ``\{{ name }}`` is ``{{ name }}`` as typed, without the backslash.
- What is no Python expression, as ``{{#each}}`` and ``{{ a \over b }}``, stays as typed, and so does ``{{ ... }}``. But
  where it begins with the name of a variable it is taken for a slip, and refused.

Everything is looked up before anything is evaluated; then each placeholder is evaluated once, from left to right. What
a value contains is never filled in again, and nothing that an expression assigns is kept. Text outside of placeholders
stays exactly as typed. A value that is no text and takes several lines, as a table, stands on lines of its own: where
there is other text on the line of its placeholder, blank lines are put between.
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

from nbretry._errors import ConfigError, describe
from nbretry._utils.redaction import mask
from nbretry._utils.text import nearest, one_line
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
    """A place in the prompt with what is to be evaluated.

    Attributes:
        start, end: where it stands, both pairs of braces included.
        shown: what error messages call it: one short line.
        names: the variables that it reads.
    """

    start: int
    end: int
    shown: str
    code: CodeType
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Literal:
    """What only looks like a placeholder, with the text that takes its place."""

    start: int
    end: int
    text: str


def fill(text: str, namespace: Mapping[str, Any]) -> Content:
    """A prompt with the values of its placeholders.

    Args:
        text: the prompt, as typed.
        namespace: the user's variables; it is not changed.

    Returns:
        The text; where a value is an image, a list of parts in the order of the prompt, without text parts that are
        blank.

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
    """Content that grows."""

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
        if text.strip():  # a blank part is refused by some services
            self._parts.append({"type": "text", "text": text})


def _pieces(text: str, namespace: Mapping[str, Any]) -> Iterator[_Placeholder | _Literal]:
    """The placeholders, and what is escaped, in order; every name that they read is there."""
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
    is_name = isinstance(parsed.body, ast.Name)  # Python's own input, id or type by itself is somebody's template
    for name in names:
        if name not in namespace and (is_name or not hasattr(builtins, name)):
            raise _unknown_name(shown, name, namespace)
    try:
        code = _compile(parsed)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # as for await
        reason = describe(error)
    else:
        return _Placeholder(start, end, shown, code, names)
    raise ConfigError(f"{shown} cannot be evaluated: {one_line(mask(reason), _LONGEST_REASON)}; {_RAW_HINT}")


def _end_of_expression(text: str, start: int) -> int | None:
    """Where the ``}}`` stands that closes a placeholder; None where brackets or strings before it do not match.

    It looks at each bracket once, and gives up at the first that cannot belong to an expression, so that a long prompt
    full of braces takes time in proportion to its length.
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
        warnings.simplefilter("ignore")  # what is no expression after all is not to be warned about
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
    """Whether what is no expression was meant as one."""
    name = _NAME.match(inside.strip())
    return name is not None and name[0] in namespace and "{{" not in inside


def _names_read(parsed: ast.Expression) -> tuple[str, ...]:
    """The variables that an expression reads, those aside that it makes itself."""
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
    # A copy for each, as an expression may assign; as globals, as its own functions and comprehensions look there.
    variables = dict(namespace)
    try:
        return eval(placeholder.code, variables)
    except Exception as error:
        failure = error
    # Raised out here, so that IPython does not show the one as the other's context.
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
    """The stretches of a text that are code in backticks; found at the first question.

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
    """The code spans of a paragraph: from some backticks to the next that are as many."""
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
