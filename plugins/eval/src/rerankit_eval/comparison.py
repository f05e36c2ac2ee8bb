"""Everything that was measured of several contenders, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rerankit.errors import RerankitError
from rerankit_eval.contenders import INPUT_ORDER
from rerankit_eval.disagreement import Disagreement
from rerankit_eval.latency import Latency
from rerankit_eval.machine import describe
from rerankit_eval.plots import Point
from rerankit_eval.quality import Quality

__all__ = ["Comparison"]

_SURE = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """Quality, latency, memory and cost, side by side.

    Attributes:
        latencies: by label; the input order has none.
        costs: of 1,000 queries, by label, where a price was given.
        failed: what could not be measured.
        relevant_from: the lowest grade that counts as relevant.
    """

    quality: Quality
    latencies: Mapping[str, Latency]
    costs: Mapping[str, float]
    disagreements: Sequence[Disagreement]
    failed: Mapping[str, RerankitError]
    relevant_from: int
    machine: Mapping[str, str | int] = field(default_factory=describe)
    made: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))

    @property
    def measure(self) -> str:
        """The one to decide by."""
        return self.quality.measures[0]

    def points(self, takes: Mapping[str, float]) -> list[Point]:
        """Quality over ``takes``, of the contenders that have both."""
        means = {label: found[self.measure] for label, found in self.quality.means.items()}
        return [
            Point(label, takes[label], mean.mean, mean.low, mean.high)
            for label, mean in means.items()
            if takes.get(label, 0.0) > 0.0
        ]

    def score_distributions(self) -> dict[str, tuple[list[float], list[float]]]:
        """Scores of the relevant documents and of the others, by label."""
        found: dict[str, tuple[list[float], list[float]]] = {}
        for one in self.quality.scored:
            if one.contender.service is None:
                continue
            relevant, others = found.setdefault(one.contender.label, ([], []))
            for query in self.quality.judged.queries:
                for document, score in zip(query.candidates, one.scores[query.id], strict=True):
                    is_relevant = query.relevance.get(document, 0) >= self.relevant_from
                    (relevant if is_relevant else others).append(score)
        return found

    def verdict(self) -> list[str]:
        """What the figures say, in sentences that claim no more than they show."""
        means = {label: found[self.measure].mean for label, found in self.quality.means.items()}
        best = max(means, key=means.__getitem__)
        said = [f"{best} has the highest {self.measure}: {means[best]:.3f}."]
        equal = [
            found.other
            for found in self.quality.differences[self.measure]
            if found.one == best and found.corrected >= _SURE
        ]
        if equal:
            said.append(
                f"Its lead over {', '.join(equal)} may be chance on {len(self.quality.judged.queries)} queries."
            )
        timed = [label for label in (best, *equal) if label in self.latencies]
        if best in timed and len(timed) > 1:
            fastest = min(timed, key=lambda label: self.latencies[label].median)
            if fastest != best:
                times = self.latencies[best].median / self.latencies[fastest].median
                said.append(f"Of these {fastest} is the fastest: {times:.1f} times as fast as {best}.")
        worse = [
            found.other
            for found in self.quality.differences[self.measure]
            if found.one == INPUT_ORDER.label and found.corrected < _SURE
        ]
        said.extend(f"{label} is worse than not reranking at all." for label in worse)
        return said

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            **self.quality.to_dict(),
            "made": self.made,
            "machine": dict(self.machine),
            "verdict": self.verdict(),
            "latency": {
                label: {
                    "cold_seconds": found.cold_seconds,
                    "median_seconds": found.median,
                    "p95_seconds": found.p95,
                    "spread_of_rounds": found.spread,
                    "documents_per_second": found.documents_per_second,
                    "peak_bytes": found.peak_bytes,
                    "documents": found.documents,
                    "rounds": found.rounds,
                }
                for label, found in self.latencies.items()
            },
            "cost_of_1000_queries": dict(self.costs),
            "failed": {label: error.to_dict() for label, error in self.failed.items()},
        }
