"""A text that grows: what is finished is cut off once, and is drawn as in the whole text."""

from __future__ import annotations

import itertools
import re

import pytest
from hostile import AnswerPage, texts, words_of
from hypothesis import given, settings
from hypothesis import strategies as st
from short_runs import SECRET

from nbretry._utils.redaction import mask, remember_secret
from nbretry.renderers.growing_text import GrowingHtml, GrowingText
from nbretry.renderers.painter import LONGEST_DRAWN, markdown_html

BLOCKS = [
    "# A heading\n\n",
    "A paragraph of *some* words with `code`, $x^2$ and [a link](https://x.example/y).\n\n",
    "One line\nand another one\n\n",
    "- an item\n- another one\n  - a nested one\n\n",
    "1. one\n2. two\n   ```python\n   x = 1\n   ```\n3. three\n\n",
    "```python\ndef f(x):\n    return x\n\n\nprint(f(1))\n```\n\n",
    "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n\n",
    "> A quote\n> of two lines\n\n",
    "$$\n\\sum_i x_i\n$$\n\n",
    "---\n\n",
]
LONG_BLOCKS = {
    "list": "".join(f"- item {number} of a list\n" for number in range(400)),
    "numbers": "".join(f"{number}. item of a list\n" for number in range(1, 400)),
    "items": "".join(f"- item {number}\n\n  with a second paragraph\n\n" for number in range(200)),
    "code": "```python\n" + "".join(f"x{number} = {number}\n\n" for number in range(500)) + "```\n",
    "code in tildes": "~~~~\n" + "".join(f"line {number}\n" for number in range(500)) + "~~~~\n",
    "table": "| HE | AD |\n| --- | --- |\n" + "".join(f"| {number} | cell |\n" for number in range(400)),
    "paragraph": " ".join(f"word{number}" for number in range(2_000)),
    "lines": "\n".join(f"line {number} of a poem" for number in range(500)),
    "quote": "".join(f"> line {number}\n" for number in range(500)),
    "one word": "x" * 10_000,
    "definitions": "".join(f"[{number}]: https://x.example/{number}\n" for number in range(500)) + "\nThe *end*.",
}
CODE = "".join(f"INDENTx_{number} = __init__({number})\n" for number in range(300))
LONG_CODE = {
    "below an empty line": f"\n```python\n{CODE.replace('INDENT', '')}```\n",
    "below a definition": f"[a]: https://x.example\n\n```python\n{CODE.replace('INDENT', '')}```\n",
    "in a list": f"1. Do this:\n\n   ```python\n{CODE.replace('INDENT', '   ')}   ```\n\n",
    "in an item": f"- ```python\n{CODE.replace('INDENT', '  ')}  ```\n",
    "in a list in a list": f"- a\n  - b\n    ```python\n{CODE.replace('INDENT', '    ')}    ```\n",
    "in a list in lists": f"- a\n  - b\n    - c\n      ~~~~\n{CODE.replace('INDENT', '      ')}      ~~~~\n",
    "in a quote": f"> ```python\n{CODE.replace('INDENT', '> ')}> ```\n",
}


def grown(text: str, step: int) -> tuple[list[str], str]:
    """All parts of a text that has grown by so many characters at a time, and its tail."""
    growing = GrowingText()
    done: list[str] = []
    tail = ""
    for end in [*range(step, len(text), step), len(text)]:
        parts, tail = growing.feed(text[:end])
        done += parts
    return done, tail


def words_of_all(parts: list[str]) -> str:
    return words_of("".join(AnswerPage(markdown_html(part)).text for part in parts))


@given(st.lists(st.sampled_from(BLOCKS), min_size=20, max_size=60).map("".join), st.integers(10, 400))
@settings(max_examples=60)
def test_parts_are_drawn_as_the_whole(text: str, step: int) -> None:
    """The parts and the tail have the elements and the words of the whole text, in the same order."""
    done, tail = grown(text, step)
    assert done or len(text) < 3_000
    pages = [AnswerPage(markdown_html(part)) for part in (*done, tail)]
    whole = AnswerPage(markdown_html(text))
    assert words_of("".join(page.text for page in pages)) == words_of(whole.text)
    cut = {"ul", "ol"}  # a list that is cut is several
    assert [tag for page in pages for tag in page.tags if tag not in cut] == [
        tag for tag in whole.tags if tag not in cut
    ]


@pytest.mark.parametrize("name", LONG_BLOCKS)
def test_a_long_block_is_cut(name: str) -> None:
    """A single block of any kind is cut as well, and each part of it is drawn as this kind."""
    text = LONG_BLOCKS[name]
    done, tail = grown(text, 50)
    assert done
    assert len(tail) < 6_500
    # Each part of a table has its head.
    shown, whole = words_of_all([*done, tail]), words_of(AnswerPage(markdown_html(text)).text)
    assert shown.replace("HEAD", "") == whole.replace("HEAD", "")
    kinds = {tuple(AnswerPage(markdown_html(part)).tags[:1]) for part in done}
    assert len(kinds) == 1, kinds


