"""The package as its users get it: built from a clean copy, installed where there is no checkout, and asked there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import nbformat
import pytest
from kernel import config
from nbclient import NotebookClient
from unable import unable

import nbretry
import nbretry.providers
import nbretry.testing

ROOT = Path(__file__).parents[2]
PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TYPING = ROOT / "tests" / "typing"
NAME = f"nbretry-{nbretry.__version__}"

PATIENCE = 300.0
"""Seconds for each command; most take a few."""

PACKED = ("nbretry", "notebooks", "tests", "binder")
PACKED_FILES = {
    ".ci/constraints.txt",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "pyproject.toml",
}

LEFT_BEHIND = (
    ".cache/model.gguf",
    ".env",
    ".mypy_cache/a.json",
    ".venv/bin/python",
    "build/01-quickstart.ipynb",
    "dist/nbretry-0.0.0.tar.gz",
    "nbretry/__pycache__/answer.cpython-311.pyc",
    "notebooks/.ipynb_checkpoints/01-quickstart-checkpoint.ipynb",
    "notebooks/01-quickstart.executed.ipynb",
    "test-output/picture.png",
    "tests/notebook/__pycache__/kernel.cpython-311.pyc",
)
"""What lies about in a folder in which somebody works."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment into which the wheel was installed, and a folder far from the checkout."""

    python: Path
    elsewhere: Path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, or ``python`` with arguments, to its end."""
        program = self.python.with_name(command[0] + self.python.suffix)
        return run([str(program), *command[1:]], cwd=self.elsewhere, **variables)


def variables_of_a_user() -> dict[str, str]:
    """The environment's variables, without those by which the checkout, or anybody's keys, could be found."""
    taken = re.compile(r"PYTHON(?!_).*|VIRTUAL_ENV.*|.*_API_KEY|OPENAI_.*|ANTHROPIC_.*")
    own = {name: value for name, value in os.environ.items() if not taken.fullmatch(name)}
    return {**own, "PYTHONIOENCODING": "utf-8"}


def run(command: Sequence[str], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**variables_of_a_user(), **variables},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


def pip(*arguments: str, cwd: Path, python: str = sys.executable) -> None:
    """Install with the tested versions, also what is needed for building."""
    constraints = (ROOT / ".ci" / "constraints.txt").as_uri()
    command = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", *arguments]
    done = run(command, cwd, PIP_CONSTRAINT=constraints)
    if any(words in done.stderr for words in ("No matching distribution", "Could not fetch")):
        unable(f"there is no package index to install from: {done.stderr.strip().splitlines()[-3:]}")
    assert done.returncode == 0, done.stderr


def files_of_the_project() -> list[str]:
    """What git knows, or would take, of this checkout."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        unable("this is no git checkout, so it cannot be told what belongs to the project")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return sorted(name for name in names.split("\0") if name and (ROOT / name).is_file())


@pytest.fixture(scope="module")
def project() -> list[str]:
    return files_of_the_project()


