"""Where a key is found, and that it is shown nowhere."""

from __future__ import annotations

import asyncio
import os
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import keyring.errors
import pytest
from memory_keyring import MemoryKeyring

from nbretry._utils.redaction import mask
from nbretry.errors import AuthenticationError, ConfigError
from nbretry.providers import AnthropicProvider, OpenAIProvider, keys
from nbretry.providers.factory import provider_from_preset
from nbretry.providers.keys import FoundKey, enter_key, find_key, forget_key, save_key
from nbretry.providers.services import PRESETS
from nbretry.renderers.doctor import doctor_text
from nbretry.session.doctor import examine
from nbretry.session.session import Session

VARIABLE = "GROQ_API_KEY"
KEY = "lab-0123456789-key"
QUESTION = [{"role": "user", "content": "x"}]
WITHIN = 30.0
"""Seconds; it takes a small part of that on an idle machine."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which is the working directory, in an empty home directory; nothing entered."""
    for preset in PRESETS.values():
        if preset.key_variable:
            monkeypatch.delenv(preset.key_variable, raising=False)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for kept in ("_entered", "_from_keyring", "_files"):
        monkeypatch.setattr(keys, kept, {})
    monkeypatch.setattr(keys, "_keyring_fails", set())
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def memory() -> Iterator[MemoryKeyring]:
    """The system keyring, empty."""
    before = keyring.get_keyring()
    memory = MemoryKeyring()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


def value(variable: str = VARIABLE, **how: Any) -> str | None:
    found = find_key(variable, **how)
    return None if found is None else found.value


# --- where ------------------------------------------------------------------------------------------------------------


def test_each_place_comes_before_the_next(
    project: Path, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entered > environment > ``.env`` > keyring, and each says where it was."""
    assert find_key(VARIABLE, ask_keyring=True) is None
    memory.passwords["nbretry", VARIABLE] = "in-the-keyring-1"
    found = [find_key(VARIABLE, ask_keyring=True)]
    (project / ".env").write_text(f"{VARIABLE}=in-the-file-1\n")
    found.append(find_key(VARIABLE, ask_keyring=True))
    monkeypatch.setenv(VARIABLE, "in-the-environment-1")
    found.append(find_key(VARIABLE))
    enter_key(VARIABLE, " entered-1 \n")
    found.append(find_key(VARIABLE))
    assert found == [
        FoundKey("in-the-keyring-1", "keyring"),
        FoundKey("in-the-file-1", ".env"),
        FoundKey("in-the-environment-1", "environment"),
        FoundKey("entered-1", "entered"),
    ]


def test_empty_values_do_not_count(project: Path, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is empty or blank in one place is looked for in the next."""
    monkeypatch.setenv(VARIABLE, " ")
    (project / ".env").write_text(f"{VARIABLE}=\nNAME_ALONE\n")
    assert find_key(VARIABLE) is None
    memory.passwords["nbretry", VARIABLE] = ""
    assert find_key(VARIABLE, ask_keyring=True) is None
    memory.passwords["nbretry", VARIABLE] = KEY
    assert value(ask_keyring=True) == KEY


@pytest.mark.parametrize("provider", [OpenAIProvider, AnthropicProvider])
@pytest.mark.parametrize("broken", ["a1b2c3d4\ne5f6g7h8", "\u2018a1b2c3d4e5f6\u2019"])
def test_a_key_that_no_request_can_hold(
    project: Path, monkeypatch: pytest.MonkeyPatch, provider: type[OpenAIProvider | AnthropicProvider], broken: str
) -> None:
    """It is refused before an HTTP library quotes it in an exception, and asking again would not help."""
    monkeypatch.setenv(VARIABLE, broken)
    with pytest.raises(AuthenticationError, match=r"^the key has a line break or a letter in it ") as caught:
        list(provider(base_url="http://127.0.0.1:9", model="m", key_variable=VARIABLE).stream_chunks("m", QUESTION))
    assert "a1b2c3d4" not in "".join(traceback.format_exception(caught.value))


def test_space_around_a_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line break or a space around a key, as a file's end leaves it, is no part of it."""
    monkeypatch.setenv(VARIABLE, f" {KEY}\r\n")
    assert value() == KEY
    monkeypatch.delenv(VARIABLE)
    (project / ".env").write_text(f'{VARIABLE}="{KEY} "\n')
    assert value() == KEY
    assert OpenAIProvider(api_key=f"{KEY}\n")._key(None, "https://api.openai.com/v1") == KEY


def test_a_key_is_shown_nowhere(project: Path) -> None:
    """What was found is masked from then on, and is in no representation."""
    secret = "found in a file".replace(" ", "-")
    (project / ".env").write_text(f"{VARIABLE}={secret}\n")
    assert mask(secret) == secret
    assert secret not in repr(find_key(VARIABLE))
    assert mask(f"key {secret}!") == "key [secret]!"


# --- .env -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (f"{VARIABLE}=plain-1234", "plain-1234"),
        (f"export {VARIABLE} = 'quoted 1234'", "quoted 1234"),
        (f'{VARIABLE}="a$HOME${{HOME}}"', "a$HOME${HOME}"),
        (f"{VARIABLE}=plain-1234 # mine", "plain-1234"),
        (f"\ufeff{VARIABLE}=plain-1234\r\nOTHER=x\r\n", "plain-1234"),
        (f"# {VARIABLE}=plain-1234", None),
        (f"{VARIABLE}=first\n{VARIABLE}=second-1", "second-1"),
    ],
)
def test_ways_to_write_a_key(project: Path, line: str, key: str | None) -> None:
    """A ``.env`` is read as python-dotenv reads it; a ``$`` in a key is a ``$``; nothing comes into the environment."""
    before = dict(os.environ)
    (project / ".env").write_bytes(line.encode())
    assert value() == key
    assert dict(os.environ) == before


