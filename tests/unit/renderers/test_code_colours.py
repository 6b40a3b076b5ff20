"""Code with colours: every character of the code, and nothing else than our classes."""

from __future__ import annotations

import re

import pytest
from hostile import AnswerPage, texts
from hypothesis import given
from hypothesis import strategies as st

from nbretry.renderers import code_colours
from nbretry.renderers.code_colours import CLASSES, HAS_CODE, STYLE_SHEET, code_html

PYTHON = '@cached\ndef f(x: int) -> str:  # none\n    """It."""\n    return f"{x}<b>" if x is not 3.5 else len(x)\n'


@pytest.mark.parametrize(
    ("language", "code", "parts"),
    [
        (
            "python",
            PYTHON,
            [("k", "def "), ("d", "f"), ("c", "# none\n    "), ("n", "3.5 "), ("b", "len"), ("m", "@cached\n")],
        ),
        ("py", "x = 'a'", [("o", "= "), ("s", "'a'")]),
        ("PYTHON", "import x", [("k", "import ")]),
        ("javascript", "let x = 1;", [("k", "let "), ("n", "1")]),
        ("html", '<a href="x">', [("g", "a "), ("a", "href"), ("s", '"x"')]),
        ("bash", "echo 'a' # b\n", [("b", "echo "), ("s", "'a' "), ("c", "# b\n")]),
        ("sql", "SELECT 1", [("k", "SELECT "), ("n", "1")]),
        ("diff", "-a\n+b\n", [("s", "-a\n"), ("n", "+b\n")]),
        ("json", '{"a": 1}', [("a", '"a"'), ("n", "1")]),
    ],
)
def test_parts_of_code_have_classes(language: str, code: str, parts: list[tuple[str, str]]) -> None:
    """Keywords, strings, comments, numbers and names have their class, whatever the case of the language's name."""
    html = code_html(code, language)
    found = re.findall(r'<span class="(\w)">([^<]*)</span>', html)
    for part in parts:
        assert part in found
    page = AnswerPage(html)
    page.assert_well_formed()
    assert page.text == f"{code}\n"
    assert HAS_CODE in html


@pytest.mark.parametrize(
    "language", ["", "nosuchlanguage", "text", "x" * 31, '"><script>', "../python", "🦊", "\0", "none"]
)
def test_code_of_no_known_language_is_as_written(language: str) -> None:
    """Without a language that Pygments knows the code has no colours, and the name is not in the page."""
    page = AnswerPage(code_html("if x < 1: 'a'\n", language))
    assert page.text == "if x < 1: 'a'\n\n"
    assert page.classes == {"nbretry-code"}
    assert "script" not in page.tags


def test_very_long_code_has_no_colours() -> None:
    """Code that would take too long is shown as it is, and whole."""
    code = "x = 1\n" * 10_000
    html = code_html(code, "python")
    assert "<span" not in html
    assert AnswerPage(html).text == f"{code}\n"


@pytest.mark.parametrize("code", [PYTHON, "x", "\ufeffx = 1", "a\n" * 100])
def test_code_that_takes_too_long_is_whole(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where finding the parts of code takes too long, the rest of the code has no colours, and nothing is lost."""
    monkeypatch.setattr(code_colours, "_LONGEST_TIME", -1)
    page = AnswerPage(code_html(code, "python"))
    page.assert_well_formed()
    assert page.text == code.removeprefix("\ufeff") + "\n"
    assert page.tags.count("span") <= 2


@pytest.mark.parametrize(
    "code", ["", "\n", "\n\nx\n\n", "  x", "\tx\t", "x", "\n  \n", "\ufeffx", "a\u2028b", "a\x0cb"]
)
@pytest.mark.parametrize("language", ["", "python", "js", "html"])
def test_white_space_of_code_is_kept(language: str, code: str) -> None:
    """Empty lines, tabs and spaces at begin and end stay, with colours and without."""
    assert AnswerPage(code_html(code, language)).text.lstrip("\ufeff") == f"{code}\n".lstrip("\ufeff")


LANGUAGES = [
    "",
    "python",
    "js",
    "html",
    "bash",
    "sql",
    "json",
    "md",
    "yaml",
    "c++",
    "latex",
    "php",
    "diff",
    "pycon",
    "jsx",
    "r",
]


@given(texts(10) | st.text(max_size=40), st.sampled_from(LANGUAGES))
def test_code_of_any_kind(code: str, language: str) -> None:
    """Whatever the code is, it is shown with every letter, and in the page are only elements and classes of code."""
    html = code_html(code, language)
    page = AnswerPage(html)
    page.assert_well_formed()
    assert set(page.tags) <= {"pre", "code", "span"}
    assert page.classes <= CLASSES | {"nbretry-code"}
    assert {name for _, name, _ in page.attributes} == {"class"}
    if language == "":
        assert page.text == f"{code}\n"


def test_the_style_sheet_is_about_code_alone() -> None:
    """Each rule is for one class in our code, takes its colour from the page's theme, and loads nothing."""
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", STYLE_SHEET.removeprefix("<style>").removesuffix("</style>"))
    assert {selector for selector, _ in rules} == {".nbretry-code", *(f".nbretry-code .{name}" for name in CLASSES)}
    assert all(body.startswith("color:var(--jp-mirror-editor-") for _, body in rules[1:])
    assert not re.search(r"url|import|http|<(?!/?style>)", STYLE_SHEET)
