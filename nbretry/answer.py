"""The pure fold from events to an answer: the only place that determines what the answer is now.

``answer = answer.apply(event)`` returns a new `Answer` and leaves the old one unchanged. Adding a text fragment costs
the same however long the answer already is: the answers of one run share a list of fragments, and each answer knows how
many of them are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nbretry._utils.display import bundle_of
from nbretry._utils.exceptions import describe
from nbretry._utils.redaction import mask
from nbretry._utils.serialization import Recorded, copied, plain, whole_characters
from nbretry._utils.text import cut_end
from nbretry.attempts import Attempt, AttemptState, RunRecord, RunState
from nbretry.errors import AnswerFormatError, RetryNoProviderError, RetryProviderError
from nbretry.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSucceeded,
    Event,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    TextDelta,
    usage_to_json,
)
from nbretry.types import Messages, Usage

__all__ = [
    "Answer",
    "Attempt",
    "AttemptState",
    "RunState",
    "fold",
]


class Answer(Recorded):
    """The result of a run so far: text, attempts, usage and cost. Immutable; `apply` makes it from the run's events.

    `Answer()`, before any event, is empty and ``pending``. Two answers with the same content are equal. You can pickle
    an answer, or convert it to a dict for JSON and back with `to_dict` and `from_dict`.

    >>> import asyncio
    >>> from nbretry.testing import simulate
    >>> busy, good = simulate("503", name="busy"), simulate("'Hello' ' world'", name="good")
    >>> answer = asyncio.run(RetryProvider([busy, good], shuffle=False).answer("", "Anybody there?"))
    >>> answer.text, answer.provider, answer.exceptions
    ('Hello world', 'good', {'busy': ServerError('the script says 503')})
    """

    __slots__ = ("_fragments", "_length", "_run", "_text")

    def __init__(self) -> None:
        self._run = RunRecord()
        self._fragments: list[str] = []
        self._length = 0
        self._text: str | None = ""

    @property
    def text(self) -> str:
        """The answer's text: of the attempt that answers, or else of the last one that was stopped or broke off."""
        if self._text is None:
            self._text = whole_characters("".join(self._fragments[: self._length]))
        return self._text

    @property
    def code(self) -> str:
        r"""The code in the answer, without the fences around it, or an empty string if it has no code.

        >>> from nbretry.events import TextDelta
        >>> Answer().apply(TextDelta(1, "```python\nprint(1)\n```")).code
        'print(1)'
        """
        from nbretry._extract import code_of

        return code_of(self.text)

    def json(self) -> Any:
        """Return the JSON value that the answer is or contains.

        Raises:
            AnswerFormatError: there is no JSON, or it is broken. It is a `ValueError` with a one-line message.

        Example:
            >>> from nbretry.events import TextDelta
            >>> Answer().apply(TextDelta(1, '{"sum": 42}')).json()["sum"]
            42
        """
        from nbretry._extract import NoJSONError, json_of

        try:
            return json_of(self.text)
        except NoJSONError as error:
            raise AnswerFormatError(str(error)) from None

    @property
    def messages(self) -> Messages:
        """The messages that were sent, with the answer's text as the last one: continue a conversation from them.

        Each access returns a new list.

        >>> from nbretry.events import TextDelta
        >>> answer = Answer().apply(TextDelta(1, "Hello."))
        >>> [*answer.messages, {"role": "user", "content": "Who are you?"}]
        [{'role': 'assistant', 'content': 'Hello.'}, {'role': 'user', 'content': 'Who are you?'}]
        """
        messages: Messages = [copied(message) for message in self._run.messages]
        if self.text:
            messages.append({"role": "assistant", "content": self.text})
        return messages

    @property
    def state(self) -> RunState:
        """``pending``, ``running``, ``completed``, ``failed`` or ``stopped``."""
        return self._run.state

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt, in order."""
        return self._run.attempts

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that answered, or else the latest; None before the first."""
        return self._run.attempt

    @property
    def provider(self) -> str | None:
        """Name of the provider that wrote the text; None as long as there is no text.

        If one provider continued the text of another, both names are joined with `` + ``.
        """
        attempt = self.attempt
        return " + ".join(dict.fromkeys(a.path for a in self._run.voices)) if attempt and self._run.voices else None

    @property
    def model(self) -> str | None:
        """Model that wrote the text, or its last part if there were several; None as long as there is no text."""
        voices = self._run.voices
        return voices[-1].model if voices else None

    @property
    def exceptions(self) -> dict[str, BaseException]:
        """The last exception of each provider, by provider name; `attempts` has every exception."""
        return {a.provider: a.exception for a in self._run.attempts if a.exception is not None}

    @property
    def usage(self) -> Usage | None:
        """Tokens of the attempt that answered: as its provider counted them, or else an estimate marked as one."""
        return self.attempt.usage if self.attempt else None

    @property
    def cost(self) -> float | None:
        """Cost of all attempts in US dollars, including failed and cancelled ones; None if no price is known."""
        costs = [attempt.cost for attempt in self._run.attempts if attempt.cost is not None]
        return sum(costs) if costs else None

    @property
    def cost_estimated(self) -> bool:
        """Whether `cost` is based on estimated tokens, or leaves out an attempt whose price is not known."""
        return any(attempt.cost_estimated for attempt in self._run.attempts)

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped: ``stop``, ``length``, …; None if the provider did not say."""
        return self.attempt.finish_reason if self.attempt else None

    @property
    def reasoning(self) -> str:
        """The model's reasoning, if it provides one; not part of `text`."""
        return self.reasoned_by.reasoning if self.reasoned_by else ""

    @property
    def reasoned_by(self) -> Attempt | None:
        """The attempt that `reasoning` is from: the last one with reasoning among those that wrote the text."""
        return self._run.reasoned_by

    @property
    def error(self) -> BaseException | None:
        """The exception that the run failed with; None if it did not fail."""
        return self._run.error

    @property
    def providers(self) -> tuple[str, ...]:
        """Names of the providers, in the order in which they are asked."""
        return self._run.providers

    @property
    def request_sha256(self) -> str:
        """Hash of model and messages, the same for the same question; empty before the run has started."""
        return self._run.request_sha256

    @property
    def started_at(self) -> float | None:
        """When the run started, in seconds since the epoch; None before that."""
        return self._run.started_at

    @property
    def time_to_first_content(self) -> float | None:
        """Seconds from the question to the first content of `text`, including failed attempts and waits."""
        voices = self._run.voices
        return voices[0].first_content if voices else None

    @property
    def duration(self) -> float | None:
        """Seconds from the question to the end of the run; None before that."""
        return self._run.ended

    def apply(self, event: Event) -> Answer:
        """Return the answer after this event.

        >>> from nbretry.events import TextDelta
        >>> Answer().apply(TextDelta(1, "Hello ")).apply(TextDelta(1, "world")).text
        'Hello world'
        """
        new = Answer.__new__(Answer)
        if type(event) is TextDelta:
            length = self._length
            fragments = self._fragments
            if len(fragments) != length:
                fragments = fragments[:length]
            fragments.append(event.text)
            new._run = self._run
            new._fragments = fragments
            new._length = length + 1
            new._text = None
            return new
        new._fragments, new._length, new._text = self._fragments, self._length, self._text
        match event:
            case RunStarted():
                new._run = RunRecord(
                    state="running",
                    started_at=event.started_at,
                    providers=event.providers,
                    request_sha256=event.request_sha256,
                    messages=event.messages,
                )
                new._clear_text()
            case AttemptCancelled():
                new._run = self._run
                new._end(event.attempt, event.at, state="cancelled", status=event.reason)
            case AttemptFailed():
                new._run = self._run
                had_content = self._run.at(event.attempt).first_content is not None
                gives_up = event.next_step in ("retry", "fallback")
                new._end(
                    event.attempt,
                    event.at,
                    state="failed",
                    exception=event.exception,
                    next_step=event.next_step,
                    wait_for=event.wait_for,
                    status=None,
                    given_up=self.text if gives_up and had_content else "",
                    contributed=had_content and event.next_step == "continue",
                )
                if gives_up and had_content:
                    new._clear_text()
                if event.next_step != "stop":
                    new._run = replace(new._run, chosen=0, kept=new._length)
            case RunCompleted():
                new._run = replace(self._run, state="completed", ended=event.at)
            case RunFailed():
                new._run = replace(self._run, state="failed", ended=event.at, error=event.exception)
            case RunCancelled():
                new._run = replace(self._run, state="stopped", ended=event.at)
                for attempt in self._run.attempts:
                    if attempt.state == "running":
                        new._end(attempt.number, event.at, state="stopped", status=None)
            case AttemptSucceeded():
                new._run = self._run
                new._end(event.attempt, event.at, state="answered", finish_reason=event.finish_reason)
                new._run = replace(new._run, chosen=event.attempt)
            case _:
                new._run = self._run.after(event)
        return new

    def _end(self, number: int, at: float, **changes: Any) -> None:
        run = self._run

        def text() -> str:  # joined only if its tokens have to be estimated
            given_up: str = changes.get("given_up", "")
            has_text = not given_up and run.at(number).first_content is not None
            return "".join(self._fragments[run.kept : self._length]) if has_text else given_up

        self._run = run.ended_at(number, at, text, **changes)

    def _clear_text(self) -> None:
        self._fragments, self._length, self._text = [], 0, ""

    def label(self, attempt: Attempt) -> str:
        """Return the name of an attempt's provider, or ``name:model`` if this run asked it for several models."""
        return self._run.label(attempt)

    def raise_for_failure(self) -> None:
        """Raise `RetryProviderError` or `RetryNoProviderError` if the run failed; otherwise do nothing."""
        if self.state == "failed":
            raise self.failure()

    def failure(self) -> RetryProviderError | RetryNoProviderError:
        """Return the exception of a failed run, with a line for each failure in its message, and with every attempt."""
        if not self.attempts:
            return RetryNoProviderError("there was no provider to ask")
        failed = [attempt for attempt in self.attempts if attempt.exception is not None]
        last = self.attempt or self.attempts[-1]
        if last.first_content is not None:
            head = f"{last.provider} broke off after it had begun to answer"
        elif sum(attempt.next_step != "retry" for attempt in failed) < len(self.providers):
            head = "the request itself was refused, so nobody else was asked"
        else:
            head = "every provider failed" if len(failed) > 1 else "the provider failed"
        return RetryProviderError(
            failure_text(head, [(self.label(attempt), attempt.exception) for attempt in failed if attempt.exception]),
            attempts=self.attempts,
            exceptions=self.exceptions,
            answer=self,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dict for JSON: the question, the attempts, the answer, and the time, tokens and cost.

        Texts such as those under ``text``, ``messages`` and ``reasoning`` are not masked; secrets in exceptions are.
        """
        record: dict[str, Any] = {
            "text": self.text,
            "reasoning": self.reasoning,
            "messages": plain(self.messages),
            "provider": self.provider,
            "model": self.model,
            "time_to_first_content": self.time_to_first_content,
            "finish_reason": self.finish_reason,
            "usage": usage_to_json(self.usage) if self.usage else None,
            "cost": self.cost,
            **self._run.to_dict(),
        }
        return {name: value for name, value in record.items() if value is not None}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Answer:
        """Return the answer that `to_dict` made this record from; exceptions come back as `RecordedError`.

        Values that follow from the attempts, such as ``provider`` and ``cost``, are computed from the attempts again.

        Raises:
            ValueError: this is not the record of an answer; the message is one line that says what does not fit.

        Example:
            >>> import json
            >>> answer = Answer()
            >>> Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer
            True
        """
        answer = cls()
        answer._run, text = RunRecord.from_dict(record)
        answer._fragments, answer._length, answer._text = [text], 1, text
        return answer

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Answer):
            return NotImplemented
        return self is other or (hash(self) == hash(other) and self.to_dict() == other.to_dict())

    def __hash__(self) -> int:
        return hash((self.state, self.text, self.started_at, len(self.attempts)))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return what a notebook shows if an answer is the value of a cell."""
        return bundle_of(self)

    def __str__(self) -> str:
        return mask(self.text)

    def __repr__(self) -> str:
        who = f" from {self.provider}" if self.provider else ""
        text = cut_end(mask(self.text), 60)
        return mask(f"<Answer {self.state}{who}, {len(self.attempts)} attempts: {text!r}>")


def fold(events: Iterable[Event]) -> Answer:
    """Fold the events of a whole run into its answer."""
    answer = Answer()
    for event in events:
        answer = answer.apply(event)
    return answer


def failure_text(head: str, failures: Iterable[tuple[str, BaseException]]) -> str:
    """Return a heading and one line ``Name: Type: message`` for each failure."""
    lines = (f"{name}: {' '.join(describe(exception).split())}" for name, exception in failures)
    return "\n".join([f"{head}:", *lines])
