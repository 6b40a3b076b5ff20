"""Markdown as models write it: cases that users of other programs have reported, read as they were meant."""

from __future__ import annotations

import re

import pytest
from hostile import words_of
from markdown_it import MarkdownIt
from page import Page

from nbretry.renderers.markdown import safe_markdown
from nbretry.renderers.painter import markdown_html

AWAY = ' target="_blank" rel="noopener noreferrer"'


def html_of(text: str) -> str:
    """The HTML without what every link and formula has, and without line breaks between elements."""
    html = markdown_html(text).replace(AWAY, "").replace(' class="mathjax_process tex2jax_process"', ' class="m"')
    return re.sub(r"(?<=>)\n|\n(?=<)", "", html)


def drawn_by_others(text: str) -> str:
    """The HTML that a CommonMark parser makes of the Markdown that is published beside ours."""
    return str(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(safe_markdown(text)))


def words(html: str) -> str:
    """The letters and digits that are to be read."""
    return words_of(Page(html).text)


def paragraph(html: str) -> str:
    return f"<p>{html}</p>"


def to(address: str, words: str | None = None) -> str:
    return f'<a href="{address}">{words or address}</a>'


LISTS = [
    # w3c/guide 348, cmark-gfm 16
    (
        "1. one\n2. two\n  * a\n  * b\n3. three",
        "<ol><li>one</li><li>two<ul><li>a</li><li>b</li></ul></li><li>three</li></ol>",
    ),
    (
        "1. one\n  - a\n    b\n\n  - c\n\n2. two",
        "<ol><li><p>one</p><ul><li><p>a\nb</p></li><li><p>c</p></li></ul></li><li><p>two</p></li></ol>",
    ),
    ("10. ten\n   - a\n11. eleven", '<ol start="10"><li>ten<ul><li>a</li></ul></li><li>eleven</li></ol>'),
    (
        "10. foo\n\n  ```\n  f():\n\n# comment\n    x\n  ```",
        '<ol start="10"><li>foo</li></ol><pre><code class="nbretry-code">f():\n\n# comment\n  x</code></pre>',
    ),
    (
        "```\n```python\n10. foo\n  - bar\n```",
        '<pre><code class="nbretry-code">```python\n10. foo\n  - bar</code></pre>',
    ),
    (
        "```inline``` text\n\n10. a\n   - b",
        '<p><code>inline</code> text</p><ol start="10"><li>a<ul><li>b</li></ul></li></ol>',
    ),
    ("1. one\n   - a\n2. two", "<ol><li>one<ul><li>a</li></ul></li><li>two</li></ol>"),
    ("1. one\n\nText.\n\n  - a", "<ol><li>one</li></ol><p>Text.</p><ul><li>a</li></ul>"),
    ("- one\n  - a\n- two", "<ul><li>one<ul><li>a</li></ul></li><li>two</li></ul>"),
    ("```\n1. one\n  - a\n```", '<pre><code class="nbretry-code">1. one\n  - a</code></pre>'),
]

HEADINGS = [
    # marked 2974, html-to-markdown 124, anything-llm 5588
    ("Text\n---\nmore", "<p>Text</p><hr><p>more</p>"),
    ("Steps:\n-", "<p>Steps:\n-</p>"),
    ("Title\n=====", "<h1>Title</h1>"),
    ("Part\n-----", "<h2>Part</h2>"),
]


def table(*rows: str) -> str:
    return "\n".join(("| a | b |", "| --- | --- |", *rows))


def cells(text: str) -> list[str]:
    return re.findall("<td>(.*?)</td>", html_of(text))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # vscode-markdown 641, markdown-preview-plus 185, cmarker.typ 54
        (r"| a | $\ln|x| + C$ |", ["a", r'<span class="m">$\ln|x| + C$</span>']),
        ("| $P(A|B)$ | foo", ['<span class="m">$P(A|B)$</span>', "foo"]),
        ("| $P(A | B)$ | foo |", ['<span class="m">$P(A | B)$</span>', "foo"]),
        (r"| \(|x|\) | foo |", [r'<span class="m">\(|x|\)</span>', "foo"]),
        # marked 1375, github/markup 1875
        ("|`row | column`| foo |", ["<code>row | column</code>", "foo"]),
        ("| `Array<A>|undefined`  | some text | ", ["<code>Array&lt;A&gt;|undefined</code>", "some text"]),
        ("| `a` | `b` |", ["<code>a</code>", "<code>b</code>"]),
        ("| $5 | $6 |", ["$5", "$6"]),
        ("| a ` b | c ` d |", ["a ` b", "c ` d"]),
        ("| a | b | c |", ["a", "b"]),
        (r"| a \| b | c |", ["a | b", "c"]),
        ("| a |", ["a", ""]),
    ],
)  # fmt: skip
def test_pipes(row: str, expected: list[str]) -> None:
    """A pipe in code or in a formula ends no cell where there would be too many, in a quote as well."""
    assert cells(table(row)) == expected
    assert cells("> " + table(row).replace("\n", "\n> ")) == expected


