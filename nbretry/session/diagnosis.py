"""What is known of one provider after it was examined."""

from __future__ import annotations

from dataclasses import dataclass

from nbretry.providers.keys import KeyState

__all__ = ["Diagnosis"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One provider: what it needs, whether it is there, whether it answers. No key is in it, and secrets are masked.

    Attributes:
        provider: its name as it was written: ``name`` or ``name:model``.
        can_answer: whether it answered; where it was not asked, whether nothing is known that speaks against it.
        key: whether its key is there; None for a provider of which that is not known.
        key_variable: environment variable that the key is looked for in; None where there is none.
        key_source: where the key is, as for `nbretry.providers.keys.FoundKey`; None where that is not known.
        endpoint: scheme, host and port of where it is; None for a provider without an endpoint.
        reachable: whether the endpoint answered anything at all; None where none was called.
        endpoint_error: why the endpoint could not be used, in one line.
        model: what is asked where no model is named; empty where that is not known.
        listed: whether the endpoint lists that model, or its file is on this machine; None where that is not known.
        asked: whether the provider was asked.
        first_content: seconds from asking to the first content.
        ask_error: ``Type: message`` of what asking failed with, in one line.
        resting_for: seconds that it still rests after failures.
        advice: what to do, in one line; None where there is nothing to do.
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
        """Why it cannot answer, in one line; None where nothing failed."""
        return self.ask_error or self.endpoint_error
