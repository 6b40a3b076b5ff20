"""Conversations by name: what was asked and answered before, to be sent along with the next question.

A conversation is plain user and assistant messages, so that it can go on with any provider. A file of conversations is
JSON lines in UTF-8, one turn a line, oldest first:

    {"version": 1, "conversation": "main", "question": "Why?", "answer": "Because.", "state": "completed",
     "provider": "openai", "model": "gpt-5", "system": "Be brief.", "asked_at": 1763865600.0, "request_sha256": "…"}

``version``, ``conversation``, ``question`` (text, or parts as in `nbretry.types.Content`), ``answer`` and ``state``
(``completed`` or ``stopped``) are in every line; the others may be missing. Fields that are not named here are passed
over. Secrets are masked in what is written.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, get_args

from nbretry.answer import Answer
from nbretry.errors import ConfigError, nearest
from nbretry.prompt import tidy
from nbretry.records import whole_characters
from nbretry.redaction import mask
from nbretry.types import Content, Messages

__all__ = ["FILE_VERSION", "Conversation", "Conversations", "QuestionLike", "Turn", "TurnState", "text_of"]

FILE_VERSION = 1
"""Version of the files' form; another is not read."""

TurnState: TypeAlias = Literal["completed", "stopped"]

_IMAGE_DATA = re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]*")
_LINE_ENDS = {ord(character): f"\\u{ord(character):04x}" for character in "\u0085\u2028\u2029"}
_LATEST = 2e11  # seconds; a calendar ends a little later
_SHOWN_QUESTION = 60
_UNUSABLE = (OSError, RuntimeError, ValueError)
"""What a path raises that cannot be used: a circle of links and a NUL in a name are no `OSError`."""


class QuestionLike(Protocol):
    """What a conversation keeps of a question, as a `nbretry.session.Question` has it."""

    @property
    def prompt(self) -> Content:
        """What was sent."""

    @property
    def system(self) -> str | None:
        """The user's own system prompt; None for that of the conversation, empty for none from now on."""


@dataclass(frozen=True, slots=True, repr=False)
class Turn:
    """A question with its answer.

    Attributes:
        question: as it was sent: text, or parts.
        answer: the text.
        state: ``completed``, or ``stopped`` where the answer is a partial one.
        provider: who answered.
        model: which model.
        system: the system prompt that held then; None where there was none.
        asked_at: seconds since the epoch; None where that is unknown.
        request_sha256: hash of model and messages, by which the record of the run can be found.
    """

    question: Content
    answer: str
    state: TurnState = "completed"
    provider: str | None = None
    model: str | None = None
    system: str | None = None
    asked_at: float | None = None
    request_sha256: str | None = None

    def messages(self) -> Messages:
        """The question and the answer as messages, which are copies."""
        return [
            {"role": "user", "content": copy.deepcopy(self.question)},
            {"role": "assistant", "content": self.answer},
        ]

    def __repr__(self) -> str:
        question = " ".join(mask(whole_characters(text_of(self.question))).split())
        question = question if len(question) <= _SHOWN_QUESTION else question[: _SHOWN_QUESTION - 1] + "…"
        return mask(f"<Turn {self.state} by {whole_characters(self.provider or 'somebody')}: {question!r}>")


