"""`%%ask`, its other forms, the interrupt and the panel on other versions of IPython, ipykernel and ipywidgets.

The oldest that are allowed are among them. Each combination gets an environment of its own, made once and kept under
``.cache``, whose kernel runs the same tests as this environment's.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from unable import unable

ROOT = Path(__file__).parents[2]
DEPENDENCIES: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "dependencies"
]
LOWEST_IPYKERNEL = "ipykernel==6.29"
"""No dependency of ours, as a terminal needs none; what is tested here is the oldest that is promised."""

LOWEST = "the lowest that are allowed"
VERSIONS = {
    LOWEST: [*(name.replace(">=", "==") for name in DEPENDENCIES), LOWEST_IPYKERNEL],
    "IPython 8 with ipykernel 7": [*DEPENDENCIES, "ipython<9", "ipykernel>=7,<8"],
    "IPython 9 with ipykernel 6": [*DEPENDENCIES, "ipython>=9,<10", "ipykernel>=6.29,<7"],
}
TESTS = (
    "test_paths.py",
    "test_interrupt.py",
    "test_streaming.py",
    "test_failure.py",
    "test_background.py",
    "test_panel.py",
)
OF_THE_PANEL = "an_answer or failover or stopping or hostile or one_panel or left_behind or session_is_one"
ABSENT = ("local_model", "packages_are_loaded", "stopping_while_a_cell_blocks")
"""What needs an SDK, the local model's server or subshells, which not all of these environments have."""

HERE = f"{' and '.join(f'not {one}' for one in ABSENT)} and (not test_panel or {OF_THE_PANEL}) and not partial_answer"
"""The rest, and of the panel its main parts, as all of it takes a minute."""

INSTALLING, RUNNING = 300.0, 600.0
"""Seconds; they take 20 and 100."""


def environment_with(requirements: list[str]) -> Path:
    """The interpreter of an environment that has these, and this checkout's nbretry."""
    name = hashlib.sha256(json.dumps([sys.version, requirements]).encode()).hexdigest()[:16]
    place = ROOT / ".cache" / "kernels" / name
    python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    ready = place / "ready"
    if not ready.exists():
        venv.create(place, clear=True, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command = [*install, *requirements, "nest-asyncio"]  # which one of the tests applies before ours
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALLING, check=False)
        if done.returncode:
            unable(f"the versions could not be installed: {done.stderr.strip().splitlines()[-1:]}")
        paths = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        packages = Path(subprocess.run(paths, capture_output=True, text=True, check=True).stdout.strip())
        (packages / "nbretry.pth").write_text(f"{ROOT}\n", encoding="utf-8")
        ready.touch()
    return python


@pytest.mark.parametrize("requirements", VERSIONS.values(), ids=VERSIONS)
def test_versions(request: pytest.FixtureRequest, requirements: list[str], tmp_path: Path) -> None:
    """A question streams, fails, is stopped and stands in every kind of cell with these versions as with the newest."""
    python = environment_with(requirements)
    home = tmp_path / "kernels" / "other"
    home.mkdir(parents=True)
    start = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    home.joinpath("kernel.json").write_text(json.dumps({"argv": start, "display_name": "other", "language": "python"}))
    variables = {
        **os.environ,
        "JUPYTER_PATH": str(tmp_path),
        "NBRETRY_TEST_KERNEL": "other",
        "NBRETRY_TEST_PREFIX": str(python.parents[1]),
    }
    names = TESTS if request.node.callspec.id == LOWEST else TESTS[:2]
    tests = [str(Path(__file__).with_name(name)) for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", *tests, "-k", HERE],
        capture_output=True,
        text=True,
        timeout=RUNNING,
        check=False,
        cwd=ROOT,
        env=variables,
    )
    print(done.stdout[-200:])
    assert done.returncode == 0, done.stdout[-20_000:]
