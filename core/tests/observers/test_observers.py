"""Observers: what they are told, that they cannot do harm, and the three first-party ones."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from rerankit import Capabilities, PairReranker, ScoreBatch, ScoreKind, ScoreRequest, hookimpl
from rerankit.errors import MissingExtraError, UnavailableError
from rerankit.observers import CallFailed, CallFinished, CallStarted, add_observer, remove_observer, switch_on
from rerankit.observers.logs import LogObserver
from rerankit.observers.metrics import BatchingCollector, MetricsObserver
from rerankit.observers.tracing import TracingObserver, trace_headers
from rerankit.plugins.manager import plugin_manager
from rerankit.policy.batching import BatchingReranker
from rerankit.policy.compose import apply_policy
from rerankit.policy.settings import PolicySettings
from rerankit.testing import FakeReranker


class Recorder:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    @hookimpl
    def rerankit_before(self, event: CallStarted) -> None:
        self.events.append(event)

    @hookimpl
    def rerankit_after(self, event: CallFinished) -> None:
        self.events.append(event)

    @hookimpl
    def rerankit_error(self, event: CallFailed) -> None:
        self.events.append(event)


class Harmful:
    """Fails whenever it is told anything."""

    @hookimpl
    def rerankit_before(self) -> None:
        raise RuntimeError("before")

    @hookimpl
    def rerankit_after(self) -> None:
        raise RuntimeError("after")

    @hookimpl
    def rerankit_error(self) -> None:
        raise RuntimeError("error")


@pytest.fixture(autouse=True)
def own_manager() -> Iterator[None]:
    """Observers of one test are not those of the next."""
    plugin_manager.cache_clear()
    yield
    plugin_manager.cache_clear()


def reranker(backend: FakeReranker | None = None, **policy: Any) -> PairReranker:
    """A backend named ``fake``, as an application holds it."""
    backend = backend or FakeReranker(lambda _, document: float(document))
    backend.service = "fake"
    known = {"other": FakeReranker(lambda _, document: float(document))}
    known["other"].service = "other"
    return apply_policy(backend, PolicySettings(**policy), lambda name, _: known[name])


def down() -> FakeReranker:
    """A backend that is down."""
    return FakeReranker(faults=itertools.repeat(UnavailableError("down")))


# --- events ------------------------------------------------------------------------------------------


def test_every_call_begins_and_ends_with_an_event() -> None:
    """All four methods; one call has one number."""
    recorder = Recorder()
    add_observer(recorder)
    one = reranker()
    one.rerank("q", ["1", "2"])
    one.get_scores("q", ["1"])
    asyncio.run(one.arerank("q", ["1", "2"]))
    asyncio.run(one.aget_scores("q", ["1"]))
    assert [type(event) for event in recorder.events] == [CallStarted, CallFinished] * 4
    for begun, ended in zip(recorder.events[::2], recorder.events[1::2], strict=True):
        assert ended.call is begun
        assert (begun.service, ended.served_by) == ("fake", "fake")
        assert ended.seconds > 0
    assert [event.documents for event in recorder.events[::2]] == [2, 1, 2, 1]


def test_failures_and_cancellations_are_told_with_their_code() -> None:
    """And with every attempt."""
    recorder = Recorder()
    add_observer(recorder)
    with pytest.raises(UnavailableError):
        reranker(down(), retries=1, retry_wait_s=0.001).rerank("q", ["1"])

    async def cancelled() -> None:
        task = asyncio.create_task(reranker(FakeReranker(delay=5.0)).arerank("q", ["1"]))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    failures = [event for event in recorder.events if isinstance(event, CallFailed)]
    assert [failure.code for failure in failures] == ["unavailable", "cancelled"]
    assert [attempt.error for attempt in failures[0].attempts] == ["unavailable"] * 2


def test_a_fallback_is_seen_with_who_served() -> None:
    """Also when an application only asks for bare scores."""
    recorder = Recorder()
    add_observer(recorder)
    assert reranker(down(), fallback="other").get_scores("q", ["3"]) == [3.0]
    finished = recorder.events[-1]
    assert (finished.call.service, finished.served_by, finished.batch.degraded) == ("fake", "other", True)


def test_an_observer_that_raises_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Nor does it keep others from being told."""
    recorder = Recorder()
    for observer in (recorder, Harmful()):
        add_observer(observer)
    assert reranker().get_scores("q", ["2", "1"]) == [2.0, 1.0]
    with pytest.raises(UnavailableError):
        reranker(down()).get_scores("q", ["1"])
    assert [type(event) for event in recorder.events] == [CallStarted, CallFinished, CallStarted, CallFailed]
    assert [record.getMessage().rpartition(" ")[2] for record in caplog.records] == [
        "rerankit_before",
        "rerankit_after",
        "rerankit_before",
        "rerankit_error",
    ]


