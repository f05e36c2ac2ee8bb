"""Equal documents of a call are scored once."""

from __future__ import annotations

from dataclasses import replace

from rerankit.errors import InvalidArgumentError
from rerankit.policy.steps import Layer, Score, Steps
from rerankit.reranker import PairReranker
from rerankit.scoring import ScoreRequest

__all__ = ["DedupReranker"]


class DedupReranker(Layer):
    """Sends each pair once, in the order of first appearance; its twins get the same score and cost no tokens.

    Raises:
        InvalidArgumentError: the backend is listwise: with a document removed the other scores would change.
    """

    def __init__(self, inner: PairReranker) -> None:
        if inner.capabilities.listwise:
            raise InvalidArgumentError(
                f"{inner.label} is listwise: without a duplicate the other documents' scores would change",
                remedy="leave reranker_policy.deduplicate unset",
                value="deduplicate",
            )
        super().__init__(inner)

    def _steps(self, request: ScoreRequest) -> Steps:
        places = dict.fromkeys(request.pairs, 0)
        if len(places) == len(request.pairs):
            return (yield from Score(self.inner, request))
        unique = list(places)
        for place, pair in enumerate(unique):
            places[pair] = place
        batch = yield from Score(self.inner, replace(request, pairs=unique))
        where = [places[pair] for pair in request.pairs]
        tokens = None
        if batch.tokens is not None:
            costs = dict(enumerate(batch.tokens))
            tokens = [costs.pop(place, 0) for place in where]
        return replace(
            batch,
            scores=[batch.scores[place] for place in where],
            coverage=None if batch.coverage is None else [batch.coverage[place] for place in where],
            tokens=tokens,
        )
