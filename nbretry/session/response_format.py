"""Ask for an answer in a format, and check JSON against a schema."""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nbretry._utils.text import nearest
from nbretry.errors import AnswerFormatError, ConfigError
from nbretry.session.question import Question
from nbretry.types import Format

__all__ = ["Schema", "in_format", "may_be_schema", "schema_of"]

_INSTRUCTIONS: dict[Format, str] = {
    "text": "Answer in plain text, without any Markdown.",
    "code": (
        "Answer with code only, in one fenced Markdown block. It goes into the next cell of a Jupyter notebook, so it "
        "is Python unless another language is asked for."
    ),
    "json": "Answer with JSON only: no other text around it, and no Markdown fence.",
    "html": (
        "Answer with a fragment of HTML only: no other text around it, and no Markdown fence. Styles are inline; "
        "scripts do not run, and nothing is loaded from elsewhere."
    ),
}
_SCHEMA_WORDS = frozenset(
    ("$ref", "allOf", "anyOf", "const", "enum", "items", "not", "oneOf", "pattern", "properties", "required", "type")
)
_LONGEST_MISTAKE = 200
_MISTAKES_TOLD = 5


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema that a JSON answer must match.

    Attributes:
        name: name of the variable that holds the schema.
        json_schema: the schema as a JSON schema.
        validate: checks a JSON value and returns the value it stands for; raises `AnswerFormatError`.
    """

    name: str
    json_schema: dict[str, Any]
    validate: Callable[[Any], Any]

    def check(self, value: Any) -> Any:
        """Check a JSON value and return the value it stands for.

        Args:
            value: the value as `json.loads` returns it.

        Returns:
            An instance of the model or dataclass; for a JSON schema the value itself.

        Raises:
            AnswerFormatError: the value does not match; a `ValueError` whose message says in one line where and why.
        """
        return self.validate(value)


def in_format(question: Question, format: Format, schema: Schema | None = None) -> Question:  # noqa: A002
    """Return the question with a request for this format added at the end of its system prompt.

    Args:
        question: the question as it was asked.
        format: format of the answer.
        schema: schema that JSON must match.
    """
    instruction = _INSTRUCTIONS.get(format)
    if instruction is None:
        return question
    response_format = None
    if format == "json":
        response_format = _response_format(schema)
        if schema is not None:
            text = json.dumps(schema.json_schema, ensure_ascii=False)
            instruction += f" It must be valid by this JSON schema:\n{text}"
    system = f"{question.system}\n\n{instruction}" if question.system else instruction
    return replace(question, system=system, response_format=response_format)


def _response_format(schema: Schema | None) -> dict[str, Any]:
    if schema is None:
        return {"type": "json_object"}
    name = re.sub(r"[^A-Za-z0-9_-]", "_", schema.name)[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema.json_schema}}


def schema_of(name: str, namespace: Mapping[str, Any]) -> Schema:
    """Return the schema that a variable holds.

    Args:
        name: name of a variable that holds a pydantic model, a dataclass or another type that pydantic can make a
            schema of, or a dict that is a JSON schema.
        namespace: the variables by name.

    Raises:
        ConfigError: the variable does not exist, is not a schema, or the package that checks it is missing.
    """
    if name not in namespace:
        known = [known for known, value in list(namespace.items()) if known[:1] != "_" and may_be_schema(value)]
        hint = nearest(name, known) if known else ": define a pydantic model, a dataclass or a JSON schema of that name"
        raise ConfigError(f"--schema {name}: there is no such variable{hint}")
    value = namespace[name]
    if isinstance(value, dict):
        return _schema_of_dict(name, value)
    if _is_type(value):
        return _schema_of_type(name, value)
    kind = type(value)
    hint = f": write --schema {kind.__name__}" if may_be_schema(kind) else ""
    raise ConfigError(
        f"--schema {name}: {_article(kind.__name__)} is no pydantic model, dataclass or JSON schema{hint}"
    )


def may_be_schema(value: Any) -> bool:
    """Return whether a value looks like a schema. A value that does not may still be one."""
    # Look at the type: isinstance would also read the value's ``__class__``, which makes a lazy object load.
    if issubclass(type(value), type):
        signs = ("model_json_schema", "__dataclass_fields__", "__required_keys__")
        return any(sign in vars(base) for base in type.mro(value) for sign in signs)
    return issubclass(type(value), dict) and any(dict.__contains__(value, word) for word in _SCHEMA_WORDS)


def _is_type(value: Any) -> bool:
    """Return whether a value is a type annotation: a class, ``list[int]``, ``int | None``, ``Literal["a"]``."""
    if isinstance(value, type | types.UnionType) or typing.get_origin(value) is not None:
        return True
    return type(value).__name__ in ("TypeAliasType", "NewType")


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _schema_of_type(name: str, value: Any) -> Schema:
    try:
        from pydantic import TypeAdapter, ValidationError
        from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
    except ImportError as error:
        raise ConfigError(
            f"--schema {name}: a type is checked by the package pydantic: pip install pydantic"
        ) from error
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(value)
        json_schema = adapter.json_schema()
    except (PydanticUserError, PydanticInvalidForJsonSchema, NameError) as error:
        reason = str(error).partition("\n")[0].partition(" Set `")[0]
        raise ConfigError(f"--schema {name}: pydantic makes no schema of it: {reason}") from None

    def validate(value: Any) -> Any:
        try:
            # Validate as JSON, so that even a strict model accepts a date that is written as a string.
            return adapter.validate_json(json.dumps(value))
        except ValidationError as error:
            errors = error.errors(include_url=False, include_context=False)
        except RecursionError:
            raise AnswerFormatError("it is nested too deeply") from None
        raise AnswerFormatError(_told((one["loc"], one["msg"]) for one in errors))

    return Schema(name, json_schema, validate)


def _schema_of_dict(name: str, json_schema: dict[str, Any]) -> Schema:
    try:
        from jsonschema.exceptions import SchemaError, relevance
        from jsonschema.validators import Draft202012Validator, validator_for
        from jsonschema_specifications import REGISTRY
        from referencing.exceptions import Unresolvable
    except ImportError as error:
        raise ConfigError(
            f"--schema {name}: a JSON schema is checked by the package jsonschema: pip install jsonschema"
        ) from error
    if _SCHEMA_WORDS.isdisjoint(json_schema):
        raise ConfigError(f"--schema {name}: this dict is no JSON schema: it has no 'type' and no 'properties'")
    try:
        json_schema = json.loads(json.dumps(json_schema, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"--schema {name}: this dict is no JSON schema: {error}") from None
    if not isinstance(json_schema.get("$schema", ""), str):
        raise ConfigError(f"--schema {name}: this dict is no JSON schema: its $schema is no text")
    kind = validator_for(json_schema, default=Draft202012Validator)
    try:
        kind.check_schema(json_schema)
    except SchemaError as error:
        raise ConfigError(
            f"--schema {name}: this dict is no JSON schema: {_told([(error.absolute_path, error.message)])}"
        ) from None
    # Without this registry the validator would fetch what a $ref names.
    validator = kind(json_schema, registry=REGISTRY)

    def validate(value: Any) -> Any:
        try:
            errors = sorted(validator.iter_errors(value), key=relevance, reverse=True)
        except Unresolvable as error:
            raise ConfigError(f"--schema {name}: there is nothing at $ref {error.ref!r}, and none is fetched") from None
        except RecursionError:
            raise AnswerFormatError("it is nested too deeply") from None
        if errors:
            raise AnswerFormatError(_told((one.absolute_path, one.message) for one in errors))
        return value

    return Schema(name, json_schema, validate)


def _told(mistakes: Iterable[tuple[Iterable[Any], str]]) -> str:
    """Return the mistakes in one line, each with the path to its place."""
    told = []
    for path, message in mistakes:
        where = ".".join(str(step) for step in path)
        text = " ".join(f"{where}: {message}".split() if where else message.split())
        half = _LONGEST_MISTAKE // 2  # a message may quote a long value before it gives the reason
        told.append(text if len(text) <= _LONGEST_MISTAKE else f"{text[:half]}…{text[-half:]}")
    more = len(told) - _MISTAKES_TOLD
    return "; ".join([*told[:_MISTAKES_TOLD], *([f"and {more} more"] if more > 0 else [])])
