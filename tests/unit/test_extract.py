"""The code and the JSON in an answer, however a model has wrapped them."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbretry._extract import Block, NoJSONError, code_of, fenced_blocks, json_of
from nbretry.answer import Answer
from nbretry.errors import AnswerFormatError
from nbretry.events import TextDelta

# --- code -------------------------------------------------------------------------------------------------------------

CODES = {
    "a fence": ("Here:\n\n```python\nprint(1)\n```\n\nDone.", "print(1)"),
    "tildes": ("~~~\nx = 1\n~~~", "x = 1"),
    "a long fence with one inside": ("````md\n```py\nx\n```\n````", "```py\nx\n```"),
    "a fence in a docstring": ('```python\ndef f():\n    """\n    ```\n    x\n    ```\n    """\n```', None),
    "cut off": ("```python\nfor x in y:\n    print(x)\n", "for x in y:\n    print(x)"),
    "cut off in the fence": ("```pyth", ""),
    "in a list": ("1. First:\n\n   ```python\n   if x:\n       y\n   ```\n", "if x:\n    y"),
    "in a quote": ("> ```\n> x\n> ```", "x"),
    "in HTML": ("<details>\n```python\nx\n```\n</details>", "x"),
    "indented by three": ("   ```\n   x\n     y\n   ```", "x\n  y"),
    "Windows": ("```python\r\nx = 1\r\ny = 2\r\n```\r\n", "x = 1\ny = 2"),
    "one language twice": ("```python\na\n```\nthen\n```python\nb\n```", "a\n\nb"),
    "one language under its names": ("```py\na\n```\n```{python}\nb\n```\n``` Python3 title=x\nc\n```", "a\n\nb\n\nc"),
    "two languages": ("```bash\npip install x\n```\n```python\nimport x\nx.run()\n```", "import x\nx.run()"),
    "as much of each": ("```bash\nls\n```\n```sql\nxy\n```", "ls"),
    "its output": ("```python\nprint(1)\n```\nOutput:\n```\n" + "1\n" * 99 + "```", "print(1)"),
    "an empty block before": ("```python\n```\n```\nx\n```", "x"),
    "nothing but an empty block": ("```python\n\n```", ""),
    "a line separator": ("```\nx = '\u2028'\n```", "x = '\u2028'"),
    "odd characters": ("```\n{{ x }} $y 🦊 שלום \\n\n```", "{{ x }} $y 🦊 שלום \\n"),
    "no fence": ("\nprint(1)\n\nprint(2)\n", "print(1)\n\nprint(2)"),
    "no fence, indented": ("    x = 1\n    y = 2", "    x = 1\n    y = 2"),
    "no fence, with a comment": ("# This adds two numbers.\nx = 1 + 2", "# This adds two numbers.\nx = 1 + 2"),
    "no fence, SQL": ("SELECT a FROM b WHERE c = 'd';", "SELECT a FROM b WHERE c = 'd';"),
    "no fence, a magic": ("%pip install numpy", "%pip install numpy"),
    "no fence, a loop": ("for x in range(10):\n    print(x)", "for x in range(10):\n    print(x)"),
    "no fence, JavaScript": ("const f = x => `a${x}`;", "const f = x => `a${x}`;"),
    "a refusal": ("I'm sorry, but I can't write that.", ""),
    "one word": ("No.", ""),
    "a bold beginning": ("**Sure!**\n\nx = 1", ""),
    "a sentence before code": ("Here is the code you wanted:\nx = 1", ""),
    "Chinese": ("我不能这样做。", ""),
    "Arabic": ("لا أستطيع ذلك.", ""),
    "nothing": ("", ""),
    "blank lines": ("\n \n", ""),
}


@pytest.mark.parametrize(("answer", "code"), CODES.values(), ids=list(CODES))
def test_code_of_an_answer(answer: str, code: str | None) -> None:
    """The code comes without its fences, whatever fences they are and whatever stands around them."""
    if code is None:
        code = answer.split("\n", 1)[1].removesuffix("\n```")
    assert code_of(answer) == code


FENCES = st.tuples(st.sampled_from("`~"), st.integers(3, 9), st.sampled_from(["", "python", "c++ x=1", "日本"]))


@given(st.text(), FENCES, st.text("abc .", max_size=9), st.booleans())
@example("\x00", ("`", 3, ""), "", True)
def test_any_code_comes_back(text: str, fence: tuple[str, int, str], before: str, closed: bool) -> None:
    """Any text that is put between fences longer than its own comes back, with or without the closing fence."""
    text = re.sub(r"\r\n?", "\n", text).replace("\x00", "\ufffd")  # as CommonMark has them
    longest = max((len(run) for run in re.findall(r"`+|~+", text)), default=0)
    line = fence[0] * max(fence[1], longest + 1)
    end = f"\n{line}\n" if closed else ""
    answer = f"{before}\n\n{line}{fence[2]}\n{text}{end}"
    expected = text.strip("\n")
    assert code_of(answer) == (expected if expected.strip() else "")


@given(st.text(st.sampled_from('`~ \n>-1.ax[]{}",:\\<')))
def test_any_answer_has_code_or_none(text: str) -> None:
    """No answer makes it fail, and every character of what it finds is the answer's."""
    code = code_of(text)
    assert not Counter(code.replace("\n", "")) - Counter(text)


