"""A monotone map from a model's scores to probabilities, fitted by ``rerankit calibrate``, read from a small JSON.

Fitting needs judged pairs and a library; applying it is a sigmoid or a straight line between two knots.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from rerankit.errors import ConfigFileError, InvalidArgumentError
from rerankit.policy.steps import Layer, Score, Steps
from rerankit.reranker import PairReranker
from rerankit.scoring import Capabilities, ScoreBatch, ScoreKind, ScoreRequest

__all__ = ["CalibratedReranker", "Calibration", "Isotonic", "MadeFor", "Platt", "log_odds"]

_CLOSEST = 1e-15
"""Scores this close to 0 or 1 are taken as this far away: their log odds would be infinite."""

Probability = Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class MadeFor(_Part):
    """Whose scores a calibration was fitted on. The service is said for the reader and for backends without a model."""

    service: str
    model: str | None
    revision: str | None
    score_kind: ScoreKind

    def differs_from(self, other: MadeFor) -> str | None:
        """What the two disagree on, in words; ``None`` where one's calibration holds for the other."""
        names = ("model", "revision", "score_kind") if self.model else ("service", "model", "revision", "score_kind")
        for name in names:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{name} {mine or 'unnamed'}, not {theirs or 'unnamed'}"
        return None


class Platt(_Part):
    """``1 / (1 + exp(-(slope * x + offset)))``, where x is the score, or the log odds of a probability.

    Platt, J. (1999), Probabilistic outputs for support vector machines.
    """

    method: Literal["platt"] = "platt"
    slope: Annotated[FiniteFloat, Field(gt=0.0)]
    offset: FiniteFloat

    def probability(self, score: float, kind: ScoreKind) -> float:
        x = log_odds(score) if kind is ScoreKind.PROBABILITY else score
        return _sigmoid(self.slope * x + self.offset)


class Isotonic(_Part):
    """Straight lines between knots, the outermost probabilities beyond them.

    The knots are the centres of isotonic regression's blocks: Oron & Flournoy (2017), Centered isotonic regression.
    """

    method: Literal["isotonic"] = "isotonic"
    scores: tuple[FiniteFloat, ...] = Field(min_length=2)
    probabilities: tuple[Probability, ...]

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if len(self.scores) != len(self.probabilities):
            raise ValueError("as many probabilities as scores")
        if not (_rising(self.scores) and _rising(self.probabilities)):
            raise ValueError("scores and probabilities must both rise")
        return self

    def probability(self, score: float, kind: ScoreKind) -> float:
        right = bisect_right(self.scores, score)
        if right == 0:
            return self.probabilities[0]
        if right == len(self.scores):
            return self.probabilities[-1]
        low, high = self.scores[right - 1], self.scores[right]
        start, end = self.probabilities[right - 1], self.probabilities[right]
        return start + (end - start) * (score - low) / (high - low)


class Calibration(_Part):
    """What the file holds. ``measured`` is what ``rerankit calibrate`` found out while fitting it."""

    format: Literal["rerankit-calibration/1"] = "rerankit-calibration/1"
    made_for: MadeFor
    map: Annotated[Platt | Isotonic, Field(discriminator="method")]
    measured: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Calibration:
        """
        Raises:
            ConfigFileError: the file is absent, or is not a calibration.
        """
        remedy = "make it with `rerankit calibrate`, or correct reranker_policy.calibration"
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise ConfigFileError(
                f"the calibration {path} cannot be read: {error.strerror}", remedy=remedy, value=str(path)
            ) from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ConfigFileError(
                f"{path} is not a calibration: {where + ': ' if where else ''}{first['msg']}",
                remedy=remedy,
                value=str(path),
            ) from None

    def probability(self, score: float) -> float:
        """The probability in [0, 1] that a document of this score is relevant."""
        return self.map.probability(score, self.made_for.score_kind)


class CalibratedReranker(Layer):
    """Turns scores into probabilities by the calibration that was made for the model that gave them.

    Args:
        inner: gives the scores.
        calibrations: one of them must be for the model, revision and score kind of every answer.

    Raises:
        InvalidArgumentError: at the first answer that none of them was made for.
    """

    def __init__(self, inner: PairReranker, calibrations: Sequence[Calibration]) -> None:
        super().__init__(inner)
        self._calibrations = tuple(calibrations)

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """The inner reranker's, with calibrated scores."""
        return replace(self.inner.capabilities, score_kind=ScoreKind.CALIBRATED)

    @property
    def fingerprint(self) -> str | None:
        """The inner reranker's, told apart by the calibrations."""
        inner = self.inner.fingerprint
        maps = ", ".join(calibration.model_dump_json(exclude={"measured"}) for calibration in self._calibrations)
        return None if inner is None else f"{inner}; calibrated {maps}"

    def _steps(self, request: ScoreRequest) -> Steps:
        batch = yield from Score(self.inner, request)
        probability = self._fitting(batch).probability
        scores = [None if score is None else probability(score) for score in batch.scores]
        return replace(batch, scores=scores, score_kind=ScoreKind.CALIBRATED)

    def _fitting(self, batch: ScoreBatch) -> Calibration:
        kind = batch.score_kind or self.inner.capabilities.score_kind
        given = MadeFor(service=self.label, model=batch.model, revision=batch.revision, score_kind=kind)
        differences = []
        for calibration in self._calibrations:
            difference = calibration.made_for.differs_from(given)
            if difference is None:
                return calibration
            differences.append(difference)
        raise InvalidArgumentError(
            f"the calibration was made for {'; '.join(differences)}",
            remedy="run `rerankit calibrate` for the model in use, or take reranker_policy.calibration out",
            value=batch.model,
            service=self.label,
        )


def log_odds(probability: float) -> float:
    """``log(p / (1 - p))``, finite also at 0 and 1."""
    inside = min(max(probability, _CLOSEST), 1.0 - _CLOSEST)
    return math.log(inside / (1.0 - inside))


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def _rising(values: Sequence[float]) -> bool:
    return all(one < other for one, other in pairwise(values))
