"""How sure a difference is: confidence intervals, paired tests, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

__all__ = ["Difference", "Interval", "compare_pairs", "holm", "interval"]

_RESAMPLES = 9_999
_SEED = 20_260_101
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval, by percentile bootstrap over queries."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """``one`` minus ``other``, over the same queries.

    Attributes:
        p: of Fisher's paired randomisation test (two-sided), the test that Smucker, Allan & Carterette (2007)
            recommend for retrieval; ``corrected``: for all pairs of one measure, by Holm (1979).
        wins: queries on which ``one`` is better; ``losses``: worse; ``ties``: equal.
    """

    one: str
    other: str
    difference: Interval
    p: float
    corrected: float
    wins: int
    losses: int
    ties: int


def interval(values: Sequence[float]) -> Interval:
    """Of the mean of ``values``."""
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    if len(array) < 2 or float(np.ptp(array)) == 0.0:
        return Interval(mean, mean, mean)
    found = stats.bootstrap(
        (array,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=np.random.default_rng(_SEED)
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def compare_pairs(values: Mapping[str, Sequence[float]]) -> list[Difference]:
    """Every pair of contenders on one measure, better one first.

    Args:
        values: by contender, one a query, all in the same order.
    """
    pairs = []
    for one, other in combinations(values, 2):
        if np.mean(values[one]) < np.mean(values[other]):
            one, other = other, one
        pairs.append((one, other, np.asarray(values[one], dtype=float) - np.asarray(values[other], dtype=float)))
    tested = [_p(differences) for _, _, differences in pairs]
    return [
        Difference(
            one,
            other,
            interval(differences),
            p,
            corrected,
            int((differences > _TIE).sum()),
            int((differences < -_TIE).sum()),
            int((abs(differences) <= _TIE).sum()),
        )
        for (one, other, differences), p, corrected in zip(pairs, tested, holm(tested), strict=True)
    ]


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in their order: Holm's step-down method."""
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected = [0.0] * len(values)
    highest = 0.0
    for rank, position in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[position]))
        corrected[position] = highest
    return corrected


def _p(differences: np.ndarray) -> float:
    if not (abs(differences) > _TIE).any() or len(differences) < 2:
        return 1.0
    return float(
        stats.permutation_test(
            (differences,),
            np.mean,
            permutation_type="samples",
            vectorized=True,
            n_resamples=_RESAMPLES,
            rng=np.random.default_rng(_SEED),
        ).pvalue
    )
