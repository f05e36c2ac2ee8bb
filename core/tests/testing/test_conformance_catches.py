"""Each check of the conformance suite catches a backend that is wrong in just that way."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rerankit import AbstractReranker, Capabilities, PairReranker, RankedDocument, Ranking, ScoreBatch, ScoreKind
from rerankit.errors import InputError
from rerankit.testing import FakeReranker, RerankerConformance, word_overlap
from rerankit.testing.conformance import _TESTS


class Suite(RerankerConformance):
    """Its tests are called by hand."""


class Good(AbstractReranker):
    """Keeps the contract; those below break it in one place."""

    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        return [word_overlap(query, document) for document in documents]


def scoring(spoil: Callable[[str, Sequence[str], list[float]], Any], **said: Any) -> AbstractReranker:
    """A backend whose get_scores answers what ``spoil`` makes of the query, the documents and the right scores."""

    class Wrong(Good):
        capabilities = Capabilities(**said)

        def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
            return spoil(query, documents, super().get_scores(query, documents))  # type: ignore[no-any-return]

    return Wrong()


def ranking(spoil: Callable[..., Any]) -> AbstractReranker:
    """A backend whose rerank answers what ``spoil`` makes of the right ranking and the call's arguments."""

    class Wrong(Good):
        def rerank(self, query: Any, documents: Any, top_n: Any = None, *, text_field: str | None = None) -> Any:
            try:
                right = super().rerank(query, documents, top_n)
            except InputError:
                right = Ranking(())
            return spoil(right, query, documents, top_n)

    return Wrong()


def pairs(**spoiled: object) -> PairReranker:
    """A PairReranker with methods in which ``spoiled`` takes the place of the right ones."""
    return type("Wrong", (FakeReranker,), spoiled)()  # type: ignore[no-any-return]


def refuse(wrong: Callable[[str], bool], error: Exception) -> AbstractReranker:
    """A backend that raises ``error`` for a query or document that is ``wrong``."""

    def spoil(query: str, documents: Sequence[str], scores: list[float]) -> list[float]:
        if any(map(wrong, [query, *documents])):
            raise error
        return scores

    return scoring(spoil)


def not_ascii(text: str) -> bool:
    return not text.isascii()


def without_surrogates(self: FakeReranker, query: str, documents: Sequence[str]) -> list[float]:
    return [float(len(document.encode())) for document in documents]


def best_first(ranked: Ranking[Any], key: Callable[[RankedDocument[Any]], Any]) -> Ranking[Any]:
    return replace(ranked, documents=tuple(sorted(ranked, key=key)))


def drifting() -> AbstractReranker:
    calls = iter(range(1_000))
    return scoring(lambda query, documents, scores: [score + next(calls) for score in scores])


def remembers_documents_only() -> AbstractReranker:
    seen: dict[str, float] = {}
    return scoring(lambda q, documents, scores: [seen.setdefault(d, s) for d, s in zip(documents, scores, strict=True)])


def shares_state() -> AbstractReranker:
    class Wrong(Good):
        def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
            self.query = query
            time.sleep(0.005)
            return super().get_scores(self.query, documents)

    return Wrong()


def bound_to_first_loop() -> AbstractReranker:
    class Wrong(Good):
        lock: asyncio.Event | None = None

        async def aget_scores(self, query: str, documents: Sequence[str]) -> list[float]:
            if self.lock is None:
                self.loop, self.lock = asyncio.get_running_loop(), asyncio.Event()
            self.loop.call_soon(self.lock.set)
            await self.lock.wait()
            return self.get_scores(query, documents)

    return Wrong()


def asynchronous(spoil: Callable[[list[float]], list[float]]) -> AbstractReranker:
    class Wrong(Good):
        async def aget_scores(self, query: str, documents: Sequence[str]) -> list[float]:
            return spoil(self.get_scores(query, documents))

    return Wrong()


def runs_a_loop_of_its_own() -> AbstractReranker:
    async def answer(scores: list[float]) -> list[float]:
        return scores

    def spoil(query: str, documents: Sequence[str], scores: list[float]) -> list[float]:
        coroutine = answer(scores)
        try:
            return asyncio.run(coroutine)
        finally:
            coroutine.close()

    return scoring(spoil)


def sorts_the_callers_list(query: str, documents: Any, scores: list[float]) -> list[float]:
    if isinstance(documents, list):
        documents.sort()
    return scores


def takes_lists_only(query: str, documents: Any, scores: list[float]) -> list[float]:
    return scores[: len(documents + list(documents[:0]))]


def writes_into_documents(right: Ranking[Any], query: Any, documents: Any, top_n: Any) -> Ranking[Any]:
    for document in documents:
        if isinstance(document, dict):
            document["score"] = 1.0
    return right


def closes_once() -> AbstractReranker:
    class Wrong(Good):
        handle: list[int] | None = [1]  # noqa: RUF012 - replaced, never changed

        def close(self) -> None:
            if self.handle is None:
                raise ValueError("close of a closed file")
            self.handle = None

    return Wrong()


