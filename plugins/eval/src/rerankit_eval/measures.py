"""Quality measures a query, by ir_measures (trec_eval's definitions)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures

from rerankit.errors import InvalidArgumentError
from rerankit_eval.judged import JudgedQuery

__all__ = ["DEFAULT_MEASURES", "PerQuery", "parse_measures", "ranked", "score_queries"]

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@10", "R@50", "AP")

PerQuery = Mapping[str, Sequence[float]]
"""Values by measure, in the order of the queries."""


def parse_measures(names: Sequence[str], relevant_from: int) -> dict[str, ir_measures.Measure]:
    """ir_measures' measures by the name they are shown under.

    Args:
        names: as ir_measures writes them: ``nDCG@10``, ``RR@10``, ``R@50``, ``AP``, ``P@5``.
        relevant_from: the lowest grade that counts as relevant where a measure knows only relevant and not.

    Raises:
        InvalidArgumentError: no such measure.
    """
    measures = {}
    for name in names:
        try:
            measure = ir_measures.parse_measure(name)
        except (ValueError, NameError, SyntaxError) as error:
            raise InvalidArgumentError(
                f"{name!r} is no measure of ir_measures",
                value=name,
                remedy="use, for example, nDCG@10, RR@10, R@50, AP",
            ) from error
        if "rel" in measure.SUPPORTED_PARAMS and "rel" not in measure.params and relevant_from != 1:
            measure = measure(rel=relevant_from)
        measures[name] = measure
    return measures


def ranked(candidates: Sequence[str], scores: Sequence[float]) -> list[str]:
    """The candidates by score, ties in input order: as a ``Ranking`` has them."""
    order = sorted(range(len(scores)), key=lambda position: -scores[position])
    return [candidates[position] for position in order]


def score_queries(
    measures: Mapping[str, ir_measures.Measure],
    queries: Sequence[JudgedQuery],
    scores: Mapping[str, Sequence[float]],
) -> dict[str, list[float]]:
    """Each measure of each query, in the order of ``queries``.

    Args:
        scores: by query id, one a candidate.
    """
    qrels = {query.id: dict(query.relevance) for query in queries}
    # trec_eval breaks ties by document id, so it gets ranks, not scores.
    run = {
        query.id: {doc: float(-rank) for rank, doc in enumerate(ranked(query.candidates, scores[query.id]))}
        for query in queries
    }
    values = {name: {query.id: 0.0 for query in queries} for name in measures}
    by_measure = {measure: name for name, measure in measures.items()}
    for metric in ir_measures.iter_calc(list(measures.values()), qrels, run):
        values[by_measure[metric.measure]][metric.query_id] = float(metric.value)
    return {name: [of_query[query.id] for query in queries] for name, of_query in values.items()}
