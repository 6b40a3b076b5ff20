"""`%%ask` in IPython on a real terminal: rich text, live, and an interrupt that leaves a prompt that works."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from unable import unable

PATIENCE = 60.0
"""Seconds; what is waited for takes less than two."""

SETUP = """import nbretry
from nbretry.testing import simulate
nbretry.register("good", simulate("'The **sky** is ' delay=0.2 'blue.'"))
nbretry.register("dead", simulate("500"))
nbretry.register("endless", simulate("'It goes on ' hang"))
%load_ext nbretry
"""


class Terminal:
    """IPython behind a pseudo-terminal of 100 columns."""

    def __init__(self, home: Path) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        settings = termios.tcgetattr(theirs)
        settings[3] &= ~termios.ECHO  # what is typed would stand between what is shown
        termios.tcsetattr(theirs, termios.TCSANOW, settings)
        environment = {**os.environ, "IPYTHONDIR": str(home), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
        options = [
            "--simple-prompt",
            "--no-banner",
            "--colors=NoColor",
            "--no-confirm-exit",
            "--HistoryManager.enabled=False",
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "IPython", *options], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
        )
        os.close(theirs)
        self.sent = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.ours, 65536)
            except OSError:  # nobody holds the other side any more
                return
            self.sent += data.decode("utf-8", "replace")

    def type(self, *lines: str) -> None:
        """Type lines, each with return."""
        for line in lines:
            os.write(self.ours, f"{line}\n".encode())

    def wait_for(self, pattern: str, since: int = 0) -> str:
        """What the terminal was sent since a place, without colours, once it has this."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            shown = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", self.sent[since:]).replace("\r", "")
            if re.search(pattern, shown):
                return shown
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} did not come: {self.sent[since:]!r}")

    def run(self, *lines: str) -> str:
        """Run a cell to its end and give what it showed."""
        since = len(self.sent)
        mark = f"done {time.monotonic_ns()}"
        self.type(*lines, "", "", f"print({mark[:4]!r} + {mark[4:]!r})")  # the first empty line ends a cell
        return self.wait_for(mark, since)

    def end(self) -> None:
        """Leave."""
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal in which the extension is loaded."""
    if not hasattr(os, "openpty"):
        unable("this system has no pseudo-terminals")
    opened = Terminal(tmp_path_factory.mktemp("ipython"))
    try:
        for line in SETUP.splitlines():
            opened.type(line)
        opened.run("1")
        yield opened
    finally:
        opened.end()


def test_rich_text_and_who_answered(terminal: Terminal) -> None:
    """The answer is rendered Markdown, in colours, and under it stands who answered and who failed."""
    since = len(terminal.sent)
    shown = terminal.run("%%ask -p dead,good", "Why is the sky blue?")
    assert "The sky is blue." in shown
    assert "✗ dead" in shown
    assert "✓ good" in shown
    assert "\x1b[1msky" in terminal.sent[since:]
    assert "Traceback" not in shown


def test_the_answer_is_kept(terminal: Terminal) -> None:
    """What was answered is there for the next cell, and one line asks as well."""
    assert "True 'The **sky** is blue.'" in terminal.run("x = %ask -p good Why?", "print(x is _answer, repr(x.text))")


def test_interrupt(terminal: Terminal) -> None:
    """An interrupt stops the answer in one line and keeps what there is of it; the next cell works."""
    since = len(terminal.sent)
    terminal.type("%%ask -p endless", "Why?", "", "")
    terminal.wait_for("It goes on", since)
    terminal.process.send_signal(signal.SIGINT)
    shown = terminal.wait_for("KeyboardInterrupt: stopped", since)
    assert "■ stopped · endless" in shown
    assert "Traceback" not in shown
    assert "stopped 'It goes on '" in terminal.run("print(_answer.state, repr(_answer.text))")
    assert "The sky is blue." in terminal.run("%%ask -p good", "Why?")


def test_a_mistake_is_one_line(terminal: Terminal) -> None:
    """A mistake is told in one line."""
    shown = terminal.run("%ask -p goood Why?")
    assert "ConfigError: there is no provider named 'goood'; did you mean 'good'?" in shown
    assert "Traceback" not in shown


def test_subcommands_are_text(terminal: Terminal) -> None:
    """`%nbretry` shows its tables as text."""
    shown = terminal.run("%nbretry providers good,dead")
    assert "Provider  Model" in shown
    assert "<table" not in shown
