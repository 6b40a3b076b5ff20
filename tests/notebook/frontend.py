"""What a page of JupyterLab, a program or a console shows of a kernel's messages, in cells and in Output widgets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jupyter_core.utils import run_sync
from kernel import Kernel, Message, answer_in
from page import Page

WITHIN = 60.0
"""Seconds, for what takes a few on a busy machine."""


@dataclass
class Area:
    """A place for outputs: a cell's, or that of an `ipywidgets.Output`."""

    outputs: list[Message] = field(default_factory=list)
    widgets: dict[str, Area] = field(default_factory=dict)
    """The Output widgets of the page by their ids."""
    is_cleared_next: bool = False

    def add(self, message: Message) -> None:
        self._clear_if_due()
        if message["msg_type"] == "stream" and self.outputs and self.outputs[-1]["msg_type"] == "stream":
            last = self.outputs[-1]["content"]
            self.outputs[-1]["content"] = {**last, "text": last["text"] + message["content"]["text"]}
            return
        self.outputs.append({"msg_type": message["msg_type"], "content": message["content"]})

    def clear(self, wait: bool) -> None:
        self.is_cleared_next = True
        if not wait:
            self._clear_if_due()

    def update(self, content: dict[str, Any]) -> None:
        for output in self.outputs:
            if output["content"].get("transient", {}).get("display_id") == content["transient"]["display_id"]:
                output["content"] = content

    def shown(self) -> list[str]:
        """The text of each output that is not empty; of an answer only its own words."""
        texts: list[str] = []
        for output in self.outputs:
            view = output["content"].get("data", {}).get("application/vnd.jupyter.widget-view+json", {})
            inner = self.widgets.get(view.get("model_id"))
            texts += inner.shown() if inner is not None else [text_of(output)]
        return [text for text in texts if text]

    def _clear_if_due(self) -> None:
        if self.is_cleared_next:
            self.outputs.clear()
            self.is_cleared_next = False


def text_of(output: Message) -> str:
    """The words that an output shows, with a space for all white space."""
    content = output["content"]
    data = content.get("data", {})
    if "application/vnd.jupyter.widget-view+json" in data:
        return "widget"
    text = content.get("text", content.get("evalue", ""))
    if "text/html" in data:
        text = answer_in(data) or Page(data["text/html"]).text
    elif data:
        text = data.get("text/plain", "")
    return " ".join(text.split())


class Frontend:
    """A frontend with a running kernel.

    Args:
        nb: the kernel.
        kind: ``lab`` hears updates, of cells but not in Output widgets; ``program`` also, and allows no input;
            ``console`` hears none.

    Attributes:
        tells_kernel: whether the kernel is told what an Output widget shows, as a page does after a while.
    """

    def __init__(self, nb: Kernel, kind: str = "lab") -> None:
        self.nb = nb
        self.kind = kind
        self.messages: list[Message] = []
        self.tells_kernel = True
        self._cells: dict[str, Area] = {}
        self._widgets: dict[str, Area] = {}
        self._takers: dict[str, str] = {}

    def run(self, source: str) -> Area:
        """Run a cell to its end."""
        client = self.nb.client.kc
        request = client.execute(source, allow_stdin=self.kind != "program")
        self._read_until_idle(request)
        return self._cells.setdefault(request, self._area())

    def send(self, widget: str, data: dict[str, Any]) -> None:
        """Send what a page sends to a widget, and wait until the kernel has handled it."""
        client = self.nb.client.kc
        message = client.session.msg("comm_msg", {"comm_id": widget, "data": data})
        client.shell_channel.send(message)
        self._read_until_idle(message["header"]["msg_id"])

    def widget(self, expression: str) -> Area:
        """What the Output widget of this expression shows."""
        return self._widgets[self.nb.value(f"{expression}.model_id")]

    def _area(self) -> Area:
        return Area(widgets=self._widgets)

    def _read_until_idle(self, request: str) -> None:
        client = self.nb.client.kc
        while True:
            message = run_sync(client.get_iopub_msg)(timeout=WITHIN)
            self._take(message)
            is_of_request = message["parent_header"].get("msg_id") == request
            if is_of_request and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return

    def _take(self, message: Message) -> None:
        self.messages.append(message)
        kind, content = message["msg_type"], message["content"]
        parent = message["parent_header"].get("msg_id", "")
        taker = self._takers.get(parent)
        area = self._widgets[taker] if taker is not None else self._cells.setdefault(parent, self._area())
        if kind == "comm_open" or (kind == "comm_msg" and content["data"].get("method") == "update"):
            self._take_state(content["comm_id"], content["data"].get("state", {}))
        elif kind in ("display_data", "execute_result", "stream", "error"):
            area.add(message)
            self._tell_kernel(taker)
        elif kind == "clear_output":
            area.clear(content["wait"])
            self._tell_kernel(taker)
        elif kind == "update_display_data" and self.kind != "console":
            for one in self._cells.values():
                one.update(content)

    def _take_state(self, widget: str, state: dict[str, Any]) -> None:
        if state.get("_model_name") == "OutputModel":
            self._widgets[widget] = self._area()
        if widget not in self._widgets:
            return
        if "outputs" in state:
            self._widgets[widget].outputs = [
                {"msg_type": output["output_type"], "content": output} for output in state["outputs"]
            ]
        if "msg_id" in state:
            self._takers = {request: taker for request, taker in self._takers.items() if taker != widget}
            if state["msg_id"]:
                self._takers[state["msg_id"]] = widget

    def _tell_kernel(self, widget: str | None) -> None:
        """Tell the kernel what an Output widget shows, as a page does."""
        if widget is None or not self.tells_kernel:
            return
        names = ("name", "text", "data", "metadata", "ename", "evalue", "traceback", "execution_count")
        outputs = [
            {"output_type": output["msg_type"], **{n: output["content"][n] for n in names if n in output["content"]}}
            for output in self._widgets[widget].outputs
        ]
        client = self.nb.client.kc
        data = {"method": "update", "state": {"outputs": outputs}, "buffer_paths": []}
        client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": widget, "data": data}))
