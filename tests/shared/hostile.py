r"""Hostile texts as a model could write them, and pages that say all that is in them."""

from __future__ import annotations

import re

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from page import Page


def _parts(text: str) -> list[str]:
    return [part.replace("⏎", "\n") for part in text.replace("\n", "¦").split("¦") if part]


HTML = _parts("""\
<script>¦</script>¦<script>alert(1)</script>¦<script¦<SCRIPT/x>¦<style>¦</style>¦<!--¦-->¦<?php¦?>¦<![CDATA[¦]]>
<!DOCTYPE x>¦<a¦</¦/>¦<¦<b onclick=x>¦<b/onclick=x>¦<b⏎onclick=x>¦<img/src=x/onerror=alert(1)>¦<img src=//x/y>
<img src=x onerror=alert(1)>¦<svg/onload=x>¦<iframe/src=x>¦<iframe srcdoc='<script>'>¦<form action=x>¦<base href=//x>
<math><mtext>¦<a href=//x>¦<input formaction=x>¦<div style=position:fixed>¦<think>¦List<String>¦<sub>¦</sub>¦<br>¦<kbd>
<details open ontoggle=x>¦<details>¦<summary>¦</details>¦</summary>¦⏎<details>⏎¦⏎</summary>⏎¦<sup onmouseover=x>¦</sup>
<hr/>¦<u class=x>¦</u>¦<td>¦</table>¦</p>¦</div>¦</code></pre>¦<title>¦<noscript>¦<template>¦<xmp>¦<plaintext>
<textarea>¦<select>¦</span>¦<a name=x id=x>¦<object data=x>""")
ENTITIES = _parts("&lt;¦&#60;¦&#x3c;script&#x3e;¦&quot;¦&amp;lt;¦&lt¦&¦java&#115;cript:x¦&NewLine;¦&colon;¦&#33;¦&#91;")
LINKS = _parts("""\
[a](http://x/y)¦![a](http://x/y)¦[a](javascript:x)¦[a]( javascript:x )¦[a](<javascript:x>)¦[a][a]¦[a]:¦[¦]¦](¦![
⏎[a]: javascript:x⏎¦[a]: http://x/y⏎¦[a](data:text/html,x)¦[a](//x/y)¦[a](x.html)¦[]()¦[![a](http://x/y)](http://x)
![a [b](http://x)](http://y)¦![](data:x)¦[a](HTTP://x)¦[a]( 'b')¦![a][a]¦[a](java⏎script:x)¦[a](vbscript:x)
[a](\x01javascript:x)¦[a](file:///x)¦[a](http://x 'title"')¦<javascript:x>¦<http://x/y>¦<http://x/"onclick=x>
<a@b.example>¦<data:text/html,x>¦[^a]¦[^a]: x⏎¦[a](http://x/$y$)¦[a](attachment:x)¦![a](attachment:x)¦[a](<http://x
[^a]: <img src=x onerror=y>⏎¦[a](http://x/$"onmouseover="x="$)¦!<http://x/y>""")
ADDRESSES = _parts("""\
https://x.example/¦http://x/y¦ftp://x.example/¦www.x.example¦a@b.example¦mailto:a@b.example¦javascript:x¦//x/y
data:text/html,x¦https://x.example/$y$¦https://x.example/`¦HTTPS://X¦http://¦xmpp:a@b.example""")
FORMULAS = _parts("""\
$¦$$¦\\(¦\\)¦\\[¦\\]¦\\\\(¦\\\\)¦\\\\[¦\\\\]¦\\begin{x}¦\\end{x}¦\\begin{align}¦\\end{align}¦$x$¦$$x$$¦$a<b$¦$`x`$¦{¦}
\\(x\\)¦\\[![a](http://x/y)\\]¦\\href{javascript:x}{y}¦\\style{x}{y}¦@@0@@¦@@1@@¦~D¦$"onmouseover="x="$¦$x⏎⏎y$¦⏎$$⏎
⏎\\[⏎¦⏎\\]⏎¦⏎\\begin{x}⏎¦⏎\\end{x}⏎¦\\$¦x^2¦_1""")
CODE = _parts("""\
`¦``¦```¦````¦~~~¦⏎```⏎¦⏎```html⏎¦⏎~~~⏎¦⏎````⏎¦⏎```mermaid⏎¦``` `¦    ¦\t¦`<b>`¦`$x`¦`$`¦⏎```{=html}⏎¦`` ` ``
⏎```python x=$y$⏎¦`\\begin{x}`¦⏎```⏎<script>⏎```⏎¦`$ ![a](http://x/y)`""")
MARKS = _parts("""\
\\¦>¦-¦1.¦*¦**¦***¦_¦__¦~~¦#¦|¦||¦=¦---¦===¦!¦(¦)¦"¦'¦:¦+¦- [ ] ¦- [x] ¦⏎> ¦⏎- ¦⏎1. ¦⏎# ¦⏎---⏎¦⏎===⏎¦⏎: ¦==¦^¦^[
{.x}¦{#x}¦⏎| a | b |⏎| --- | --- |⏎| c | d |⏎¦⏎| --- | --- |⏎¦⏎|:-|-:|⏎¦\\|¦⏎:::⏎¦⏎%%⏎¦⏎    ¦⏎  ¦  ⏎""")
SPACES = ["\n", "\n\n", " ", "\\\n", "\r", "\r\n", "\u2028", "\x0b", "\x0c", "\xa0", "\0", "\x1f", "\ufeff"]
WORDS = ["word", "x", "A1", "é", "\u202e", "\ud800", "🦊", "\u200b"]

