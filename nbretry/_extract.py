"""Extraction of code and JSON from the text of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["Block", "NoJSONError", "code_of", "fenced_blocks", "json_of"]

_LANGUAGE = re.compile(r"[{.\s]*([\w+#-]*)")
_SAME_LANGUAGE = {
    "ipython": "python",
    "ipython3": "python",
    "py": "python",
    "python3": "python",
    "bash": "shell",
    "sh": "shell",
    "zsh": "shell",
}
_THOUGHT = re.compile(r"\s*<think(?:ing)?>.*?(?:</think(?:ing)?>\n*|\Z)", re.DOTALL)
_NOT_A_LINE_END = re.compile(r"[^\n]")
_NO_CODE = {"", "output", "plaintext", "text", "txt"}
_SENTENCE = re.compile(r"\**(?![a-z])[^\W\d_][\w'’-]*(?:,?\s.*)?[.!?…:؟][)*_”»]*|.*[。！？：]")


class NoJSONError(ValueError):
    """An answer contains no valid JSON value; the message is one line.

    `nbretry.answer.Answer.json` raises `nbretry.errors.AnswerFormatError` instead.
    """


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of an answer.

    Attributes:
        language: first word after the fence, in lower case, such as ``python``; empty if the fence has no word.
        text: the content, without the line feed at its end.
        line: number of the line in the answer where the content starts, from 1.
    """

    language: str
    text: str
    line: int


def fenced_blocks(text: str) -> list[Block]:
    """Return the fenced blocks of an answer in order, parsed as CommonMark.

    Blocks inside lists count too, and so does a block that is cut off.

    Args:
        text: Markdown as a model wrote it.
    """
    if "```" not in text and "~~~" not in text:
        return []
    blocks: list[Block] = []
    for token in _parser().parse(text):
        if token.type == "fence" and token.map:
            found = _LANGUAGE.match(token.info)
            language = found[1].lower() if found else ""
            blocks.append(Block(language, token.content.removesuffix("\n"), token.map[0] + 2))
    return blocks


def code_of(text: str) -> str:
    """Return the code in an answer.

    Fenced blocks of the same language are joined with a blank line between them. If there are several languages, only
    the one with the most code is used. Blocks without a language, and those of text or output, are used only if there
    are no others. An answer without any fence is code as a whole, unless it begins with a sentence. Reasoning at the
    beginning, between ``<think>`` and ``</think>``, is ignored.

    Args:
        text: Markdown as a model wrote it.

    Returns:
        The code without blank lines around it, or an empty string if the text has no code.
    """
    thought = _THOUGHT.match(text)
    text = text if thought is None else text[thought.end() :]
    blocks = fenced_blocks(text)
    if not blocks:
        code = text.replace("\r\n", "\n").strip("\n").rstrip()
        return "" if _SENTENCE.fullmatch(code.strip().partition("\n")[0].strip()) else code
    by_language: dict[str, list[str]] = {}
    for block in blocks:
        code = block.text.strip("\n")
        if code.strip():
            by_language.setdefault(_SAME_LANGUAGE.get(block.language, block.language), []).append(code)
    named = {language: codes for language, codes in by_language.items() if language not in _NO_CODE}
    return "\n\n".join(max((named or by_language).values(), key=lambda codes: sum(map(len, codes)), default=[]))


def json_of(text: str) -> Any:
    """Return the JSON value in an answer.

    This is the whole answer if it is JSON, else its first fenced block that is JSON, else its first object or array.
    A value that is cut off or is not valid JSON is an error, even if a part of it is valid. Reasoning at the beginning,
    between ``<think>`` and ``</think>``, is ignored.

    Args:
        text: an answer.

    Returns:
        The parsed value.

    Raises:
        NoJSONError: there is no value, or several follow one another. It is a `ValueError` with a one-line message,
            which includes line and column in the answer where that helps.
    """
    thought = _THOUGHT.match(text)
    if thought is not None:  # blank it out, so that lines and columns stay right
        text = _NOT_A_LINE_END.sub(" ", thought[0]) + text[thought.end() :]
    try:
        return _find_json(text)
    except NoJSONError as error:
        raise NoJSONError(f"the answer is no JSON: {error}") from None


def _find_json(text: str) -> Any:
    try:
        return _parse(text)
    except NoJSONError as error:
        first: NoJSONError | None = error if text.lstrip("\ufeff \t\r\n")[:1] in tuple("{[") else None
    refused: NoJSONError | None = None
    for block in fenced_blocks(text):
        try:
            return _parse(block.text, block.line)
        except NoJSONError as error:
            if block.language.startswith("json"):
                refused = refused or error
    if refused is not None:
        raise refused
    values: list[tuple[int, int, Any]] = []
    for start, end in _balanced(text):
        try:
            place = (1, 1) if first else _place(text, start)  # only the first error reports its place
            values.append((start, end, _parse(text[start:end], *place)))
        except NoJSONError as error:
            first = first or error
            continue
        if len(values) == 2:
            break
    if not values:
        raise first or NoJSONError("there is no object and no array in it")
    if (
        len(values) == 2
        and not text[: values[0][0]].strip()
        and not text[values[0][1] : values[1][0]].strip(", \n\r\t")
    ):
        raise NoJSONError("several values follow one another, and one is wanted, as an array of them")
    return values[0][2]


def _parse(text: str, line: int = 1, column: int = 1) -> Any:
    """Return the value of a JSON text that starts at this line and column of the answer."""
    text = text.removeprefix("\ufeff")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        cut_off = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        said = "it is cut off" if cut_off and text.strip() else error.msg
        at = error.colno + (column - 1 if error.lineno == 1 else 0)
        message = f"{said} (line {line + error.lineno - 1}, column {at})"
    except RecursionError:
        message = "it is nested too deeply"
    except ValueError as error:  # a number with more digits than Python reads, or a constant such as NaN
        message = str(error).partition(";")[0]
    raise NoJSONError(message)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _place(text: str, position: int) -> tuple[int, int]:
    """Return the line and column of a position, both from 1."""
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


_BRACKET = re.compile(r"[\[{]")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


def _balanced(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each outermost pair of brackets, in order; an unclosed one ends with the text."""
    position = 0
    while (opening := _BRACKET.search(text, position)) is not None:
        depth = 0
        position = len(text)
        for found in _STRING_OR_BRACKET.finditer(text, opening.start()):
            depth += 1 if found[0] in "[{" else -1 if found[0] in "]}" else 0
            if depth == 0:
                position = found.end()
                break
        yield opening.start(), position


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # HTML is off because a fence inside an HTML block would not count; the content of paragraphs is not needed.
    return MarkdownIt("commonmark").disable(["html_block", "inline"])
