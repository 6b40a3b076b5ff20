"""Other people's notebooks around a question: papermill with parameters, pandas, matplotlib, `%%time`, `%%capture`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from kernel import Kernel, answers_of, environment, kernel

SETUP = """
import nbretry
class Echo:
    name = "echo"
    def create_completion(self, model, messages, **options):
        yield "You said: "
        yield str(messages[-1]["content"])
class Dead:
    name = "dead"
    def create_completion(self, model, messages, **options):
        raise ConnectionError("nobody listens")
        yield
nbretry.register("echo", Echo())
nbretry.register("dead", Dead())"""


def papermill(path: Path, cells: list[str], *parameters: str) -> subprocess.CompletedProcess[str]:
    """Run a notebook of these cells, the first of which has the parameters, as papermill's command does."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path / "in.ipynb")
    return subprocess.run(
        [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "--no-progress-bar", *parameters],
        cwd=path,
        env=environment(path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_papermill_parameters(tmp_path: Path) -> None:
    """papermill's parameters are in the prompt, and the notebook that it writes has the answer and who gave it."""
    cells = [
        "city = 'Paris'",
        "%load_ext nbretry",
        SETUP,
        "%%ask -p dead,echo -o told\nWhere is {{ city }}?",
        "told.text",
    ]
    done = papermill(tmp_path, cells, "-p", "city", "Zürich {{ x }}")
    assert done.returncode == 0, done.stderr
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    asked = next(cell for cell in out.cells if cell.source.startswith("%%ask"))
    assert answers_of(asked) == ["You said: Where is Zürich {{ x }}?"]
    assert asked.outputs[1].data["text/plain"].startswith("echo · ")
    assert "nobody listens" in asked.outputs[1].data["text/plain"]
    assert out.cells[-1].outputs[0].data["text/plain"] == "'You said: Where is Zürich {{ x }}?'"


def test_papermill_stops_where_nobody_answers(tmp_path: Path) -> None:
    """A question that nobody answers ends papermill's run there, with the reason in a line."""
    done = papermill(tmp_path, ["x = 1", "%load_ext nbretry", SETUP, "%%ask -p dead\nWhy?", "print('never')"])
    assert done.returncode != 0
    assert "dead: ConnectionError: nobody listens" in done.stderr
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert out.cells[-1].outputs == []


@pytest.fixture(scope="module")
def nb(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A kernel with what a data scientist has loaded before us, and with matplotlib's figures in cells."""
    science = "import numpy as np, pandas as pd, matplotlib.pyplot as plt\n%matplotlib inline"
    with kernel(tmp_path_factory.mktemp("science"), science, "%load_ext nbretry", SETUP) as running:
        yield running


def test_frames_and_figures_stay_what_they_are(nb: Kernel) -> None:
    """A frame, a figure and a question in one notebook each show what they would by themselves."""
    frame = nb.run("df = pd.DataFrame({'a': [1, 2]})\ndf")
    assert "<table" in frame.of_type("text/html")[0]
    asked = nb.run("%%ask -p echo\nWhat is in {{ df.shape }}?\n\n{{ df }}")
    assert asked.answer.startswith("You said: What is in ")
    assert "2 rows" in nb.value("_answer.text")
    figure = nb.run("plt.plot([1, 2]);")
    assert [output.output_type for output in figure.outputs] == ["display_data"]
    assert "image/png" in figure.outputs[0].data
    both = nb.run("plt.plot([1, 2])\nx = %ask -p echo Why?\nprint(len(x.text))")
    assert not both.failed, both.traceback
    assert both.answer == "You said: Why?"
    assert any("image/png" in output.get("data", {}) for output in both.outputs)


def test_a_figure_is_no_question_for_who_sees_nothing(nb: Kernel) -> None:
    """A figure in a prompt goes out as an image part."""
    ran = nb.run("fig, ax = plt.subplots()\nax.plot([1, 2])\nplt.close(fig)\nx = %ask -p echo What is this? {{ fig }}")
    assert not ran.failed, ran.traceback
    assert nb.value("[part['type'] for part in _answer.messages[0]['content']]") == ["text", "image_url"]


@pytest.mark.parametrize("cell", ["%%time\n%%ask -p echo\nWhy?", "%%time\nx = %ask -p echo Why?"])
def test_time(nb: Kernel, cell: str) -> None:
    """`%%time` says its times, and the answer is there as without it."""
    ran = nb.run(cell)
    assert not ran.failed, ran.traceback
    assert ran.answer == "You said: Why?"
    assert "Wall time" in ran.printed


def test_capture(nb: Kernel) -> None:
    """`%%capture` takes all of it, once, and shows it again when it is asked to."""
    assert nb.run("%%capture kept\n%%ask -p dead,echo\nWhy?").outputs == []
    shown = nb.run("kept.show()")
    assert shown.answer == "You said: Why?"
    assert "nobody listens" in shown.plain


def test_a_loop_over_a_frame(nb: Kernel) -> None:
    """A question for each row is as many answers, each in its place."""
    loop = "for place in pd.Series(['Rome', 'Oslo']):\n    x = %ask -p echo Where is {{ place }}?\n"
    ran = nb.run(f"answers = []\n{loop}    answers.append(x.text)")
    assert not ran.failed, ran.traceback
    assert nb.value("answers") == ["You said: Where is Rome?", "You said: Where is Oslo?"]
