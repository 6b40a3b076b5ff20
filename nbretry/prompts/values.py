"""Convert a value from the notebook into what a model reads best: text, or parts with images."""

from __future__ import annotations

import dataclasses
import inspect
import json
import linecache
import pprint
import textwrap
import traceback
from typing import Any

from nbretry._utils.exceptions import describe
from nbretry._utils.optional_types import is_a
from nbretry._utils.redaction import mask
from nbretry.errors import ConfigError
from nbretry.prompts.dataframes import array_text, frame_text
from nbretry.prompts.images import images_in
from nbretry.types import Content

__all__ = ["as_content"]

_LONGEST_LINE = 100
_LONGEST_REASON = 300
_MOST_ELEMENTS = 1_000
_SAID_BY_STR = {"datetime", "decimal", "fractions", "ipaddress", "pathlib", "pathlib._local", "uuid", "zoneinfo"}


def as_content(value: Any) -> Content:
    """Return the content of a message for a value.

    - Text stays as it is; numbers, True and None become what Python prints.
    - A pandas or polars frame or series becomes its shape, its types and a Markdown table. A long one is cut to its
      first and last rows, a wide one to its first and last columns, with a note of how many are left out.
    - A NumPy array becomes its shape, its type and its elements, without the middle of more than 1,000.
    - Dicts, lists, sets, dataclasses and pydantic models become JSON, or the output of `pprint` if that is impossible.
    - An exception becomes its traceback, with secrets masked; a function or a class its source; an answer its text.
    - A matplotlib figure or axes, a PIL image, an IPython image, bytes of a PNG, JPEG, GIF or WebP file, and anything
      with a ``_repr_png_`` or ``_repr_jpeg_`` becomes an image part; a list of those becomes one part for each.
    - Anything else becomes its ``_repr_markdown_`` if it has one, otherwise ``str(value)``.

    Raises:
        ConfigError: the value cannot be sent: other bytes, an image above 20 MB, a plotly figure, or a value that
            raises when it is converted.
    """
    try:
        return _content(value)
    except ConfigError:
        raise
    except Exception as error:
        failure = " ".join(describe(error).split())
    kind = type(value).__name__
    raise ConfigError(f"a value of the type {kind} cannot be put into words: it raised {failure[:_LONGEST_REASON]}")


def _content(value: Any) -> Content:
    match value:
        case str():
            return str.__str__(value)
        case bool() | int() | float() | complex() | None:
            return str(value)
        case BaseException():
            return _traceback(value)
        case type():
            return _source_of_class(value) or repr(value)
    if inspect.isroutine(value):
        return _source(value) or repr(value)
    images = images_in(value)
    if images:
        return images
    for make_text in (frame_text, array_text, _text_of_ours, _data_text, _markdown):
        text = make_text(value)
        if text is not None:
            return text
    return str(value)


def _traceback(exception: BaseException) -> str:
    frames = exception.__traceback__
    while frames is not None and str(frames.tb_frame.f_globals.get("__name__")).startswith("IPython."):
        frames = frames.tb_next  # skip the frames of IPython that run the cell
    return mask("".join(traceback.format_exception(type(exception), exception, frames)).rstrip())


def _source(value: Any) -> str | None:
    try:
        return textwrap.dedent(inspect.getsource(value)).rstrip()
    except (OSError, TypeError):
        return None


def _source_of_class(kind: type) -> str | None:
    """Return a class's source, also if a cell defines it, which `inspect` does not find before Python 3.13."""
    source = _source(kind)
    if source is not None or kind.__module__ != "__main__":
        return source
    import ast

    for entry in reversed(list(linecache.cache.values())):  # the last cell that defines it
        text = "".join(entry[2]) if len(entry) == 4 else ""
        if f"class {kind.__name__}" not in text:
            continue
        try:
            parsed = ast.parse(text)
        except (SyntaxError, ValueError):  # a cell need not be Python
            continue
        for node in ast.walk(parsed):
            if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return textwrap.dedent("\n".join(text.split("\n")[first - 1 : node.end_lineno]))
    return None


def _text_of_ours(value: Any) -> str | None:
    """Return the text of an answer, whichever module of nbretry defines its class; None for anything else."""
    text = getattr(value, "text", None) if type(value).__module__.startswith("nbretry.") else None
    return text if isinstance(text, str) else None


def _data_text(value: Any) -> str | None:
    is_record = dataclasses.is_dataclass(value) or is_a(value, "pydantic.main", "BaseModel")
    if not is_record and not isinstance(value, dict | list | tuple | set | frozenset):
        return None
    try:
        text = json.dumps(value, ensure_ascii=False, default=_plain)
        return _json_text(json.loads(text, object_pairs_hook=_distinct))
    except (TypeError, ValueError, RecursionError):
        return pprint.pformat(value, width=_LONGEST_LINE, sort_dicts=False)


def _distinct(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dict of these items.

    Raises:
        ValueError: two keys, such as 1 and "1", have become one, so a value would be lost.
    """
    found = dict(items)
    if len(found) < len(items):
        raise ValueError("two keys are one in JSON")
    return found


def _plain(value: Any) -> Any:
    """Return a JSON value for a value that `json` cannot encode."""
    if is_a(value, "pydantic.main", "BaseModel"):
        return value.model_dump(mode="json") if hasattr(value, "model_dump") else value.dict()
    text = _text_of_ours(value)
    if text is not None:
        return text
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if is_a(value, "numpy", "generic"):
        return value.item()
    if is_a(value, "numpy", "ndarray") and value.size <= _MOST_ELEMENTS:
        return value.tolist()
    if type(value).__module__ in _SAID_BY_STR:
        return str(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


def _json_text(value: Any, indent: str = "") -> str:
    """Return a value as JSON on one line, or with a line for each item if one line would be too long."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _LONGEST_LINE or not isinstance(value, dict | list):
        return line
    deeper = f"{indent}  "
    if isinstance(value, dict):
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_json_text(item, deeper)}" for key, item in value.items()]
        return _json_lines("{", items, "}", indent)
    if not any(isinstance(item, dict | list) for item in value):
        return line  # a line for each number would only waste tokens
    return _json_lines("[", [_json_text(item, deeper) for item in value], "]", indent)


def _json_lines(opening: str, items: list[str], closing: str, indent: str) -> str:
    body = f",\n{indent}  ".join(items)
    return f"{opening}\n{indent}  {body}\n{indent}{closing}"


def _markdown(value: Any) -> str | None:
    if not callable(getattr(type(value), "_repr_markdown_", None)):
        return None
    try:
        text = value._repr_markdown_()
    except Exception:  # then another form is used, as in IPython
        return None
    if isinstance(text, tuple) and text:  # with metadata
        text = text[0]
    return text if isinstance(text, str) else None
