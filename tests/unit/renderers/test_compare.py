"""The views of a comparison: columns in a cell, and text in a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page import Page
from short_runs import SECRET, failed, run_of, stopped, whole

from nbretry._utils.redaction import remember_secret
from nbretry.answer import Answer
from nbretry.errors import RetryProviderError
from nbretry.events import (
    AttemptStarted,
    Event,
    FirstContent,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
)
from nbretry.renderers.compare import ComparisonConsole, comparison_html, comparison_text, headings, markdown_html


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


def test_headings() -> None:
    """A name that comes once stands as it is, and so does one with another model; others are numbered."""
    assert headings(["a", "b", "a", "c", "a"]) == ["a (1)", "b", "a (2)", "c", "a (3)"]
    assert headings(["a:x", "a:y", "a", "a:y"]) == ["a:x", "a:y (1)", "a", "a:y (2)"]


def test_columns_have_heading_text_and_line() -> None:
    """The words of each column stand together: heading, text, what went wrong, the line."""
    answers = [whole("a", "**Yes.**"), failed("b", "refused", "Per"), stopped("c", "Perhaps"), Answer()]
    page = Page(comparison_html(["a", "b", "c", "d"], answers))
    page.assert_well_formed()
    page.assert_harmless()
    assert " ".join(page.text.split()) == (
        "✓ aYes. a · first token 0.50 s · total 2.00 s"
        "✗ bPer ✗ APIConnectionError: refusedb broke off · first token 0.10 s · total 1.00 s"
        "■ cPerhaps stopped · c · first token 0.50 s · total 1.50 s"
        "… dasking …"
    )
    assert "strong" in page.tags
    assert "details" not in page.tags, "they would close with each repaint"


def test_ended_columns_open_to_their_attempts() -> None:
    """Once all have ended, each line opens to a table of its own."""
    page = Page(comparison_html(["a", "b"], [whole("a", "Yes."), failed("b", "refused")]))
    page.assert_well_formed()
    assert page.tags.count("details") == 2
    assert page.tags.count("table") == 2


def test_growing_column_tells_who_answers() -> None:
    """While the text comes, the line says since when, and that it goes on."""
    growing = run_of("a", FirstContent(1, 0.5), TextDelta(1, "Y"))
    assert "a · first token 0.50 s …" in Page(comparison_html(["a"], [growing])).text
    assert comparison_text(["a"], [growing]) == "== a ==\nY\n\na · first token 0.50 s …"
    assert comparison_text(["a"], [run_of("a")]) == "== a ==\nasking a …"


def test_text_has_one_under_the_other() -> None:
    """As plain text the answers stand under each other, the model's words as written."""
    assert comparison_text(["a", "b"], [whole("a", "<b>*Yes*</b>\n"), failed("b", "refused")]) == (
        "== a ==\n<b>*Yes*</b>\n\na · first token 0.50 s · total 2.00 s\n\n"
        "== b ==\nnobody answered · total 1.00 s · failed: b\n  1. ✗ b · APIConnectionError: refused · 1.00 s"
    )


def test_secrets_are_masked_in_both() -> None:
    """A secret is masked in a heading, a text and an error."""
    for answer in (whole("a", f"It is {SECRET}."), failed("a", SECRET, f"`{SECRET}`")):
        for shown in (comparison_html([SECRET], [answer]), comparison_text([SECRET], [answer])):
            assert SECRET not in shown
            assert shown.count("[secret]") >= 2


SHOWN_TAGS = {"a", "blockquote", "br", "code", "em", "hr", "li", "ol", "p", "pre", "s", "strong", "ul"}


