"""What the README says in tables and in passing is so; `tests/notebook/test_readme.py` runs its blocks of code."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import tomllib
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import pytest
from readme import README, ROOT, Cell, Table, addresses, codes_in_text, tables

import nbretry
from nbretry import errors, providers, testing, types
from nbretry.answer import Answer
from nbretry.cli import _parser
from nbretry.notebook.magics.nbretry import SUBCOMMANDS
from nbretry.providers.script import parse_script
from nbretry.providers.services import PRESETS
from nbretry.retry import telemetry
from nbretry.session.options import MAGIC_FLAGS, MAGIC_OPTIONS, magic_help
from nbretry.session.session import Session

CODES = list(dict.fromkeys(codes_in_text()))


def table_with(code: str) -> Table:
    """The one table that has this code in the first column of its first row."""
    found = [table for table in tables() if len(table) > 1 and code in table[1][0].codes]
    assert len(found) == 1, f"{len(found)} tables begin with {code!r}"
    return found[0]


def commands() -> dict[str, argparse.ArgumentParser]:
    """The subcommands of ``nbretry`` by name."""
    (subparsers,) = [one for one in _parser()._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(subparsers.choices)


# --- tables -----------------------------------------------------------------------------------------------------------


def usages(cell: Cell) -> dict[str, str]:
    """What stands for the value behind each flag of a row."""
    return {code.partition(" ")[0]: code.partition(" ")[2] for code in cell.codes}


def test_every_option_is_in_the_table_and_back() -> None:
    """The table has exactly the options that ``%%ask?`` explains, by the same flags and with the same values."""
    table = table_with("-p")
    shown = {flag: value for row in table[1:] for flag, value in usages(row[0]).items()}
    assert set(shown) == set(MAGIC_FLAGS)
    for option in MAGIC_OPTIONS:
        value = option.usage.removeprefix(", ".join(option.flags)).strip()
        assert shown[option.flags[-1]] == value
        assert option.usage in magic_help()


def test_the_limits_in_the_table() -> None:
    """The seconds that the table tells are those that count where nobody has set any."""
    row = next(row for row in table_with("-p") if "--connect S" in row[0].codes)
    told = re.findall(r"\((\d+|no limit)\)", row[1].text)
    limits = [Session().setting(name).value for name in ("connect", "first_content", "idle", "total")]
    assert told == ["no limit" if limit is None else f"{limit:g}" for limit in limits]


def test_every_subcommand_is_in_the_table_and_back() -> None:
    """The table has exactly the subcommands of ``%nbretry``, with options that those have."""
    rows = table_with("providers")[1:]
    shown = [code for row in rows for code in row[0].codes]
    assert {code.partition(" ")[0] for code in shown} == set(SUBCOMMANDS)
    for code in shown:
        name, _, rest = code.partition(" ")
        assert all(flag in SUBCOMMANDS[name].usage for flag in re.findall(r"--\w+", rest))
    told = [code for row in rows for code in row[1].codes if code.startswith("--")]
    assert told
    for code in told:
        assert any(code.partition(" ")[0] in subcommand.usage for subcommand in SUBCOMMANDS.values())


def test_every_known_provider_is_in_the_table_and_back() -> None:
    """The table has exactly the known services, with the variable of the key, or the port where none is needed."""
    shown = {}
    for row in table_with("openai")[1:]:
        for name, key in ((row[0], row[1]), (row[3], row[4])):
            if name.codes:
                shown[name.codes[0]] = key.text
    assert shown == {
        preset.name: preset.key_variable
        or (f"none: port {urlsplit(preset.base_url).port}" if preset.base_url else "none: the model on this machine")
        for preset in PRESETS.values()
    }


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", sorted({one for one in addresses() if not urlsplit(one).scheme}))
def test_what_is_linked_is_there(address: str) -> None:
    """A link within the repository leads to a file, and one within the README to a heading."""
    path, _, heading = address.partition("#")
    assert not path or (ROOT / path).exists()
    if heading and not path:
        headings = re.findall(r"^#+ (.+)$", README.read_text(encoding="utf-8"), re.MULTILINE)
        assert heading in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


# --- code within sentences --------------------------------------------------------------------------------------------


def flags_of_commands() -> set[str]:
    """Every flag that a command of ``nbretry`` or of ``%nbretry`` has."""
    parsed = {flag for parser in commands().values() for action in parser._actions for flag in action.option_strings}
    return parsed | {flag for one in SUBCOMMANDS.values() for flag in re.findall(r"--\w[\w-]*", one.usage)}


@pytest.mark.parametrize("code", [code for code in CODES if re.match(r"--?[a-z]", code)])
def test_an_option_in_a_sentence(code: str) -> None:
    """An option that is named somewhere is one of a question or of a command."""
    assert re.split(r"[ =]", code)[0] in {*MAGIC_FLAGS, *flags_of_commands()}


@pytest.mark.parametrize("code", [code for code in CODES if re.match(r"%nbretry \w", code)])
def test_a_subcommand_in_a_sentence(code: str) -> None:
    """What stands behind ``%nbretry`` is one of its subcommands."""
    assert code.split()[1] in SUBCOMMANDS


@pytest.mark.parametrize("code", [code for code in CODES if re.match(r"nbretry \w", code)])
def test_a_command_in_a_sentence(code: str) -> None:
    """What stands behind ``nbretry`` is one of its commands, with options that it has."""
    name, *words = code.split()[1:]
    known = {flag for action in commands()[name]._actions for flag in action.option_strings}
    assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("code", [code for code in CODES if re.match(r"make \w", code)])
def test_a_target_in_a_sentence(code: str) -> None:
    """What stands behind ``make`` is a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{code.split()[1]}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("code", [code for code in CODES if re.match(r"nbretry\[", code)])