@pytest.mark.parametrize("step", [7, 50, 900])
@pytest.mark.parametrize("place", LONG_CODE)
def test_long_code_is_code_in_each_part(place: str, step: int) -> None:
    """Code that is cut is code before and after the cut, wherever it is, and what follows it is not."""
    done, tail = grown(f"{LONG_CODE[place]}\n2. Then **that**.\n", step)
    assert len(done) >= 2
    pages = [markdown_html(part) for part in (*done, tail)]
    shown = [
        line for page in pages for code in re.findall("<code.*?</code>", page, re.DOTALL) for line in lines_of(code)
    ]
    assert shown == [f"x_{number} = __init__({number})" for number in range(300)]
    assert "Then <strong>that</strong>." in pages[-1]


def lines_of(code: str) -> list[str]:
    return AnswerPage(code).text.strip("\n").split("\n")


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_other_line_ends(end: str) -> None:
    """Lines may end as on Windows, or as a progress bar does, which begins its line again."""
    text = "Output: 10 %\n20 %\n30 %\n\n" + "A paragraph\nof two lines.\n\n" * 300
    done, tail = grown(text.replace("\n", end), 100)
    assert len(done) > 3
    assert "".join((*done, tail)) == text


def test_numbers_of_a_cut_list_go_on() -> None:
    """The parts of a numbered list are numbered as it is."""
    done, tail = grown(LONG_BLOCKS["numbers"], 100)
    starts = [part.partition(".")[0] for part in (*done, tail)]
    assert starts[0] == "1"
    assert all(
        f'start="{start}"' in markdown_html(part) for start, part in zip(starts[1:], [*done, tail][1:], strict=True)
    )


@given(texts(60), st.integers(1, 30))
@settings(max_examples=150)
def test_hostile_texts_lose_nothing(text: str, step: int) -> None:
    """Whatever a model writes, all of it is in the parts and the tail, and each of them is inert by itself."""
    text = text * 8
    done, tail = grown(text, step * 20)
    rest = text
    for part in (*done, tail):
        AnswerPage(markdown_html(part)).assert_inert()
    for line in "".join((*done, tail)).split("\n"):  # a part may begin with what a block needs, and end with its end
        if line and line in rest:
            rest = rest.replace(line, "", 1)
    assert words_of(rest) == ""


SPACED = "correct horse battery staple 9"


@pytest.mark.parametrize("step", [11, 70])
@pytest.mark.parametrize("secret", [SECRET, SPACED, "Bearer abc123DEF456ghi789JKL012"])
@pytest.mark.parametrize("name", LONG_BLOCKS)
def test_a_secret_is_never_cut(name: str, secret: str, step: int) -> None:
    """No part ends in the middle of a secret, also while it still grows, so that each part is masked by itself."""
    if not secret.startswith("Bearer"):
        remember_secret(secret)
    text = LONG_BLOCKS[name].replace("item", secret).replace("line", secret).replace("word", f"{secret} ")
    text = text[:6_000].rpartition(secret)[0] or text[:6_000]
    done, tail = grown(text, step)
    shown = [mask(part) for part in (*done, tail)]
    assert sum(part.count("[secret]") for part in shown) >= mask(text).count("[secret]")
    assert not any(piece in part for part in shown for piece in (secret, secret[7:], secret[: len(secret) - 5]))


def test_html_of_finished_parts_is_drawn_once() -> None:
    """What a growing text costs is in proportion to its length."""
    drawn: list[str] = []

    def draw(text: str) -> str:
        drawn.append(text)
        return text

    text = "".join(itertools.islice(itertools.cycle(BLOCKS), 600))
    growing = GrowingHtml(draw)
    for end in range(0, len(text), 500):
        assert growing.of(text[:end]) == text[:end]
    assert max(len(part) for part in drawn) < 3_000


def test_html_begins_again() -> None:
    """Another text, as when what a provider had sent is withdrawn, is drawn from its beginning."""
    growing = GrowingHtml(markdown_html)
    growing.of("word " * 2_000)
    assert growing.of("*Another* one.") == markdown_html("*Another* one.")


def test_html_of_a_very_long_text() -> None:
    """Of a text that is too long to be drawn, the beginning stays, with the number of characters so far."""
    growing = GrowingHtml(markdown_html)
    text = "A word or two.\n\n" * (LONGEST_DRAWN // 16)
    before = growing.of(text[:LONGEST_DRAWN])
    after = growing.of(text + "more " * 1_000)
    assert after.startswith(before[: len(before) // 2])
    assert f"{len(text) + 5_000:,} characters so far" in after
