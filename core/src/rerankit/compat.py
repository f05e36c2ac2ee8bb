"""sentence-transformers' ``CrossEncoder`` over any reranker, for code that calls ``predict`` or ``rank``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rerankit.adapters import as_pair_reranker
from rerankit.documents import check_query, texts_of
from rerankit.errors import DeadlineExceededError, InputError
from rerankit.reranker import AbstractReranker
from rerankit.scoring import Pair, ScoreRequest, checked_batch

__all__ = ["CrossEncoderFace"]


class CrossEncoderFace:
    """``predict`` and ``rank`` as sentence-transformers spells them; beir's ``Rerank`` takes it as its model.

    Scores are plain floats, not an array. ``batch_size`` and ``show_progress_bar`` are taken and change nothing:
    the reranker makes its own batches.

    Args:
        reranker: what scores.
    """

    def __init__(self, reranker: AbstractReranker) -> None:
        self.reranker = as_pair_reranker(reranker)

    def predict(
        self, inputs: Sequence[Sequence[str]], batch_size: int = 32, show_progress_bar: bool | None = None
    ) -> list[float]:
        """The score of each (query, document) pair, in input order.

        Raises:
            InputError: something is no pair of texts, or a query is empty.
        """
        pairs = [_pair(given, position) for position, given in enumerate(inputs)]
        if not pairs:
            return []
        batch = checked_batch(self.reranker.score_pairs(ScoreRequest(pairs)), len(pairs), self.reranker.label)
        scores = [score for score in batch.scores if score is not None]
        if len(scores) < len(pairs):
            raise DeadlineExceededError(f"{len(pairs) - len(scores)} of {len(pairs)} pairs were not scored")
        return scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
    ) -> list[dict[str, Any]]:
        """``corpus_id`` and ``score`` of each document, and its ``text`` if asked for; most relevant first."""
        ranking = self.reranker.rerank(query, documents, top_k)
        return [
            {"corpus_id": ranked.index, "score": ranked.score} | ({"text": ranked.document} if return_documents else {})
            for ranked in ranking
        ]


def _pair(given: Any, position: int) -> Pair:
    if isinstance(given, str) or len(given) != 2:
        raise InputError(
            f"input {position} is no pair (query, document)", value=given, remedy="pass [(query, text), ...]"
        )
    return check_query(given[0]), texts_of([given[1]])[0]
