"""Keys in a real kernel: the prompt of `%nbretry key`, and the warning of a cell that has one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from kernel import Kernel, kernel

KEY = "lab-0123456789-key"
HERE = Path(__file__).parent
WITHIN = 60.0
"""Seconds; it takes a small part of that on an idle machine."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    directory = tmp_path_factory.mktemp("project")
    echo = f"""
import sys; sys.path.append({str(HERE)!r})
import keyring, memory_keyring, nbretry, os
from nbretry.providers.keys import find_key, forget_key
memory = memory_keyring.MemoryKeyring()
keyring.set_keyring(memory)

class Echo:
    @classmethod
    def create_completion(cls, model, messages, **options):
        yield messages[-1]["content"]

nbretry.register("echo", Echo)
"""
    with kernel(directory, "%load_ext nbretry", echo) as running:
        yield running


@pytest.fixture
def nb(shared: Kernel) -> Kernel:
    """The module's kernel, without any key."""
    shared.run("for name in ('GROQ_API_KEY', 'LAB_API_KEY'): forget_key(name)\nmemory.passwords.clear()")
    return shared


class Typist:
    """A frontend whose user answers every prompt, as JupyterLab's does."""

    def __init__(self, nb: Kernel, types: str) -> None:
        self.prompts: list[dict[str, Any]] = []
        self._types = types
        self._client = BlockingKernelClient(connection_file=nb.client.km.connection_file)
        self._client.load_connection_file()
        self._client.start_channels()

    def run(self, source: str) -> list[dict[str, Any]]:
        """Everything that the kernel publishes about a cell."""
        messages: list[dict[str, Any]] = []
        self._client.execute_interactive(
            source, allow_stdin=True, stdin_hook=self._answer, output_hook=messages.append, timeout=WITHIN
        )
        return messages

    def close(self) -> None:
        self._client.stop_channels()

    def _answer(self, message: dict[str, Any]) -> None:
        self.prompts.append(message["content"])
        self._client.input(self._types)


