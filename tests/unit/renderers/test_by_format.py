"""An answer in each format: HTML in a sandbox, code and JSON as blocks, text as text."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page import Page

from nbretry._utils.redaction import remember_secret
from nbretry.renderers.by_format import bundle_of
from nbretry.types import Format

FORMATS: list[Format] = ["markdown", "text", "code", "json", "html"]


HOSTILE = """<h1 onclick="alert(1)">Hi</h1><script>fetch("https://evil.example")</script>
<img src=https://evil.example/a.png onerror=alert(1)><LINK rel=preconnect href=https://evil.example>
"'></iframe><script>alert(2)</script><!-- --><base target=_top><meta http-equiv=refresh content="0;url=https://e.example">
<style>@import url(https://evil.example/x.css)</style></pre></details><b>bold</b>"""


def test_html_is_shown_in_a_sandbox() -> None:
    """HTML goes into a frame that runs no script and loads nothing; around it is nothing but its escaped source."""
    data = bundle_of("html", HOSTILE, final=True)
    assert list(data) == ["text/html", "text/plain"]
    assert data["text/plain"] == HOSTILE
    page = Page(data["text/html"])
    page.assert_well_formed()
    assert set(page.tags) == {"iframe", "details", "summary", "pre"}
    assert data["text/html"].startswith('<iframe sandbox="" ')
    inner = html.unescape(re.findall(r'srcdoc="([^"]*)"', data["text/html"])[0])
    before, _, after = inner.partition("<h1")
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:;" in before
    assert f"<h1{after}".replace("&lt;LINK", "<LINK") == HOSTILE
    assert "<link" not in inner.lower()


def test_html_in_a_fence_is_taken_out_of_it() -> None:
    """Where a model fenced its HTML, the fence is not shown."""
    data = bundle_of("html", "Sure:\n```html\n<b>x</b>\n```\nDone.", final=True)
    assert data["text/plain"] == "<b>x</b>"
    assert "Sure" not in data["text/html"]


@pytest.mark.parametrize("text", ["<b>x", "```html\n<b>x"])
def test_html_that_is_coming_is_shown_as_source(text: str) -> None:
    """While it comes, HTML is shown as code."""
    assert bundle_of("html", text, final=False)["text/markdown"].startswith("```html\n<b>x")


def test_text_is_shown_as_text() -> None:
    """Plain text keeps its lines, and neither HTML, Markdown nor mathematics in it means anything."""
    text = "a <b>\n  *c* $x$\r\n<script>"
    data = bundle_of("text", text, final=True)
    assert data["text/plain"] == text
    page = Page(data["text/html"])
    assert set(page.tags) == {"div", "br"}
    assert "a &lt;b&gt;<br>  *c* $x$<br>&lt;script&gt;" in data["text/html"]
    assert "mathjax_ignore" in data["text/html"]


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("```python\nx = 1\n```", "```python\nx = 1\n```"),
        ("Here:\n\n```python\nx = 1\n```\n\nBye.", "Here:\n\n```python\nx = 1\n```\n\nBye."),
        ("x = '<b>'", "```\nx = '<b>'\n```\n"),
        ("x = '````'", "`````\nx = '````'\n`````\n"),
        ("Sorry, <b>no</b>.", "Sorry, &lt;b>no&lt;/b>."),
    ],
)
def test_code_is_shown_as_a_block(text: str, shown: str, final: bool) -> None:
    """The whole answer is shown; code without a fence gets one, words do not."""
    data = bundle_of("code", text, final)
    assert data["text/markdown"] == shown
    assert data.get("text/plain") == (text if final else None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"a":[1,"é🦊"]}', '{\n  "a": [\n    1,\n    "é🦊"\n  ]\n}'),
        ('So:\n```json\n{"a":1}\n```', '{\n  "a": 1\n}'),
        ('{"a":"\\ud83e"}', '{\n  "a": "\\ud83e"\n}'),
        ('{"a":"```"}', '{\n  "a": "```"\n}'),
    ],
)
def test_json_is_shown_in_lines(text: str, shown: str) -> None:
    """JSON that is whole is shown in lines, in a block that it cannot leave, also where it has half a character."""
    data = bundle_of("json", text, final=True)
    assert data["text/plain"] == shown
    fence = "````" if "```" in shown else "```"
    assert data["text/markdown"] == f"{fence}json\n{shown}\n{fence}\n"
    data["text/markdown"].encode()


@pytest.mark.parametrize("text", ['{"a": 1', "Sorry.", '{"a": NaN}', '{"a": 1e999}'])
def test_what_is_no_json_is_shown_as_it_is(text: str) -> None:
    """What is no JSON, or not yet, is shown as it came."""
    for final in (True, False):
        assert bundle_of("json", text, final)["text/markdown"] == f"```json\n{text}\n```\n"


def test_json_of_nothing_but_brackets_stays_small() -> None:
    """JSON that in lines would be nothing but indentation is shown as it came."""
    text = "[" * 400 + ",".join(["1"] * 20_000) + "]" * 400
    assert len(bundle_of("json", text, final=True)["text/markdown"]) < 2 * len(text)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("final", [True, False])
def test_no_secret_is_shown(form: Format, final: bool) -> None:
    """A secret in an answer is masked in every form."""
    remember_secret("correct-horse-battery")
    for text in (
        '{"a": "correct-horse-battery"}',
        "```html\n<b>correct-horse-battery</b>\n```",
        '["\\u0063orrect-horse-battery"]',
    ):
        assert "correct-horse-battery" not in str(bundle_of(form, text, final))


@given(st.text(), st.sampled_from(FORMATS), st.booleans())
def test_any_answer_can_be_shown(text: str, form: Format, final: bool) -> None:
    """Any text can be shown in any form, and adds no element to a page but ours."""
    data = bundle_of(form, text, final)
    assert ("text/plain" in data) >= final
    page = Page(data.get("text/html", ""))
    assert set(page.tags) <= {"div", "br", "iframe", "details", "summary", "pre"}
