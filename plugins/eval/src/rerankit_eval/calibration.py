"""Fitting a monotone map from scores to probabilities of relevance, and its error on queries it never saw."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import StratifiedGroupKFold

from rerankit import ScoreKind
from rerankit.errors import InputError
from rerankit.policy.calibration import Isotonic, Platt, log_odds
from rerankit_eval.judged import JudgedSet
from rerankit_eval.scoring import Scored
from rerankit_eval.significance import Interval, interval

__all__ = ["Fit", "Method", "Pairs", "Threshold", "calibration_error", "fit", "judged_pairs"]

Method: TypeAlias = Literal["auto", "platt", "isotonic"]
Map: TypeAlias = Platt | Isotonic
Floats: TypeAlias = NDArray[np.float64]

_FOLDS = 5
_REPEATS = 10
_DRAWS = 500
_SEED = 20_260_101
_BINS = 10
_FEWEST = 20
_CLEARLY = 0.99
"""Platt's map keeps all scores apart, so isotonic's must be clearly better to be chosen."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Judged candidates: ``scores``, whether ``relevant``, and the position of their query in ``groups``."""

    scores: Floats
    relevant: NDArray[np.bool_]
    groups: NDArray[np.int64]

    def __getitem__(self, chosen: NDArray[Any]) -> Pairs:
        return Pairs(self.scores[chosen], self.relevant[chosen], self.groups[chosen])


