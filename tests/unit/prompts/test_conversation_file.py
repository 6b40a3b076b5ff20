"""Files of conversations: what is written is read again, nothing secret is in them, and mistakes lose nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talks import KEY, ODD_TEXTS, SECRET, store
from unable import unable

from nbretry._utils.redaction import mask, remember_secret
from nbretry.errors import ConfigError
from nbretry.prompts.conversation_file import FILE_VERSION
from nbretry.prompts.conversations import Conversations
from nbretry.prompts.turn import Turn


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


TEXTS = st.text(st.characters(codec=None, exclude_categories=()))


SAYING = TEXTS.filter(lambda text: text.strip())


JSON = st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, lambda some: st.lists(some, max_size=3))


PARTS = st.lists(st.dictionaries(TEXTS, JSON, max_size=2).map(lambda part: {**part, "type": "text"}), min_size=1)


TURNS = st.builds(
    Turn,
    SAYING | PARTS,
    SAYING,
    st.sampled_from(["completed", "stopped"]),
    st.none() | TEXTS,
    st.none() | TEXTS,
    st.none() | TEXTS,
    st.none() | st.floats(0, 1e11),
    st.none() | TEXTS,
)


NAMES = st.text("abcXYZ019_-.äßé日本", min_size=1)


def written(value: Any) -> Any:
    """What a file keeps of a value: masked, and two halves of a character beside each other are that character."""
    if isinstance(value, str):
        return mask(value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass"))
    if isinstance(value, list):
        return [written(one) for one in value]
    if isinstance(value, dict):
        return {written(key): written(one) for key, one in value.items()}
    return value


def as_written(turn: Turn) -> Turn:
    fields = {name: written(getattr(turn, name)) for name in Turn.__slots__}
    return Turn(**fields)


@given(st.dictionaries(NAMES, st.lists(TURNS, min_size=1, max_size=3), min_size=1, max_size=3))
def test_any_conversation_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory, turns: dict[str, list[Turn]]
) -> None:
    """What was saved is loaded as it was, whatever was said, and a second file is the same to the byte."""
    path = tmp_path_factory.mktemp("saved") / "talk.jsonl"
    counts = {name: len(own) for name, own in turns.items()}
    assert store(**turns).save(path) == counts
    loaded = Conversations()
    assert loaded.load(path) == counts
    assert loaded.names() == list(turns)
    for name, own in turns.items():
        assert loaded.open(name).turns == tuple(map(as_written, own))
    again = path.with_name("again.jsonl")
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
def test_odd_text_is_one_line_for_every_reader(tmp_path: Path, text: str) -> None:
    """A file is UTF-8 with one turn a line, however a reader parts lines, and the text comes back as it was."""
    path = tmp_path / "talk.jsonl"
    store(main=[Turn(text, text), Turn("Why?", "Because.")]).save(path)
    lines = path.read_bytes().decode("utf-8").splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["question"] == text
    conversations = Conversations()
    conversations.load(path)
    assert conversations.open("main").turns[0].answer == text


def test_form_of_a_file(tmp_path: Path) -> None:
    """A line has these fields in this order, and none for what is not known; letters of any language stay readable."""
    path = tmp_path / "talk.jsonl"
    conversations = store(
        lab=[Turn("なぜ?", "Because.", "stopped", "A", "m", "Be brief.", 1.5, "0f"), Turn("And?", "So.")]
    )
    conversations.save(path)
    first = (
        '{"version": 1, "conversation": "lab", "question": "なぜ?", "answer": "Because.", "state": "stopped", '
        '"provider": "A", "model": "m", "system": "Be brief.", "asked_at": 1.5, "request_sha256": "0f"}'
    )
    second = '{"version": 1, "conversation": "lab", "question": "And?", "answer": "So.", "state": "completed"}'
    assert path.read_text(encoding="utf-8").splitlines() == [first, second]


def test_a_file_by_somebody_else_is_read(tmp_path: Path) -> None:
    """A byte order mark, Windows' line ends, blank lines, mixed conversations and unknown fields do no harm."""
    lines = [
        {"version": 1, "conversation": "lab", "question": "One?", "answer": "1", "state": "completed", "mood": "good"},
        {"version": 1, "conversation": "main", "question": "Two?", "answer": "2", "state": "completed"},
        {"version": 1, "conversation": "lab", "question": "Three?", "answer": "3", "state": "stopped", "model": None},
    ]
    path = tmp_path / "talk.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(map(json.dumps, lines)).encode())
    conversations = Conversations()
    assert conversations.load(path) == {"lab": 2, "main": 1}
    assert [turn.answer for turn in conversations.open("lab").turns] == ["1", "3"]