def batch_of(**figures: Any) -> Callable[..., ScoreBatch]:
    return lambda self, request: ScoreBatch([0.5] * len(request.pairs), **figures)


def first_query_for_all(self: FakeReranker, request: Any) -> ScoreBatch:
    return ScoreBatch([word_overlap(request.pairs[0][0], document) for _, document in request.pairs])


def falsy() -> AbstractReranker:
    return type("Wrong", (Good,), {"__bool__": lambda self: False})()  # type: ignore[no-any-return]


PROBABILITY = ScoreKind.PROBABILITY

WRONG: list[tuple[str, AbstractReranker, type[BaseException], str]] = [
    ("says_what_it_is", falsy(), AssertionError, "if reranker"),
    ("says_what_it_is", scoring(lambda q, d, s: s, max_documents=0), AssertionError, "max_documents is 0"),
    ("says_what_it_is", scoring(lambda q, d, s: s, score_kind="odds"), AssertionError, "'odds' is not a ScoreKind"),
    ("no_documents_no_scores", scoring(lambda q, d, s: s or None), AssertionError, "NoneType"),
    ("no_documents_no_scores", scoring(lambda q, d, s: [x / max(s) for x in [max(s), *s]]), ValueError, "empty"),
    ("one_finite_float_a_document", scoring(lambda q, d, s: array("d", s)), AssertionError, "as array"),
    ("one_finite_float_a_document", scoring(lambda q, d, s: list(map(round, s))), AssertionError, "is int"),
    ("one_finite_float_a_document", scoring(lambda q, d, s: [math.nan, *s[1:]]), AssertionError, "nan"),
    ("one_finite_float_a_document", scoring(lambda q, d, s: s[:32]), AssertionError, "32 scores for 33"),
    ("scores_follow_their_documents", scoring(lambda q, d, s: sorted(s)), AssertionError, "reversed"),
    ("scores_follow_their_documents", scoring(lambda q, d, s: [0.5] * len(s)), AssertionError, "tells the passages"),
    (
        "a_score_depends_on_its_pair_alone",
        scoring(lambda q, d, s: [x / (sum(s) or 1) for x in s]),
        AssertionError,
        "one at a",
    ),
    (
        "a_score_depends_on_its_pair_alone",
        scoring(lambda q, d, s: [x + 0.01 * (max(map(len, d)) > 2_000) for x in s]),
        AssertionError,
        "beside a long one",
    ),
    (
        "duplicates_score_alike",
        scoring(lambda q, d, s: list(dict(zip(d, s, strict=True)).values())),
        AssertionError,
        "2",
    ),
    ("duplicates_score_alike", scoring(lambda q, d, s: [x + n for n, x in enumerate(s)]), AssertionError, "duplicates"),
    ("the_same_call_gives_the_same_scores", drifting(), AssertionError, "again"),
    ("scores_depend_on_the_query", remembers_documents_only(), AssertionError, "the same scores"),
    (
        "scores_lie_in_their_range",
        scoring(lambda q, d, s: [9.0] * len(s), score_kind=PROBABILITY),
        AssertionError,
        "9.0",
    ),
    ("blank_documents_are_scored", refuse(lambda text: not text.strip(), IndexError("tokens")), IndexError, "tokens"),
    ("any_text_is_scored", refuse(not_ascii, KeyError("é")), KeyError, "é"),
    ("any_text_is_scored", pairs(get_scores=without_surrogates), UnicodeEncodeError, "surrogates"),
    ("very_long_text_is_scored", refuse(lambda t: len(t) > 9_000, IndexError("512")), IndexError, "512"),
    (
        "very_long_text_is_scored",
        refuse(lambda t: t.startswith("Why") and len(t) > 999, IndexError("q")),
        IndexError,
        "q",
    ),
    (
        "ranking_is_complete_and_in_order",
        ranking(lambda right, *call: best_first(right, lambda scored: scored.score)),
        AssertionError,
        "score descending",
    ),
    (
        "ranking_is_complete_and_in_order",
        ranking(lambda right, *call: replace(right, documents=right.documents[:-1])),
        AssertionError,
        "lost",
    ),
    (
        "ranking_is_complete_and_in_order",
        ranking(lambda right, *call: replace(right, served_by=None)),
        AssertionError,
        "who made it",
    ),
    (
        "ties_keep_input_order",
        ranking(lambda right, *call: best_first(right, lambda scored: (-(scored.score or 0.0), -scored.index))),
        AssertionError,
        "input order",
    ),
    ("top_n_keeps_the_best", ranking(lambda right, q, d, n: Good().rerank(q, d)), AssertionError, "top_n=1 kept 6"),
    ("top_n_keeps_the_best", ranking(lambda right, q, d, n: Good().rerank(q, d[1:][:n])), AssertionError, "top_n=1"),
    ("documents_of_any_shape_come_back_untouched", ranking(writes_into_documents), AssertionError, "changed"),
    ("documents_of_any_shape_come_back_untouched", scoring(sorts_the_callers_list), AssertionError, "caller's list"),
    ("documents_of_any_shape_come_back_untouched", scoring(takes_lists_only), TypeError, "tuple"),
    ("bad_input_is_refused", ranking(lambda right, *call: right), AssertionError, "was accepted"),
    ("bad_input_is_refused", pairs(get_scores=lambda self, q, d: [0.0]), AssertionError, "was accepted"),
    ("async_gives_what_sync_gives", asynchronous(lambda scores: scores[::-1]), AssertionError, "aget_scores"),
    ("async_gives_what_sync_gives", bound_to_first_loop(), RuntimeError, "loop"),
    ("sync_works_inside_an_event_loop", runs_a_loop_of_its_own(), RuntimeError, "event loop"),
    ("threads_do_not_disturb_each_other", shares_state(), AssertionError, "eight threads"),
    ("pairs_of_several_queries", pairs(score_pairs=first_query_for_all), AssertionError, "two queries"),
    ("figures_about_scores", pairs(score_pairs=batch_of(coverage=[120.0] * 6)), AssertionError, "coverage is no share"),
    ("figures_about_scores", pairs(score_pairs=batch_of(tokens=[9])), AssertionError, "tokens"),
    (
        "figures_about_scores",
        pairs(token_counts=lambda self, pairs: [1.5] * len(pairs)),
        AssertionError,
        "token_counts",
    ),
    ("figures_about_scores", pairs(fingerprint=property(lambda self: object())), AssertionError, "fingerprint"),
    ("stops_when_told", pairs(score_pairs=batch_of()), pytest.fail.Exception, "DID NOT RAISE"),
    ("declared_limits_are_served", scoring(lambda q, d, s: s[:31], max_documents=32), AssertionError, "31 scores"),
    (
        "declared_limits_are_served",
        scoring(lambda q, d, s: [x for x, t in zip(s, d, strict=True) if len(q + t) < 500], max_characters=500),
        AssertionError,
        "0 scores for 1",
    ),
    ("failures_are_rerankit_errors", FakeReranker(faults=[ConnectionResetError("peer")]), ConnectionResetError, "peer"),
    ("closes_more_than_once", closes_once(), ValueError, "closed file"),
]


