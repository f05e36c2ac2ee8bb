"""Rankings: every document once and untouched, best first; bad input refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from rerankit.reranker import AbstractReranker, PairReranker
from rerankit.testing.checks import check_ranking, check_refused
from rerankit.testing.conformance.suite import Suite
from rerankit.testing.material import QUERY, Note, passages

__all__ = ["RankingChecks"]


class RankingChecks(Suite):
    """What ``rerank`` gives, and what it takes."""

    def test_ranking_is_complete_and_in_order(self, reranker: AbstractReranker) -> None:
        """Score descending, ties in input order, every document once and the caller's own, scores as get_scores'."""
        documents = passages(reranker)
        ranking = reranker.rerank(QUERY, documents)
        check_ranking(ranking, documents)
        by_index = [scored.score for scored in sorted(ranking, key=lambda scored: scored.index)]
        self.alike(by_index, reranker.get_scores(QUERY, documents), "rerank beside get_scores")
        assert ranking.served_by, "the ranking does not say who made it"

    def test_ties_keep_input_order(self, reranker: AbstractReranker) -> None:
        """Equal scores leave documents in input order."""
        documents = [passages(reranker)[0]] * min(5, reranker.capabilities.max_documents or 5)
        check_ranking(reranker.rerank(QUERY, documents), documents)

    def test_top_n_keeps_the_best(self, reranker: AbstractReranker) -> None:
        """top_n is a prefix of the whole ranking; more than there are is all."""
        documents = passages(reranker)
        whole = [scored.score for scored in reranker.rerank(QUERY, documents)]
        for top_n in (1, len(documents), len(documents) + 5):
            best = reranker.rerank(QUERY, documents, top_n)
            assert len(best) == min(top_n, len(documents)), f"top_n={top_n} kept {len(best)} of {len(documents)}"
            self.alike([scored.score for scored in best], whole[:top_n], f"top_n={top_n}")

    def test_documents_of_any_shape_come_back_untouched(self, reranker: AbstractReranker) -> None:
        """Strings, mappings and objects are the caller's own afterwards, and unchanged; a tuple does for a list."""
        texts = passages(reranker)[:3]
        makers: list[Callable[[str], Any]] = [
            str,
            lambda text: {"text": text, "tags": ["a"]},
            lambda text: Note(text, 7),
        ]
        documents = [make(text) for make, text in zip(makers, texts, strict=False)]
        before = copy.deepcopy(documents)
        ranking = reranker.rerank(QUERY, documents)
        assert documents == before, "rerank changed the caller's documents"
        check_ranking(ranking, documents)
        given = passages(reranker)
        scores = reranker.get_scores(QUERY, given)
        assert given == passages(reranker), "get_scores changed the caller's list"
        self.alike(reranker.get_scores(QUERY, tuple(given)), scores, "a tuple")

    def test_bad_input_is_refused(self, reranker: AbstractReranker) -> None:
        """An empty query, a string for a list, a document without text and top_n of 0 are InputErrors."""
        documents: list[Any] = passages(reranker)[:1]
        bad: list[tuple[Any, ...]] = [
            ("", documents),
            (" \n", documents),
            (None, documents),
            (QUERY, documents[0]),
            (QUERY, None),
            (QUERY, [None]),
            (QUERY, [{"id": 1}]),
        ]
        calls: list[Callable[..., object]] = [reranker.rerank, reranker.arerank]
        if isinstance(reranker, PairReranker):
            calls += [reranker.get_scores, reranker.aget_scores]
        for call in calls:
            for arguments in bad:
                check_refused(call, *arguments)
        for top_n in (0, -1, 1.5, "3"):
            check_refused(reranker.rerank, QUERY, documents, top_n)
