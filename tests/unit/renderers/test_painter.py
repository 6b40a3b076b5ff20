"""Answers drawn as HTML: what Markdown looks like, and that nothing in it is active."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hostile import AnswerPage, texts, words_of
from hypothesis import given, settings
from short_runs import SECRET
from steps import calls_of

from nbretry._utils.redaction import remember_secret
from nbretry.renderers import painter
from nbretry.renderers.code_colours import CLASSES, STYLE_SHEET
from nbretry.renderers.markdown import safe_markdown
from nbretry.renderers.painter import AS_WRITTEN, LONGEST_DRAWN, NESTED_TOO_DEEPLY, answer_html, markdown_html

AWAY = ' target="_blank" rel="noopener noreferrer"'


def line(text: str) -> str:
    """The HTML of a text that is one paragraph, without what every link has."""
    html = markdown_html(text).replace(AWAY, "")
    found = re.fullmatch(r"<p>(.*)</p>\n", html, re.DOTALL)
    assert found is not None, html
    return found[1]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "*a* _b_ **c** __d__ ~~e~~ ***f***",
            "<em>a</em> <em>b</em> <strong>c</strong> <strong>d</strong> <s>e</s> <em><strong>f</strong></em>",
        ),
        ("`<b>` and ``a`b``", "<code>&lt;b&gt;</code> and <code>a`b</code>"),
        ("a  \nb\\\nc\nd", "a<br>\nb<br>\nc\nd"),
        ("&lt;b&gt; &amp; &copy; AT&T", "&lt;b&gt; &amp; © AT&amp;T"),
        ("\\*a\\* 2 * 3 * 4 snake_case_name", "*a* 2 * 3 * 4 snake_case_name"),
        ("a<br>b<br/>c<BR />d", "a<br>b<br>c<br>d"),
        ("H<sub>2</sub>O, x<sup>2</sup>, <kbd>Ctrl</kbd>", "H<sub>2</sub>O, x<sup>2</sup>, <kbd>Ctrl</kbd>"),
        ("<b>a</b><i>b</i><u>c</u><mark>d</mark>", "<b>a</b><i>b</i><u>c</u><mark>d</mark>"),
        ("<b>*a*</b>", "<b><em>a</em></b>"),
        ('<sub class="x" onclick="y" style=z>a</sub>', "<sub>a</sub>"),
        ("<b/onclick=x>a", "&lt;b/onclick=x&gt;a"),
        ("`<sub>`", "<code>&lt;sub&gt;</code>"),
        ("\\<sub>", "&lt;sub&gt;"),
        ("List<String> of <T>", "List&lt;String&gt; of &lt;T&gt;"),
        # agentrq 321, gradio 7198, umldoclet 79: what has no other half, or words in it, is no tag
        ("List<Item>, a<b>c, and 5 < 10", "List&lt;Item&gt;, a&lt;b&gt;c, and 5 &lt; 10"),
        ("Supplier<U>, Comparable<S>", "Supplier&lt;U&gt;, Comparable&lt;S&gt;"),
        ("</sub> x<sub> <sub>y</sub>", "&lt;/sub&gt; x&lt;sub&gt; <sub>y</sub>"),
        ("<I am a breaker of chatbots.>", "&lt;I am a breaker of chatbots.&gt;"),
        ("commit -m <summary of the change>", "commit -m &lt;summary of the change&gt;"),
        ("a <b and c>d</b> e", "a &lt;b and c&gt;d&lt;/b&gt; e"),
        ("<Mark Twain>", "&lt;Mark Twain&gt;"),
        ("`tool` <details>", "<code>tool</code> &lt;details&gt;"),
        ("<summary>", "&lt;summary&gt;"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<div>a</div>", "&lt;div&gt;a&lt;/div&gt;"),
        ("<think>hm</think> yes", "&lt;think&gt;hm&lt;/think&gt; yes"),
        ("<!-- a --> <?b?> <![CDATA[c]]>", "&lt;!-- a --&gt; &lt;?b?&gt; &lt;![CDATA[c]]&gt;"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
        ("<a href='javascript:x'>y</a>", "&lt;a href='javascript:x'&gt;y&lt;/a&gt;"),
        ("a</p></div><p>b", "a&lt;/p&gt;&lt;/div&gt;&lt;p&gt;b"),
        ("1 < 2 and a<-b <sub", "1 &lt; 2 and a&lt;-b &lt;sub"),
        ("a\0b", "a\ufffdb"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\u2028b\u2029c", "a\u2028b\u2029c"),
        ("a\ud800b", "a?b"),
    ],
)
def test_words_and_tags(text: str, html: str) -> None:
    """Marks and harmless tags have their meaning, without attributes; every other tag is shown as it was written."""
    assert line(text) == html


def to(address: str, words: str | None = None) -> str:
    return f'<a href="{address}">{words or address}</a>'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("[a](https://x.example/y?a=b&c=d)", to("https://x.example/y?a=b&amp;c=d", "a")),
        ("[a](HTTP://x.example 'title')", to("HTTP://x.example", "a").replace(">a", ' title="title">a')),
        ("[a][b]\n\n[b]: https://x.example", to("https://x.example", "a")),
        ("[*a*](https://x.example)", to("https://x.example", "<em>a</em>")),
        ("[a](mailto:a@x.example)", to("mailto:a@x.example", "a")),
        ("<a@x.example>", to("mailto:a@x.example", "a@x.example")),
        ("<https://x.example/y>", to("https://x.example/y")),
        ("see https://x.example/y.", f"see {to('https://x.example/y')}."),
        ("(https://x.example/y), https://z.example/?q=1!", f"({to('https://x.example/y')}), {to('https://z.example/?q=1')}!"),
        ("https://x.example/a_(b) c", f"{to('https://x.example/a_(b)')} c"),
        ("**https://x.example**", f"<strong>{to('https://x.example')}</strong>"),
        ("https://x.example/`code`", f"{to('https://x.example/')}<code>code</code>"),
        ("https://x.example/`<script>x</script>`", f"{to('https://x.example/')}<code>&lt;script&gt;x&lt;/script&gt;</code>"),
        ("`https://x.example`", "<code>https://x.example</code>"),
        ("[https://x.example](https://y.example)", to("https://y.example", "https://x.example")),
        ("www.x.example, a.py, README.md and a@x.example", "www.x.example, a.py, README.md and a@x.example"),
        ("ftp://x.example/y", "ftp://x.example/y"),
        ("[a]()", "a"),
        ("[]()", ""),
        ("[a](javascript:alert(1))", "[a](javascript:alert(1))"),
        ("[a](JavaScript:x)", "[a](JavaScript:x)"),
        ("[a](java&#115;cript:x)", "[a](javascript:x)"),
        ("[a](vbscript:x)", "[a](vbscript:x)"),
        ("[a](data:text/html,x)", "[a](data:text/html,x)"),
        ("[a](file:///etc/passwd)", "[a](file:///etc/passwd)"),
        ("[a](notes.html)", "[a](notes.html)"),
        ("[a](/api/kernels)", "[a](/api/kernels)"),
        ("[a](//x.example/y)", "[a](//x.example/y)"),
        ("[a](#b)", "[a](#b)"),
        ("[a](https:x)", "[a](https:x)"),
        ("<javascript:x>", "&lt;javascript:x&gt;"),
        ("![a cat](https://x.example/cat.png)", to("https://x.example/cat.png", "[image: a cat, from x.example]")),
        ("![](https://x.example/cat.png)", to("https://x.example/cat.png", "[image, from x.example]")),
        ("![a](https://x.example:8/c 'title')", to("https://x.example:8/c", "[image: a, from x.example]")),
        ("[![a](https://i.example/i)](https://x.example)", to("https://x.example", "[image: a, from i.example]")),
        ("![a [b](https://x.example)](https://y.example)", to("https://y.example", "[image: a b, from y.example]")),
        ("![a](data:image/png;base64,AA)", "![a](data:image/png;base64,AA)"),
        ("![a](cat.png)", "![a](cat.png)"),
        ("!<https://x.example/c.png>", f"!{to('https://x.example/c.png')}"),
    ],
)  # fmt: skip
def test_links_and_images(text: str, html: str) -> None:
    """Links lead to the web or to a mail address, an image is a link that says from where, others are as written."""
    assert line(text) == html


def test_links_open_a_page_of_their_own() -> None:
    """A link opens a new page, which learns nothing about the notebook."""
    assert markdown_html("[a](https://x.example)") == f'<p><a href="https://x.example"{AWAY}>a</a></p>\n'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# A\n\n###### B\n\nC\n----", "<h1>A</h1>\n<h6>B</h6>\n<h2>C</h2>\n"),
        ("> a\n> > b", "<blockquote>\n<p>a</p>\n<blockquote>\n<p>b</p>\n</blockquote>\n</blockquote>\n"),
        ("- a\n  1. b\n- c", "<ul>\n<li>a\n<ol>\n<li>b</li>\n</ol>\n</li>\n<li>c</li>\n</ul>\n"),
        ("3. a\n4. b", '<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>\n'),
        ("- a\n\n  b", "<ul>\n<li>\n<p>a</p>\n<p>b</p>\n</li>\n</ul>\n"),
        ("a\n\n***\n\nb", "<p>a</p>\n<hr>\n<p>b</p>\n"),
        ("    a <b>\n\n    c", '<pre><code class="nbretry-code">a &lt;b&gt;\n\nc\n</code></pre>\n'),
        ("```\na <b>", '<pre><code class="nbretry-code">a &lt;b&gt;</code></pre>\n'),
        ("````\n```\na\n```\n````\nb", '<pre><code class="nbretry-code">```\na\n```\n</code></pre>\n<p>b</p>\n'),
        ("~~~\na\n~~~", '<pre><code class="nbretry-code">a\n</code></pre>\n'),
        ("a\n```\nb", '<p>a</p>\n<pre><code class="nbretry-code">b</code></pre>\n'),
        ("<hr>", "<hr>"),
        ("[a]: https://x.example", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_blocks(text: str, html: str) -> None:
    """Headings, quotes, lists, rules and code are what they are in Markdown, also where the text is cut off."""
    assert markdown_html(text) == html


@pytest.mark.parametrize(("largest", "levels"), [(1, [1, 2, 6, 2]), (3, [3, 4, 6, 4]), (6, [6, 6, 6, 6])])
def test_headings_are_no_larger_than_allowed(largest: int, levels: list[int]) -> None:
    """Headings keep their order of size from the largest allowed level on, down to the sixth."""
    page = AnswerPage(markdown_html("# A\n\n## B\n\n###### C\n\nD\n----", largest))
    assert page.tags == [f"h{level}" for level in levels]
    page.assert_well_formed()


def test_tables() -> None:
    """A table has the alignment of its columns, and in its cells line breaks, formulas, links and a stroke in code."""
    html = markdown_html(
        "| a | b | c | d |\n|---|:--|:-:|--:|\n| x<br>y | $z$ | `a\\|b` | [e](https://x.example) |\n| only one |"
    )
    page = AnswerPage(html)
    page.assert_well_formed()
    page.assert_inert()
    assert [value for tag, name, value in page.attributes if tag == "th"] == [
        f"text-align:{side}" for side in ("left", "center", "right")
    ]
    assert page.tags.count("td") == 8
    for part in ("x<br>y", ">$z$</span>", "<code>a|b</code>", to("https://x.example" + '"' + AWAY[:-1], "e")):
        assert part in html


def test_details_hold_markdown() -> None:
    """What can be opened holds blocks of Markdown, and its summary marks; no empty paragraph is left around it."""
    html = markdown_html(
        "<details open>\n<summary>More *words*</summary>\n\n- a\n- b\n\n```\nc\n```\n\n</details>\n\nAfter."
    )
    page = AnswerPage(html)
    page.assert_well_formed()
    page.assert_inert()
    assert page.tags == ["details", "summary", "em", "ul", "li", "li", "pre", "code", "p"]
    assert markdown_html("<details><summary>A</summary>b</details>") == "<details><summary>A</summary>b</details>"


@pytest.mark.parametrize(
    "text", ["<b>a\n\nb", "<details>\n\na\n\nb", "</details></b>a\n\nb", "<sub>a</sup>\n\nb", "<summary>a\n\n> b"]
)
def test_tags_that_do_not_fit(text: str) -> None:
    """Tags without an end, or in the wrong order, do not leave the answer."""
    page = AnswerPage(answer_html(text))
    page.assert_well_formed()
    assert page.open == []
    assert words_of(page.text) == words_of(text), "they are shown as they were written"


@pytest.mark.parametrize("text", ["<details>\n<summary>Words</summary>\n\na", "b\n\n</details>\n\nc"])
def test_half_a_section_in_a_part(text: str) -> None:
    """While an answer arrives, the two ends of a section may be in different parts; what is in it is shown."""
    page = AnswerPage(answer_html(text, is_part=True))
    page.assert_well_formed()
    assert "details" not in page.text
    assert words_of(page.text) in ("Wordsa", "bc")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("- [ ] a\n- [x] b\n- [X] c\n- d", [False, True, True]),
        ("1. [x] **a**", [True]),
        ("- [ ]\n- [x]y\n- [y] z", []),
        ("[x] a", []),
        ("[x]: https://x.example\n\n- [x] a", []),
    ],
)
def test_tasks(text: str, shown: list[bool]) -> None:
    """An item that begins with a checkbox is a task, which cannot be changed."""
    page = AnswerPage(markdown_html(text))
    boxes = re.findall("<input[^>]*>", markdown_html(text))
    assert ["checked" in box for box in boxes] == shown
    assert all('disabled="disabled"' in box and 'type="checkbox"' in box for box in boxes)
    page.assert_inert()


def test_footnotes() -> None:
    """A footnote has a number in the text, and its own text is at the end, with no link between them."""
    html = markdown_html("a[^1] b[^n] c[^1]\n\n[^1]: One.\n[^n]: Two *2*.\n\n    More.\n")
    assert "a<sup>[1]</sup> b<sup>[2]</sup> c<sup>[1]</sup>" in html
    page = AnswerPage(html)
    assert page.tags[4:] == ["hr", "ol", "li", "p", "li", "p", "em", "p"]
    assert page.addresses == []
    assert line("a[^2]") == "a[^2]"


def test_code_has_colours() -> None:
    """Code in a known language has classes for its parts, and a style sheet comes with every block of code."""
    html = answer_html("```python\nx = 1 # <b>\n```")
    assert html.startswith(f'{STYLE_SHEET}\n<div class="nbretry-answer')
    page = AnswerPage(html.removeprefix(f"{STYLE_SHEET}\n"))
    assert page.classes - set(AS_WRITTEN.split()) == {"nbretry-answer", "nbretry-code", "o", "n", "c"}
    assert page.text == "x = 1 # <b>\n\n"
    assert answer_html("```python title=x\nx = 1\n```").startswith(STYLE_SHEET)
    assert answer_html("```\nx = 1\n```").startswith(STYLE_SHEET)
    for text in ("`x = 1`", '<code class="nbretry-code"><span'):
        assert STYLE_SHEET not in answer_html(text)


def test_mathjax_looks_at_formulas_alone() -> None:
    """In the element around an answer MathJax typesets nothing but what was found to be a formula."""
    html = answer_html("$x$ and $5")
    assert html.startswith(f'<div class="nbretry-answer {AS_WRITTEN}" dir="auto">')
    assert '<span class="mathjax_process tex2jax_process">$x$</span> and $5' in html


@pytest.mark.parametrize("mark", ["- ", "> ", "1. ", "- > ", "> - "])
@pytest.mark.parametrize("depth", [5, 18, 19, 20, 38, 39, 40, 41, 200, 5000])
def test_blocks_may_be_nested_deeply(mark: str, depth: int) -> None:
    """However deep lists and quotes are nested, their text and all that follows is shown, in not too many elements."""
    page = AnswerPage(markdown_html(f"before\n\n{mark * depth}deep\n\nthe end."))
    page.assert_well_formed()
    assert page.deepest <= NESTED_TOO_DEEPLY + 2
    for words in ("before", "deep", "the end."):
        assert words in page.text


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("**a ", " b**"),
        ("*a ", " b*"),
        ("~~a ", " b~~"),
        ("<b>", "</b>"),
        ("<sub>", ""),
        ("[", "](https://x.example)"),
        ("![", "](https://x.example)"),
    ],
)
@pytest.mark.parametrize("depth", [10, 39, 40, 41, 60, 2000])
def test_lines_may_be_nested_deeply(begin: str, end: str, depth: int) -> None:
    """However deep marks, tags and links are nested in a line, its words are shown, and elements are not so deep."""
    page = AnswerPage(markdown_html(f"before\n\n{begin * depth}deep{end * depth}\n\nthe end."))
    page.assert_well_formed()
    page.assert_inert()
    assert page.deepest <= NESTED_TOO_DEEPLY + 2
    for words in ("before", "deep", "the end."):
        assert words in page.text


@pytest.mark.parametrize("text", ["*a* <b> ", "$x$ ", "- a\n", "![a](https://x.example)"])
def test_very_long_texts_are_shown_as_they_are(text: str) -> None:
    """A text longer than the limit is shown as it was written, with its lines and all of its characters."""
    long = (text * LONGEST_DRAWN)[: LONGEST_DRAWN + 1]
    html = markdown_html(long)
    assert html.startswith('<div style="white-space:pre-wrap')
    page = AnswerPage(html)
    assert page.tags == ["div"]
    assert page.text == long


@pytest.mark.parametrize(
    "text",
    [
        "It is {}.",
        "`{}`",
        "```\n{}\n```",
        "$x_{{{}}}$",
        "[{}](https://x.example/{})",
        "![{}](https://x.example/{})",
        "<b>{}</b>",
        "| {} |\n| --- |\n| {} |",
        "a[^1]\n\n[^1]: {}",
        "<!-- {} -->",
        "{} " * 10_000,
    ],
)
def test_secrets_are_masked(text: str) -> None:
    """A known secret is masked wherever it is in a text."""
    remember_secret(SECRET)
    html = markdown_html(text.replace("{}", SECRET).replace("{{", "{").replace("}}", "}"))
    assert SECRET not in html
    assert "[secret]" in html or "%5Bsecret%5D" in html


@given(texts())
@settings(max_examples=1200)
def test_hostile_texts_are_inert(text: str) -> None:
    """Whatever a model writes, its HTML has only elements, attributes and classes of text, and loads nothing."""
    page = AnswerPage(markdown_html(text))
    page.assert_well_formed()
    page.assert_inert()
    assert page.classes <= {
        "mathjax_process",
        "tex2jax_process",
        "nbretry-code",
        "contains-task-list",
        "task-list-item",
        *CLASSES,
    }


PATHOLOGICAL = [
    *("[", "![", "]", "[a](", "[a](<b", "[a](http://b) ", "![a](http://b)", "[^a]", "[^a]: x\n\n", "[a]: b\n", "]("),
    *("*a ", "**a ", "*a **b ", "_a_b", "a_", "~~a", "`a``", "` `` ``` ", "\\", "&lt;", "&#", "a\\\n"),
    *("<a", "<b ", "<b>", "<sub>x</sub>", "<details>\n", "<!--", "</", "<a@b.c>", "<http://a>"),
    *("http://", "http://a.b ", "https://a/(", "a@b.c ", "https://a?", "a:", "www."),
    *("$a ", "$1 ", "$1$", "$$a", "$$\n", "$$x\n", "$a\n\n", "\\(a", "\\(a\\(", "\\[\n", "\\begin{a}\n", "\\end{a}\n"),
    *("- a\n", "- [ ] a\n", "1. a\n", "> a\n", "> - ", "# a\n", "    x\n", "```\nx\n```\n", "|", "|a|\n|-|\n", "||\n"),
    *("1. a\n  - b\n", "|a\n|-|-|\n", "|a|\n|-|\n|`a|b`|\n", "|-|\n|`a|``", "a\n-\n", "5*4", "__init__ ", "א"),
    *("x = 1\n", "```python\nx = '\n```\n"),
]


@pytest.mark.parametrize("draw", [markdown_html, safe_markdown])
@pytest.mark.parametrize("piece", PATHOLOGICAL)
def test_steps_are_linear(piece: str, draw: Callable[[str], str]) -> None:
    """Four times as long a text takes about four times as many steps, whatever is repeated in it."""
    short = piece * (1000 // len(piece))
    draw(short)
    few, many = (calls_of(lambda text=text: draw(text)) for text in (short, short * 4))
    assert many <= 4.8 * few + 2000


@pytest.fixture
def without_sanitiser(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As under Pyodide, where the package of the sanitiser is missing."""
    original: Callable[..., Any] = builtins.__import__

    def without_nh3(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "nh3":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "nh3", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_nh3)
    painter._sanitiser.cache_clear()
    yield
    painter._sanitiser.cache_clear()


