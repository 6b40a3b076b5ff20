"""Conversations: what becomes part of one, what the next provider hears of it, and their files."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page import Page
from unable import unable

from nbretry._utils.redaction import mask, remember_secret
from nbretry.answer import Answer, fold
from nbretry.errors import APIConnectionError, ConfigError, RetryProviderError
from nbretry.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    ReasoningDelta,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
)
from nbretry.prompts.conversation_file import FILE_VERSION
from nbretry.prompts.conversations import Conversation, Conversations
from nbretry.prompts.turn import Turn, text_of
from nbretry.renderers.history import conversation_html, conversation_text, history_html, history_text
from nbretry.session.question import Question
from nbretry.session.session import Session
from nbretry.testing import simulate
from nbretry.types import Content

SECRET = "a-secret-of-the-talk"
KEY = "sk-" + "0123456789abcdefghij"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
ODD_TEXTS = [
    "{{ x }} {'a': [1]} \\frac{1}{2} $x$",
    "quotes \" ' ` and \\ back",
    "line\nfeeds\r\nof\rall\x0bkinds\x0c\x1c\x1d\x1e\x85\u2028\u2029end",
    "👩‍👩‍👧 שלום عالم \u202eback",
    "half \ud83d a character",
    "a\x00b\x1b[31m",
    "x" * 200_000,
]
BEGUN: list[Event] = [RunStarted(1000.0, ("A",), "m", "0f" * 32), AttemptStarted(1, "A", "m", 0.0)]


@pytest.fixture(autouse=True)
def known_secret() -> None:
    remember_secret(SECRET)


def said(text: str) -> Answer:
    """A whole answer."""
    texts: list[Event] = [FirstContent(1, 0.5), TextDelta(1, text)] if text else []
    return fold([*BEGUN, *texts, AttemptSucceeded(1, "stop", 1.0), RunCompleted(1.0)])


def stopped(text: str) -> Answer:
    """One that was stopped after this text."""
    texts: list[Event] = [FirstContent(1, 0.5), TextDelta(1, text)] if text else []
    return fold([*BEGUN, ReasoningDelta(1, "hm"), *texts, RunCancelled(1.0)])


def failed(text: str) -> Answer:
    """One that broke off after this text."""
    error = APIConnectionError("reset")
    events = [FirstContent(1, 0.5), TextDelta(1, text), AttemptFailed(1, error, "stop", 0.0, 1.0)]
    return fold([*BEGUN, *events, RunFailed(RetryProviderError("no"), 1.0)])


def talk(*turns: tuple[str, str], name: str = "main") -> Conversation:
    """A conversation with these questions and answers."""
    conversation = Conversation(name)
    for question, answer in turns:
        conversation.add(Question(question), said(answer))
    return conversation


def store(**turns: list[Turn]) -> Conversations:
    """Conversations with these turns."""
    conversations = Conversations()
    for name, own in turns.items():
        conversations.open(name).replace(own)
    return conversations


# --- what becomes part of one -----------------------------------------------------------------------------------------


def test_a_whole_answer_becomes_a_turn() -> None:
    """A question and its answer are a turn that says who answered what, when, and in which run."""
    conversation = talk(("\nWhy?  \n", "Because."))
    assert conversation.turns == (Turn("Why?", "Because.", "completed", "A", "m", None, 1000.0, "0f" * 32),)
    assert len(conversation) == 1


def test_a_stopped_answer_counts_as_far_as_it_came() -> None:
    """What had come of a stopped answer is kept and marked as stopped; where nothing had come there is no turn."""
    conversation = Conversation("main")
    conversation.add(Question("One?"), stopped("Half an ans"))
    conversation.add(Question("Two?"), stopped(""))
    assert [(turn.question, turn.answer, turn.state) for turn in conversation.turns] == [
        ("One?", "Half an ans", "stopped")
    ]


@pytest.mark.parametrize("answer", [failed("half"), said(""), said(" \n "), Answer(), fold(BEGUN)])
def test_no_other_answer_counts(answer: Answer) -> None:
    """A failed run, an empty answer and one that still comes leave the conversation as it was."""
    conversation = talk(("Why?", "Because."))
    conversation.add(Question("And?", system="Be brief."), answer)
    assert len(conversation) == 1
    assert conversation.system is None


def test_messages_are_those_of_user_and_assistant() -> None:
    """Every turn is two messages, and neither the system prompt nor a note of ours is among them."""
    conversation = talk(("One?", "1"))
    conversation.add(Question("Two?", system="Be brief."), stopped("2"))
    assert conversation.messages() == [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "2"},
    ]


def test_messages_are_copies() -> None:
    """What somebody does to the question or to the messages later changes no conversation."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What is this?"}, json.loads(json.dumps(IMAGE))]
    conversation = Conversation("main")
    conversation.add(Question(parts), said("A cat."))
    parts[1]["image_url"]["url"] = "changed"
    conversation.messages()[0]["content"][1]["image_url"]["url"] = "changed"
    conversation.messages().clear()
    assert conversation.messages()[0]["content"] == [{"type": "text", "text": "What is this?"}, IMAGE]