def test_where_a_block_begins() -> None:
    """Each block tells its language and the line of the answer on which it begins."""
    answer = "Look:\n\n```Python\na\nb\n```\n- in a list\n  ~~~ {.sql}\n  c\n  ~~~\n"
    assert fenced_blocks(answer) == [Block("python", "a\nb", 4), Block("sql", "c", 9)]


# --- JSON -------------------------------------------------------------------------------------------------------------

VALUES: dict[str, tuple[str, Any]] = {
    "as it is": ('{"a": [1, 2.5, null, true, "x"]}', {"a": [1, 2.5, None, True, "x"]}),
    "blank around": ("\n\t [1]\r\n ", [1]),
    "a byte order mark": ('\ufeff{"a": 1}', {"a": 1}),
    "a number": ("42", 42),
    "a text": ('"x"', "x"),
    "null": ("null", None),
    "a fence": ('Sure:\n```json\n{"a": 1}\n```\nDone {here}.', {"a": 1}),
    "a fence of no language": ("```\n[1, 2]\n```", [1, 2]),
    "the fence that is JSON": ('```python\nx = {}\n```\n```json\n{"a": 1}\n```', {"a": 1}),
    "a number in a fence": ("It is\n```json\n7\n```", 7),
    "in a sentence": ('The answer is {"a": {"b": [1]}}, I think.', {"a": {"b": [1]}}),
    "in code": ('```python\ndata = {"a": 1}\n```', {"a": 1}),
    "after braces that are none": ('The set {1, 2} and [a](b) as {"a": 1}.', {"a": 1}),
    "brackets in a text": ('See {"a": "} ] \\" {"} there', {"a": '} ] " {'}),
    "two apart": ('Either {"a": 1} or {"a": 2}.', {"a": 1}),
    "one and a remark": ('{"a": 1}\n\nHope it helps {me}!', {"a": 1}),
    "odd characters": ('{"ключ": "🦊 \u2028 {{ x }}"}', {"ключ": "🦊 \u2028 {{ x }}"}),
    "large": (json.dumps(["x" * 50] * 4000), ["x" * 50] * 4000),
    "a comment after it": ('{"a": 1} // one', {"a": 1}),
    "a double key": ('{"a": 1, "a": 2}', {"a": 2}),
}


@pytest.mark.parametrize(("answer", "value"), VALUES.values(), ids=list(VALUES))
def test_json_of_an_answer(answer: str, value: Any) -> None:
    """The value is found as the whole answer, in a fence, or between words."""
    assert json_of(answer) == value


MISTAKES: dict[str, tuple[str, str]] = {
    "nothing": ("", "the answer is no JSON: there is no object and no array in it"),
    "words": ("I cannot do that.", "the answer is no JSON: there is no object and no array in it"),
    "a word that JSON has not": ("NaN", "the answer is no JSON: there is no object and no array in it"),
    "a number that JSON has not": ('{"a": NaN}', "NaN is no number of JSON"),
    "cut off": ('{"a": 1,\n "b": [1, 2', "it is cut off (line 2, column 12)"),
    "cut off in a text": ('[{"a": 1}, {"b": "hal', "it is cut off (line 1, column 18)"),
    "cut off in a fence": ('So:\n\n```json\n{"a": 1,\n', "it is cut off (line 4, column 9)"),
    "cut off after words": ('So: {"a": {"b": 1}, ', "it is cut off (line 1, column 21)"),
    "a bare key": ('{"a": 1, b: {"c": 2}}', "(line 1, column 10)"),
    "a bare key after words": ('Look:\n  {"a": 1, b: {"c": 2}}', "(line 2, column 12)"),
    "a bare key in a fence": ('{ } first\n\n```json\n{"a": 1,\n b: {"c": 2}}\n```', "(line 5, column 2)"),
    "single quotes": ("{'a': 1}", "(line 1, column 2)"),
    "lines of JSON": ('{"a": 1}\n{"a": 2}\n{"a": 3}', "several values follow one another, and one is wanted"),
    "too deep": ("[" * 100_000 + "]" * 100_000, "it is nested too deeply"),
    "too many digits": ("[" + "9" * 5000 + "]", "Exceeds the limit (4300 digits) for integer string conversion"),
}


