"""`nbretry.retry.telemetry`: what OpenTelemetry is told of a run, and that nothing depends on its being there."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from played import VirtualClock

from nbretry._utils.redaction import remember_secret
from nbretry.errors import RateLimitError, RetryProviderError, ServerError
from nbretry.events import (
    AttemptCancelled,
    AttemptFailed,
    AttemptSkipped,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    FirstContent,
    ResponseIdentified,
    RunStarted,
    StatusChanged,
    UsageReported,
)
from nbretry.providers import RetryProvider
from nbretry.providers.script import Delay, Refusal
from nbretry.providers.scripted import ScriptedProvider
from nbretry.retry.policy import RetryPolicy
from nbretry.retry.telemetry import Observer, new_observer
from nbretry.types import FinishReason, Reasoning, Usage

DURATION = "gen_ai.client.operation.duration"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TOKENS = "gen_ai.client.token.usage"


@dataclass
class Recorded:
    """A process's OpenTelemetry, whose spans and measurements stay in memory."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracer_provider: TracerProvider
    meter_provider: MeterProvider

    def observer(self, *, stream: bool = True) -> Observer:
        observer = new_observer(stream=stream, tracer_provider=self.tracer_provider, meter_provider=self.meter_provider)
        assert observer is not None
        return observer

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that have ended, in that order."""
        return list(self.exporter.get_finished_spans())

    @property
    def measured(self) -> dict[str, list[Any]]:
        """The data points of each metric by its name."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer_provider = TracerProvider(shutdown_on_exit=False)
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    meter_provider = MeterProvider([reader], shutdown_on_exit=False)
    yield Recorded(exporter, reader, tracer_provider, meter_provider)
    meter_provider.shutdown()
    tracer_provider.shutdown()


def observe(observer: Observer, chain: RetryProvider, question: str = "Why?") -> list[Event]:
    """Every event of a run, told to an observer as it happens; a run that nobody answers ends quietly."""

    async def main() -> list[Event]:
        seen: list[Event] = []
        try:
            async with aclosing(chain.stream_events("", question)) as events:
                async for event in events:
                    seen.append(event)
                    observer(event)
        except RetryProviderError:
            pass
        observer.end()
        return seen

    return asyncio.run(main())


def failover(clock: VirtualClock) -> RetryProvider:
    """A run in which ``mistral`` refuses after a second, and again after one, and ``lab`` answers."""
    busy = [Delay(1.0), Refusal(429, retry_after=2.0, message="slow\ndown")]
    answer = [Delay(0.5), "All ", Delay(0.25), "is well.", Usage(7, 3), FinishReason("length")]
    return RetryProvider(
        [
            ScriptedProvider([busy], name="mistral", model="small", clock=clock),
            ScriptedProvider([answer], name="lab", model="qwen3", clock=clock),
        ],
        shuffle=False,
        policy=RetryPolicy(max_attempts=2),
        clock=clock,
    )


def test_each_attempt_is_a_client_span(recorded: Recorded) -> None:
    """A run of three attempts is three spans, each with who was asked, what came of it and what followed."""
    observe(recorded.observer(), failover(VirtualClock()))
    assert [(span.name, span.kind) for span in recorded.spans] == [
        ("chat small", SpanKind.CLIENT),
        ("chat small", SpanKind.CLIENT),
        ("chat qwen3", SpanKind.CLIENT),
    ]
    first, second, third = (dict(span.attributes or {}) for span in recorded.spans)
    assert first == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.request.model": "small",
        "gen_ai.request.stream": True,
        "error.type": "RateLimitError",
        "nbretry.attempt.number": 1,
        "nbretry.attempt.next_step": "retry",
        "nbretry.attempt.wait_for": 2.0,
    }
    assert second["nbretry.attempt.number"] == 2
    assert second["nbretry.attempt.next_step"] == "fallback"
    assert second["nbretry.attempt.wait_for"] == 0.0
    assert third == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "lab",
        "gen_ai.request.model": "qwen3",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "qwen3",
        "gen_ai.response.id": "lab-1",
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "nbretry.attempt.number": 3,
    }


def test_only_a_failure_has_an_error_status(recorded: Recorded) -> None:
    """A failed attempt's status is an error with its exception in one line; that of an answer is left alone."""
    observe(recorded.observer(), failover(VirtualClock()))
    failed, _, answered = (span.status for span in recorded.spans)
    assert (failed.status_code, failed.description) == (StatusCode.ERROR, "RateLimitError: slow down")
    assert (answered.status_code, answered.description) == (StatusCode.UNSET, None)


