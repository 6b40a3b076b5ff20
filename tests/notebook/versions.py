"""The Pythons and the versions of Jupyter's packages that nbretry is tested on, and running the notebook tests there.

Each combination gets an environment of its own with this checkout in it, made once and kept under ``.cache``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

PYTHONS = tuple(
    found[1]
    for classifier in PROJECT["project"]["classifiers"]
    if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier))
)
"""Those that the package declares, as ``3.11``."""

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

TOOLS = (
    "ipykernel",
    "nbclient",
    "nbconvert",
    "nbval",
    "papermill",
    "pytest",
    "pytest-xdist",
    "hypothesis",
    "nest-asyncio",
)
DATA = ("matplotlib", "pandas", "pillow", "polars")
"""What the notebooks of the tests ask about."""

APPLY_FIRST = """
def _apply_first(_):
    import nest_asyncio
    get_ipython().events.unregister("pre_run_cell", _apply_first)
    nest_asyncio.apply()
get_ipython().events.register("pre_run_cell", _apply_first)
"""
"""Run as a kernel starts: whatever its first cell does, the old nest-asyncio is applied before it."""

INSTALLING, TESTING = 900.0, 3600.0
"""Seconds; they take 30 and 500."""

LOWEST_IPYKERNEL = "6.29"
"""No dependency of the package, as a terminal needs none; what is tested is the oldest that is promised."""


def lowest() -> tuple[str, ...]:
    """The lower bounds of the package, its extras and the tutorials, each as the one version that is wanted."""
    project, groups = PROJECT["project"], PROJECT["dependency-groups"]
    extras = [one for name, extra in project["optional-dependencies"].items() if name != "all" for one in extra]
    # The oldest pandas and matplotlib were built for no newer Python.
    data = [f"{one}; python_version < '3.12'" for one in groups["tutorials"] if isinstance(one, str)]
    bounds = {one.replace(">=", "==") for one in [*project["dependencies"], *extras, *groups["lab"], *data]}
    return (*sorted(bounds), f"ipykernel=={LOWEST_IPYKERNEL}")


@dataclass(frozen=True)
class Stack:
    """What is installed beside nbretry.

    Attributes:
        name: what people read.
        constraints: which versions, as pip takes them.
        patched: whether the notebook has applied the old nest-asyncio before it loads nbretry.
    """

    name: str
    constraints: tuple[str, ...] = ()
    patched: bool = False

    def cannot(self, python: str) -> str:
        """Why this one is not to be had on this Python; empty where it is."""
        if self.patched and tuple(map(int, python.split("."))) >= (3, 14):
            return "nest-asyncio, which its author has archived, does not work there"
        return ""


LOWEST = Stack("lowest", lowest())
NEWEST = Stack("newest")
OLD_SHELL = Stack("IPython 8, ipykernel 7", ("ipython<9", "ipykernel>=7,<8"))
OLD_KERNEL = Stack("IPython 9, ipykernel 6", ("ipython>=9,<10", f"ipykernel>={LOWEST_IPYKERNEL},<7"))
PATCHED = Stack("newest, nest-asyncio first", patched=True)
STACKS = (LOWEST, OLD_SHELL, OLD_KERNEL, NEWEST, PATCHED)


def interpreter(version: str) -> list[str] | None:
    """The command of a Python of this version, as ``3.12``, that really starts; None where the machine has none."""
    for command in _candidates(version):
        say = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
        try:
            done = subprocess.run([*command, "-c", say], capture_output=True, text=True, timeout=60, check=False)
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.strip() == version:  # pyenv's shims start nothing by themselves
            return command
    return None


def _candidates(version: str) -> Iterator[list[str]]:
    if version == RUNNING:
        yield [sys.executable]
    yield [f"python{version}"]
    if sys.platform == "win32":
        yield ["py", f"-{version}"]
    home = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [*home.glob(f"versions/{version}.*"), *home.glob(f"pyenv-win/versions/{version}.*")]
    plain = [folder for folder in folders if re.fullmatch(r"\d+\.\d+\.\d+", folder.name)]
    for folder in sorted(plain, key=lambda folder: int(folder.name.rpartition(".")[2]), reverse=True):
        yield [str(folder / "bin" / "python")]
        yield [str(folder / "python.exe")]


class CannotInstall(Exception):
    """The versions could not be installed together; the message is pip's last line."""


