"""What the service tells Prometheus. Labels are few and their values bounded; no text of a request is among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rerankit.observers.events import SATURATED
from rerankit.observers.metrics import BatchingCollector
from rerankit.policy.batching import BatchingFigures
from rerankit.scoring import ScoreKind
from rerankit_local_service.server.dialects.call import Answer

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_SIZES = (1, 4, 16, 64, 256, 1_024, 4_096, 10_000)


class Metrics:
    """The metrics of one service, in a registry of their own.

    Args:
        figures: gives the batching figures of each loaded model, by its name.
        states: gives each model's state.
    """

    def __init__(
        self, figures: Callable[[], Mapping[str, BatchingFigures]], states: Callable[[], Mapping[str, str]]
    ) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "rerankit_requests",
            "Requests answered, by route, dialect and status",
            ["route", "dialect", "status"],
            registry=self.registry,
        )
        self.errors = Counter(
            "rerankit_errors", "Requests that failed, by the error's code", ["code"], registry=self.registry
        )
        self.documents = Counter("rerankit_documents", "Documents scored", ["model"], registry=self.registry)
        self.tokens = Counter("rerankit_tokens", "Tokens scored", ["model"], registry=self.registry)
        self.truncated = Counter(
            "rerankit_truncated_documents",
            "Documents of which the model saw only a part",
            ["model"],
            registry=self.registry,
        )
        self.saturated = Counter(
            "rerankit_saturated_scores", f"Probabilities of {SATURATED} and more", ["model"], registry=self.registry
        )
        self.latency = Histogram(
            "rerankit_stage_seconds", "Seconds a stage", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        self.size = Histogram(
            "rerankit_request_documents", "Documents a request", buckets=_SIZES, registry=self.registry
        )
        self.in_flight = Gauge("rerankit_requests_in_flight", "Requests being answered", registry=self.registry)
        self.body_bytes = Gauge("rerankit_body_bytes", "Bytes of bodies held", registry=self.registry)
        self.registry.register(_Queues(figures, states))

    def scored(self, answer: Answer, name: str) -> None:
        """Count an answer; stages are those of the batch (``queue`` and the model's own) and ``total``."""
        self.documents.labels(name).inc(len(answer.batch.scores))
        self.tokens.labels(name).inc(answer.tokens)
        self.truncated.labels(name).inc(answer.truncated)
        if answer.batch.score_kind in (ScoreKind.PROBABILITY, ScoreKind.CALIBRATED):
            saturated = sum(score is not None and score >= SATURATED for score in answer.batch.scores)
            self.saturated.labels(name).inc(saturated)
        self.size.observe(len(answer.batch.scores))
        for stage, seconds in answer.batch.timings.items():
            self.latency.labels(stage).observe(seconds)
        self.latency.labels("total").observe(answer.seconds)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class _Queues(Collector):
    """Read off the batching when Prometheus asks, so that nothing is counted twice."""

    def __init__(
        self, figures: Callable[[], Mapping[str, BatchingFigures]], states: Callable[[], Mapping[str, str]]
    ) -> None:
        self._figures = figures
        self._states = states

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for model, found in self._figures().items():
            for metric in BatchingCollector(lambda found=found: found, model).collect():  # type: ignore[misc]
                families.setdefault(metric.name, metric)
                if families[metric.name] is not metric:
                    families[metric.name].samples.extend(metric.samples)
        yield from families.values()
        ready = GaugeMetricFamily("rerankit_model_ready", "1 where the model can answer now", labels=["model", "state"])
        for model, state in self._states().items():
            ready.add_metric([model, state], float(state == "ready"))
        yield ready