def test_system_prompt_is_the_last_one_given() -> None:
    """A system prompt holds until a question gives another, or an empty one; a turn knows which held."""
    conversation = Conversation("main")
    systems: list[str | None] = [None, "Be brief.", None, "Be kind.", "", None]
    held = []
    for system in systems:
        conversation.add(Question("Why?", system=system), said("Because."))
        held.append(conversation.system)
    assert held == [None, "Be brief.", "Be brief.", "Be kind.", None, None]
    assert [turn.system for turn in conversation.turns] == held


def test_clear_forgets_the_system_prompt_too() -> None:
    """A cleared conversation is as a new one."""
    conversation = Conversation("main")
    conversation.add(Question("Why?", system="Be brief."), said("Because."))
    conversation.clear()
    assert (conversation.turns, conversation.messages(), conversation.system, len(conversation)) == ((), [], None, 0)


def test_threads_that_add_at_once() -> None:
    """Of threads that add at once no turn is lost, and each turn has the system prompt of the one before or its own."""
    conversation = Conversations().open("main")
    answer = said("Because.")

    def add(thread: int) -> None:
        for number in range(250):
            system = f"{thread} {number}" if thread % 2 else None
            conversation.add(Question(f"{thread} {number}", system=system), answer)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=add, args=(thread,)) for thread in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    turns = conversation.turns
    assert {turn.question for turn in turns} == {f"{thread} {number}" for thread in range(4) for number in range(250)}
    assert len(turns) == 1000
    held: str | None = None
    for turn in turns:
        held = str(turn.question) if int(str(turn.question)[0]) % 2 else held
        assert turn.system == held


# --- by name ----------------------------------------------------------------------------------------------------------


def test_one_exists_once_it_has_a_turn() -> None:
    """Opening gives the same conversation each time, and one without a turn is not listed."""
    conversations = Conversations()
    lab = conversations.open("lab")
    conversations.open("main").add(Question("Why?"), said("Because."))
    assert conversations.names() == ["main"]
    assert "lab" not in conversations
    lab.add(Question("Why?"), said("Because."))
    assert conversations.open("lab") is lab
    assert (conversations.names(), len(conversations), "lab" in conversations) == (["lab", "main"], 2, True)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "a\n", "\ud800"])
def test_name_that_cannot_be_typed_is_refused(name: str) -> None:
    """A name that could not stand after -c is refused in one line that says which letters may be used."""
    with pytest.raises(ConfigError, match=r"cannot name a conversation: use letters, digits, '_', '-' and '\.'$"):
        Conversations().open(name)


