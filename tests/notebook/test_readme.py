"""Every block of the README is run: cells in one real kernel in their order, settings as a file, commands as commands.

No key and no network is needed: the base URLs of OpenAI and of Anthropic are those of a server of `nbretry.testing` on
this machine, by the environment variables that the SDKs know; the local model is the real one.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kernel import Kernel, Ran, environment, kernel
from readme import README, ROOT, Block, blocks, blocks_of, codes_in_text
from unable import unable

from nbretry.config.schema import DEFAULT
from nbretry.config.settings import CONFIG_VARIABLE, Settings
from nbretry.providers.factory import provider_from_table
from nbretry.providers.services import PRESETS
from nbretry.testing import FaultServer, ReceivedRequest

BLOCKS = blocks()
MODULES = [block for block in BLOCKS if block.file]
CELLS = [block for block in BLOCKS if block not in MODULES and (block.language == "python" or not block.language)]
TOLD = "Blue light is scattered most."

SCRIPTS = {
    str(PRESETS["openai"].default_model): f"503, '{TOLD}'",
    str(PRESETS["anthropic"].default_model): f"503, '{TOLD}'",
}
"""Both services are down when the first question comes, so that it goes as the README shows it, and answer later."""

RUNS_INLINE = re.compile(
    r"(?!%%?\w+\??$|await answer$)"  # a name alone; what is awaited there is of the block above it
    r"(%|\w+ = %|await |\w+ = await |nbretry\.panel|\[\*_answer|Answer\.from_dict)[^…]*"
)
"""Code in a sentence that is whole, and so can be run."""

FOR_INLINE = """
import json
from nbretry import Answer
from nbretry.providers import OpenAIProvider
provider = OpenAIProvider()
%nbretry config providers openai
%ask -c Why is the sky blue?
"""
"""What such code takes for granted: a provider, an answer, a conversation, and nobody who cannot be reached."""


INLINE = [code for code in dict.fromkeys(codes_in_text()) if RUNS_INLINE.fullmatch(code)]

BEFORE = {
    "{{ df.describe() }}": (
        "import matplotlib.pyplot as plt\nimport pandas as pd\n"
        "df = pd.DataFrame({'height': [1.62, 1.75, 17.1]})\n"
        "fig, axes = plt.subplots(figsize=(2, 2))\naxes.plot(df['height'])\nplt.close(fig)"
    ),
}
"""What the notebook has before the block with these words, which the README takes for granted."""

AFTER = {
    "-p openai,anthropic,local": (
        "[(attempt.provider, attempt.state) for attempt in _answer.attempts]",
        [("openai", "failed"), ("anthropic", "failed"), ("local", "answered")],
    ),
    "{{ df.describe() }}": ("(_answer.text, _answer.provider)", (TOLD, "openai")),
    "--background -o answer": ("((await answer).text, answer.state)", (TOLD, "completed")),
    "--compare openai,anthropic,local": (
        "([(answer.provider, answer.state) for answer in answers], answers is _comparison, _answer is answers[0])",
        ([("openai", "completed"), ("anthropic", "completed"), ("local", "completed")], True, True),
    ),
    'nbretry.register("lab"': (
        "(nbretry.default_session().names()[0], repr(nbretry.default_session().provider('lab')))",
        ("lab", "OpenAIProvider(name='gpu-server:8000', base_url='http://gpu-server:8000/v1', model='qwen3')"),
    ),
    "retry_provider.create_completion(": ("(answer.text, answer.provider, answer.exceptions)", (TOLD, "openai", {})),
    "policy=RetryPolicy(": (
        "(retry_provider.policy.rounds, retry_provider.spent, (await retry_provider.answer('', messages)).text)",
        (2, 0.0, TOLD),
    ),
    "PriceTable(": (
        "[prices.price(*who).completion for who in [('openai', 'gpt-5.4-mini'), ('lab', 'any'), ('groq', 'qwen3')]]",
        [4.5, 0.0, 0.4],
    ),
    "FaultServer({": ("[type(one).__name__ for one in answer.exceptions.values()]", ["ServerError"]),
}
"""After the block with these words this expression has this value."""


@dataclass
class Executed:
    """A block that was run as a cell.

    Attributes:
        ran: what the cell left behind.
        requests: what the services were asked meanwhile.
        value: that of the block's expression in `AFTER`.
        failures: what the functions of its name failed with that the block defines as tests.
    """

    ran: Ran
    requests: list[ReceivedRequest]
    value: Any
    failures: list[str]


def execute(running: Kernel, server: FaultServer, block: Block) -> Executed:
    """Run a block as a cell, with what belongs before and after it, and the tests that it defines."""
    for words, source in BEFORE.items():
        if words in block.source:
            prepared = running.run(source)
            assert not prepared.failed, prepared.traceback
    asked = len(server.requests)
    ran = running.run(block.source)
    failures = []
    for prefix, name in re.findall(r"^(async )?def (test_\w+)\(\)", block.source, re.MULTILINE):
        tested = running.run(f"{'await ' if prefix else ''}{name}()")
        failures += [tested.traceback] if tested.failed else []
    looked = next((expression for words, (expression, _) in AFTER.items() if words in block.source), None)
    value = running.value(looked) if looked and not ran.failed else None
    return Executed(ran, server.requests[asked:], value, failures)


@dataclass
class Book:
    """The README in a kernel.

    Attributes:
        running: the kernel.
        executed: every cell of the README by its line, run one after the other.
    """

    running: Kernel
    executed: dict[int, Executed]


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Book]:
    with FaultServer(SCRIPTS) as server:
        variables = {
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "no-key-of-openai",
            "ANTHROPIC_BASE_URL": server.origin,
            "ANTHROPIC_API_KEY": "no-key-of-anthropic",
            "NBRETRY_MAX_TOKENS": "40",  # the small model would go on for long
        }
        with kernel(tmp_path_factory.mktemp("readme"), "%matplotlib inline", **variables) as running:
            yield Book(running, {block.line: execute(running, server, block) for block in CELLS})


@pytest.fixture(scope="module")
def executed(book: Book) -> dict[int, Executed]:
    """What every cell of the README did."""
    return book.executed


@pytest.fixture(scope="module")
def after_blocks(book: Book) -> Kernel:
    """The kernel after all blocks, with what code in sentences takes for granted."""
    prepared = book.running.run(FOR_INLINE)
    assert not prepared.failed, prepared.traceback
    return book.running


def block_with(words: str) -> Block:
    found = [block for block in BLOCKS if block not in MODULES and words in block.source]
    assert len(found) == 1, f"{len(found)} blocks of the README have {words!r}"
    return found[0]


def named(chosen: list[Block]) -> list[Any]:
    return [pytest.param(block, id=f"line {block.line}") for block in chosen]


def shape(text: str) -> str:
    """A text without what differs from run to run: times, tokens, and how many spaces fill a column."""
    without_numbers = re.sub(r"\d+(\.\d+)?(?= tokens)", "#", re.sub(r"\d+(\.\d+)? m?s\b", "# s", text))
    return re.sub(r" +", " ", without_numbers).strip()


# --- blocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", named(BLOCKS))
def test_every_block_is_run(block: Block) -> None:
    """There is no block that no test below runs."""
    kinds = {"cell": CELLS, "module": MODULES, "settings": SETTINGS, "commands": COMMANDS}
    assert block in kinds[block.kind]


@pytest.mark.parametrize("text", ["```sh\nls\n```", "```\nplain\n```", "Text.\n\n    indented\n", "~~~ruby\n1\n~~~"])
def test_an_unknown_block_is_noticed(text: str) -> None:
    """A block of a kind that nothing here runs is refused, with its line."""
    (block,) = blocks_of(text)
    with pytest.raises(ValueError, match=rf"line {block.line}: no test runs"):
        block.kind  # noqa: B018


@pytest.mark.local_model
@pytest.mark.parametrize("block", named(CELLS))
def test_a_cell_runs(executed: dict[int, Executed], block: Block) -> None:
    """A block of Python, or a cell of ``%%ask``, runs without a failure and without a word on stderr."""
    ran = executed[block.line].ran
    assert not ran.failed, ran.traceback
    assert [output.text for output in ran.outputs if output.get("name") == "stderr"] == []
    assert executed[block.line].failures == []


@pytest.mark.local_model
@pytest.mark.parametrize("words", AFTER)
def test_what_a_cell_leaves_behind(executed: dict[int, Executed], words: str) -> None:
    """What the README says of a block is so after it."""
    assert executed[block_with(words).line].value == AFTER[words][1]


@pytest.mark.local_model
def test_every_cell_is_looked_at(executed: dict[int, Executed]) -> None:
    """Of each block but the first, which loads the extension, something is claimed."""
    assert {block_with(words).line for words in AFTER} == {block.line for block in CELLS} - {CELLS[0].line}
    assert CELLS[0].source == "%load_ext nbretry"


@pytest.mark.local_model
def test_the_line_under_the_first_answer(executed: dict[int, Executed]) -> None:
    """The README shows the line under the answer as it is, but for its numbers."""
    quoted = re.search(r"^> ▸ (.+)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert quoted
    lines = executed[block_with("-p openai,anthropic,local").line].ran.plain.splitlines()
    assert shape(next(line for line in lines if line.startswith("local · "))) == shape(quoted[1])


@pytest.mark.local_model
def test_the_data_is_sent(executed: dict[int, Executed]) -> None:
    """The frame goes as a Markdown table, and the figure as an image."""
    (request,) = executed[block_with("{{ df.describe() }}").line].requests
    parts = request.messages[-1]["content"]
    assert [part["type"] for part in parts if part["type"] != "text"] == ["image_url"]
    text = "".join(part.get("text", "") for part in parts)
    assert text.startswith("What is odd in ")
    assert re.search(r"\| mean +\| *6\.82", text)


@pytest.mark.local_model
@pytest.mark.parametrize("code", INLINE)
def test_code_in_a_sentence_runs(after_blocks: Kernel, code: str) -> None:
    """What the README says to write, within a sentence, runs in a cell."""
    ran = after_blocks.run(code)
    assert not ran.failed, ran.traceback


@pytest.mark.local_model
def test_what_the_python_blocks_print(executed: dict[int, Executed]) -> None:
    """What the README says that a block prints is what it prints."""
    streamed = executed[block_with("retry_provider.create_completion(").line]
    assert streamed.ran.printed == f"{TOLD}openai {{}}\n"
    assert len(streamed.requests) == 2
    faults = block_with("FaultServer({")
    said = re.search(r"print\(.*\)  # (.+)$", faults.source, re.MULTILINE)
    assert said
    assert executed[faults.line].ran.printed == f"{said[1]}\n"


# --- modules ----------------------------------------------------------------------------------------------------------


def test_modules_pass_their_tests(tmp_path: Path) -> None:
    """The provider that the README has for an example passes the test that it has for it."""
    for block in MODULES:
        assert block.file
        (tmp_path / block.file).write_text(block.source, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", str(tmp_path / "pytest.ini")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 3 passed" in done.stdout


# --- settings ---------------------------------------------------------------------------------------------------------

SETTINGS = [block for block in BLOCKS if block.language == "toml"]


def described(settings: Settings) -> tuple[dict[str, Any], list[Any]]:
    """What files set, and the providers that they describe."""
    set_there = {key: one.value for key, one in settings.current().items() if one.source != DEFAULT}
    return set_there, list(settings.providers().values())


@pytest.mark.parametrize("block", named(SETTINGS))
def test_settings_are_read(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of settings is right as a project's file, and the same with the headings of one's own."""
    monkeypatch.chdir(tmp_path)
    project, own = tmp_path / "pyproject.toml", tmp_path / "config.toml"
    project.write_text(block.source, encoding="utf-8")
    as_project = described(Settings({CONFIG_VARIABLE: os.devnull}))
    assert any(as_project), "say in this file what this block is for"
    project.unlink()
    headings = re.sub(r"^\[tool\.nbretry\]\n", "", block.source, flags=re.MULTILINE)
    own.write_text(re.sub(r"^\[tool\.nbretry\.(.+?)\]", r"[\1]", headings, flags=re.MULTILINE), encoding="utf-8")
    assert described(Settings({CONFIG_VARIABLE: str(own)})) == as_project