@pytest.mark.parametrize(("answer", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_no_json(answer: str, message: str) -> None:
    """What is no JSON is a `ValueError` of one line, with the place in the answer; no part of it is taken instead."""
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        Answer().apply(TextDelta(1, answer)).json()
    assert type(caught.value) is AnswerFormatError
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=9,
)
WRAPPED = [
    "{}",
    "Sure:\n\n```json\n{}\n```\nBye {{!",
    "```\n{}\n```",
    "~~~~JSON5\n{}",
    "1. So\n\n   ```json\n   {}\n   ```",
]


@given(JSON, st.sampled_from(WRAPPED), st.booleans())
def test_any_value_comes_back(value: Any, wrapping: str, ascii_only: bool) -> None:
    """Any JSON comes back equal, bare and in every fence."""
    written = json.dumps(value, ensure_ascii=ascii_only)
    assert json_of(wrapping.format(written) if wrapping != "{}" else written) == value


@given(st.dictionaries(st.text(), JSON, min_size=1), st.text("abc .,:;'-\n"), st.text("abc .,:;'-\n"))
def test_any_object_comes_back_from_between_words(value: Any, before: str, after: str) -> None:
    """Any object comes back equal from between words."""
    assert json_of(f"{before} {json.dumps(value)} {after}") == value


@given(st.dictionaries(st.text(min_size=1), JSON, min_size=1), st.data())
def test_a_part_is_never_taken_for_the_whole(value: Any, data: st.DataObject) -> None:
    """An object that is cut off anywhere is an error, and not one of the objects in it."""
    written = json.dumps(value)
    cut = written[: data.draw(st.integers(1, len(written) - 1))]
    for answer in (cut, f"So: {cut}", f"```json\n{cut}", f"```json\n{cut}\n```"):
        with pytest.raises(NoJSONError):
            json_of(answer)


@given(st.text(st.sampled_from('{}[]",:`~ \n\\a1')))
def test_any_answer_has_json_or_a_line_why_not(text: str) -> None:
    """No answer makes it fail otherwise."""
    message = "none"
    try:
        json_of(text)
    except NoJSONError as error:
        message = str(error)
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "piece", ["[", "{", '{"', '"', "`", "```\n", "~~~\n{", "- ", "> ", '{"a":', "[a](b) ", "a. ", "*"]
)
def test_long_answers_take_no_long_time(piece: str) -> None:
    """200 kB of anything are read in seconds, not in minutes."""
    text = piece * (200_000 // len(piece))
    begun = time.perf_counter()
    code_of(text)
    with contextlib.suppress(NoJSONError):
        json_of(text)
    assert time.perf_counter() - begun < 20


def test_thoughts_do_not_count() -> None:
    """What a model has thought aloud before its answer is neither its code nor its JSON."""
    block = "```python\nwrong\n```"
    thought = f'<think>\nPerhaps {{"a": 1}} or\n{block}\n</think>\n\n'
    assert json_of(f'{thought}{{"a": 2}}') == {"a": 2}
    assert code_of(f"{thought}```python\nright\n```") == "right"
    assert code_of(f"{thought}    x = 1\n") == "    x = 1"
    with pytest.raises(NoJSONError, match=r"\(line 8, column 9\)"):
        json_of(f'{thought}{{"a": 1,}}')
    for answer in (thought, thought.partition("</think>")[0]):
        assert code_of(answer) == ""
        with pytest.raises(NoJSONError):
            json_of(answer)
    assert code_of("x = '<think>a</think>'") == "x = '<think>a</think>'"
    assert json_of('{"a": "<think>b</think>"}') == {"a": "<think>b</think>"}
