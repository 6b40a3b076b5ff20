"""Providers written for gpt4free work in our `RetryProvider`, and ours works in gpt4free's clients.

Two releases are tried: 7.4.7, the last that has `create_completion`, and one of the 8 line. They cannot be in one
environment, and their licence is not ours, so each is fetched into a directory of its own and used by a program of its
own, `gpt4free_cases`, which reports what became of each case.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("gpt4free_cases.py")
VERSIONS = ("7.4.7", "8.8.6")
CASES = [
    node.name
    for node in ast.parse(PROGRAM.read_text("utf-8")).body
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("case_")
]


def library(version: str) -> Path:
    """The directory with one release of gpt4free, which is fetched where it is missing."""
    directory = ROOT / ".cache" / f"gpt4free-{version}"
    if not (directory / "g4f").is_dir():
        unfinished = directory.with_name(f"{directory.name}.{os.getpid()}")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--target", str(unfinished), f"g4f=={version}"], check=True, timeout=300)
        shutil.rmtree(directory, ignore_errors=True)
        unfinished.rename(directory)
    return directory


@functools.cache
def run_cases(version: str, home: Path) -> dict[str, str]:
    """What went wrong in each case beside one release; nothing where it went well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("G4F_")}
    environment |= {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "G4F_CONFIG_DIR": str(home / "config"),
        "PYTHONPATH": os.pathsep.join([str(library(version)), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-W", "error::RuntimeWarning", str(PROGRAM)]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "never awaited" not in done.stderr, done.stderr
    results: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return results


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory in which gpt4free may write what it likes."""
    return tmp_path_factory.mktemp("gpt4free")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_with_gpt4free(version: str, case: str, home: Path) -> None:
    """Each case of `gpt4free_cases` goes well with each release, without a connection to anywhere."""
    results = run_cases(version, home)
    assert set(results) == set(CASES)
    assert not results[case], results[case]
