"""`%nbretry` in a real kernel: the doctor and the other subcommands."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel import Kernel, kernel, says
from page import Page

from nbretry.notebook.magics.nbretry import SUBCOMMANDS

WITHIN = 10.0
"""Seconds. It takes a fiftieth of that on an idle machine; test machines are busy."""


def test_doctor_shows_a_table(nb: Kernel) -> None:
    """One output has the table as HTML and as text, and nothing else is left of the cell; no key is in it."""
    ran = nb.run("%nbretry doctor good,dead badkey")
    assert not ran.failed, ran.traceback
    assert [output.output_type for output in ran.outputs] == ["display_data"]
    page = Page(ran.of_type("text/html")[0])
    page.assert_well_formed()
    page.assert_harmless()
    assert page.tags.count("tr") == 4
    assert "APIConnectionError: nobody listens" in page.text
    lines = ran.plain.splitlines()
    assert [line[:9].split() for line in lines[1:4]] == [["✓", "good"], ["✗", "dead"], ["✗", "badkey"]]
    assert lines[-1] == "Can answer: good."
    assert "badkey: AuthenticationError: the key is refused" in lines
    assert "sk-0123" not in str(ran.messages)
    assert nb.value("Book.opened - Book.closed") == 0


@pytest.mark.parametrize(
    "cell",
    [
        "r = %nbretry doctor good",
        "await asyncio.sleep(0)\nr = %nbretry doctor good",
        "%%time\nr = get_ipython().run_line_magic('nbretry', 'doctor good')",
        "get_ipython().run_cell('r = %nbretry doctor good')",
    ],
)
def test_doctor_wherever_it_stands(nb: Kernel, cell: str) -> None:
    """It works inside the running loop of any cell, returns nothing, and leaves a kernel that goes on."""
    nb.run("r = 'before'")
    ran = nb.run(cell)
    assert not ran.failed, ran.traceback
    assert "Can answer: good." in ran.plain
    assert nb.value("r") is None
    assert nb.run("%%ask -p good\nWhy?").answer == "The sky is **blue**."


def test_doctor_under_capture(nb: Kernel) -> None:
    """What captures the outputs of a cell gets the table, once."""
    nb.run("%%capture kept\n%nbretry doctor good")
    assert nb.value("[output.data['text/plain'].splitlines()[-1] for output in kept.outputs]") == ["Can answer: good."]


def test_doctor_without_asking(nb: Kernel) -> None:
    """With ``--no-ask`` nobody is asked."""
    ran = nb.run("%nbretry doctor good --no-ask")
    assert "not asked" in ran.plain
    assert nb.value("Book.opened") == 0


@pytest.mark.parametrize("cell", ["%nbretry doctor hung good", "await asyncio.sleep(0)\n%nbretry doctor good hung"])
def test_interrupt(nb: Kernel, cell: str) -> None:
    """An interrupt ends it soon with one line; nothing of it is left, and the next cell works."""
    nb.run("tasks_before = len(asyncio.all_tasks())")
    ran = nb.run(cell, interrupt_when=says("examining"))
    assert ran.failed
    assert ran.traceback == "KeyboardInterrupt: stopped; nothing of the examination is kept"
    assert ran.stopped_after is not None
    assert ran.stopped_after < WITHIN
    assert nb.value("Book.opened - Book.closed") == 0
    assert nb.value("len(asyncio.all_tasks()) - tasks_before") == 0
    assert not nb.run("%nbretry doctor good").failed


def test_doctor_without_names(tmp_path: Path) -> None:
    """Without names the registered ones are examined, and the last line says what the others would take."""
    with kernel(tmp_path, "%load_ext nbretry", "import sys; sys.modules['xllamacpp'] = None") as nb:
        nobody = nb.run("%nbretry doctor")
        assert nobody.plain.splitlines()[0] == "Nobody is configured."
        nb.run("import nbretry; from nbretry.providers import ScriptedProvider as S; nbretry.register('own', S())")
        ran = nb.run("%nbretry doctor")
    assert [line[:6].split() for line in ran.plain.splitlines()[1:2]] == [["✓", "own"]]
    assert ran.plain.splitlines()[-1].startswith("Not configured: openai (OPENAI_API_KEY), ")


def test_reset_ends_rests(nb: Kernel) -> None:
    """``reset`` ends the rests of those that are named, or of all."""
    nb.run("""