def test_loading_replaces_those_of_the_same_name(tmp_path: Path) -> None:
    """Loading replaces a conversation of the same name and leaves the others; it can be asked for some only."""
    path = tmp_path / "talk.jsonl"
    store(main=[Turn("Saved?", "Yes.")], lab=[Turn("Saved?", "Yes.")]).save(path)
    conversations = store(main=[Turn("New?", "Yes.")], other=[Turn("New?", "Yes.")])
    held = conversations.open("main")
    assert conversations.load(path) == {"main": 1, "lab": 1}
    assert {name: conversations.open(name).turns[0].question for name in conversations.names()} == {
        "main": "Saved?",
        "other": "New?",
        "lab": "Saved?",
    }
    assert conversations.open("main") is held
    only = Conversations()
    assert only.load(path, ["lab"]) == {"lab": 1}
    assert only.names() == ["lab"]
    with pytest.raises(ConfigError, match=r"there is no conversation named 'labb' in .*; did you mean 'lab'\?$"):
        only.load(path, ["labb"])


def test_saving_some(tmp_path: Path) -> None:
    """Only the conversations that are named are written; an unknown name writes nothing."""
    path = tmp_path / "talk.jsonl"
    conversations = store(main=[Turn("Why?", "Because.")], lab=[Turn("How?", "So.")])
    assert conversations.save(path, ["lab"]) == {"lab": 1}
    before = path.read_bytes()
    assert b"Why?" not in before
    with pytest.raises(ConfigError, match="no conversation named 'other'"):
        conversations.save(path, ["main", "other"])
    assert path.read_bytes() == before


def test_nothing_is_saved_over_something(tmp_path: Path) -> None:
    """Without a conversation nothing is written, so that a slip in a new kernel does not empty the file."""
    path = tmp_path / "talk.jsonl"
    store(main=[Turn("Why?", "Because.")]).save(path)
    with pytest.raises(ConfigError, match=r"^there is no conversation to save yet$"):
        Conversations().save(path)
    assert Conversations().load(path) == {"main": 1}


def test_secrets_are_not_saved(tmp_path: Path) -> None:
    """A secret is masked in every field that is written, and an image keeps every character."""
    path = tmp_path / "talk.jsonl"
    looks_like_a_key = {"type": "image_url", "image_url": {"url": "data:image/png;base64,/AKIAABCDEFGHIJKLMNOP/"}}
    parts = [{"type": "text", "text": f"my key is {KEY}"}, looks_like_a_key, {"type": "other", SECRET: [SECRET]}]
    turn = Turn(parts, f"{SECRET}\n{KEY}", "completed", SECRET, KEY, f"Use {SECRET}.", None, None)
    store(main=[turn]).save(path)
    saved = path.read_text(encoding="utf-8")
    assert SECRET not in saved
    assert KEY not in saved
    conversations = Conversations()
    conversations.load(path)
    question = conversations.open("main").turns[0].question
    assert question[0] == {"type": "text", "text": "my key is [secret]"}
    assert question[1] == looks_like_a_key


