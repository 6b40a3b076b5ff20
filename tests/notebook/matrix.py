"""Runs the notebook tests and the tutorials on every declared Python with each stack, and writes the README's table.

``make matrix`` runs all of it; ``make matrix ARGS="3.12 lowest"`` only the rows with these words, and leaves the other
rows as they are: each has the day on which it was run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from versions import (
    HERE,
    LOWEST,
    NEWEST,
    PYTHONS,
    ROOT,
    STACKS,
    CannotInstall,
    Environment,
    Outcome,
    Stack,
    interpreter,
)

README = ROOT / "README.md"
BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"
PACKAGES = ("ipython", "ipykernel", "ipywidgets", "openai")
HEAD = ("Python", "with", "IPython", "ipykernel", "ipywidgets", "openai", "notebook tests", "tutorials", "run on")
FAILED, NOTHING = "**failed**", "–"
NOT_FOUND = "not found on the machine"
"""An interpreter."""

MAIN = ("test_paths", "test_interrupt", "test_streaming", "test_failure", "test_background", "test_panel")
"""What runs between the two ends, beside the tutorials: every way to ask, to fail and to stop, and the panel."""


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        python: which one, as ``3.12``, or as ``3.12.1`` where it was run.
        name: of the stack.
        versions: of `PACKAGES`, as they were there; empty where nothing was run.
        tests: what the notebook tests came to, or why they were not run.
        tutorials: how many of them run, with all that their tests claim.
        day: when.
    """

    python: str
    name: str
    versions: tuple[str, ...]
    tests: str
    tutorials: str
    day: str

    @property
    def key(self) -> tuple[str, str]:
        """Which row it is, whatever came of it."""
        return ".".join(self.python.split(".")[:2]), self.name

    @property
    def failed(self) -> bool:
        return FAILED in self.tests or FAILED in self.tutorials

    def __str__(self) -> str:
        versions = self.versions or (NOTHING,) * len(PACKAGES)
        return f"| {' | '.join([self.python, self.name, *versions, self.tests, self.tutorials, self.day])} |"

    @classmethod
    def read(cls, line: str) -> Row:
        """A row from its line in the README."""
        python, name, *versions, tests, tutorials, day = (cell.strip() for cell in line.strip(" |\n").split(" | "))
        assert len(versions) == len(PACKAGES), line
        nothing = set(versions) == {NOTHING}
        return cls(python, name, () if nothing else tuple(versions), tests, tutorials, day)


def is_tutorial(stem: str) -> bool:
    """Whether a file of this name tests one."""
    return stem.startswith("test_tutorial_")


def files(whole: bool) -> list[Path]:
    """The tests that run: every one, or those of the main things and the tutorials; never those of the matrix."""
    found = sorted(path for path in HERE.glob("test_*.py") if path.stem != "test_versions")
    return [path for path in found if whole or path.stem in MAIN or is_tutorial(path.stem)]


def row_of(stack: Stack, versions: Sequence[str], outcome: Outcome, stems: Sequence[str], day: str) -> Row:
    """What a run came to.

    Args:
        stack: what was wanted.
        versions: what was there: of Python and of `PACKAGES`.
        outcome: of the tests.
        stems: of the files that were run.
        day: when.
    """
    failed = [one.partition("::")[0] for one in outcome.failed]
    elsewhere = [stem for stem in failed if not is_tutorial(stem)]
    said = [f"{sum(number for stem, number in outcome.passed.items() if not is_tutorial(stem))} passed"]
    said += [f"{len(elsewhere)} {FAILED}"] if elsewhere else []
    said += [f"{number} not run ({reason})" for reason, number in outcome.not_run.items()]
    taught = [stem for stem in stems if is_tutorial(stem)]
    whole = [stem for stem in taught if outcome.passed[stem] and stem not in failed]
    tutorials = f"{len(whole)} of {len(taught)}" + (f", {FAILED}" if set(taught) & set(failed) else "")
    return Row(versions[0], stack.name, tuple(versions[1:]), ", ".join(said), tutorials, day)


def run(python: str, command: list[str], stack: Stack, whole: bool, day: str) -> Row:
    """Make a row, with every test or the main ones, and print what did not go as it should."""
    reason = stack.cannot(python)
    if reason:
        return Row(python, stack.name, (), f"not run: {reason}", NOTHING, day)
    try:
        environment = Environment.of(python, command, stack, upgrade=True)
    except CannotInstall as error:
        print(f"  {error}")
        return Row(python, stack.name, (), f"{FAILED}: could not be installed", NOTHING, day)
    paths = files(whole)
    options = ["-n", "2", "--dist", "loadfile"]
    if not whole:
        options += ["-k", "not passes_nbval"]  # which runs a tutorial for the second time
    outcome = environment.test(paths, *options)
    for one in outcome.failed:
        print(f"  failed: {one}")
    if outcome.failed:
        print(outcome.output[-20_000:])
    return row_of(stack, environment.versions(*PACKAGES), outcome, [path.stem for path in paths], day)


def declared() -> list[tuple[str, str]]:
    """The keys of the rows that there have to be."""
    return [(python, stack.name) for python in PYTHONS for stack in STACKS]


def known(readme: str) -> dict[tuple[str, str], Row]:
    """The rows that stand in the README."""
    lines = readme.partition(BEGIN)[2].partition(END)[0].strip().splitlines()[2:]
    rows = [Row.read(line) for line in lines if line.startswith("| ")]
    return {row.key: row for row in rows}


def write(row: Row) -> None:
    """Put a row in its place between the marks in the README; the others stay."""
    readme = README.read_text(encoding="utf-8")
    rows = {**known(readme), row.key: row}
    head = [f"| {' | '.join(HEAD)} |", "| --- " * len(HEAD) + "|"]
    table = "\n".join([*head, *(str(rows[key]) for key in declared() if key in rows)])
    before, _, rest = readme.partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main(words: Sequence[str]) -> int:
    """Run the rows that have all these words, all of them without any; 1 where something failed."""
    wanted = [key for key in declared() if all(word in " ".join(key) for word in words)]
    if not wanted:
        print(f"There is no row with {' and '.join(words)}.")
        return 2
    day = datetime.now(UTC).date().isoformat()
    commands = {python: interpreter(python) for python in PYTHONS}
    found = [python for python, command in commands.items() if command is not None]
    ends = ((found[0], LOWEST), (found[-1], NEWEST))
    failed = 0
    for python, name in wanted:
        print(f"Python {python}, {name} …", flush=True)
        begun = time.monotonic()
        command = commands[python]
        if command is None:
            row = Row(python, name, (), NOT_FOUND, NOTHING, day)
        else:
            stack = next(stack for stack in STACKS if stack.name == name)
            row = run(python, command, stack, (python, stack) in ends, day)
        write(row)
        failed += row.failed
        print(f"  {row}  {time.monotonic() - begun:.0f} s", flush=True)
    print(f"{failed} of {len(wanted)} rows failed." if failed else f"All {len(wanted)} rows are well.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