FRAGMENTS = ["<script>", "</script>", "<img/src=x/onerror=alert(1)>", "<b onclick=x>", "<!--", "-->", "<?php", "?>"]
SHOWN_TAGS |= {"h3", "h4", "h5", "h6", "table", "tbody", "td", "th", "thead", "tr"}
FRAGMENTS += ["<![CDATA[", "]]>", "<style>", "`", "``", "```", "~~~", ">", "-", "1.", "*", "**", "~~", "#", "$", "$$"]
FRAGMENTS += ["\\", "\\(", "\\)", "\\[", "\\]", "<", "<a", "/>", "[", "]", "(", ")", "!", "|", "=", "word", '"', "'"]
FRAGMENTS += ["![a](http://x/y)", "[a](javascript:x)", "[a][a]", "[![a](http://x/y)](http://x)", "[]()", "![](data:x)"]
FRAGMENTS += ["![a [b](http://x)](http://y)", "<javascript:x>", '<http://x/"onclick=x>', "[a](//x/y)", "[a](x.html)"]
FRAGMENTS += ["&lt;", "&#60;", "&quot;", "java&#115;cript:x", "data:text/html,x", "[a]:", "[a](HTTP://x)", "[a]( 'b')"]
FRAGMENTS += ["\n", "\n\n", "    ", "\t", " ", "\r", "\u2028", "\0", "\n| --- | --- |\n", "\n[a]: javascript:x\n"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=16).map("".join))
def test_no_markdown_becomes_active(text: str) -> None:
    """Whatever a model writes, its HTML has only tags of plain text, loads nothing, and links to the web alone."""
    page = Page(markdown_html(text))
    page.assert_well_formed()
    page.assert_harmless()
    assert set(page.tags) <= SHOWN_TAGS
    assert all(address.lower().startswith("a href=http") for address in page.addresses)


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("[a](https://x.example/y)", '<a href="https://x.example/y">a</a>'),
        ("[mail](mailto:a@x.example)", '<a href="mailto:a@x.example">mail</a>'),
        ("![a cat](https://x.example/cat.png)", '<a href="https://x.example/cat.png">a cat</a>'),
        ("![](https://x.example/cat.png)", '<a href="https://x.example/cat.png">https://x.example/cat.png</a>'),
        ("[![a](https://x.example/i)](https://x.example)", '<a href="https://x.example">a</a>'),
        ("[x](javascript:alert(1))", "[x](javascript:alert(1))"),
        ("[x](notes.html)", "[x](notes.html)"),
        ("[x]()", "x"),
        ("a <b>c</b>", "a &lt;b&gt;c&lt;/b&gt;"),
        ("~~a~~ `<b>`", "<s>a</s> <code>&lt;b&gt;</code>"),
        (r"$a*b*c_1_<d$ and \(x\\y\) and \[ z*z* \]", r"$a*b*c_1_&lt;d$ and \(x\\y\) and \[ z*z* \]"),
        ("it costs $5, or *about* $6", "it costs $5, or <em>about</em> $6"),
    ],
)
def test_markdown_of_one_line(markdown: str, html: str) -> None:
    """Links to the web and by mail are links, images are links, other addresses and HTML are text; formulas stay."""
    assert markdown_html(markdown) == f'<p style="margin:0 0 0.6em">{html}</p>\n'


def test_blocks_of_markdown() -> None:
    """Headings fit a column, tables are tables, and code that is cut off is code."""
    assert markdown_html("# One\n\n##### Five\n").count("<h3 ") == 1
    assert "<h6 " in markdown_html("##### Five\n")
    table = Page(markdown_html("| a | b |\n| --- | ---: |\n| 1 | 2 |\n"))
    assert (table.tags.count("th"), table.tags.count("td")) == (2, 2)
    for code in ("```python\nif x < 1:", "    if x < 1:"):
        page = Page(markdown_html(code))
        assert (page.tags, page.text.strip()) == (["pre", "code"], "if x < 1:")


def test_answers_in_a_terminal_are_not_mixed() -> None:
    """However their fragments come, each answer is written whole under its heading, in the order of their ends."""
    out, err = io.StringIO(), io.StringIO()
    console = ComparisonConsole(out, err, ["a", "b", "c"])
    events: list[tuple[int, str, Event]] = []
    for place, name, answer in ((0, "a", "One \x1b[2Jtwo."), (1, "b", "Three four.\n\n")):
        events.append((place, name, RunStarted(0.0, (name,), "", "")))
        events.append((place, name, AttemptStarted(1, name, "", 0.0)))
        events.append((place, name, FirstContent(1, 0.5)))
        events += [(place, name, TextDelta(1, word)) for word in answer.split(" ")]
        events.append((place, name, RunCompleted(2.0)))
    answers = [Answer(), Answer(), Answer()]
    half = len(events) // 2
    for place, _, event in (step for pair in zip(events[half:], events[:half], strict=True) for step in pair):
        answers[place] = answers[place].apply(event)
        console(place, event, answers[place])
    console(2, RunFailed(RetryProviderError("x"), 1.0), failed("c", "refused"))
    assert out.getvalue() == "== b ==\nThreefour.\n\n== a ==\nOne[2Jtwo.\n\n== c ==\n"
    assert err.getvalue().splitlines() == [
        "  ✓ b · first token 0.50 s · total 2.00 s",
        "  ✓ a · first token 0.50 s · total 2.00 s",
        "  ✗ c · APIConnectionError: refused · 1.00 s",
        "  ■ nobody answered · total 1.00 s · failed: c",
    ]


@pytest.mark.parametrize("depth", [15, 25, 31, 58, 59, 60, 61, 200, 2000])
@pytest.mark.parametrize("mark", ["- ", "> ", "1. ", "- > "])
def test_no_text_is_lost_to_deep_nesting(mark: str, depth: int) -> None:
    """However deep a model nests lists and quotes, their text and all that follows is shown."""
    page = Page(markdown_html(f"before\n\n{mark * depth}too deep\n\nthe end."))
    page.assert_well_formed()
    for words in ("before", "too deep", "the end."):
        assert words in page.text
