"""The command ``nbretry`` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from fault_server import FaultServer

from nbretry.answer import fold
from nbretry.events import from_json

COMMAND = [sys.executable, "-m", "nbretry"]


def _environment(server: FaultServer) -> dict[str, str]:
    """Two services of the table, at the fault server: OpenAI with a key, and a server that needs none."""
    return {
        **os.environ,
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "for-the-fault-server-1",
        "OLLAMA_HOST": server.origin,
        "PYTHONUNBUFFERED": "1",
    }


def _run(server: FaultServer, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        env=_environment(server),
        check=False,
    )


def test_the_answer_is_on_stdout_and_the_attempts_on_stderr(server: FaultServer) -> None:
    """An answer gives status 0; stdout has it and nothing else."""
    done = _run(server, "ask", "What is it?", "-p", "openai", "-m", "ok")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "openai" not in done.stdout
    assert "✓ openai · " in done.stderr


def test_where_all_failed_the_status_is_1(server: FaultServer) -> None:
    """If nobody answers, stdout is empty, stderr has each failure, and the status is 1."""
    done = _run(server, "ask", "What is it?", "-p", "openai,ollama", "-m", "500")
    assert done.returncode == 1
    assert done.stdout == ""
    assert [line.split()[1] for line in done.stderr.splitlines() if "✗" in line] == ["openai", "ollama"]
    assert "nobody answered" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ask", "x", "-p", "opnai"], "did you mean 'openai'?"),
        (["ask", "x", "-t", "hot"], "'hot' is no temperature"),
        (["ask", " "], "the question is empty"),
        (["ask", "x", "--max-token", "3"], "--max-token"),
        (["ask"], "question"),
        (["tell"], "tell"),
        (["demo", "missing.ipynb"], "there is no notebook missing.ipynb"),
    ],
)
def test_a_mistake_is_told_and_gives_status_2(server: FaultServer, arguments: list[str], says: str) -> None:
    """A mistake in the command is told without a traceback, and the status is 2."""
    done = _run(server, *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_question_may_come_from_standard_input(server: FaultServer) -> None:
    """With - the question is read from standard input, as it is."""
    done = _run(server, "ask", "-", "-p", "openai", "-m", "echo", stdin="Was ist {das}? \U0001f30d\n")
    assert done.returncode == 0, done.stderr
    assert "{das}" in done.stdout


def test_json_lines_fold_to_the_answer(server: FaultServer) -> None:
    """With --json stdout has the events, which fold to the same answer."""
    text = _run(server, "ask", "What is it?", "-p", "openai", "-m", "ok").stdout.strip()
    done = _run(server, "ask", "What is it?", "-p", "openai", "-m", "ok", "--json")
    answer = fold(from_json(json.loads(line)) for line in done.stdout.splitlines())
    assert answer.text.strip() == text
    assert answer.provider == "openai"
    assert "for-the-fault-server-1" not in done.stdout + done.stderr


@pytest.mark.skipif(os.name == "nt", reason="THIS TEST DID NOT RUN: signals to another process are POSIX")
def test_an_interrupt_keeps_what_has_come(server: FaultServer) -> None:
    """Ctrl-C ends the command with status 130; what had come stands there and is marked as stopped."""
    command = [*COMMAND, "ask", "What is it?", "-p", "openai", "-m", "paced-500"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=_environment(server)
    )
    assert process.stdout is not None
    first = process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    rest, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (first + rest).strip()
    assert "stopped · openai" in told
    assert "Traceback" not in told


@pytest.mark.skipif(os.name == "nt", reason="THIS TEST DID NOT RUN: there are no pipes of this kind")
def test_a_reader_that_goes_away_is_no_accident(server: FaultServer) -> None:
    """Where whoever reads the answer has seen enough, the command ends without a traceback."""
    command = [*COMMAND, "ask", "What is it?", "-p", "openai", "-m", "paced-200"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=_environment(server)
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1)
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 1
    assert "Traceback" not in told
