"""What `{{ … }}` in a prompt stands for: which braces are placeholders, what they become, and which slips are told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import calls_of

from nbretry.errors import ConfigError
from nbretry.prompts.template import fill

SECRET = "sk-" + "0123456789abcdefghij"
PIXEL = b"\x89PNG\r\n\x1a\n" + b"pixel"


class Frame:
    """Something with a method, as `df`."""

    def head(self, count: int = 5) -> str:
        return f"head of {count}"


NAMES: dict[str, Any] = {"name": "sky", "n": 3, "df": Frame(), "d": {"a": {"b": 1}}, "pixel": PIXEL}


FILLED = {
    "Why is the {{ name }} blue?": "Why is the sky blue?",
    "{{ name }}": "sky",
    "{{ name }}{{ n }}": "sky3",
    "{{\tname\n}}": "sky",
    "{{name}}": "sky",
    "the {{name}}, {{n}}.": "the sky, 3.",
    "({{name}})": "(sky)",
    "«{{name}}»": "«sky»",
    "请总结{{name}}的内容": "请总结sky的内容",
    "{{ df.head(2) }}": "head of 2",
    "{{df.head()}}": "head of 5",
    '{{ {"a": {"b": 1}} }}': '{"a": {"b": 1}}',
    "{{ {'x': {'y': {}}} }}": '{"x": {"y": {}}}',
    "{{ d['a']['b'] }}": "1",
    "{{ '}}' }}": "}}",
    "{{ ' }} ' }}": " }} ",
    "{{ '{{' + \"}}\" }}": "{{}}",
    '{{ """}} "{{""" }}': '}} "{{',
    "{{ '\\'}}' }}": "'}}",
    "{{ f'{n}' }}": "3",
    "{{ [x * n for x in range(n)] }}": "[0, 3, 6]",
    "{{ (lambda x: x * n)(2) }}": "6",
    "{{ (\n  n +\n  1\n) }}": "4",
    "{{ max(n, 2) }}": "3",
    "{{ n if n > 2 else 0 }}": "3",
    "{{{ name }}}": "{sky}",
    "\\frac{{{ n }}}{2}": "\\frac{3}{2}",
    "x={{ n }}$": "x=3$",
    "`{{ name }}` and ```{{ n }}```": "`sky` and ```3```",
    "```python\n{{ name }}\n```": "```python\nsky\n```",
    "it's a ` {{name}} tick": "it's a ` sky tick",
    "a ` tick\n\n{{name}} and ` another": "a ` tick\n\nsky and ` another",
    "`a` {{name}} `b`": "`a` sky `b`",
    "```\ncode\n```\n{{name}}": "```\ncode\n```\nsky",
    "\\{{ name }}": "{{ name }}",
    "\\{{ unknown }} {{ n }}": "{{ unknown }} 3",
    "\\{{ df.head( }}": "{{ df.head( }}",
}


@pytest.mark.parametrize("prompt", FILLED)
def test_placeholders(prompt: str) -> None:
    """An expression in two braces becomes its value, as the module's text has it."""
    assert fill(prompt, NAMES) == FILLED[prompt]


AS_TYPED = [
    r"\frac{{a}}{{b}}",
    r"\frac{{n}}{{n}}",
    r"x^{{n}} + y_{{n}}",
    r"\mathbf{{n}}",
    r"${{n}}$",
    "style={{color: 'red'}}",
    "<div style={{ color: 'red' }} />",
    "{{{n}}}",
    "{{{{n}}}}",
    "{{n}}{",
    "{{n}}x",
    "{{n}}}",
    "print(`f'{{n}}'`)",
    "```\nf'{{n}}'\n```",
    "~ `` a ` {{n}} `` ~",
    "```python\nf'{{n}}'",
    "````\n```\n{{n}}\n````",
    "```\n{{n}}\n``` no end\n{{n}}\n```",
    "{{#each items}}{{/each}}",
    "{{#if n}}",
    r"{{ a \over b }}",
    "{{ don't }}",
    "{{ }}",
    "{{}}",
    "{{ ... }}",
    "{{ a b }}",
    "{{ n",
    "n }}",
    "{ { n } }",
    '{"a": {"b": {"c": 1}}}',
    '{"a":{"b":{"c":[{}]}}}',
    "{% for n in x %}",
    "{{" * 40 + "}}" * 40,
    "{{ ( }} ) }}",
    "{{ 1 }".replace("1", "'x"),
    "{{ " + "x" * 2_000 + " }}",
    "{{ \0 }}",
    "{{ \ud800 }}",
    "\r\n  spaces  \t\r\n",
    "שלום {עולם} 🏳️‍🌈 ‮x",
    "",
]


