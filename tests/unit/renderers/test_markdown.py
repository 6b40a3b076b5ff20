"""A stranger's Markdown written anew: every program that reads it shows the same words, and nothing is active."""

from __future__ import annotations

import re
from collections.abc import Callable

import mistune
import pytest
from hostile import AnswerPage, texts, words_of
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from nbretry._utils.redaction import remember_secret
from nbretry.renderers.markdown import fenced, safe_markdown
from nbretry.renderers.painter import LONGEST_DRAWN, NESTED_TOO_DEEPLY, markdown_html

SECRET = "a-secret-of-these-tests"
PLUGINS = MarkdownWithMath.DEFAULT_PLUGINS


def by_nbconvert(markdown: str) -> str:
    """The HTML of nbconvert as it makes it of an output, but without links from headings to themselves."""
    return MarkdownWithMath(renderer=IPythonRenderer(escape=False, exclude_anchor_links=True)).render(markdown)


def by_mistune(markdown: str) -> str:
    """The HTML of the parser that nbconvert uses, with more of its plugins and nothing of nbconvert's own."""
    renderer = mistune.HTMLRenderer(escape=False, allow_harmful_protocols=True)
    return str(mistune.create_markdown(renderer=renderer, plugins=[*PLUGINS, "math", "mark", "insert"])(markdown))