def test_forgetting() -> None:
    """Forgetting takes those that are named, or all; an unknown name is told with the nearest and forgets nothing."""
    turn = [Turn("Why?", "Because.")]
    conversations = store(main=turn, lab=turn, other=turn)
    with pytest.raises(ConfigError, match=r"^there is no conversation named 'labb'; did you mean 'lab'\?$"):
        conversations.forget("main", "labb")
    assert conversations.names() == ["main", "lab", "other"]
    conversations.forget("main", "lab", "lab")
    assert conversations.names() == ["other"]
    assert len(conversations.open("main")) == 0
    assert conversations.forget_all() == ["other"]
    with pytest.raises(ConfigError, match=r"^there is no conversation named 'other'; there is none$"):
        conversations.forget("other")


def test_late_answer_does_not_bring_back_what_was_forgotten() -> None:
    """A question that is still being answered when its conversation is forgotten becomes part of no later one."""
    conversations = store(main=[Turn("Why?", "Because.")])
    asked = conversations.open("main")
    conversations.forget("main")
    asked.add(Question("And?"), said("So."))
    assert conversations.names() == []


# --- what the next provider hears -------------------------------------------------------------------------------------


def test_second_provider_knows_what_the_first_one_said() -> None:
    """A conversation goes on with another provider, which is sent all that was said, and the system prompt."""
    session = Session()
    first, second = simulate("'A whale.', 500"), simulate("'Blue.'")
    session.register("first", first)
    session.register("second", second)
    conversation = session.conversations.open("main")

    def ask(prompt: Content, providers: list[str], system: str | None = None) -> None:
        question = Question(prompt, providers, system=system or conversation.system, history=conversation.messages())
        own = replace(question, system=system)
        asyncio.run(session.ask(question, lambda event, answer: None, lambda answer: conversation.add(own, answer)))

    ask([{"type": "text", "text": "What is this?"}, IMAGE], ["first"], "Be brief.")
    ask("Which colour?", ["first", "second"])
    assert second.calls[0].messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]},
        {"role": "assistant", "content": "A whale."},
        {"role": "user", "content": "Which colour?"},
    ]
    assert [(turn.answer, turn.provider) for turn in conversation.turns] == [("A whale.", "first"), ("Blue.", "second")]


# --- files ------------------------------------------------------------------------------------------------------------

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


# --- shown ------------------------------------------------------------------------------------------------------------

HOSTILE = "<script>alert('x')</script><img src=x onerror=y> ![i](http://evil/i.png) [l](javascript:z) \x1b[31m"


def test_no_secret_in_a_repr() -> None:
    """A turn, a conversation and a store print themselves shortly and without secrets."""
    turn = Turn(f"{'x' * 50} {SECRET} {'y' * 1000}", KEY, "stopped", "A")
    conversations = store(**{"main": [turn], SECRET: [turn]})
    shown = [repr(turn), repr(conversations), *(repr(conversations.open(name)) for name in conversations.names())]
    assert all(SECRET not in one and KEY not in one and len(one) < 150 for one in shown)
    assert shown[1:] == [
        "<Conversations: main, [secret]>",
        "<Conversation 'main': 1 turn>",
        "<Conversation '[secret]': 1 turn>",
    ]
    assert repr(Turn("Why?", "Because.", provider="A")) == "<Turn completed by A: 'Why?'>"


def test_text_of_parts() -> None:
    """Parts are shown as text, and what is none is named."""
    assert text_of("Why?") == "Why?"
    assert text_of([{"type": "text", "text": "Why?"}, IMAGE, {"type": "audio"}, {"type": "text"}]) == (
        "Why?\n[image]\n[audio]\n[text]"
    )


AT = time.strftime("%Y-%m-%d %H:%M", time.localtime(1000.0))


def test_table() -> None:
    """Each conversation is a line: its length, who answered last, when it was asked, and the question's first words."""
    main = talk(("Why?", "Because."))
    main.add(Question("And\nthen" + " what" * 50), stopped("So"))
    lab = store(lab=[Turn("How?", "So.")]).open("lab")
    first_words = "And then" + " what" * 10 + "…"
    assert history_text([main, lab]).splitlines() == [
        "Conversation  Turns  Last answer by  Asked             Last question",
        f"main          2      A, stopped      {AT}  {first_words}",
        "lab           1      —               —                 How?",
    ]
    page = Page(history_html([main, lab]))
    page.assert_well_formed()
    assert page.tags.count("tr") == 3
    assert "And then what what" in page.text


