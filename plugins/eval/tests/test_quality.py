"""Figures against values worked out by hand, and against what statistics promise."""

from __future__ import annotations

import math
import random

import pytest

from rerankit.errors import InvalidArgumentError
from rerankit_eval.judged import JudgedQuery
from rerankit_eval.measures import parse_measures, score_queries
from rerankit_eval.significance import compare_pairs, holm, interval

QUERY = JudgedQuery("q", "a question", ("a", "b", "c"), {"b": 2, "c": 1, "elsewhere": 1})


def test_measures_are_those_of_trec_eval() -> None:
    """nDCG with linear gain over the judged documents, also those that are no candidates."""
    values = score_queries(parse_measures(["nDCG@10", "RR@10", "R@2", "AP"], 1), [QUERY], {"q": [0.9, 0.8, 0.1]})
    ideal = 2 + 1 / math.log2(3) + 1 / math.log2(4)
    assert values["nDCG@10"] == pytest.approx([(2 / math.log2(3) + 1 / math.log2(4)) / ideal])
    assert values["RR@10"] == [0.5]
    assert values["R@2"] == pytest.approx([1 / 3])
    assert values["AP"] == pytest.approx([(1 / 2 + 2 / 3) / 3])


def test_ties_stay_in_input_order() -> None:
    """Where trec_eval would order them by document id."""
    measures = parse_measures(["RR@10"], 1)
    assert score_queries(measures, [QUERY], {"q": [0.5, 0.5, 0.5]}) == {"RR@10": [0.5]}
    backwards = JudgedQuery("q", "", ("c", "b", "a"), {"a": 1})
    assert score_queries(measures, [backwards], {"q": [0.5] * 3}) == {"RR@10": pytest.approx([1 / 3])}


def test_what_counts_as_relevant_can_be_raised() -> None:
    """For measures that know only relevant and not; nDCG uses the grades."""
    values = score_queries(parse_measures(["RR@10", "nDCG@10"], 2), [QUERY], {"q": [0.1, 0.2, 0.9]})
    assert values["RR@10"] == [0.5]


def test_a_query_without_candidates_counts_as_nothing_found() -> None:
    """It is not left out of the mean."""
    empty = JudgedQuery("e", "", (), {"a": 1})
    assert score_queries(parse_measures(["nDCG@10"], 1), [QUERY, empty], {"q": [1, 2, 3], "e": []})["nDCG@10"][1] == 0.0


@pytest.mark.parametrize("name", ["nonsense", "nDCG@@", ""])
def test_an_unknown_measure_is_named(name: str) -> None:
    """With measures that exist."""
    with pytest.raises(InvalidArgumentError, match="no measure"):
        parse_measures([name], 1)


def test_a_real_difference_is_found_and_chance_is_not() -> None:
    """30 queries: one system better on nearly all, one that differs by noise."""
    dice = random.Random(7)
    base = [dice.random() for _ in range(30)]
    better = [value + 0.2 + 0.1 * dice.random() for value in base]
    noise = [value + 0.1 * (dice.random() - 0.5) for value in base]
    found = {(d.one, d.other): d for d in compare_pairs({"base": base, "better": better, "noise": noise})}
    assert found["better", "base"].corrected < 0.01
    assert found["better", "base"].wins == 30
    low, high = found["better", "base"].difference.low, found["better", "base"].difference.high
    assert 0.2 < low < found["better", "base"].difference.mean < high < 0.3
    ((chance),) = [d for names, d in found.items() if set(names) == {"base", "noise"}]
    assert chance.corrected > 0.05


def test_equal_systems_do_not_differ() -> None:
    """p is 1, and every query a tie."""
    (found,) = compare_pairs({"a": [0.1, 0.5, 0.9], "b": [0.1, 0.5, 0.9]})
    assert (found.p, found.corrected, found.ties, found.difference.mean) == (1.0, 1.0, 3, 0.0)


def test_holm_corrects_step_by_step() -> None:
    """Smallest times three, next times two, never falling, at most 1."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_an_interval_holds_the_mean_most_of_the_time() -> None:
    """95 % by construction: of 200 samples of 40, at least 180."""
    dice = random.Random(3)
    held = 0
    for _ in range(200):
        found = interval([dice.random() for _ in range(40)])
        held += found.low <= 0.5 <= found.high
    assert 180 <= held < 200
