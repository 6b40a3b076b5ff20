"""Every public name says what it is and shows how it is used; every example in a docstring gives what it says.

The examples of the names of the kernel tests are cells: `tests/notebook/test_docstrings_kernel.py` runs those.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from public_names import IN_KERNEL, NEED_MODEL, Public, public_names, written_examples

from nbretry.providers.services import PRESETS
from nbretry.session import session

NAMES = public_names()

NEED_EXAMPLE = {
    *(public.name for public in NAMES if not public.is_member),
    *(f"nbretry.Answer.{name}" for name in ("apply", "code", "from_dict", "json", "messages")),
    *(f"nbretry.RetryPolicy.{name}" for name in ("backoff", "decide")),
    *(
        f"nbretry.RetryProvider.{name}"
        for name in ("answer", "create_async_generator", "create_completion", "health", "stream_events")
    ),
    *(f"nbretry.session.Session.{name}" for name in ("compare", "register", "retry_provider", "setting")),
    "nbretry.Deadlines.or_else",
    "nbretry.PriceTable.set",
    "nbretry.providers.ScriptedProvider.words",
    "nbretry.testing.FaultServer.provider",
}
"""Every class and function, and the members whose use is not plain from their names."""

HOW = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(autouse=True)
def a_fresh_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A session of its own, an empty directory, and nobody's keys and endpoints."""
    monkeypatch.setattr(session, "_default", session.Session())
    monkeypatch.chdir(tmp_path)
    for preset in PRESETS.values():
        for variable in (preset.key_variable, preset.base_url_variable):
            if variable:
                monkeypatch.delenv(variable, raising=False)


def run(test: doctest.DocTest) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=HOW).run(test, out=said.append)
    assert result.attempted
    assert not result.failed, "".join(said)


def named(names: Iterable[Public]) -> list[Any]:
    return [pytest.param(public, id=public.name) for public in names]


def test_the_names_are_found() -> None:
    """What is claimed of every public name is claimed of a name of each kind."""
    names = {public.name for public in NAMES}
    assert {"nbretry.RetryProvider", "nbretry.RetryProvider.answer", "nbretry.Answer.text"} <= names
    assert {"nbretry.errors.RateLimitError", "nbretry.events.TextDelta", "nbretry.testing.simulate"} <= names
    assert names >= NEED_EXAMPLE


@pytest.mark.parametrize("public", named(NAMES))
def test_says_what_it_is(public: Public) -> None:
    """A public name has a docstring of its own, that begins with a sentence and is not made of its signature."""
    assert public.docstring, "it has no docstring"
    first = inspect.cleandoc(public.docstring)
    assert not first.startswith(f"{public.name.rpartition('.')[2]}("), "its docstring is the one that dataclasses make"
    assert "." in first or ":" in first


@pytest.mark.parametrize("public", named(public for public in NAMES if public.name in NEED_EXAMPLE))
def test_has_an_example(public: Public) -> None:
    """A class or a function, and a member whose use is not plain, has an example with a result."""
    assert public.examples, "it has no example"
    assert any(example.want for example in public.examples), "its example shows no result"


@pytest.mark.parametrize(
    "public",
    named(public for public in NAMES if public.examples and public.name not in {*IN_KERNEL, *NEED_MODEL}),
)
def test_the_example_runs(public: Public) -> None:
    """An example gives what it says, where nothing is imported but the public names of the module it is had from."""
    run(public.doctest())


@pytest.mark.local_model
@pytest.mark.parametrize("public", named(public for public in NAMES if public.name in NEED_MODEL))
def test_the_example_with_the_model_runs(public: Public) -> None:
    """An example that asks the model on this machine gives what it says."""
    run(public.doctest())


def test_the_example_of_the_testing_package_runs() -> None:
    """The example at the head of `nbretry.testing` gives what it says."""
    module = importlib.import_module("nbretry.testing")
    run(doctest.DocTestParser().get_doctest(module.__doc__ or "", {}, module.__name__, None, None))


def test_no_example_is_passed_over() -> None:
    """There is no example in the source of the package that none of these tests runs."""
    run_here = {public.place() for public in NAMES if public.examples} | {("nbretry.testing", "")}
    assert written_examples() == run_here
