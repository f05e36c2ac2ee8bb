"""What the application holds: the public methods over the composed policy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeVar

from rerankit.errors import BackendError
from rerankit.policy.observe import ObservedReranker
from rerankit.ranking import RankedDocument, Ranking
from rerankit.reranker import PairReranker
from rerankit.scoring import Attempt

__all__ = ["FrontReranker"]

D = TypeVar("D")


class FrontReranker(ObservedReranker):
    """Observed, and with an answer of last resort.

    ``get_scores`` gives bare numbers, so it may need a chain of its own that keeps what they mean; ``rerank`` and
    ``score_pairs`` say who scored, so they take any service of the chain.

    Args:
        inner: scores for ``rerank`` and ``score_pairs``.
        for_scores: scores for ``get_scores``; ``inner``, if left out.
        input_order: when every service failed, ``rerank`` keeps the input order, marked ``degraded`` and
            ``served_by`` nobody, instead of raising. ``get_scores`` raises all the same: there are no scores.
    """

    def __init__(
        self, inner: PairReranker, *, for_scores: PairReranker | None = None, input_order: bool = False
    ) -> None:
        super().__init__(inner)
        self._for_scores = None if for_scores is None else ObservedReranker(for_scores)
        self._input_order = input_order

    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        if self._for_scores is None:
            return super().get_scores(query, documents)
        return self._for_scores.get_scores(query, documents)

    async def aget_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        if self._for_scores is None:
            return await super().aget_scores(query, documents)
        return await self._for_scores.aget_scores(query, documents)

    def rerank(
        self, query: str, documents: Sequence[D], top_n: int | None = None, *, text_field: str | None = None
    ) -> Ranking[D]:
        started = time.perf_counter()
        try:
            return super().rerank(query, documents, top_n, text_field=text_field)
        except BackendError as error:
            if not self._input_order:
                raise
            return self._unranked(documents, top_n, error, started)

    async def arerank(
        self, query: str, documents: Sequence[D], top_n: int | None = None, *, text_field: str | None = None
    ) -> Ranking[D]:
        started = time.perf_counter()
        try:
            return await super().arerank(query, documents, top_n, text_field=text_field)
        except BackendError as error:
            if not self._input_order:
                raise
            return self._unranked(documents, top_n, error, started)

    def _unranked(self, documents: Sequence[D], top_n: int | None, error: BackendError, started: float) -> Ranking[D]:
        seconds = time.perf_counter() - started
        return Ranking(
            documents=tuple([RankedDocument(i, None, document) for i, document in enumerate(list(documents)[:top_n])]),
            degraded=True,
            timings={"total": seconds},
            attempts=error.attempts or (Attempt(self.label, seconds, error.code),),
        )
