"""What every dialect is translated to and from: a call, its answer, and a failure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerankit.errors import (
    AuthenticationError,
    BackendError,
    InputError,
    NotFoundError,
    OutOfMemoryError,
    OverloadedError,
    RerankitError,
    RerankTimeoutError,
    ScoringCancelledError,
    UnavailableError,
)
from rerankit.scoring import Pair, ScoreBatch, ScoreKind

__all__ = [
    "Answer",
    "Call",
    "Dialect",
    "Failure",
    "LimitError",
    "MalformedError",
    "TooLargeError",
    "on_asked_scale",
    "status_of",
]


class LimitError(InputError):
    """More, or longer, documents than the service takes in one request."""


class TooLargeError(InputError):
    """A body of more bytes than the service reads."""


class MalformedError(InputError):
    """The body does not have the shape of its dialect: not JSON, a missing field, a wrong type."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, in no dialect.

    Attributes:
        pairs: what to score.
        model: what the caller named; ``None`` for the service's default.
        reranker_type: the kind of model the caller named, where its dialect can.
        top_n: how many results it wants; ``None`` for all.
        raw: it wants what the model says before any activation, where that is known.
        as_given: it wants the scores as the model gave them, and those of a partial batch too.
        may_truncate: a document may be cut to fit the model.
        ignored: what it asked for that changes nothing here, said back to it where its dialect can.
    """

    pairs: Sequence[Pair]
    model: str | None = None
    reranker_type: str | None = None
    top_n: int | None = None
    raw: bool = False
    as_given: bool = False
    may_truncate: bool = True
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gets.

    Attributes:
        batch: the scores, in input order, as the model gave them.
        scores: the same on the scale the caller asked for; nothing where it asked for them as given.
        tokens: tokens of all pairs together.
        model: the name the answer gives the model.
        seconds: since the request was read.
        request_id: comes back as a header, and in bodies that have a place for it.
        instance: which process answers.
    """

    call: Call
    batch: ScoreBatch
    scores: Sequence[float]
    tokens: int
    model: str
    device: str
    seconds: float
    request_id: str
    instance: str

    @property
    def order(self) -> list[int]:
        """Positions, most relevant first, ties in input order, cut to ``top_n``."""
        scores = self.scores
        return sorted(range(len(scores)), key=lambda position: -scores[position])[: self.call.top_n]

    @property
    def truncated(self) -> int:
        """How many documents the model saw only in part, as far as it says."""
        return sum(share < 1.0 for share in self.batch.coverage or ())


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call got no answer."""

    error: RerankitError
    request_id: str

    @property
    def headers(self) -> dict[str, str]:
        """``Retry-After`` in whole seconds, at least 1, for what a retry may cure."""
        after = self.error.retry_after
        if after is None and not (self.error.retryable and isinstance(self.error, (OverloadedError, UnavailableError))):
            return {}
        return {"retry-after": str(max(1, math.ceil(after or 1.0)))}


def status_of(error: RerankitError) -> int:
    """The HTTP status of an error, in a dialect that has no wish of its own.

    What a retry may cure is never a 4xx but 429: clients retry 408, 409, 429 and 5xx, nothing else.
    """
    for kinds, status in _STATUS:
        if isinstance(error, kinds):
            return status
    return 503


_STATUS: tuple[tuple[tuple[type[RerankitError], ...], int], ...] = (
    ((TooLargeError,), 413),
    ((LimitError, MalformedError), 422),
    ((InputError,), 400),
    ((AuthenticationError,), 401),
    ((NotFoundError,), 404),
    ((OverloadedError,), 429),
    ((ScoringCancelledError,), 499),
    ((RerankTimeoutError,), 504),
    ((UnavailableError, OutOfMemoryError), 503),
    ((BackendError,), 500),
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of clients is spoken to.

    Attributes:
        name: in metrics and logs.
        answer: the body of a 200, of the request's model and the answer.
        error: the body of a failure, given its status.
        status: the status of a failure.
        headers: of a 200, where the dialect has some.
    """

    name: str
    answer: Callable[[Any, Answer], Any]
    error: Callable[[Failure, int], dict[str, Any]]
    status: Callable[[RerankitError], int] = status_of
    headers: Callable[[Answer], dict[str, str]] = field(default=lambda answer: {})


def on_asked_scale(scores: Sequence[float], kind: ScoreKind, *, raw: bool) -> list[float]:
    """Scores in [0, 1] unless ``raw``, then logits, as far as the kind of score has the other form.

    A sigmoid takes logits to probabilities and its inverse takes them back. A probability within 2^-24 of 0 or 1,
    which float32 cannot tell from it, comes back as the logit of 2^-24: 16.6.
    """
    if kind is ScoreKind.LOGIT and not raw:
        return [_sigmoid(score) for score in scores]
    if kind is ScoreKind.PROBABILITY and raw:
        return [_logit(score) for score in scores]
    return list(scores)


_EDGE = 2.0**-24


def _sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    power = math.exp(logit)
    return power / (1.0 + power)


def _logit(probability: float) -> float:
    inside = min(max(probability, _EDGE), 1.0 - _EDGE)
    return math.log(inside / (1.0 - inside))
