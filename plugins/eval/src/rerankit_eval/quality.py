"""From scores to quality: measures with their intervals, differences with their significance, wins and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import ir_measures

from rerankit_eval.judged import JudgedSet
from rerankit_eval.measures import score_queries
from rerankit_eval.scoring import Scored
from rerankit_eval.significance import Difference, Interval, compare_pairs, interval

__all__ = ["Quality", "assess"]


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured.

    Attributes:
        per_query: by contender, then by measure, in the order of the judged set's queries.
        means: by contender, then by measure.
        differences: by measure, every pair of contenders, better one first.
    """

    judged: JudgedSet
    scored: Sequence[Scored]
    per_query: Mapping[str, Mapping[str, Sequence[float]]]
    means: Mapping[str, Mapping[str, Interval]]
    differences: Mapping[str, Sequence[Difference]]

    @property
    def measures(self) -> list[str]:
        """Names, the one to decide by first."""
        return list(self.differences)

    @property
    def best(self) -> dict[str, float]:
        """The highest mean of each measure, of those that tell the contenders apart."""
        found = {name: [means[name].mean for means in self.means.values()] for name in self.measures}
        return {name: max(values) for name, values in found.items() if max(values) > min(values)}

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "data": self.judged.facts(),
            "measures": self.measures,
            "services": [
                {
                    "label": one.contender.label,
                    "service": one.contender.service,
                    "args": one.contender.shown_args(),
                    "model": one.source.model,
                    "revision": one.source.revision,
                    "score_kind": str(one.source.score_kind),
                    "truncated": one.truncated,
                    "means": {name: asdict(value) for name, value in self.means[one.contender.label].items()},
                    "per_query": {
                        query.id: {name: values[n] for name, values in self.per_query[one.contender.label].items()}
                        for n, query in enumerate(self.judged.queries)
                    },
                }
                for one in self.scored
            ],
            "differences": {name: [asdict(one) for one in found] for name, found in self.differences.items()},
        }

    def biggest_changes(self, one: str, other: str, count: int) -> list[tuple[int, float]]:
        """Queries (by position) on which the first measure of ``one`` and ``other`` differs most, and by how much."""
        measure = self.measures[0]
        changes = [
            (position, mine - theirs)
            for position, (mine, theirs) in enumerate(
                zip(self.per_query[one][measure], self.per_query[other][measure], strict=True)
            )
            if mine != theirs
        ]
        return sorted(changes, key=lambda change: -abs(change[1]))[:count]


def assess(judged: JudgedSet, scored: Sequence[Scored], measures: Mapping[str, ir_measures.Measure]) -> Quality:
    """Measure every contender on every query."""
    per_query = {one.contender.label: score_queries(measures, judged.queries, one.scores) for one in scored}
    return Quality(
        judged,
        scored,
        per_query,
        {label: {name: interval(values) for name, values in found.items()} for label, found in per_query.items()},
        {name: compare_pairs({label: found[name] for label, found in per_query.items()}) for name in measures},
    )
