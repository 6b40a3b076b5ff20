"""An answer in each format: HTML in a sandbox, code and JSON as blocks, text as text."""

from __future__ import annotations

import html
import re

import pytest
from hostile import AnswerPage, texts
from hypothesis import given, settings
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
    """HTML goes into a frame that runs no script, loads nothing and leads nowhere, with its escaped source below."""
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
    assert f"<h1{after}".replace("data-", "") == HOSTILE
    assert not re.search(r"[^-](href|http-equiv)=", after)


@pytest.mark.parametrize(
    "source",
    [
        "<a href=https://evil.example>x</a>",
        "<a target=_self download HREF = 'https://evil.example'>x</a>",
        '<a title="x"href="https://evil.example">x</a>',
        "<a/href\n=\nhttps://evil.example>x</a>",
        "<area href=https://evil.example>",
        "<svg><a xlink:href=https://evil.example><text>x</text></a></svg>",
        "<svg><a><set attributeName=href to=https://evil.example /></a></svg>",
        "<form action=https://evil.example><button formaction=https://evil.example>x</button></form>",
        "<meta http-equiv=refresh content='0;url=https://evil.example'>",
        "<a href=x ping=https://evil.example>",
        "<iframe srcdoc='<a>'></iframe>",
        "<base href=https://evil.example/>",
    ],
)
def test_a_click_in_the_frame_leads_nowhere(source: str) -> None:
    """No element in the frame has an attribute that says where a click leads to."""
    inner = html.unescape(re.findall(r'srcdoc="([^"]*)"', bundle_of("html", source, final=True)["text/html"])[0])
    page = AnswerPage(inner.partition("</style>\n")[2])
    names = {name.rpartition(":")[2] for _, name, _ in page.attributes}
    assert not names & {"href", "action", "formaction", "ping", "srcdoc", "http-equiv", "attributename"}


def test_text_about_links_is_shown_as_it_is_in_the_frame() -> None:
    """Words in HTML that only look like such an attribute are not changed."""
    source = "<p>The href of an action; data-href=x.</p>"
    frame = re.findall(r'srcdoc="([^"]*)"', bundle_of("html", source, final=True)["text/html"])[0]
    assert html.unescape(frame).endswith(source)


def test_html_in_a_fence_is_taken_out_of_it() -> None:
    """Where a model fenced its HTML, the fence is not shown."""
    data = bundle_of("html", "Sure:\n```html\n<b>x</b>\n```\nDone.", final=True)
    assert data["text/plain"] == "<b>x</b>"
    assert "Sure" not in data["text/html"]


@pytest.mark.parametrize("text", ["<b>x", "```html\n<b>x"])
def test_html_that_is_coming_is_shown_as_source(text: str) -> None:
    """While it comes, HTML is shown as code."""
    page = Page(bundle_of("html", text, final=False)["text/html"])
    assert set(page.tags) == {"div", "pre", "code", "span"}
    assert page.text.strip() == "<b>x"


def test_text_is_shown_as_text() -> None:
    """Plain text keeps its lines, and neither HTML, Markdown nor mathematics in it means anything."""
    text = "a <b>\n  *c* $x$\r\n<script>"
    data = bundle_of("text", text, final=True)
    assert list(data) == ["text/html", "text/plain"]
    assert data["text/plain"] == text.replace("\r\n", "\n")
    assert bundle_of("text", text, final=False) == {"text/html": data["text/html"]}
    page = Page(data["text/html"])
    assert set(page.tags) == {"div", "br"}
    assert "a &lt;b&gt;<br>  *c* $x$<br>&lt;script&gt;" in data["text/html"]
    assert "mathjax_ignore" in data["text/html"]


@pytest.mark.parametrize(
    ("text", "shown", "code"),
    [
        ("```python\nx = 1\n```", "```python\nx = 1\n```", "x = 1\n"),
        ("Here:\n\n```python\nx = 1\n```\n\nBye.", "Here:\n\n```python\nx = 1\n```\n\nBye.", "x = 1\n"),
        ("x = '<b>'", "```\nx = '<b>'\n```", "x = '<b>'\n"),
        ("x = '````'", "`````\nx = '````'\n`````", "x = '````'\n"),
        ("Sorry, <div>no</div>.", "Sorry, &lt;div>no&lt;/div>.", ""),
    ],
)
def test_code_is_shown_as_a_block(text: str, shown: str, code: str) -> None:
    """The whole answer is shown; code without a fence gets one, words do not."""
    data = bundle_of("code", text, final=True)
    assert data["text/markdown"] == shown
    assert data["text/plain"] == text
    assert bundle_of("code", text, final=False) == {"text/html": data["text/html"]}
    blocks = re.findall(r"<pre>(.*?)</pre>", data["text/html"], re.DOTALL)
    assert "".join(Page(block).text for block in blocks) == code


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
    assert data["text/markdown"] == f"{fence}json\n{shown}\n{fence}"
    assert Page(data["text/html"]).text.strip() == shown
    data["text/markdown"].encode()


@pytest.mark.parametrize("text", ['{"a": 1', "Sorry.", '{"a": NaN}', '{"a": 1e999}'])
def test_what_is_no_json_is_shown_as_it_is(text: str) -> None:
    """What is no JSON, or not yet, is shown as it came."""
    data = bundle_of("json", text, final=True)
    assert data["text/markdown"] == f"```json\n{text}\n```"
    for shown in (data, bundle_of("json", text, final=False)):
        assert Page(shown["text/html"]).text.strip() == text


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


@pytest.mark.parametrize("form", FORMATS)
def test_plain_text_can_be_printed(form: Format) -> None:
    """In plain text nothing steers a terminal or turns a line around."""
    data = bundle_of(form, '"a\x1b[2Jb\u202ec\x07d\te"\nf', final=True)
    assert data["text/plain"] == '"a[2Jbcd\te"\nf'


@settings(max_examples=300)
@given(st.text() | texts(), st.sampled_from(FORMATS), st.booleans())
def test_any_answer_can_be_shown(text: str, form: Format, final: bool) -> None:
    """Any text can be shown in any form, and an answer that is not complete is HTML alone."""
    data = bundle_of(form, text, final)
    types = ["text/html", *(["text/markdown"] if form not in ("text", "html") else []), "text/plain"]
    assert list(data) == (types if final else ["text/html"])
    page = AnswerPage(data["text/html"])
    page.assert_well_formed()
    if form == "html" and final:
        assert page.tags == ["iframe", "details", "summary", "pre"]
    else:
        page.assert_harmless()
        assert page.tags[0] == "div"