def test_the_nearest_file_of_the_project_counts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest ``.env`` upwards counts; none beyond the directory with ``pyproject.toml`` or ``.git``, or home."""
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    (project.parent.parent / ".env").write_text(f"{VARIABLE}=above-home-1")
    assert find_key(VARIABLE) is None
    (project.parent / ".env").write_text(f"{VARIABLE}=of-home-1")
    assert find_key(VARIABLE) == FoundKey("of-home-1", os.path.join("..", "..", "..", ".env"))
    (project / ".git").mkdir()
    assert find_key(VARIABLE) is None
    (project / ".env").write_text(f"{VARIABLE}=of-project-1")
    assert value() == "of-project-1"
    (project / "a" / "pyproject.toml").touch()
    assert find_key(VARIABLE) is None
    (inner / ".env").write_text("OTHER=x")
    (project / "a" / ".env").write_text(f"{VARIABLE}=behind-1")
    assert find_key(VARIABLE) is None


def test_a_changed_file_is_read_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``.env`` that is changed, taken away, made unreadable or switched off counts at once."""
    path = project / ".env"
    path.write_text(f"{VARIABLE}=one-1234")
    assert value() == "one-1234"
    path.write_text(f"{VARIABLE}=longer-1234")
    assert value() == "longer-1234"
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "true")
    assert value() is None
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    path.write_bytes(f"{VARIABLE}=für-1234".encode("latin-1"))
    assert value() is None
    path.unlink()
    path.mkdir()
    assert value() is None


# --- keyring ----------------------------------------------------------------------------------------------------------


def test_the_keyring_is_asked_only_for_a_question(memory: MemoryKeyring) -> None:
    """Whom to ask by default, what is known of a provider and its name ask no keyring; a question to it does."""
    memory.passwords["nbretry", VARIABLE] = KEY
    session = Session()
    provider = session.provider("groq")
    assert "groq" not in session.default_providers()
    assert provider.credentials
    assert "groq" in session.names()
    assert memory.asked == []
    assert provider._key(None, "https://api.groq.com", ask_keyring=True) == KEY
    assert memory.asked == [("nbretry", VARIABLE)]
    assert "groq" in session.default_providers(), "what it has given once is known"


def test_a_keyring_that_fails_is_as_if_there_were_none(memory: MemoryKeyring) -> None:
    """Whatever the keyring raises, the failure is that of a missing key, and it is not asked again and again."""
    for failure in (keyring.errors.KeyringLocked("closed"), RuntimeError(KEY), OSError()):
        memory.failure = failure
        keys._keyring_fails.clear()
        memory.asked.clear()
        for _ in range(2):
            with pytest.raises(AuthenticationError, match=r"^GROQ_API_KEY is not set: ") as caught:
                list(provider_from_preset("groq").stream_chunks("m", QUESTION))
            assert KEY not in str(caught.value)
        assert len(memory.asked) == 1