def typed(nb: Kernel, source: str, types: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The prompts of a cell, and everything that the kernel published about it."""
    typist = Typist(nb, types)
    try:
        messages = typist.run(source)
    finally:
        typist.close()
    return typist.prompts, messages


def said(messages: list[dict[str, Any]]) -> str:
    return json.dumps([message["content"] for message in messages])


# --- %nbretry key -----------------------------------------------------------------------------------------------------


def test_a_key_is_asked_for_unseen(nb: Kernel) -> None:
    """The prompt hides what is typed; the key counts for this process, is put nowhere else and is not shown."""
    prompts, messages = typed(nb, "%nbretry key groq", f"{KEY}\n")
    assert prompts == [{"prompt": "GROQ_API_KEY: ", "password": True}]
    assert "GROQ_API_KEY is kept for this process" in said(messages)
    assert KEY not in said(messages)
    assert nb.value("find_key('GROQ_API_KEY').source") == "entered"
    assert nb.value(f"find_key('GROQ_API_KEY').value == {KEY!r}") is True
    assert nb.value("'GROQ_API_KEY' in os.environ") is False
    assert nb.value("memory.passwords") == {}
    assert "groq" in nb.run("%nbretry providers").plain


def test_a_key_is_saved_and_forgotten(nb: Kernel) -> None:
    """``--save`` puts it into the system keyring; ``--forget`` takes it out everywhere, and tells what is left."""
    _, messages = typed(nb, "%nbretry key LAB_API_KEY --save", KEY)
    assert "and in the system keyring" in said(messages)
    assert nb.value(f"memory.passwords == {{('nbretry', 'LAB_API_KEY'): {KEY!r}}}") is True
    told = nb.run("%nbretry key LAB_API_KEY --forget").plain
    assert told == "LAB_API_KEY is forgotten in this process and in the system keyring"
    assert nb.value("memory.passwords") == {}
    nb.run(f"os.environ['LAB_API_KEY'] = {KEY!r}")
    told = nb.run("%nbretry key LAB_API_KEY --forget").plain
    assert told == "LAB_API_KEY was neither entered nor in the system keyring; it is still set in the environment"
    nb.run("del os.environ['LAB_API_KEY']")


def test_what_is_no_key_is_not_kept(nb: Kernel) -> None:
    """Nothing, or a text that can be no key, is refused in one line without that text."""
    for types, told in (("", "no key was entered"), ("secret words", "this is no key: it has a space")):
        _, messages = typed(nb, "%nbretry key groq", types)
        error = next(message["content"] for message in messages if message["msg_type"] == "error")
        assert "\n".join(error["traceback"]).startswith(f"ConfigError: {told}")
        assert not types or types not in said(messages)
    assert nb.value("find_key('GROQ_API_KEY')") is None


def test_an_interrupt_at_the_prompt(nb: Kernel) -> None:
    """Stop while the key is asked for fails the cell in one line, and keeps nothing."""

    class Stopper(Typist):
        def _answer(self, message: dict[str, Any]) -> None:
            nb.interrupt()

    stopper = Stopper(nb, "")
    try:
        messages = stopper.run("%nbretry key groq")
    finally:
        stopper.close()
    error = next(message["content"] for message in messages if message["msg_type"] == "error")
    assert error["traceback"] == ["KeyboardInterrupt: stopped; no key was entered"]
    assert nb.value("find_key('GROQ_API_KEY')") is None


def test_where_nothing_can_be_typed(nb: Kernel) -> None:
    """Under nbclient and papermill, where there is no prompt, one line says what to do in its place."""
    assert nb.run("%nbretry key groq").traceback == (
        "ConfigError: nothing can be typed here: set GROQ_API_KEY in the environment or in .env in place of it"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("key", "whose key? write a provider or a variable, as %nbretry key openai"),
        ("key opnai", "there is no provider named 'opnai'; did you mean 'openai'?"),
        ("key ollama", "ollama has no variable with a key"),
        ("key echo", "echo has no variable with a key"),
        ("key groq --save --forget", "--save and --forget do not go together"),
        ("key groq --keep", "unrecognized arguments: --keep"),
        ("key groq a1b2c3d4-test", "a key is written into no cell: %nbretry key groq asks for it"),
    ],
)
def test_mistakes(nb: Kernel, line: str, message: str) -> None:
    """A mistake fails the cell in one line."""
    assert nb.run(f"%nbretry {line}").traceback == f"ConfigError: {message}"


# --- the warning ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "GROQ_API_KEY = '@'\nprint('it runs')",
        "os.environ['GROQ_API_KEY'] = '@'\nprint('it runs')\ndel os.environ['GROQ_API_KEY']",
        "%env GROQ_API_KEY=@\nprint('it runs')\ndel os.environ['GROQ_API_KEY']",
        "%%time\nGROQ_API_KEY = '@'\nprint('it runs')",
    ],
)
def test_a_cell_with_a_key_is_warned_of(nb: Kernel, cell: str) -> None:
    """One line says what the cell has in it and what to do; the cell runs, and a second run is warned of again."""
    for _ in range(2):
        ran = nb.run(cell.replace("@", KEY))
        assert not ran.failed, ran.traceback
        warnings = [output.text for output in ran.outputs if output.get("name") == "stderr"]
        assert len(warnings) == 1
        assert warnings[0] == (
            "nbretry: this cell has a key in it (GROQ_API_KEY), and so has the saved notebook: take it out, and put "
            "it into .env or enter it with %nbretry key groq\n"
        )
        assert "it runs" in ran.printed


def test_a_key_in_a_cell_is_masked_from_then_on(nb: Kernel) -> None:
    """What a cell gave away is masked in everything that is shown later."""
    nb.run("client = dict(api_key='another-key-0042')")
    ran = nb.run("%%ask -p echo\nMy key is another-key-0042.")
    assert ran.answer == "My key is [secret]."


def test_other_cells_are_not_warned_of(nb: Kernel) -> None:
    """A cell without a key, a placeholder and a reloaded extension show nothing more."""
    nb.run("%reload_ext nbretry")
    for cell in ("x = 1", "api_key = 'your-key-here'", "tokenizer = 'gpt2-medium-2'", "%%ask -p echo\nkey = 5"):
        ran = nb.run(cell)
        assert [output for output in ran.outputs if output.get("name") == "stderr"] == []
    ran = nb.run(f"api_key = {KEY!r}")
    assert ran.printed.count("nbretry: ") == 1


def test_unloading_ends_the_warning(nb: Kernel) -> None:
    """Without the extension nothing is looked at."""
    nb.run("%unload_ext nbretry")
    assert nb.run(f"api_key = {KEY!r}").printed == ""
    assert not nb.run("%load_ext nbretry").failed
