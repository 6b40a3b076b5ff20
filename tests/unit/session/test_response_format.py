"""The form of an answer: how it is asked for, checked and shown."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import json
import re
import socket
import sys
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator
from typing_extensions import TypedDict

from nbretry.errors import AnswerFormatError, ConfigError
from nbretry.session.question import Question
from nbretry.session.response_format import in_format, schema_of
from nbretry.types import Format


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Movie(BaseModel):
    """A film."""

    title: str
    year: int = Field(ge=1888)
    seen: datetime.date | None = None

    @field_validator("title")
    @classmethod
    def _is_no_rubbish(cls, title: str) -> str:
        if title == "rubbish":
            raise ValueError("say\nwhat it is")
        return title


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    day: datetime.date
    colours: set[Colour]


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x is below 0")


class Row(TypedDict):
    name: str


class Plain:
    def __init__(self, x: int) -> None:
        self.x = x


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "pets": {"type": "array", "items": {"$ref": "#/$defs/pet"}}},
    "required": ["name"],
    "$defs": {"pet": {"type": "string", "maxLength": 5}},
}
NAMESPACE: dict[str, Any] = {
    "Movie": Movie,
    "Strict": Strict,
    "Point": Point,
    "Row": Row,
    "Movies": RootModel[list[Movie]],
    "numbers": list[int],
    "maybe": int | None,
    "choice": Literal["a", "b"],
    "person": PERSON,
}

# --- asking -----------------------------------------------------------------------------------------------------------


def test_markdown_is_asked_for_as_ever() -> None:
    """For Markdown the question stays as it is."""
    question = Question("Why?", system="Be short.")
    assert in_format(question, "markdown") == question


@pytest.mark.parametrize("form", ["text", "code", "json", "html"])
@pytest.mark.parametrize("system", [None, "", "Be short."])
def test_the_form_is_asked_for_after_the_own_system_prompt(form: Format, system: str | None) -> None:
    """A form is asked for in the system prompt, below the user's own, and nothing else changes but JSON's form."""
    question = Question("Why?", system=system, temperature=0.5, retries=3)
    asked = in_format(question, form)
    assert asked.system is not None
    assert asked.system.startswith("Be short.\n\nAnswer " if system else "Answer ")
    assert asked.response_format == ({"type": "json_object"} if form == "json" else None)
    assert dataclasses.replace(asked, system=system, response_format=None) == question


def test_json_by_a_schema_is_asked_for_with_it() -> None:
    """The schema stands in the system prompt and in the response format, under a name that the protocol takes."""
    schema = schema_of("größe", {"größe": {"type": "object", "properties": {"größe": {"type": "integer"}}}})
    asked = in_format(Question("Why?"), "json", schema)
    assert asked.system is not None
    assert json.loads(asked.system.partition("\n")[2]) == schema.json_schema
    assert asked.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "gr__e", "schema": schema.json_schema},
    }


# --- schemas ----------------------------------------------------------------------------------------------------------

CHECKED: list[tuple[str, Any, Any]] = [
    ("Movie", {"title": "Heat", "year": 1995}, Movie(title="Heat", year=1995)),
    (
        "Movie",
        {"title": "Heat", "year": 1995, "seen": "2001-02-03"},
        Movie(title="Heat", year=1995, seen=datetime.date(2001, 2, 3)),
    ),
    (
        "Strict",
        {"day": "2001-02-03", "colours": ["red"]},
        Strict(day=datetime.date(2001, 2, 3), colours={Colour.RED}),
    ),
    ("Point", {"x": 1}, Point(1)),
    ("Row", {"name": "Ada"}, {"name": "Ada"}),
    ("Movies", [{"title": "Heat", "year": 1995}], RootModel[list[Movie]]([Movie(title="Heat", year=1995)])),
    ("numbers", [1, 2], [1, 2]),
    ("maybe", None, None),
    ("choice", "b", "b"),
    ("person", {"name": "Ada", "pets": ["Rex"]}, {"name": "Ada", "pets": ["Rex"]}),
]


@pytest.mark.parametrize(("name", "value", "object_"), CHECKED, ids=[row[0] for row in CHECKED])
def test_what_fits_becomes_what_it_stands_for(name: str, value: Any, object_: Any) -> None:
    """A value that fits becomes an instance of the model or dataclass, and by a JSON schema stays what it is."""
    checked = schema_of(name, NAMESPACE).check(value)
    assert checked == object_
    assert type(checked) is type(object_)


WRONG: list[tuple[str, Any, str]] = [
    ("Movie", {"title": "Heat"}, "year: Field required"),
    (
        "Movie",
        {"title": 1, "year": "x"},
        "title: Input should be a valid string; year: Input should be a valid integer",
    ),
    ("Movie", {"title": "rubbish", "year": 1900}, "title: Value error, say what it is"),
    ("Movie", [], "Input should be an object"),
    ("Movies", [{"title": "x", "year": 1}], "0.year: Input should be greater than or equal to 1888"),
    ("Point", {"x": -1}, "Value error, x is below 0"),
    ("Row", {}, "name: Field required"),
    ("numbers", ["a"] * 9, "0: Input should be a valid integer, unable to parse string as an integer; 1: "),
    ("numbers", ["a"] * 9, "; and 4 more"),
    ("choice", "c", "Input should be 'a' or 'b'"),
    ("person", {}, "'name' is a required property"),
    ("person", {"name": "x", "pets": ["Rex", "Mieze "]}, "pets.1: 'Mieze ' is too long"),
    ("person", {"name": 5, "pets": 5}, "name: 5 is not of type 'string'"),
    ("person", {"name": "x", "pets": "y" * 100_000}, "yyy' is not of type 'array'"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_what_does_not_fit_is_told_in_one_short_line(name: str, value: Any, message: str) -> None:
    """A value that does not fit is a `ValueError` of one short line, with the path to each mistake."""
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        schema_of(name, NAMESPACE).check(value)
    assert type(caught.value) is AnswerFormatError
    assert len(str(caught.value)) < 1300
    assert "\n" not in str(caught.value)


NO_SCHEMAS: list[tuple[str, Any, str]] = [
    ("three", 3, "an int is no pydantic model, dataclass or JSON schema"),
    ("text", "int", "a str is no pydantic model, dataclass or JSON schema"),
    ("function", len, "a builtin_function_or_method is no pydantic model, dataclass or JSON schema"),
    ("point", Point(1), "a Point is no pydantic model, dataclass or JSON schema: write --schema Point"),
    ("Plain", Plain, "pydantic makes no schema of it: Unable to generate pydantic-core schema for <class"),
    ("lost", list["Nowhere"], "pydantic makes no schema of it: "),  # type: ignore[name-defined]  # noqa: F821
    ("data", {"name": "Ada"}, "this dict is no JSON schema: it has no 'type' and no 'properties'"),
    ("empty", {}, "this dict is no JSON schema: it has no 'type' and no 'properties'"),
    ("typo", {"type": "objekt"}, "this dict is no JSON schema: type: 'objekt' is not valid"),
    ("regex", {"type": "string", "pattern": "("}, "pattern: '(' is not a 'regex'"),
    ("draft", {"$schema": {"a": 1}, "type": "string"}, "this dict is no JSON schema: "),
    ("future", {"$schema": "http://json-schema.org/draft-99", "type": "objekt"}, "'objekt' is not valid"),
    ("odd", {"type": "object", "properties": {"a": {1, 2}}}, "Object of type set is not JSON serializable"),
]


@pytest.mark.parametrize(("name", "value", "message"), NO_SCHEMAS, ids=[row[0] for row in NO_SCHEMAS])
def test_what_is_no_schema_is_refused(name: str, value: Any, message: str) -> None:
    """A variable that is no schema is refused in one line that names it."""
    with pytest.raises(ConfigError, match=f"^--schema {name}: .*{re.escape(message)}") as caught:
        schema_of(name, {name: value})
    assert "\n" not in str(caught.value)


def test_unknown_name_of_a_schema() -> None:
    """An unknown name is refused with the nearest schema, or with those that there are; no other variable is named."""
    namespace = {**NAMESPACE, "Movi": None, "_": Movie, "df": [1]}
    with pytest.raises(ConfigError, match=r"^--schema Moive: there is no such variable; did you mean 'Movie'\?$"):
        schema_of("Moive", namespace)
    with pytest.raises(ConfigError, match=r"; known are Movie, Strict, Point, Row, Movies, person$"):
        schema_of("zzz", namespace)
    with pytest.raises(ConfigError, match="there is no such variable: define a pydantic model"):
        schema_of("zzz", {"_": Movie})


def test_typed_dict_of_python_itself() -> None:
    """``typing.TypedDict`` is a schema from Python 3.12 on; before, it is refused with the one that pydantic takes."""
    from typing import TypedDict as Own

    class Row(Own):
        a: int

    if sys.version_info >= (3, 12):
        assert schema_of("Row", {"Row": Row}).check({"a": 1}) == {"a": 1}
        return
    with pytest.raises(ConfigError, match=r"use `typing_extensions.TypedDict` instead"):
        schema_of("Row", {"Row": Row})


@pytest.mark.parametrize(("package", "name"), [("pydantic", "Point"), ("jsonschema.validators", "person")])
def test_missing_package(monkeypatch: pytest.MonkeyPatch, package: str, name: str) -> None:
    """Where the package that checks is not installed, one line says how to get it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"pip install {package.partition('.')[0]}$"):
        schema_of(name, NAMESPACE)


def test_nothing_is_fetched_for_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a ``$ref`` names elsewhere is not fetched: it is a mistake of the schema."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    schema = schema_of("far", {"far": {"properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}}})
    assert schema.check({"b": 1}) == {"b": 1}
    with pytest.raises(
        ConfigError, match=r"there is nothing at \$ref 'http://127.0.0.1:9/x.json', and none is fetched"
    ):
        schema.check({"a": 1})


def test_a_schema_is_not_changed_and_not_kept() -> None:
    """The user's dict stays as it is, and a change of it later changes nothing of the schema."""
    own = copy.deepcopy(PERSON)
    schema = schema_of("own", {"own": own})
    assert own == PERSON
    own["required"].append("age")  # type: ignore[attr-defined]
    assert schema.check({"name": "x"}) == {"name": "x"}
