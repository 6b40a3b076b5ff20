"""What tells about questions, in a real kernel: `--dry-run`, and `%nbretry providers`, `last` and `log`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kernel import Kernel, Ran
from page import Page

from nbretry.session.runlog import read_runs


def harmless(html: str) -> Page:
    """The page, which is well formed and loads nothing from elsewhere."""
    page = Page(html)
    page.assert_well_formed()
    page.assert_harmless()
    return page


def test_dry_run_sends_nothing(nb: Kernel) -> None:
    """`--dry-run` shows the messages, whom they would go to in order, and an estimate; nobody is asked."""
    nb.run("place = 'Paris'\n_answer = 'before'")
    ran = nb.run("%%ask --dry-run -p dead,good -s 'Be brief.' -t 0.5\nWhere is {{ place }}?")
    assert not ran.failed, ran.traceback
    text = ran.plain
    assert text.startswith("Nothing was sent. This would be: 2 messages, ≈ ")
    assert "[system]\nBe brief.\n" in text
    assert "[user]\nWhere is Paris?\n" in text
    assert text.index("1.  dead") < text.index("2.  good")
    assert text.endswith("with temperature = 0.5")
    page = harmless(ran.of_type("text/html")[0])
    assert "Where is Paris?" in page.text
    assert nb.value("(Book.opened, _answer)") == (0, "before")


@pytest.mark.parametrize("cell", ["x = %ask --dry-run -p good Why?", "%%time\n%ask --dry-run -p good Why?"])
def test_dry_run_on_one_line(nb: Kernel, cell: str) -> None:
    """It is the same in one line, and has no value."""
    nb.run("x = 1")
    ran = nb.run(cell)
    assert not ran.failed, ran.traceback
    assert "[user]\nWhy?" in ran.plain
    assert nb.value("(Book.opened, x)") in ((0, None), (0, 1))


def test_dry_run_of_a_comparison_and_a_conversation(nb: Kernel) -> None:
    """What else would happen is told."""
    compared = nb.run("%%ask --dry-run --compare good,dead\nWhy?").plain
    assert "all of them would be asked at the same time" in compared
    assert compared.index("1.  good") < compared.index("2.  dead")
    assert "the conversation dry would start afresh" in nb.run("%%ask --dry-run -c dry -p good\nWhy?").plain
    nb.run("%%ask -c dry -p good\nWhy?")
    ran = nb.run("%%ask --dry-run -c dry -p good\nAnd then?")
    assert "[assistant]\nThe sky is **blue**." in ran.plain
    assert "the conversation dry would go on" in ran.plain
    fresh = nb.run("%%ask --dry-run -c dry --new -p good\nAnd then?")
    assert "[assistant]" not in fresh.plain
    assert "[assistant]" in nb.run("%%ask --dry-run -c dry -p good\nAnd then?").plain


def test_dry_run_hides_secrets_and_hostile_text(nb: Kernel) -> None:
    """A key in the prompt is masked where it is shown, and HTML in it does nothing."""
    ran = nb.run("%%ask --dry-run --raw -p good\n<img src=x onerror=alert(1)> {{ x }} sk-0123456789abcdefghij")
    assert "sk-0123" not in str(ran.outputs)
    assert "{{ x }} [secret]" in ran.plain
    harmless(ran.of_type("text/html")[0])


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%ask --dry-run -p goood\nWhy?", "there is no provider named 'goood'; did you mean 'good'?"),
        ("%%ask --dry-run -p good\n  ", "the question is empty"),
        ("%nbretry last --jsn", "unrecognized arguments: --jsn"),
        ("%nbretry log in x", "write: %nbretry log on FILE, or: %nbretry log off"),
        (
            "%nbretry log on /no/such/folder/x",
            "the log cannot be written to /no/such/folder/x: No such file or directory",
        ),
        ("%nbretry log on 'x", "a quote is not closed in: on 'x"),
        ("%nbretry providers goood", "there is no provider named 'goood'; did you mean 'good'?"),
        ("%nbretry lsat", "%nbretry knows no 'lsat'; did you mean 'last'?"),
    ],
)
def test_mistakes_are_one_line(nb: Kernel, cell: str, said: str) -> None:
    """A mistake fails the cell with one line that says what would be right."""
    ran = nb.run(cell)
    assert ran.failed
    assert ran.traceback.startswith(f"ConfigError: {said}")
    assert "\n" not in ran.traceback


def test_providers(nb: Kernel) -> None:
    """The table names each provider in the order of asking, with its health; others are named under it."""
    nb.run("%nbretry reset")
    nb.run("%%ask -p dead,good\nWhy?")
    ran = nb.run("%nbretry providers dead,good,local")
    assert not ran.failed, ran.traceback
    lines = ran.plain.splitlines()
    assert lines[0].split()[:3] == ["Provider", "Model", "Key"]
    assert "failed" in lines[1]
    assert "nobody listens" in lines[1]
    assert lines[2].split()[:2] == ["2.", "good"]
    assert "ready" in lines[2]
    assert lines[3].split()[1:4] == ["local", "SmolLM2-135M-Instruct", "not"]
    assert harmless(ran.of_type("text/html")[0]).tags.count("tr") == 4
    assert "Only where they are named: " in nb.run("%nbretry providers").plain
    assert "sk-0123" not in str(nb.run("%nbretry providers badkey").messages)


def test_models_behind_the_names(nb: Kernel) -> None:
    """Whom a question would ask and whom it asks is told with the models that were named, the setting's included."""
    nb.run("%nbretry reset")

    def asked(ran: Ran) -> list[list[str]]:
        assert not ran.failed, ran.traceback
        return [line.split()[1:3] for line in ran.plain.splitlines() if line[:1].isdigit()]

    two = [["echo", "qwen2:7b"], ["echo", "small"]]
    assert asked(nb.run("%nbretry providers echo:qwen2:7b,echo:small")) == two
    assert asked(nb.run("%%ask --dry-run -p echo:qwen2:7b,echo:small -m other\nWhy?")) == two
    assert asked(nb.run("%%ask --dry-run --compare echo:qwen2:7b,echo:small\nWhy?")) == two
    assert nb.run("%%ask -p dead:x,echo:qwen2:7b -m other\nWhy?").plain.startswith("('qwen2:7b', ")
    assert nb.value("(_answer.provider, _answer.model)") == ("echo", "qwen2:7b")
    nb.run("%nbretry config providers echo:small")
    assert asked(nb.run("%nbretry providers")) == two[1:]
    nb.run("%%ask\nWhy?")
    assert nb.value("_answer.model") == "small"
    nb.run("%nbretry config --unset providers")
    nb.run("%%ask --compare echo:a,echo:b\nWhy?")
    assert nb.value("[answer.model for answer in _comparison]") == ["a", "b"]
    nb.run("answer = await nbretry.ask('Why?', providers=['echo:c', 'echo'], model='other')")
    assert nb.value("answer.model") == "c"


