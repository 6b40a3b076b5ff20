"""A stranger's Markdown made safe to show: nothing runs, nothing is loaded, and what is harmless stays as written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page import Page

from nbretry._utils.redaction import remember_secret
from nbretry.renderers.markdown import safe_markdown

SECRET = "a-secret-of-these-tests"

FRAGMENTS = [
    "<script>",
    "</script>",
    "<img/src=x/onerror=alert(1)>",
    "<b/onclick=x>",
    "`",
    "``",
    "```",
    "````",
    "~~~",
    ">",
    "-",
    "1.",
    "*",
    "|",
    "||",
    "#",
    "$",
    "$$",
    "\\",
    "\\(",
    "\\[",
    "\\\\[",
    "\\\\]",
    "\\begin{x}",
    "\\end{x}",
    "<",
    "<a",
    "/>",
    "[",
    "]",
    "(",
    ")",
    "!",
    "![a](http://x/y)",
    "[a](javascript:x)",
    "[a][a]",
    "<javascript:x>",
    "<!--",
    "-->",
    "<?php",
    "?>",
    "<![CDATA[",
    "]]>",
    "<style>",
    "<iframe/src=x>",
    "&lt;",
    "&#60;",
    "javascript:x",
    "data:text/html,x",
    "word",
    "=",
    "---",
    "[a]:",
]
FRAGMENTS += [
    "\n",
    "\n\n",
    "    ",
    "\t",
    " ",
    "\r",
    "\u2028",
    "\x0c",
    "\n| --- | --- |\n",
    "[a]: javascript:x\n",
    "\n```\n",
]
FRAGMENTS += ["<img src=x onerror=alert(1)>", "[a]( javascript:x )", "[a](<javascript:x>)", "<b\nonclick=x>"]


def shown_by_every_viewer(markdown: str) -> list[Page]:
    """The Markdown as two viewers show it that escape nothing: a CommonMark one, and nbconvert with its mathematics."""
    from markdown_it import MarkdownIt
    from nbconvert.filters import markdown2html

    common = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    common.validateLink = lambda url: True
    return [Page(common.render(markdown)), Page(str(markdown2html(markdown)))]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join))
def test_no_markdown_becomes_active(text: str) -> None:
    """Whatever a model writes, no viewer finds HTML, an image that is loaded or a link to code in it."""
    for page in shown_by_every_viewer(safe_markdown(text)):
        page.assert_harmless()


@pytest.mark.parametrize(
    "text",
    [
        "- <script>[a](java\nscript:x)\n\n    (<b onclick=x>",
        "\n>``<?php<script\n><script>html``<a)",
        "$\\[[=)# ``<!--$$<script># [``",
        "<html&#60;<img src=x onerror=alert(1)>",
        "````![a](http://x/y)[a]| ````[a](\n| --- | --- |\nx",
        "[a][a]\\```\n``\\[([a]( javascript:x )```",
        "* \n| --- | --- |\n\n    <script\n>---x",
        "$$\n\n````1. <a~~~/>x$$<javascript:x>",
        "> > \t[a]( javascript:x )",
        "x`><![CDATA[![a](http://x/y)[a](javascript:x)|* `\n| ",
        "```[a]\n\x0b\n[a]( javascript:x )<b onclick=x>```",
        "$[a](<javascript:x>)$",
        "<img src=x onerror=alert(1)>\\[\\\\[\\\n```\n<b\nonclick=x>\\\\]",
        "1.\\\\[\\\\](javascript:x)",
        "[a]:\n```\n<script>$```/>",
        "[a]:\n```\n![a](http://x/y)",
        "[a](< javascript:x>)",
    ],
)
def test_what_once_became_active(text: str) -> None:
    """Texts by which tags and links came through before, each for another reason, stay inert."""
    for page in shown_by_every_viewer(safe_markdown(text)):
        page.assert_harmless()


ORDINARY = (
    "Words, *emphasis*, `code`, 1 < 2, a<-b, AT&T, [a link](https://example.org/a?b=c&d) and <https://example.org>."
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ORDINARY,
        "| a | b |\n| --- | --- |\n| 1 | `x` |\n",
        "$a < b$ and $$\\sum_{i \\le n} x_i$$\n",
        "```html\n<script>alert(1)</script>\n<img src=x>\n```\n",
        "````markdown\n```html\n<b>\n```\n![x](y)\n````\n",
        "1. First:\n\n   ```html\n   <div>\n   ```\n2. Second\n",
        "Use `<div>` and ``<b>`x`</b>``, or `![x](y)`.\n",
        "An open fence:\n\n```html\n<div>\n",
        "> ```\n> <div>\n> ```\n",
    ],
)
def test_ordinary_text_and_code_stay_as_written(text: str) -> None:
    """What has no tag, image or unsafe link outside of code is not changed at all, cut off or not."""
    assert safe_markdown(text) == text


@given(st.text(alphabet="<>/ab!?&[]() \n\"'=|$#*-", max_size=80))
def test_fenced_code_keeps_every_character(code: str) -> None:
    """Code within a fence comes through whole, whatever it holds, beside text that is escaped."""
    fenced = f"```html\n{code}\n```\n"
    assert safe_markdown(f"A <b>bold</b> word:\n\n{fenced}\nand <i>after</i>.\n") == (
        f"A &lt;b>bold&lt;/b> word:\n\n{fenced}\nand &lt;i>after&lt;/i>.\n"
    )


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join))
def test_safe_markdown_is_settled_at_once(text: str) -> None:
    """What is safe stays safe when it is made safe again, so that an answer can pass through twice."""
    for page in shown_by_every_viewer(safe_markdown(safe_markdown(text))):
        page.assert_harmless()


def test_images_and_unsafe_links_are_shown_as_text_or_links() -> None:
    """An image becomes a link to it; a link to code is shown as it was written."""
    first, second = shown_by_every_viewer(
        safe_markdown("![a cat](https://example.org/cat.png) [x](javascript:alert(1))")
    )
    for page in (first, second):
        assert page.addresses == ["a href=https://example.org/cat.png"]
        assert "[x](javascript:alert(1))" in page.text


@pytest.mark.parametrize(
    ("formula", "shown"),
    [
        ("$0<x<n$", "$0< x< n$"),
        ("$$\\sum_{i<n} x_i$$", "$$\\sum_{i< n} x_i$$"),
        ("\\(a<b\\) and \\[c<d\\]", "\\(a< b\\) and \\[c< d\\]"),
        ("\\begin{align}\na<b\n\\end{align}", "\\begin{align}\na< b\n\\end{align}"),
        ("It costs $5<b>x</b>, not $6.", "It costs $5&lt;b>x&lt;/b>, not $6."),
    ],
)
def test_formulas_stay_formulas(formula: str, shown: str) -> None:
    """In a formula, where an entity would be an error, a space does the same and changes nothing that is seen."""
    assert safe_markdown(formula) == shown


def test_secrets_in_markdown_are_masked() -> None:
    """A secret that a model repeats is masked, in code too."""
    remember_secret(SECRET)
    assert SECRET not in safe_markdown(f"Your key is {SECRET}, in code `{SECRET}`.")
