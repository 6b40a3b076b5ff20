"""Execute a notebook in a real kernel, and print what it asks, which providers fail and which one answers."""

from __future__ import annotations

import importlib
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TextIO

from nbretry._utils.text import printable
from nbretry.errors import ConfigError
from nbretry.renderers.code_colours import STYLE_SHEET

__all__ = ["run_demo"]

_RULE = "─" * 72


_BLOCKS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "pre", "blockquote", "table", "hr", "details"}
_LINES = {"br", "li", "tr", "div", "summary"}
_VOID = {"br", "hr", "input"}


class _Words(HTMLParser):
    """Reads the visible text of an answer from its HTML, with line breaks where a page has them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return re.sub(r"\n{3,}", "\n\n", self._text).strip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._open and not (tag == "div" and (dict(attrs).get("class") or "").startswith("nbretry-answer")):
            return
        if tag not in _VOID:
            self._open.append(tag)
        self._break(tag)
        if tag == "li":
            self._text += "- "

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
            self._break(tag)
            if tag in ("td", "th"):
                self._text += "  "

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script"):
            self._text += data if "pre" in self._open else re.sub(r"\s+", " ", data)

    def _break(self, tag: str) -> None:
        count = 2 if tag in _BLOCKS else 1 if tag in _LINES else 0
        if count and self._text.strip():
            after_mark = self._text.endswith("\n- ")  # the paragraph of a list item
            self._text = self._text if after_mark else self._text.rstrip(" \n") + "\n" * count


class _Told:
    """What has been printed of one answer, and the outputs that show it so far."""

    def __init__(self) -> None:
        self._told = ""
        self.shown: dict[str, str] = {}

    def new_words(self, is_final: bool) -> tuple[bool, str]:
        """Return whether the answer has begun anew, and what to print of it now.

        Only letters and digits are compared, as the marks of Markdown around them vanish when they are complete.

        Args:
            is_final: whether the answer is complete. Before that, its last word is held back, as it may grow.
        """
        text = "\n\n".join(part for part in self.shown.values() if part)
        if not is_final:
            text = text[: len(text) - len(re.split(r"\s", text)[-1])].rstrip()
        places = [place for place, character in enumerate(text) if character.isalnum()]
        said = "".join(text[place] for place in places)
        if self._told.startswith(said):
            return False, ""
        pairs = enumerate(zip(self._told, said, strict=False))
        same = next((place for place, (a, b) in pairs if a != b), min(len(self._told), len(said)))
        is_new = same < len(self._told)
        self._told = said
        start = places[same - 1] + 1 if same else 0
        if is_new:
            start = max(text.rfind(space, 0, start) for space in " \n") + 1
        return is_new, text[start:]


class _Narrator:
    """Prints a cell's outputs as they arrive; of an answer that grows, only what is new."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._answers: dict[str, _Told] = {}
        self._latest: _Told | None = None
        self._lines: set[str] = set()
        self._headings: list[str] = []
        self._in_line = False

    def text(self, source: str) -> None:
        """Note the headings of a Markdown cell; they are printed above the next code cell."""
        without_code = re.sub(r"^```.*?^```", "", source, flags=re.MULTILINE | re.DOTALL)
        self._headings += re.findall(r"^#{1,6} .*", without_code, re.MULTILINE)

    def cell(self, source: str) -> None:
        """Print a code cell that starts to run, below the headings before it."""
        for heading in self._headings:
            self._line(f"\n{heading}")
        self._headings.clear()
        self._lines.clear()
        self._answers.clear()
        self._latest = None
        self._line("")
        for line in source.splitlines():
            self._line(f"│ {line}")
        self._line("")

    def message(self, message: dict[str, Any]) -> None:
        """Print the output in a kernel message about the running cell."""
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                self._write(content["text"])
            case "display_data" | "update_display_data" | "execute_result" as kind:
                self._display(content, is_new=kind != "update_display_data")
            case "clear_output" if self._latest is not None:
                self._latest.shown.clear()
            case "error":
                self._line(f"{content['ename']}: {content['evalue']}")

    def _display(self, content: dict[str, Any], is_new: bool) -> None:
        data = content["data"]
        display_id = (content.get("transient") or {}).get("display_id", "")
        html = data.get("text/html", "")
        is_growing = bool(html) and "text/plain" not in data
        if 'class="nbretry-answer' in html or html == STYLE_SHEET:
            # An answer that arrives has several outputs, one after the other. Its final one may replace all of them.
            continues = self._latest if is_new else None
            answer = continues or self._answers.get(display_id) or _Told()
            if display_id:  # a final answer may have none
                self._answers[display_id] = answer
            if not is_growing:
                answer.shown.clear()
            answer.shown[display_id] = _Words(html).text
            self._tell(answer, is_final=not is_growing)
            self._latest = answer if is_growing else None
            return
        if is_growing and is_new and self._latest is not None:
            self._answers[display_id] = self._latest
        elif display_id in self._answers:
            self._answers[display_id].shown.pop(display_id, None)
            if not is_growing:
                del self._answers[display_id]
        for line in data.get("text/plain", "").splitlines():
            if line not in self._lines:
                self._lines.add(line)
                self._line(f"  {line}")

    def _tell(self, answer: _Told, is_final: bool) -> None:
        begins_anew, words = answer.new_words(is_final)
        if begins_anew:
            self._line("")
        self._write(words)

    def _line(self, text: str) -> None:
        self._write(("\n" if self._in_line else "") + text + "\n")

    def _write(self, text: str) -> None:
        if text:
            self._out.write(printable(text))
            self._out.flush()
            self._in_line = not text.endswith("\n")


def run_demo(notebook: Path, output: Path) -> int:
    """Execute a notebook, print what happens and write the executed copy.

    Args:
        notebook: the ``.ipynb`` file.
        output: where the executed copy is written, even if a cell failed.

    Returns:
        The exit status: 0, or 1 if a cell failed.

    Raises:
        ConfigError: the file does not exist, or the packages that execute notebooks are not installed.
    """
    try:
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError

        nbformat: Any = importlib.import_module("nbformat")
    except ImportError as error:
        raise ConfigError(f"executing a notebook needs {error.name}: pip install nbclient ipykernel") from error
    if not notebook.is_file():
        raise ConfigError(f"there is no notebook {notebook}")

    narrator = _Narrator(sys.stdout)

    class Client(NotebookClient):
        async def async_execute_cell(self, cell: Any, cell_index: int, *args: Any, **kwargs: Any) -> Any:
            if cell.cell_type == "code":
                narrator.cell(cell.source)
            elif cell.cell_type == "markdown":
                narrator.text(cell.source)
            return await super().async_execute_cell(cell, cell_index, *args, **kwargs)

        def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
            narrator.message(msg)
            return super().process_message(msg, cell, cell_index)

    document = nbformat.read(notebook, as_version=4)
    client = Client(
        document,
        timeout=600,
        resources={"metadata": {"path": str(notebook.resolve().parent)}},
        extra_arguments=["--log-level=ERROR"],  # hide the kernel's own notices
    )
    status = 0
    print(f"Executing {notebook}", _RULE, sep="\n")  # noqa: T201
    try:
        client.execute()
    except CellExecutionError:
        status = 1
    finally:
        output.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(document, output)
    print(_RULE, f"The executed notebook is {output}", sep="\n")  # noqa: T201
    return status
