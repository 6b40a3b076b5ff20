"""What `%load_ext nbretry` costs: no SDK, no engine, no connection, no process; what comes after it comes unnoticed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kernel import Kernel, environment, kernel

from nbretry.testing import FaultServer

WATCH = """
import sys, threading
before = set(sys.modules)
threads = set(threading.enumerate())
opened = []
reaching_out = {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.fork", "os.posix_spawn"}
def watch(event, arguments):
    if event in reaching_out:
        opened.append(event)
sys.addaudithook(watch)"""

LOAD = """%load_ext nbretry
loaded = set(sys.modules) - before
opened_by_loading = list(opened)
threads_of_loading = len(set(threading.enumerate()) - threads)"""

OWN = """
import nbretry
class Own:
    @classmethod
    async def create_async_generator(cls, model, messages, **options):
        yield "An answer."
nbretry.register("own", Own)"""

LATER = {
    "anthropic",
    "httpx",
    "httpx2",
    "ipywidgets",
    "markdown_it",
    "openai",
    "pydantic",
    "tqdm",
    "xllamacpp",
}

WARMING = "any(thread.name == 'nbretry-warm-up' for thread in threading.enumerate())"
WARMED = f"'nbretry.notebook.asking.run' in sys.modules and not {WARMING}"


def wait_until(nb: Kernel, expression: str, check: Callable[[], None] = lambda: None) -> None:
    """Leave the kernel idle until this is true in it; between two looks the check is made."""
    deadline = time.monotonic() + 60
    while not nb.value(expression):
        assert time.monotonic() < deadline, f"never true: {expression}"
        time.sleep(0.3)
        check()


def packages(names: Any) -> set[str]:
    """The packages of these modules."""
    return {name.partition(".")[0] for name in names}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with kernel(tmp_path_factory.mktemp("loading"), WATCH, LOAD) as running:
        yield running


def test_loading_imports_no_sdk_and_no_widgets(fresh: Kernel) -> None:
    """The extension loads no SDK, no widgets and none of what only some answers need."""
    loaded = packages(fresh.value("sorted(loaded)"))
    assert "nbretry" in loaded
    assert not loaded & LATER


def test_loading_imports_no_engine(fresh: Kernel) -> None:
    """Nor does it load what asks: that takes longer than all the rest."""
    loaded = set(fresh.value("sorted(loaded)"))
    assert "nbretry.notebook.magics.ask" in loaded
    assert not loaded & {
        "nbretry.session.session",
        "nbretry.session.options",
        "nbretry.answer",
        "nbretry.providers",
        "nbretry.types",
    }


def test_loading_opens_nothing(fresh: Kernel) -> None:
    """The extension opens no connection, looks up no host, starts no process and no thread."""
    assert fresh.value("opened_by_loading") == []
    assert fresh.value("threads_of_loading") == 0


def test_loading_says_nothing(tmp_path: Path) -> None:
    """Loading prints nothing and shows nothing, and defines no variable of the user's."""
    with kernel(tmp_path, "names = None; names = set(dir())") as nb:
        ran = nb.run("%load_ext nbretry")
        assert ran.outputs == []
        assert nb.value("sorted(n for n in set(dir()) - names if not n.startswith('_'))") == []


def test_own_provider_needs_no_sdk(tmp_path: Path) -> None:
    """Who has a provider of their own has no SDK loaded, neither before a question nor by it, and nothing opened."""
    with kernel(tmp_path, WATCH, OWN, LOAD) as nb:
        wait_until(nb, WARMED)
        ran = nb.run("%%ask -p own\nWhy?")
        assert ran.answer == "An answer."
        drawn_with = {"markdown_it"}
        assert not packages(nb.value("sorted(set(sys.modules) - before)")) & LATER - drawn_with
        assert nb.value("opened") == []


def test_naming_a_service_opens_nothing(fresh: Kernel) -> None:
    """A mistake in the name of a service is told without anybody being called."""
    assert "did you mean 'openai'" in fresh.run("%ask -p opnai Why?").traceback
    assert fresh.value("opened") == []


@pytest.mark.parametrize(
    ("variables", "module"),
    [
        ({"OPENAI_API_KEY": "sk-0123456789abcdef0123"}, "openai.resources.chat.chat"),
        ({"ANTHROPIC_API_KEY": "sk-ant-0123456789abcdef"}, "anthropic.resources.messages"),
        ({}, "openai.resources.chat.chat"),
    ],
    ids=["openai", "anthropic", "local"],
)
def test_first_sdk_is_loaded_in_the_background(tmp_path: Path, variables: dict[str, str], module: str) -> None:
    """After loading, the SDK of who would be asked first is loaded while no cell runs; nothing is opened."""
    with kernel(tmp_path, WATCH, LOAD, **variables) as nb:
        wait_until(nb, WARMED)
        assert nb.value(f"{module!r} in sys.modules")
        assert nb.value("opened") == []
        assert nb.value("len(set(threading.enumerate()) - threads)") == 0
        other = {"openai", "anthropic"} - {module.partition(".")[0]}
        assert not packages(nb.value("sorted(set(sys.modules) - before)")) & other


@pytest.mark.parametrize("deadlines", ["None", "nbretry.Deadlines(total=5)"])
def test_own_provider_is_warmed_up(tmp_path: Path, deadlines: str) -> None:
    """A provider of the user's own that derives from `BaseProvider` is warmed up in the thread, and in no cell."""
    own = f"""
import nbretry, threading
from nbretry.providers import BaseProvider
warmed = []
class Own(BaseProvider):
    def create_completion(self, model, messages, **options):
        yield "An answer."
    def warm_up(self):
        warmed.append(threading.current_thread() is threading.main_thread())
nbretry.register("own", Own(), deadlines={deadlines})"""
    with kernel(tmp_path, WATCH, own, LOAD) as nb:
        wait_until(nb, WARMED)
        assert nb.value("warmed") == [False]
        assert nb.run("%%ask\nWhy?").answer == "An answer."


@pytest.mark.parametrize("pause", [0.0, 0.3, 0.6])
def test_nothing_is_found_half_loaded(tmp_path: Path, pause: float) -> None:
    """A cell that imports parts of the SDK at once after loading, or soon, finds them whole, and so does a question."""
    with FaultServer({"m": "'Hello' ' world'"}) as server:
        variables = {"OPENAI_API_KEY": "sk-0123456789abcdef0123", "OPENAI_BASE_URL": server.url}
        with kernel(tmp_path, WATCH, LOAD, **variables) as nb:
            time.sleep(pause)
            ran = nb.run("from openai.types.chat import ChatCompletion\nimport pydantic.fields, openai\nopenai.OpenAI")
            assert not ran.failed, ran.traceback
            assert nb.run("%%ask -m m\nWhy?").answer == "Hello world"
            wait_until(nb, WARMED)


def test_question_at_once(tmp_path: Path) -> None:
    """A question in the cell after loading is answered as any other."""
    with FaultServer({"m": "'Hello' ' world'"}) as server:
        variables = {"OPENAI_API_KEY": "sk-0123456789abcdef0123", "OPENAI_BASE_URL": server.url}
        with kernel(tmp_path, WATCH, LOAD, **variables) as nb:
            assert nb.run("%%ask -m m\nWhy?").answer == "Hello world"


STEPS = """
import threading, time
from nbretry.notebook.magics.preload import WarmUp
taken, in_cell = [], False
def slow():
    taken.append(("begun", in_cell))
    time.sleep(0.5)
    taken.append(("ended", in_cell))
def failing():
    taken.append(("failing", in_cell))
    raise SystemExit("no")
threading.excepthook = lambda arguments: taken.append(("told", str(arguments)))
steps = WarmUp(get_ipython(), [slow, failing, slow])
steps.install()
in_cell = True
time.sleep(0.5)
in_cell = False"""


def test_steps_and_cells_take_turns(tmp_path: Path) -> None:
    """No step is taken while a cell runs, a cell sees none half done, and one that fails is passed over in silence."""
    whole = [("begun", False), ("ended", False)]
    with kernel(tmp_path, STEPS) as nb:

        def check() -> None:
            taken = nb.value("taken")
            assert taken == [*whole, ("failing", False), *whole][: len(taken)]
            assert not taken or taken[-1][0] != "begun"

        wait_until(nb, "steps.thread is not None and not steps.thread.is_alive()", check)
        check()
        assert len(nb.value("taken")) == 5


def test_unloading_ends_it(tmp_path: Path) -> None:
    """After ``%unload_ext`` no step is taken any more, and its thread has ended."""
    with kernel(tmp_path, WATCH, LOAD, "%unload_ext nbretry") as nb:
        assert nb.value(WARMING) is False
        time.sleep(0.5)
        assert not packages(nb.value("sorted(set(sys.modules) - before)")) & {"openai", "anthropic"}
        assert (
            nb.value("[f for f in get_ipython().events.callbacks['pre_run_cell'] if 'nbretry' in f.__module__]") == []
        )


EXIT = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
shell.run_cell("%load_ext nbretry")
time.sleep(float(sys.argv[1]))"""


@pytest.mark.parametrize("pause", [0.0, 0.2, 0.4, 0.6])
def test_process_ends_in_the_middle(tmp_path: Path, pause: float) -> None:
    """A process that ends while the SDK is being loaded ends as any other: no crash, no message."""
    done = subprocess.run(
        [sys.executable, "-c", EXIT, str(pause)],
        env=environment(tmp_path, OPENAI_API_KEY="sk-0123456789abcdef0123"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_unloading_before_anything_was_asked(tmp_path: Path) -> None:
    """The extension can be unloaded and loaded again without a question in between; `Answer` shows itself as before."""
    cells = ("%load_ext nbretry", "%unload_ext nbretry", "%load_ext nbretry", OWN)
    with kernel(tmp_path, *cells) as nb:
        assert nb.run("%%ask -p own\nWhy?").answer == "An answer."
        assert nb.run("_answer").answer == "An answer."
        nb.run("%unload_ext nbretry")
        assert "not found" in nb.run("%ask -p own Why?").printed


OURS = """
def ours():
    callbacks = get_ipython().events.callbacks
    return [f.__qualname__ for event in callbacks for f in callbacks[event] if f.__module__.startswith("nbretry")]
"""


def test_unloading_after_a_question_in_the_background(tmp_path: Path, providers: str) -> None:
    """One that still runs goes on to its end after ``%unload_ext``, and then no hook of ours is left in the shell."""
    with kernel(tmp_path, "%load_ext nbretry", providers, OURS) as nb:
        asked = nb.run("%%ask --background -p steady\nCount.")
        nb.run("%unload_ext nbretry")
        nb.run("answer = _background[-1].result()")
        assert asked.answer == nb.value("answer.text")
        wait_until(nb, "ours() == []")
        nb.run("%load_ext nbretry")
        nb.run("%%ask --background -p good\nWhy?")
        nb.run("_background[-1].result()")
        nb.run("%unload_ext nbretry")
        assert nb.value("ours()") == []
