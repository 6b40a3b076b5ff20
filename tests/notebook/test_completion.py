"""Tab completion in a real kernel, as JupyterLab asks for it, and in IPython's terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tokenize import OP, TokenInfo
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from kernel import Kernel, kernel
from nbclient.util import run_sync
from traitlets.config import Config

from nbretry.notebook.magics.completion import complete
from nbretry.notebook.magics.line_questions import LineQuestion
from nbretry.notebook.magics.suggestions import for_command_line, for_prompt, for_question_line
from nbretry.providers import ScriptedProvider
from nbretry.session.options import MAGIC_OPTIONS
from nbretry.session.session import Session, default_session

VARIABLES = """
from dataclasses import dataclass
@dataclass
class Point:
    x: int
point_schema = {"type": "object"}
frame, factor, _private = [1], 2, 3
def fit(x): ...
"""


PROVIDERS = Path(__file__).with_name("kernel_cell.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    path = tmp_path_factory.mktemp("completion")
    (path / "talk.jsonl").touch()
    (path / "two words.jsonl").touch()
    with kernel(path, "%load_ext nbretry", PROVIDERS, VARIABLES, "%%ask -p good -c physics\nWhy?") as running:
        yield running


def reply(nb: Kernel, cell: str) -> dict[str, Any]:
    """The kernel's answer to a Tab where the cell has a ``|``, which is not part of it."""
    position = cell.index("|")
    code = cell.replace("|", "", 1)

    async def ask() -> dict[str, Any]:
        return dict((await nb.client.kc.complete(code, position, reply=True, timeout=60))["content"])

    answered = run_sync(ask)()
    assert answered["status"] == "ok"
    answered["replaced"] = code[answered["cursor_start"] : answered["cursor_end"]]
    assert answered["cursor_end"] == position
    return answered


def completed(nb: Kernel, cell: str) -> list[str]:
    """What a Tab there suggests."""
    return list(reply(nb, cell)["matches"])


def meanings(nb: Kernel, cell: str) -> dict[str, str]:
    """What a Tab there suggests, with what frontends show beside."""
    shown = reply(nb, cell)["metadata"]["_jupyter_types_experimental"]
    return {one["text"]: one["type"].replace("\u00a0", " ") for one in shown}


LONG = [option.flags[-1] for option in MAGIC_OPTIONS]


