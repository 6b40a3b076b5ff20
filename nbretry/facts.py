"""Everything about a run but its text: what changes a few times in a run, while the text does with every fragment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast, get_args

from nbretry._utils.serialization import Record, copied
from nbretry.attempts import Attempt
from nbretry.events import exception_in, exception_to_json
from nbretry.types import Message

__all__ = ["Facts", "RunState"]

RunState: TypeAlias = Literal["pending", "running", "completed", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a run, for the `nbretry.answer.Answer` to it.

    Attributes:
        state: as `Answer` has it.
        started_at: seconds since the epoch.
        providers: names in the order of asking.
        request_sha256: hash of model and messages.
        messages: what was sent.
        attempts: numbered from 1.
        chosen: number of the attempt whose text is coming or has come; 0 while there is none.
        kept: how many fragments are of attempts before.
        ended: seconds since the run started; None while it runs.
        error: what the run failed with.
    """

    state: RunState = "pending"
    started_at: float | None = None
    providers: tuple[str, ...] = ()
    request_sha256: str = ""
    messages: tuple[Message, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    chosen: int = 0
    kept: int = 0
    ended: float | None = None
    error: BaseException | None = None

    def at(self, number: int) -> Attempt:
        """The attempt of this number."""
        return self.attempts[number - 1]

    def updated(self, number: int, **changes: Any) -> Facts:
        """The facts with changes to one attempt."""
        attempts = list(self.attempts)
        attempts[number - 1] = replace(attempts[number - 1], **changes)
        return replace(self, attempts=tuple(attempts))

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that answered, or else the latest; None before the first."""
        if self.chosen:
            return self.at(self.chosen)
        asked = [attempt for attempt in self.attempts if attempt.state != "skipped"]
        return next(reversed(asked or self.attempts), None)

    @property
    def voices(self) -> list[Attempt]:
        """The attempts whose text this is."""
        last = self.attempt
        voices = [attempt for attempt in self.attempts if attempt.contributed and attempt is not last]
        if last is not None and last.first_content is not None:
            voices.append(last)
        return voices

    @property
    def reasoned_by(self) -> Attempt | None:
        """Of the attempts whose text this is, or will be, the last that had a reasoning."""
        last = self.attempt
        voices = [attempt for attempt in self.attempts if attempt.contributed or attempt is last]
        return next((attempt for attempt in reversed(voices) if attempt.reasoning), None)

    def to_dict(self) -> dict[str, Any]:
        """The fields of an answer's record that the attempts do not tell, but for its texts."""
        return {
            "state": self.state,
            "providers": list(self.providers),
            "started_at": self.started_at,
            "duration": self.ended,
            "request_sha256": self.request_sha256,
            "error": exception_to_json(self.error) if self.error else None,
            "chosen": self.chosen or None,
            "attempts": [attempt.to_dict() for attempt in self.attempts],
        }

    @classmethod
    def from_dict(cls, record: Any) -> tuple[Facts, str]:
        """The facts and the text of which `nbretry.answer.Answer.to_dict` made this record.

        Raises:
            ValueError: as for `Answer.from_dict`.
        """
        read = Record(record, "an answer", _FIELDS)
        text = read.text("text")
        messages = read.items("messages", dict, "dicts")
        if text and messages and messages.pop() != {"role": "assistant", "content": text}:
            read.refuse("messages", "a list that ends with the answer's text")
        attempts = tuple(Attempt.from_dict(attempt) for attempt in read.items("attempts", Mapping, "dicts"))
        if [attempt.number for attempt in attempts] != list(range(1, len(attempts) + 1)):
            read.refuse("attempts", "a list with the numbers 1, 2, 3 and so on")
        chosen = read.whole("chosen") or 0
        if chosen > len(attempts):
            read.refuse("chosen", "the number of an attempt")
        state = read.word("state", get_args(RunState))
        if state is None:
            read.refuse("state", f"one of {', '.join(get_args(RunState))}")
        facts = cls(
            state=cast(RunState, state),
            started_at=read.number("started_at"),
            providers=tuple(read.items("providers", str, "names")),
            request_sha256=read.text("request_sha256"),
            messages=tuple(copied(message) for message in messages),
            attempts=attempts,
            chosen=chosen,
            ended=read.number("duration"),
            error=exception_in(read, "error"),
        )
        return facts, text


_FIELDS = (
    *("state", "text", "reasoning", "messages", "providers", "request_sha256", "started_at", "duration", "error"),
    *("attempts", "chosen"),
    *("provider", "model", "time_to_first_content", "finish_reason", "usage", "cost"),  # which the attempts tell
)
