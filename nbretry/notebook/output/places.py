"""The outputs that one renderer has in its cell, and how they are left when it ends.

An output can be replaced by an update of its display id. Not every frontend hears updates: an `ipywidgets.Output` does
not, nor do jupyter console and qtconsole. So what a cell leaves at its end is sent as new outputs. Before that, the
cell is cleared if nothing else is in it; if something is, the renderer's own outputs are emptied.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from nbretry.notebook.cells.cell import request_of
from nbretry.notebook.cells.recorder import has_shown, outputs_sent, send_printed, widgets_taking
from nbretry.renderers.painter import in_one_block

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["BLANK", "Bundle", "Places", "added_to", "is_captured", "output_widget"]

Bundle: TypeAlias = dict[str, Any]
"""Data by MIME type, or metadata."""

BLANK: Bundle = {"text/html": "", "text/plain": ""}

_MOST_GROUPS = 20

_FRONTENDS_WITH_UPDATES = ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD", "COLAB_RELEASE_TAG")
"""Variables of a kernel that JupyterLab, Notebook, VS Code or Colab has started."""


class _Group:
    """The renderers of one request in an Output widget. If one of them clears the widget, it shows all their outputs.

    Args:
        redraws: whether they may clear the widget, as it was empty before.

    Attributes:
        states: what each of them shows.
        sent: how many messages they have sent.
        clearings: how many of those clear the outputs.
    """

    by_widget: ClassVar[dict[str, _Group]] = {}

    def __init__(self, redraws: bool = False) -> None:
        self.redraws = redraws
        self.states: list[Sequence[tuple[Bundle, Bundle]]] = []
        self.sent = self.clearings = 0

    @classmethod
    def of(cls, widget: Any, request: str, shell: InteractiveShell) -> _Group:
        """Return the group of this widget."""
        key = f"{request} {widget.model_id}"
        if key not in cls.by_widget:
            is_nested = len(widgets_taking(request)) > 1  # then nobody knows which of them is inside the others
            is_empty = not widget.outputs and not has_shown(shell, widget)
            cls.by_widget[key] = cls(redraws=is_empty and not is_nested)
            if len(cls.by_widget) > _MOST_GROUPS:
                del cls.by_widget[next(iter(cls.by_widget))]
        return cls.by_widget[key]


class Places:
    """Outputs in the running cell, numbered from 0.

    Args:
        shell: the shell whose cell is running.
        once: whether only the last state is shown.
        publish: sends outputs, with the arguments of `IPython.core.displaypub.DisplayPublisher.publish`; by default the
            publisher of the running cell. If it is given, all outputs are replaced by updates.
    """

    def __init__(self, shell: InteractiveShell, once: bool, publish: Callable[..., None] | None = None) -> None:
        self._shell = shell
        self._publisher = shell.display_pub
        self._own_publish = publish
        self._request = request_of(shell)
        self._group = _Group()
        self._ids: list[str] = []
        self._shown: list[tuple[Bundle, Bundle]] = []
        self._redraws = False
        self.once = once
        widget = None if once or publish is not None else output_widget(shell)
        if widget is not None:
            # It hears no updates, but it can be cleared, if nothing else is in it.
            self._group = _Group.of(widget, self._request, shell)
            self._redraws = self._group.redraws and self._is_alone()
            self.once = not self._redraws
        self._cleared_before = self._clearings_of_others()
        self._number = len(self._group.states)
        self._group.states.append([])

    def show(self, place: int, data: Bundle, metadata: Bundle | None = None) -> None:
        """Replace the content of an output, or with the number of outputs so far add one."""
        if self.once:
            return
        state = data, metadata or {}
        is_new = place == len(self._shown)
        if is_new:
            self._ids.append(uuid.uuid4().hex)
            self._shown.append(state)
        elif self._shown[place] == state:
            return
        self._shown[place] = state
        if not self._redraws:
            self._send(*state, transient={"display_id": self._ids[place]}, update=not is_new)

    def blank_from(self, place: int) -> None:
        """Empty the outputs from this number on, as outputs cannot be removed."""
        for later in range(place, len(self._shown)):
            self.show(later, BLANK)

    def painted(self) -> int:
        """Call this when all outputs have been given their content.

        Returns:
            The number of characters that had to be sent again because of it.
        """
        if not self._redraws or not self._shown:
            return 0
        if not self._is_alone():
            self.once = True  # what else there is now would be cleared
            return 0
        self._replace_all([state for state in self._shown if state[0] != BLANK])
        return sum(len(form) for states in self._group.states for data, _ in states for form in data.values())

    def leave(self, outputs: Sequence[tuple[Bundle, Bundle | None]]) -> None:
        """Leave these outputs and no others.

        Args:
            outputs: data and metadata of each.
        """
        states = [(data, metadata or {}) for data, metadata in outputs]
        if not self.once and self._own_publish is None and self._is_alone():
            self._replace_all(states)
        elif not self.once and self._may_be_updated():
            for place, state in enumerate(states):
                self.show(place, *state)
            self.blank_from(len(states))
        else:
            self.blank_from(0)
            for state in states:
                self._send(*state)

    def _may_be_updated(self) -> bool:
        """Return whether the frontend would show new content in the outputs that there are."""
        if self._own_publish is not None:
            return True
        return not self._redraws and self._hears_updates() and not self._was_cleared()

    def _replace_all(self, states: Sequence[tuple[Bundle, Bundle]]) -> None:
        if self._group.sent:
            self._publisher.clear_output(wait=True)  # type: ignore[no-untyped-call]
            self._group.sent += 1
            self._group.clearings += 1
        self._group.states[self._number] = states
        for one in self._group.states:
            for state in one:
                self._send(*state)

    def _send(self, data: Bundle, metadata: Bundle, **kwargs: Any) -> None:
        self._group.sent += 1
        if "text/html" in data:
            data = {**data, "text/html": in_one_block(data["text/html"])}
        (self._own_publish or self._publisher.publish)(data, metadata, **kwargs)

    def _is_alone(self) -> bool:
        """Return whether all that the cell has shown so far is from here and its group, as far as that is known."""
        send_printed()
        return outputs_sent(self._shell, self._request) == self._group.sent

    def _was_cleared(self) -> bool:
        """Return whether other code has cleared the cell, so that there is nothing left to update."""
        return self._clearings_of_others() > self._cleared_before

    def _clearings_of_others(self) -> int:
        return (outputs_sent(self._shell, self._request, "clear_output") or 0) - self._group.clearings

    def _hears_updates(self) -> bool:
        if any(name in os.environ for name in _FRONTENDS_WITH_UPDATES) or "__vsc_ipynb_file__" in self._shell.user_ns:
            return True
        # A program that runs notebooks allows no input, and keeps a list of outputs by their display ids.
        get_parent = getattr(self._shell, "get_parent", None)
        parent: Bundle = (get_parent() if get_parent is not None else None) or {}
        return not parent.get("content", {}).get("allow_stdin", True)


def is_captured(shell: InteractiveShell) -> bool:
    """Return whether ``%%capture`` or similar keeps the outputs; it would keep each repaint as an output of its own."""
    from IPython.core.displaypub import CapturingDisplayPublisher

    return isinstance(shell.display_pub, CapturingDisplayPublisher)


def output_widget(shell: InteractiveShell) -> Any:
    """Return an `ipywidgets.Output` that takes the outputs of the running code; None if none does."""
    return next(iter(widgets_taking(request_of(shell))), None)


def added_to(first: Bundle) -> Callable[..., None]:
    """Show something in an `ipywidgets.Output` of its own, and return a function that adds outputs to that one.

    The function works also after the running code has ended, and leaves alone what else the page shows by then.

    Args:
        first: what is shown until the function is called.
    """
    from IPython.display import display
    from ipywidgets import Output

    def output(data: Bundle, metadata: Bundle | None) -> Bundle:
        return {"output_type": "display_data", "data": data, "metadata": metadata or {}}

    widget = Output(outputs=(output(first, None),))
    display(widget)  # type: ignore[no-untyped-call]
    added: list[Bundle] = []

    def publish(data: Bundle, metadata: Bundle | None = None, **kwargs: Any) -> None:
        added.append(output(data, metadata))
        widget.outputs = tuple(added)

    return publish
