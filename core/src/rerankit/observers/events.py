"""What observers are told about a call: frozen, without copies, and with figures that are computed when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from rerankit.errors import RerankitError
from rerankit.scoring import Attempt, ScoreBatch, ScoreKind, ScoreRequest

__all__ = ["CallFailed", "CallFinished", "CallStarted"]

SATURATED = 0.999
"""From here on a probability cannot tell good documents apart any more."""


@dataclass(frozen=True)
class CallStarted:
    """A call begins.

    Attributes:
        call_id: unique in the process; the same in the event that ends the call.
        service: the service that was asked.
        request: the texts and the deadline; not in the repr, since texts do not belong in logs.
    """

    call_id: int
    service: str
    request: ScoreRequest = field(repr=False)

    @property
    def documents(self) -> int:
        """Pairs in the call."""
        return len(self.request.pairs)


@dataclass(frozen=True)
class CallFinished:
    """A call was answered; with the figures that say whether reranking helped.

    Attributes:
        call: the event it began with.
        batch: the scores and all that is known about them.
        score_kind: what the scores mean.
        seconds: from beginning to end.
    """

    call: CallStarted
    batch: ScoreBatch = field(repr=False)
    score_kind: ScoreKind
    seconds: float

    @property
    def served_by(self) -> str:
        """The service that answered."""
        return self.batch.served_by or self.call.service

    @cached_property
    def displacement(self) -> float | None:
        """How far the order moved from the input order, in [0, 1]: 0 unchanged, 1 as far as n documents can move.

        Spearman's footrule over its maximum of ``n² // 2``. ``None`` for fewer than two documents, or several queries.
        """
        count = self.call.documents
        if self._order is None or count < 2:
            return None
        return sum(abs(place - index) for place, index in enumerate(self._order)) / (count * count // 2)

    @cached_property
    def first_changed(self) -> bool | None:
        """Whether another document came first than in the input; ``None`` without documents, or for several queries."""
        return None if not self._order else self._order[0] != 0

    @property
    def truncated(self) -> float | None:
        """The share of scored documents that the model saw only in part; ``None`` where unknown."""
        coverage = self.batch.coverage
        if coverage is None:
            return None
        seen = [share for share, score in zip(coverage, self.batch.scores, strict=True) if score is not None]
        return sum(share < 1.0 for share in seen) / len(seen) if seen else None

    @property
    def saturated(self) -> float | None:
        """The share of scores of 0.999 and more, where scores are in [0, 1] by their kind; else ``None``."""
        scores = [score for score in self.batch.scores if score is not None]
        if not scores or self.score_kind not in (ScoreKind.PROBABILITY, ScoreKind.CALIBRATED):
            return None
        return sum(score >= SATURATED for score in scores) / len(scores)

    @cached_property
    def _order(self) -> Sequence[int] | None:
        pairs, scores = self.call.request.pairs, self.batch.scores
        if any(query != pairs[0][0] for query, _ in pairs):
            return None
        unscored = [-score if score is not None else float("inf") for score in scores]
        return sorted(range(len(scores)), key=unscored.__getitem__)


@dataclass(frozen=True)
class CallFailed:
    """A call ended without an answer.

    Attributes:
        call: the event it began with.
        error: what the caller got.
        seconds: from beginning to end.
    """

    call: CallStarted
    error: BaseException
    seconds: float

    @property
    def code(self) -> str:
        """The error's code; ``cancelled`` for a caller that went away, ``error`` where it is not rerankit's."""
        if isinstance(self.error, RerankitError):
            return self.error.code
        return "error" if isinstance(self.error, Exception) else "cancelled"

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every try, where the policy made several."""
        return self.error.attempts if isinstance(self.error, RerankitError) else ()
