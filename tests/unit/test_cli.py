"""`nbretry ask --compare`: the command, its answers and its mistakes."""

from __future__ import annotations

import pytest

from nbretry.cli import main
from nbretry.providers import ScriptedProvider
from nbretry.session.session import Session


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """The process's session, a fresh one for this test."""
    fresh = Session()
    monkeypatch.setattr("nbretry.session.session._default", fresh)
    fresh.register("good", ScriptedProvider("'The sky is ' 'blue.'", name="good", model="sky-1"))
    fresh.register("other", ScriptedProvider("'It is.'", name="other"))
    fresh.register("bad", ScriptedProvider("401 message='no'", name="bad"))
    return fresh


def test_command(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes every answer to standard output, who failed to standard error, and has the status 0."""
    assert main(["ask", "Why?", "--compare", "good,bad,other", "-t", "0"]) == 0
    out, err = capsys.readouterr()
    sections = [section.strip() for section in out.split("\n\n")]
    assert sorted(sections) == ["== bad ==", "== good ==\nThe sky is blue.", "== other ==\nIt is."]
    assert "  ✗ bad · scripted · AuthenticationError: no" in err
    assert "  ✓ good · sky-1 · first token" in err
    assert [answer.state for answer in session.answers] == ["completed", "failed", "completed"]


def test_command_with_models(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """One provider may be compared for several models: each answer stands under its model and comes from it."""
    assert main(["ask", "Why?", "--compare", "good:large,good:small:7b", "-m", "other"]) == 0
    out, err = capsys.readouterr()
    heads = [line for line in out.splitlines() if line.startswith("==")]
    assert sorted(heads) == ["== good:large ==", "== good:small:7b =="]
    assert "  ✓ good · large · first token" in err
    assert "  ✓ good · small:7b · first token" in err
    assert [answer.model for answer in session.answers] == ["large", "small:7b"]
    assert main(["ask", "Why?", "--compare", "bad:large,bad:small"]) == 1
    out, err = capsys.readouterr()
    assert sorted(filter(None, out.splitlines())) == ["== bad:large ==", "== bad:small =="]
    for model in ("large", "small"):
        assert err.count(f"  ✗ bad · {model} · AuthenticationError: no · ") == 1


def test_command_where_all_fail(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    """Where all fail the status is 1, and each failure is told once."""
    assert main(["ask", "Why?", "--compare", "bad,bad"]) == 1
    out, err = capsys.readouterr()
    assert out == "== bad (1) ==\n\n== bad (2) ==\n"
    assert err.count("✗ bad · scripted · AuthenticationError: no") == 2
    assert "RetryProviderError" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compare", "good,bad", "-p", "good"], "--compare and -p both say whom to ask: write one of them"),
        (["--compare", "good,bad", "--json"], "--json writes the events of one answer, and --compare asks for several"),
        (["--compare", "good,goood:x"], "there is no provider named 'goood'; did you mean 'good'?"),
        (["--compare", "good,goood"], "there is no provider named 'goood'; did you mean 'good'?"),
    ],
)
def test_mistakes_in_the_command(
    session: Session, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """A mistake has the status 2, is told in one line, and nobody is asked."""
    assert main(["ask", "Why?", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"nbretry: ConfigError: {message}")
    assert not session.answers