def test_an_extra_in_a_sentence(code: str) -> None:
    """An extra that is named is one of the package's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert code[len("nbretry[") : -1] in project["optional-dependencies"]


def is_there(name: str) -> bool:
    """Whether a dotted name leads to a module, or to something in one."""
    found: Any = nbretry
    for number, part in enumerate(name.split(".")[1:], start=2):
        try:
            found = getattr(found, part)
        except AttributeError:
            module = ".".join(name.split(".")[:number])
            if find_spec(module) is None:
                return False
            found = importlib.import_module(module)
    return True


DOTTED = sorted({name for code in CODES for name in re.findall(r"\bnbretry(?:\.\w+)+", code)})


@pytest.mark.parametrize("name", [name for name in DOTTED if not name.startswith("nbretry.attempt.")])
def test_a_dotted_name_in_a_sentence(name: str) -> None:
    """What stands behind ``nbretry.`` can be had from there."""
    assert is_there(name)


@pytest.mark.parametrize("name", [name for name in DOTTED if name.startswith("nbretry.attempt.")])
def test_an_attribute_of_a_span_in_a_sentence(name: str) -> None:
    """An attribute of the spans is one that these are given."""
    assert f'"{name}"' in inspect.getsource(telemetry)


@pytest.mark.parametrize("code", [code for code in CODES if re.fullmatch(r"[A-Z]\w*[a-z]\w*(\.\w+)?(\(.*\))?", code)])
def test_a_class_in_a_sentence(code: str) -> None:
    """A class that is named is public, or another package's in the comparison, and has the member named with it."""
    name, _, member = re.split(r"\(", code)[0].partition(".")
    if name not in ELSEWHERE:
        homes = [home for home in (nbretry, providers, testing, errors, types) if name in home.__all__]
        assert homes
        assert not member or hasattr(getattr(homes[0], name), member)


ELSEWHERE = {"FallbackModel", "Router", "TimeoutError"}
"""Classes of other packages, beside which nbretry was measured, and of Python."""


@pytest.mark.parametrize("code", [code for code in CODES if re.fullmatch(r"\.\w+(\(\))?", code) and code != ".env"])
def test_a_member_of_an_answer_in_a_sentence(code: str) -> None:
    """What is named with a dot before it is what an answer has."""
    assert callable(getattr(Answer, code.strip(".()"))) == code.endswith("()")


@pytest.mark.parametrize("code", [code for code in CODES if re.fullmatch(r"[\w/]+(/|\.py)|tests/\w+", code)])
def test_a_file_in_a_sentence(code: str) -> None:
    """A file or a folder that is named is in the repository or in the package."""
    assert (ROOT / code).exists() or (ROOT / "nbretry" / code).exists()


def test_the_steps_of_a_script() -> None:
    """Each step that the README names for scripts is one."""
    text = README.read_text(encoding="utf-8")
    (told,) = re.findall(r"A space parts the steps of a play: (.+?)\n\n", text, re.DOTALL)
    steps = re.findall(r"`([^`]+)`", told.partition("The server's")[0])
    assert {"ok", "hang", "cut", "end"} <= set(steps)
    for step in steps:
        assert parse_script(step if step != "finish=length" else f"ok {step}")
