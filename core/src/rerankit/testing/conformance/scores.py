"""Scores: one finite float a document, in input order, of its pair alone, for any text."""

from __future__ import annotations

import asyncio
import math

import pytest

from rerankit.reranker import AbstractReranker, PairReranker
from rerankit.scoring import Capabilities, ScoreKind
from rerankit.testing.checks import check_ranking, check_scores
from rerankit.testing.conformance.suite import Suite
from rerankit.testing.material import LONG_QUERY, OTHER_QUERY, QUERY, UNUSUAL, long_document, passages

__all__ = ["ScoreChecks"]

_RANGES = {
    ScoreKind.PROBABILITY: (0.0, 1.0),
    ScoreKind.CALIBRATED: (0.0, 1.0),
    ScoreKind.SIMILARITY: (-1.0, 1.0),
}
_ROUNDING = 1e-6


class ScoreChecks(Suite):
    """What a backend says it is, and what ``get_scores`` gives."""

    def test_says_what_it_is(self, reranker: AbstractReranker) -> None:
        """It is an AbstractReranker, true, named, and its limits are positive."""
        assert isinstance(reranker, AbstractReranker), "derive the backend from rerankit.AbstractReranker"
        assert reranker, "applications test `if reranker:`"
        assert reranker.label, "the backend has no name"
        said = reranker.capabilities
        assert isinstance(said, Capabilities), "capabilities is not a Capabilities"
        assert isinstance(said.score_kind, ScoreKind), f"score_kind {said.score_kind!r} is not a ScoreKind"
        for name in ("max_documents", "max_characters", "max_tokens"):
            limit = getattr(said, name)
            assert limit is None or (type(limit) is int and limit >= 1), f"{name} is {limit!r}"
        assert said.max_concurrency >= 1, f"max_concurrency is {said.max_concurrency!r}"

    def test_no_documents_no_scores(self, reranker: AbstractReranker) -> None:
        """An empty list gives an empty list, everywhere."""
        check_scores(reranker.get_scores(QUERY, []), 0)
        check_scores(asyncio.run(reranker.aget_scores(QUERY, [])), 0)
        check_ranking(reranker.rerank(QUERY, []), [])
        check_ranking(asyncio.run(reranker.arerank(QUERY, [])), [])

    def test_one_finite_float_a_document(self, reranker: AbstractReranker) -> None:
        """A list of plain finite floats, one a document, however many there are."""
        for count in (1, 2, 33):
            documents = [f"{text} ({count})" for text in passages(reranker) * 33]
            documents = documents[: min(count, reranker.capabilities.max_documents or count)]
            check_scores(reranker.get_scores(QUERY, documents), len(documents))

    def test_scores_follow_their_documents(self, reranker: AbstractReranker) -> None:
        """Scores come in input order: turning the documents round turns the scores round."""
        self.pointwise(reranker)
        documents = passages(reranker)
        if len(documents) < 2:
            pytest.skip("the backend takes one document a request")
        scores = reranker.get_scores(QUERY, documents)
        assert max(scores) - min(scores) > 2 * self.tolerance, (
            f"the scores {scores} lie within `tolerance` ({self.tolerance}) of each other, so no check here could "
            "see a wrong order: set a smaller `tolerance`, or test with a model that tells the passages apart"
        )
        self.alike(reranker.get_scores(QUERY, documents[::-1])[::-1], scores, "reversed documents")

    def test_a_score_depends_on_its_pair_alone(self, reranker: AbstractReranker) -> None:
        """A document scores alike alone and in company, long company too."""
        self.pointwise(reranker)
        documents = passages(reranker)
        scores = reranker.get_scores(QUERY, documents)
        alone = [reranker.get_scores(QUERY, [document])[0] for document in documents]
        self.alike(alone, scores, "documents one at a time")
        if reranker.capabilities.max_documents != 1 and reranker.capabilities.max_characters is None:
            beside = reranker.get_scores(QUERY, [long_document(reranker)[:3_000], documents[0]])
            self.alike(beside[1:], scores[:1], "a short document beside a long one")

    def test_scores_depend_on_the_query(self, reranker: AbstractReranker) -> None:
        """Another question about the same documents gets other scores: nothing sticks from the last one."""
        documents = passages(reranker)
        pairs = zip(reranker.get_scores(QUERY, documents), reranker.get_scores(OTHER_QUERY, documents), strict=True)
        assert any(abs(one - other) > self.tolerance for one, other in pairs), "two questions got the same scores"

    def test_duplicates_score_alike(self, reranker: AbstractReranker) -> None:
        """The same text twice in a call is scored twice, alike."""
        self.pointwise(reranker)
        documents = passages(reranker)[:2] * 2
        documents = documents[: reranker.capabilities.max_documents]
        scores = reranker.get_scores(QUERY, documents)
        check_scores(scores, len(documents))
        self.alike(scores[2:], scores[: len(scores[2:])], "duplicates")

    def test_the_same_call_gives_the_same_scores(self, reranker: AbstractReranker) -> None:
        """Scores do not drift from call to call, nor with what was asked in between."""
        documents = passages(reranker)
        first = reranker.get_scores(QUERY, documents)
        reranker.get_scores(OTHER_QUERY, documents[::-1])
        self.alike(reranker.get_scores(QUERY, documents), first, "the same call again")

    def test_scores_lie_in_their_range(self, reranker: AbstractReranker) -> None:
        """Scores keep to what score_kind promises: [0, 1] for probability and calibrated, [-1, 1] for similarity."""
        ranking = reranker.rerank(QUERY, passages(reranker))
        assert isinstance(ranking.score_kind, ScoreKind), f"{ranking.score_kind!r} is not a ScoreKind"
        low, high = _RANGES.get(ranking.score_kind, (-math.inf, math.inf))
        for scored in ranking:
            assert scored.score is not None, f"document {scored.index} was not scored"
            assert low - _ROUNDING <= scored.score <= high + _ROUNDING, (
                f"{scored.score} is no {ranking.score_kind}: it must lie in [{low}, {high}]"
            )

    def test_blank_documents_are_scored(self, reranker: AbstractReranker) -> None:
        """Empty and white documents get a score; only an empty query is an error."""
        for blank in ("", " ", "\n\t", "\u3000"):
            check_scores(reranker.get_scores(QUERY, [blank]), 1)

    def test_any_text_is_scored(self, reranker: AbstractReranker) -> None:
        """Other scripts, emoji, control characters, special tokens and lone surrogates, as document and as query."""
        for text in UNUSUAL:
            check_ranking(reranker.rerank(QUERY, [text]), [text])
            check_ranking(reranker.rerank(text, [text, ""][: reranker.capabilities.max_documents]))
            if isinstance(reranker, PairReranker):
                check_scores(reranker.get_scores(QUERY, [text]), 1)

    def test_very_long_text_is_scored(self, reranker: AbstractReranker) -> None:
        """A document or query longer than the model's window is cut or windowed, never an error."""
        document = long_document(reranker)
        check_scores(reranker.get_scores(QUERY, [document]), 1)
        check_scores(reranker.get_scores(QUERY, ["a" * min(len(document), 5_000)]), 1)
        if reranker.capabilities.max_characters is None:
            check_scores(reranker.get_scores(LONG_QUERY, [document[:3_000]]), 1)
