"""OpenTelemetry for runs: a client span and its metrics for each attempt, by the semantic conventions for GenAI.

An `Observer` receives the events of one run. It never makes its spans current, because a generator runs in the context
of its caller: each span is a child of the one that was current when the observer was created. Texts of prompts and
answers are not recorded. OpenTelemetry is only imported if the process has loaded it itself, if an environment variable
names one of its providers, or if the caller passes one.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbretry._utils.exceptions import describe, type_name
from nbretry._utils.redaction import mask
from nbretry._version import __version__
from nbretry.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    ResponseIdentified,
    UsageReported,
)
from nbretry.types import Usage

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram, Meter, MeterProvider
    from opentelemetry.trace import Span, SpanContext, Tracer, TracerProvider

__all__ = ["Observer", "new_observer"]

logger = logging.getLogger("nbretry")

_OPERATION = "chat"
_CANCELLED = "cancelled"

# Names in the spelling of the conventions; the keys are reduced to lower-case letters and digits.
_WELL_KNOWN_PROVIDERS: Mapping[str, str] = {
    "anthropic": "anthropic",
    "azure": "azure.ai.openai",
    "azureopenai": "azure.ai.openai",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "gemini": "gcp.gemini",
    "groq": "groq",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "moonshot": "moonshot_ai",
    "moonshotai": "moonshot_ai",
    "openai": "openai",
    "perplexity": "perplexity",
    "xai": "x_ai",
}

_PROVIDER_SETTINGS = ("OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER")
_IDLE_PROVIDERS = {"ProxyTracerProvider", "NoOpTracerProvider", "_ProxyMeterProvider", "NoOpMeterProvider"}

_SECONDS = [0.01 * 2**power for power in range(14)]
_TOKENS = [4**power for power in range(14)]


def new_observer(
    *,
    stream: bool = True,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Observer | None:
    """Return an observer for one run. Call it where the run begins, in the context of the run's caller.

    Args:
        stream: whether the answer is streamed; if not, the time to the first chunk is not recorded.
        tracer_provider: where spans go; the process's own by default.
        meter_provider: where measurements go; the process's own by default.

    Returns:
        The observer. None if it would have no effect: ``opentelemetry-api`` is not installed or fails, or no provider
        is given and the process has configured none.
    """
    try:
        if tracer_provider is None and meter_provider is None and not _is_configured():
            return None
        from opentelemetry import context, metrics, trace

        meter_provider = meter_provider or metrics.get_meter_provider()
        instruments = _instruments(
            tracer_provider or trace.get_tracer_provider(), None if _is_idle(meter_provider) else meter_provider
        )
        return Observer(instruments, context.get_current(), stream)
    except Exception as error:  # telemetry must never break a run
        logger.debug("OpenTelemetry cannot be used: %s", describe(error))
        return None


class Observer:
    """The telemetry of one run: turns its events into spans and measurements. Created by `new_observer`.

    It raises nothing: errors inside OpenTelemetry are logged at debug level. Unknown events are ignored.
    """

    def __init__(self, instruments: _Instruments, parent: Context, stream: bool) -> None:
        self._instruments = instruments
        self._parent = parent
        self._stream = stream
        self._open: dict[int, _OpenAttempt] = {}
        self._previous: SpanContext | None = None

    def __call__(self, event: Event) -> None:
        """Record an event.

        Args:
            event: an event of this run; pass events in the order in which they happened. Attempts may overlap.
        """
        try:
            self._note(event)
        except Exception as error:
            logger.debug("OpenTelemetry failed on %s: %s", type(event).__name__, describe(error))

    def end(self, exception: BaseException | None = None) -> None:
        """End the spans of all attempts that are still open; do nothing if none is.

        Args:
            exception: what ended the run. An `Exception` is the failure of the attempts; anything else, such as a
                cancelled task, a closed generator or None, means that they were cancelled.
        """
        for number in list(self._open):
            try:
                attempt = self._open.pop(number)
                seconds = time.perf_counter() - attempt.begun
                if isinstance(exception, Exception):
                    self._end(attempt, seconds, type_name(exception), _one_line(exception))
                else:
                    self._end(attempt, seconds, _CANCELLED, _CANCELLED)
            except Exception as error:
                logger.debug("OpenTelemetry failed at the end of a run: %s", describe(error))

    def _note(self, event: Event) -> None:
        if isinstance(event, AttemptStarted):
            self._start(event)
            return
        number = getattr(event, "attempt", 0)
        attempt = self._open.get(number)
        if attempt is None:
            return
        match event:
            case FirstContent():
                attempt.first_content = event.at - attempt.started
            case ResponseIdentified():
                if event.model:
                    attempt.attributes["gen_ai.response.model"] = mask(str(event.model))
                if event.request_id:
                    attempt.span.set_attribute("gen_ai.response.id", mask(str(event.request_id)))
            case UsageReported() if not event.usage.estimated:  # the conventions only want the provider's own counts
                attempt.usage = event.usage
            case AttemptSucceeded():
                if event.finish_reason:
                    attempt.span.set_attribute("gen_ai.response.finish_reasons", [mask(event.finish_reason)])
                self._end(self._open.pop(number), event.at - attempt.started)
            case AttemptFailed():
                attempt.span.set_attribute("nbretry.attempt.next_step", event.next_step)
                attempt.span.set_attribute("nbretry.attempt.wait_for", float(event.wait_for))
                error_type = type_name(event.exception)
                seconds = event.at - attempt.started
                self._end(self._open.pop(number), seconds, error_type, _one_line(event.exception))
            case AttemptCancelled():
                self._end(self._open.pop(number), event.at - attempt.started, _CANCELLED, mask(event.reason))

    def _start(self, event: AttemptStarted) -> None:
        from opentelemetry.trace import Link, SpanKind

        model = mask(event.model)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": _OPERATION,
            "gen_ai.provider.name": _well_known(event.provider),
        }
        if model:
            attributes["gen_ai.request.model"] = model
        of_span = {**attributes, "nbretry.attempt.number": event.attempt}
        if self._stream:
            of_span["gen_ai.request.stream"] = True
        span = self._instruments.tracer.start_span(
            f"{_OPERATION} {model}" if model else _OPERATION,
            context=self._parent,
            kind=SpanKind.CLIENT,
            attributes=of_span,
            # If the caller has no span, only this link shows that the attempts belong to one run.
            links=[Link(self._previous)] if self._previous is not None else [],
        )
        self._previous = span.get_span_context()
        self._open[event.attempt] = _OpenAttempt(span, attributes, event.at, time.perf_counter())

    def _end(self, attempt: _OpenAttempt, seconds: float, error_type: str = "", description: str = "") -> None:
        from opentelemetry.trace import Status, StatusCode

        span = attempt.span
        try:
            if error_type:
                span.set_attribute("error.type", error_type)
                span.set_status(Status(StatusCode.ERROR, description))
            span.set_attributes(attempt.attributes)
            of_failure = {"error.type": error_type} if error_type else {}
            self._instruments.duration.record(seconds, {**attempt.attributes, **of_failure})
            if self._stream and attempt.first_content is not None:
                span.set_attribute("gen_ai.response.time_to_first_chunk", attempt.first_content)
                self._instruments.time_to_first_chunk.record(attempt.first_content, attempt.attributes)
            usage = attempt.usage or Usage()
            for token_type, count in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
                if isinstance(count, int):
                    span.set_attribute(f"gen_ai.usage.{token_type}_tokens", count)
                    self._instruments.token_usage.record(count, {**attempt.attributes, "gen_ai.token.type": token_type})
        finally:
            span.end()


@dataclass(slots=True)
class _OpenAttempt:
    """An attempt that has not ended yet.

    Attributes:
        attributes: the attributes that span and measurements share.
        started: when the attempt started, in seconds by the run's clock.
        begun: the same by the system's clock, for an end without a time.
    """

    span: Span
    attributes: dict[str, Any]
    started: float
    begun: float
    first_content: float | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class _Instruments:
    tracer: Tracer
    duration: Histogram
    time_to_first_chunk: Histogram
    token_usage: Histogram


@functools.lru_cache(maxsize=4)
def _instruments(tracer_provider: TracerProvider, meter_provider: MeterProvider | None) -> _Instruments:
    from opentelemetry.metrics import NoOpMeterProvider

    scope = ("nbretry", __version__)
    # The API's placeholder would create its histograms a second time as soon as there is a real provider.
    meter = (meter_provider or NoOpMeterProvider()).get_meter(*scope)
    operation = "gen_ai.client.operation"
    return _Instruments(
        tracer_provider.get_tracer(*scope),
        _histogram(meter, f"{operation}.duration", "s", "How long an attempt took.", _SECONDS),
        _histogram(meter, f"{operation}.time_to_first_chunk", "s", "Time to an attempt's first content.", _SECONDS),
        _histogram(meter, "gen_ai.client.token.usage", "{token}", "Tokens as the provider counted them.", _TOKENS),
    )


def _histogram(meter: Meter, name: str, unit: str, description: str, boundaries: list[Any]) -> Histogram:
    try:
        return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=boundaries)
    except TypeError:  # versions such as 1.27 do not take boundaries
        return meter.create_histogram(name, unit, description)


def _is_configured() -> bool:
    """Return whether this process has configured OpenTelemetry to send anything."""
    if "opentelemetry" not in sys.modules and not any(name in os.environ for name in _PROVIDER_SETTINGS):
        return False  # importing it to find out would take longer than the whole run
    if not _is_installed():
        return False
    from opentelemetry import metrics, trace

    return not (_is_idle(trace.get_tracer_provider()) and _is_idle(metrics.get_meter_provider()))


def _is_idle(provider: TracerProvider | MeterProvider) -> bool:
    return type(provider).__name__ in _IDLE_PROVIDERS


@functools.cache
def _is_installed() -> bool:
    try:
        from opentelemetry import context, metrics, trace  # noqa: F401  # the namespace alone may be another package's
    except ImportError:
        return False
    return True


def _well_known(provider: str) -> str:
    key = re.sub(r"[^a-z0-9]", "", provider.lower()).removesuffix("provider")
    return _WELL_KNOWN_PROVIDERS.get(key) or mask(provider)


def _one_line(exception: BaseException) -> str:
    return " ".join(describe(exception).split())