def test_an_attempt_is_linked_to_the_one_before_it(recorded: Recorded) -> None:
    """The spans of one run can be found from each other, also where the caller has no span around them."""
    observe(recorded.observer(), failover(VirtualClock()))
    contexts = [span.get_span_context() for span in recorded.spans]
    assert [[link.context for link in span.links] for span in recorded.spans] == [[], contexts[:1], contexts[1:2]]


def test_durations_and_tokens_are_measured(recorded: Recorded) -> None:
    """Each attempt's duration, time to its first content and tokens are counted, by the clock of the run."""
    observe(recorded.observer(), failover(VirtualClock()))
    mistral = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.request.model": "small",
    }
    lab = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "lab",
        "gen_ai.request.model": "qwen3",
        "gen_ai.response.model": "qwen3",
    }
    measured = {
        name: [(dict(point.attributes), point.count, point.sum) for point in points]
        for name, points in recorded.measured.items()
    }
    assert measured == {
        DURATION: [({**mistral, "error.type": "RateLimitError"}, 2, 2.0), (lab, 1, 0.75)],
        FIRST_CHUNK: [(lab, 1, 0.5)],
        TOKENS: [
            ({**lab, "gen_ai.token.type": "input"}, 1, 7),
            ({**lab, "gen_ai.token.type": "output"}, 1, 3),
        ],
    }
    assert recorded.measured[DURATION][0].explicit_bounds[:3] == (0.01, 0.02, 0.04)
    assert recorded.measured[TOKENS][0].explicit_bounds[:3] == (1, 4, 16)


def test_what_is_not_known_is_left_out(recorded: Recorded) -> None:
    """Without a model, a usage, an identifier or a reason, neither an empty attribute nor a zero is recorded."""
    observer = recorded.observer()
    observer(AttemptStarted(1, "lab", "", 0.0))
    observer(ResponseIdentified(1))
    observer(UsageReported(1, Usage(None, 0)))
    observer(AttemptSucceeded(1, None, 1.0))
    (span,) = recorded.spans
    assert span.name == "chat"
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "lab",
        "gen_ai.request.stream": True,
        "gen_ai.usage.output_tokens": 0,
        "nbretry.attempt.number": 1,
    }
    assert [point.attributes["gen_ai.token.type"] for point in recorded.measured[TOKENS]] == ["output"]


def test_the_last_count_of_tokens_is_the_one_that_counts(recorded: Recorded) -> None:
    """A provider that counts twice is not counted twice."""
    observer = recorded.observer()
    observer(AttemptStarted(1, "anthropic", "m", 0.0))
    observer(UsageReported(1, Usage(9, None)))
    observer(UsageReported(1, Usage(9, 4)))
    observer(AttemptSucceeded(1, "stop", 1.0))
    assert [(point.count, point.sum) for point in recorded.measured[TOKENS]] == [(1, 9), (1, 4)]


def test_an_estimate_is_not_told_as_a_count(recorded: Recorded) -> None:
    """Tokens that nobody but nbretry has counted are left out, and put nothing in the place of a provider's count."""
    observer = recorded.observer()
    for number, usages in enumerate(([Usage(5, 5, estimated=True)], [Usage(9, 4), Usage(5, 5, estimated=True)]), 1):
        observer(AttemptStarted(number, "openai", "m", 0.0))
        for usage in usages:
            observer(UsageReported(number, usage))
        observer(AttemptSucceeded(number, "stop", 1.0))
    assert [(span.attributes or {}).get("gen_ai.usage.input_tokens") for span in recorded.spans] == [None, 9]
    assert [(point.count, point.sum) for point in recorded.measured[TOKENS]] == [(1, 9), (1, 4)]


def test_an_answer_in_one_piece_has_no_first_chunk(recorded: Recorded) -> None:
    """Where no stream was asked for, none is told of and no time to its first chunk is measured."""
    observer = recorded.observer(stream=False)
    observer(AttemptStarted(1, "openai", "m", 0.0))
    observer(FirstContent(1, 1.0))
    observer(AttemptSucceeded(1, "stop", 1.0))
    (span,) = recorded.spans
    assert not {"gen_ai.request.stream", "gen_ai.response.time_to_first_chunk"} & set(span.attributes or {})
    assert set(recorded.measured) == {DURATION}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("openai", "openai"),
        ("OpenAIProvider", "openai"),
        ("anthropic", "anthropic"),
        ("Groq", "groq"),
        ("DeepSeek", "deepseek"),
        ("mistral", "mistral_ai"),
        ("xai", "x_ai"),
        ("gemini", "gcp.gemini"),
        ("azure", "azure.ai.openai"),
        ("openrouter", "openrouter"),
        ("My-Lab", "My-Lab"),
    ],
)
def test_well_known_providers_have_the_conventions_names(recorded: Recorded, name: str, told: str) -> None:
    """A service that the conventions name is told by that name, any other by its own."""
    observer = recorded.observer()
    observer(AttemptStarted(1, name, "m", 0.0))
    observer.end()
    assert (recorded.spans[0].attributes or {})["gen_ai.provider.name"] == told


