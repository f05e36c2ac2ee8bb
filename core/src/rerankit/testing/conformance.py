"""The conformance suite: what every backend must do, as tests that an author of a backend inherits.

::

    import pytest
    from rerankit.testing import RerankerConformance

    @pytest.fixture(scope="class")
    def reranker():
        with MyReranker(model="small") as reranker:
            yield reranker

    class TestMyReranker(RerankerConformance):
        pass

Nothing of it may go missing: a subclass that sets a test to ``None`` or overrides it is refused when it is
defined, unless the override says why by ``@pytest.mark.xfail(reason="...")`` or ``@pytest.mark.skip(reason="...")``,
which pytest then reports.
"""

from __future__ import annotations

import asyncio
import copy
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from rerankit.errors import InputError, RerankitError, RerankTimeoutError, ScoringCancelledError
from rerankit.ranking import Ranking
from rerankit.reranker import AbstractReranker, PairReranker
from rerankit.scoring import Capabilities, ScoreKind, ScoreRequest
from rerankit.testing.checks import check_ranking, check_refused, check_scores, together
from rerankit.testing.material import (
    LONG_QUERY,
    OTHER_QUERY,
    QUERY,
    UNUSUAL,
    Note,
    long_document,
    passages,
)

__all__ = ["RerankerConformance"]

_RANGES = {
    ScoreKind.PROBABILITY: (0.0, 1.0),
    ScoreKind.CALIBRATED: (0.0, 1.0),
    ScoreKind.SIMILARITY: (-1.0, 1.0),
}
_ROUNDING = 1e-6
_MOST_DOCUMENTS = 1_024
_MOST_CHARACTERS = 100_000