@pytest.mark.parametrize(
    "cell", ["%%ask |", "%%ask |\nWhy?", "%ask |", "x = %ask |", "%%time\n%%ask |\nWhy?", "\n%%ask |"]
)
def test_options(nb: Kernel, cell: str) -> None:
    """After the magic every option is suggested by its long name, in the order of the help, with what it means."""
    assert completed(nb, cell) == LONG
    assert meanings(nb, cell)["--providers"] == "whom to ask, in this order; A:MODEL asks A for this model"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("%%ask --ma|", ["--max-tokens", "--max-cost"]),
        ("%%ask -p good --ma|\nWhy?", ["--max-tokens", "--max-cost"]),
        ("%%ask -p|", ["-p"]),
        ("%%ask --new --max-cost 1 --ma|", ["--max-tokens"]),
        ("%%ask -s 'be -m --max-tokens' --ma|", ["--max-tokens", "--max-cost"]),
        ("%%ask -s Really. --sy|", ["--system"]),
        ("%%ask --on-break |", ["raise", "restart", "continue"]),
        ("%%ask --on-break=re|", ["restart"]),
        ("%%ask -f |", ["markdown", "text", "code", "json", "html"]),
        ("%%ask --format j|\nWhy?", ["json"]),
        ("%%ask -p gro|", ["groq"]),
        ("%%ask -p good,gro|\nWhy?", ["groq"]),
        ("%%ask --compare=good,stea|", ["steady"]),
        ("%ask -p stea|", ["steady"]),
        ("%%ask -p deepseek -m |", ["deepseek-flash"]),
        ("%%ask --compare openai,deepseek -m |", ["gpt-5.4-mini", "deepseek-flash"]),
        ("%%ask -p openai -m gpt-5|", ["gpt-5.4-mini"]),
        ("%%ask -p groq -m openai/g|", ["openai/gpt-oss-120b"]),
        ("%%ask -p deepseek:|", ["deepseek-flash"]),
        ("%%ask -p good,groq:openai/g|\nWhy?", ["openai/gpt-oss-120b"]),
        ("%%ask --compare=openai:small,openai:|", ["gpt-5.4-mini"]),
        ("%%ask --compare openai:gpt-5.4-mini,openai:|", []),
        ("%%ask -p openai:small,opena|", ["openai"]),
        ("%ask -p deepseek:deep|", ["deepseek-flash"]),
        ("x = %ask -p 'good,deepseek:deep|", ["deepseek-flash"]),
        ("%%ask -p openai:small,deepseek:small -m |", ["gpt-5.4-mini", "deepseek-flash"]),
        ("%nbretry doctor good deepseek:|", ["deepseek-flash"]),
        ("%nbretry panel good,deepseek:|", ["deepseek-flash"]),
        ("%nbretry providers deepseek:d|", ["deepseek-flash"]),
        ("%nbretry config providers good,deepseek:|", ["deepseek-flash"]),
        ("%nbretry key deepseek:|", []),
        ("%%ask -o fa|", ["factor"]),
        ("%%ask --schema Po|", ["Point"]),
        ("%%ask --schema poi|", ["point_schema"]),
        ("%%ask -c ph|", ["physics"]),
        ("%ask -c=ph|", ["physics"]),
        ("%nbretry doc|", ["doctor"]),
        ("%nbretry doctor good stea|", ["steady"]),
        ("%nbretry doctor good,stea|", ["steady"]),
        ("%nbretry reset stea|", ["steady"]),
        ("%nbretry doctor --|", ["--no-ask", "--timeout"]),
        ("%nbretry doctor good --no-ask --|", ["--timeout"]),
        ("%nbretry key deep|", ["deepseek"]),
        ("%nbretry key olla|", []),
        ("%nbretry history |", ["physics", "--save", "--load"]),
        ("%nbretry forget ph|", ["physics"]),
        ("%nbretry history --load |", ["ipython/", "talk.jsonl"]),
        ("%nbretry history --save ta|", ["talk.jsonl"]),
        ("%nbretry config on_b|", ["on_break"]),
        ("%nbretry config on_break c|", ["continue"]),
        ("%nbretry config --unset on_b|", ["on_break"]),
        ("%nbretry log |", ["on", "off"]),
        ("%nbretry log on ta|", ["talk.jsonl"]),
        ("%nbretry fix --ma|", ["--max-tokens", "--max-cost"]),
    ],
)
def test_values(nb: Kernel, cell: str, expected: list[str]) -> None:
    """Where a value or a word stands, those that may stand there are suggested, and nothing else is."""
    assert completed(nb, cell) == expected


@pytest.mark.parametrize(
    "cell",
    [
        "%%ask -t |",
        "%%ask -t 0|",
        "%%ask -s |",
        "%%ask --unknown=|",
        "%%ask -p nobody|",
        "%%ask -p nobody:|",
        "%%ask -p :|",
        "%%ask Why|",
        "%nbretry cost |",
        "%nbretry cost f|",
        "%nbretry nothing |",
        "%nbretry log off |",
        "%nbretry doctor --timeout |",
    ],
)
def test_nothing_where_nothing_is_known(nb: Kernel, cell: str) -> None:
    """Where anything may stand, or nothing, no file and no builtin is suggested in its place."""
    assert completed(nb, cell) == []


def test_those_that_can_be_asked_come_first(nb: Kernel) -> None:
    """Providers that would be asked come first; of others it is said what they lack. Nobody is suggested twice."""
    names = completed(nb, "%%ask -p good,|")
    assert "good" not in names
    assert names[0] == "steady"
    assert names.index("echo") < names.index("openai") < names.index("ollama")
    told = meanings(nb, "%%ask -p |")
    assert told["openai"] == "key is not set"
    assert told["vllm"] == "server on this machine"


def test_models_that_have_answered(nb: Kernel) -> None:
    """A model that has answered in this session is suggested from then on, for whom it belongs to."""
    assert completed(nb, "%%ask -p counting -m |") == completed(nb, "%%ask -p counting:|") == []
    nb.run("%%ask -p counting\nWhy?")
    for cell in ("%%ask -p counting -m |", "%%ask -p counting:|", "%%ask -p counting:small -m |"):
        assert meanings(nb, cell) == {"great-model-2": "of counting"}
    assert "great-model-2" in completed(nb, "%%ask -m |")


