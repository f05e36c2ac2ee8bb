"""Does the model work? Asked once it is loaded, before it answers anybody."""

from __future__ import annotations

import math

from rerankit.errors import ProtocolError
from rerankit.reranker import PairReranker
from rerankit.scoring import ScoreBatch, ScoreKind, ScoreRequest, checked_batch

__all__ = ["self_test"]

_QUERY = "Which planet is known as the Red Planet?"
_RIGHT = "Mars, known for its reddish appearance, is often referred to as the Red Planet."
_WRONG = "The recipe needs two eggs, a cup of flour and a little butter."
_RANGES = {
    ScoreKind.PROBABILITY: (0.0, 1.0),
    ScoreKind.CALIBRATED: (0.0, 1.0),
    ScoreKind.SIMILARITY: (-1.0, 1.0),
}
_ROUNDING = 1e-6


def self_test(reranker: PairReranker, label: str, *, order: bool) -> ScoreBatch:
    """Score an answer and a passage that has nothing to do with it; gives the batch, which names the model.

    Args:
        reranker: just loaded.
        label: what errors call it.
        order: the answer must score higher.

    Raises:
        ProtocolError: not one finite score each, outside the range its kind promises, or in the wrong order.
        BackendError: the backend fails.
    """
    batch = reranker.score_pairs(ScoreRequest([(_QUERY, _WRONG), (_QUERY, _RIGHT)]))
    scores = [score for score in checked_batch(batch, 2, label).scores if score is not None]
    low, high = _RANGES.get(batch.score_kind or reranker.capabilities.score_kind, (-math.inf, math.inf))
    if len(scores) < 2 or not all(low - _ROUNDING <= score <= high + _ROUNDING for score in scores):
        raise ProtocolError(
            f"{label} failed its self-test: {scores} are not two scores in [{low}, {high}]", service=label
        )
    if order and scores[1] <= scores[0]:
        raise ProtocolError(
            f"{label} failed its self-test: the answer scored {scores[1]:.4g}, an unrelated text {scores[0]:.4g}",
            remedy="check the model's files, or serve a model that reads no English with --no-self-test",
            service=label,
        )
    return batch