def test_what_was_said() -> None:
    """Every question and answer is told with who said it; the system prompt stands where it begins to hold."""
    conversation = talk(("Why?", "**Because.**"))
    conversation.add(Question([{"type": "text", "text": "And this?"}, IMAGE], system="Be brief."), stopped("A ca"))
    conversation.add(Question("Go on."), said("A cat.\n"))
    assert conversation_text(conversation).split("\n\n") == [
        "main: 3 turns",
        f"You, {AT}:\nWhy?",
        "A · m:\n**Because.**",
        "System prompt: Be brief.",
        f"You, {AT}:\nAnd this?\n[image]",
        "A · m, stopped:\nA ca",
        f"You, {AT}:\nGo on.",
        "A · m:\nA cat.",
    ]
    html = conversation_html(conversation)
    assert "<strong>Because.</strong>" in html
    assert html.count("System prompt") == 1
    page = Page(html)
    page.assert_well_formed()
    assert "A · m, stopped:" in page.text


def test_nothing_to_list() -> None:
    """Without a conversation the table is a line that says how one begins."""
    assert history_text([]) == "There is no conversation yet: %%ask -c begins one."
    assert "%%ask -c begins one" in history_html([])


@pytest.mark.parametrize("show", [history_html, lambda some: "".join(map(conversation_html, some))])
@given(text=st.text() | st.sampled_from([HOSTILE, *ODD_TEXTS[:-1]]))
def test_nothing_that_was_said_runs(show: Callable[[list[Conversation]], str], text: str) -> None:
    """Whatever was said, nothing of it runs or is loaded when it is shown, and no tag is left open."""
    parts: list[Content] = [text, [{"type": "text", "text": text}, {"type": text}]]
    turns = [Turn(question, text, "stopped", text, text, text, 0.0) for question in parts]
    page = Page(show([store(main=turns).open("main")]))
    page.assert_well_formed()
    page.assert_harmless()


@pytest.mark.parametrize("text", [HOSTILE, *ODD_TEXTS])
def test_nothing_that_was_said_steers_a_terminal(text: str) -> None:
    """The plain text has no control characters and nothing that UTF-8 cannot hold."""
    conversation = store(main=[Turn(text, text, "stopped", text, text, text, 0.0)]).open("main")
    for shown in (history_text([conversation]), conversation_text(conversation)):
        assert all(character.isprintable() or ord(character) >= 160 or character in "\n\t" for character in shown)
        shown.encode()


def test_no_secret_is_shown() -> None:
    """A secret is masked in everything that is shown, also where the question is cut in the middle of it."""
    for length in (0, 30, 55, 3990):
        turns = [Turn(f"{'x' * length} {one} {'y' * 5000}", one, "stopped", one, one, one) for one in (SECRET, KEY)]
        conversation = store(main=turns).open("main")
        show = (history_text, history_html)
        shown = [f([conversation]) for f in show] + [conversation_text(conversation), conversation_html(conversation)]
        for one in shown:
            assert SECRET[:9] not in one
            assert KEY[:9] not in one


def test_long_question_is_cut() -> None:
    """Of a very long question the beginning is shown, and how much is left out."""
    conversation = talk(("x" * 204_000, "Because."))
    for shown in (conversation_text(conversation), conversation_html(conversation)):
        assert "x … (200,000 more characters)" in shown
        assert len(shown) < 10_000


def test_half_a_character_can_be_shown() -> None:
    """A conversation in which there is half a character, as of a file's odd name, can be listed and shown."""
    turn = Turn("a\ud800b", "c\udfffd", provider="\ud800", system="\ud800")
    conversation = Conversation("main")
    conversation.replace([turn])
    shown = history_text([conversation]), history_html([conversation]), repr(turn)
    for text in (*shown, conversation_text(conversation), conversation_html(conversation)):
        assert "a?b" in text
        text.encode()
