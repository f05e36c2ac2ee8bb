"""One caller's request on its way through ``BatchingReranker``, until it has its answer or its error."""

from __future__ import annotations

import contextvars
import copy
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from rerankit.errors import BackendError, DeadlineExceededError, RerankitError, ScoringCancelledError
from rerankit.policy.merge import Part
from rerankit.scoring import ScoreBatch, ScoreRequest

__all__ = ["Job"]


@dataclass(eq=False, slots=True)
class Job:
    """One caller's request on its way through the queue."""

    request: ScoreRequest
    counts: Sequence[int]
    future: Future[ScoreBatch] = field(default_factory=Future)
    taken: int = 0
    tokens_left: int = field(init=False)
    running: int = 0
    abandoned: bool = False
    parts: list[Part] = field(default_factory=list)
    queued_at: float = field(default_factory=time.monotonic)
    started_at: float | None = None
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def __post_init__(self) -> None:
        self.tokens_left = sum(self.counts)
        # A running future cannot be cancelled: only the worker ends it, and never finds it ended already.
        self.future.set_running_or_notify_cancel()

    @property
    def waiting(self) -> int:
        """Pairs that no batch has taken yet."""
        return len(self.counts) - self.taken

    def stop_reason(self) -> RerankitError | None:
        """Why nobody wants this job's scores any more."""
        if self.abandoned:
            return ScoringCancelledError("the caller has gone")
        try:
            self.request.raise_if_stopped()
        except (DeadlineExceededError, ScoringCancelledError) as reason:
            return reason
        return None

    def finish(self, batch: ScoreBatch) -> None:
        """Give the caller its scores, and how long they had to wait to be begun."""
        waited = (self.started_at or self.queued_at) - self.queued_at
        self.future.set_result(replace(batch, timings={"queue": waited, **batch.timings}))

    def fail(self, error: BaseException, service: str) -> None:
        """Give the caller an error, if it has no answer yet."""
        if self.future.done():
            return
        if not isinstance(error, Exception):
            # SystemExit and the like end the worker's batch, not the caller's program.
            error = BackendError(f"{service} raised {type(error).__name__}", service=service)
        # Each caller gets an error of its own: raising it writes a traceback into it.
        self.future.set_exception(copy.copy(error) if isinstance(error, RerankitError) else error)