def test_the_settings_of_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's settings say whom to ask, and describe a provider that has its key in a variable."""
    monkeypatch.chdir(tmp_path)
    block = block_with("[tool.nbretry.provider.lab]")
    assert "# in config.toml: [provider.lab]" in block.source
    (tmp_path / "pyproject.toml").write_text(block.source, encoding="utf-8")
    values, (lab,) = described(Settings({CONFIG_VARIABLE: os.devnull}))
    assert values == {"providers": ["lab", "local"], "temperature": 0.0, "first_content": 20.0}
    provider = provider_from_table(lab)
    assert repr(provider) == "OpenAIProvider(name='lab', base_url='http://gpu-server:8000/v1', model='qwen3')"
    assert provider.key_variable == "NBRETRY_LAB_KEY"


# --- commands ---------------------------------------------------------------------------------------------------------

COMMANDS = [block for block in BLOCKS if block.language == "console"]
MAKES = re.compile(r"make (?P<target>\w+)(?P<variables>( \w+=\S+)*)(?: +# (?P<comment>.+))?")
RUNS = {"demo": "nbretry demo notebooks/01-quickstart.ipynb", "test": "-m pytest"}
"""What a target comes to in the end."""


@pytest.mark.parametrize("block", named(COMMANDS))
def test_commands_are_known(block: Block) -> None:
    """Each command is one that is tried below."""
    for line in block.source.splitlines():
        if line.startswith("$ "):
            assert line.startswith("$ nbretry doctor "), "say in this file how it is run"
        elif not block.source.startswith("$ "):
            assert MAKES.fullmatch(line), f"{line!r}: say in this file how it is run"