class Conversation:
    """What was said under one name. Threads may share it.

    Args:
        name: letters, digits, ``_``, ``-`` and ``.``.

    Raises:
        ConfigError: the name has other characters.
    """

    def __init__(self, name: str) -> None:
        if not _is_name(name):
            raise ConfigError(f"{name!r} cannot name a conversation: use letters, digits, '_', '-' and '.'")
        self._name = name
        self._turns: tuple[Turn, ...] = ()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Every question with its answer, oldest first."""
        return self._turns

    @property
    def system(self) -> str | None:
        """The system prompt: that of the last question which gave one."""
        turns = self._turns
        return turns[-1].system if turns else None

    def messages(self) -> Messages:
        """All turns as messages of user and assistant, without the system prompt; they are copies."""
        return [message for turn in self._turns for message in turn.messages()]

    def add(self, question: QuestionLike, answer: Answer) -> None:
        """Add what was asked and answered.

        A stopped answer counts with the text that had come. Where the run failed or there is no text, nothing is added.

        Args:
            question: its prompt as it was sent, and the user's own system prompt.
            answer: the run's, however it ended.
        """
        state = answer.state
        if state not in ("completed", "stopped") or not answer.text.strip():
            return
        prompt = question.prompt
        with self._lock:
            turn = Turn(
                tidy(prompt) if isinstance(prompt, str) else copy.deepcopy(prompt),
                answer.text,
                state,
                answer.provider,
                answer.model,
                self.system if question.system is None else question.system or None,
                answer.started_at,
                answer.to_dict().get("request_sha256") or None,
            )
            self._turns = (*self._turns, turn)

    def replace(self, turns: Iterable[Turn]) -> None:
        """Have these turns in place of those before."""
        with self._lock:
            self._turns = tuple(turns)

    def clear(self) -> None:
        """Forget all turns and the system prompt."""
        self.replace(())

    def __len__(self) -> int:
        """How many turns there are."""
        return len(self._turns)

    def __repr__(self) -> str:
        return mask(f"<Conversation {self._name!r}: {_count(len(self), 'turn')}>")


class Conversations:
    """The conversations of a session. One exists once it has a turn."""

    def __init__(self) -> None:
        self._opened: dict[str, Conversation] = {}
        self._lock = threading.Lock()

    def open(self, name: str) -> Conversation:
        """The conversation of this name, empty where there is none yet; the same object until it is forgotten.

        Raises:
            ConfigError: the name has characters other than letters, digits, ``_``, ``-`` and ``.``.
        """
        with self._lock:
            if name not in self._opened:
                self._opened[name] = Conversation(name)
            return self._opened[name]

    def get(self, name: str) -> Conversation:
        """The conversation of this name.

        Raises:
            ConfigError: there is none; the nearest name is told.
        """
        return self._chosen([name])[0]

    def names(self) -> list[str]:
        """The names of all, in the order in which they were first opened."""
        with self._lock:
            return [name for name, conversation in self._opened.items() if conversation.turns]

    def forget(self, *names: str) -> None:
        """Forget these conversations.

        A question that is still being answered becomes part of none of them.

        Raises:
            ConfigError: there is none of a name; then nothing is forgotten.
        """
        self._chosen(names)
        with self._lock:
            for name in names:
                self._opened.pop(name, None)

    def forget_all(self) -> list[str]:
        """Forget all conversations.

        Returns:
            Their names.
        """
        names = self.names()
        with self._lock:
            self._opened.clear()
        return names

    def save(self, path: str | os.PathLike[str], names: Sequence[str] | None = None) -> dict[str, int]:
        """Write conversations to a file, in place of what it had. Secrets are masked in it.

        Args:
            path: the file; ``~`` is the home directory.
            names: which; None for all.

        Returns:
            How many turns of each conversation were written, by its name.

        Raises:
            ConfigError: there is no such conversation, or none at all, or the file cannot be written; then it is as it
                was before.
        """
        saved = {one.name: one.turns for one in self._chosen(self.names() if names is None else names)}
        if not saved:
            raise ConfigError("there is no conversation to save yet")
        lines = [_to_line(name, turn) for name, turns in saved.items() for turn in turns]
        _write(_expanded(path), b"".join(lines))
        return {name: len(turns) for name, turns in saved.items()}

    def load(self, path: str | os.PathLike[str], names: Sequence[str] | None = None) -> dict[str, int]:
        """Read conversations from a file. One of the same name is replaced; others stay.

        Args:
            path: the file; ``~`` is the home directory.
            names: which; None for all that it has.

        Returns:
            How many turns of each conversation were read, by its name.

        Raises:
            ConfigError: the file cannot be read, a line is wrong, or there is no conversation of a name in it; then
                nothing is changed.
        """
        found = _read(_expanded(path))
        for name in names or ():
            if name not in found:
                raise ConfigError(
                    f"there is no conversation named {name!r} in {os.fspath(path)}{_nearest(name, found)}"
                )
        chosen = list(found if names is None else dict.fromkeys(names))
        for name in chosen:
            self.open(name).replace(found[name])
        return {name: len(found[name]) for name in chosen}

    def _chosen(self, names: Iterable[str]) -> list[Conversation]:
        known = self.names()
        for name in names:
            if name not in known:
                raise ConfigError(f"there is no conversation named {name!r}{_nearest(name, known)}")
        return [self.open(name) for name in dict.fromkeys(names)]

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __len__(self) -> int:
        """How many there are."""
        return len(self.names())

    def __repr__(self) -> str:
        return mask(f"<Conversations: {', '.join(self.names()) or 'none'}>")


def text_of(content: Content) -> str:
    """What a message says, as text: images and other parts are named in brackets.

    Args:
        content: text, or parts.
    """
    if isinstance(content, str):
        return content
    return "\n".join(_text_of_part(part) for part in content)


def _text_of_part(part: dict[str, Any]) -> str:
    kind = part.get("type")
    text = part.get("text")
    if kind == "text" and isinstance(text, str):
        return text
    return "[image]" if kind == "image_url" else f"[{kind}]"


def _is_name(name: str) -> bool:
    return bool(name) and all(character.isalnum() or character in "_-." for character in name)


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    return nearest(name, names) if names else "; there is none"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# --- files ------------------------------------------------------------------------------------------------------------


def _expanded(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.expanduser(path))  # Path's own raises where there is no home


def _to_line(name: str, turn: Turn) -> bytes:
    record = {
        "version": FILE_VERSION,
        "conversation": name,
        "question": turn.question,
        "answer": turn.answer,
        "state": turn.state,
        "provider": turn.provider,
        "model": turn.model,
        "system": turn.system,
        "asked_at": turn.asked_at,
        "request_sha256": turn.request_sha256,
    }
    given = {key: _masked(value) for key, value in record.items() if value is not None}
    line = json.dumps(given, ensure_ascii=False).translate(_LINE_ENDS)
    # Half a character has no UTF-8; what stands in its place is JSON's own escape for it.
    return line.encode("utf-8", "backslashreplace") + b"\n"


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        # An image has no keys, and would be none with a hole in it.
        return value if _IMAGE_DATA.fullmatch(value) else mask(value)
    if isinstance(value, dict):
        return {_masked(key): _masked(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(one) for one in value]
    return value


def _write(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all."""
    try:
        target = path.resolve()  # a link goes on to be one
        if target.is_dir():
            raise IsADirectoryError(None, "it is a directory")
        beside = target.with_name(f".{os.urandom(8).hex()}.nbretry")
        try:
            with beside.open("xb") as file:
                if target.exists():
                    beside.chmod(target.stat().st_mode & 0o777)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
    except _UNUSABLE as error:
        raise ConfigError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def _read(path: Path) -> dict[str, list[Turn]]:
    """The turns of each conversation in a file."""
    found: dict[str, list[Turn]] = {}
    try:
        data = path.read_bytes()
    except _UNUSABLE as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            try:
                name, turn = _from_line(line)
            except (ValueError, RecursionError) as error:
                wrong = "it is no JSON" if not isinstance(error, _WrongLineError) else str(error)
                raise ConfigError(f"{path}, line {number}, is no turn of a conversation: {wrong}") from error
            found.setdefault(name, []).append(turn)
    return found


