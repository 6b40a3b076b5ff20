"""Named conversations: earlier questions and answers that are sent with the next question.

A conversation is plain user and assistant messages, so any provider can continue it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from typing import Protocol

from nbretry._utils.names import is_name, name_refused
from nbretry._utils.redaction import mask
from nbretry._utils.serialization import copied
from nbretry._utils.text import nearest
from nbretry.answer import Answer
from nbretry.errors import ConfigError
from nbretry.prompts.conversation_file import FILE_VERSION, read_turns, write_turns
from nbretry.prompts.messages import tidy
from nbretry.prompts.turn import Turn, TurnState, text_of
from nbretry.types import Content, Messages

__all__ = ["FILE_VERSION", "Conversation", "Conversations", "QuestionLike", "Turn", "TurnState", "text_of"]


class QuestionLike(Protocol):
    """The part of a question that a conversation keeps; `nbretry.session.question.Question` has it."""

    @property
    def prompt(self) -> Content:
        """The prompt that was sent."""

    @property
    def system(self) -> str | None:
        """The user's own system prompt; None to keep that of the conversation, empty for none from now on."""


class Conversation:
    """The turns under one name. Threads may share it.

    Args:
        name: letters, digits, ``_``, ``-`` and ``.``.

    Raises:
        ConfigError: the name has other characters.
    """

    def __init__(self, name: str) -> None:
        if not is_name(name):
            raise ConfigError(name_refused(name, "a conversation"))
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
        """The system prompt: that of the last question that set one."""
        turns = self._turns
        return turns[-1].system if turns else None

    def messages(self) -> Messages:
        """Return all turns as copies, as messages of user and assistant without the system prompt."""
        return [message for turn in self._turns for message in turn.messages()]

    def messages_before(self, turn: Turn) -> Messages:
        """Return the messages of the turns before this one; of all turns if it is not one of them."""
        turns = self._turns
        place = next((index for index, one in enumerate(turns) if one is turn), len(turns))
        return [message for one in turns[:place] for message in one.messages()]

    def add(self, question: QuestionLike, answer: Answer, in_place_of: Turn | None = None) -> None:
        """Add a question and its answer.

        A stopped answer is added with the text received so far. If the run failed or there is no text, nothing is
        added.

        Args:
            question: the prompt as it was sent, and the user's own system prompt.
            answer: the answer of the run, however it ended.
            in_place_of: the last turn, if the new one replaces it. A turn that is no longer the last one stays.
        """
        state = answer.state
        if state not in ("completed", "stopped") or not answer.text.strip():
            return
        prompt = question.prompt
        with self._lock:
            turn = Turn(
                tidy(prompt) if isinstance(prompt, str) else copied(prompt),
                answer.text,
                state,
                answer.provider,
                answer.model,
                self.system if question.system is None else question.system or None,
                answer.started_at,
                answer.request_sha256 or None,
            )
            before = self._turns
            if in_place_of is not None and before and before[-1] is in_place_of:
                before = before[:-1]
            self._turns = (*before, turn)

    def replace(self, turns: Iterable[Turn]) -> None:
        """Replace all turns with these."""
        with self._lock:
            self._turns = tuple(turns)

    def clear(self) -> None:
        """Forget all turns and the system prompt."""
        self.replace(())

    def __len__(self) -> int:
        """Return the number of turns."""
        return len(self._turns)

    def __repr__(self) -> str:
        return mask(f"<Conversation {self._name!r}: {_count(len(self), 'turn')}>")


class Conversations:
    """The conversations of a session. A conversation exists once it has a turn."""

    def __init__(self) -> None:
        self._opened: dict[str, Conversation] = {}
        self._lock = threading.Lock()

    def open(self, name: str) -> Conversation:
        """Return the conversation of this name, a new one if there is none; the same object until it is forgotten.

        Raises:
            ConfigError: the name has characters other than letters, digits, ``_``, ``-`` and ``.``.
        """
        with self._lock:
            if name not in self._opened:
                self._opened[name] = Conversation(name)
            return self._opened[name]

    def get(self, name: str) -> Conversation:
        """Return the conversation of this name.

        Raises:
            ConfigError: there is none; the message suggests a similar name.
        """
        return self._chosen([name])[0]

    def names(self) -> list[str]:
        """Return the names of all conversations, in the order in which they were first opened."""
        with self._lock:
            return [name for name, conversation in self._opened.items() if conversation.turns]

    def forget(self, *names: str) -> None:
        """Forget these conversations.

        A question that is still being answered is not added to any of them later.

        Raises:
            ConfigError: there is no conversation of one of the names; then nothing is forgotten.
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
        """Write conversations to a file, replacing its content. Secrets in it are masked.

        Args:
            path: the file; ``~`` is the home directory.
            names: the conversations to write; None for all.

        Returns:
            The number of turns written of each conversation, by its name.

        Raises:
            ConfigError: there is no such conversation, or none at all, or the file cannot be written; then it is
                unchanged.
        """
        saved = {one.name: one.turns for one in self._chosen(self.names() if names is None else names)}
        if not saved:
            raise ConfigError("there is no conversation to save yet")
        write_turns(path, saved)
        return {name: len(turns) for name, turns in saved.items()}

    def load(self, path: str | os.PathLike[str], names: Sequence[str] | None = None) -> dict[str, int]:
        """Read conversations from a file. They replace conversations of the same name; others stay.

        Args:
            path: the file; ``~`` is the home directory.
            names: the conversations to read; None for all in the file.

        Returns:
            The number of turns read of each conversation, by its name.

        Raises:
            ConfigError: the file cannot be read, a line is wrong, or a name is not in it; then nothing is changed.
        """
        found = read_turns(path)
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
        """Return the number of conversations."""
        return len(self.names())

    def __repr__(self) -> str:
        return mask(f"<Conversations: {', '.join(self.names()) or 'none'}>")


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    return nearest(name, names) if names else "; there is none"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