@pytest.mark.parametrize("prompt", AS_TYPED)
def test_every_other_brace_is_a_brace(prompt: str) -> None:
    """LaTeX, JSON, JSX, f-strings in code, templates of others and half a placeholder stay exactly as typed."""
    assert fill(prompt, NAMES) == prompt


def test_text_around_stays_as_typed() -> None:
    """Quotes, line ends, blanks, emoji and right-to-left text around a placeholder are not touched."""
    before, after = "\"quoted\" 'x'\r\n\t🏳️‍🌈 שלום ", "  \r\n“end” "
    assert fill(f"{before}{{{{ name }}}}{after}", NAMES) == f"{before}sky{after}"


@given(st.text(alphabet=st.sampled_from("{}} {`\\'\"nab.(\n$^=\u05d0🎈")))
def test_text_without_placeholders_is_unchanged(prompt: str) -> None:
    """Without two braces that open and two that close the text is the same; nothing but our own error is raised."""
    if re.search(r"\{\{(?!\{)", prompt) is None or "}}" not in prompt:
        assert fill(prompt, {}) == prompt
    with suppress(ConfigError):
        assert isinstance(fill(prompt, {}), str)


@given(st.text(), st.text().filter(lambda text: "{" not in text))
def test_values_are_never_expanded_again(value: str, around: str) -> None:
    """A value stands in the prompt letter for letter, whatever braces and backslashes it has."""
    names = {"value": value, "name": "expanded"}
    around = around.rstrip("\\")  # which would be the escape
    assert fill(f"{around}{{{{ value }}}}", names) == around + value
    assert fill("{{ value }}", {**names, "value": "{{ name }}" + value}) == "{{ name }}" + value
    assert fill("{{ a }} {{ b }}", {"a": "{{", "b": "name }}", "name": "expanded"}) == "{{ name }}"


def test_order_and_number_of_evaluations() -> None:
    """Each placeholder is evaluated once, from left to right."""
    calls: list[int] = []
    assert fill("{{ f(1) }}{{ f(2) }} {{f(1)}}", {"f": lambda x: calls.append(x) or x}) == "12 1"
    assert calls == [1, 2, 1]


def test_nothing_is_evaluated_where_a_name_is_unknown() -> None:
    """A slip at the end of a prompt is told before its beginning is evaluated."""
    calls: list[int] = []
    with pytest.raises(ConfigError):
        fill("{{ f(1) }} {{ unknown }}", {"f": calls.append})
    assert calls == []


@pytest.mark.parametrize("expression", ["(name := 'x')", "[name := x for x in 'ab'][0]", "globals().update(name='x')"])
def test_the_namespace_is_not_changed(expression: str) -> None:
    """What an expression assigns is seen neither by the next one nor by the notebook."""
    names = dict(NAMES)
    assert str(fill(f"{{{{ {expression} }}}} {{{{ name }}}}", names)).endswith(" sky")
    assert names == NAMES


def test_any_mapping_will_do() -> None:
    """The variables may be any mapping, as those of a function on top of the notebook's."""

    class Names(Mapping[str, Any]):
        def __getitem__(self, name: str) -> Any:
            return {"a": 1}[name]

        def __iter__(self) -> Any:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    assert fill("{{ a }}", Names()) == "1"


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgpwaXhlbA=="}}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("{{ pixel }}", [IMAGE]),
        ("Look: {{ pixel }} at {{ name }}{{ n }}!", [text_part("Look: "), IMAGE, text_part(" at sky3!")]),
        ("{{ pixel }}\n{{ pixel }}\n", [IMAGE, IMAGE]),
        ("{{ [pixel, pixel] }}?", [IMAGE, IMAGE, text_part("?")]),
    ],
)
def test_images_become_parts(prompt: str, parts: list[Any]) -> None:
    """With an image the prompt is a list of parts in its order; text is one part, and blank text none."""
    assert fill(prompt, NAMES) == parts