@pytest.mark.parametrize(
    "cell",
    [
        "%%ask\nAbout {{ fa|",
        "%%ask\n{{fa|}} and {{ frame }}",
        "%%ask -p good\n{{ frame }}\n{{ fa|",
        "%ask About {{ fa|",
    ],
)
def test_variables_in_a_prompt(nb: Kernel, cell: str) -> None:
    """Inside of an open ``{{`` the user's variables are suggested, each with its type."""
    assert meanings(nb, cell) == {"factor": "int"}


def test_all_variables_in_a_prompt(nb: Kernel) -> None:
    """Data comes before functions and modules; what IPython has put there, and what is private, is left out."""
    names = completed(nb, "%%ask\n{{ |")
    assert names.index("frame") < names.index("fit")
    assert not {"In", "Out", "get_ipython", "_private", "exit"} & set(names)
    assert completed(nb, "%%ask\n{{ _priv|") == ["_private"]


@pytest.mark.parametrize("cell", ["%%ask --raw\n{{ fact|", "%%ask\nfact|", "%%ask\n{{ factor }}\nfact|", "fact|"])
def test_elsewhere_ipython_completes(nb: Kernel, cell: str) -> None:
    """In the rest of a prompt, and in other cells, IPython's own completion is as it was."""
    assert completed(nb, cell) == ["factor"]
    assert meanings(nb, cell)["factor"] != "int"


def test_magics_names_are_ipythons(nb: Kernel) -> None:
    """The names of the magics are completed by IPython."""
    assert "%%ask" in completed(nb, "%%as|")
    assert "%nbretry" in completed(nb, "%nbr|")


@pytest.mark.parametrize(
    ("cell", "replaced"),
    [
        ("%%ask -p good,stea|\nWhy is the sky blue?\n🌍", "stea"),
        ("%%ask -s '🌍🌍' -p stea|", "stea"),
        ("%%ask\n🌍 שלום {{ fact|", "fact"),
        ("x = '🌍'\ny = %ask -p good,stea|\nz = 1", "stea"),
        ("%%ask --on-break=cont|", "cont"),
        ("%%ask -p groq -m openai/gpt-|", "openai/gpt-"),
        ("%%ask -p good,groq:openai/gpt-|\nWhy?", "openai/gpt-"),
        ("%%ask -p groq:|", ""),
        ("%nbretry doctor groq:open|", "open"),
        ("%%ask --max-c|", "--max-c"),
        ("%nbretry log on ./ta|", "ta"),
        ("%%ask -p |", ""),
    ],
)
def test_what_is_replaced(nb: Kernel, cell: str, replaced: str) -> None:
    """The reply names exactly the text that a suggestion replaces, in any line and behind any characters."""
    answered = reply(nb, cell)
    assert answered["matches"]
    assert answered["replaced"] == replaced
    assert all(one.startswith(replaced) for one in answered["matches"])
    places = {(one["start"], one["end"]) for one in answered["metadata"]["_jupyter_types_experimental"]}
    assert places == {(answered["cursor_start"], answered["cursor_end"])}


def test_a_mistake_in_the_settings_is_no_traceback(tmp_path: Path) -> None:
    """Where a file of settings is wrong, names are suggested all the same, and nothing is said."""
    (tmp_path / "pyproject.toml").write_text("[tool.nbretry]\nprovider = 'x'\n", encoding="utf-8")
    with kernel(tmp_path) as nb:
        assert completed(nb, "%%ask -p opena|") == ["openai"]
        assert completed(nb, "%%ask -p openai -m |") == ["gpt-5.4-mini"]
        assert nb.run("pass").outputs == []


def test_a_failure_gives_nothing(tmp_path: Path) -> None:
    """Where completion itself fails, there are no completions of ours, no traceback, and others go on."""
    broken = "from nbretry.session.session import Session\ndef names(self): raise RuntimeError\nSession.names = names"
    with kernel(tmp_path, "%load_ext nbretry", broken) as nb:
        assert "openai" not in completed(nb, "%%ask -p opena|")
        assert completed(nb, "%%ask --ma|") == ["--max-tokens", "--max-cost"]
        assert nb.run("pass").outputs == []