@dataclass(frozen=True)
class Environment:
    """An installed combination.

    Attributes:
        python: its interpreter.
        stack: what was wanted.
    """

    python: Path
    stack: Stack

    @classmethod
    def of(cls, version: str, command: Sequence[str], stack: Stack, upgrade: bool = False) -> Environment:
        """The environment of a combination, made where it is not there yet.

        Args:
            version: of the Python, as ``3.12``.
            command: that starts it.
            stack: what to install.
            upgrade: whether one that is there is brought to the newest versions that the stack allows.

        Raises:
            CannotInstall: there are no such versions for this Python, or no package registry.
        """
        # The patched one has the same packages as the one that is not.
        name = re.sub(r"\W+", "-", "-".join([version, *(stack.constraints and [stack.name.lower()])]))
        place = ROOT / ".cache" / "versions" / name
        python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        project = [PROJECT["project"][key] for key in ("dependencies", "optional-dependencies")]
        wanted = json.dumps([command, stack.constraints, TOOLS, DATA, project])
        ready = place / "ready.json"
        fresh = ready.exists() and ready.read_text(encoding="utf-8") == wanted
        if not fresh:
            subprocess.run([*command, "-m", "venv", "--clear", "--without-pip", str(place)], check=True)
        if not fresh or upgrade:
            ready.unlink(missing_ok=True)
            with tempfile.TemporaryDirectory() as folder:
                constraints = Path(folder) / "constraints.txt"
                constraints.write_text("\n".join(stack.constraints), encoding="utf-8")
                pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
                how = ["--quiet", "--upgrade", "--upgrade-strategy=eager", "-c", str(constraints)]
                command = [*pip, "install", *how, "-e", f"{ROOT}[all]", *TOOLS, *DATA]
                done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLING, check=False)
            if done.returncode:
                raise CannotInstall((done.stderr.strip().splitlines() or ["pip failed"])[-1])
            ready.write_text(wanted, encoding="utf-8")
        return cls(python, stack)

    def versions(self, *names: str) -> list[str]:
        """The versions of Python and of these packages, as the environment itself says them."""
        say = (
            "import json, platform, sys; from importlib.metadata import version\n"
            "print(json.dumps([platform.python_version(), *map(version, sys.argv[1:])]))"
        )
        done = subprocess.run([self.python, "-c", say, *names], capture_output=True, text=True, check=True)
        return list(json.loads(done.stdout))

    def test(self, paths: Iterable[Path], *options: str) -> Outcome:
        """Run the tests in these files with this environment's packages, and its kernel."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            # What cannot be so with some versions is not run with them, and said; in CI that would be a failure.
            environ = {name: value for name, value in os.environ.items() if name != "CI"}
            alone = ["-p", "no:cacheprovider", "-o", "filterwarnings=default", f"--junitxml={report}"]
            try:
                done = subprocess.run(
                    [self.python, "-m", "pytest", "-q", "--color=no", *alone, *options, *map(str, paths)],
                    capture_output=True,
                    text=True,
                    timeout=TESTING,
                    check=False,
                    cwd=ROOT,
                    env={**environ, **self.kernel(Path(folder))},
                )
            except subprocess.TimeoutExpired as error:
                return Outcome(failed=("pytest itself: it did not end",), output=str(error))
            return Outcome.of(report, done)

    def kernel(self, folder: Path) -> dict[str, str]:
        """The variables by which the tests find this environment's kernel, which may be specified in this folder."""
        if not self.stack.patched:
            return {}
        home = folder / "kernels" / "patched"
        home.mkdir(parents=True)
        first = f"--IPKernelApp.exec_lines={json.dumps([APPLY_FIRST])}"
        start = [str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}", first]
        kernel = {"argv": start, "display_name": "patched", "language": "python"}
        (home / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
        return {"JUPYTER_PATH": str(folder), "NBRETRY_TEST_KERNEL": "patched"}


@dataclass(frozen=True)
class Outcome:
    """What a run of tests came to.

    Attributes:
        passed: the tests that passed, each by its file's stem.
        failed: those that did not, as ``test_file::test_name``.
        not_run: why some could not run, with how many.
        output: what pytest printed.
    """

    passed: Counter[str] = field(default_factory=Counter)
    failed: tuple[str, ...] = ()
    not_run: Counter[str] = field(default_factory=Counter)
    output: str = ""

    @classmethod
    def of(cls, report: Path, done: subprocess.CompletedProcess[str]) -> Outcome:
        """Read from pytest's report, in JUnit's form."""
        output = done.stdout + done.stderr
        if not report.exists():
            return cls(failed=("pytest itself",), output=output)
        passed, not_run = Counter[str](), Counter[str]()
        failed = []
        for case in ElementTree.parse(report).iter("testcase"):
            name, place = case.get("name", ""), case.get("classname", "")
            stem = next((part for part in place.split(".") if part.startswith("test_")), name)
            skipped = case.find("skipped")
            if skipped is not None:
                not_run[skipped.get("message") or ""] += 1
            elif case.find("failure") is not None or case.find("error") is not None:
                failed.append(f"{stem}::{name}")
            else:
                passed[stem] += 1
        if done.returncode and not failed:
            failed.append(f"pytest itself, with exit status {done.returncode}")
        return cls(passed, tuple(dict.fromkeys(failed)), not_run, output)
