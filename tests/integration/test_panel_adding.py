"""A provider that was added by the panel's form answers, over a real connection."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from fault_server import FaultServer
from kernel import kernel

from nbretry.notebook.panel.adding import AddingForm
from nbretry.notebook.panel.state import PanelState
from nbretry.providers import ScriptedProvider
from nbretry.session.session import Session

KEY = "q8Zt-41xLmV-09pKb"


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
def test_it_answers(server: FaultServer, monkeypatch: pytest.MonkeyPatch, protocol: str) -> None:
    """It is asked by its name for its model, with the key of its variable, after one that fails, in either protocol."""
    monkeypatch.setenv("NBRETRY_LAB_KEY", KEY)
    session = Session()
    session.register("overloaded", ScriptedProvider("503"))
    state = PanelState(session, ["overloaded"])
    form = AddingForm(state, threading.RLock(), lambda: form.show())
    controls = {control.description: control for control in form.controls}
    controls["Protocol"].value = protocol
    typed = {
        "Name": "lab",
        "Base URL": server.url if protocol == "openai" else server.origin,
        "Model": "ok",
        "Key variable": "NBRETRY_LAB_KEY",
    }
    for field, text in typed.items():
        controls[field].set_state({"value": text})
    form.controls[-1].click()
    state.prompt = "Why?"
    answer = asyncio.run(session.ask(state.asked().question, lambda event, answer: None))
    assert (answer.text, answer.provider) == ("Hello wide world", "lab")
    assert [attempt.provider for attempt in answer.attempts] == ["overloaded", "lab"]
    (seen,) = server.seen
    assert seen.model == "ok"
    assert seen.path == ("/v1/chat/completions" if protocol == "openai" else "/v1/messages")
    headers = seen.headers  # in which of these a key is sent depends on the SDK and its version
    assert KEY in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer "))


CONTROLS = """
import nbretry
from nbretry._utils.redaction import mask
panel = nbretry.panel(["local"])
controls = {control.description: control for control in panel._adding.controls}
"""


def test_a_cell_has_it_from_then_on(server: FaultServer, tmp_path: Path) -> None:
    """What a page types and clicks arrives in the kernel; then ``%%ask -p NAME`` asks the server."""
    with kernel(tmp_path, "%load_ext nbretry", CONTROLS) as running:
        client = running.client.kc

        def send(description: str, data: dict[str, object]) -> None:
            comm_id = running.value(f"controls[{description!r}].model_id")
            client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm_id, "data": data}))

        def type_in(description: str, text: str) -> None:
            send(description, {"method": "update", "state": {"value": text}, "buffer_paths": []})

        for field, text in {"Name": "lab", "Base URL": server.url, "Model": "ok", "Key variable": KEY}.items():
            type_in(field, text)
        assert running.value("controls['Key variable'].value") == ""
        assert running.value(f"mask({KEY!r})") == "[secret]"
        type_in("Key variable", "NBRETRY_LAB_KEY")
        send("Add", {"method": "custom", "content": {"event": "click"}})  # the last one of that name
        assert running.value("[choice.name for choice in panel.state.choices]") == ["local", "lab"]
        assert running.run("%%ask -p lab\nWhy?").markdown == "Hello wide world"
        assert server.models() == ["ok"]
