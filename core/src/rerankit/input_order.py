"""No reranking, said openly: what ``reranker_service: null`` gives."""

from __future__ import annotations

from collections.abc import Sequence

from rerankit.errors import ConfigurationError
from rerankit.reranker import PairReranker
from rerankit.scoring import ScoreBatch, ScoreRequest

__all__ = ["InputOrder"]


class InputOrder(PairReranker):
    """Rankings in input order, ``partial`` and ``served_by`` ``input_order``; no scores are invented."""

    service = "input_order"

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        return ScoreBatch([None] * len(request.pairs), partial=True)

    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        """
        Raises:
            ConfigurationError: always; nothing is configured that could score.
        """
        raise ConfigurationError(
            "reranker_service is null: there are no scores to get",
            remedy="name a service, or call rerank(), which keeps the input order",
        )

    async def aget_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        return self.get_scores(query, documents)
