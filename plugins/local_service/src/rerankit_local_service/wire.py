"""Our own dialect, ``POST /v1/score_pairs``: a ``ScoreRequest`` and a ``ScoreBatch`` as JSON, nothing lost on the way.

The pairs go as groups of one query and its documents, in order, so that a query is sent once and not with every
document. The deadline goes as the header ``x-rerankit-timeout``, in seconds from now, because two machines' clocks
differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from typing_extensions import TypedDict

from rerankit.errors import ProtocolError, RerankitError, error_class
from rerankit.scoring import Attempt, Pair, ScoreBatch, ScoreKind

__all__ = [
    "PROTOCOL",
    "SCORE_PATH",
    "TIMEOUT_HEADER",
    "Group",
    "WireBatch",
    "batch_from_wire",
    "batch_to_wire",
    "error_from_wire",
    "groups_of",
    "kind_from_wire",
]

PROTOCOL = 1
"""Rises when an older client would misread an answer."""
SCORE_PATH = "/v1/score_pairs"
TIMEOUT_HEADER = "x-rerankit-timeout"


class Group(TypedDict):
    """Consecutive pairs of one query."""

    query: str
    documents: list[str]


class WireAttempt(TypedDict):
    """An ``Attempt``."""

    service: str
    seconds: float
    error: str | None


class WireBatch(TypedDict):
    """A ``ScoreBatch``, and which process made it: another one may have loaded another model."""

    instance: str

    scores: list[float | None]
    coverage: list[float] | None
    tokens: list[int] | None
    model: str | None
    revision: str | None
    score_kind: str | None
    timings: dict[str, float]
    served_by: str | None
    degraded: bool
    partial: bool
    attempts: list[WireAttempt]


def groups_of(pairs: Sequence[Pair]) -> list[Group]:
    """``pairs``, the query of neighbours written once; flattened they are in the same order."""
    return [
        {"query": query, "documents": [document for _, document in group]}
        for query, group in groupby(pairs, key=lambda pair: pair[0])
    ]


def batch_to_wire(batch: ScoreBatch, instance: str) -> WireBatch:
    """``batch`` as JSON types."""
    return {
        "instance": instance,
        "scores": list(batch.scores),
        "coverage": None if batch.coverage is None else list(batch.coverage),
        "tokens": None if batch.tokens is None else list(batch.tokens),
        "model": batch.model,
        "revision": batch.revision,
        "score_kind": None if batch.score_kind is None else str(batch.score_kind),
        "timings": dict(batch.timings),
        "served_by": batch.served_by,
        "degraded": batch.degraded,
        "partial": batch.partial,
        "attempts": [{"service": a.service, "seconds": a.seconds, "error": a.error} for a in batch.attempts],
    }


def batch_from_wire(fields: Any, service: str) -> ScoreBatch:
    """The batch that ``fields``, as parsed from JSON, describe. Fields of a newer server are passed over.

    Raises:
        ProtocolError: they do not describe one.
    """
    try:
        kind = fields.get("score_kind")
        return ScoreBatch(
            scores=fields["scores"],
            coverage=fields.get("coverage"),
            tokens=fields.get("tokens"),
            model=fields.get("model"),
            revision=fields.get("revision"),
            score_kind=None if kind is None else kind_from_wire(kind),
            timings=fields.get("timings") or {},
            served_by=fields.get("served_by"),
            degraded=bool(fields.get("degraded")),
            partial=bool(fields.get("partial")),
            attempts=tuple(Attempt(a["service"], a["seconds"], a.get("error")) for a in fields.get("attempts") or ()),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ProtocolError(
            f"{service} answered with something that is no batch of scores: {type(error).__name__}: {error}",
            remedy="give client and server the same version: pip install --upgrade rerankit-local-service",
            service=service,
        ) from None


def kind_from_wire(kind: str) -> ScoreKind:
    """What a score means; ``UNKNOWN`` for a kind that only the other side knows."""
    return ScoreKind(kind) if kind in set(ScoreKind) else ScoreKind.UNKNOWN


def error_from_wire(fields: Mapping[str, Any], service: str) -> RerankitError:
    """The error that the other side raised."""
    error: RerankitError = error_class(str(fields.get("code")))(
        str(fields.get("message") or "the service failed and did not say why"),
        remedy=fields.get("remedy") or None,
        service=service,
        retryable=fields.get("retryable") if isinstance(fields.get("retryable"), bool) else None,
        retry_after=fields.get("retry_after") if isinstance(fields.get("retry_after"), (int, float)) else None,
    )
    return error