@pytest.fixture(scope="module")
def built(project: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what `python -m build` gives: the sdist, and the wheel that is made from it."""
    place = tmp_path_factory.mktemp("building")
    for name in project:
        (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, place / "source" / name)
    for name in LEFT_BEHIND:
        (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "source" / name).write_text("left behind", encoding="utf-8")
    constraints = (ROOT / ".ci" / "constraints.txt").as_uri()
    command = [sys.executable, "-m", "build", "--outdir", str(place / "dist"), str(place / "source")]
    done = run(command, place, PIP_CONSTRAINT=constraints)
    if "No matching distribution found for hatchling" in done.stdout + done.stderr:
        unable("what is needed for building could not be installed")
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "dist"


@pytest.fixture(scope="module")
def sdist(built: Path) -> Path:
    return built / f"{NAME}.tar.gz"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return built / f"{NAME}-py3-none-any.whl"


def installed(place: Path, requirements: Sequence[str]) -> Environment:
    venv.create(place / "venv", with_pip=False, symlinks=os.name != "nt")
    python = place / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    pip("install", "--no-compile", *requirements, cwd=elsewhere, python=str(python))
    return Environment(python, elsewhere)


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel without any extra."""
    return installed(tmp_path_factory.mktemp("bare"), [str(wheel)])


@pytest.fixture(scope="module")
def whole(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with the local model, and a kernel to load it in."""
    return installed(tmp_path_factory.mktemp("whole"), [f"nbretry[local] @ {wheel.as_uri()}", "ipykernel"])


def names_in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata_in(wheel: Path) -> PathDistribution:
    return PathDistribution(zipfile.Path(wheel, f"{NAME}.dist-info/"))


def test_both_are_built(built: Path, sdist: Path, wheel: Path) -> None:
    """`python -m build` gives an sdist and a wheel for every platform, both with the package's version."""
    assert {path.name for path in built.iterdir()} == {sdist.name, wheel.name}


def test_sdist_has_what_a_packager_needs_and_nothing_else(sdist: Path, project: list[str]) -> None:
    """The sdist has the package, its tests, the tutorials and Binder's files, and nothing that lies about."""
    with tarfile.open(sdist) as archive:
        names = {member.name.removeprefix(f"{NAME}/") for member in archive.getmembers() if member.isfile()}
    wanted = {name for name in project if name.split("/")[0] in PACKED or name in PACKED_FILES}
    assert names == wanted | {"PKG-INFO"}
    assert wanted >= PACKED_FILES | {"tests/typing/api.py", "binder/postBuild", "notebooks/01-quickstart.ipynb"}


def test_wheel_has_the_package_alone(wheel: Path, project: list[str]) -> None:
    """The wheel has every file of the package, `py.typed` too, its metadata and its licence, and nothing else."""
    about = {f"{NAME}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    package = {name for name in project if name.startswith("nbretry/")}
    assert "nbretry/py.typed" in package
    assert names_in_wheel(wheel) == package | about | {f"{NAME}.dist-info/licenses/LICENSE"}


def test_nothing_names_the_machine_that_built_it(sdist: Path, wheel: Path) -> None:
    """Neither the sdist nor the wheel has the path of the folder in which it was built, or of the checkout."""
    places = [str(place).encode() for place in (ROOT, sdist.parents[1])]
    with tarfile.open(sdist) as archive, zipfile.ZipFile(wheel) as packed:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers() if member.isfile()}
        contents = {name: file.read() for name, file in files.items() if file is not None}
        contents |= {name: packed.read(name) for name in packed.namelist()}
    assert [name for name, content in contents.items() if any(place in content for place in places)] == []


def test_metadata_is_that_of_the_project(wheel: Path) -> None:
    """Name, version, Python, licence, extras and the README stand in the metadata, the command in the entry points."""
    distribution = metadata_in(wheel)
    metadata = distribution.metadata
    assert (metadata["Name"], metadata["Version"]) == ("nbretry", nbretry.__version__)
    assert metadata["Requires-Python"] == PROJECT["project"]["requires-python"]
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.json["description"].strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["project"]["optional-dependencies"])
    always = {name for name in distribution.requires or [] if "extra ==" not in name}
    assert always == set(PROJECT["project"]["dependencies"])
    assert {(point.group, point.name, point.value) for point in distribution.entry_points} == {
        ("console_scripts", "nbretry", "nbretry.cli:main")
    }


def test_version_stands_in_one_place(wheel: Path) -> None:
    """The version is written in the package and nowhere else in it, and the changelog's first entry is its own."""
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert "version" not in PROJECT["project"]
    with zipfile.ZipFile(wheel) as archive:
        sources = [name for name in archive.namelist() if name.endswith(".py")]
        version = f'"{nbretry.__version__}"'.encode()
        assert [name for name in sources if version in archive.read(name)] == ["nbretry/_version.py"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert first is not None
    assert first[1] == nbretry.__version__


def test_sdist_installs_what_is_in_the_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    """Who installs the sdist gets the same files as who installs the wheel."""
    pip("install", "--no-deps", "--no-compile", "--target", str(tmp_path / "site"), str(sdist), cwd=tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}
    found = {name: (tmp_path / "site" / name) for name in packed}
    assert {name: path.read_bytes() for name, path in found.items()} == packed
    package = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site" / "nbretry").rglob("*")}
    assert {name for name in package if "." in name} == {name for name in packed if name.startswith("nbretry/")}


def test_bare_install_is_light_and_loads(bare: Environment) -> None:
    """Without extras the package is imported from its environment, and no SDK and no kernel has come along."""
    found = (
        "import importlib.util, json, nbretry; "
        "names = ['openai', 'anthropic', 'xllamacpp', 'ipykernel', 'genai_prices', 'pip']; "
        "print(json.dumps([nbretry.__file__, [name for name in names if importlib.util.find_spec(name)]]))"
    )
    ran = bare.run("python", "-W", "error", "-c", found)
    assert ran.returncode == 0, ran.stderr
    home, others = json.loads(ran.stdout)
    assert Path(home).is_relative_to(bare.python.parents[1])
    assert others == []


@pytest.mark.parametrize("command", [("nbretry", "--version"), ("python", "-m", "nbretry", "--version")])
def test_the_version_is_told(bare: Environment, command: tuple[str, ...]) -> None:
    """`nbretry --version` and `python -m nbretry --version` tell it on one line, with the status 0."""
    ran = bare.run(*command)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"nbretry {nbretry.__version__}\n", "")


@pytest.mark.parametrize(
    ("provider", "advice"),
    [("local", 'pip install "nbretry[local]"'), ("openai", 'pip install "nbretry[openai]"')],
)
def test_what_is_missing_is_told_in_a_line(bare: Environment, provider: str, advice: str) -> None:
    """Where an extra is missing, the attempt's one line says what to install, and there is no traceback."""
    ran = bare.run("nbretry", "ask", "-p", provider, "Why?", OPENAI_API_KEY="sk-none-of-anybodys-own")
    assert (ran.returncode, ran.stdout) == (1, "")
    (failed,) = (line for line in ran.stderr.splitlines() if "✗" in line)
    assert failed.startswith(f"  ✗ {provider} · ")
    assert advice in failed
    assert "Traceback" not in ran.stderr


def test_extension_loads_in_a_terminal_without_extras(bare: Environment) -> None:
    """`%load_ext nbretry` works in IPython alone, and a question to the missing model says there what to install."""
    script = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance(colors='NoColor')\n"
        "assert shell.run_cell('%load_ext nbretry').success\n"
        "assert not shell.run_cell('%%ask -p local\\nWhy?').success\n"
    )
    ran = bare.run("python", "-c", script, IPYTHONDIR=str(bare.elsewhere / "ipython"))
    assert ran.returncode == 0, ran.stderr
    assert 'pip install "nbretry[local]"' in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def test_dependencies_fit(whole: Environment) -> None:
    """`pip check` finds nothing that is missing or does not fit."""
    checked = whole.run("python", "-m", "pip", "--disable-pip-version-check", "check")
    assert (checked.returncode, checked.stdout) == (0, "No broken requirements found.\n")


