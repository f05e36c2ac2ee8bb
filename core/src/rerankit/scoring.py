"""What passes between callers, policy, wire and backends: a request of pairs, a batch of scores."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeAlias

from rerankit.errors import DeadlineExceededError, ProtocolError, ScoringCancelledError

__all__ = [
    "Attempt",
    "Capabilities",
    "Pair",
    "ScoreBatch",
    "ScoreKind",
    "ScoreRequest",
    "checked_batch",
    "checked_scores",
]

Pair: TypeAlias = tuple[str, str]
"""(query, document)"""


class ScoreKind(StrEnum):
    """What a score means, so that nobody compares a threshold with the wrong thing."""

    LOGIT = "logit"
    """Any real number; only its order means something."""
    PROBABILITY = "probability"
    """In [0, 1], as the model's own activation gives it."""
    SIMILARITY = "similarity"
    """In [-1, 1], a cosine or the like."""
    CALIBRATED = "calibrated"
    """In [0, 1], fitted on judged pairs: 0.7 is relevant 7 times in 10."""
    UNKNOWN = "unknown"
    """The backend does not say; never interchangeable with another backend's."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, as data. Limits are per request; ``None`` is no limit.

    Attributes:
        score_kind: what its scores mean.
        listwise: a score depends on the other documents of the call, so calls may be neither
            split, merged, deduplicated nor cached.
        max_documents: pairs in one request.
        max_characters: characters of all pairs of one request together.
        max_tokens: tokens of all pairs of one request together, as ``token_counts`` counts them.
        max_concurrency: how many parts of one call are worth having in flight at once; where the policy batches
            concurrent calls (``batch_tokens``), how many batches of all callers together.
    """

    score_kind: ScoreKind = ScoreKind.UNKNOWN
    listwise: bool = False
    max_documents: int | None = None
    max_characters: int | None = None
    max_tokens: int | None = None
    max_concurrency: int = 1


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """(query, document) pairs to score: of one query, or of several callers' at once.

    Attributes:
        pairs: what to score, in the order the scores come back.
        deadline: when the answer stops being useful, on the clock of ``time.monotonic()``.
        cancelled: set when the caller has gone.
    """

    pairs: Sequence[Pair]
    deadline: float | None = None
    cancelled: threading.Event | None = None

    def remaining(self) -> float | None:
        """Seconds until the deadline (negative once it passed), ``None`` without one."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    def raise_if_stopped(self) -> None:
        """Call between batches.

        Raises:
            ScoringCancelledError: the caller has gone.
            DeadlineExceededError: the deadline has passed.
        """
        if self.cancelled is not None and self.cancelled.is_set():
            raise ScoringCancelledError("the caller cancelled the request")
        remaining = self.remaining()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceededError(f"the deadline passed {-remaining:.3f} s ago")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one service: ``error`` is the error's code, ``None`` for the try that answered."""

    service: str
    seconds: float = field(compare=False)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreBatch:
    """Scores in the order of the request's pairs, and all the model knows about them.

    Attributes:
        scores: one a pair. ``None`` only in a ``partial`` batch: not scored.
        coverage: the share in [0, 1] of each document's tokens that the model saw.
        tokens: tokens computed for each pair, special tokens included, padding not.
        model: name of the model; ``revision``: which version of it.
        score_kind: what these scores mean, where it differs from the backend's capabilities.
        timings: seconds a stage.
        served_by: the service that scored, where it was not the one asked.
        degraded: a fallback answered.
        partial: some documents were not scored (the deadline came first, or nobody could); theirs is ``None``.
        attempts: every try, the last one the one that answered.
    """

    scores: Sequence[float | None]
    coverage: Sequence[float] | None = None
    tokens: Sequence[int] | None = None
    model: str | None = None
    revision: str | None = None
    score_kind: ScoreKind | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    served_by: str | None = None
    degraded: bool = False
    partial: bool = False
    attempts: tuple[Attempt, ...] = ()


def checked_scores(scores: object, count: int, service: str) -> list[float]:
    """``scores`` as ``count`` plain finite floats.

    NumPy scalars, arrays and integers are converted; booleans, strings and ``None`` are refused.

    Raises:
        ProtocolError: wrong count, a NaN or infinity, or something that is not a number.
    """
    scores = _plain(scores)
    if not isinstance(scores, Sequence) or isinstance(scores, (str, bytes)):
        raise ProtocolError(
            f"{service} returned {type(scores).__name__} instead of a list of scores", value=scores, service=service
        )
    if len(scores) != count:
        raise ProtocolError(
            f"{service} returned {len(scores)} scores for {count} documents", value=len(scores), service=service
        )
    # The common case is decided by two passes in C; only a batch that is wrong, or of other number types, is walked.
    if set(map(type, scores)) <= {float} and all(map(math.isfinite, scores)):
        return list(scores)
    return [_checked(score, position, service) for position, score in enumerate(scores)]


def checked_batch(batch: ScoreBatch, count: int, service: str) -> ScoreBatch:
    """``batch`` with ``count`` plain finite floats (or ``None``, where it is partial) and figures for each pair.

    Raises:
        ProtocolError: the batch is not that.
    """
    if not isinstance(batch, ScoreBatch):
        raise ProtocolError(f"{service} returned {type(batch).__name__} instead of a ScoreBatch", service=service)
    coverage = None if batch.coverage is None else _checked_figures(batch.coverage, "coverage", count, service)
    tokens = None if batch.tokens is None else _checked_figures(batch.tokens, "tokens", count, service)
    given = batch.scores
    if not batch.partial or not isinstance(given, Sequence):
        return replace(batch, scores=checked_scores(given, count, service), coverage=coverage, tokens=tokens)
    numbers = checked_scores([0.0 if score is None else score for score in given], count, service)
    scores = [None if score is None else number for score, number in zip(given, numbers, strict=True)]
    return replace(batch, scores=scores, coverage=coverage, tokens=tokens)


def _checked_figures(figures: Any, name: str, count: int, service: str) -> Sequence[Any]:
    found: object = _plain(figures)
    if not isinstance(found, Sequence):
        raise ProtocolError(f"{service} returned {type(figures).__name__} as {name}, not a list", service=service)
    if len(found) != count:
        raise ProtocolError(
            f"{service} returned {len(found)} {name} figures for {count} documents", value=len(found), service=service
        )
    # The common case is decided by one pass in C: a sum is a plain finite number only if all of its terms are.
    if not _summable(found):
        found = [_plain(figure) for figure in found]
        if not _summable(found):
            raise ProtocolError(
                f"{service} returned {name} that are no numbers: {found!r}", value=found, service=service
            )
    return found


def _summable(figures: Sequence[Any]) -> bool:
    try:
        total = sum(figures)
    except TypeError:
        return False
    return type(total) in (int, float) and math.isfinite(total)


def _plain(value: Any) -> Any:
    """A NumPy array or scalar, or a tensor, as what Python has for it."""
    return value.tolist() if hasattr(value, "tolist") else value


def _checked(score: object, position: int, service: str) -> float:
    number, plain = math.nan, _plain(score)
    if not isinstance(plain, (bool, str, bytes)) and hasattr(plain, "__float__"):
        # Decimal's signalling NaN and integers beyond a float's range raise.
        with contextlib.suppress(ArithmeticError, TypeError, ValueError):
            number = float(plain)
    if math.isfinite(number):
        return number
    raise ProtocolError(
        f"{service} returned {score!r} as the score of document {position}; it must be a finite float",
        value=score,
        service=service,
    )
