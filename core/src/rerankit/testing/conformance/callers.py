"""Callers: from event loops, from many threads, of several queries in one request, and those that have gone."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rerankit.errors import RerankTimeoutError, ScoringCancelledError
from rerankit.ranking import Ranking
from rerankit.reranker import AbstractReranker
from rerankit.scoring import ScoreRequest
from rerankit.testing.checks import check_ranking, check_scores, together
from rerankit.testing.conformance.suite import Suite
from rerankit.testing.material import OTHER_QUERY, QUERY, passages

__all__ = ["CallerChecks", "RequestChecks"]


class CallerChecks(Suite):
    """The same answers, whoever calls and from where."""

    def test_async_gives_what_sync_gives(self, reranker: AbstractReranker) -> None:
        """aget_scores and arerank answer like get_scores and rerank: at once, and on two event loops in turn."""
        documents = passages(reranker)
        scores = reranker.get_scores(QUERY, documents)
        other = reranker.get_scores(OTHER_QUERY, documents)

        async def both() -> tuple[list[float], list[float], Ranking[str]]:
            return await asyncio.gather(
                reranker.aget_scores(QUERY, documents),
                reranker.aget_scores(OTHER_QUERY, documents),
                reranker.arerank(QUERY, documents),
            )

        for turn in ("the first event loop", "the second event loop"):
            first, second, ranking = asyncio.run(both())
            check_scores(first, len(documents))
            self.alike(first, scores, f"aget_scores on {turn}")
            self.alike(second, other, f"a concurrent aget_scores on {turn}")
            check_ranking(ranking, documents)

    def test_sync_works_inside_an_event_loop(self, reranker: AbstractReranker) -> None:
        """get_scores may be called by code that an event loop runs, as in a notebook."""
        documents = passages(reranker)

        async def caller() -> list[float]:
            return reranker.get_scores(QUERY, documents)

        self.alike(asyncio.run(caller()), reranker.get_scores(QUERY, documents), "get_scores inside an event loop")

    def test_threads_do_not_disturb_each_other(self, reranker: AbstractReranker) -> None:
        """Eight threads at once each get the scores of their own question."""
        documents = passages(reranker)[:3]
        calls = [(f"{QUERY} {n}" if n % 2 else f"{n} {OTHER_QUERY}", documents[n % 3 :]) for n in range(8)]
        calls = [(query, given or documents) for query, given in calls]
        expected = [reranker.get_scores(*call) for call in calls]
        for number, scores in enumerate(together(lambda n: reranker.get_scores(*calls[n]), len(calls))):
            self.alike(scores, expected[number], "get_scores in one of eight threads")


class RequestChecks(Suite):
    """``score_pairs``, where the backend has it."""

    def test_pairs_of_several_queries(self, reranker: AbstractReranker) -> None:
        """One request may hold pairs of several callers: each scores as in a request of its own."""
        backend = self.pair_reranker(reranker)
        self.pointwise(reranker)
        documents = passages(reranker)
        pairs = [((QUERY, OTHER_QUERY)[n % 2], document) for n, document in enumerate(documents)]
        batch = backend.score_pairs(ScoreRequest(pairs))
        alone = [backend.get_scores(query, [document])[0] for query, document in pairs]
        self.alike(batch.scores, alone, "pairs of two queries in one request")

    def test_figures_about_scores(self, reranker: AbstractReranker) -> None:
        """Coverage is a share, tokens are counts, token_counts has one a pair, the fingerprint stays."""
        backend = self.pair_reranker(reranker)
        pairs = [(QUERY, document) for document in passages(reranker)]
        batch = backend.score_pairs(ScoreRequest(pairs))
        assert batch.coverage is None or len(batch.coverage) == len(pairs), "coverage has not one figure a pair"
        assert all(0.0 <= share <= 1.0 for share in batch.coverage or ()), f"coverage is no share: {batch.coverage}"
        assert batch.tokens is None or len(batch.tokens) == len(pairs), "tokens has not one figure a pair"
        assert all(count >= 0 for count in batch.tokens or ()), f"tokens are no counts: {batch.tokens}"
        counts = backend.token_counts(pairs)
        assert [type(count) for count in counts] == [int] * len(pairs), f"token_counts gave {counts}"
        assert min(counts) >= 1, f"token_counts gave {counts}"
        assert backend.fingerprint == backend.fingerprint, "the fingerprint changes between two calls"

    def test_stops_when_told(self, reranker: AbstractReranker) -> None:
        """A request whose caller has gone, or whose deadline has passed, is not computed."""
        backend = self.pair_reranker(reranker)
        pairs = [(QUERY, document) for document in passages(reranker)]
        gone = threading.Event()
        gone.set()
        with pytest.raises(ScoringCancelledError):
            backend.score_pairs(ScoreRequest(pairs, cancelled=gone))
        try:
            late = backend.score_pairs(ScoreRequest(pairs, deadline=0.0))
        except RerankTimeoutError:
            return
        assert late.partial, "a request whose deadline had passed was computed: call request.raise_if_stopped()"
