"""Pairs of several callers, scored together."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rerankit.policy.job import Job
from rerankit.policy.merge import part_of
from rerankit.policy.queue import Pick
from rerankit.scoring import ScoreBatch, ScoreRequest

__all__ = ["SharedBatch"]


@dataclass(eq=False, slots=True)
class SharedBatch:
    """Which pairs of which jobs; ``stop`` tells the backend that nobody waits for them any more."""

    picks: list[Pick]
    stop: threading.Event = field(default_factory=threading.Event)
    started_at: float = field(default_factory=time.monotonic)

    @property
    def tokens(self) -> int:
        """Of all its pairs."""
        return sum(sum(job.counts[span.start : span.stop]) for job, span in self.picks)

    @property
    def abandoned(self) -> bool:
        """Whether every caller has gone."""
        return all(job.abandoned for job, _ in self.picks)

    @property
    def context(self) -> contextvars.Context:
        """Where it runs: several callers' work can run in one of their contexts only, the first one's, as its copy."""
        return self.picks[0][0].context.copy()

    def request(self) -> ScoreRequest:
        """What the backend is asked, until the last of the callers' deadlines."""
        pairs = [job.request.pairs[position] for job, span in self.picks for position in span]
        deadlines = [job.request.deadline for job, _ in self.picks]
        latest = None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None)
        return ScoreRequest(pairs, latest, self.stop)

    def parts(self, scored: ScoreBatch) -> Iterator[tuple[Job, range, ScoreBatch]]:
        """Each job's part of what the backend answered."""
        offset = 0
        for job, span in self.picks:
            yield job, span, part_of(scored, range(offset, offset + len(span)))
            offset += len(span)