def test_a_plugin_may_bring_an_observer(install: Callable[..., Path]) -> None:
    """Hooks in its light module are enough; nobody has to switch it on."""
    install(
        "watcher",
        "from rerankit import hookimpl\n"
        "seen = []\n"
        "@hookimpl\n"
        "def rerankit_after(event):\n"
        "    seen.append(event.served_by)\n",
    )
    reranker().get_scores("q", ["1"])
    assert importlib.import_module("watcher").seen == ["fake"]


def test_an_observer_is_told_nothing_after_it_was_removed() -> None:
    """The opposite of adding it."""
    recorder = Recorder()
    add_observer(recorder)
    remove_observer(recorder)
    reranker().get_scores("q", ["1"])
    assert recorder.events == []


def test_events_are_frozen_and_show_no_texts() -> None:
    """They may be logged as they are."""
    recorder = Recorder()
    add_observer(recorder)
    reranker(FakeReranker()).rerank("a secret question", ["a secret document"])
    for event in recorder.events:
        assert "secret" not in repr(event)
        with pytest.raises(AttributeError):
            event.seconds = 1


def finished(scores: list[float | None], kind: ScoreKind, coverage: list[float] | None = None) -> CallFinished:
    """The end of a call of one query."""
    call = CallStarted(1, "fake", ScoreRequest([("q", str(n)) for n in range(len(scores))]))
    return CallFinished(call, ScoreBatch(scores, coverage), kind, 0.1)


def test_figures_that_say_whether_it_helped() -> None:
    """Displacement, first place, truncated and saturated shares, by hand."""
    event = finished([0.1, 0.2, 0.9995, 1.0], ScoreKind.PROBABILITY, [1.0, 0.5, 1.0, 1.0])
    assert (event.displacement, event.first_changed) == (1.0, True)
    assert (event.truncated, event.saturated) == (0.25, 0.5)
    swapped = finished([3.0, 1.0, 2.0], ScoreKind.LOGIT)
    assert (swapped.displacement, swapped.first_changed) == (2 / 4, False)
    assert (swapped.truncated, swapped.saturated) == (None, None)
    partial = finished([0.1, 0.9, None], ScoreKind.PROBABILITY, [1.0, 0.5, 0.0])
    assert (partial.first_changed, partial.truncated) == (True, 0.5)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_displacement_is_a_share(scores: list[float]) -> None:
    """0 for the input order, 1 for its reverse, between them otherwise."""
    event = finished(list(scores), ScoreKind.PROBABILITY)
    assert event.displacement is not None
    assert 0 <= event.displacement <= 1
    in_order = finished([*sorted(scores, reverse=True)], ScoreKind.PROBABILITY)
    assert (in_order.displacement, in_order.first_changed) == (0, False)
    reverse = finished([float(n) for n in range(len(scores))], ScoreKind.LOGIT)
    assert reverse.displacement == 1


def test_calls_of_several_queries_have_no_order_to_compare() -> None:
    """Their documents are not one list."""
    call = CallStarted(1, "fake", ScoreRequest([("q", "1"), ("other", "1")]))
    event = CallFinished(call, ScoreBatch([0.1, 0.2]), ScoreKind.PROBABILITY, 0.1)
    assert (event.displacement, event.first_changed) == (None, None)


# --- logging -----------------------------------------------------------------------------------------


def test_calls_are_logged_with_figures_and_without_texts(caplog: pytest.LogCaptureFixture) -> None:
    """Info, warning or error by outcome; figures as attributes for JSON formatters."""
    caplog.set_level(logging.INFO)
    add_observer(LogObserver())
    reranker(FakeReranker()).rerank("secret", ["secret"])
    reranker(down(), fallback="other").rerank("4", ["7"])
    with pytest.raises(UnavailableError):
        reranker(down()).rerank("secret", ["secret"])
    records = [record for record in caplog.records if record.name == "rerankit.calls"]
    assert [record.levelname for record in records] == ["INFO", "WARNING", "ERROR"]
    figures = [vars(record)["rerankit"] for record in records]
    assert (figures[0]["service"], figures[0]["documents"], figures[0]["first_changed"]) == ("fake", 1, False)
    assert (figures[1]["served_by"], figures[1]["failed_attempts"]) == ("other", ["fake: unavailable"])
    assert figures[2]["error"] == "unavailable"
    assert "served_by=other" in records[1].getMessage()
    assert "secret" not in " ".join(record.getMessage() for record in records)


# --- Prometheus --------------------------------------------------------------------------------------


