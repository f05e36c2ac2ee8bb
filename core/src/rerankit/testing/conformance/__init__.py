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
from typing import Any

import pytest

from rerankit.errors import InputError, RerankitError
from rerankit.reranker import AbstractReranker
from rerankit.testing.checks import check_scores
from rerankit.testing.conformance.callers import CallerChecks, RequestChecks
from rerankit.testing.conformance.rankings import RankingChecks
from rerankit.testing.conformance.scores import ScoreChecks
from rerankit.testing.material import QUERY, passages

__all__ = ["RerankerConformance"]

_MOST_DOCUMENTS = 1_024
_MOST_CHARACTERS = 100_000


# pytest collects the tests of the last base first, and a class's own tests last of all.
class RerankerConformance(RequestChecks, CallerChecks, RankingChecks, ScoreChecks):
    """Subclass it as ``Test...``, with a fixture ``reranker`` that gives the backend under test.

    Of scope ``class`` where the backend is slow to make; the test that closes it runs last. A second fixture,
    ``failing_reranker``, is optional: the backend with something wrong outside of it, such as a server that is
    not there, for the mapping of its errors.

    Attributes:
        tolerance: how far apart two scores of one pair may lie, times the score's magnitude where that is
            above 1: what the backend's precision and batching cost. About 1e-5 for float32, 1e-2 for bfloat16.
    """

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

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name, test in _TESTS.items():
            found = getattr(cls, name, None)
            if found is not test and not _says_why(found):
                raise TypeError(
                    f"{cls.__name__} {'removes' if found is None else 'overrides'} {name} without saying why: mark "
                    f'the override with @pytest.mark.xfail(reason="...") or @pytest.mark.skip(reason="...")'
                )


_TESTS = {name: getattr(RerankerConformance, name) for name in dir(RerankerConformance) if name.startswith("test_")}


def _says_why(test: object) -> bool:
    marks = getattr(test, "pytestmark", ())
    return any(mark.name in {"skip", "xfail"} and (mark.args or mark.kwargs.get("reason")) for mark in marks)
