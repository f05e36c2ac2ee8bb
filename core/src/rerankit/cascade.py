"""Two services in a row: a cheap one over all documents, an expensive one over the best of them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveInt

from rerankit.arguments import ServiceArguments
from rerankit.loading import load_from_settings
from rerankit.policy.settings import FallbackService
from rerankit.policy.steps import Layer, Score, Steps
from rerankit.reranker import PairReranker
from rerankit.scoring import Capabilities, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.settings import Settings

__all__ = ["CascadeArguments", "CascadeReranker", "cascade"]

Stage = Annotated[
    FallbackService,
    BeforeValidator(
        lambda value: {"service": value} if isinstance(value, str) else value,
        json_schema_input_type=str | FallbackService,
    ),
]

_UNIT = (ScoreKind.PROBABILITY, ScoreKind.CALIBRATED)


class CascadeArguments(ServiceArguments):
    """The two services, each a name or an object with ``service`` and ``args``."""

    first: Stage = Field(description="the cheap service, which scores every document")
    second: Stage = Field(description="the expensive service, which scores the best k of them")
    k: PositiveInt = Field(32, description="documents of a query that the second service scores")


def cascade(first: FallbackService, second: FallbackService, k: int = 32) -> CascadeReranker:
    """The service ``cascade``: both stages loaded by name, each with the policy's defaults around it.

    Raises:
        RerankitError: a stage cannot be loaded; as ``load_reranker``.
    """
    one, two = (load_from_settings(Settings(stage.service, stage.args, {}, {})) for stage in (first, second))
    return CascadeReranker(one, two, k)


class CascadeReranker(Layer):
    """The best ``k`` documents of ``first`` by the scores of ``second``, the others after them as ``first`` has them.

    A document that only ``first`` scored keeps that score where it lies below every score of ``second``; otherwise
    it is held just below them. Scores are ``probability`` where those of both stages lie in [0, 1], else of the kind
    both share, or ``unknown``.

    Args:
        first: scores everything.
        second: scores the best ``k`` documents of each query.
        k: at least 1.
    """

    def __init__(self, first: PairReranker, second: PairReranker, k: int = 32) -> None:
        super().__init__(first)
        self.service = None
        self.second = second
        self.k = k

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """Listwise, since which documents the second stage sees depends on the others; the first stage's limits."""
        kind = _shared(self.inner.capabilities.score_kind, self.second.capabilities.score_kind)
        return replace(self.inner.capabilities, score_kind=kind, listwise=True)

    @property
    def fingerprint(self) -> str | None:
        """Of both stages and ``k``."""
        parts = (self.inner.fingerprint, self.second.fingerprint)
        return None if None in parts else f"cascade:{self.k}:{parts[0]}:{parts[1]}"

    @property
    def label(self) -> str:
        return self.service or type(self).__name__

    def close(self) -> None:
        try:
            self.inner.close()
        finally:
            self.second.close()

    async def aclose(self) -> None:
        try:
            await self.inner.aclose()
        finally:
            await self.second.aclose()

    def _steps(self, request: ScoreRequest) -> Steps:
        started = time.perf_counter()
        first = yield from Score(self.inner, request)
        between = time.perf_counter()
        queries = _orders(request, first.scores)
        chosen = [position for order in queries for position in order[: self.k]]
        if not chosen:
            return replace(first, timings={"first": between - started})
        second = yield from Score(self.second, replace(request, pairs=[request.pairs[i] for i in chosen]))
        timings = {"first": between - started, "second": time.perf_counter() - between}
        return self._merged(first, second, chosen, queries, timings)

    def _merged(
        self,
        first: ScoreBatch,
        second: ScoreBatch,
        chosen: Sequence[int],
        queries: Sequence[Sequence[int]],
        timings: Mapping[str, float],
    ) -> ScoreBatch:
        kind = _shared(
            first.score_kind or self.inner.capabilities.score_kind,
            second.score_kind or self.second.capabilities.score_kind,
        )
        expensive = {i: score for i, score in zip(chosen, second.scores, strict=True) if score is not None}
        cheap = {i: score for i, score in enumerate(first.scores) if score is not None}
        scores = list(first.scores)
        for order in queries:
            for i, score in zip(order, _in_one_order(order, cheap, expensive, kind), strict=True):
                scores[i] = score
        coverage, tokens = None, None
        if first.coverage is not None and second.coverage is not None:
            coverage = list(first.coverage)
            for i, share in zip(chosen, second.coverage, strict=True):
                coverage[i] = share
        if first.tokens is not None and second.tokens is not None:
            tokens = list(first.tokens)
            for i, count in zip(chosen, second.tokens, strict=True):
                tokens[i] += count
        return ScoreBatch(
            scores,
            coverage,
            tokens,
            model=second.model,
            revision=second.revision,
            score_kind=kind,
            timings=timings,
            degraded=first.degraded or second.degraded,
            partial=first.partial,
            attempts=first.attempts + second.attempts,
        )


def _orders(request: ScoreRequest, scores: Sequence[float | None]) -> list[list[int]]:
    """The positions of each query's scored pairs, best first, ties in input order."""
    queries: dict[str, list[tuple[float, int]]] = {}
    for position, ((query, _), score) in enumerate(zip(request.pairs, scores, strict=True)):
        if score is not None:
            queries.setdefault(query, []).append((-score, position))
    return [[position for _, position in sorted(found)] for found in queries.values()]


def _shared(one: ScoreKind, other: ScoreKind) -> ScoreKind:
    if one in _UNIT and other in _UNIT:
        return ScoreKind.PROBABILITY
    return one if one == other else ScoreKind.UNKNOWN


def _in_one_order(
    order: Sequence[int], cheap: Mapping[int, float], expensive: Mapping[int, float], kind: ScoreKind
) -> list[float]:
    """Scores of one query's documents, which come best first by ``cheap``: the best by ``expensive``, others below."""
    rest = sum(i not in expensive for i in order)
    # In [0, 1] the rest needs room between the lowest score and zero, should that be zero itself.
    floor = rest * math.ulp(0.0) if kind in _UNIT else -math.inf
    best = {i: max(expensive[i], floor) for i in order if i in expensive}
    bound, before = min(best.values(), default=math.inf), math.inf
    scores = []
    for i in order:
        if i not in best and cheap[i] != before:
            bound, before = min(cheap[i], math.nextafter(bound, -math.inf)), cheap[i]
        scores.append(best.get(i, bound))
    return scores
