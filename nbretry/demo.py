"""Execute a notebook in a real kernel, and print what it asks, which providers fail and which one answers."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any, TextIO

from nbretry.errors import ConfigError
from nbretry.renderers.console import printable

__all__ = ["run_demo"]

_RULE = "─" * 72


class _Narrator:
    """Prints a cell's outputs as they arrive; of a repainted output, only what is new."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._painted: dict[str, str] = {}
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
        self._painted.clear()
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
            case "display_data" | "update_display_data" | "execute_result":
                self._display(content)
            case "error":
                self._line(f"{content['ename']}: {content['evalue']}")

    def _display(self, content: dict[str, Any]) -> None:
        data = content["data"]
        if "text/markdown" in data:
            display_id = (content.get("transient") or {}).get("display_id", "")
            before, now = self._painted.get(display_id, ""), data["text/markdown"]
            self._painted[display_id] = now
            if before and now.startswith(before):
                self._write(now[len(before) :])
            elif now != before:
                self._line("")
                self._write(now)
        elif "text/plain" in data:
            for line in data["text/plain"].splitlines():
                if self._painted.get("line:" + line) is None:
                    self._painted["line:" + line] = line
                    self._line(f"  {line}")

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
