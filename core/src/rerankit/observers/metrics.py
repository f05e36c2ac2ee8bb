"""Prometheus metrics, by the official client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rerankit.observers.events import CallFailed, CallFinished, CallStarted
from rerankit.plugins.hookspecs import hookimpl
from rerankit.scoring import Attempt

if TYPE_CHECKING:
    from rerankit.policy.figures import BatchingFigures

__all__ = ["BatchingCollector", "MetricsObserver"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_DOCUMENTS = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class MetricsObserver:
    """Counts and distributions of calls, labelled by service and by who served.

    Args:
        registry: where the metrics live.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        asked, served = ["service"], ["service", "served_by"]
        self._running = Gauge("rerankit_calls_in_progress", "Calls running now", asked, registry=registry)
        self._calls = Counter(
            "rerankit_calls",
            "Calls, by outcome: ok, degraded, partial, or an error's code",
            [*served, "outcome"],
            registry=registry,
        )
        self._attempts = Counter(
            "rerankit_failed_attempts",
            "Failed tries at a service, of answered and failed calls",
            ["service", "error"],
            registry=registry,
        )
        self._seconds = Histogram(
            "rerankit_call_seconds", "Duration of answered calls", served, registry=registry, buckets=_SECONDS
        )
        self._documents = Histogram(
            "rerankit_call_documents", "Documents in an answered call", asked, registry=registry, buckets=_DOCUMENTS
        )
        self._tokens = Counter("rerankit_tokens", "Tokens computed", served, registry=registry)
        self._scored = Counter("rerankit_documents_scored", "Documents scored", served, registry=registry)
        self._truncated = Counter(
            "rerankit_documents_truncated", "Documents the model saw only in part", served, registry=registry
        )
        self._saturated = Counter("rerankit_scores_saturated", "Scores of 0.999 and more", served, registry=registry)
        self._displacement = Histogram(
            "rerankit_displacement",
            "How far a call moved the order, 0 to 1",
            served,
            registry=registry,
            buckets=_SHARES,
        )
        self._changed = Counter(
            "rerankit_first_place_changed", "Calls after which another document came first", served, registry=registry
        )

    @hookimpl
    def rerankit_before(self, event: CallStarted) -> None:
        """Count it in."""
        self._running.labels(event.service).inc()

    @hookimpl
    def rerankit_after(self, event: CallFinished) -> None:
        """Count an answer."""
        batch, call = event.batch, event.call
        labels = (call.service, event.served_by)
        self._running.labels(call.service).dec()
        outcome = "degraded" if batch.degraded else "partial" if batch.partial else "ok"
        self._calls.labels(*labels, outcome).inc()
        self._seconds.labels(*labels).observe(event.seconds)
        self._documents.labels(call.service).observe(call.documents)
        scored = sum(score is not None for score in batch.scores)
        self._scored.labels(*labels).inc(scored)
        if batch.tokens is not None:
            self._tokens.labels(*labels).inc(sum(batch.tokens))
        if event.truncated is not None:
            self._truncated.labels(*labels).inc(round(event.truncated * scored))
        if event.saturated is not None:
            self._saturated.labels(*labels).inc(round(event.saturated * scored))
        if event.displacement is not None:
            self._displacement.labels(*labels).observe(event.displacement)
        if event.first_changed:
            self._changed.labels(*labels).inc()
        self._count_failures(batch.attempts)

    @hookimpl
    def rerankit_error(self, event: CallFailed) -> None:
        """Count a failure."""
        service = event.call.service
        self._running.labels(service).dec()
        self._calls.labels(service, "", event.code).inc()
        self._count_failures(event.attempts)

    def _count_failures(self, attempts: tuple[Attempt, ...]) -> None:
        for attempt in attempts:
            if attempt.error is not None:
                self._attempts.labels(attempt.service, attempt.error).inc()


class BatchingCollector(Collector):
    """The queue and the batches of a ``BatchingReranker``, read when Prometheus asks: ``registry.register(...)`` it.

    Args:
        figures: the reranker's ``figures`` method.
        service: the label.
    """

    def __init__(self, figures: Callable[[], BatchingFigures], service: str) -> None:
        self._figures = figures
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment."""
        figures = self._figures()
        for name in ("queued_requests", "queued_documents", "queued_tokens", "running_batches", "batch_fill"):
            gauge = GaugeMetricFamily(f"rerankit_batching_{name}", _HELP[name], labels=["service"])
            gauge.add_metric([self._service], getattr(figures, name) or 0.0)
            yield gauge
        for name in ("batches", "documents", "tokens", "accepted", "refused", "dropped", "reruns"):
            counter = CounterMetricFamily(f"rerankit_batching_{name}", _HELP[name], labels=["service"])
            counter.add_metric([self._service], getattr(figures, name))
            yield counter


_HELP = {
    "queued_requests": "Requests waiting",
    "queued_documents": "Documents waiting",
    "queued_tokens": "Tokens waiting",
    "running_batches": "Batches at the backend",
    "batch_fill": "Mean share of the token budget that batches used",
    "batches": "Batches sent to the backend",
    "documents": "Documents sent to the backend",
    "tokens": "Tokens sent to the backend",
    "accepted": "Requests let into the queue",
    "refused": "Requests turned away as overload",
    "dropped": "Requests given up before they were done",
    "reruns": "Requests scored apart after a failed batch",
}