def test_no_package_is_as_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package a key is just missing, and saving one says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    assert find_key(VARIABLE, ask_keyring=True) is None
    enter_key(VARIABLE, KEY)
    with pytest.raises(ConfigError, match=r'^the package keyring is missing: pip install "nbretry\[keyring\]"$'):
        save_key(VARIABLE)


def test_a_keyring_that_waits_for_its_user_can_be_stopped(memory: MemoryKeyring) -> None:
    """While a keyring waits for its user the loop goes on, and cancelling the question ends it at once."""
    waiting, answered = threading.Event(), threading.Event()

    def wait(service: str, username: str) -> str:
        waiting.set()
        answered.wait(WITHIN)
        return KEY

    memory.get_password = wait  # type: ignore[method-assign]

    before = set(threading.enumerate())

    async def ask() -> None:
        async for _ in provider_from_preset("groq").astream_chunks("m", QUESTION):
            pass

    async def main() -> None:
        task = asyncio.create_task(ask())
        assert await asyncio.to_thread(waiting.wait, WITHIN)
        task.cancel()
        await asyncio.wait([task], timeout=WITHIN / 2)
        assert task.cancelled()

    try:
        asyncio.run(main())
    finally:
        answered.set()
        for thread in set(threading.enumerate()) - before:
            if thread.name.startswith("nbretry-"):
                thread.join(WITHIN)  # what it learns belongs to this test


def test_keeping_and_forgetting(memory: MemoryKeyring) -> None:
    """A key that was entered can be saved and forgotten; what is forgotten is told."""
    with pytest.raises(ConfigError, match="was not entered"):
        save_key(VARIABLE)
    enter_key(VARIABLE, KEY)
    save_key(VARIABLE)
    assert memory.passwords == {("nbretry", VARIABLE): KEY}
    assert forget_key(VARIABLE) == ["entered", "keyring"]
    assert memory.passwords == {}
    assert find_key(VARIABLE, ask_keyring=True) is None
    assert forget_key(VARIABLE) == []


def test_a_keyring_that_does_not_keep(memory: MemoryKeyring) -> None:
    """A keyring that refuses, or only seems to keep the key, is told in one line without the key."""
    enter_key(VARIABLE, KEY)
    memory.failure = keyring.errors.PasswordSetError(f"no\nroom for {KEY}")
    with pytest.raises(ConfigError) as caught:
        save_key(VARIABLE)
    assert str(caught.value) == "the system keyring does not take it: no room for [secret]"
    memory.failure = None
    memory.set_password = lambda *arguments: None  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match=r"^the system keyring has not kept it$"):
        save_key(VARIABLE)


@pytest.mark.parametrize("text", ["", "  \n", "two words", "line\nbreak", "schlüssel-123", "tab\tulator"])
def test_what_is_no_key(text: str) -> None:
    """What can be no key is refused when it is entered, and is not kept or shown."""
    with pytest.raises(ConfigError) as caught:
        enter_key(VARIABLE, text)
    assert not text.strip() or text.strip() not in str(caught.value)
    assert find_key(VARIABLE) is None


# --- where keys are used ----------------------------------------------------------------------------------------------


def test_whom_to_ask_with_a_key_in_a_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose key is in ``.env`` or was entered is asked by default."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (project / ".env").write_text("XAI_API_KEY=in-the-file-1\nOTHER_SECRET=not-asked-for\n")
    enter_key(VARIABLE, KEY)
    assert Session().default_providers() == ["groq", "xai"]
    assert mask("not-asked-for") == "not-asked-for"


@pytest.mark.parametrize("place", ["entered", ".env", "keyring", "environment"])
def test_the_doctor_says_where_the_key_is(
    project: Path, memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """An examination tells where a provider's key was found, the keyring included; for the environment its name."""
    match place:
        case "entered":
            enter_key("LAB_API_KEY", KEY)
        case ".env":
            (project / ".env").write_text(f"LAB_API_KEY={KEY}\n")
        case "keyring":
            memory.passwords["nbretry", "LAB_API_KEY"] = KEY
        case "environment":
            monkeypatch.setenv("LAB_API_KEY", KEY)
    session = Session()
    # Nobody listens there, so that the examination ends with the endpoint.
    session.register("lab", OpenAIProvider("http://127.0.0.1:9/v1", model="m", key_variable="LAB_API_KEY"))
    found = asyncio.run(examine(session, ["lab"], ask=False))[0]
    assert (found.key, found.key_source) == ("set", place)
    text = doctor_text([found])
    assert f"set ({'LAB_API_KEY' if place == 'environment' else place})" in text
    assert KEY not in text
