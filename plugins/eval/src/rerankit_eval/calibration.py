"""Fitting a monotone map from scores to probabilities of relevance, and its error on queries it never saw."""

from __future__ import annotations

from dataclasses import dataclass
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

__all__ = ["Fit", "Method", "Pairs", "Threshold", "calibration_error", "fit", "judged_pairs"]

Method: TypeAlias = Literal["auto", "platt", "isotonic"]
Map: TypeAlias = Platt | Isotonic
Floats: TypeAlias = NDArray[np.float64]

_FOLDS = 5
_BINS = 10
_FEWEST = 20
_CLEARLY = 0.99
"""Platt's map keeps all scores apart, so isotonic's must be better than by chance to be chosen."""


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
        error_before: expected calibration error of the scores as they are, a value a fold; ``error_after``: mapped.
        brier_before: mean squared distance from 0 and 1 over all held-out pairs; ``brier_after``: mapped.
        held_out: the probability of each pair, by the map that never saw its query.
    """

    map: Map
    error_before: list[float]
    error_after: list[float]
    brier_before: float
    brier_after: float
    held_out: Floats
    relevant: NDArray[np.bool_]

    @property
    def mean_before(self) -> float:
        """Expected calibration error of the scores as they are, over the folds."""
        return float(np.mean(self.error_before))

    @property
    def mean_after(self) -> float:
        """Expected calibration error of the mapped scores, over the folds."""
        return float(np.mean(self.error_after))

    def threshold_for(self, *, precision: float | None = None, recall: float | None = None) -> Threshold | None:
        """The threshold that reaches ``precision`` with the most recall, or ``recall`` with the most precision.

        ``None`` where no threshold reaches it with at least 20 pairs above it: the precision of fewer says little.
        """
        precisions, recalls, thresholds = precision_recall_curve(self.relevant, self.held_out)
        precisions, recalls = precisions[:-1], recalls[:-1]  # the last point has no threshold
        above = len(self.held_out) - np.searchsorted(np.sort(self.held_out), thresholds)
        wanted, given, other = precisions, precision, recalls
        if precision is None:
            wanted, given, other = recalls, recall, precisions
        reached = np.flatnonzero((wanted >= given) & (above >= _FEWEST))
        if not len(reached):
            return None
        best = reached[np.lexsort((thresholds[reached], other[reached]))[-1]]
        return Threshold(float(thresholds[best]), float(precisions[best]), float(recalls[best]))

    def facts(self) -> dict[str, Any]:
        """What goes into the file beside the map."""
        return {
            "pairs": len(self.relevant),
            "relevant": int(self.relevant.sum()),
            "expected_calibration_error": {"before": self.mean_before, "after": self.mean_after},
            "of_each_fold": {"before": self.error_before, "after": self.error_after},
            "brier_score": {"before": self.brier_before, "after": self.brier_after},
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
    before = _as_probabilities(pairs.scores, kind)
    held_out = np.zeros_like(pairs.scores)
    errors_before, errors_after = [], []
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(pairs.scores, pairs.relevant, pairs.groups):
        held_out[test] = _applied(_map(pairs[train], kind, method), pairs.scores[test], kind)
        errors_before.append(calibration_error(before[test], pairs.relevant[test]))
        errors_after.append(calibration_error(held_out[test], pairs.relevant[test]))
    return Fit(
        _map(pairs, kind, method),
        errors_before,
        errors_after,
        float(np.mean((before - pairs.relevant) ** 2)),
        float(np.mean((held_out - pairs.relevant) ** 2)),
        held_out,
        pairs.relevant,
    )


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
