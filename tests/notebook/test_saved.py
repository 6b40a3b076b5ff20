"""What a question leaves in the file: ordinary outputs that anybody reads without a kernel, and that do no harm."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kernel import Kernel, kernel
from nbconvert import HTMLExporter, MarkdownExporter
from page import Page

STATIC = {"text/markdown", "text/html", "text/plain"}

HOSTILE = """Hello <script>alert(1)</script> and <img src=x onerror=alert(1)> and <b onclick='x()'>bold</b>.

![pixel](https://tracker.example/pixel.png) and ![ref][pixel] and [click](javascript:alert(1)) <javascript:alert(1)>

[pixel]: https://tracker.example/second.png

<style>body { display: none }</style>
<iframe src="https://tracker.example"></iframe>
<!-- a comment <script>alert(2)</script> -->
<svg/onload=alert(1)> <a href="javascript:alert(1)">x</a> <details open ontoggle=alert(1)>

| table | <script>alert(3)</script> |
| --- | --- |
| `<script>` | <img src="//tracker.example/t.png"> |

```html
<script>alert("shown as code")</script>
```

`<script>` "><script>alert(4)</script> &lt;script&gt; $x<script>y$ \\<script>alert(5)</script>

    <script>alert("indented code")</script>
"""

HOSTILE_CELL = f"""
from nbretry.types import Reasoning
hostile = {HOSTILE!r}
class Hostile:
    name = "<script>alert('name')</script>"
    default_model = "\\"><img src=x onerror=alert('model')>"
    def __init__(self, *words, failure=None):
        self.words, self.failure = words, failure
    async def create_async_generator(self, model, messages, **options):
        for word in self.words:
            yield word
        if self.failure:
            raise self.failure
nbretry.register("hostile", Hostile(*hostile.splitlines(keepends=True)))
nbretry.register("refuses", Hostile(failure=ValueError("<script>alert('message')</script>")))
nbretry.register("thinks", Hostile(Reasoning(hostile), "The end."))
nbretry.register("breaks", Hostile(hostile, failure=ValueError("<img src=x onerror=alert(1)>")))
"""

PANEL_CELL = """
import ipywidgets
panel = nbretry.panel(["breaks", "counting"])
made = ipywidgets.widgets.widget._instances.values()
next(one for one in made if isinstance(one, ipywidgets.Textarea)).value = hostile
panel.ask()
panel
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, shared_kernel: Kernel) -> Iterator[Path]:
    """A notebook with an ordinary answer, a failover, a failure, a stopped answer and hostile ones, saved."""
    directory = tmp_path_factory.mktemp("saved")
    providers = Path(__file__).with_name("kernel_cell.py").read_text(encoding="utf-8")
    with kernel(directory, "%load_ext nbretry", providers, HOSTILE_CELL) as nb:
        first = len(nb.client.nb.cells)
        nb.run("%%ask -p counting\nWhy is the sky blue?")
        nb.run("%%ask -p dead,badkey,counting\nWhy?")
        nb.run("%%ask -p dead,badkey\nWhy?")
        nb.run("%%ask -p broken --on-break raise\nWhy?")
        nb.run("%%ask -p slow\nWhy?", interrupt_when=lambda message: "word3" in json.dumps(message["content"]))
        nb.run("%%ask -p hostile\nWhy?")
        nb.run("%%ask -p refuses,hostile\nWhy?")
        nb.run("%%ask -p refuses,breaks --on-break raise\nWhy?")
        nb.run("x = %ask -p hostile Why?")
        nb.run("x")
        others = len(nb.client.nb.cells)
        nb.run("%%ask -p thinks\nWhy?")
        nb.run("%%ask -p breaks,counting\nWhy?")
        nb.run("%%ask -p breaks,counting --compare\nWhy?")
        nb.run(f"%%ask -p counting --dry-run\n{HOSTILE}")
        nb.run(f"%%ask -p refuses -c\n{HOSTILE}")
        nb.run(f"%%ask -p counting -c\n{HOSTILE}")
        nb.run("%nbretry history")
        nb.run("%nbretry last")
        nb.run(PANEL_CELL)
        nb.run("await panel.run")
        cells = nb.client.nb.cells
        path = directory / "saved.ipynb"
        for name, saved in (("saved.ipynb", cells[first:others]), ("others.ipynb", cells[others:])):
            nb.client.nb.cells = saved
            nbformat.write(nb.client.nb, directory / name)
    return path


@pytest.fixture(scope="module")
def document(saved: Path) -> Any:
    return nbformat.read(saved, as_version=4)


def test_file_is_valid(document: Any) -> None:
    """The saved notebook fits the format's schema."""
    nbformat.validate(document)


