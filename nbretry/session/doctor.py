"""Examines providers: key, endpoint, model, first content, rest; and says what to do where one cannot answer."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import difflib
import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from nbretry._utils.names import split_name
from nbretry._utils.redaction import MASK, mask
from nbretry._utils.text import one_line
from nbretry.config.converters import to_seconds
from nbretry.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    CostLimitError,
    EmptyResponseError,
    NbretryError,
    NotFoundError,
    PermissionDeniedError,
    ProviderError,
    RateLimitError,
    RestingError,
    ServerError,
    StreamError,
    describe,
    status_of,
    type_name,
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
from nbretry.providers.local.model import DEFAULT_MODEL
from nbretry.providers.local.provider import LocalProvider
from nbretry.providers.models import is_listed
from nbretry.providers.retry_provider import RetryProvider
from nbretry.providers.services import PRESETS, how_to_set
from nbretry.retry.async_bridge import within
from nbretry.retry.classify import retry_after_of
from nbretry.retry.contract import NamedProvider, innermost, resolve_model
from nbretry.retry.deadlines import Deadlines
from nbretry.retry.policy import RetryPolicy
from nbretry.session.diagnosis import Diagnosis, KeyState
from nbretry.session.session import Session
from nbretry.types import ProviderType

__all__ = ["Diagnosis", "add_arguments", "examine", "names_in", "unconfigured"]

_TIMEOUT = 10.0
_TIMEOUT_ON_THIS_MACHINE = 60.0
"""Seconds; a model on this machine may have to be loaded first."""

_PATIENCE = 1.0
"""Seconds more for a question, which looks after its limit by itself."""

_LONGEST_ANSWER = 256
"""Tokens. It is closed at its first content; a model that thinks unseen needs some before that."""

_QUESTION = [{"role": "user", "content": "Say OK."}]

_LONGEST_NAME = 80

_PART_OF_A_KEY = re.compile(r"\S*\*{3,}\S*")
"""Services quote the key that they refuse with its middle starred out."""


async def examine(
    session: Session,
    names: Sequence[str] | None = None,
    *,
    ask: bool = True,
    timeout: float | None = None,  # noqa: ASYNC109 (no exception follows it)
) -> list[Diagnosis]:
    """Examine providers, all at the same time.

    Each one that is asked gets one short question, which is stopped at its first content; it counts for the session's
    health and budget as any other.

    Args:
        session: where the providers are known, and how they have done.
        names: whom to examine, each ``name`` or ``name:model``; None for those that are asked where nobody is named.
        ask: whether to ask each of them, which may cost a fraction of a cent.
        timeout: seconds that each has to begin to answer, and half as many before for the list of its models; None for
            10, or for 60 where the model is on this machine and may have to be loaded.

    Returns:
        One for each name as it is written, in their order.

    Raises:
        ConfigError: a name is unknown, or the timeout is not above 0.
    """
    chosen = list(dict.fromkeys(session.default_providers() if names is None else names))
    Deadlines(total=timeout)
    examinations = [_Examination(session, written, session.provider(written), timeout) for written in chosen]
    return list(await asyncio.gather(*(examination.run(ask) for examination in examinations)))


def unconfigured(session: Session, examined: Sequence[str]) -> dict[str, str]:
    """Known providers that were not examined, and what each would take.

    Args:
        session: where the providers are known.
        examined: who is left out, each ``name`` or ``name:model``.

    Returns:
        By name: the environment variable to set, the command that installs it, or nothing where it only has to be
        named.
    """
    left_out = {split_name(written)[0] for written in examined}
    return {name: _what_it_takes(name) for name in session.names() if name not in left_out}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a parser take what the command line and the magic have in common."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="whom to examine; by default all that are configured")
    parser.add_argument(
        "--no-ask", dest="ask", action="store_false", help="ask nobody: it may cost a fraction of a cent"
    )
    parser.add_argument("--timeout", type=to_seconds, default=None, metavar="S", help="seconds that each provider has")


def names_in(words: Sequence[str]) -> list[str] | None:
    """Names that were typed with spaces or commas between; None where there are none."""
    return [name for word in words for name in word.split(",") if name] or None


def _what_it_takes(name: str) -> str:
    preset = PRESETS.get(name)
    if preset is None or (preset.on_this_machine and preset.kind != "local"):
        return ""
    return preset.key_variable or f'pip install "nbretry[{name}]"'


@dataclass(slots=True)
class _Examination:
    """One provider, and what has been found about it so far."""

    session: Session
    written: str
    """``name``, or ``name:model``."""
    provider: ProviderType
    timeout: float | None
    key: KeyState | None = None
    key_variable: str | None = None
    key_source: str | None = None
    url: str | None = None
    reachable: bool | None = None
    failure: BaseException | None = None
    """Of looking at the endpoint or for the file."""
    hopeless: bool = False
    """Whether asking would fail for the same reason."""
    is_slow: bool = False
    """Whether the list of models did not come in time."""
    model: str = ""
    models: list[str] | None = None
    listed: bool | None = None
    asked: bool = False
    first_content: float | None = None
    ask_failure: BaseException | None = None
    only_thought: bool = False
    install: str | None = None

    @property
    def name(self) -> str:
        """The provider's own, by which it asks and rests, whatever the model."""
        return split_name(self.written)[0]

    @property
    def _has_own_model(self) -> bool:
        """Whether it is named with a model, which counts more than that of ``-m``."""
        return bool(split_name(self.written)[1])

    async def run(self, ask: bool) -> Diagnosis:
        """Find out everything."""
        provider = innermost(self.provider)
        self.model = resolve_model(self.provider, "")
        if isinstance(provider, SDKProvider):
            await self._look_at_endpoint(provider)
        elif isinstance(provider, LocalProvider):
            await self._look_for_file(provider)
        if ask and not self.hopeless:
            await self._ask()
        return self._diagnosis()

    async def _look_at_endpoint(self, provider: SDKProvider) -> None:
        try:
            self.url = provider.base_url
        except Exception as error:  # it may be given by a function of the user's own
            self._fail(error, hopeless=True)
        with contextlib.suppress(APITimeoutError):
            await within(self._limit(), provider.look_into_keyring(), "no key")
        self.key, self.key_variable, self.key_source = probe.key_of(provider, self.url)
        if self.hopeless or self.key == "not set":
            self.hopeless = True
            return
        if not provider.key_can_be_sent:
            self._fail(AuthenticationError(UNSENDABLE_KEY), hopeless=True)
            return
        try:
            await asyncio.to_thread(provider.warm_up)
        except Exception as error:
            if isinstance(error, ProviderError):
                self.install = f'pip install "nbretry[{provider.package}]"'
            self._fail(error, hopeless=True)
            return
        limit = self._limit() / 2
        try:
            self.models = await within(limit, provider.list_models(limit), "no list of models")
        except StreamError:
            pass  # what came is no list, so that nothing is known of the model
        except Exception as error:
            self.is_slow = isinstance(error, APITimeoutError)
            if isinstance(error, APIConnectionError):
                self.reachable = False
            elif status_of(error) is not None:
                self.reachable = True
            self._fail(error, hopeless=self.reachable is False and not self.is_slow)
            return
        self.reachable = True
        if self.models and not self.model and is_loopback(self.url or ""):
            self.model = self.models[0]
        if self.models is not None and self.model:
            self.listed = is_listed(self.model, self.models)

    async def _look_for_file(self, provider: LocalProvider) -> None:
        self.key = "not needed"
        if self.model.lower().endswith(".gguf"):
            provider = LocalProvider(self.model)
        self.model = provider.default_model  # which any other name stands for
        try:
            self.listed = await probe.find_local_model(provider)
        except Exception as error:
            if isinstance(error, ProviderError):
                self.install = 'pip install "nbretry[local]"'
            self._fail(error, hopeless=True)
            return
        # Asking would fetch it, which is more than an examination may do unasked.
        self.hopeless = not self.listed

    async def _ask(self) -> None:
        self.asked = True
        limit = self._limit() / 2 if self.is_slow else self._limit()
        try:
            # The engine looks after the limit; the one here is for a provider that goes on thinking, or does not end.
            await within(limit, self._question(limit), "no content", grace=_PATIENCE)
        except Exception as error:
            self.ask_failure = error
        if self.first_content is not None or self.only_thought:
            self.ask_failure = None
            self.session.health.succeeded(self.provider)
            self.reachable = True if self.url else None

    async def _question(self, limit: float) -> None:
        asker = RetryProvider(
            [NamedProvider(self.name, self.provider, Deadlines(first_content=limit))],
            shuffle=False,
            policy=RetryPolicy(),
            max_cost=self.session.limited_budget(),
            prices=self.session.prices,
            health=self.session.health,
            clock=self.session.clock,
        )
        thought = False
        started = 0.0
        events = asker.stream_events("", _QUESTION, ignore_stream=True, max_tokens=_LONGEST_ANSWER)
        try:
            async with aclosing(events):
                async for event in events:
                    match event:
                        case AttemptStarted():
                            started = event.at
                        case ResponseIdentified():
                            self.model = self.model or event.model or ""
                        case FirstContent():
                            self.first_content = event.at - started
                            return
                        case ReasoningDelta():
                            thought = True
                        case UsageReported():
                            thought = thought or bool(event.usage.completion_tokens)
                        case AttemptFailed():
                            self.ask_failure = event.exception
                        case AttemptSkipped() if not isinstance(event.exception, RestingError):
                            self.ask_failure = event.exception
        except NbretryError as error:
            self.ask_failure = self.ask_failure or error
        self.only_thought = thought and isinstance(self.ask_failure, EmptyResponseError)

    def _fail(self, error: BaseException, *, hopeless: bool) -> None:
        self.failure, self.hopeless = error, hopeless

    def _limit(self) -> float:
        if self.timeout is not None:
            return self.timeout
        here = self.url is None or is_loopback(self.url)
        return _TIMEOUT_ON_THIS_MACHINE if here and self.key is not None else _TIMEOUT

    def _diagnosis(self) -> Diagnosis:
        resting_for = self.session.health.of(self.provider, self.name).resting_for
        can_answer = self.first_content is not None or self.only_thought
        if not self.asked:
            can_answer = not self.hopeless and self.listed is not False and not _speaks_against(self.failure)
        return Diagnosis(
            provider=self.written,
            can_answer=can_answer,
            key=self.key,
            key_variable=self.key_variable,
            key_source=self.key_source,
            endpoint=mask(origin(self.url)) if self.url else None,
            reachable=self.reachable,
            endpoint_error=_line(self.failure),
            model=mask(one_line(self.model, _LONGEST_NAME)),
            listed=self.listed,
            asked=self.asked,
            first_content=self.first_content,
            ask_error=_line(self.ask_failure),
            resting_for=resting_for,
            advice=self._advice(can_answer, resting_for),
        )

    def _advice(self, can_answer: bool, resting_for: float) -> str | None:
        if self.only_thought:
            return f"it thought for all of its {_LONGEST_ANSWER} tokens: leave it more when you ask"
        if can_answer:
            return f"%nbretry reset {self.name} ends its rest" if resting_for else None
        if self.key == "not set" and self.key_variable:
            return how_to_set(self.key_variable, self.key_variable)
        if self.install:
            return self.install
        if self.key is not None and self.url is None and self.listed is False:
            size = round(DEFAULT_MODEL.download_size / 1e6)
            return f"fetch its model ({size} MB) with: nbretry pull; the first question does that, too"
        error = self.ask_failure or self.failure
        if error is None:
            return self._advice_on_model()
        return self._advice_after(error)

    def _advice_after(self, error: BaseException) -> str | None:
        preset = PRESETS.get(self.name)
        variable = preset.base_url_variable if preset else None
        if self.url is None and self.key is not None:
            return f"set {variable} to the address of the endpoint" if variable else None
        match error:
            case CostLimitError():
                return "the session's budget is spent: raise its limit"
            case AuthenticationError():
                return f"put a valid key into {self.key_variable}" if self.key_variable else "give it a valid key"
            case PermissionDeniedError(status_code=402 | 429):
                return "its account has no credit left: add some"
            case PermissionDeniedError():
                with_option = "" if self._has_own_model else " with -m"
                return f"use a key that may ask for this model, or name another model{with_option}"
            case NotFoundError() | BadRequestError():
                return self._advice_on_model()
            case RateLimitError():
                after = retry_after_of(error)
                return f"ask it again after {after:.0f} s" if after else "ask it again later"
            case APITimeoutError():
                return "ask it again later, or give it longer with --timeout"
            case APIConnectionError() if self.url and is_loopback(self.url):
                return f"start the server at {mask(origin(self.url))}"
            case APIConnectionError() if self.url:
                address = f", and {variable}, where it is set" if variable else ""
                return f"look at the network and its proxy{address}"
            case ServerError():
                return "ask it again later: the fault is its own"
        return None

    def _advice_on_model(self) -> str:
        near = self._near() or "MODEL"
        option = f"-p {self.name}:{near}" if self._has_own_model else f"-m {near}"
        return f"name a model that it has, as {option}"

    def _near(self) -> str:
        """The served model whose name is nearest to the one that is asked for."""
        models = self.models or []
        near = difflib.get_close_matches(self.model, models, n=1, cutoff=0.3) or models[:1]
        return mask(one_line(near[0], _LONGEST_NAME)) if near else ""


def _speaks_against(failure: BaseException | None) -> bool:
    """Whether what came in place of a list of models tells that a question would fail, too."""
    # Some keys may ask, and may not look at the list; some endpoints have no list.
    return failure is not None and status_of(failure) not in (403, 404, 405)


def _line(error: BaseException | None) -> str | None:
    if error is None:
        return None
    status = status_of(error)
    if status == 401 or (status is not None and isinstance(error, AuthenticationError)):
        return f"{type_name(error)}: the key is refused"  # whoever refuses a key may quote a part of it
    return _PART_OF_A_KEY.sub(MASK, one_line(describe(error)))
