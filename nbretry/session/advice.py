"""Advise what to do about a provider that cannot answer, based on the findings of its check."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from nbretry._utils.names import split_name
from nbretry._utils.redaction import mask
from nbretry._utils.text import one_line
from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    CostLimitError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from nbretry.providers.http.clients import is_loopback
from nbretry.providers.http.sdk_errors import origin
from nbretry.providers.keys import KeyState
from nbretry.providers.local.model import DEFAULT_MODEL
from nbretry.providers.services import PRESETS, how_to_set
from nbretry.retry.classify import retry_after_of

__all__ = ["LONGEST_ANSWER", "LONGEST_NAME", "Findings", "advice_on"]

LONGEST_ANSWER = 256
"""Maximum tokens of the answer to the doctor's question.

The answer is stopped at its first content, but a reasoning model needs tokens before it gets there.
"""

LONGEST_NAME = 80
"""Maximum characters of a model's name that are shown."""


@dataclass(slots=True)
class Findings:
    """What the check of one provider has found so far.

    Attributes:
        written: the name as you wrote it: ``name`` or ``name:model``.
        key: state of its key; None if unknown.
        key_variable: environment variable of its key.
        key_source: where the key was found.
        url: URL of the endpoint.
        reachable: whether the endpoint responded at all.
        failure: exception raised while checking the endpoint or looking for the model's file.
        model: model that is asked; empty if unknown.
        models: models that the endpoint lists.
        listed: whether the model is among them, or its file is on this machine.
        ask_failure: exception that asking failed with.
        only_thought: whether the model sent reasoning but no content.
        install: command that installs what is missing.
    """

    written: str
    key: KeyState | None = None
    key_variable: str | None = None
    key_source: str | None = None
    url: str | None = None
    reachable: bool | None = None
    failure: BaseException | None = None
    model: str = ""
    models: list[str] | None = None
    listed: bool | None = None
    ask_failure: BaseException | None = None
    only_thought: bool = False
    install: str | None = None

    @property
    def name(self) -> str:
        """The provider's own name, without the model; all its models share its cooldown."""
        return split_name(self.written)[0]

    @property
    def has_own_model(self) -> bool:
        """Whether the written name includes a model, which takes precedence over ``-m``."""
        return bool(split_name(self.written)[1])


def advice_on(found: Findings, *, can_answer: bool, resting_for: float) -> str | None:
    """Return what to do about a provider, in one line; None if there is nothing to do or nothing known would help.

    Args:
        found: findings of the check.
        can_answer: whether the provider can answer.
        resting_for: seconds that the provider is still cooling down after failures.
    """
    if found.only_thought:
        return f"it thought for all of its {LONGEST_ANSWER} tokens: leave it more when you ask"
    if can_answer:
        return f"%nbretry reset {found.name} ends its rest" if resting_for else None
    if found.key == "not set" and found.key_variable:
        return how_to_set(found.key_variable, found.key_variable)
    if found.install:
        return found.install
    if found.key is not None and found.url is None and found.listed is False:
        size = round(DEFAULT_MODEL.download_size / 1e6)
        return f"fetch its model ({size} MB) with: nbretry pull; the first question does that, too"
    error = found.ask_failure or found.failure
    if error is None:
        return _advice_on_model(found)
    return _advice_after(found, error)


def _advice_after(found: Findings, error: BaseException) -> str | None:
    preset = PRESETS.get(found.name)
    variable = preset.base_url_variable if preset else None
    if found.url is None and found.key is not None:
        return f"set {variable} to the address of the endpoint" if variable else None
    match error:
        case CostLimitError():
            return "the session's budget is spent: raise its limit"
        case AuthenticationError():
            return f"put a valid key into {found.key_variable}" if found.key_variable else "give it a valid key"
        case PermissionDeniedError(status_code=402 | 429):
            return "its account has no credit left: add some"
        case PermissionDeniedError():
            with_option = "" if found.has_own_model else " with -m"
            return f"use a key that may ask for this model, or name another model{with_option}"
        case NotFoundError() | BadRequestError():
            return _advice_on_model(found)
        case RateLimitError():
            after = retry_after_of(error)
            return f"ask it again after {after:.0f} s" if after else "ask it again later"
        case APITimeoutError():
            return "ask it again later, or give it longer with --timeout"
        case APIConnectionError() if found.url and is_loopback(found.url):
            return f"start the server at {mask(origin(found.url))}"
        case APIConnectionError() if found.url:
            address = f", and {variable}, where it is set" if variable else ""
            return f"look at the network and its proxy{address}"
        case ServerError():
            return "ask it again later: the fault is its own"
    return None


def _advice_on_model(found: Findings) -> str:
    near = _nearest_model(found) or "MODEL"
    option = f"-p {found.name}:{near}" if found.has_own_model else f"-m {near}"
    return f"name a model that it has, as {option}"


def _nearest_model(found: Findings) -> str:
    """Return the listed model with the name closest to the requested one, or else the first; empty if there is none."""
    models = found.models or []
    near = difflib.get_close_matches(found.model, models, n=1, cutoff=0.3) or models[:1]
    return mask(one_line(near[0], LONGEST_NAME)) if near else ""