@pytest.mark.local_model
def test_model_answers_with_no_checkout(whole: Environment) -> None:
    """`nbretry ask -p local` answers from the real model: the text on standard output, who answered on the other."""
    pulled = whole.run("nbretry", "pull")
    assert pulled.returncode == 0, pulled.stderr
    ran = whole.run("nbretry", "ask", "-p", "local", "--max-tokens", "20", "Name a colour.")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
    assert "✓ local · SmolLM2-135M-Instruct · " in ran.stderr


@pytest.mark.local_model
def test_kernel_loads_the_extension_and_asks(whole: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel of that environment `%load_ext nbretry` and `%%ask` work; the answer is in the cell and `_answer`."""
    monkeypatch.setenv("JUPYTER_PATH", str(whole.elsewhere))
    for name in set(os.environ) - set(variables_of_a_user()):
        monkeypatch.delenv(name)
    home = whole.elsewhere / "kernels" / "whole"
    home.mkdir(parents=True)
    start = [str(whole.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    home.joinpath("kernel.json").write_text(json.dumps({"argv": start, "display_name": "whole", "language": "python"}))
    cells = (
        "%load_ext nbretry",
        "%%ask -p local --max-tokens 20\nName a colour.",
        "import nbretry, sys\nprint(_answer.provider, sys.prefix, nbretry.__file__, sep='\\n')",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(whole.elsewhere)}}
    NotebookClient(notebook, kernel_name="whole", timeout=PATIENCE, resources=resources, config=config()).execute()
    loaded, asked, told = (cell.outputs for cell in notebook.cells)
    assert loaded == []
    answer = asked[0]["data"]
    assert "nbretry-answer" in answer["text/html"]
    assert answer["text/markdown"].strip()
    assert answer["text/plain"].strip()
    provider, prefix, file = told[0].text.splitlines()
    assert (provider, Path(prefix)) == ("local", whole.python.parents[1])
    assert Path(file).is_relative_to(prefix)


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_types_are_those_that_users_need(bare: Environment, checker: str, tmp_path: Path) -> None:
    """Strict type checkers accept the API's right use against the installed wheel, and report each wrong line alone."""
    for path in TYPING.glob("*.py"):
        shutil.copy(path, tmp_path)
    options = {
        "mypy": ["--strict", "--no-error-summary", "--cache-dir", "cache", "--python-executable", str(bare.python)],
        "pyright": ["--pythonpath", str(bare.python)],
    }[checker]
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', encoding="utf-8")
    command = [sys.executable, "-m", checker, *options, "api.py", "misuse.py"]
    ran = run(command, cwd=tmp_path, PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
    found = re.findall(r"(\w+\.py):(\d+):(?:\d+ -)? error: ", ran.stdout)
    reported = {(name, int(line)) for name, line in found}
    marked = {
        (path.name, number)
        for path in tmp_path.glob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.endswith("  # error")
    }
    assert len(marked) > 30
    assert reported == marked, ran.stdout + ran.stderr


def test_type_of_every_public_name_is_told(bare: Environment, tmp_path: Path) -> None:
    """Pyright finds the type of every public name, and of what can be had from it, written down in the wheel."""
    public = {"nbretry.errors", "nbretry.events", "nbretry.types"}
    for module in (nbretry, nbretry.providers, nbretry.testing):
        public |= {f"{module.__name__}.{name}" for name in module.__all__}
        public |= {f"{(one := getattr(module, name)).__module__}.{one.__qualname__}" for name in module.__all__}
    public -= {"nbretry.panel", "nbretry.notebook.panel.widget.panel"}  # a widget, and ipywidgets tells no types
    command = [sys.executable, "-m", "pyright", "--verifytypes", "nbretry", "--ignoreexternal", "--outputjson"]
    path = os.pathsep.join([str(bare.python.parent), os.environ["PATH"]])  # for this it takes no --pythonpath
    ran = run(command, cwd=tmp_path, PYRIGHT_PYTHON_IGNORE_WARNINGS="1", PATH=path)
    found = json.loads(ran.stdout)["typeCompleteness"]
    assert Path(found["pyTypedPath"]).is_relative_to(bare.python.parents[1])
    told = {symbol["name"]: symbol["isTypeKnown"] for symbol in found["symbols"]}
    own = {name: known for name, known in told.items() if any(f"{name}.".startswith(f"{one}.") for one in public)}
    assert len(own) > 400
    assert [name for name, known in own.items() if not known] == []