@pytest.mark.parametrize(
    ("test", "backend", "error", "words"), WRONG, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_wrong_backend_is_caught(
    test: str, backend: AbstractReranker, error: type[BaseException], words: str
) -> None:
    """The check fails, for the reason it is there for."""
    given: Any = backend
    if test == "failures_are_rerankit_errors":
        given = SimpleNamespace(getfixturevalue=lambda name: backend)
    with pytest.raises(error, match=words):
        getattr(Suite(), f"test_{test}")(given)


def test_every_check_has_caught_something() -> None:
    """No test of the suite is without a backend that it fails."""
    assert {f"test_{test}" for test, *_ in WRONG} == set(_TESTS)


SUBCLASSES: list[tuple[str, dict[str, Any]]] = [
    ("removes test_ties_keep_input_order", {"test_ties_keep_input_order": None}),
    ("overrides test_top_n_keeps_the_best", {"test_top_n_keeps_the_best": lambda self: None}),
    ("overrides test_no_documents", {"test_no_documents_no_scores": pytest.mark.xfail()(lambda self: None)}),
]


@pytest.mark.parametrize(("words", "body"), SUBCLASSES)
def test_a_subclass_that_loses_a_check_is_refused(words: str, body: dict[str, Any]) -> None:
    """Removing a test, or overriding it without a reason, fails when the class is defined."""
    with pytest.raises(TypeError, match=words):
        type("TestMine", (RerankerConformance,), body)


def test_an_override_that_says_why_is_accepted() -> None:
    """A reason on the override's mark is enough, and is what pytest reports."""

    class Mine(RerankerConformance):
        @pytest.mark.skip(reason="the hosted model answers one question at a time")
        def test_threads_do_not_disturb_each_other(self, reranker: AbstractReranker) -> None: ...

    class Grandchild(Mine):
        """Inherits the override and its reason."""

    assert issubclass(Grandchild, RerankerConformance)


AUTHORS_FILE = """
import pytest
from rerankit import AbstractReranker
from rerankit.testing import RerankerConformance

class Wrong(AbstractReranker):
    def get_scores(self, query, documents):
        return sorted(float(len(document)) for document in documents)

@pytest.fixture
def reranker():
    return Wrong()

class TestWrong(RerankerConformance):
    {body}
"""


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("pass", pytest.ExitCode.TESTS_FAILED, "reversed documents: document 0 scored"),
        ("test_scores_follow_their_documents = None", pytest.ExitCode.INTERRUPTED, "removes test_scores_follow_their"),
    ],
    ids=["wrong backend", "lost check"],
)
def test_an_authors_run_of_pytest_fails(body: str, status: int, words: str, tmp_path: Path) -> None:
    """With the reason in the report: of a wrong backend, and of a suite that lost a check."""
    (tmp_path / "test_wrong.py").write_text(AUTHORS_FILE.format(body=body))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_wrong.py"]
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
    assert done.returncode == status
    assert words in done.stdout
