"""A real kernel that runs cells one by one and keeps every message about them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

Message = dict[str, Any]
OnMessage = Callable[[Message], None]


@dataclass
class Ran:
    """What a cell left behind."""

    cell: Any
    messages: list[Message]
    failed: bool

    @property
    def outputs(self) -> list[Any]:
        return list(self.cell.outputs)

    @property
    def error(self) -> Any:
        return next((output for output in self.outputs if output.output_type == "error"), None)

    @property
    def traceback(self) -> str:
        return "\n".join(self.error.traceback) if self.error else ""

    def of_type(self, mime: str) -> list[str]:
        """The final data of this type, one for each output that has it."""
        return [output.data[mime] for output in self.outputs if mime in output.get("data", {})]

    @property
    def markdown(self) -> str:
        return "\n".join(self.of_type("text/markdown"))

    @property
    def plain(self) -> str:
        return "\n".join(self.of_type("text/plain"))

    @property
    def printed(self) -> str:
        return "".join(output.text for output in self.outputs if output.output_type == "stream")

    @property
    def records(self) -> list[dict[str, Any]]:
        """The provenance records in the outputs' metadata."""
        return [output.metadata["nbretry"] for output in self.outputs if "nbretry" in output.get("metadata", {})]

    def repaints(self) -> list[str]:
        """Every state of the answer that was sent, in order."""
        return [text for message in self.messages if (text := markdown_of(message))]


def markdown_of(message: Message) -> str:
    """The Markdown that a message shows, or an empty string."""
    return str(message["content"].get("data", {}).get("text/markdown", ""))


@dataclass
class Kernel:
    """A kernel with a notebook that grows by each cell that is run."""

    client: NotebookClient
    messages: list[Message] = field(default_factory=list)
    on_message: OnMessage | None = None

    def run(self, source: str, on_message: OnMessage | None = None) -> Ran:
        """Run a cell to its end; ``on_message`` sees each message as it arrives."""
        cell = nbformat.v4.new_code_cell(source)
        self.client.nb.cells.append(cell)
        self.messages, self.on_message = [], on_message
        failed = False
        try:
            self.client.execute_cell(cell, len(self.client.nb.cells) - 1)
        except CellExecutionError:
            failed = True
        return Ran(cell, self.messages, failed)

    def value(self, expression: str) -> Any:
        """The value of an expression in the kernel, which must be a literal."""
        import ast

        ran = self.run(f"print(repr({expression}))")
        assert not ran.failed, ran.traceback
        return ast.literal_eval(ran.printed)

    def interrupt(self) -> None:
        """What the interrupt button of a frontend does."""
        os.kill(self.client.km.provisioner.pid, signal.SIGINT)


@contextmanager
def kernel(path: str, preamble: str = "") -> Iterator[Kernel]:
    """A fresh kernel with nbretry loaded.

    Args:
        path: the working directory.
        preamble: a cell that is run first.
    """
    running: list[Kernel] = []

    class Client(NotebookClient):
        def process_message(self, msg: Message, cell: Any, cell_index: int) -> Any:
            running[0].messages.append(msg)
            if running[0].on_message is not None:
                running[0].on_message(msg)
            return super().process_message(msg, cell, cell_index)

    client = Client(nbformat.v4.new_notebook(), timeout=60, kernel_name="python3", resources={"metadata": {"path": path}})
    running.append(Kernel(client))
    client.reset_execution_trackers()
    with client.setup_kernel():
        for source in ("%load_ext nbretry", preamble):
            ran = running[0].run(source)
            assert not ran.failed, ran.traceback
        yield running[0]
