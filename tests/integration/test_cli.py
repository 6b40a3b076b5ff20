"""`nbretry ask` as a process: what goes to which stream, what it says to the shell, how it is stopped."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import nbretry
from nbretry.answer import fold
from nbretry.session.runlog import read_events

ROOT = Path(nbretry.__file__).parents[1]
posix_only = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

PROVIDERS = """
from nbretry.providers import ScriptedProvider

good = ScriptedProvider.words("The sky is blue.", name="good", model="sky-1")
refusing = ScriptedProvider("503 message='overloaded, your key sk-0123456789abcdefghij'", name="refusing")
breaking = ScriptedProvider("'half an ans' cut", name="breaking")
finishing = ScriptedProvider("'wer'", name="finishing")
smiling = ScriptedProvider("'caf\\u00e9 \\U0001f600'", name="smiling")
badkey = ScriptedProvider("401", name="badkey")
endless = ScriptedProvider("'word ' 'word ' hang", name="endless")
steering = ScriptedProvider([["a\\x1b[2Jb", "\\ud800c"]], name="steering")
flood = ScriptedProvider([["0123456789" * 100] * 2000], name="flood", delay=0.001)

class Echo:
    def create_completion(self, model, messages, **options):
        yield repr((model, [message["content"] for message in messages], options))
echo = Echo()
"""
NAMES = ("good", "refusing", "breaking", "finishing", "smiling", "badkey", "endless", "steering", "flood", "echo")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a package that offers providers, as other packages do, and without anybody's keys."""
    directory = tmp_path_factory.mktemp("site")
    (directory / "cli_providers.py").write_text(PROVIDERS)
    info = directory / "cli_providers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cli-providers\nVersion: 1.0\n")
    points = [f"{name} = cli_providers:{name}" for name in NAMES]
    (info / "entry_points.txt").write_text("\n".join(["[nbretry.providers]", *points, ""]))
    ours = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return {**ours, "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)]), "PYTHONIOENCODING": "utf-8"}


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """Runs a command of nbretry to its end."""

    def run(*arguments: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nbretry", *arguments],
            env={**environment, **variables},
            input=given,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    return run


def test_answer_and_attempts_go_to_different_streams(run: Run) -> None:
    """The answer alone is on standard output; who failed and who answered is on standard error; the status is 0."""
    ran = run("ask", "Why is the sky blue?", "-p", "refusing,good")
    assert (ran.returncode, ran.stdout) == (0, "The sky is blue.\n")
    failed, answered = ran.stderr.splitlines()
    assert failed.startswith("  ✗ refusing · scripted · ServerError: overloaded")
    assert answered.startswith("  ✓ good · sky-1 · first token ")
    assert answered.endswith(" · 4 tokens · failed: refusing")


def test_nobody_answers(run: Run) -> None:
    """Where everyone fails, in the second round too, the status is 1 and each failure is told once."""
    ran = run("ask", "Why?", "-p", "refusing,badkey")
    assert (ran.returncode, ran.stdout) == (1, "")
    heads = [line.split(" · ")[0] for line in ran.stderr.splitlines()]
    assert heads == ["  ✗ refusing", "  ✗ badkey", "  ✗ refusing", "  ■ nobody answered"]
    assert "nobody answered" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_answer_breaks_off(run: Run) -> None:
    """With ``--on-break raise`` an answer that breaks off has the status 1, and nobody else's text behind it."""
    ran = run("ask", "Why?", "-p", "breaking,good", "--on-break", "raise")
    assert (ran.returncode, ran.stdout) == (1, "half an ans\n")
    assert "breaking broke off" in ran.stderr


def test_answer_begins_anew(run: Run) -> None:
    """Where the answer breaks off the next one starts from the start, below a line that says so."""
    ran = run("ask", "Why?", "-p", "breaking,good")
    assert ran.returncode == 0
    given_up, divider, answer = ran.stdout.splitlines()
    assert (given_up, answer) == ("half an ans", "The sky is blue.")
    assert divider.startswith("──── breaking broke off: the text above is given up")


def test_answer_goes_on(run: Run) -> None:
    """With ``--on-break continue`` the next provider goes on from the text so far, and it comes out in one piece."""
    ran = run("ask", "Why?", "-p", "breaking,finishing", "--on-break", "continue")
    assert (ran.returncode, ran.stdout) == (0, "half an answer\n")
    assert "✓ breaking + finishing" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("ask", "Why?", "-p", "goood"),
            "nbretry: ConfigError: there is no provider named 'goood'; did you mean 'good'?",
        ),
        (("ask", "  "), "nbretry: ConfigError: the question is empty: write it "),
        (("ask", "Why?", "-t", "hot"), "-t/--temperature: 'hot' is no temperature: write a number from 0 to 2"),
        (("ask", "Why?", "--provider", "good"), "unrecognized arguments: --provider"),
        (("ask",), "the following arguments are required: question"),
        ((), "the following arguments are required: COMMAND"),
        (("aks", "Why?"), "invalid choice: 'aks'"),
    ],
)
def test_mistakes(run: Run, arguments: tuple[str, ...], message: str) -> None:
    """A mistake in the command has the status 2 and is told on standard error, without a traceback."""
    ran = run(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert message in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


def test_options_reach_the_provider(run: Run) -> None:
    """Model, system prompt, temperature and length reach the provider as they were given."""
    ran = run("ask", "Why?", "-p", "echo", "-m", "big", "-s", "Be brief.", "-t", "0", "--max-tokens", "7")
    assert "('big', ['Be brief.', 'Why?'], {" in ran.stdout
    assert "'temperature': 0.0, 'max_tokens': 7" in ran.stdout
    ran = run("ask", "Why?", "-p", "refusing:small,echo:qwen2:7b", "-m", "big", NBRETRY_MODEL="big", NBRETRY_ROUNDS="1")
    assert "('qwen2:7b', ['Why?'], {" in ran.stdout
    assert "✗ refusing · small · ServerError" in ran.stderr
    assert "('small', " in run("ask", "Why?", NBRETRY_PROVIDERS="echo:small").stdout


def test_question_from_standard_input(run: Run) -> None:
    """For ``-`` the question is read from standard input, whatever it holds."""
    question = 'Explain:\n\n>>> print("{x} $HOME 日本 \U0001f600")\n'
    ran = run("ask", "-", "-p", "echo", given=question)
    assert repr(question.rstrip()) in ran.stdout


def test_json_folds_back_to_the_answer(run: Run) -> None:
    """With ``--json`` every event is a line on standard output, and the log reads back into the answer."""
    ran = run("ask", "Why?", "-p", "refusing,good", "--json")
    answer = fold(read_events(io.StringIO(ran.stdout)))
    assert (ran.returncode, answer.state, answer.text) == (0, "completed", "The sky is blue.")
    assert [(attempt.provider, attempt.state) for attempt in answer.attempts] == [
        ("refusing", "failed"),
        ("good", "answered"),
    ]
    assert ran.stderr == ""


def test_json_of_a_failure(run: Run) -> None:
    """With ``--json`` a run that failed has its status and its whole log, too."""
    ran = run("ask", "Why?", "-p", "refusing", "--json")
    assert ran.returncode == 1
    assert fold(read_events(io.StringIO(ran.stdout))).state == "failed"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_secrets_are_masked(run: Run, arguments: tuple[str, ...]) -> None:
    """A key in a provider's message, or in the words of a model that was told it, is masked on both streams."""
    ran = run(
        "ask", "My token is plain-but-secret-17", "-p", "refusing,echo", *arguments, MY_API_KEY="plain-but-secret-17"
    )
    said = ran.stdout + ran.stderr
    assert "[secret]" in ran.stdout
    assert "sk-0123456789abcdefghij" not in said
    assert "plain-but-secret-17" not in said


def test_terminal_is_not_steered(run: Run) -> None:
    """Control characters and halves of characters from a model do no harm to the terminal and end nothing."""
    ran = run("ask", "Why?", "-p", "steering")
    assert (ran.returncode, ran.stdout) == (0, "a[2Jb?c\n")


def test_terminal_with_few_letters(run: Run) -> None:
    """A terminal whose encoding lacks a sign is no reason to fail."""
    ran = run("ask", "Why?", "-p", "refusing,good", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert (ran.returncode, ran.stdout) == (0, "The sky is blue.\n")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "encoding", "answer"),
    [
        (("-p", "smiling"), "ascii", "caf? ?\n"),
        (("--compare", "smiling,finishing"), "ascii", "caf? ?\n"),
        (("-p", "smiling", "--json"), "ascii", '"text": "caf? ?"'),
        (("-p", "steering", "--json"), "utf-8", '"text": "a'),
    ],
)
def test_answer_that_the_output_cannot_hold(run: Run, arguments: tuple[str, ...], encoding: str, answer: str) -> None:
    """An answer with a sign that the output's encoding lacks, as a file's on Windows, is written but for that sign."""
    ran = run("ask", "Why?", *arguments, PYTHONIOENCODING=encoding, PYTHONUTF8="0", LC_ALL="C")
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
    assert answer in ran.stdout


