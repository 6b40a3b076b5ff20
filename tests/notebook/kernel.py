"""A real kernel that runs cells one by one and keeps every message about them."""

from __future__ import annotations

import ast
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
from jupyter_core.paths import jupyter_runtime_dir
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

KERNEL_NAME = os.environ.get("NBRETRY_TEST_KERNEL", "python3")
"""The kernel that is tested: this environment's own, or one that `versions` has specified."""

ABORTING = 20.0
"""Seconds in which a kernel has to take the next cell; it takes a few milliseconds."""

Message = dict[str, Any]
OnMessage = Callable[[Message], None]
When = Callable[[Message], bool]


def config() -> Config:
    """How a `NotebookClient` talks to its kernel: where it can be had, by sockets that are files.

    The numbers of ports are chosen before the kernel listens on them, so that whatever else runs may have taken one.
    """
    if sys.platform != "linux":
        return Config()
    file = Path(jupyter_runtime_dir()) / f"kernel-{uuid4().hex}.json"
    return Config({"KernelManager": {"transport": "ipc", "connection_file": str(file)}})


@dataclass
class Ran:
    """What a cell left behind.

    Attributes:
        cell: the cell with its outputs, as it would be saved.
        messages: everything that the kernel published while it ran, in order.
        times: when each of the messages arrived, in seconds.
        reply: the kernel's reply to the request.
        failed: whether the cell failed, so that "Run All" would stop.
        stopped_after: seconds from the interrupt to the end of the cell; None where there was no interrupt.
    """

    cell: Any
    messages: list[Message]
    times: list[float]
    reply: dict[str, Any]
    failed: bool
    stopped_after: float | None = None

    @property
    def outputs(self) -> list[Any]:
        return list(self.cell.outputs)

    @property
    def error(self) -> Any:
        return next((output for output in self.outputs if output.output_type == "error"), None)

    @property
    def raised(self) -> bool:
        """Whether it failed, or would have: ``%%time`` of IPython 8 shows what its cell raises, and goes on."""
        return self.failed or (self.error is not None and self.cell.source.startswith("%%time\n"))

    @property
    def traceback(self) -> str:
        return "\n".join(self.error.traceback) if self.error else ""

    def of_type(self, mime: str) -> list[str]:
        """The final data of this type, one for each output that has it."""
        return [output.data[mime] for output in self.outputs if mime in output.get("data", {})]

    @property
    def answers(self) -> list[str]:
        """The text of each complete answer, as `answers_of` returns it."""
        return answers_of(self.cell)

    @property
    def answer(self) -> str:
        """The text of the answers."""
        return "\n".join(self.answers)

    @property
    def reports(self) -> list[str]:
        """The HTML of each report about an answer."""
        return reports_of(self.cell)

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
    def help(self) -> str:
        """What the pager shows."""
        pages = self.reply["content"].get("payload", [])
        return "".join(page["data"]["text/plain"] for page in pages if page["source"] == "page")

    @property
    def records(self) -> list[dict[str, Any]]:
        """The provenance records in the outputs' metadata."""
        return [output.metadata["nbretry"] for output in self.outputs if "nbretry" in output.get("metadata", {})]

    def repaints(self) -> list[str]:
        """Every state of the answers that the cell has shown, in order, with a space for all white space."""
        return [text for _, text in self._states()]

    def arrived(self, text: str) -> float:
        """When this state of the answer was first shown."""
        return next(at for at, shown in self._states() if shown == text)

    def _states(self) -> list[tuple[float, str]]:
        states: list[tuple[float, str]] = []
        shown: dict[str, str] = {}
        is_cleared_next = False
        for number, (at, message) in enumerate(zip(self.times, self.messages, strict=True)):
            kind, content = message["msg_type"], message["content"]
            is_cleared_next = is_cleared_next or kind == "clear_output"
            if kind not in ("display_data", "update_display_data"):
                continue
            if is_cleared_next:
                shown.clear()
                is_cleared_next = False
            shown[content["transient"].get("display_id", str(number))] = answer_in(content["data"])
            text = " ".join(" ".join(shown.values()).split())
            if text and (not states or states[-1][1] != text):
                states.append((at, text))
        return states

    def size(self) -> int:
        """Bytes of what the messages say, as JSON."""
        return sum(len(json.dumps(message["content"])) for message in self.messages)


def answers_of(cell: Any) -> list[str]:
    """The text of each complete answer that a cell shows, as a program prints it; its HTML shows the same words."""
    answers = []
    for output in cell.outputs:
        record = output.get("metadata", {}).get("nbretry", {"compare": []})
        if "compare" in record or output.data["text/html"].startswith("<details"):
            continue  # a report, or a comparison
        if "text/markdown" in output.data:
            assert answer_in(output.data).strip(), "the page shows another answer"
        answers.append(output.data["text/plain"])
    return answers