def test_no_text_is_recorded(recorded: Recorded) -> None:
    """Neither the question nor the answer nor the reasoning is in any span or measurement, whatever became of it."""
    partial = ["an-answer", Refusal(500)]
    whole = [Reasoning("a-reasoning"), "an-answer", Usage(1, 1), FinishReason("stop")]
    for play in (partial, whole):
        chain = RetryProvider([ScriptedProvider([play])], shuffle=False)
        seen = observe(recorded.observer(), chain, "a-question")
        assert any(getattr(event, "text", None) == "an-answer" for event in seen)
    written = "".join(span.to_json() for span in recorded.spans) + recorded.reader.get_metrics_data().to_json()
    assert "scripted" in written
    for text in ("a-question", "an-answer", "a-reasoning"):
        assert text not in written


def test_secrets_are_masked(recorded: Recorded) -> None:
    """A key is in nothing that is recorded, wherever a provider may have put it."""
    remember_secret("hunter2-hunter2")
    observer = recorded.observer()
    for number, end in enumerate(
        (
            AttemptSucceeded(1, "hunter2-hunter2", 1.0),
            AttemptFailed(2, ValueError("the key hunter2-hunter2 is wrong"), "stop", 0.0, 1.0),
        ),
        start=1,
    ):
        observer(AttemptStarted(number, "lab hunter2-hunter2", "m-hunter2-hunter2", 0.0))
        observer(ResponseIdentified(number, "hunter2-hunter2", "hunter2-hunter2"))
        observer(end)
    written = "".join(span.to_json() for span in recorded.spans) + recorded.reader.get_metrics_data().to_json()
    assert len(recorded.spans) == 2
    assert "ValueError: the key [secret] is wrong" in written
    assert "hunter2" not in written


def test_the_callers_span_is_the_parent_and_stays_current(recorded: Recorded) -> None:
    """The parent is the span in which the run began, wherever it is followed; the caller never sees one of ours."""
    tracer = recorded.tracer_provider.get_tracer("caller")
    current: list[Any] = []

    async def main() -> None:
        with tracer.start_as_current_span("caller"):
            observer = recorded.observer()
        with tracer.start_as_current_span("another") as another:
            async with aclosing(failover(VirtualClock()).stream_events("", "Why?")) as events:
                async for event in events:
                    observer(event)
                    current.append(trace.get_current_span() is another)
        assert not trace.get_current_span().get_span_context().is_valid

    asyncio.run(main())
    by_name = {span.name: span for span in recorded.spans}
    caller = by_name["caller"].get_span_context()
    assert [span.parent for span in recorded.spans if span.name.startswith("chat")] == [caller] * 3
    assert current
    assert all(current)


def test_attempts_may_overlap(recorded: Recorded) -> None:
    """Facts of two attempts that run at the same time go to their own spans."""
    observer = recorded.observer()
    observer(AttemptStarted(1, "openai", "slow", 0.0))
    observer(AttemptStarted(2, "groq", "fast", 1.0))
    observer(UsageReported(1, Usage(1, 1)))
    observer(FirstContent(2, 1.5))
    observer(UsageReported(2, Usage(2, 2)))
    observer(AttemptSucceeded(2, "stop", 2.0))
    observer(AttemptFailed(1, ServerError("no"), "stop", 0.0, 3.0))
    fast, slow = (dict(span.attributes or {}) for span in recorded.spans)
    assert (fast["gen_ai.request.model"], fast["gen_ai.usage.input_tokens"]) == ("fast", 2)
    assert (slow["gen_ai.request.model"], slow["gen_ai.usage.input_tokens"]) == ("slow", 1)
    assert fast["gen_ai.response.time_to_first_chunk"] == 0.5
    assert "gen_ai.response.time_to_first_chunk" not in slow
    assert [point.sum for point in recorded.measured[DURATION]] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("exception", "error_type", "description"),
    [
        (None, "cancelled", "cancelled"),
        (asyncio.CancelledError(), "cancelled", "cancelled"),
        (GeneratorExit(), "cancelled", "cancelled"),
        (KeyboardInterrupt(), "cancelled", "cancelled"),
        (RuntimeError("a bug\nof ours"), "RuntimeError", "RuntimeError: a bug of ours"),
    ],
)
def test_the_end_of_a_run_ends_its_spans(
    recorded: Recorded, exception: BaseException | None, error_type: str, description: str
) -> None:
    """Whatever a run ends with, no span stays open, and a second end changes nothing."""
    observer = recorded.observer()
    observer(AttemptStarted(1, "openai", "m", 0.0))
    observer(AttemptStarted(2, "groq", "m", 0.0))
    observer.end(exception)
    observer.end()
    assert [(span.attributes or {})["error.type"] for span in recorded.spans] == [error_type] * 2
    assert [(s.status.status_code, s.status.description) for s in recorded.spans] == [
        (StatusCode.ERROR, description)
    ] * 2
    assert all(point.count == 1 and point.sum >= 0 for point in recorded.measured[DURATION])
    assert len(recorded.measured[DURATION]) == 2


