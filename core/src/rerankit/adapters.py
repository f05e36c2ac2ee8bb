"""Any reranker as a ``PairReranker``: policy, service and wire speak only pairs."""

from __future__ import annotations

from collections.abc import Sequence

from rerankit.reranker import AbstractReranker, PairReranker
from rerankit.scoring import Pair, ScoreBatch, ScoreRequest, checked_scores

__all__ = ["as_pair_reranker"]


def as_pair_reranker(reranker: AbstractReranker) -> PairReranker:
    """``reranker`` itself if it speaks pairs, else wrapped: checked, with its name and capabilities kept.

    The pairs of a request are passed to ``get_scores`` (``aget_scores`` for asynchronous callers) one call
    for each query, in order. A plain backend cannot be told a deadline: it is looked at between the calls.
    """
    return reranker if isinstance(reranker, PairReranker) else _Adapted(reranker)


class _Adapted(PairReranker):
    def __init__(self, plain: AbstractReranker) -> None:
        self._plain = plain
        self.service = plain.service
        self.capabilities = plain.capabilities

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        scores: list[float | None] = [None] * len(request.pairs)
        for query, positions in _by_query(request.pairs).items():
            request.raise_if_stopped()
            texts = [request.pairs[position][1] for position in positions]
            self._place(scores, positions, self._plain.get_scores(query, texts))
        return ScoreBatch(scores)

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        scores: list[float | None] = [None] * len(request.pairs)
        for query, positions in _by_query(request.pairs).items():
            request.raise_if_stopped()
            texts = [request.pairs[position][1] for position in positions]
            self._place(scores, positions, await self._plain.aget_scores(query, texts))
        return ScoreBatch(scores)

    def close(self) -> None:
        self._plain.close()

    async def aclose(self) -> None:
        await self._plain.aclose()

    @property
    def label(self) -> str:
        return self.service or self._plain.label

    def _place(self, scores: list[float | None], positions: Sequence[int], found: object) -> None:
        for position, score in zip(positions, checked_scores(found, len(positions), self.label), strict=True):
            scores[position] = score


def _by_query(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for position, (query, _) in enumerate(pairs):
        positions.setdefault(query, []).append(position)
    return positions