def test_a_long_value_stands_on_lines_of_its_own() -> None:
    """A table within a line is parted from the words around it; text, short values and lone placeholders are not."""
    names = {"rows": {f"key{i}": "x" * 40 for i in range(3)}, "text": "a\nb", "n": 3}
    table = fill("{{ rows }}", names)
    assert "\n" in table
    assert fill("See {{ rows }}?", names) == f"See \n\n{table}\n\n?"
    assert fill("See\n{{ rows }}\r\nend", names) == f"See\n{table}\r\nend"
    assert fill("See {{ text }}, {{ n }}?", names) == "See a\nb, 3?"


RAW = "; write --raw to send the prompt as typed"

REFUSED = {
    "{{ nme }}": f"{{{{ nme }}}}: there is no variable 'nme'; did you mean 'name'?{RAW}",
    "{{nme}}": f"{{{{nme}}}}: there is no variable 'nme'; did you mean 'name'?{RAW}",
    "{{ zzz.head() }}": (f"{{{{ zzz.head() }}}}: there is no variable 'zzz'; known are name, n, df, d, pixel{RAW}"),
    "{{ n + m }}": f"{{{{ n + m }}}}: there is no variable 'm'; known are name, n, df, d, pixel{RAW}",
    "{{ df.head( }}": f"{{{{ df.head( }}}} is no Python expression: '(' was never closed{RAW}",
    "{{df.head(}}": f"{{{{df.head(}}}} is no Python expression: '(' was never closed{RAW}",
    "{{ name | }}": f"{{{{ name | }}}} is no Python expression: invalid syntax{RAW}",
    "{{ df.hed() }}": "{{ df.hed() }} raised AttributeError: 'Frame' object has no attribute 'hed'",
    "{{ 1 / 0 }}": "{{ 1 / 0 }} raised ZeroDivisionError: division by zero",
    "{{ d['x'] }}": "{{ d['x'] }} raised KeyError: 'x'",
    "{{ [y for x in y for y in x] }}": None,
    "{{ b'abc' }}": (
        "{{ b'abc' }}: 3 bytes that are no PNG, JPEG, GIF or WebP image cannot be sent: decode them to text first"
    ),
}


@pytest.mark.parametrize("prompt", REFUSED)
def test_slips_are_told_in_one_line(prompt: str) -> None:
    """A name that is not there, half an expression and one that fails say in one line what is wrong."""
    with pytest.raises(ConfigError) as caught:
        fill(prompt, NAMES)
    expected = REFUSED[prompt]
    assert "\n" not in str(caught.value)
    assert str(caught.value) == expected or expected is None
    assert caught.value.__context__ is None, "nothing else is shown with it"


@pytest.mark.parametrize("name", ["input", "id", "type"])
def test_a_name_of_python_by_itself_is_somebodys_template(name: str) -> None:
    """``{{ input }}`` of a template is not taken for Python's function, unless the notebook has that name."""
    with pytest.raises(ConfigError) as caught:
        fill(f"Say {{{{ {name} }}}}.", {"mine": 1})
    assert str(caught.value) == f"{{{{ {name} }}}}: there is no variable {name!r}; known are mine{RAW}"
    assert fill(f"Say {{{{ {name} }}}}.", {name: "this"}) == "Say this."
    assert fill("{{ len(mine) }}", {"mine": "abc"}) == "3"


def test_await_is_told() -> None:
    """What can only be evaluated in a cell says so, with the way out."""
    with pytest.raises(ConfigError, match=r"^\{\{ await f\(\) \}\} cannot be evaluated: SyntaxError: 'await' outside"):
        fill("{{ await f() }}", {"f": None})


