"""What each kind of value becomes in a prompt: the text, the table or the image that a model reads best."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import io
import json
import linecache
import math
import pathlib
import subprocess
import sys
import types
from collections import Counter, OrderedDict, namedtuple
from typing import Any

import matplotlib

matplotlib.use("Agg")

import IPython.display
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pydantic
import pytest
from PIL import Image

from nbretry.answer import Answer, fold
from nbretry.errors import ConfigError
from nbretry.events import AttemptStarted, RunStarted, TextDelta
from nbretry.prompts.images import has_image, image_part
from nbretry.prompts.values import as_content

SECRET = "sk-" + "0123456789abcdefghij"


def data_of(part: dict[str, Any], media_type: str = "image/png") -> bytes:
    """The file in an image part."""
    assert part["type"] == "image_url"
    head, _, data = part["image_url"]["url"].partition(",")
    assert head == f"data:{media_type};base64"
    return base64.b64decode(data, validate=True)


def image_in(content: Any, media_type: str = "image/png") -> Image.Image:
    """The image that the only part is."""
    (part,) = content
    return Image.open(io.BytesIO(data_of(part, media_type)))


@dataclasses.dataclass
class Point:
    x: int
    label: str


def answer_of(text: str) -> Answer:
    return fold([RunStarted(0.0, ("p",), "", ""), AttemptStarted(1, "p", "m", 0.0), TextDelta(1, text)])


class Model(pydantic.BaseModel):
    name: str
    when: datetime.date


Pair = namedtuple("Pair", "a b")

PLAIN: list[tuple[Any, str]] = [
    ("text {{ x }}\r\n ", "text {{ x }}\r\n "),
    ("", ""),
    (np.str_("text"), "text"),
    (3, "3"),
    (0.1, "0.1"),
    (np.float64(1.5), "1.5"),
    (np.int32(4), "4"),
    (True, "True"),
    (None, "None"),
    (1 + 2j, "(1+2j)"),
    (decimal.Decimal("1.50"), "1.50"),
    (datetime.date(2026, 1, 31), "2026-01-31"),
    (pathlib.PurePosixPath("a/b.txt"), "a/b.txt"),
    (range(3), "range(0, 3)"),
    ({"a": 1, "b": [1, 2], "c": None}, '{"a": 1, "b": [1, 2], "c": null}'),
    ({"ключ": "值🎈"}, '{"ключ": "值🎈"}'),
    ([], "[]"),
    ((1, "a"), '[1, "a"]'),
    ({3, 1, 2}, "[1, 2, 3]"),
    (Counter("aab"), '{"a": 2, "b": 1}'),
    (OrderedDict(a=1), '{"a": 1}'),
    ([Pair(1, 2)], "[[1, 2]]"),
    (
        {"n": np.int64(3), "a": np.array([1, 2]), "d": datetime.date(2026, 1, 31)},
        '{"n": 3, "a": [1, 2], "d": "2026-01-31"}',
    ),
    ({"p": Point(1, "a")}, '{"p": {"x": 1, "label": "a"}}'),
    (Point(1, "ä"), '{"x": 1, "label": "ä"}'),
    (Model(name="n", when=datetime.date(2026, 1, 31)), '{"name": "n", "when": "2026-01-31"}'),
    ([Model(name="n", when=datetime.date(2026, 1, 31))], '[{"name": "n", "when": "2026-01-31"}]'),
    ({(1, 2): "a"}, "{(1, 2): 'a'}"),
    ({"f": len}, "{'f': <built-in function len>}"),
    (len, "<built-in function len>"),
    (int, "<class 'int'>"),
    (answer_of("It is blue."), "It is blue."),
    ([answer_of("yes"), answer_of("no")], '["yes", "no"]'),
    (Answer(), ""),
    (ValueError("wrong"), "ValueError: wrong"),
    (IPython.display.Markdown("# Title"), "# Title"),
    (np.array([1, 2, 3]), f"NumPy array of the shape (3,), {np.array([1]).dtype}: [1, 2, 3]"),
    (np.array([[1.0, 2.5], [3.0, 4.0]]), "NumPy array of the shape (2, 2), float64:\n[[1. , 2.5],\n [3. , 4. ]]"),
    (np.zeros((0, 3)), "NumPy array of the shape (0, 3), float64: []"),
]


@pytest.mark.parametrize(
    ("value", "text"), PLAIN, ids=[f"{type(value).__name__}-{text[:20]!r}" for value, text in PLAIN]
)
def test_text(value: Any, text: str) -> None:
    """Each kind of plain value and data is the text that stands beside it here."""
    assert as_content(value) == text


def test_long_json_has_a_line_for_each_item() -> None:
    """JSON that is too long for a line is indented and still the same data; a list of numbers stays in one line."""
    value = {"rows": [{"name": f"name {i}", "values": list(range(i))} for i in range(60)], "empty": {}}
    text = as_content(value)
    assert isinstance(text, str)
    assert json.loads(text) == value
    assert text.startswith('{\n  "rows": [\n    {"name": "name 0", "values": []},\n')
    assert text.endswith('  ],\n  "empty": {}\n}')
    assert "\n" not in as_content(list(range(1000)))


def test_data_that_is_no_json() -> None:
    """What contains itself, is too deep, or holds an object of no known kind is written as Python shows it."""
    loop: list[Any] = [1]
    loop.append(loop)
    assert str(as_content(loop)).startswith("[1, <Recursion on list")
    assert as_content({"x": {1, 2}, "o": Ellipsis}) == "{'x': {1, 2}, 'o': Ellipsis}"
    assert as_content([math.nan]) == "[NaN]"
    assert as_content({1: "int", "1": "text"}) == "{1: 'int', '1': 'text'}", "no value is lost"


def test_pandas_frame() -> None:
    """A pandas frame is its shape, its types and a table, in which pipes and line breaks are escaped."""
    frame = pd.DataFrame(
        {"n": [1, 2], "x": [0.1 + 0.2, math.nan], "s": ["a|b", "c\nd"], "o": [None, [1]]}, index=pd.Index(["p", "q"])
    )
    assert str(as_content(frame)).splitlines() == [
        "pandas DataFrame, 2 rows × 4 columns",
        f"Types: n int64, x float64, s {frame.dtypes['s']}, o object",
        "",
        "|  | n | x | s | o |",
        "| --- | --- | --- | --- | --- |",
        r"| p | 1 | 0.3 | a\|b | null |",
        r"| q | 2 | NaN | c\nd | [1] |",
    ]


def test_odd_pandas_frames() -> None:
    """Two columns of one name, levels of index and columns, and an empty frame are shown as they are."""
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert str(as_content(twice)).splitlines()[-3:] == ["|  | a | a |", "| --- | --- | --- |", "| 0 | 1 | 2 |"]
    levels = pd.DataFrame(
        [[1, 2]],
        index=pd.MultiIndex.from_tuples([("x", 1)], names=["k", None]),
        columns=pd.MultiIndex.from_tuples([("u", "v"), ("u", "w")]),
    )
    assert str(as_content(levels)).splitlines()[-3::2] == ["| k |  | u / v | u / w |", "| x | 1 | 1 | 2 |"]
    empty = pd.DataFrame({"a": []})
    assert str(as_content(empty)).splitlines()[0] == "pandas DataFrame, 0 rows × 1 column"
    assert as_content(pd.DataFrame()) == "pandas DataFrame, 0 rows × 0 columns\n\n|  |\n| --- |"
    assert len(str(as_content(pd.DataFrame(index=[1, 2]))).splitlines()) == 6
    assert as_content(twice.set_axis(["a", "b"], axis=1).style) == as_content(twice.set_axis(["a", "b"], axis=1))
    many = pd.DataFrame({"figure": [1], "text": ["x"]})
    assert "| 0 | 1 | x |" in str(as_content(many)), "a column's name is no attribute"


def test_series() -> None:
    """A series is a table with one column, under its name where it has one."""
    assert str(as_content(pd.Series([1.0, 2.0], name="x"))).splitlines()[:2] == [
        "pandas Series, 2 rows × 1 column",
        "Types: x float64",
    ]
    assert "|  | value |" in str(as_content(pd.Series([1])))
    assert as_content(pl.Series("x", [1, None])) == (
        "polars Series, 2 rows × 1 column\nTypes: x Int64\n\n| x |\n| --- |\n| 1 |\n| null |"
    )


def test_polars_frame() -> None:
    """A polars frame is its shape, its types and a table."""
    frame = pl.DataFrame({"n": [1, 2], "s": ["a|b", None], "l": [[1], []]})
    assert str(as_content(frame)).splitlines() == [
        "polars DataFrame, 2 rows × 3 columns",
        "Types: n Int64, s String, l List(Int64)",
        "",
        "| n | s | l |",
        "| --- | --- | --- |",
        r"| 1 | a\|b | [1] |",
        "| 2 | null | [] |",
    ]
    assert str(as_content(pl.DataFrame())).startswith("polars DataFrame, 0 rows × 0 columns")


@pytest.mark.parametrize("library", [pd, pl])
def test_large_frames_are_cut(library: Any) -> None:
    """Of many rows and columns the first and the last are shown, with a note of how many are between."""
    frame = library.DataFrame({f"c{column}": [f"r{row}c{column}" for row in range(1000)] for column in range(50)})
    text = str(as_content(frame))
    head, types, _, header, line, *body = text.splitlines()
    assert head == f"{library.__name__} DataFrame, 1,000 rows × 50 columns"
    assert "c14" in types
    assert "c15 " not in types
    assert "… 20 more columns …" in types
    assert "| c14 | … 20 more columns … | c35 |" in header
    assert len(body) == 61
    assert body[30].startswith("| … 940 more rows … |")
    assert {row.replace(r"\|", "").count("|") for row in (header, line, *body)} == {header.count("|")}
    assert "| r29c14 | … | r29c35 |" in body[29]
    assert "| r970c49 |" in body[31]
    assert body[-1].endswith("| r999c49 |")


@pytest.mark.parametrize(("rows", "notes"), [(60, 0), (61, 1)])
def test_just_long_enough(rows: int, notes: int) -> None:
    """Sixty rows are shown whole, of sixty-one one is left out."""
    text = str(as_content(pd.DataFrame({"a": range(rows)})))
    assert text.count("… 1 more row …") == notes
    assert f"| {rows - 1} | {rows - 1} |" in text


def test_long_cells_are_cut() -> None:
    """A very long cell is cut with a note of how much is left out."""
    assert "x… 1,500 more characters … |" in str(as_content(pl.DataFrame({"a": ["x" * 2500]})))


def test_large_arrays_are_cut() -> None:
    """Of a large array the edges are shown, with its whole shape."""
    text = str(as_content(np.arange(1_000_000).reshape(1000, 1000)))
    assert text.startswith("NumPy array of the shape (1000, 1000), int64:\n[[")
    assert "..." in text
    assert len(text) < 5000


def test_masked_arrays() -> None:
    """What is masked in an array is neither shown nor warned about."""
    array = np.ma.array([1.5, 2.5], mask=[True, False])
    assert as_content(array) == "NumPy array of the shape (2,), float64: [-- 2.5]"
    assert len(str(as_content(np.ma.zeros((1000, 1000))))) < 5000


def test_exceptions() -> None:
    """An exception is its traceback with its cause, and a key in it is masked."""
    try:
        try:
            int("x")
        except ValueError as cause:
            raise RuntimeError(f"no key {SECRET}") from cause
    except RuntimeError as error:
        text = str(as_content(error))
    assert text.startswith("Traceback (most recent call last):")
    assert "invalid literal for int()" in text
    assert "direct cause" in text
    assert "raise RuntimeError" in text
    assert text.endswith("RuntimeError: no key [secret]")
    assert SECRET not in text


def test_functions_and_classes_are_their_source() -> None:
    """A function, a method and a class are their source, without the indentation of where they stand."""

    def double(x: int) -> int:
        return 2 * x  # a comment

    assert as_content(double) == "def double(x: int) -> int:\n    return 2 * x  # a comment"
    assert as_content(Point) == "@dataclasses.dataclass\nclass Point:\n    x: int\n    label: str"
    assert str(as_content(json.JSONDecoder().decode)).startswith("def decode(self")
    assert str(as_content(eval("lambda: 1"))).startswith("<function <lambda>")


def test_class_of_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that a cell defined, in no file, is its source as it was last run."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, value in ((1, "old"), (2, "new")):
        source = f"import dataclasses\n\n@dataclasses.dataclass\nclass CellClass:\n    x: str = '{value}'\n\ny = 1\n"
        name = f"<cell {number}>"
        monkeypatch.setitem(linecache.cache, name, (len(source), None, source.splitlines(keepends=True), name))
        exec(compile(source, name, "exec"), names)
    assert as_content(names["CellClass"]) == "@dataclasses.dataclass\nclass CellClass:\n    x: str = 'new'"


def test_modules_are_text() -> None:
    """A module is named."""
    assert str(as_content(json)).startswith("<module 'json'")


def picture(mode: str = "RGB", size: tuple[int, int] = (3, 2)) -> Image.Image:
    return Image.new(mode, size)


def file_of(form: str) -> bytes:
    file = io.BytesIO()
    picture().save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_images(form: str, kind: Any) -> None:
    """The bytes of an image file are an image part of its type, byte for byte."""
    content = as_content(kind(file_of(form)))
    assert isinstance(content, list)
    assert data_of(content[0], f"image/{form.lower()}") == file_of(form)


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7", b"RIFF1234WAVE"])
def test_other_bytes_are_refused(data: bytes) -> None:
    """Bytes that are no image are refused with what to do."""
    with pytest.raises(
        ConfigError, match=r"^\d+ bytes that are no PNG, JPEG, GIF or WebP image cannot be sent: decode"
    ):
        as_content(data)


def test_large_images_are_refused() -> None:
    """An image above 20 MB is refused with its size, and one of just that is not."""
    head = b"\x89PNG\r\n\x1a\n"
    with pytest.raises(ConfigError, match=r"^the image has 25\.0 MB, and 20 MB is the most"):
        image_part(head.ljust(25_000_000, b"x"))
    assert image_part(head.ljust(20_000_000, b"x"))["type"] == "image_url"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "F", "CMYK", "YCbCr", "HSV", "LAB"])
def test_pil_images(mode: str) -> None:
    """A PIL image of any mode is a PNG of its size."""
    opened = image_in(as_content(picture(mode)))
    assert (opened.format, opened.size) == ("PNG", (3, 2))


def test_photographs_stay_jpeg() -> None:
    """An image that was opened from a JPEG is sent as one, as a PNG of it would be many times as large."""
    opened = Image.open(io.BytesIO(file_of("JPEG")))
    assert image_in(as_content(opened), "image/jpeg").size == (3, 2)


def test_matplotlib() -> None:
    """A figure, its axes, an array or a list of axes and what has a figure are one PNG; nothing changes them."""
    figure, axes = plt.subplots(2, 2)
    axes[0, 0].plot([1, 2])
    (line,) = axes[0, 0].lines
    size = figure.get_size_inches().tolist()

    class Grid:
        @property
        def figure(self) -> Any:
            return figure

    expected = as_content(figure)
    assert min(image_in(expected).size) > 100
    for value in (axes[0, 0], axes, list(axes[0]), line, Grid()):
        assert image_in(as_content(value)).size == image_in(expected).size
    assert len(as_content([figure, figure])) == 2
    assert figure.get_size_inches().tolist() == size
    assert plt.get_fignums() == [figure.number]
    plt.close(figure)
    assert image_in(as_content(figure)).size == image_in(expected).size, "also once it is closed"
    whole = plt.figure()
    assert image_in(as_content(whole.subfigures(1, 2)[0])).size == image_in(as_content(whole)).size
    plt.close(whole)


def test_ipython_images() -> None:
    """An image of IPython is its data or its address; without either it is refused."""
    for form in ("PNG", "JPEG", "GIF"):
        content = as_content(IPython.display.Image(data=file_of(form), format=form.lower()))
        assert data_of(content[0], f"image/{form.lower()}") == file_of(form)  # type: ignore[arg-type]
    url = "https://host.example/a.png"
    assert as_content(IPython.display.Image(url=url)) == [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(ConfigError, match="the image has no data"):
        as_content(IPython.display.Image(url="ftp://host.example/a.png"))


class Shown:
    """Shows itself as this says."""

    def __init__(self, png: Any = None, jpeg: Any = None) -> None:
        self.png, self.jpeg = png, jpeg

    def _repr_png_(self) -> Any:
        if isinstance(self.png, Exception):
            raise self.png
        return self.png

    def _repr_jpeg_(self) -> Any:
        return self.jpeg

    def __str__(self) -> str:
        return "in words"


@pytest.mark.parametrize(
    "form", [bytes, lambda data: base64.b64encode(data).decode(), lambda data: (data, {"width": 3})]
)
def test_representations(form: Any) -> None:
    """What shows itself as PNG or JPEG is that image, given as bytes, as base64 or with metadata."""
    assert data_of(as_content(Shown(png=form(file_of("PNG"))))[0]) == file_of("PNG")  # type: ignore[arg-type]
    shown = as_content(Shown(ValueError("no PNG"), form(file_of("JPEG"))))
    assert data_of(shown[0], "image/jpeg") == file_of("JPEG")  # type: ignore[arg-type]
    assert as_content(Shown()) == "in words"


def test_lists_of_images() -> None:
    """A list of images is as many parts in its order; one with something else in it is no image."""
    parts = as_content([picture(), file_of("JPEG"), picture()])
    assert [part["image_url"]["url"][:15] for part in parts] == [
        "data:image/png;",
        "data:image/jpeg",
        "data:image/png;",
    ]  # type: ignore[index]
    assert isinstance(as_content([picture(), "text"]), str)


def test_plotly_figures_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plotly figure, which has no image without kaleido, is refused with what to write in its place."""
    module = types.ModuleType("plotly.basedatatypes")
    module.BaseFigure = type("BaseFigure", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "plotly.basedatatypes", module)
    with pytest.raises(ConfigError, match=r"^a plotly figure is no image yet: .*to_image\(format='png'\).*kaleido$"):
        as_content(module.BaseFigure())


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError(f"no words\nfor {SECRET}")


