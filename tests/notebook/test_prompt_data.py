"""Prompts with the notebook's own data, in a real kernel: what a provider is sent, and how slips are told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kernel import Kernel

DATA = """
name = "sky"
values = {"a": [1, 2]}
def shade(colour="blue"):
    return f"a shade of {colour}"
class Sky:
    colour = "blue"
"""


@pytest.fixture(autouse=True)
def data(nb: Kernel) -> None:
    nb.run(DATA)


def prompts(nb: Kernel) -> Any:
    """What the providers were asked."""
    return nb.value("Book.prompts")


CELLS = {
    "%%ask -p good\nWhy is the {{ name }} {{ shade('red') }}?": "Why is the sky a shade of red?",
    "%%ask -p good\nWhy {{name}}, {{ values }}, `{{name}}`?": 'Why sky, {"a": [1, 2]}, `{{name}}`?',
    "%ask -p good Why is the {{ name }} blue?": "Why is the sky blue?",
    "x = %ask -p good Why is the {{name}} blue, $HOME {name}?": "Why is the sky blue, $HOME {name}?",
    "%%time\n%%ask -p good\nWhy is the {{ name }} blue?": "Why is the sky blue?",
    "%%capture\n%%ask -p good\nWhy is the {{ name }} blue?": "Why is the sky blue?",
    "get_ipython().run_cell('%%ask -p good\\nWhy {{ name }}?');": "Why sky?",
    "def f(name):\n    x = %ask -p good Why {{ name }} {{ values['a'] }}?\n    return x\nf('my');": "Why my [1, 2]?",
    "%%ask -p good --raw\nWhy is the {{ name }} {{ unknown }}?": "Why is the {{ name }} {{ unknown }}?",
    "%%ask -p good\nWhy is \\{{ name }} \\frac{{a}}{{b}} {'x': {'y': {}}}?": (
        "Why is {{ name }} \\frac{{a}}{{b}} {'x': {'y': {}}}?"
    ),
    "%%ask -p good\n\"quotes\" 'and' 🏳️‍🌈 שלום {{ name }}\tx": "\"quotes\" 'and' 🏳️‍🌈 שלום sky\tx",
    "%%ask -p good\n{{ Sky }}": 'class Sky:\n    colour = "blue"',
    "%%ask -p good\n{{ shade }}": 'def shade(colour="blue"):\n    return f"a shade of {colour}"',
}


@pytest.mark.parametrize("cell", CELLS)
def test_what_is_sent(nb: Kernel, cell: str) -> None:
    """However a cell asks, its placeholders are filled from where it runs, and all else is sent as typed."""
    ran = nb.run(cell)
    assert not ran.failed, ran.traceback
    assert prompts(nb) == [CELLS[cell]]


RAW = "; write --raw to send the prompt as typed"

SLIPS = {
    "%%ask -p good\n{{ nmae }}": f"ConfigError: {{{{ nmae }}}}: there is no variable 'nmae'; did you mean 'name'?{RAW}",
    "%ask -p good {{ valeus['a'] }}": (
        f"ConfigError: {{{{ valeus['a'] }}}}: there is no variable 'valeus'; did you mean 'values'?{RAW}"
    ),
    "%%time\n%%ask -p good\n{{ nmae }}": (
        f"ConfigError: {{{{ nmae }}}}: there is no variable 'nmae'; did you mean 'name'?{RAW}"
    ),
    "%%ask -p good\n{{ shade( }}": f"ConfigError: {{{{ shade( }}}} is no Python expression: '(' was never closed{RAW}",
    "%%ask -p good\n{{ name.hed() }}": (
        "ConfigError: {{ name.hed() }} raised AttributeError: 'str' object has no attribute 'hed'"
    ),
    "%%ask -p good\n{{ 1 / 0 }}": "ConfigError: {{ 1 / 0 }} raised ZeroDivisionError: division by zero",
}


@pytest.mark.parametrize("cell", SLIPS)
def test_slips(nb: Kernel, cell: str) -> None:
    """A slip fails the cell in one line, without a traceback; nobody is asked."""
    ran = nb.run(cell)
    assert ran.raised
    assert ran.traceback == SLIPS[cell]
    assert nb.value("Book.opened") == 0


def test_a_group_of_exceptions_is_one_line_as_well(nb: Kernel) -> None:
    """An expression that raises a group of exceptions, which IPython shows at length, is one line."""
    nb.run("def fail():\n    raise ExceptionGroup('several', [ValueError('x')])")
    ran = nb.run("%%ask -p good\n{{ fail() }}")
    assert ran.traceback == "ConfigError: {{ fail() }} raised ExceptionGroup: several (1 sub-exception)"


def test_an_exception_of_the_notebook(nb: Kernel) -> None:
    """The last exception goes with the lines of the cell that raised it, and without IPython's own."""
    nb.run("import sys\ndef broken():\n    return 1 / 0\nbroken()")
    ran = nb.run("%%ask -p good\nWhy?\n\n{{ sys.last_value }}")
    assert not ran.failed, ran.traceback
    (prompt,) = prompts(nb)
    assert prompt.startswith("Why?\n\nTraceback (most recent call last):\n")
    assert "    return 1 / 0\n" in prompt
    assert "interactiveshell" not in prompt
    assert prompt.endswith("ZeroDivisionError: division by zero")


def test_frames_and_figures(nb: Kernel) -> None:
    """A frame goes as a table, a figure of a notebook as an image part between the words around it."""
    made = nb.run("""
import matplotlib.pyplot as plt, pandas as pd
frame = pd.DataFrame({"a": [1, 2]})
axes = frame.plot()""")
    assert not made.failed, made.traceback
    ran = nb.run("%%ask -p good\nDescribe {{ axes }} of {{ frame.head(1) }}")
    assert not ran.failed, ran.traceback
    before, image, after = nb.value("[{**part} for part in Book.prompts[0]]")
    assert before == {"type": "text", "text": "Describe "}
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")
    table = "pandas DataFrame, 1 row × 1 column\nTypes: a int64\n\n|  | a |\n| --- | --- |\n| 0 | 1 |"
    assert after == {"type": "text", "text": f" of \n\n{table}\n"}
    saved = json.dumps(nb.run("_answer").cell.outputs) + json.dumps(ran.cell.outputs)
    assert "iVBORw0KGgo" not in saved, "the image is not saved with the answer"


def test_the_local_model_is_passed_over(nb: Kernel) -> None:
    """A question with an image that names the local model first is answered by the next one."""
    nb.run("pixel = b'\\x89PNG\\r\\n\\x1a\\n'")
    ran = nb.run("%%ask -p local,good\nWhat is {{ pixel }}?")
    assert not ran.failed, ran.traceback
    assert ran.answer == "The sky is **blue**."
    assert "failed: local" in ran.plain
    alone = nb.run("%%ask -p local\nWhat is {{ pixel }}?")
    refusal = "local: ImageInputError: SmolLM2-135M-Instruct takes no images: name a provider whose model does"
    assert alone.traceback.splitlines()[1:] == [refusal]


def test_a_long_prompt(nb: Kernel) -> None:
    """200 kB of braces, quotes and emoji around a placeholder arrive whole."""
    ran = nb.run("""
text = '{"a": {"b": "it\\'s 🎈 {% x %} {{#if}} }}"}}\\n' * 5_000
r = get_ipython().run_cell_magic("ask", "-p good", text + "{{ name }}")
print(len(text) > 200_000, Book.prompts == [text + "sky"])""")
    assert not ran.failed, ran.traceback
    assert ran.printed.splitlines()[-1] == "True True"