def test_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` in a path is the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    store(main=[Turn("Why?", "Because.")]).save("~/talk.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["talk.jsonl"]
    assert Conversations().load("~/talk.jsonl") == {"main": 1}


def test_saving_keeps_a_link_and_a_mode(tmp_path: Path) -> None:
    """A link stays one to the file that is written, and whoever might not read the file may not do so afterwards."""
    if os.name == "nt":
        unable("this system has not links and modes of files as POSIX has them")
    target, link = tmp_path / "talk.jsonl", tmp_path / "link.jsonl"
    target.touch(mode=0o600)
    link.symlink_to(target)
    store(main=[Turn("Why?", "Because.")]).save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert Conversations().load(target) == {"main": 1}
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["missing/talk.jsonl", ".", "a\x00b", "x" * 300])
def test_path_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    """A path that cannot be written or read is told in one line that names it, and nothing is left beside it."""
    conversations = store(main=[Turn("Why?", "Because.")])
    for use, what in ((conversations.save, "written"), (conversations.load, "read")):
        with pytest.raises(ConfigError) as caught:
            use(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name} cannot be {what}: ")
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert conversations.names() == ["main"]


SAVE_MUCH = """
import resource, signal, sys
from nbretry.prompts.conversations import Conversations
from nbretry.prompts.turn import Turn
from nbretry.errors import ConfigError

conversations = Conversations()
conversations.load(sys.argv[1])
conversations.open("main").replace([Turn("x" * 100_000, "y")])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    conversations.save(sys.argv[1])
except ConfigError as error:
    print(error)
"""


def test_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    """Where the new file does not come to its end, the old one stays whole and nothing is left beside it."""
    if os.name == "nt":
        unable("this system has no limit for the size of files")
    path = tmp_path / "talk.jsonl"
    store(main=[Turn("Why?", "Because.")]).save(path)
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", SAVE_MUCH, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"{path} cannot be written: File too large\n"
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["talk.jsonl"]


GOOD = {"version": 1, "conversation": "main", "question": "Why?", "answer": "Because.", "state": "completed"}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("\udcff", "it is no JSON"),
        ("[]", 'it has no "version"'),
        ('{"question": "Why?"}', 'it has no "version"'),
        ({**GOOD, "version": 2}, 'its "version" is 2, and this nbretry reads 1'),
        ({**GOOD, "version": "x" * 99}, 'its "version" is "xxxxxxxxxxxxxxxxxx…, and this nbretry reads 1'),
        ({**GOOD, "conversation": "a b"}, "its \"conversation\" is no name of letters, digits, '_', '-' and '.'"),
        ({**GOOD, "conversation": 1}, 'its "conversation" is no text'),
        ({**GOOD, "question": None}, 'its "question" is neither text nor a list of parts'),
        ({**GOOD, "question": " "}, 'its "question" is neither text nor a list of parts'),
        ({**GOOD, "question": []}, 'its "question" is neither text nor a list of parts'),
        ({**GOOD, "question": ["Why?"]}, 'its "question" is neither text nor a list of parts'),
        ({**GOOD, "question": [{"text": "Why?"}]}, 'its "question" is neither text nor a list of parts'),
        ({**GOOD, "answer": ""}, 'its "answer" is empty'),
        ({**GOOD, "answer": ["x"]}, 'its "answer" is no text'),
        ({**GOOD, "state": "failed"}, 'its "state" is neither completed nor stopped'),
        ({**GOOD, "state": []}, 'its "state" is neither completed nor stopped'),
        ({**GOOD, "system": 1}, 'its "system" is no text'),
        ({**GOOD, "asked_at": "now"}, 'its "asked_at" is no number of seconds since the epoch'),
        ({**GOOD, "asked_at": float("nan")}, 'its "asked_at" is no number of seconds since the epoch'),
        ({**GOOD, "asked_at": 10**400}, 'its "asked_at" is no number of seconds since the epoch'),
        ({**GOOD, "asked_at": True}, 'its "asked_at" is no number of seconds since the epoch'),
    ],
    ids=lambda value: (value if isinstance(value, str) else json.dumps(value))[:40].encode("ascii", "replace").decode(),
)
def test_wrong_line_loads_nothing(tmp_path: Path, line: Any, wrong: str) -> None:
    """A wrong line is told in one line with the file and its number, and the conversations stay as they were."""
    path = tmp_path / "talk.jsonl"
    text = line if isinstance(line, str) else json.dumps(line)
    path.write_bytes(f"{json.dumps({**GOOD, 'conversation': 'new'})}\n\n{text}\n".encode("utf-8", "surrogateescape"))
    conversations = store(main=[Turn("Before?", "Yes.")])
    with pytest.raises(ConfigError) as caught:
        conversations.load(path)
    assert str(caught.value) == f"{path}, line 3, is no turn of a conversation: {wrong}"
    assert conversations.names() == ["main"]
    assert conversations.open("main").turns == (Turn("Before?", "Yes."),)


def test_empty_file(tmp_path: Path) -> None:
    """A file without a line has no conversation, and loading it changes nothing."""
    path = tmp_path / "talk.jsonl"
    path.touch()
    assert store(main=[Turn("Why?", "Because.")]).load(path) == {}


def test_version_is_documented() -> None:
    """The form that the module describes is the one that is written."""
    import nbretry.prompts.conversation_file

    described = (nbretry.prompts.conversation_file.__doc__ or "").partition("    {")[2].partition("}\n")[0]
    assert json.loads(f"{{{described}}}")["version"] == FILE_VERSION