def test_a_closed_generator_leaves_no_span_open(recorded: Recorded) -> None:
    """A caller who stops listening in the middle of an answer leaves one span, of a cancelled attempt."""
    observer = recorded.observer()

    async def main() -> None:
        chain = RetryProvider([ScriptedProvider([["One ", "two ", "three"]])], shuffle=False)
        async with aclosing(chain.stream_events("", "Why?")) as events:
            async for event in events:
                observer(event)
                if isinstance(event, FirstContent):
                    break
        assert recorded.spans == []
        observer.end()

    asyncio.run(main())
    (span,) = recorded.spans
    assert (span.attributes or {})["error.type"] == "cancelled"
    assert "gen_ai.response.time_to_first_chunk" in (span.attributes or {})


def test_a_cancelled_attempt_is_told_with_its_reason(recorded: Recorded) -> None:
    """An attempt that lost to another one ends as cancelled, at its time and for its reason."""
    observer = recorded.observer()
    observer(AttemptStarted(1, "openai", "m", 0.0))
    observer(AttemptCancelled(1, "another one was faster", 2.5))
    (span,) = recorded.spans
    assert (span.attributes or {})["error.type"] == "cancelled"
    assert span.status.description == "another one was faster"
    assert [point.sum for point in recorded.measured[DURATION]] == [2.5]