class _WrongLineError(ValueError):
    """A line is JSON, and not as it should be."""


def _from_line(line: bytes) -> tuple[str, Turn]:
    record = json.loads(line.decode("utf-8"))
    if not isinstance(record, dict) or "version" not in record:
        raise _WrongLineError('it has no "version"')
    if record["version"] != FILE_VERSION:
        raise _WrongLineError(f'its "version" is {_shown(record["version"])}, and this nbretry reads {FILE_VERSION}')
    name = _text(record, "conversation")
    if not name or not _is_name(name):
        raise _WrongLineError("its \"conversation\" is no name of letters, digits, '_', '-' and '.'")
    question: Any = record.get("question")
    if not _is_content(question):
        raise _WrongLineError('its "question" is neither text nor a list of parts')
    answer = _text(record, "answer")
    if answer is None or not answer.strip():
        raise _WrongLineError('its "answer" is empty')
    state: Any = record.get("state")
    if state not in get_args(TurnState):
        raise _WrongLineError(f'its "state" is neither {" nor ".join(get_args(TurnState))}')
    asked_at = record.get("asked_at")
    if asked_at is not None and not _is_time(asked_at):
        raise _WrongLineError('its "asked_at" is no number of seconds since the epoch')
    return name, Turn(
        question,
        answer,
        state,
        _text(record, "provider"),
        _text(record, "model"),
        _text(record, "system"),
        None if asked_at is None else float(asked_at),
        _text(record, "request_sha256"),
    )


def _text(record: dict[str, Any], key: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise _WrongLineError(f'its "{key}" is no text')
    return value


def _is_content(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in value)
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 20 else text[:19] + "…"