GROUPS = [HTML, ENTITIES, LINKS, ADDRESSES, FORMULAS, CODE, MARKS, SPACES, WORDS]
FRAGMENTS = [fragment for group in GROUPS for fragment in group]
"""Parts of HTML, links, formulas, code and Markdown. Two in a row often mean something else than each by itself."""


def texts(longest: int = 14) -> st.SearchStrategy[str]:
    """Hostile texts of at most this many fragments, which are of all kinds or of a few."""
    fragments = st.sampled_from(FRAGMENTS)
    of_few_kinds = st.lists(st.sampled_from(GROUPS), min_size=1, max_size=3).flatmap(
        lambda groups: st.lists(st.sampled_from([fragment for group in groups for fragment in group]), max_size=longest)
    )
    return (st.lists(fragments, max_size=longest) | of_few_kinds).map("".join)


def many_texts(count: int) -> list[str]:
    """So many hostile texts, for a test that needs them all at once."""
    found: list[str] = []

    @given(texts())
    @settings(max_examples=count, phases=[Phase.generate], database=None)
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return found


SAFE_ATTRIBUTES = {"class", "dir", "start", "target", "rel", "checked", "disabled", "type", "align", "title"}
ALIGNMENT = re.compile("text-align: ?(left|center|right);?")
_TAGS = """
p h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code span div a table thead tbody tr th td input strong em
b br del details hr i ins kbd mark s small sub summary sup u dl dt dd
"""
TAGS_OF_TEXT = set(_TAGS.split())
"""Elements that can do nothing by themselves."""


class AnswerPage(Page):
    """A page with nothing but an answer.

    Args:
        page: the HTML.
    """

    def __init__(self, page: str) -> None:
        self.attributes: list[tuple[str, str, str]] = []
        self.others: list[str] = []
        self.deepest = 0
        super().__init__(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        self.deepest = max(self.deepest, len(self.open))
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    @property
    def classes(self) -> set[str]:
        """Every class of an element."""
        return {word for _, name, value in self.attributes if name == "class" for word in value.split()}

    def assert_harmless(self) -> None:
        """As for any page; a mail address is harmless as well."""
        self.addresses = [address for address in self.addresses if not address.startswith("a href=mailto:")]
        super().assert_harmless()

    def assert_inert(self) -> None:
        """There are only elements of text; nothing is loaded, and a link leads to the web or to a mail address."""
        assert self.others == []
        assert set(self.tags) <= TAGS_OF_TEXT
        for tag, name, value in self.attributes:
            if name == "href":
                assert tag == "a"
                assert value.lower().startswith(("http://", "https://", "mailto:")), f"leads elsewhere: {value}"
            elif name == "style":
                assert ALIGNMENT.fullmatch(value)
            else:
                assert name in SAFE_ATTRIBUTES, f"{tag} has {name}={value}"
                assert name != "type" or value == "checkbox"


def words_of(text: str) -> str:
    """The letters and digits of a shown text, in order."""
    return "".join(character for character in text if character.isalnum())
