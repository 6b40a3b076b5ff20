"""The pure fold from events to an answer: the only place that knows what the answer is now.

``answer = answer.apply(event)`` gives a new `Answer` and leaves the old one as it was. A text fragment costs the same
however long the answer already is: answers of one run share a list of fragments of which each knows its own length.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nbretry._utils.redaction import mask
from nbretry._utils.serialization import Recorded, copied, plain, whole_characters
from nbretry._utils.text import cut_end
from nbretry.attempts import Attempt, AttemptState
from nbretry.errors import RetryNoProviderError, RetryProviderError, failure_text
from nbretry.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    ReasoningDelta,
    ResponseIdentified,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    StatusChanged,
    TextDelta,
    UsageReported,
    usage_to_json,
)
from nbretry.facts import Facts, RunState
from nbretry.prices import estimate_tokens
from nbretry.types import Messages, Usage

__all__ = ["Answer", "Attempt", "AttemptState", "RunState", "fold"]


class Answer(Recorded):
    """What a run has come to so far. Immutable; made by `apply` from the run's events.

    An `Answer()` of which no event is known yet is empty and ``pending``. Two are equal that say the same. It can be
    pickled, and goes through JSON and back by `to_dict` and `from_dict`.

    >>> import asyncio
    >>> from nbretry.testing import simulate
    >>> busy, good = simulate("503", name="busy"), simulate("'Hello' ' world'", name="good")
    >>> answer = asyncio.run(RetryProvider([busy, good], shuffle=False).answer("", "Anybody there?"))
    >>> answer.text, answer.provider, answer.exceptions
    ('Hello world', 'good', {'busy': ServerError('the script says 503')})
    """

    __slots__ = ("_facts", "_fragments", "_length", "_text")

    def __init__(self) -> None:
        self._facts = Facts()
        self._fragments: list[str] = []
        self._length = 0
        self._text: str | None = ""

    @property
    def text(self) -> str:
        """The answer's text: that of the attempt that answers, or was stopped or broke off last."""
        if self._text is None:
            self._text = whole_characters("".join(self._fragments[: self._length]))
        return self._text

    @property
    def code(self) -> str:
        r"""The code in the answer, without the fences around it; empty where there is none.

        >>> from nbretry.events import TextDelta
        >>> Answer().apply(TextDelta(1, "```python\nprint(1)\n```")).code
        'print(1)'
        """
        from nbretry._extract import code_of

        return code_of(self.text)

    def json(self) -> Any:
        """The value of the JSON that the answer is, or has in it.

        Raises:
            AnswerFormatError: there is none, or it is broken; a `ValueError` whose message is one line.

        Example:
            >>> from nbretry.events import TextDelta
            >>> Answer().apply(TextDelta(1, '{"sum": 42}')).json()["sum"]
            42
        """
        from nbretry._extract import json_of

        return json_of(self.text)

    @property
    def messages(self) -> Messages:
        """What was sent, and the answer's text as the last message: a conversation can go on from it. New each time.

        >>> from nbretry.events import TextDelta
        >>> answer = Answer().apply(TextDelta(1, "Hello."))
        >>> [*answer.messages, {"role": "user", "content": "Who are you?"}]
        [{'role': 'assistant', 'content': 'Hello.'}, {'role': 'user', 'content': 'Who are you?'}]
        """
        messages: Messages = [copied(message) for message in self._facts.messages]
        if self.text:
            messages.append({"role": "assistant", "content": self.text})
        return messages

    @property
    def state(self) -> RunState:
        """``pending``, ``running``, ``completed``, ``failed`` or ``stopped``."""
        return self._facts.state

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt in the order of asking."""
        return self._facts.attempts

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that answered, or else the latest; None before the first."""
        return self._facts.attempt

    @property
    def provider(self) -> str | None:
        """Name of the provider whose text this is, or their names where one went on from another's; None while, or
        where, there is none."""
        attempt = self.attempt
        return " + ".join(dict.fromkeys(a.path for a in self._facts.voices)) if attempt and self._facts.voices else None

    @property
    def model(self) -> str | None:
        """Model whose text this is; None while, or where, there is none."""
        voices = self._facts.voices
        return voices[-1].model if voices else None

    @property
    def exceptions(self) -> dict[str, BaseException]:
        """The last exception of each provider by its name; `attempts` has every one."""
        return {a.provider: a.exception for a in self._facts.attempts if a.exception is not None}

    @property
    def usage(self) -> Usage | None:
        """Tokens of the attempt that answered, as its provider counted them, else an estimate that is marked as one."""
        return self.attempt.usage if self.attempt else None

    @property
    def cost(self) -> float | None:
        """US dollars for all attempts, failed and cancelled ones too; None where no attempt's price is known."""
        costs = [attempt.cost for attempt in self._facts.attempts if attempt.cost is not None]
        return sum(costs) if costs else None

    @property
    def cost_estimated(self) -> bool:
        """Whether tokens of `cost` are estimates, or an attempt that used tokens has no known price."""
        return any(attempt.cost_estimated for attempt in self._facts.attempts)

    @property
    def finish_reason(self) -> str | None:
        """Why the model stopped: ``stop``, ``length``, …; None where the provider did not say."""
        return self.attempt.finish_reason if self.attempt else None

    @property
    def reasoning(self) -> str:
        """The model's reasoning, where it gives one; no part of `text`."""
        return self.reasoned_by.reasoning if self.reasoned_by else ""

    @property
    def reasoned_by(self) -> Attempt | None:
        """The attempt whose `reasoning` this is: the last that had one of those whose text this is."""
        return self._facts.reasoned_by

    @property
    def error(self) -> BaseException | None:
        """What the run failed with."""
        return self._facts.error

    @property
    def providers(self) -> tuple[str, ...]:
        """Names of the providers in the order of asking."""
        return self._facts.providers

    @property
    def request_sha256(self) -> str:
        """Hash of model and messages, the same for the same question; empty before the run has begun."""
        return self._facts.request_sha256

    @property
    def started_at(self) -> float | None:
        """Seconds since the epoch."""
        return self._facts.started_at

    @property
    def time_to_first_content(self) -> float | None:
        """Seconds from the question to the first content of `text`, failed attempts and waiting included."""
        voices = self._facts.voices
        return voices[0].first_content if voices else None

    @property
    def duration(self) -> float | None:
        """Seconds from the question to the end; None while it runs."""
        return self._facts.ended

    def apply(self, event: Event) -> Answer:
        """The answer after this event.

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
            new._facts = self._facts
            new._fragments = fragments
            new._length = length + 1
            new._text = None
            return new
        new._fragments, new._length, new._text = self._fragments, self._length, self._text
        match event:
            case RunStarted():
                new._facts = Facts(
                    state="running",
                    started_at=event.started_at,
                    providers=event.providers,
                    request_sha256=event.request_sha256,
                    messages=event.messages,
                )
                new._clear_text()
            case AttemptStarted():
                attempt = Attempt(
                    event.attempt,
                    event.provider,
                    event.model,
                    event.at,
                    price=event.price,
                    prompt_tokens=event.prompt_tokens,
                )
                new._facts = replace(self._facts, attempts=(*self._facts.attempts, attempt))
            case AttemptSkipped():
                attempt = Attempt(
                    event.attempt,
                    event.provider,
                    event.model,
                    event.at,
                    state="skipped",
                    ended=event.at,
                    exception=event.exception,
                )
                new._facts = replace(self._facts, attempts=(*self._facts.attempts, attempt))
            case AttemptCancelled():
                new._facts = self._facts
                new._end(event.attempt, event.at, state="cancelled", status=event.reason)
            case AttemptFailed():
                new._facts = self._facts
                had_content = self._facts.at(event.attempt).first_content is not None
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
                    new._facts = replace(new._facts, chosen=0, kept=new._length)
            case RunCompleted():
                new._facts = replace(self._facts, state="completed", ended=event.at)
            case RunFailed():
                new._facts = replace(self._facts, state="failed", ended=event.at, error=event.exception)
            case RunCancelled():
                new._facts = replace(self._facts, state="stopped", ended=event.at)
                for attempt in self._facts.attempts:
                    if attempt.state == "running":
                        new._end(attempt.number, event.at, state="stopped", status=None)
            case _:
                new._facts = self._facts
                new._note(event)
        return new

    def _note(self, event: Event) -> None:
        match event:
            case FirstContent():
                self._update(event.attempt, first_content=event.at, status=None)
                self._facts = replace(self._facts, chosen=event.attempt)
            case StatusChanged():
                self._update(event.attempt, status=event.text)
            case ReasoningDelta():
                reasoning = self._facts.at(event.attempt).reasoning + whole_characters(event.text)
                self._update(event.attempt, reasoning=reasoning)
            case UsageReported():
                self._update(event.attempt, usage=event.usage)
            case ResponseIdentified():
                attempt = self._facts.at(event.attempt)
                self._update(
                    event.attempt,
                    model=event.model or attempt.model,
                    request_id=event.request_id or attempt.request_id,
                    passed_to=event.provider or attempt.passed_to,
                )
            case AttemptSucceeded():
                self._end(event.attempt, event.at, state="answered", finish_reason=event.finish_reason)
                self._facts = replace(self._facts, chosen=event.attempt)

    def _update(self, number: int, **changes: Any) -> None:
        self._facts = self._facts.updated(number, **changes)

    def _end(self, number: int, at: float, **changes: Any) -> None:
        """The end of an attempt; tokens that its provider has not counted are estimated."""
        self._update(number, ended=at, **changes)
        attempt = self._facts.at(number)
        if attempt.prompt_tokens is not None and attempt.is_paid:
            self._update(number, usage=self._usage_of(attempt))

    def _usage_of(self, attempt: Attempt) -> Usage:
        said = attempt.usage or Usage()
        if said.completion_tokens is not None:
            return said
        begun = self._facts.kept
        text = attempt.given_up
        if not text and attempt.first_content is not None:
            text = "".join(self._fragments[begun : self._length])
        prompt = attempt.prompt_tokens if said.prompt_tokens is None else said.prompt_tokens
        return Usage(prompt, estimate_tokens(text + attempt.reasoning), estimated=True)

    def _clear_text(self) -> None:
        self._fragments, self._length, self._text = [], 0, ""

    def label(self, attempt: Attempt) -> str:
        """Whom an attempt asked: the provider's name, and ``name:model`` where this run asked it for several."""
        models = {one.model for one in self._facts.attempts if one.provider == attempt.provider}
        return f"{attempt.provider}:{attempt.model}" if len(models) > 1 and attempt.model else attempt.provider

    def raise_for_failure(self) -> None:
        """Raise `RetryProviderError` or `RetryNoProviderError` if the run failed, and do nothing else."""
        if self.state == "failed":
            raise self.failure()

    def failure(self) -> RetryProviderError | RetryNoProviderError:
        """The error that a failed run ends with: a line for each provider, and every attempt on it."""
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
        """A plain dict for JSON: the record of what was asked, who was asked, who answered and what it took.

        Texts, as those under ``text``, ``messages`` and ``reasoning``, are as they are; secrets in exceptions are
        masked.
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
            **self._facts.to_dict(),
        }
        return {name: value for name, value in record.items() if value is not None}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Answer:
        """The answer of which `to_dict` made this record; exceptions come back as `RecordedError`.

        What can be told from the attempts, as ``provider`` and ``cost``, is told from them.

        Raises:
            ValueError: it is no such record; the message is one line that says what does not fit.

        Example:
            >>> import json
            >>> answer = Answer()
            >>> Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer
            True
        """
        answer = cls()
        answer._facts, text = Facts.from_dict(record)
        answer._fragments, answer._length, answer._text = [text], 1, text
        return answer

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Answer):
            return NotImplemented
        return self is other or (hash(self) == hash(other) and self.to_dict() == other.to_dict())

    def __hash__(self) -> int:
        return hash((self.state, self.text, self.started_at, len(self.attempts)))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """How a notebook shows an answer that is a cell's value."""
        # By its name, as this floor is below the renderers: only what shows an answer needs them.
        bundle: dict[str, str] = importlib.import_module("nbretry.renderers.answer").answer_bundle(self)
        return bundle

    def __str__(self) -> str:
        return mask(self.text)

    def __repr__(self) -> str:
        who = f" from {self.provider}" if self.provider else ""
        text = cut_end(mask(self.text), 60)
        return mask(f"<Answer {self.state}{who}, {len(self.attempts)} attempts: {text!r}>")


def fold(events: Iterable[Event]) -> Answer:
    """The answer that a whole run's events come to."""
    answer = Answer()
    for event in events:
        answer = answer.apply(event)
    return answer