@pytest.mark.parametrize(
    "line", [line for block in COMMANDS for line in block.source.splitlines() if line.startswith("make ")]
)
def test_what_make_would_do(line: str, tmp_path: Path) -> None:
    """A target is there, does what its comment says, and those that CI runs itself are run by it."""
    told = MAKES.fullmatch(line)
    assert told
    variables = [f"VENV={tmp_path / 'venv'}", *told["variables"].split()]
    would = subprocess.run(
        ["make", "--dry-run", told["target"], *variables], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert would.returncode == 0, would.stderr
    if "sets everything up" in (told["comment"] or ""):
        assert f"-m venv {tmp_path / 'venv'}" in would.stdout
        assert "nbretry pull" in would.stdout  # the small model
        assert f"make {told['target']}" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert RUNS.get(told["target"], "") in would.stdout


@pytest.mark.local_model
def test_doctor(tmp_path: Path) -> None:
    """``nbretry doctor`` prints what the README shows, but for the seconds."""
    command, _, shown = block_with("$ nbretry doctor").source.partition("\n")
    with socket.socket() as probe:
        if not probe.connect_ex(("127.0.0.1", 11434)):
            unable("an Ollama server runs on this machine, and the README's example is of one that does not")
    done = subprocess.run(
        [sys.executable, "-m", "nbretry", *command.split()[2:]],
        env=environment(tmp_path, PYTHONIOENCODING="utf-8"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [shape(line) for line in done.stdout.strip().splitlines()] == [shape(line) for line in shown.splitlines()]