def by_markdown_it(markdown: str) -> str:
    """The HTML of a CommonMark parser that takes every tag and every address."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return str(parser.render(markdown))


def by_a_parser_with_links(markdown: str) -> str:
    """The HTML of a parser that makes links of addresses and names in the text, as editors do."""
    parser = MarkdownIt("gfm-like", {"html": True})
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return str(parser.render(markdown))


READERS: list[Callable[[str], str]] = [by_nbconvert, by_mistune, by_markdown_it, by_a_parser_with_links]


def assert_inert(markdown: str) -> None:
    for reader in READERS:
        AnswerPage(reader(markdown)).assert_inert()


@given(texts())
@settings(max_examples=1200)
def test_no_markdown_becomes_active(text: str) -> None:
    """Whatever a model writes, no reader finds a tag that is not harmless, an image or a link to code in it."""
    assert_inert(safe_markdown(text))


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
        # a bare address takes the begin of a code span with it
        "See https://x.example/`<script>alert(1)</script>`.",
        "ftp://x.example/`<img src=x onerror=alert(1)>` a@x.example`<b>`",
        # a formula in an address, a title or after a fence
        '[a](https://x.example/$"onmouseover="alert(1)"x="$)',
        '[a](https://x.example "$"onmouseover="alert(1)$")',
        '```python $"onmouseover="alert(1)$\nx\n```',
        # a tag at the begin of a line makes all of the block HTML
        "<details><script>alert(1)</script></details>",
        "<b>\n<script>alert(1)</script>\n[a](javascript:x)",
        "a\n</summary>`<img src=x onerror=alert(1)>`",
        "- <sub>\n  <script>alert(1)</script>",
        "> <hr>\n> <script>alert(1)</script>",
        "<details>\n```\n<script>alert(1)</script>\n```\n</details>",
        # a mark before a link makes it an image
        "!<http://x.example/y>",
        "!https://x.example/y",
        "\\![a](http://x.example/y)",
        "!\\\n[a](http://x.example/y)",
        # links and images in a formula that a reader does not see
        "\\(![a](http://x.example/y)\\)",
        "\\[[a](javascript:x)\\]",
        "\\begin{Bmatrix}\n![a](http://x.example/y)\n\\end{Bmatrix}",
        "$$\n[a]: javascript:x\n\n[a]\n$$",
        "$$a![a](http://x.example/y)\\$$ b",
        "\\href{x}{![a](http://x.example/y)} and $\\href{x}{![a](http://x.example/y)}$",
        # the begin of a formula for nbconvert in the text, and its end in code
        "\\begin{x}\n```\n![a](http://x.example/y)\\end{x}\n```",
        "a\\\\[b\n```\n![a](http://x.example/y)\\\\]\n```",
        "\\$$x$ `a $ ![i](http://x.example/y)`",
        "\\(x\\)\\(y\\) `$ ![i](http://x.example/y)`",
        "\\(x\\)1. `$ ![i](http://x.example/y)`",
        # code that a reader draws as something else
        "```mermaid\n<script>alert(1)</script>\n```",
        "~~~Mermaid\n</pre><img src=x onerror=alert(1)>\n~~~",
        "```{=html}\n<script>alert(1)</script>\n```",
        # brackets in the text of a link
        "https://x.example/`[a](javascript:x)",
        "https://x.example/![a](http://x/y)",
        "[a\\](javascript:x)](https://x.example)",
        "[^a]\n\n[^a]: <img src=x onerror=alert(1)>",
        "[a](attachment:x) ![a](attachment:x)",
    ],
)
def test_what_once_became_active(text: str) -> None:
    """Texts by which tags, links and images came through in some reader, each for another reason, stay inert."""
    assert_inert(safe_markdown(text))


@pytest.mark.parametrize(
    "text",
    [
        "https://x.example/`[a](javascript:x)",
        "https://x.example/![a](http://x/y)",
        "![[a](javascript:x)](https://x.example)",
        "[a\\](javascript:x)](https://x.example)",
        "a[^1] [https://x.example/\\[b\\](c)](https://y.example)\n\n[^1]: d",
    ],
)
def test_brackets_in_the_text_of_a_link(text: str) -> None:
    """In the text of a link no bracket is escaped by a backslash, as the parser of JupyterLab drops that first."""
    for label in re.findall(r"(?<!\\)\[(.*?)\]\(<", safe_markdown(text)):
        assert not re.search(r"\\?[\[\]]", label)


class WithPlainCode(IPythonRenderer):
    """As nbconvert, which puts the name of an unknown language into the code, but without that."""

    block_code = mistune.HTMLRenderer.block_code


@given(texts(8))
@settings(max_examples=500)
def test_the_words_are_the_same(text: str) -> None:
    """The words that nbconvert shows are the words of the answer in the notebook."""
    markdown = re.sub(r"\\(?:[lg]t|vert) ", " ", safe_markdown(text))
    shown = MarkdownWithMath(renderer=WithPlainCode(escape=False, exclude_anchor_links=True)).render(markdown)
    assert words_of(AnswerPage(shown).text) == words_of(AnswerPage(markdown_html(text)).text)


@given(texts())
@settings(max_examples=300)
def test_safe_markdown_can_be_made_safe_again(text: str) -> None:
    """What is safe stays safe when it is made safe again, so that an answer can pass through twice."""
    assert_inert(safe_markdown(safe_markdown(text)))


ORDINARY = "Words, *emphasis*, **more**, ~~less~~, `code`, AT&T, 2 * 3 * 4, snake_case, [a link](<https://x.example/?a=b&c=d>).\n"


@pytest.mark.parametrize(
    "text",
    [
        ORDINARY,
        "# A\n\n## B\n\nc\nd\\\ne\n\n***\n\nf\n",
        "- a\n- b\n  - c\n  - d\n- e\n",
        "3. a\n\n4. b\n\n   c\n",
        "- [ ] a\n- [x] b\n",
        "> a\n>\n> - b\n>\n> > c\n",
        "| a | b | c |\n| --- | :-: | --: |\n| 1 | `x` | d<br>e |\n",
        "$a$ and $$\\sum_{i \\le n} x_i$$\n",
        "$$\nx\n- y\n$$\n",
        "\\begin{align}\na &= b \\\\\nc &= d\n\\end{align}\n",
        "H<sub>2</sub>O, x<sup>2</sup>, <kbd>Ctrl</kbd>\n",
        "```html\n<script>alert(1)</script>\n<img src=x>\n```\n",
        "````markdown\n```html\n<b>\n```\n![x](y)\n````\n",
        "1. First:\n   ```html\n   <div>\n   ```\n2. Second\n",
        "Use `<div>` and ``<b>`x`</b>``, or `![x](y)`.\n",
        "> ```\n> <div>\n> ```\n",
        "```\n$HOME\n\n\\(x\\)\n```\n",
    ],
)
def test_ordinary_text_and_code_stay_as_written(text: str) -> None:
    """Markdown in its usual form is not changed at all."""
    assert safe_markdown(text) == text.rstrip("\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "\n"),
        ("```html\n<div>", "```html\n<div>\n```\n"),
        ("    x\n    y", "```\nx\ny\n```\n"),
        ("~~~js\nx\n~~~", "```js\nx\n```\n"),
        ("A\n===\n\n* b\n+ c", "# A\n\n- b\n\n- c\n"),
        ("a  \nb", "a\\\nb\n"),
        ("https://x.example/a", "[https\\://x.example/a](<https://x.example/a>)\n"),
        ("<https://x.example/a>", "[https\\://x.example/a](<https://x.example/a>)\n"),
        ("[a](<https://x.example/a b> 'c')", "[a](<https://x.example/a%20b>)\n"),
        ("[a]()", "a\n"),
        ("![a cat](https://x.example/c.png)", "[&#91;image: a cat, from x.example&#93;](<https://x.example/c.png>)\n"),
        ("[a](javascript:x)", "\\[a\\](javascript:x)\n"),
        ("a <b>c</b>", "a <b>c</b>\n"),
        ("a <div>c</div>", "a &lt;div>c&lt;/div>\n"),
        ("| a |\n| - |\n| `x\\|y` |", "| a |\n| --- |\n| <code>x&#124;y</code> |"),
        ("a[^1]\n\n[^1]: b", "a\\[1\\]\n\n***\n\n1. b\n"),
        ("1\\. a\n\\- b\n\\# c\n\\> d\n\\+ e", "1\\. a\n\\- b\n\\# c\n\\> d\n\\+ e\n"),
        ("C:\\Users and \\begin{x}", "C:\\\\Users and <span>&#92;</span>begin\\{x}\n"),
        ("$5 and $6", "<span>\\$</span>5 and <span>\\$</span>6\n"),
        ("a\ud800b", "a?b\n"),
    ],
)
def test_how_it_is_written(text: str, shown: str) -> None:
    """There is one way to write each thing, and what is no Markdown is escaped."""
    assert safe_markdown(text) == shown.rstrip("\n")


@pytest.mark.parametrize(
    ("formula", "shown"),
    [
        ("$0<x<n$", "$0\\lt x\\lt n$"),
        ("$$\\sum_{i<n} x_i$$", "$$\\sum_{i\\lt n} x_i$$"),
        ("\\(a<b\\) and \\[c>d\\] too", "$a\\lt b$ and $$c\\gt d$$ too"),
        ("\\[\na\n\\].", "$$\na\n$$."),
        ("\\( a \\)", "$a$"),
        ("\\(\\$5\\)", "<span>&#92;</span>(&#92;<span>\\$</span>5<span>&#92;</span>)"),
        ("\\begin{align}\na<b\n\n\\end{align}", "\\begin{align}\na\\lt b\n\\end{align}"),
        ("| a |\n| --- |\n| $b \\| c$ |", "| a |\n| --- |\n| $b \\vert  c$ |"),
        ("\\(a\\)\\(b\\)", "$a$&#8203;$b$"),
        ("\\(a\\)1 and \\(\tb\\)", "$a$&#8203;1 and $b$"),
        ("$\\href{x}{y}$", "<span>\\$</span>\\\\href\\{x}\\{y}<span>\\$</span>"),
        ("It costs $5<b>x</b>, not $6.", "It costs <span>\\$</span>5<b>x</b>, not <span>\\$</span>6."),
    ],
)
def test_formulas_stay_formulas(formula: str, shown: str) -> None:
    """A formula is between dollars, as other delimiters mean nothing to some readers, and has no sign of a tag."""
    assert safe_markdown(formula) == shown


@given(st.text(alphabet="<>/ab!?&[]() \n\"'=|$#*-", max_size=80))
def test_fenced_code_keeps_every_character(code: str) -> None:
    """Code within a fence comes through whole, whatever it holds, beside text that is escaped."""
    block = f"```html\n{code.rstrip(chr(10))}\n```\n"
    assert safe_markdown(f"A <b>bold</b> <x>:\n\n```html\n{code}\n```\n\nand <i>after</i>.\n") == (
        f"A <b>bold</b> &lt;x>:\n\n{block}\nand <i>after</i>."
    )


@given(st.text(alphabet="`~\n x<$\\", max_size=30), st.sampled_from(["", "python", "mermaid", "a b", "`", "{.x}"]))
def test_a_fence_is_longer_than_those_in_it(code: str, language: str) -> None:
    """A block of code is one block for every reader, with the code as it was but for empty lines at its end."""
    block = fenced(code, language)
    tokens = MarkdownIt("commonmark").parse(block)
    assert [token.type for token in tokens] == ["fence"]
    assert tokens[0].content == code.rstrip("\n") + "\n"
    assert tokens[0].info in ("", "python")


@pytest.mark.parametrize("text", ["x" * (LONGEST_DRAWN + 1), "> " * NESTED_TOO_DEEPLY + "![a](http://x/y)<script>"])
def test_what_is_too_long_or_too_deep_becomes_code(text: str) -> None:
    """What cannot be parsed as a whole is a block of code, with nothing lost."""
    assert safe_markdown(text) == f"```\n{text}\n```\n"


def test_images_and_unsafe_links_are_shown_as_text_or_links() -> None:
    """An image becomes a link to it; a link to code is shown as it was written."""
    markdown = safe_markdown("![a cat](https://x.example/cat.png) [x](javascript:alert(1))")
    for reader in READERS:
        page = AnswerPage(reader(markdown))
        assert page.addresses == ["a href=https://x.example/cat.png"]
        assert "[x](javascript:alert(1))" in page.text


def test_secrets_in_markdown_are_masked() -> None:
    """A secret that a model repeats is masked, in code too."""
    remember_secret(SECRET)
    assert SECRET not in safe_markdown(f"Your key is {SECRET}, in code `{SECRET}`.\n\n```\n{SECRET}\n```")