def test_last(nb: Kernel) -> None:
    """The report of the last answer, the tracebacks of its failures, and its record are there for the asking."""
    nb.run("%%ask -p badkey,good\nWhy?")
    report = nb.run("%nbretry last")
    assert "good" in report.plain.splitlines()[0]
    assert "badkey" in report.plain
    told = nb.run("%nbretry last --traceback")
    assert "Traceback (most recent call last)" in told.plain
    assert "AuthenticationError" in told.plain
    assert "attempt 1: ✗ badkey" in told.plain
    harmless(told.of_type("text/html")[0])
    record = json.loads(nb.run("%nbretry last --json").plain)
    assert record["text"] == "The sky is **blue**."
    assert [attempt["state"] for attempt in record["attempts"]] == ["failed", "answered"]
    assert "sk-0123" not in str([told.messages, report.messages, record])


def test_log(nb: Kernel, tmp_path: Path) -> None:
    """Between on and off every run's events are written, those of a comparison side by side; no key is in them."""
    path = tmp_path / "my runs.jsonl"
    assert (
        f"every event, prompts and answers included, is written to {path}" in nb.run(f"%nbretry log on '{path}'").plain
    )
    nb.run("%%ask -p badkey,good\nWhy?")
    nb.run("%%ask --compare good,dead\nWhy?")
    nb.run("%%ask -p dead\nWhy?")
    assert f"every event is written to {path}" in nb.run("%nbretry log").plain
    assert f"the log in {path} has ended" in nb.run("%nbretry log off").plain
    nb.run("%%ask -p good\nWhy?")
    text = path.read_text(encoding="utf-8")
    answers = read_runs(text.splitlines())
    assert [(answer.state, answer.provider) for answer in answers] == [
        ("completed", "good"),
        ("completed", "good"),
        ("failed", None),
        ("failed", None),
    ]
    assert answers[0].text == "The sky is **blue**."
    assert "sk-0123" not in text
    assert "no log was being written" in nb.run("%nbretry log off").plain
