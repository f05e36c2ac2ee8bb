"""The service keeps rerankit's contract, and does what its own page says."""

from __future__ import annotations

import pytest
from rerankit_fuzzy.reranker import FuzzyReranker

from rerankit.errors import InvalidArgumentError
from rerankit.testing import RerankerConformance


@pytest.fixture(params=["whole", "partial", "words"])
def reranker(request: pytest.FixtureRequest) -> FuzzyReranker:
    return FuzzyReranker(match=request.param)


class TestFuzzyReranker(RerankerConformance):
    """Everything a backend must do: rerankit's own suite."""

    tolerance = 1e-6


def test_misspelt_words_are_found() -> None:
    """What exact matching would miss."""
    ranking = FuzzyReranker().rerank("red planet", ["Venus is hot", "Mars, the read plannet"])
    assert ranking[0].index == 1


def test_case_matters_where_it_is_asked_to() -> None:
    """ignore_case=False."""
    assert FuzzyReranker().get_scores("MARS", ["mars"]) == [1.0]
    assert FuzzyReranker(ignore_case=False).get_scores("MARS", ["mars"]) == [0.0]


def test_what_was_cut_is_said() -> None:
    """Coverage, and with it Ranking.truncated."""
    assert FuzzyReranker(max_characters=100).rerank("q", ["word " * 100, "short"]).truncated == 1


def test_a_wrong_argument_is_named() -> None:
    """From Python as from configuration."""
    with pytest.raises(InvalidArgumentError, match="max_characters"):
        FuzzyReranker(max_characters=1)