def samples(registry: CollectorRegistry) -> dict[str, float]:
    """What a scrape of the real exposition format says: ``name{labels}`` -> value."""
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_prometheus_counts_calls_documents_and_whether_they_helped() -> None:
    """Read back through the exposition format."""
    registry = CollectorRegistry()
    add_observer(MetricsObserver(registry))
    reranker().rerank("q", ["0.1", "0.9995"])
    reranker(down(), fallback="other").rerank("q", ["0.5", "0.1"])
    with pytest.raises(UnavailableError):
        reranker(down()).rerank("q", ["1"])
    seen = samples(registry)
    assert seen["rerankit_calls_total{outcome=ok,served_by=fake,service=fake}"] == 1
    assert seen["rerankit_calls_total{outcome=degraded,served_by=other,service=fake}"] == 1
    assert seen["rerankit_calls_total{outcome=unavailable,served_by=,service=fake}"] == 1
    assert seen["rerankit_failed_attempts_total{error=unavailable,service=fake}"] == 1
    assert seen["rerankit_documents_scored_total{served_by=fake,service=fake}"] == 2
    assert seen["rerankit_scores_saturated_total{served_by=fake,service=fake}"] == 1
    assert seen["rerankit_first_place_changed_total{served_by=fake,service=fake}"] == 1
    assert seen["rerankit_displacement_sum{served_by=fake,service=fake}"] == 1
    assert seen["rerankit_displacement_sum{served_by=other,service=fake}"] == 0
    assert seen["rerankit_call_seconds_count{served_by=fake,service=fake}"] == 1
    assert seen["rerankit_calls_in_progress{service=fake}"] == 0


def test_prometheus_reads_the_queue_when_it_is_asked() -> None:
    """The figures of a BatchingReranker, without a thread or timer."""
    registry = CollectorRegistry()
    with BatchingReranker(FakeReranker()) as batching:
        registry.register(BatchingCollector(batching.figures, "fake"))
        batching.get_scores("query", ["one", "two"])
        seen = samples(registry)
    assert seen["rerankit_batching_documents_total{service=fake}"] == 2
    assert seen["rerankit_batching_accepted_total{service=fake}"] == 1
    assert seen["rerankit_batching_queued_tokens{service=fake}"] == 0


# --- OpenTelemetry -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def provider() -> TracerProvider:
    """The SDK, as an application sets it up; once a process, by its rules."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    return provider


@pytest.fixture
def spans(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    """The finished spans of one test."""
    exporter = InMemorySpanExporter()
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    add_observer(TracingObserver())
    yield exporter
    processor.shutdown()


def named(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    """The span of that name."""
    (span,) = [span for span in exporter.get_finished_spans() if span.name == name]
    return span


class Traced(FakeReranker):
    """A backend with a span of its own, and the headers that it would send."""

    headers: dict[str, str] = {}  # noqa: RUF012 - replaced on the instance

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        with trace.get_tracer("backend").start_as_current_span("http"):
            self.headers = trace_headers()
            return super().score_pairs(request)


@pytest.mark.parametrize("way", ["sync", "async", "batched"])
def test_spans_nest_in_the_callers_trace_and_the_backends_in_them(spans: InMemorySpanExporter, way: str) -> None:
    """Through worker threads too, and out in the headers of the backend's request."""
    limits = Capabilities(ScoreKind.PROBABILITY, max_concurrency=2)
    backend = Traced(lambda _, document: float(document), capabilities=limits)
    with (
        reranker(backend, batch_tokens=100 if way == "batched" else None) as one,
        trace.get_tracer("app").start_as_current_span("search"),
    ):
        if way == "async":
            asyncio.run(one.arerank("q", ["1", "2"]))
        else:
            one.rerank("q", ["1", "2"])
    search, rerank, http = (named(spans, name) for name in ("search", "rerank fake", "http"))
    assert search.parent is None
    assert rerank.parent is not None
    assert http.parent is not None
    assert search.context is not None
    assert rerank.context is not None
    assert http.context is not None
    assert (rerank.parent.span_id, http.parent.span_id) == (search.context.span_id, rerank.context.span_id)
    assert f"{search.context.trace_id:032x}-{http.context.span_id:016x}" in backend.headers["traceparent"]
    assert rerank.attributes is not None
    assert rerank.attributes["rerankit.documents"] == 2
    assert rerank.attributes["rerankit.served_by"] == "fake"


def test_failed_tries_and_failed_calls_are_on_the_span(spans: InMemorySpanExporter) -> None:
    """Errors by their code, and the caller's own span is the current one again afterwards."""
    with trace.get_tracer("app").start_as_current_span("search") as current:
        reranker(down(), fallback="other").rerank("q", ["1"])
        with pytest.raises(UnavailableError):
            reranker(down()).rerank("q", ["1"])
        assert trace.get_current_span() is current
    degraded, failed = [span for span in spans.get_finished_spans() if span.name == "rerank fake"]
    assert [event.name for event in degraded.events] == ["attempt failed"]
    assert not failed.status.is_ok
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "unavailable"


# --- switching on ------------------------------------------------------------------------------------


def test_the_configuration_switches_observers_on_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many rerankers a process loads."""
    caplog.set_level(logging.INFO)
    for _ in range(2):
        one = reranker(observers=["logging"])
    one.rerank("q", ["1"])
    assert len([record for record in caplog.records if record.name == "rerankit.calls"]) == 1


def test_an_absent_library_is_an_error_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is switched on, not at the first call."""
    monkeypatch.delitem(sys.modules, "rerankit.observers.metrics")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError) as caught:
        switch_on(["prometheus"])
    assert 'pip install "rerankit[prometheus]"' in caught.value.remedy
