"""Several batches of one request -> one batch, and never one of two backends' scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rerankit.errors import ProtocolError
from rerankit.scoring import Attempt, ScoreBatch

__all__ = ["Part", "merge", "part_of", "same_source"]

Part = tuple[Sequence[int], ScoreBatch]
"""Positions in the request, and the batch that has one score for each of them."""


def same_source(one: ScoreBatch, other: ScoreBatch) -> bool:
    """Whether the scores of both may stand in one ranking."""
    return (one.served_by, one.model, one.revision, one.score_kind) == (
        other.served_by,
        other.model,
        other.revision,
        other.score_kind,
    )


def part_of(batch: ScoreBatch, positions: Sequence[int]) -> ScoreBatch:
    """What ``batch`` says about the pairs at ``positions``."""
    scores = [batch.scores[position] for position in positions]
    return replace(
        batch,
        scores=scores,
        coverage=None if batch.coverage is None else [batch.coverage[position] for position in positions],
        tokens=None if batch.tokens is None else [batch.tokens[position] for position in positions],
        partial=None in scores,
    )


def merge(parts: Iterable[Part], count: int) -> ScoreBatch:
    """One batch of ``count`` scores; positions in no part have none, and make it partial.

    Figures that one part does not give are not given at all; timings and attempts are those of all parts.

    Raises:
        ProtocolError: the parts come from different services or models.
    """
    parts = list(parts)
    first = parts[0][1]
    scores: list[float | None] = [None] * count
    coverage = [0.0] * count if all(batch.coverage is not None for _, batch in parts) else None
    tokens = [0] * count if all(batch.tokens is not None for _, batch in parts) else None
    timings: dict[str, float] = {}
    attempts: list[Attempt] = []
    placed = 0
    for positions, batch in parts:
        if not same_source(first, batch):
            raise ProtocolError(
                f"one request was scored by two models: {_source(first)} and {_source(batch)}",
                remedy="give every instance behind one service the same model and revision",
            )
        placed += len(positions)
        for place, position in enumerate(positions):
            scores[position] = batch.scores[place]
            if coverage is not None and batch.coverage is not None:
                coverage[position] = batch.coverage[place]
            if tokens is not None and batch.tokens is not None:
                tokens[position] = batch.tokens[place]
        for stage, seconds in batch.timings.items():
            timings[stage] = timings.get(stage, 0.0) + seconds
        attempts.extend(batch.attempts)
    return ScoreBatch(
        scores,
        coverage,
        tokens,
        model=first.model,
        revision=first.revision,
        score_kind=first.score_kind,
        timings=timings,
        served_by=first.served_by,
        degraded=first.degraded,
        partial=placed < count or any(batch.partial for _, batch in parts),
        attempts=tuple(attempts),
    )


def _source(batch: ScoreBatch) -> str:
    return f"{batch.served_by or 'the service'} ({batch.model}@{batch.revision}, {batch.score_kind})"