@dataclass(frozen=True, slots=True)
class Threshold:
    """A ``context_threshold``, and what it gives on queries that the map was not fitted on."""

    threshold: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A map fitted on all pairs, with the errors of maps fitted in the same way on other queries than they are told on.

    Attributes:
        map: fitted on all pairs.
        pairs: what it was fitted on.
        before: (pairs,): the scores taken as probabilities.
        held_out: (repeats, pairs): the probability of each pair by a map that never saw its query, a row a division
            into folds.
    """

    map: Map
    pairs: Pairs
    before: Floats
    held_out: Floats

    @property
    def error_before(self) -> float:
        """Expected calibration error of the scores as they are."""
        return calibration_error(self.before, self.pairs.relevant)

    @property
    def error_after(self) -> float:
        """Expected calibration error of the mapped scores, over all held-out pairs, the mean of the repeats."""
        return float(np.mean([calibration_error(row, self.pairs.relevant) for row in self.held_out]))

    @property
    def error_of_chance(self) -> float:
        """What so many pairs show in the mean if every mapped score is exactly the probability of its pair.

        The error takes absolute values, so that few pairs show one where there is none (Roelofs et al. 2022).
        """
        dice = np.random.default_rng(_SEED)
        draws = dice.random((_DRAWS, len(self.before))) < self.held_out[0]
        return float(np.mean([calibration_error(self.held_out[0], draw) for draw in draws]))

    @property
    def brier_before(self) -> float:
        """Mean squared distance of the scores as they are from 0 and 1."""
        return float(np.mean((self.before - self.pairs.relevant) ** 2))

    @property
    def brier_after(self) -> float:
        """The same of the mapped scores of held-out pairs, the mean of the repeats."""
        return float(np.mean((self.held_out - self.pairs.relevant) ** 2))

    @property
    def brier_change(self) -> Interval:
        """After minus before: below 0 is better. The interval is of the mean over queries, which are independent."""
        squares = np.mean((self.held_out - self.pairs.relevant) ** 2, axis=0) - (self.before - self.pairs.relevant) ** 2
        return interval([float(squares[self.pairs.groups == group].mean()) for group in np.unique(self.pairs.groups)])

    def threshold_for(self, *, precision: float | None = None, recall: float | None = None) -> Threshold | None:
        """The threshold that reaches ``precision`` with the most recall, or ``recall`` with the most precision.

        ``None`` where no threshold reaches it with at least 20 pairs above it: the precision of fewer says little.
        """
        held_out, repeats = self.held_out.ravel(), len(self.held_out)
        precisions, recalls, thresholds = precision_recall_curve(np.tile(self.pairs.relevant, repeats), held_out)
        precisions, recalls = precisions[:-1], recalls[:-1]  # the last point has no threshold
        above = len(held_out) - np.searchsorted(np.sort(held_out), thresholds)
        wanted, given, other = precisions, precision, recalls
        if precision is None:
            wanted, given, other = recalls, recall, precisions
        reached = np.flatnonzero((wanted >= given) & (above >= _FEWEST * repeats))
        if not len(reached):
            return None
        best = reached[np.lexsort((thresholds[reached], other[reached]))[-1]]
        return Threshold(float(thresholds[best]), float(precisions[best]), float(recalls[best]))

    def facts(self) -> dict[str, Any]:
        """What goes into the file beside the map."""
        return {
            "pairs": len(self.before),
            "relevant": int(self.pairs.relevant.sum()),
            "expected_calibration_error": {
                "before": self.error_before,
                "after": self.error_after,
                "of_chance": self.error_of_chance,
            },
            "brier_score": {
                "before": self.brier_before,
                "after": self.brier_after,
                "change_by_query": asdict(self.brier_change),
            },
        }


def judged_pairs(judged: JudgedSet, scored: Scored, relevant_from: int) -> Pairs:
    """The candidates that were judged; what nobody judged says nothing about probabilities.

    Raises:
        InputError: too few relevant ones, or too few others, or queries.
    """
    scores, relevant, groups = [], [], []
    for group, query in enumerate(judged.queries):
        for document, score in zip(query.candidates, scored.scores[query.id], strict=True):
            if document in query.relevance:
                scores.append(score)
                relevant.append(query.relevance[document] >= relevant_from)
                groups.append(group)
    fewest = min(sum(relevant), len(relevant) - sum(relevant))
    if fewest < _FEWEST or len(set(groups)) < _FOLDS:
        raise InputError(
            f"{sum(relevant)} relevant and {len(relevant) - sum(relevant)} other judged candidates of "
            f"{len(set(groups))} queries are too few to fit a calibration",
            value=len(relevant),
            remedy=f"judge at least {_FEWEST} of each, in at least {_FOLDS} queries",
        )
    return Pairs(np.array(scores), np.array(relevant), np.array(groups))


def fit(pairs: Pairs, kind: ScoreKind, method: Method = "auto") -> Fit:
    """Fit by ``method``; ``auto`` is Platt's, unless isotonic regression is clearly better on held-out queries.

    Folds are of whole queries: documents of one query are not independent of each other.

    Raises:
        InputError: scores do not rise with relevance.
    """
    if method != "auto":
        return _fitted(pairs, kind, method)
    platt, isotonic = _fitted(pairs, kind, "platt"), _fitted(pairs, kind, "isotonic")
    return isotonic if isotonic.brier_after < _CLEARLY * platt.brier_after else platt


def calibration_error(probabilities: Floats, relevant: NDArray[np.bool_]) -> float:
    """Expected calibration error over ten bins of equally many pairs.

    Naeini, Cooper & Hauskrecht (2015), with the adaptive bins of Nixon et al. (2019): most rerankers' scores crowd
    at the ends, where bins of equal width would leave nearly all pairs in two of them.
    """
    order = np.argsort(probabilities, kind="stable")
    error = 0.0
    for places in np.array_split(order, _BINS):
        if len(places):
            error += len(places) * abs(float(probabilities[places].mean()) - float(relevant[places].mean()))
    return error / len(order)


def _fitted(pairs: Pairs, kind: ScoreKind, method: Literal["platt", "isotonic"]) -> Fit:
    held_out = np.zeros((_REPEATS, len(pairs.scores)))
    for repeat, row in enumerate(held_out):
        folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=repeat)
        for train, test in folds.split(pairs.scores, pairs.relevant, pairs.groups):
            row[test] = _applied(_map(pairs[train], kind, method), pairs.scores[test], kind)
    return Fit(_map(pairs, kind, method), pairs, _as_probabilities(pairs.scores, kind), held_out)


def _map(pairs: Pairs, kind: ScoreKind, method: Literal["platt", "isotonic"]) -> Map:
    found = _platt(pairs, kind) if method == "platt" else _isotonic(pairs)
    if found is None:
        raise InputError(
            "the scores do not rise with relevance, so there is nothing to calibrate",
            value=method,
            remedy="run `rerankit doctor --model`, and check that the judgements belong to these documents",
        )
    return found


def _platt(pairs: Pairs, kind: ScoreKind) -> Platt | None:
    x = np.array([log_odds(score) for score in pairs.scores]) if kind is ScoreKind.PROBABILITY else pairs.scores
    scale = float(x.std()) or 1.0
    model = LogisticRegression(C=1e6).fit((x / scale).reshape(-1, 1), pairs.relevant)
    slope = float(model.coef_[0, 0]) / scale
    return Platt(slope=slope, offset=float(model.intercept_[0])) if slope > 0 else None


def _isotonic(pairs: Pairs) -> Isotonic | None:
    fitted = IsotonicRegression(out_of_bounds="clip").fit_transform(pairs.scores, pairs.relevant.astype(float))
    blocks = [(float(pairs.scores[fitted == level].mean()), float(level)) for level in np.unique(fitted)]
    if len(blocks) < 2:
        return None
    scores, probabilities = zip(*blocks, strict=True)
    return Isotonic(scores=scores, probabilities=probabilities)


def _applied(map: Map, scores: Floats, kind: ScoreKind) -> Floats:
    return np.array([map.probability(float(score), kind) for score in scores])


def _as_probabilities(scores: Floats, kind: ScoreKind) -> Floats:
    """What an application that compares the scores with a threshold in [0, 1] takes them for."""
    if kind is ScoreKind.LOGIT:
        found: Floats = expit(scores)
        return found
    return np.clip(scores, 0.0, 1.0)