def test_a_head_with_a_pipe_in_it() -> None:
    """What is true of rows is true of the head."""
    assert "<th><code>a|b</code></th><th>c</th>" in html_of("| `a|b` | c |\n|---|---|\n| d | e |")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        # commonmark-spec 650, opencode 38490, marked 3278 and 3617, colabtools 5768, zenn-editor 520
        ("**真，**她", "<strong>真，</strong>她"),
        ("含**「重点」**内容", "含<strong>「重点」</strong>内容"),
        ("**text2：**text", "<strong>text2：</strong>text"),
        ("**テスト（）**だ", "<strong>テスト（）</strong>だ"),
        ("**この太字は認識されません。**この文", "<strong>この太字は認識されません。</strong>この文"),
        ("**마크다운(Markdown)**의", "<strong>마크다운(Markdown)</strong>의"),
        ("**[Tab]**키", "<strong>[Tab]</strong>키"),
        ("**“文字”**的", "<strong>“文字”</strong>的"),
        ("**「A」**なので**「B」**", "<strong>「A」</strong>なので<strong>「B」</strong>"),
        ("*（a）*b", "<em>（a）</em>b"),
        ("**a**🙂**b**", "<strong>a</strong>🙂<strong>b</strong>"),
        ("a * b * c, ** d **", "a * b * c, ** d **"),
        ("**a:**b", "**a:**b"),
        # textgen 5608
        ("5! = 5*4*3*2*1, 2**3**2", "5! = 5*4*3*2*1, 2**3**2"),
        ("2*x*3", "2<em>x</em>3"),
        # hermes-agent 28146, github/markup 428
        ("call __init__ if __name__ == '__main__':", "call __init__ if __name__ == '__main__':"),
        ("__bold__ and __more bold__ and _a_", "<strong>bold</strong> and <strong>more bold</strong> and <em>a</em>"),
        ("__post_init__, __aenter__", "__post_init__, __aenter__"),
    ],
)  # fmt: skip
def test_emphasis(text: str, html: str) -> None:
    """Bold words may touch Chinese, Japanese and Korean text; products of numbers and names of Python are no marks."""
    assert html_of(text) == paragraph(html)
    assert words(drawn_by_others(text)) == words(html)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        # openchamber 3039, ox-content 1138, wuu 47, cmark-gfm 377, linkify-it 57
        ("https://x.example/docs（中文）了解", f"{to('https://x.example/docs')}（中文）了解"),
        ("https://x.example/foo。次の文。", f"{to('https://x.example/foo')}。次の文。"),
        ("见 https://x.example/a?b=1，谢谢", f"见 {to('https://x.example/a?b=1')}，谢谢"),
        ("“https://x.example”", f"“{to('https://x.example')}”"),
        ("参见https://x.example。", f"参见{to('https://x.example')}。"),
        # notable 909, redcarpet 427
        ("http://x.example/_foo_/bar", to("http://x.example/_foo_/bar")),
        (r"http://x.example/foo\_bar\_baz.", f"{to('http://x.example/foo_bar_baz')}."),
        ("**https://x.example/a**, ~~https://x.example/b~~", f"<strong>{to('https://x.example/a')}</strong>, <s>{to('https://x.example/b')}</s>"),
        ("_https://x.example/a_", f"<em>{to('https://x.example/a')}</em>"),
        ("[see https://x.example/a]", f"[see {to('https://x.example/a')}]"),
        ("**https://x.example/a**: foo", f"<strong>{to('https://x.example/a')}</strong>: foo"),
        (
            "**https://x.example/a**,**https://x.example/b**",
            f"<strong>{to('https://x.example/a')}</strong>,<strong>{to('https://x.example/b')}</strong>",
        ),
        ("*https://x.example/a*'s", f"<em>{to('https://x.example/a')}</em>'s"),
        ("https://x.example/a: b", f"{to('https://x.example/a')}: b"),
        ("https://x.example/a—b", f"{to('https://x.example/a')}—b"),
        ("https://x.example/a&hellip;b", f"{to('https://x.example/a')}…b"),
        ("xhttps://x.example", "xhttps://x.example"),
        ("https:// x", "https:// x"),
    ],
)  # fmt: skip
def test_addresses(text: str, html: str) -> None:
    """An address ends before punctuation and signs around it, and no sign in it means something else."""
    assert html_of(text) == paragraph(html)
    assert re.findall('href="(.*?)"', drawn_by_others(text)) == re.findall('href="(.*?)"', html)


@pytest.mark.parametrize(("text", "html"), [*LISTS, *HEADINGS])
def test_blocks(text: str, html: str) -> None:
    """Lists and code belong to the numbered item above them; three dashes below a text are a rule."""
    assert html_of(text) == html
    others = drawn_by_others(text)
    assert words(others) == words(html)
    assert re.findall("<(?:ol|ul|li|h[12]|hr)", others) == re.findall("<(?:ol|ul|li|h[12]|hr)", html)


def test_directions() -> None:
    """Right-to-left text has its own direction in each paragraph, item and cell."""
    html = html_of("Hello.\n\nשלום לכולם\n\n- سلام\n- hello\n\n| a |\n| - |\n| שלום |\n\n# مرحبا")
    assert html.startswith('<p>Hello.</p><p dir="auto">שלום לכולם</p><ul><li dir="auto">سلام</li><li>hello</li></ul>')
    assert '<td dir="auto">' in html
    assert '<h1 dir="auto">' in html
