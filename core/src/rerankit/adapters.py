"""Any reranker as a ``PairReranker``: policy, service and wire speak only pairs."""

from __future__ import annotations

from collections.abc import Sequence

from rerankit.detached import DetachedCalls
from rerankit.reranker import AbstractReranker, PairReranker
from rerankit.scoring import Pair, ScoreBatch, ScoreRequest, checked_scores

__all__ = ["as_pair_reranker"]


def as_pair_reranker(reranker: AbstractReranker) -> PairReranker:
    """``reranker`` itself if it speaks pairs, else wrapped: checked, with its name and capabilities kept.

    The pairs of a request are passed to ``get_scores`` (``aget_scores`` for asynchronous callers) one call
    for each query, in order. A plain backend cannot be told a deadline: where there is one, ``get_scores`` runs in a
    thread of its own, which is left behind when the deadline comes; see ``DetachedCalls``.
    """
    return reranker if isinstance(reranker, PairReranker) else _Adapted(reranker)


class _Adapted(PairReranker):
    def __init__(self, plain: AbstractReranker) -> None:
        self._plain = plain
        self.service = plain.service
        self.capabilities = plain.capabilities
        self._calls = DetachedCalls(self.label)
        self._threaded = type(plain).aget_scores is AbstractReranker.aget_scores

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        found: dict[str, list[float]] = {}
        for query, texts in _by_query(request.pairs).items():
            request.raise_if_stopped()
            remaining = request.remaining()
            if remaining is None:
                scores = self._plain.get_scores(query, texts)
            else:
                scores = self._calls.call(remaining, self._plain.get_scores, query, texts)
            found[query] = checked_scores(scores, len(texts), self.label)
        return ScoreBatch(_in_order(request.pairs, found))

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        found: dict[str, list[float]] = {}
        for query, texts in _by_query(request.pairs).items():
            request.raise_if_stopped()
            if self._threaded and request.deadline is not None:
                scores = await self._calls.acall(self._plain.get_scores, query, texts)
            else:
                scores = await self._plain.aget_scores(query, texts)
            found[query] = checked_scores(scores, len(texts), self.label)
        return ScoreBatch(_in_order(request.pairs, found))

    def close(self) -> None:
        self._plain.close()

    async def aclose(self) -> None:
        await self._plain.aclose()

    @property
    def label(self) -> str:
        return self.service or self._plain.label


def _by_query(pairs: Sequence[Pair]) -> dict[str, list[str]]:
    if len({query for query, _ in pairs}) == 1:
        return {pairs[0][0]: [document for _, document in pairs]}
    texts: dict[str, list[str]] = {}
    for query, document in pairs:
        texts.setdefault(query, []).append(document)
    return texts


def _in_order(pairs: Sequence[Pair], found: dict[str, list[float]]) -> list[float]:
    if len(found) == 1:
        return found[pairs[0][0]]
    scores = {query: iter(of_query) for query, of_query in found.items()}
    return [next(scores[query]) for query, _ in pairs]