@posix_only
@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_interrupt(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    """Ctrl-C ends it within a moment with the status 130; the text that had come stays, marked as stopped."""
    command = [sys.executable, "-m", "nbretry", "ask", "Why?", "-p", "endless", *arguments]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        seen = ""
        while seen.count("word") < 2:
            seen += process.stdout.read(1)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.stdout.read(), process.stderr.read()
        took = time.monotonic() - begun
        assert process.wait(30) == 130
    print(f"\ninterrupted the command: {took * 1000:.0f} ms")
    assert took < 10
    assert "Traceback" not in err
    if arguments:
        answer = fold(read_events(io.StringIO(seen + out)))
        assert (answer.state, answer.text) == ("stopped", "word word ")
    else:
        assert (seen + out).strip() == "word word"
        assert "■ stopped · endless" in err


@posix_only
def test_reader_that_goes_away(environment: dict[str, str]) -> None:
    """Where the reader of the answer closes the pipe, the command ends quietly and asks for no more."""
    command = [sys.executable, "-m", "nbretry", "ask", "Why?", "-p", "flood"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == b"0123456789"
        process.stdout.close()
        err = process.stderr.read().decode()
        assert process.wait(30) == 1
    assert "Traceback" not in err
    assert "Exception" not in err
    assert "BrokenPipe" not in err


def test_without_anybody_to_ask(run: Run) -> None:
    """Without a key and without the local model the command says in one line what would help."""
    program = (
        "import sys; sys.modules['xllamacpp'] = None; from nbretry.cli import main; sys.exit(main(['ask', 'Why?']))"
    )
    assert run("--help").returncode == 0
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT), **{name: "" for name in os.environ if name.endswith("_API_KEY")}},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("nbretry: RetryNoProviderError: there is nobody to ask: set a key")
    assert len(ran.stderr.splitlines()) == 1


def test_two_dashes_are_no_value(run: Run) -> None:
    """``--system=--`` ends in one line, and in no traceback, whatever this Python's argparse makes of it."""
    ran = run("ask", "Why?", "-p", "goood", "--system=--")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("nbretry: ConfigError: ")
    assert len(ran.stderr.splitlines()) == 1
