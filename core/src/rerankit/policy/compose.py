"""The layers of a policy, put around a backend in their one order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from rerankit.adapters import as_pair_reranker
from rerankit.policy.batching import BatchingReranker
from rerankit.policy.breaker import BreakerReranker, Circuit
from rerankit.policy.deadline import DeadlineReranker, PartialReranker
from rerankit.policy.dedup import DedupReranker
from rerankit.policy.fallback import FallbackReranker, LazyReranker
from rerankit.policy.front import FrontReranker
from rerankit.policy.guard import GuardReranker
from rerankit.policy.settings import FallbackService, PolicySettings
from rerankit.policy.split import SplitReranker
from rerankit.reranker import AbstractReranker, PairReranker

if TYPE_CHECKING:
    from rerankit.policy.cache import ScoreCache
    from rerankit.policy.calibration import Calibration

__all__ = ["Build", "apply_policy"]

Build: TypeAlias = Callable[[str, Mapping[str, Any]], AbstractReranker]
"""Makes the backend of a service, by its name and its arguments."""

_FAILURES_WITH_FALLBACK = 5


def apply_policy(backend: AbstractReranker, settings: PolicySettings, build: Build) -> FrontReranker:
    """``backend`` with ``settings`` around it, as the application holds it; with default settings too.

    Args:
        backend: the service that was asked for.
        settings: the policy, validated.
        build: makes a fallback, when it is first needed.

    Raises:
        InvalidArgumentError: something was asked for that a listwise backend cannot have.
    """
    if settings.observers:
        from rerankit.observers import switch_on

        switch_on(settings.observers)
    services = _Services(settings)
    first = services.around(as_pair_reranker(backend), first=True)
    for_rankings: PairReranker = first
    for_scores: PairReranker | None = None
    if settings.fallback:
        others = [LazyReranker(f.service, partial(services.build, build, f)) for f in settings.fallback]
        for_rankings = FallbackReranker([first, *others])
        if settings.fallback_score_kinds == "same":
            for_scores = FallbackReranker([first, *others], same_score_kind=True)
    if settings.deadline_s is not None:
        for_rankings = DeadlineReranker(for_rankings, settings.deadline_s)
        for_scores = None if for_scores is None else DeadlineReranker(for_scores, settings.deadline_s)
    return FrontReranker(for_rankings, for_scores=for_scores, input_order=settings.on_failure == "input_order")


class _Services:
    """Puts around each service of the chain what is its own: from its guard to the removal of duplicates."""

    def __init__(self, settings: PolicySettings) -> None:
        self._settings = settings
        self._failures = settings.breaker_failures
        if self._failures is None:
            self._failures = _FAILURES_WITH_FALLBACK if settings.fallback else 0
        self._cache: ScoreCache | None = None
        if settings.cache_path is not None:
            from rerankit.policy.cache import ScoreCache
            from rerankit.policy.disk import DiskScores

            self._cache = ScoreCache(settings.cache_bytes, DiskScores(settings.cache_path, settings.cache_path_bytes))
        elif settings.cache_bytes:
            from rerankit.policy.cache import ScoreCache

            self._cache = ScoreCache(settings.cache_bytes)
        self._calibrations: list[Calibration] = []
        if settings.calibration:
            from rerankit.policy.calibration import Calibration

            self._calibrations = [Calibration.read(path) for path in settings.calibration]

    def build(self, build: Build, fallback: FallbackService) -> PairReranker:
        return self.around(as_pair_reranker(build(fallback.service, fallback.args)), first=False)

    def around(self, backend: PairReranker, *, first: bool) -> PairReranker:
        settings = self._settings
        # A listwise fallback does without what is refused for a listwise first service.
        listwise = backend.capabilities.listwise
        asked_for = first or not listwise
        reranker: PairReranker = GuardReranker(backend)
        if self._failures:
            reranker = BreakerReranker(reranker, Circuit(self._failures, settings.breaker_reset_s))
        if settings.retries:
            from rerankit.policy.retry import RetryReranker  # tenacity takes 25 ms to import

            reranker = RetryReranker(
                reranker, settings.retries, wait_s=settings.retry_wait_s, max_wait_s=settings.retry_max_wait_s
            )
        reranker = SplitReranker(reranker)
        if settings.batch_tokens is not None:
            reranker = BatchingReranker(
                reranker, max_batch_tokens=settings.batch_tokens, max_queue_tokens=settings.queue_tokens
            )
        if settings.deadline_s is not None and settings.on_deadline == "partial":
            reranker = PartialReranker(reranker, settings.chunk_documents)
        if self._cache is not None and asked_for:
            from rerankit.policy.cache import CacheReranker

            reranker = CacheReranker(reranker, self._cache)
        # Only the first service must have one: with a fallback's own scores an answer is still an answer.
        made_for = [c for c in self._calibrations if first or c.made_for.service == backend.label]
        if made_for:
            from rerankit.policy.calibration import CalibratedReranker

            reranker = CalibratedReranker(reranker, made_for)
        if (settings.deduplicate and asked_for) or (settings.deduplicate is None and not listwise):
            reranker = DedupReranker(reranker)
        return reranker