def reports_of(cell: Any) -> list[str]:
    """The HTML of each report about an answer that a cell shows."""
    shown = [output.get("data", {}).get("text/html", "") for output in cell.outputs]
    return [html for html in shown if html.startswith('<details class="nbretry-report')]


def answer_in(data: dict[str, Any]) -> str:
    """The text of the answer that an output shows, or an empty string."""
    return Answered(data["text/html"]).answer if "nbretry-answer" in data.get("text/html", "") else ""


class Answered(HTMLParser):
    """Reads the words of an answer from the HTML that shows it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.answer = ""
        self._depth = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._depth and tag not in ("br", "hr", "input"):
            self._depth += 1
        elif any(name == "class" and "nbretry-answer" in (value or "") for name, value in attrs):
            self._depth = 1

    def handle_endtag(self, tag: str) -> None:
        self._depth = max(0, self._depth - 1)

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.answer += data


def says(words: str) -> When:
    """Whether a message shows or prints these words, for `Kernel.run`."""
    return lambda message: words in json.dumps(message["content"], ensure_ascii=False)


@dataclass
class Kernel:
    """A kernel with a notebook that grows by each cell that is run."""

    client: NotebookClient
    messages: list[Message] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    on_message: OnMessage | None = None
    reply: dict[str, Any] = field(default_factory=dict)

    def run(self, source: str, on_message: OnMessage | None = None, interrupt_when: When | None = None) -> Ran:
        """Run a cell to its end.

        Args:
            source: the cell.
            on_message: sees each message as it arrives.
            interrupt_when: the kernel is interrupted at the first message for which this is true.
        """
        cell = nbformat.v4.new_code_cell(source)
        self.client.nb.cells.append(cell)
        self.messages, self.times, self.reply = [], [], {}
        interrupted: list[float] = []

        def look(message: Message) -> None:
            if on_message is not None:
                on_message(message)
            if interrupt_when is not None and not interrupted and interrupt_when(message):
                interrupted.append(time.monotonic())
                self.interrupt()

        self.on_message = look
        failed = False
        deadline = time.monotonic() + ABORTING
        while time.monotonic() < deadline:
            try:
                self.client.execute_cell(cell, len(self.client.nb.cells) - 1, store_history=True)
            except CellExecutionError:
                failed = True
            if self.reply.get("content", {}).get("status") != "aborted":
                break
            # For a moment after a cell has failed, ipykernel 6 refuses whatever comes: it may have been sent before.
            self.messages, self.times, self.reply = [], [], {}
        ended = time.monotonic()
        assert interrupt_when is None or interrupted, f"there was no message to interrupt at in {self.messages}"
        stopped_after = ended - interrupted[0] if interrupted else None
        return Ran(cell, self.messages, self.times, self.reply, failed, stopped_after)

    def take(self, message: Message) -> None:
        """A message has arrived."""
        self.messages.append(message)
        self.times.append(time.monotonic())
        if self.on_message is not None:
            self.on_message(message)

    def value(self, expression: str) -> Any:
        """The value of an expression in the kernel, which must be a literal."""
        ran = self.run(f"print(repr({expression}))")
        assert not ran.failed, ran.traceback
        assert {output.get("name") for output in ran.outputs} == {"stdout"}, (ran.outputs, self.messages)
        return ast.literal_eval(ran.printed)

    def interrupt(self) -> None:
        """What the interrupt button of a frontend does."""
        os.kill(self.client.km.provisioner.pid, signal.SIGINT)


def environment(path: Path, **more: str) -> dict[str, str]:
    """This process's environment without anybody's keys, endpoints and IPython profile.

    Args:
        path: where IPython keeps its things.
        **more: variables to add.
    """
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith(("_API_KEY", "_BASE_URL", "OLLAMA_HOST", "_OPENAI_ENDPOINT"))
    }
    return {**ours, "IPYTHONDIR": str(path / "ipython"), **more}


@contextmanager
def kernel(path: Path, *cells: str, **variables: str) -> Iterator[Kernel]:
    """A fresh kernel.

    Args:
        path: the working directory.
        *cells: run first; loading nbretry if there are none.
        **variables: for the kernel's environment.
    """
    running: list[Kernel] = []

    class Client(NotebookClient):
        def process_message(self, msg: Message, cell: Any, cell_index: int) -> Any:
            running[0].take(msg)
            return super().process_message(msg, cell, cell_index)

    def keep_reply(cell: Any, cell_index: int, execute_reply: dict[str, Any]) -> None:
        running[0].reply = execute_reply

    resources = {"metadata": {"path": str(path)}}
    notebook = nbformat.v4.new_notebook()
    client = Client(notebook, timeout=60, kernel_name=KERNEL_NAME, resources=resources, config=config())
    client.on_cell_executed = keep_reply
    running.append(Kernel(client))
    client.reset_execution_trackers()
    with client.setup_kernel(env=environment(path, **variables)):
        for source in cells or ("%load_ext nbretry",):
            ran = running[0].run(source)
            assert not ran.failed, ran.traceback
        yield running[0]
