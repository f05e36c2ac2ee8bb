"""Scoring every candidate of a judged set with one contender: query by query, so that a killed run goes on."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rerankit import PairReranker, ScoreKind
from rerankit.errors import BackendError
from rerankit.policy.cache import ScoreCache
from rerankit.policy.disk import DiskScores
from rerankit_eval.contenders import Contender
from rerankit_eval.judged import JudgedSet

__all__ = ["STORE_BYTES", "Scored", "Source", "score_all"]

STORE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Source:
    """Who gave a score."""

    model: str | None
    revision: str | None
    score_kind: ScoreKind


@dataclass(frozen=True, slots=True)
class Scored:
    """What one contender made of a judged set.

    Attributes:
        scores: by query id, one a candidate (8 bytes each).
        truncated: documents the model saw only in part; ``None`` where the backend does not say.
        computed: pairs that were scored now; equal documents of a query count once where scores are kept.
        known: scores that were found in the store.
        kept: whether its scores are kept, so that a killed run goes on: pointwise, and with a fingerprint.
        seconds: spent on scoring, loading left out.
    """

    contender: Contender
    scores: dict[str, array[float]]
    source: Source
    truncated: int | None
    computed: int
    known: int
    kept: bool
    seconds: float


def score_all(
    judged: JudgedSet, contender: Contender, store: Path | None, advance: Callable[[], object] = lambda: None
) -> Scored:
    """Score every candidate.

    Args:
        store: the file that keeps scores; ``None`` keeps none.
        advance: called after each query.

    Raises:
        RerankitError: the contender cannot be loaded, fails for good, or changes its model on the way.
    """
    cache = None if store is None else ScoreCache(0, DiskScores(store, STORE_BYTES))
    scores: dict[str, array[float]] = {}
    sources: dict[Source, None] = {}
    truncated: int | None = 0
    seconds = 0.0
    with contender.build(cache) as reranker:
        kept = cache is not None and _keepable(reranker)
        for query in judged.queries:
            texts = judged.corpus.texts(query)
            started = time.perf_counter()
            ranking = reranker.rerank(query.text, texts)
            seconds += time.perf_counter() - started
            # Input order gives no scores; falling numbers keep it.
            of_query = array("d", range(0, -len(texts), -1))
            for document in ranking:
                if document.score is not None:
                    of_query[document.index] = document.score
            scores[query.id] = of_query
            if texts:
                sources[Source(ranking.model, ranking.revision, ranking.score_kind)] = None
                truncated = None if truncated is None or ranking.truncated is None else truncated + ranking.truncated
            advance()
    if len(sources) > 1:
        raise BackendError(
            f"{contender.label} changed its model while it was measured: {', '.join(map(str, sources))}",
            remedy="run it again when the service is settled",
            service=contender.service,
        )
    computed, known = sum(map(len, scores.values())), 0
    if cache is not None and kept:
        computed, known = cache.misses, cache.hits
    return Scored(contender, scores, next(iter(sources)), truncated, computed, known, kept, seconds)


def _keepable(reranker: PairReranker) -> bool:
    return reranker.fingerprint is not None and not reranker.capabilities.listwise