def test_nobody_is_called(tmp_path: Path) -> None:
    """A Tab opens no connection, looks up no host, starts nothing and loads no SDK and no keyring."""
    watch = """
import sys
opened = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        opened.append(event)
sys.addaudithook(watch)"""
    own = "import nbretry\nnbretry.register('own', type('Own', (), {'create_completion': lambda *a, **k: iter('x')}))"
    with kernel(tmp_path, watch, own, "%load_ext nbretry", OPENAI_API_KEY="sk-0123456789abcdef0123") as nb:
        for cell in ("%%ask -p |", "%%ask -m |", "%%ask -p openai,local -m |", "%nbretry key |", "%nbretry doctor |"):
            assert completed(nb, cell)
        assert nb.value("opened") == []
        assert nb.value("[name for name in ('openai', 'keyring', 'xllamacpp') if name in sys.modules]") == []


def test_unloading_takes_it_away(tmp_path: Path) -> None:
    """After ``%unload_ext`` nothing of ours is suggested; after loading again it is, once."""
    with kernel(tmp_path, "%load_ext nbretry", "%unload_ext nbretry") as nb:
        assert "--providers" not in completed(nb, "%%ask --provi|")
        nb.run("%load_ext nbretry\n%load_ext nbretry\n%reload_ext nbretry")
        assert completed(nb, "%%ask --provi|") == ["--providers"]
        assert nb.value("len(get_ipython().Completer.custom_matchers)") == 1


@pytest.fixture
def terminal() -> Iterator[TerminalInteractiveShell]:
    TerminalInteractiveShell.clear_instance()
    config = Config(HistoryManager={"enabled": False}, TerminalInteractiveShell={"simple_prompt": True})
    shell = TerminalInteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "nbretry")
    try:
        yield shell
    finally:
        shell.run_line_magic("unload_ext", "nbretry")
        TerminalInteractiveShell.clear_instance()
        InteractiveShell.clear_instance()


def test_in_a_terminal(terminal: TerminalInteractiveShell) -> None:
    """IPython's terminal inserts the same at the same place, and shows what it means beside it."""
    from IPython.terminal.ptutils import IPythonPTCompleter
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    def tab(typed: str) -> dict[str, tuple[int, str]]:
        completer = IPythonPTCompleter(shell=terminal)
        found = completer.get_completions(Document(typed, len(typed)), CompleteEvent(completion_requested=True))
        return {one.text: (one.start_position, one.display_meta_text.replace("\u00a0", " ")) for one in found}

    assert tab("%ask -p openai,opena") == {}
    assert tab("%ask -p openr") == {"openrouter": (-5, "key is not set")}
    assert tab("%ask -p openai:gp") == {"gpt-5.4-mini": (-2, "default of openai")}
    assert tab("%%ask -p openai:") == {"gpt-5.4-mini": (0, "default of openai")}
    assert tab("%%ask --max-c") == {"--max-cost": (-7, "send nothing that would cost more than is left of this")}
    terminal.user_ns["frame"] = [1]
    assert tab("%%ask\n🌍 {{ fram") == {"frame": (-4, "list")}
    assert tab("%nbretry doct") == {"doctor": (-4, "who can answer, and what to do about others")}


def test_own_providers_with_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the setting ``providers`` names models its names come first, once, and everybody's models are known."""
    session = Session()
    monkeypatch.setattr("nbretry.session.session._default", session)
    for name in ("first", "second", "openai"):
        session.register(name, ScriptedProvider(model=f"{name}-large"))
    session.settings.set("providers", "second:small,second:tiny,first")

    def suggested(line: str) -> list[str]:
        found = for_question_line(line, {}, in_cell=True)
        assert found is not None
        return [one.text for one in found.suggestions]

    assert suggested("-p ")[:3] == ["second", "first", "openai"]
    assert suggested("-m ") == ["second-large", "first-large"]
    assert suggested("-p openai:") == ["openai-large"]