def test_outputs_are_static(document: Any) -> None:
    """Every output is text, Markdown or HTML, so that a file opened with no kernel shows what the cell showed."""
    for cell in document.cells:
        assert cell.outputs
        for output in cell.outputs:
            if output.output_type != "error":
                assert output.output_type == "display_data"
                assert set(output.data) <= STATIC
                assert "text/plain" in output.data


def test_record_says_who_answered(document: Any) -> None:
    """The output's metadata has provider, model, attempts, times, tokens and the hash of the request."""
    record = document.cells[1].outputs[0].metadata["nbretry"]
    request = json.dumps(["", [{"content": "Why?", "role": "user"}]])
    assert {name: record[name] for name in ("state", "provider", "model", "providers", "finish_reason", "usage")} == {
        "state": "completed",
        "provider": "counting",
        "model": "great-model-2",
        "providers": ["dead", "badkey", "counting"],
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 11, "completion_tokens": 6},
    }
    assert record["request_sha256"] == hashlib.sha256(request.encode()).hexdigest()
    assert [attempt["state"] for attempt in record["attempts"]] == ["failed", "failed", "answered"]
    assert record["attempts"][1]["exception"] == {
        "type": "AuthenticationError",
        "message": "wrong key [secret]",
        "status_code": 401,
    }
    assert record["attempts"][2]["request_id"] == "request-7"
    assert 0 < record["attempts"][0]["ended"] <= record["attempts"][2]["started"] <= record["time_to_first_content"]
    assert record["time_to_first_content"] <= record["duration"]
    assert "text" not in record, "the answer is in the output already"


def test_every_answer_has_one_record(document: Any) -> None:
    """However a question ended, its cell has one record, with its state."""
    records = [
        [output.metadata["nbretry"]["state"] for output in cell.outputs if "nbretry" in output.get("metadata", {})]
        for cell in document.cells
    ]
    states = ["completed", "completed", "failed", "failed", "stopped", "completed", "completed", "failed"]
    assert records == [[state] for state in [*states, "completed", "completed"]]


def test_exported_page_has_answer_and_report(document: Any) -> None:
    """nbconvert's HTML shows the answer and who gave it, and for each attempt what became of it."""
    page = Page(_exported(document))
    for words in (
        "Because of Rayleigh scattering.",
        "counting · great-model-2",
        "failed: dead, badkey",
        "APIConnectionError: nobody listens",
        "AuthenticationError: wrong key [secret]",
        "nobody answered",
        "stopped · slow",
        "word0 word1 word2 word3",
    ):
        assert words in page.text, words


def test_exported_page_runs_nothing(document: Any) -> None:
    """In nbconvert's HTML no word of a model, an exception or a provider's name has become a tag or an address."""
    page = Page(_exported(document))
    page.assert_harmless()
    assert "<script>alert(1)</script>" in page.text, "the words themselves are to be read"
    assert 'alert("shown as code")' in page.text


def test_hostile_words_are_inert_in_each_format(document: Any) -> None:
    """The saved HTML is harmless by itself, and so is the saved Markdown for any renderer that keeps raw HTML."""
    from markdown_it import MarkdownIt

    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    seen = 0
    for cell in document.cells[5:]:
        for output in cell.outputs:
            data = output.get("data", {})
            if "text/html" in data:
                Page(data["text/html"]).assert_harmless()
            if "text/markdown" in data:
                seen += 1
                Page(renderer.render(data["text/markdown"])).assert_harmless()
                assert '```html\n<script>alert("shown as code")</script>\n```' in data["text/markdown"]
    assert seen == 5


def test_plain_text_is_as_written(document: Any) -> None:
    """The plain text is the model's own, for viewers that show nothing but text."""
    assert document.cells[5].outputs[0].data["text/plain"] == HOSTILE


def test_markdown_export(document: Any) -> None:
    """nbconvert's Markdown has the answer as Markdown."""
    body, _ = MarkdownExporter().from_notebook_node(document)
    assert "Because of Rayleigh scattering." in body


@pytest.mark.parametrize("name", ["saved.ipynb", "others.ipynb"])
def test_markdown_export_is_harmless(saved: Path, name: str) -> None:
    """In nbconvert's Markdown no word of a model, an exception or a question is Markdown beside the HTML of an output,
    as it would be after an empty line."""
    from markdown_it import MarkdownIt

    document: Any = nbformat.read(saved.with_name(name), as_version=4)
    for cell in document.cells:
        cell.source = ""  # a question is Markdown there as anybody's cell is
    body, _ = MarkdownExporter().from_notebook_node(document)
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    of_the_panel = re.compile("<style>.jp-OutputArea-child:not.*?</style>")  # hides the picture below the panel
    page = Page(renderer.render(of_the_panel.sub("", body)))
    page.assert_harmless()
    assert "alert(2)" in page.text


def _exported(document: Any) -> str:
    """The page's own part, without nbconvert's styles and scripts around it."""
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(document)
    return str(body)
