"""`%nbretry config` in a real kernel: what it shows, what it changes, and what a broken file does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import Kernel, kernel
from page import Page

PROJECT = """\
[tool.nbretry]
system = "Be brief. <b>{{ x }}</b> 🙂"
max_tokens = 77

[tool.nbretry.provider.lab]
base_url = "http://127.0.0.1:9/v1"
model = "qwen3"
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def shared(directory: Path) -> Iterator[Kernel]:
    (directory / "config.toml").write_text('providers = ["echo"]\n')
    project = directory / "pyproject.toml"
    project.write_text(PROJECT, encoding="utf-8")
    echo = """
import nbretry
from nbretry.session.session import default_session

class Echo:
    @classmethod
    def create_completion(cls, model, messages, **options):
        options.pop("stream", None)
        yield repr((model, [message["content"] for message in messages], options))

nbretry.register("echo", Echo)
"""
    with kernel(
        directory,
        "%load_ext nbretry",
        echo,
        NBRETRY_CONFIG=str(directory / "config.toml"),
        NBRETRY_TEMPERATURE="0.5",
    ) as running:
        yield running


@pytest.fixture
def nb(shared: Kernel, directory: Path) -> Kernel:
    """The module's kernel, with its files as they were, and nothing set for the session."""
    (directory / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    shared.run("for key in default_session().settings.readable(): default_session().settings.unset(key)")
    return shared


def asked(nb: Kernel) -> tuple[str, list[str], dict[str, object]]:
    """What a question sends: the model, what the messages say, the options."""
    ran = nb.run("%%ask\nWhy?")
    assert not ran.failed, ran.traceback
    sent: tuple[str, list[str], dict[str, object]] = nb.value("eval(_answer.text)")
    return sent


def test_the_table(nb: Kernel) -> None:
    """One output has every setting with its source, as HTML and as text, and what files say is escaped."""
    ran = nb.run("%nbretry config")
    assert [output.output_type for output in ran.outputs] == ["display_data"]
    page = Page(ran.of_type("text/html")[0])
    page.assert_well_formed()
    page.assert_harmless()
    assert "Be brief. <b>{{ x }}</b> 🙂" in page.text
    rows = {line.split()[0]: line for line in ran.plain.splitlines() if line}
    assert "pyproject.toml, line 3" in rows["max_tokens"]
    assert "config.toml, line 1" in rows["providers"]
    assert "NBRETRY_TEMPERATURE" in rows["temperature"]
    assert "default" in rows["idle"]
    assert rows["lab"].split() == ["lab", "http://127.0.0.1:9/v1", "qwen3", "—", "pyproject.toml,", "line", "5"]


def test_settings_take_effect(nb: Kernel) -> None:
    """A question is sent with what the files, the environment and ``%nbretry config`` say, its own options first."""
    system = "Be brief. <b>{{ x }}</b> 🙂"
    assert asked(nb) == ("", [system, "Why?"], {"temperature": 0.5, "max_tokens": 77})
    told = nb.run("%nbretry config model big one").plain
    assert told == "model is big one (%nbretry config): Which model, in place of each provider's own."
    nb.run("%nbretry config temperature 1")
    assert asked(nb) == ("big one", [system, "Why?"], {"temperature": 1.0, "max_tokens": 77})
    nb.run("%%ask -m small -s 'Be long.' -t 0\nWhy?")
    assert nb.value("eval(_answer.text)") == ("small", ["Be long.", "Why?"], {"temperature": 0.0, "max_tokens": 77})
    told = nb.run("%nbretry config --unset model temperature").plain
    assert [line.split(" (")[0] for line in told.splitlines()] == ["model is —", "temperature is 0.5"]
    assert asked(nb) == ("", [system, "Why?"], {"temperature": 0.5, "max_tokens": 77})


def test_one_setting(nb: Kernel) -> None:
    """A key alone shows that setting, with its unit and its source."""
    assert nb.run("%nbretry config max_tokens").plain == (
        "max_tokens is 77 tokens (pyproject.toml, line 3): The longest answer."
    )
    assert nb.run("%nbretry config system 'Be quick.'").plain.startswith("system is Be quick. (%nbretry config)")


def test_an_address_with_a_password(tmp_path: Path) -> None:
    """What is wrong in a file is told with one setting, too, and a password in an address stays masked."""
    (tmp_path / "pyproject.toml").write_text(
        "[tool.nbretry.provider.lab]\nbase_url = 'ftp://me:b1d2f3h4j5@127.0.0.1/v1'\n"
    )
    with kernel(tmp_path) as nb:
        ran = nb.run("%nbretry config idle")
    assert "base_url is 'ftp://[secret]@127.0.0.1/v1'" in ran.plain
    assert "b1d2f3h4j5" not in str(ran.messages)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("config idel", "there is no setting 'idel'; did you mean 'idle'?"),
        ("config idel 5", "there is no setting 'idel'; did you mean 'idle'?"),
        ("config idle soon", "idle: 'soon' is no time limit: write a number of seconds above 0, or none for no limit"),
        ("config on_break stop", "on_break: 'stop' is none of raise, restart, continue"),
        ("config --unset", "--unset needs the key of a setting"),
        ("config --unset idel", "there is no setting 'idel'; did you mean 'idle'?"),
        ("config --unst idle", "there is no option '--unst'; did you mean '--unset'?"),
        ("config idle --unset", "write --unset before the key, as %nbretry config --unset idle"),
    ],
)
def test_mistakes(nb: Kernel, line: str, message: str) -> None:
    """A mistake fails the cell in one line, and changes nothing."""
    before = nb.run("%nbretry config").plain
    assert nb.run(f"%nbretry {line}").traceback == f"ConfigError: {message}"
    assert nb.run("%nbretry config").plain == before


def test_a_broken_file(nb: Kernel, directory: Path) -> None:
    """A broken file fails every question with file and line until it is mended, and ``config`` shows that line."""
    line = "pyproject.toml, line 2: there is no setting 'temprature'; did you mean 'temperature'?"
    (directory / "pyproject.toml").write_text("[tool.nbretry]\ntemprature = 1\n")
    for cell in ("%%ask\nWhy?", "%%ask -p echo\nWhy?", "x = %ask -p echo Why?", "%%ask --compare echo,echo\nWhy?"):
        ran = nb.run(cell)
        assert ran.failed
        assert ran.traceback == f"ConfigError: {line}"
    ran = nb.run("%nbretry config")
    assert not ran.failed
    assert ran.plain.splitlines()[0] == f"✗ {line}"
    assert not nb.run("%reload_ext nbretry").failed
    (directory / "pyproject.toml").write_text("[tool.nbretry]\ntemperature = 1\n")
    assert asked(nb)[0] == ""


def test_the_command_line_respects_them(nb: Kernel) -> None:
    """``nbretry ask`` takes its settings from the same files."""
    ran = nb.run("!{__import__('sys').executable} -m nbretry ask 'Why?'")
    assert "config.toml, line 1: providers: there is no provider named 'echo'" in ran.printed.replace(os.linesep, "\n")