def test_history_is_no_suggestion() -> None:
    """The variables that IPython keeps for itself are not offered, but the last answer is."""
    hidden = {"_i1": "", "_1": "", "__": "", "_oh": {}, "In": [], "Out": {}, "exit": 1, "quit": 1, "get_ipython": 1}
    with pytest.raises(ConfigError) as caught:
        fill("{{ xyz }}", {**hidden, "mine": 1})
    assert str(caught.value) == f"{{{{ xyz }}}}: there is no variable 'xyz'; known are mine{RAW}"
    with pytest.raises(ConfigError, match="did you mean '_answer'"):
        fill("{{ _anwser }}", {**hidden, "_answer": 1})
    with pytest.raises(ConfigError) as caught:
        fill("{{ xyz }}", hidden)
    assert str(caught.value) == f"{{{{ xyz }}}}: there is no variable 'xyz'{RAW}"
    assert fill("{{ _i1 + 'x' }}", hidden) == "x", "who names them gets them"


def test_many_names_are_not_listed() -> None:
    """Of very many variables only one that is near is offered."""
    names = {f"variable_{number}": 0 for number in range(500)}
    with pytest.raises(ConfigError) as caught:
        fill("{{ qqq }}", names)
    assert str(caught.value) == f"{{{{ qqq }}}}: there is no variable 'qqq'{RAW}"
    with pytest.raises(ConfigError, match="did you mean 'variable_4"):
        fill("{{ varable_4 }}", names)


def test_a_name_that_a_function_lacks_is_not_the_prompts() -> None:
    """A `NameError` from within the user's own function is told as such, and not as a slip of the prompt."""
    with pytest.raises(ConfigError, match=r"^\{\{ f\(\) \}\} raised NameError: name 'deep' is not defined"):
        fill("{{ f() }}", {"f": lambda: deep})  # type: ignore[name-defined]  # noqa: F821


def test_secrets_in_messages_are_masked() -> None:
    """A key in an exception or in an expression does not appear in the error."""

    def fail() -> None:
        raise ValueError(f"wrong\nkey {SECRET}")

    for prompt in ("{{ fail() }}", f"{{{{ fail() + '{SECRET}' }}}}", f"{{{{ unknown['{SECRET}'] }}}}"):
        with pytest.raises(ConfigError) as caught:
            fill(prompt, {"fail": fail})
        assert SECRET not in str(caught.value) + repr(caught.value)
        assert "\n" not in str(caught.value)
    assert fill("{{ key }}", {"key": SECRET}) == SECRET, "what the user puts in is sent"


def test_an_interrupt_passes_through() -> None:
    """What is no `Exception`, as an interrupt, is not turned into an error of ours."""

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill("{{ stop() }}", {"stop": stop})


def test_warnings_about_what_is_no_code() -> None:
    """Text that Python would warn about gives no warning, which is an error in these tests, and stays as typed."""
    assert fill(r"{{ '\d' a }}", {}) == r"{{ '\d' a }}"
    assert fill(r"{{ '\d' }}", {}) == r"\d"


HOSTILE = [
    "{",
    "}",
    "{{",
    "{{ ",
    "{{ }} ",
    "{{ ( ",
    "{{ {} ",
    "{{a",
    "{{ ' ",
    '{{ \\" ',
    '{{ """ ',
    "{{ x {{ x }} y ",
    "{{ n }}",
    "{{n}} ",
    "{{n}} ` ",
    "`{{n}}`` ",
    "`\n{{n}}\n```\n",
    '{"a": {"b": {"c": [{}]}}}\n',
    "{{ df.x( ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear(piece: str) -> None:
    """Four times as long a prompt takes about four times as many steps, and 200 kB of the same pass as well."""
    names = {"n": 1, "x": 2}
    short = piece * (10_000 // len(piece))
    few, many = (calls_of(lambda text=text: fill(text, names)) for text in (short, short * 4))
    assert many <= 4.2 * few + 200
    assert many <= 60 * len(short * 4)
    fill(short * 20, names)