def test_what_is_unknown_or_late_is_passed_over(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """What says nothing to it, is of a class that it does not know or comes after the end changes nothing."""

    @dataclass(frozen=True)
    class NewEvent:
        attempt: int

    caplog.set_level(logging.DEBUG, "nbretry")
    observer: Any = recorded.observer()
    observer(RunStarted(0.0, ("openai",), "m", ""))
    observer(AttemptStarted(1, "openai", "m", 0.0))
    observer(AttemptSkipped(2, "groq", "m", RateLimitError("not yet"), 0.5))
    observer(NewEvent(1))
    observer(UsageReported(7, Usage(1, 1)))
    observer(StatusChanged(1, "loading"))
    observer(AttemptSucceeded(1, "stop", 1.0))
    observer(UsageReported(1, Usage(1, 1)))
    observer(AttemptSucceeded(7, "stop", 1.0))
    observer.end()
    assert len(recorded.spans) == 1
    assert TOKENS not in recorded.measured
    assert caplog.records == []


class BrokenProcessor(SpanProcessor):
    """Fails on every span, as an exporter of somebody else's may."""

    def __init__(self, on_start: bool) -> None:
        self._on_start = on_start

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self._on_start:
            raise OSError("the disk hunter2-hunter2 is full")

    def on_end(self, span: Any) -> None:
        raise OSError("the disk hunter2-hunter2 is full")


@pytest.mark.parametrize("on_start", [True, False])
def test_a_failure_of_opentelemetry_breaks_no_run(
    recorded: Recorded, caplog: pytest.LogCaptureFixture, on_start: bool
) -> None:
    """Where spans cannot be recorded the run goes on, and the log says so at debug level, secrets masked."""
    remember_secret("hunter2-hunter2")
    caplog.set_level(logging.DEBUG, "nbretry")
    recorded.tracer_provider.add_span_processor(BrokenProcessor(on_start))
    observer = recorded.observer()
    seen = observe(observer, failover(VirtualClock()))
    assert isinstance(seen[-2], AttemptSucceeded)
    observer(AttemptStarted(4, "lab", "m", 9.0))
    observer.end()
    said = [record for record in caplog.records if "OpenTelemetry failed" in record.getMessage()]
    assert len(said) == 4
    assert {(record.name, record.levelno) for record in said} == {("nbretry", logging.DEBUG)}
    assert all("OSError: the disk [secret] is full" in record.getMessage() for record in said)


def test_a_provider_that_fails_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """Where OpenTelemetry cannot even begin there is no observer, and no exception."""

    class Broken(TracerProvider):
        def get_tracer(self, *args: Any, **options: Any) -> Any:
            raise RuntimeError("not today")

    caplog.set_level(logging.DEBUG, "nbretry")
    assert new_observer(tracer_provider=Broken(shutdown_on_exit=False)) is None
    assert "OpenTelemetry cannot be used: RuntimeError: not today" in caplog.text


def test_an_api_without_boundaries_will_do(recorded: Recorded) -> None:
    """The oldest version of the API that is allowed takes no boundaries; durations are measured all the same."""

    class Old(MeterProvider):
        def get_meter(self, *args: Any, **options: Any) -> Any:
            meter: Any = super().get_meter(*args, **options)
            create = meter.create_histogram
            meter.create_histogram = lambda name, unit="", description="": create(name, unit, description)
            return meter

    reader = InMemoryMetricReader()
    provider = Old([reader], shutdown_on_exit=False)
    observer = new_observer(tracer_provider=recorded.tracer_provider, meter_provider=provider)
    assert observer is not None
    observer(AttemptStarted(1, "openai", "m", 0.0))
    observer(AttemptFailed(1, RateLimitError("no"), "stop", 0.0, 1.0))
    (metric,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, [point.sum for point in metric.data.data_points]) == (DURATION, [1.0])
    provider.shutdown()


RUN = """
import asyncio, json, sys
from nbretry.providers import RetryProvider
from nbretry.providers.scripted import ScriptedProvider
from nbretry.retry.telemetry import new_observer

async def run():
    observer = new_observer()
    chain = RetryProvider([ScriptedProvider("500"), ScriptedProvider("ok", name="lab")], shuffle=False)
    async for event in chain.stream_events("", "Why?"):
        if observer is not None:
            observer(event)
    answer = await chain.answer("", "Why?")
    if observer is not None:
        observer.end()
    return answer.text
"""


def outcome(script: str, **environment: str) -> Any:
    """What a script of its own process prints as JSON; it may say nothing else, and its warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}, **environment},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


LOADED = "sorted(name for name in sys.modules if name.partition('.')[0] == 'opentelemetry' and sys.modules[name])"


@pytest.mark.parametrize("asked_for", [False, True])
def test_without_the_package_nothing_is_different(asked_for: bool) -> None:
    """Where opentelemetry is not installed a run answers and logs as ever, whatever the environment asks for."""
    script = f"""
import logging, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
{RUN}
import nbretry

class Logged(logging.Handler):
    def emit(self, record):
        logged.append(record.getMessage())

logged = []
logging.getLogger("nbretry").addHandler(Logged())
logging.getLogger("nbretry").setLevel(logging.DEBUG)
text = asyncio.run(run())
told = [line for line in logged if "telemetry" in line.lower()]
print(json.dumps([text, new_observer() is None, len(logged) > 0, told, {LOADED}]))
"""
    environment = {"OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider"} if asked_for else {}
    assert outcome(script, **environment) == ["All is well.", True, True, [], []]


def test_nothing_is_imported_where_nobody_listens() -> None:
    """Importing nbretry and running a question load nothing of OpenTelemetry, although it is installed."""
    script = f"import nbretry\n{RUN}\ntext = asyncio.run(run())\nprint(json.dumps([text, {LOADED}]))"
    assert outcome(script) == ["All is well.", []]


def test_the_api_alone_gives_no_observer() -> None:
    """A process that has loaded the API and configured no provider is not observed, and no SDK is loaded."""
    script = f"""
from opentelemetry import metrics, trace
{RUN}
text = asyncio.run(run())
print(json.dumps([text, new_observer() is None, any("opentelemetry.sdk" in name for name in {LOADED})]))
"""
    assert outcome(script) == ["All is well.", True, False]


def test_the_providers_of_the_process_are_used() -> None:
    """What an application configures for its process is used from the next run on: spans first, then measurements."""
    script = f"""
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
{RUN}
exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
asyncio.run(run())
scope = exporter.get_finished_spans()[0].instrumentation_scope.name
asked = sorted({{span.attributes["gen_ai.provider.name"] for span in exporter.get_finished_spans()}})
metrics.set_meter_provider(MeterProvider([reader]))
asyncio.run(run())
(measured,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
print(json.dumps([scope, asked, measured.scope.name, sorted(metric.name for metric in measured.metrics)]))
"""
    assert outcome(script) == ["nbretry", ["lab", "scripted"], "nbretry", [DURATION, FIRST_CHUNK]]