class RerankerConformance:
    """Subclass it as ``Test...``, with a fixture ``reranker`` that gives the backend under test.

    Of scope ``class`` where the backend is slow to make; the test that closes it runs last. A second fixture,
    ``failing_reranker``, is optional: the backend with something wrong outside of it, such as a server that is
    not there, for the mapping of its errors.

    Attributes:
        tolerance: how far apart two scores of one pair may lie, times the score's magnitude where that is
            above 1: what the backend's precision and batching cost. About 1e-5 for float32, 1e-2 for bfloat16.
    """

    tolerance: ClassVar[float] = 1e-3

    # --- what it says about itself ---------------------------------------------------------------------------

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

    # --- scores ----------------------------------------------------------------------------------------------

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
        self._pointwise(reranker)
        documents = passages(reranker)
        if len(documents) < 2:
            pytest.skip("the backend takes one document a request")
        scores = reranker.get_scores(QUERY, documents)
        assert max(scores) - min(scores) > 2 * self.tolerance, (
            f"the scores {scores} lie within `tolerance` ({self.tolerance}) of each other, so no check here could "
            "see a wrong order: set a smaller `tolerance`, or test with a model that tells the passages apart"
        )
        self._alike(reranker.get_scores(QUERY, documents[::-1])[::-1], scores, "reversed documents")

    def test_a_score_depends_on_its_pair_alone(self, reranker: AbstractReranker) -> None:
        """A document scores alike alone and in company, long company too."""
        self._pointwise(reranker)
        documents = passages(reranker)
        scores = reranker.get_scores(QUERY, documents)
        alone = [reranker.get_scores(QUERY, [document])[0] for document in documents]
        self._alike(alone, scores, "documents one at a time")
        if reranker.capabilities.max_documents != 1 and reranker.capabilities.max_characters is None:
            beside = reranker.get_scores(QUERY, [long_document(reranker)[:3_000], documents[0]])
            self._alike(beside[1:], scores[:1], "a short document beside a long one")

    def test_scores_depend_on_the_query(self, reranker: AbstractReranker) -> None:
        """Another question about the same documents gets other scores: nothing sticks from the last one."""
        documents = passages(reranker)
        pairs = zip(reranker.get_scores(QUERY, documents), reranker.get_scores(OTHER_QUERY, documents), strict=True)
        assert any(abs(one - other) > self.tolerance for one, other in pairs), "two questions got the same scores"

    def test_duplicates_score_alike(self, reranker: AbstractReranker) -> None:
        """The same text twice in a call is scored twice, alike."""
        self._pointwise(reranker)
        documents = passages(reranker)[:2] * 2
        documents = documents[: reranker.capabilities.max_documents]
        scores = reranker.get_scores(QUERY, documents)
        check_scores(scores, len(documents))
        self._alike(scores[2:], scores[: len(scores[2:])], "duplicates")

    def test_the_same_call_gives_the_same_scores(self, reranker: AbstractReranker) -> None:
        """Scores do not drift from call to call, nor with what was asked in between."""
        documents = passages(reranker)
        first = reranker.get_scores(QUERY, documents)
        reranker.get_scores(OTHER_QUERY, documents[::-1])
        self._alike(reranker.get_scores(QUERY, documents), first, "the same call again")

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

    # --- texts -----------------------------------------------------------------------------------------------

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

    # --- rankings --------------------------------------------------------------------------------------------

    def test_ranking_is_complete_and_in_order(self, reranker: AbstractReranker) -> None:
        """Score descending, ties in input order, every document once and the caller's own, scores as get_scores'."""
        documents = passages(reranker)
        ranking = reranker.rerank(QUERY, documents)
        check_ranking(ranking, documents)
        by_index = [scored.score for scored in sorted(ranking, key=lambda scored: scored.index)]
        self._alike(by_index, reranker.get_scores(QUERY, documents), "rerank beside get_scores")
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
            self._alike([scored.score for scored in best], whole[:top_n], f"top_n={top_n}")

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
        self._alike(reranker.get_scores(QUERY, tuple(given)), scores, "a tuple")

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

    # --- callers ---------------------------------------------------------------------------------------------

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
            self._alike(first, scores, f"aget_scores on {turn}")
            self._alike(second, other, f"a concurrent aget_scores on {turn}")
            check_ranking(ranking, documents)

    def test_sync_works_inside_an_event_loop(self, reranker: AbstractReranker) -> None:
        """get_scores may be called by code that an event loop runs, as in a notebook."""
        documents = passages(reranker)

        async def caller() -> list[float]:
            return reranker.get_scores(QUERY, documents)

        self._alike(asyncio.run(caller()), reranker.get_scores(QUERY, documents), "get_scores inside an event loop")

    def test_threads_do_not_disturb_each_other(self, reranker: AbstractReranker) -> None:
        """Eight threads at once each get the scores of their own question."""
        documents = passages(reranker)[:3]
        calls = [(f"{QUERY} {n}" if n % 2 else f"{n} {OTHER_QUERY}", documents[n % 3 :]) for n in range(8)]
        calls = [(query, given or documents) for query, given in calls]
        expected = [reranker.get_scores(*call) for call in calls]
        for number, scores in enumerate(together(lambda n: reranker.get_scores(*calls[n]), len(calls))):
            self._alike(scores, expected[number], "get_scores in one of eight threads")

    # --- the rich face ---------------------------------------------------------------------------------------

    def test_pairs_of_several_queries(self, reranker: AbstractReranker) -> None:
        """One request may hold pairs of several callers: each scores as in a request of its own."""
        backend = _pair_reranker(reranker)
        self._pointwise(reranker)
        documents = passages(reranker)
        pairs = [((QUERY, OTHER_QUERY)[n % 2], document) for n, document in enumerate(documents)]
        batch = backend.score_pairs(ScoreRequest(pairs))
        alone = [backend.get_scores(query, [document])[0] for query, document in pairs]
        self._alike(batch.scores, alone, "pairs of two queries in one request")

    def test_figures_about_scores(self, reranker: AbstractReranker) -> None:
        """Coverage is a share, tokens are counts, token_counts has one a pair, the fingerprint stays."""
        backend = _pair_reranker(reranker)
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
        backend = _pair_reranker(reranker)
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

    # --- limits, failures, the end ---------------------------------------------------------------------------

    def test_declared_limits_are_served(self, reranker: AbstractReranker) -> None:
        """A request of exactly max_documents documents, or exactly max_characters characters, is served."""
        limits = reranker.capabilities
        if limits.max_documents is None and limits.max_characters is None:
            pytest.skip("the backend declares no limit of documents or characters")
        if limits.max_documents is not None:
            documents = ["ok"] * min(limits.max_documents, _MOST_DOCUMENTS)
            if limits.max_characters is not None:
                documents = documents[: limits.max_characters // (len(QUERY) + len("ok"))]
            check_scores(reranker.get_scores(QUERY, documents), len(documents))
        if limits.max_characters is not None:
            room = min(limits.max_characters, _MOST_CHARACTERS) - len(QUERY)
            assert room > 0, f"max_characters is {limits.max_characters}, too few for a question and a document"
            check_scores(reranker.get_scores(QUERY, [("word " * room)[:room]]), 1)

    def test_failures_are_rerankit_errors(self, request: pytest.FixtureRequest) -> None:
        """What goes wrong outside reaches the caller as a typed error that says what to do, sync and async."""
        try:
            failing_reranker: AbstractReranker = request.getfixturevalue("failing_reranker")
        except pytest.FixtureLookupError:
            pytest.skip("no fixture `failing_reranker`: the mapping of the backend's own errors is not tested")
        calls = (
            lambda: failing_reranker.get_scores(QUERY, passages(failing_reranker)),
            lambda: asyncio.run(failing_reranker.aget_scores(QUERY, passages(failing_reranker))),
            lambda: failing_reranker.rerank(QUERY, passages(failing_reranker)),
        )
        for call in calls:
            with pytest.raises(RerankitError) as caught:
                call()
            error = caught.value
            assert not isinstance(error, InputError), f"the caller's input is blamed for the backend's failure: {error}"
            assert error.message, "the error says nothing"
            assert error.remedy, "the error says nothing about what to do"

    def test_closes_more_than_once(self, reranker: AbstractReranker) -> None:
        """close and aclose may be called again and again. Last, because a fixture of scope ``class`` is spent now."""
        with reranker as entered:
            assert entered is reranker, "`with backend as x` gives something else than the backend"
        reranker.close()
        asyncio.run(reranker.aclose())
        asyncio.run(reranker.aclose())
        reranker.close()

    # --- the suite itself ------------------------------------------------------------------------------------

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name, test in _TESTS.items():
            found = getattr(cls, name, None)
            if found is not test and not _says_why(found):
                raise TypeError(
                    f"{cls.__name__} {'removes' if found is None else 'overrides'} {name} without saying why: mark "
                    f'the override with @pytest.mark.xfail(reason="...") or @pytest.mark.skip(reason="...")'
                )

    def _pointwise(self, reranker: AbstractReranker) -> None:
        if reranker.capabilities.listwise:
            pytest.skip("listwise: a score may depend on the other documents of the call")

    def _alike(self, scores: Sequence[float | None], expected: Sequence[float | None], what: str) -> None:
        assert len(scores) == len(expected), f"{what}: {len(scores)} scores, not {len(expected)}"
        for position, (score, other) in enumerate(zip(scores, expected, strict=True)):
            assert None not in (score, other), f"{what}: document {position} was not scored"
            assert score == pytest.approx(other, rel=self.tolerance, abs=self.tolerance), (
                f"{what}: document {position} scored {score}, not {other} (tolerance {self.tolerance})"
            )


_TESTS = {name: test for name, test in vars(RerankerConformance).items() if name.startswith("test_")}


def _says_why(test: object) -> bool:
    marks = getattr(test, "pytestmark", ())
    return any(mark.name in {"skip", "xfail"} and (mark.args or mark.kwargs.get("reason")) for mark in marks)


def _pair_reranker(reranker: AbstractReranker) -> PairReranker:
    if not isinstance(reranker, PairReranker):
        pytest.skip("no PairReranker: the backend has no score_pairs")
    return reranker
