"""What every part of the suite is built on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from rerankit.reranker import AbstractReranker, PairReranker

__all__ = ["Suite"]


class Suite:
    """How scores are compared, and which checks do not apply to a backend: pytest reports those as skipped."""

    tolerance: ClassVar[float] = 1e-3

    def pointwise(self, reranker: AbstractReranker) -> None:
        if reranker.capabilities.listwise:
            pytest.skip("listwise: a score may depend on the other documents of the call")

    def alike(self, scores: Sequence[float | None], expected: Sequence[float | None], what: str) -> None:
        assert len(scores) == len(expected), f"{what}: {len(scores)} scores, not {len(expected)}"
        for position, (score, other) in enumerate(zip(scores, expected, strict=True)):
            assert None not in (score, other), f"{what}: document {position} was not scored"
            assert score == pytest.approx(other, rel=self.tolerance, abs=self.tolerance), (
                f"{what}: document {position} scored {score}, not {other} (tolerance {self.tolerance})"
            )

    def pair_reranker(self, reranker: AbstractReranker) -> PairReranker:
        if not isinstance(reranker, PairReranker):
            pytest.skip("no PairReranker: the backend has no score_pairs")
        return reranker
