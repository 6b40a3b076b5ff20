"""Check each provider's key, endpoint, model, first content and cooldown, and advise what to do if it cannot answer."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from contextlib import aclosing

from nbretry._utils.exceptions import describe, status_of, type_name
from nbretry._utils.names import split_name
from nbretry._utils.redaction import MASK, mask
from nbretry._utils.text import one_line
from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    EmptyResponseError,
    NbretryError,
    ProviderError,
    RestingError,
    StreamError,
)
from nbretry.events import (
    AttemptFailed,
    AttemptSkipped,
    AttemptStarted,
    FirstContent,
    ReasoningDelta,
    ResponseIdentified,
    UsageReported,
)
from nbretry.providers import probe
from nbretry.providers.http.clients import is_loopback
from nbretry.providers.http.sdk import UNSENDABLE_KEY, SDKProvider
from nbretry.providers.http.sdk_errors import origin
from nbretry.providers.local.provider import LocalProvider
from nbretry.providers.models import is_listed
from nbretry.providers.retry_provider import RetryProvider
from nbretry.providers.services import PRESETS
from nbretry.retry.async_bridge import within
from nbretry.retry.contract import NamedProvider, innermost, resolve_model
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.policy import RetryPolicy
from nbretry.session.advice import LONGEST_ANSWER, LONGEST_NAME, Findings, advice_on
from nbretry.session.diagnosis import Diagnosis
from nbretry.session.session import Session
from nbretry.types import ProviderType

__all__ = ["Diagnosis", "examine", "unconfigured"]

_TIMEOUT = 10.0
_TIMEOUT_ON_THIS_MACHINE = 60.0
"""Seconds; a model on this machine may have to be loaded first."""

_PATIENCE = 1.0
"""Extra seconds for a question: the retry engine enforces the limit, this only catches what it cannot stop."""

_QUESTION = [{"role": "user", "content": "Say OK."}]

_PART_OF_A_KEY = re.compile(r"\S*\*{3,}\S*")
"""A key as some services quote it when they refuse it, with asterisks in the middle."""


async def examine(
    session: Session,
    names: Sequence[str] | None = None,
    *,
    ask: bool = True,
    timeout: float | None = None,  # noqa: ASYNC109 (no exception follows it)
) -> list[Diagnosis]:
    """Check providers, all at the same time.

    Each provider that is asked gets one short question, which is stopped at the first content. The question counts
    towards the session's provider health and budget like any other.

    Args:
        session: the session that knows the providers, their health and the budget.
        names: the providers to check, each ``name`` or ``name:model``; None for the session's default providers.
        ask: whether to ask each provider a question, which may cost a fraction of a cent.
        timeout: seconds within which each provider must begin to answer, and before that half as many for the list of
            its models; None for 10, or for 60 if the model runs on this machine and may have to be loaded.

    Returns:
        One diagnosis for each distinct name, in the order given.

    Raises:
        ConfigError: a name is unknown, or the timeout is not above 0.
    """
    chosen = list(dict.fromkeys(session.default_providers() if names is None else names))
    Deadlines(total=timeout)
    examinations = [_Examination(session, written, session.provider(written), timeout) for written in chosen]
    return list(await asyncio.gather(*(examination.run(ask) for examination in examinations)))


def unconfigured(session: Session, examined: Sequence[str]) -> dict[str, str]:
    """Return the known providers that were not checked, and what each of them needs.

    Args:
        session: the session that knows the providers.
        examined: the providers that were checked, each ``name`` or ``name:model``.

    Returns:
        By name: the environment variable to set, the command that installs the provider, or an empty string if you
        only have to name it.
    """
    left_out = {split_name(written)[0] for written in examined}
    return {name: _what_it_takes(name) for name in session.names() if name not in left_out}


def _what_it_takes(name: str) -> str:
    preset = PRESETS.get(name)
    if preset is None or (preset.on_this_machine and preset.kind != "local"):
        return ""
    return preset.key_variable or f'pip install "nbretry[{name}]"'


class _Examination:
    """The check of one provider."""

    def __init__(self, session: Session, written: str, provider: ProviderType, timeout: float | None) -> None:
        self.session = session
        self.provider = provider
        self.timeout = timeout
        self.found = Findings(written)
        self.hopeless = False
        """Whether asking would fail for the same reason."""
        self.is_slow = False
        """Whether the list of models did not arrive in time."""
        self.asked = False
        self.first_content: float | None = None

    async def run(self, ask: bool) -> Diagnosis:
        """Run all checks and return the diagnosis."""
        provider = innermost(self.provider)
        self.found.model = resolve_model(self.provider, "")
        if isinstance(provider, SDKProvider):
            await self._look_at_endpoint(provider)
        elif isinstance(provider, LocalProvider):
            await self._look_for_file(provider)
        if ask and not self.hopeless:
            await self._ask()
        return self._diagnosis()

    async def _look_at_endpoint(self, provider: SDKProvider) -> None:
        try:
            self.found.url = provider.base_url
        except Exception as error:  # the URL may come from a function of the user, which can raise anything
            self._fail(error, hopeless=True)
        with contextlib.suppress(APITimeoutError):
            await within(self._limit(), provider.look_into_keyring(), "no key")
        self.found.key, self.found.key_variable, self.found.key_source = probe.key_of(provider, self.found.url)
        if self.hopeless or self.found.key == "not set":
            self.hopeless = True
            return
        if not provider.key_can_be_sent:
            self._fail(AuthenticationError(UNSENDABLE_KEY), hopeless=True)
            return
        try:
            await asyncio.to_thread(provider.warm_up)
        except Exception as error:
            if isinstance(error, ProviderError):
                self.found.install = f'pip install "nbretry[{provider.package}]"'
            self._fail(error, hopeless=True)
            return
        limit = self._limit() / 2
        try:
            self.found.models = await within(limit, provider.list_models(limit), "no list of models")
        except StreamError:
            pass  # the response is not a list of models, so nothing is known about the model
        except Exception as error:
            self.is_slow = isinstance(error, APITimeoutError)
            if isinstance(error, APIConnectionError):
                self.found.reachable = False
            elif status_of(error) is not None:
                self.found.reachable = True
            self._fail(error, hopeless=self.found.reachable is False and not self.is_slow)
            return
        self.found.reachable = True
        if self.found.models and not self.found.model and is_loopback(self.found.url or ""):
            self.found.model = self.found.models[0]
        if self.found.models is not None and self.found.model:
            self.found.listed = is_listed(self.found.model, self.found.models)

    async def _look_for_file(self, provider: LocalProvider) -> None:
        self.found.key = "not needed"
        if self.found.model.lower().endswith(".gguf"):
            provider = LocalProvider(self.found.model)
        self.found.model = provider.default_model  # the provider uses it for every other name
        try:
            self.found.listed = await probe.find_local_model(provider)
        except Exception as error:
            if isinstance(error, ProviderError):
                self.found.install = 'pip install "nbretry[local]"'
            self._fail(error, hopeless=True)
            return
        # A question would download the model, which a check must not do on its own.
        self.hopeless = not self.found.listed

    async def _ask(self) -> None:
        self.asked = True
        limit = self._limit() / 2 if self.is_slow else self._limit()
        try:
            # The retry engine enforces the limit; this one catches a provider that only keeps reasoning, or never ends.
            await within(limit, self._question(limit), "no content", grace=_PATIENCE)
        except Exception as error:
            self.found.ask_failure = error
        if self.first_content is not None or self.found.only_thought:
            self.found.ask_failure = None
            self.session.health.succeeded(self.provider)
            self.found.reachable = True if self.found.url else None

    async def _question(self, limit: float) -> None:
        asker = RetryProvider(
            [NamedProvider(self.found.name, self.provider, Deadlines(first_content=limit))],
            shuffle=False,
            policy=RetryPolicy(),
            max_cost=self.session.limited_budget(),
            prices=self.session.prices,
            health=self.session.health,
            clock=self.session.clock,
        )
        thought = False
        started = 0.0
        events = asker.stream_events("", _QUESTION, ignore_stream=True, max_tokens=LONGEST_ANSWER)
        try:
            async with aclosing(events):
                async for event in events:
                    match event:
                        case AttemptStarted():
                            started = event.at
                        case ResponseIdentified():
                            self.found.model = self.found.model or event.model or ""
                        case FirstContent():
                            self.first_content = event.at - started
                            return
                        case ReasoningDelta():
                            thought = True
                        case UsageReported():
                            thought = thought or bool(event.usage.completion_tokens)
                        case AttemptFailed():
                            self.found.ask_failure = event.exception
                        case AttemptSkipped() if not isinstance(event.exception, RestingError):
                            self.found.ask_failure = event.exception
        except NbretryError as error:
            self.found.ask_failure = self.found.ask_failure or error
        self.found.only_thought = thought and isinstance(self.found.ask_failure, EmptyResponseError)

    def _fail(self, error: BaseException, *, hopeless: bool) -> None:
        self.found.failure, self.hopeless = error, hopeless

    def _limit(self) -> float:
        if self.timeout is not None:
            return self.timeout
        here = self.found.url is None or is_loopback(self.found.url)
        return _TIMEOUT_ON_THIS_MACHINE if here and self.found.key is not None else _TIMEOUT

    def _diagnosis(self) -> Diagnosis:
        found = self.found
        resting_for = self.session.health.of(self.provider, found.name).resting_for
        can_answer = self.first_content is not None or found.only_thought
        if not self.asked:
            can_answer = not self.hopeless and found.listed is not False and not _speaks_against(found.failure)
        return Diagnosis(
            provider=found.written,
            can_answer=can_answer,
            key=found.key,
            key_variable=found.key_variable,
            key_source=found.key_source,
            endpoint=mask(origin(found.url)) if found.url else None,
            reachable=found.reachable,
            endpoint_error=_line(found.failure),
            model=mask(one_line(found.model, LONGEST_NAME)),
            listed=found.listed,
            asked=self.asked,
            first_content=self.first_content,
            ask_error=_line(found.ask_failure),
            resting_for=resting_for,
            advice=advice_on(found, can_answer=can_answer, resting_for=resting_for),
        )


def _speaks_against(failure: BaseException | None) -> bool:
    """Return whether this failure to list the models means that a question would fail as well."""
    # Some keys may ask questions but not list the models, and some endpoints have no such list.
    return failure is not None and status_of(failure) not in (403, 404, 405)


def _line(error: BaseException | None) -> str | None:
    if error is None:
        return None
    status = status_of(error)
    if status == 401 or (status is not None and isinstance(error, AuthenticationError)):
        return f"{type_name(error)}: the key is refused"  # the message may quote a part of the key
    return _PART_OF_A_KEY.sub(MASK, one_line(describe(error)))
