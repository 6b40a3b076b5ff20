"""The result of checking one provider."""

from __future__ import annotations

from dataclasses import dataclass

from nbretry.providers.keys import KeyState

__all__ = ["Diagnosis"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What one provider needs, whether that is present, and whether the provider answers.

    A diagnosis contains no key, and secrets in it are masked.

    Attributes:
        provider: the name as you wrote it: ``name`` or ``name:model``.
        can_answer: whether it answered; if it was not asked, whether nothing is known that would prevent an answer.
        key: state of its key; None if unknown.
        key_variable: environment variable to look up the key in; None if there is none.
        key_source: where the key was found, as in `nbretry.providers.keys.FoundKey`; None if unknown.
        endpoint: scheme, host and port of the endpoint; None for a provider without one.
        reachable: whether the endpoint responded at all; None if it was not contacted.
        endpoint_error: why the endpoint, or the file of a local model, could not be used, in one line; None if nothing
            failed.
        model: model that is asked if you name none; empty if unknown.
        listed: whether the endpoint lists that model, or its file is on this machine; None if unknown.
        asked: whether the provider was asked a question.
        first_content: seconds from asking to the first content; None if there was none.
        ask_error: ``Type: message`` of the exception that asking failed with, in one line; None if it did not fail.
        resting_for: seconds that the provider is still cooling down after failures.
        advice: what to do, in one line; None if there is nothing to do.
    """

    provider: str
    can_answer: bool
    key: KeyState | None = None
    key_variable: str | None = None
    key_source: str | None = None
    endpoint: str | None = None
    reachable: bool | None = None
    endpoint_error: str | None = None
    model: str = ""
    listed: bool | None = None
    asked: bool = False
    first_content: float | None = None
    ask_error: str | None = None
    resting_for: float = 0.0
    advice: str | None = None

    @property
    def error(self) -> str | None:
        """Why it cannot answer, in one line; None if nothing failed."""
        return self.ask_error or self.endpoint_error