def test_values_that_cannot_say_what_they_are() -> None:
    """A value whose text raises is refused in one line that says so, with secrets masked."""
    with pytest.raises(ConfigError) as caught:
        as_content(Unspeakable())
    assert str(caught.value) == (
        "a value of the type Unspeakable cannot be put into words: it raised ValueError: no words for [secret]"
    )
    with pytest.raises(ConfigError, match="of the type int cannot be put into words"):
        as_content(10**5000)


def test_markdown_of_its_own() -> None:
    """What shows itself as Markdown is that; where it raises or gives none, it is its text."""

    class Shy:
        text: Any = ("**bold**", {})

        def _repr_markdown_(self) -> Any:
            if isinstance(self.text, Exception):
                raise self.text
            return self.text

        def __str__(self) -> str:
            return "plain"

    assert as_content(Shy()) == "**bold**"
    Shy.text = None
    assert as_content(Shy()) == "plain"
    Shy.text = ValueError()
    assert as_content(Shy()) == "plain"


def test_an_instance_that_answers_to_every_name() -> None:
    """Something with any attribute one asks for is not taken for an image or an answer."""

    class Anything:
        def __getattr__(self, name: str) -> Any:
            return lambda *args: file_of("PNG")

        def __str__(self) -> str:
            return "anything"

    assert as_content(Anything()) == "anything"


def test_has_image() -> None:
    """A conversation has an image where a part of any message is one, in either protocol."""
    text = {"type": "text", "text": "image_url"}
    assert not has_image([{"role": "user", "content": "image_url"}, {"role": "user", "content": [text, "x"]}])
    assert not has_image([{"role": "user"}, {"role": "assistant", "content": None}])
    assert has_image(
        [{"role": "user", "content": [text, image_part(file_of("PNG"))]}, {"role": "user", "content": "x"}]
    )
    assert has_image([{"role": "user", "content": ({"type": "image", "source": {}},)}])


def test_nothing_is_imported() -> None:
    """Text and data are converted without loading any package that could have made something else."""
    script = (
        "import sys; from nbretry.prompts.values import as_content; from nbretry.prompts.template import fill\n"
        "fill('{{ x }} {{ y }} {{ z }}', {'x': [1], 'y': object(), 'z': ValueError('x')})\n"
        "heavy = {'IPython', 'pandas', 'polars', 'numpy', 'matplotlib', 'PIL', 'pydantic', 'plotly'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