@pytest.mark.usefixtures("without_sanitiser")
class TestWithoutSanitiser:
    """Without the sanitiser no tag of a model is in the page."""

    @pytest.mark.parametrize(
        "text",
        ["<b>a</b>", "a<br>b", "<details>\n<summary>a</summary>\n\nb\n\n</details>", "<hr>", "<sub onclick=x>a</sub>"],
    )
    def test_tags_are_shown_as_written(self, text: str) -> None:
        """Even harmless tags are text."""
        page = AnswerPage(markdown_html(text))
        assert set(page.tags) <= {"p"}
        assert page.text.split() == text.split()

    def test_markdown_is_drawn(self) -> None:
        """Everything that is Markdown looks the same."""
        page = AnswerPage(markdown_html("# A\n\n*b* [c](https://x.example) `d` $e$\n\n| f |\n| - |\n| g |\n\n- [x] h"))
        page.assert_well_formed()
        page.assert_inert()
        assert {"h1", "em", "a", "code", "span", "table", "input"} <= set(page.tags)

    @given(texts())
    @settings(max_examples=400)
    def test_hostile_texts_are_inert(self, text: str) -> None:
        """The renderer by itself lets nothing active into a page."""
        page = AnswerPage(markdown_html(text))
        page.assert_well_formed()
        page.assert_inert()
        assert not {"sub", "b", "i", "u", "kbd", "details", "summary"} & set(page.tags)