from nbretry.session.session import default_session
def rest(*names):
    for name in names:
        for _ in range(3):
            default_session().health.failed(default_session().provider(name), APIConnectionError("x"))
def resting():
    return [name for name in ("good", "steady") if default_session().health_of(name).state == "resting"]
rest("good", "steady")""")
    assert nb.value("resting()") == ["good", "steady"]
    assert nb.run("%nbretry reset good").plain == "good may be asked again at once"
    assert nb.value("resting()") == ["steady"]
    assert nb.run("%nbretry reset steady:small good steady:large").plain == "steady, good may be asked again at once"
    assert nb.value("resting()") == []
    nb.run("rest('steady')")
    assert nb.run("%nbretry reset").plain == "everybody may be asked again at once"
    assert nb.value("resting()") == []


def test_cost_tells_what_was_spent(nb: Kernel) -> None:
    """``cost`` tells what is spent and the limit, where there is one."""
    nb.run("from nbretry.session.session import default_session\nbudget = default_session().budget\nbudget.spent = 0.0")
    assert nb.run("%nbretry cost").plain == "$0 spent; no limit is set"
    nb.run("budget.spent, budget.limit = 0.0012, 1.5")
    assert nb.run("%nbretry cost").plain == "≈ $0.0012 spent; the limit is $1.50"
    nb.run("budget.spent, budget.limit = 0.0, None")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%nbretry docter", "ConfigError: %nbretry knows no 'docter'; did you mean 'doctor'?"),
        ("%nbretry zzz", f"ConfigError: %nbretry knows no 'zzz'; known are {', '.join(SUBCOMMANDS)}"),
        ("%nbretry doctor goood", "ConfigError: there is no provider named 'goood'; did you mean 'good'?"),
        ("%nbretry doctor --now", "ConfigError: unrecognized arguments: --now"),
        (
            "%nbretry doctor good --timeout 0",
            "ConfigError: --timeout: '0' is no time limit: write a number of seconds above 0",
        ),
        ("%nbretry reset GOOD", "ConfigError: there is no provider named 'GOOD'; did you mean 'good'?"),
        ("%nbretry doctor goood:x", "ConfigError: there is no provider named 'goood'; did you mean 'good'?"),
        (
            "%nbretry reset good:",
            "ConfigError: 'good:' names no model: write one behind the colon, or leave the colon out",
        ),
        ("%nbretry reset goood", "ConfigError: there is no provider named 'goood'; did you mean 'good'?"),
        ("%nbretry cost much", "ConfigError: %nbretry cost takes no more words, and not 'much'"),
    ],
)
def test_mistakes(nb: Kernel, line: str, message: str) -> None:
    """A mistake fails the cell in one line that says what would be right."""
    assert nb.run(line).traceback == message


def test_help(nb: Kernel) -> None:
    """``%nbretry`` alone and ``%nbretry?`` list every subcommand with what it does."""
    told = nb.run("%nbretry").plain
    assert [line.split()[1] for line in told.splitlines()] == list(SUBCOMMANDS)
    assert told.splitlines()[0] in nb.run("%nbretry?").help
    assert nb.run("%nbretry help").plain == nb.run("%nbretry --help").plain == told


def test_unloading_takes_it_away(tmp_path: Path) -> None:
    """``%unload_ext`` takes ``%nbretry`` away, and loading again brings it back."""
    with kernel(tmp_path) as nb:
        nb.run("%unload_ext nbretry")
        assert nb.value("'nbretry' in get_ipython().magics_manager.magics['line']") is False
        nb.run("%load_ext nbretry")
        assert nb.run("%nbretry cost").plain == "$0 spent; no limit is set"
