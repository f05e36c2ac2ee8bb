"""FakeReranker works like a backend, and fails like one when it is told to."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time

import pytest

from rerankit.errors import (
    DeadlineExceededError,
    OverloadedError,
    ProtocolError,
    ScoringCancelledError,
    UnavailableError,
)
from rerankit.scoring import ScoreRequest
from rerankit.testing import FakeReranker, not_finite, one_too_few

QUERY, DOCUMENTS = "winter bees", ["bees in spring", "bees in winter", "summer"]


def test_scores_by_shared_words_or_by_yours() -> None:
    """Without a scorer the share of the query's words; with one, what it says."""
    assert FakeReranker().get_scores(QUERY, DOCUMENTS) == [0.5, 1.0, 0.0]
    by_length = FakeReranker(lambda query, document: float(len(document)))
    assert by_length.rerank(QUERY, DOCUMENTS)[0].document == "bees in spring"


def test_remembers_what_it_was_asked() -> None:
    """Every request is kept, those that failed too."""
    fake = FakeReranker(faults=[UnavailableError("down")])
    with pytest.raises(UnavailableError):
        fake.get_scores(QUERY, DOCUMENTS)
    fake.get_scores(QUERY, DOCUMENTS[:1])
    assert [[text for _, text in request.pairs] for request in fake.requests] == [DOCUMENTS, DOCUMENTS[:1]]


def test_faults_come_in_turn_then_calls_succeed() -> None:
    """Busy twice, then fine."""
    fake = FakeReranker(faults=[OverloadedError("busy", retry_after=1.0)] * 2)
    for _ in range(2):
        with pytest.raises(OverloadedError):
            fake.get_scores(QUERY, DOCUMENTS)
    assert fake.get_scores(QUERY, DOCUMENTS) == [0.5, 1.0, 0.0]


def test_flapping() -> None:
    """Every other call fails, for ever."""
    fake = FakeReranker(faults=itertools.cycle([None, UnavailableError("flap")]))
    for _ in range(3):
        fake.get_scores(QUERY, DOCUMENTS)
        with pytest.raises(UnavailableError):
            fake.get_scores(QUERY, DOCUMENTS)


@pytest.mark.parametrize(("fault", "words"), [(one_too_few, "2 scores for 3"), (not_finite, "nan")])
def test_broken_protocol(fault: object, words: str) -> None:
    """Lost and NaN scores reach the caller as ProtocolError."""
    with pytest.raises(ProtocolError, match=words):
        FakeReranker(faults=[fault]).get_scores(QUERY, DOCUMENTS)  # type: ignore[list-item]


def test_delay_ends_at_the_deadline_and_at_cancellation() -> None:
    """A slow backend that keeps the contract does not outlive its caller."""
    fake = FakeReranker(delay=60.0)
    pairs = [(QUERY, DOCUMENTS[0])]
    with pytest.raises(DeadlineExceededError):
        fake.score_pairs(ScoreRequest(pairs, deadline=time.monotonic() + 0.02))
    gone = threading.Event()
    threading.Timer(0.02, gone.set).start()
    with pytest.raises(ScoringCancelledError):
        fake.score_pairs(ScoreRequest(pairs, cancelled=gone))


def test_fakes_need_no_pytest() -> None:
    """An application may use FakeReranker where pytest is not installed; the suite imports it when asked for."""
    program = """
import sys
import rerankit.testing
assert "pytest" not in sys.modules and "_pytest" not in sys.modules
rerankit.testing.RerankerConformance
assert "pytest" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