@pytest.mark.parametrize(
    "line",
    ["-p good,", "-p a:b:c,:,d:", "-p 'good, ", "--compare=", "-s 'x", '-s "', "-s \\", "--", "-- {{ ", "-m é", "-"],
)
def test_odd_lines_raise_nothing(line: str) -> None:
    """Whatever stands on a line, looking for suggestions raises nothing."""
    for end in range(len(line) + 1):
        for in_cell in (True, False):
            for_question_line(line[:end], {}, in_cell=in_cell)
        for name in ("", "doctor ", "history ", "config ", "log ", "fix ", "key ", "nothing "):
            for_command_line(name + line[:end], {})


def test_after_two_dashes_nothing_is_an_option() -> None:
    """After ``--`` stands the question, in which only ``{{`` is completed."""
    assert for_question_line("-p a -- --ma", {}, in_cell=False) is None
    found = for_question_line("-p a -- --ma {{ n", {"name": 1}, in_cell=False)
    assert found is not None
    assert [one.text for one in found.suggestions] == ["name"]


def test_long_prompts_are_quick() -> None:
    """A Tab at the end of a prompt of 200 kB takes no time that a person would notice."""
    cell = "%%ask\n" + "{{ x }} {{ {{ \n" * 14_000 + "{{ na"
    begun = time.monotonic()
    found = complete(cell, cell.count("\n"), 5, {"name": 1})
    assert time.monotonic() - begun < 5
    assert found is not None
    assert [one.text for one in found.suggestions] == ["name"]


def test_values_with_odd_classes_raise_nothing() -> None:
    """A variable whose attributes raise is passed over."""

    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        @property
        def __class__(self) -> Any:
            raise RuntimeError("class")

    namespace = {"odd": Odd(), "name": 1}
    for line in ("-o ", "--schema "):
        for_question_line(line, namespace, in_cell=True)
    found = for_prompt("{{ n", namespace)
    assert found is not None
    assert "name" in [one.text for one in found.suggestions]


@pytest.mark.parametrize("cell", ["%%ask\n{{ ", "%%ask -o ", "%%ask --schema "])
def test_lazy_values_are_not_woken(cell: str) -> None:
    """A variable that loads at the first look at any of its attributes is not looked at by a Tab."""
    woken: list[str] = []

    class Lazy:
        def __getattribute__(self, name: str) -> Any:
            woken.append(name)
            return object.__getattribute__(self, name)

    class LazyDict(dict[str, Any]):
        def __iter__(self) -> Iterator[str]:
            woken.append("__iter__")
            return super().__iter__()

    variables = {"late": Lazy(), "table": LazyDict(type="object"), 7: "no name"}
    lines = cell.split("\n")
    found = complete(cell, len(lines) - 1, len(lines[-1]), variables)  # type: ignore[arg-type]  # as globals() can be
    assert found is not None
    assert "table" in [one.text for one in found.suggestions]
    assert woken == []


def test_a_long_question_on_one_line_is_read_at_once() -> None:
    """A line of 240 kB with many question marks is taken as what it is in no time, as the shell does at each Enter."""
    line = "%ask -p good " + "why? really " * 20_000
    begun = time.monotonic()
    assert LineQuestion.find([[token(line + ".")]]) is None
    found = LineQuestion.find([[token(line + "?")]])
    assert found is not None
    assert found.transform([line + "?"])[0].startswith("get_ipython().run_line_magic('ask', '-p good why? really")
    assert complete(" " * 100_000 + "x", 0, 100_001, {}) is None
    assert time.monotonic() - begun < 10


def token(line: str) -> TokenInfo:
    """The first token of a line."""
    return TokenInfo(OP, line[:1], (1, 0), (1, 1), line)


def test_model_names_off_the_wire_are_plain() -> None:
    """A model's name that could not stand on the line as it is, as one with a line break, is not suggested."""
    from nbretry.answer import Answer
    from nbretry.events import AttemptStarted

    session = default_session()
    before = list(session.answers)
    try:
        session.answers.append(Answer().apply(AttemptStarted(1, "strange", "evil\nimport os", 0.0)))
        found = for_question_line("-p strange -m ", {}, in_cell=True)
        assert found is not None
        assert found.suggestions == []
    finally:
        session.answers.clear()
        session.answers.extend(before)
