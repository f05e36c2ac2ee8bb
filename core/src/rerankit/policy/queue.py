"""The queue of ``BatchingReranker``: bounded in tokens, fair between big and small requests."""

from __future__ import annotations

import math
from collections import deque

from rerankit.errors import InputError, OverloadedError, RerankitError
from rerankit.policy.job import Job

__all__ = ["FairQueue", "Pick"]

Pick = tuple[Job, range]
"""A job, and which of its pairs a batch takes."""


class FairQueue:
    """Deficit round robin over jobs, counted in tokens. Not locked: its owner locks.

    A turn gives a job a quarter of a batch. Requests smaller than that go in order of arrival, and a bigger one
    is interleaved with them instead of holding them up.

    Args:
        batch_tokens: token budget of a batch; one pair above it makes a batch of its own.
        batch_documents: pairs in a batch at most; ``None`` for no limit.
        max_tokens: tokens waiting at most.
        whole: take whole requests, one a batch (listwise backends).
    """

    def __init__(self, *, batch_tokens: int, batch_documents: int | None, max_tokens: int, whole: bool) -> None:
        self._batch_tokens = batch_tokens
        self._batch_documents = batch_documents
        self._max_tokens = max_tokens
        self._whole = whole
        self._turn = max(1, batch_tokens // 4)
        self._jobs: deque[Job] = deque()
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def __bool__(self) -> bool:
        return bool(self._jobs)

    @property
    def documents(self) -> int:
        """Pairs that wait."""
        return sum(job.waiting for job in self._jobs)

    def put(self, job: Job, retry_after: float) -> None:
        """Let ``job`` wait for its turn.

        Raises:
            OverloadedError: too many tokens wait already; come back after ``retry_after`` seconds.
            InputError: the request alone is larger than the queue, so that it would never be taken.
        """
        tokens = job.tokens_left
        if tokens > self._max_tokens:
            raise InputError(
                f"the request has {tokens} tokens, and the queue holds {self._max_tokens}",
                value=tokens,
                remedy="send fewer documents in one request, or raise max_queue_tokens",
            )
        if self.tokens + tokens > self._max_tokens:
            raise OverloadedError(
                f"{self.tokens} tokens are waiting; {tokens} more do not fit into the queue of {self._max_tokens}",
                value=tokens,
                retry_after=retry_after,
            )
        self.tokens += tokens
        self._jobs.append(job)

    def ahead_of(self, job: Job) -> int:
        """Tokens that wait now and are taken before the last pair of ``job``, which comes now."""
        if self._whole:
            return self.tokens
        turns = math.ceil(job.tokens_left / self._turn)
        ahead = sum(min(other.tokens_left, turns * self._turn) for other in self._jobs)
        # Those that come later have turns before its last one, too: as many as now, if it goes on like this.
        return ahead if turns <= 1 else min(2 * ahead, self._max_tokens)

    def not_begun(self) -> list[Job]:
        """Those of which no batch has taken anything."""
        return [job for job in self._jobs if not job.taken]

    def remove(self, job: Job) -> None:
        """Forget ``job``, wherever it is."""
        if job in self._jobs:
            self._jobs.remove(job)
            self.tokens -= job.tokens_left

    def stopped(self) -> list[tuple[Job, RerankitError]]:
        """Take out the jobs that nobody wants any more, with the reason."""
        found = [(job, reason) for job in self._jobs if (reason := job.stop_reason()) is not None]
        for job, _ in found:
            self.remove(job)
        return found

    def clear(self) -> list[Job]:
        """Take out all jobs."""
        jobs = list(self._jobs)
        self._jobs.clear()
        self.tokens = 0
        return jobs

    def least_time(self) -> float | None:
        """Seconds that the most urgent request has left of those a full batch may take from; ``None`` for no hurry."""
        least, tokens = None, 0
        for job in self._jobs:
            remaining = job.request.remaining()
            if remaining is not None and (least is None or remaining < least):
                least = remaining
            tokens += min(job.tokens_left, self._turn)
            if tokens >= self._batch_tokens:
                break
        return least

    def take(self, most: int | None = None) -> list[Pick]:
        """The next batch; empty if nothing waits. Of ``most`` tokens if it is to be smaller, but a turn at least."""
        if self._whole:
            return [self._take_from(self._jobs[0], len(self._jobs[0].counts))] if self._jobs else []
        room = self._batch_tokens if most is None else min(max(most, self._turn), self._batch_tokens)
        places = self._batch_documents
        picks: dict[Job, range] = {}
        while self._jobs and (places is None or places > 0):
            job = self._jobs[0]
            fitting = _fitting(job, min(self._turn, room), room, places, first=not picks)
            if not fitting:
                break
            before = self.tokens
            _, span = self._take_from(job, fitting)
            # A second turn in the same batch goes on where the first one ended.
            picks[job] = range(picks[job].start, span.stop) if job in picks else span
            room -= before - self.tokens
            if places is not None:
                places -= fitting
            if job.waiting:
                if job.counts[job.taken] > room:
                    break  # the batch is full in the middle of this job's turn: it begins the next one
                self._jobs.rotate(-1)
        return list(picks.items())

    def _take_from(self, job: Job, count: int) -> Pick:
        span = range(job.taken, job.taken + count)
        job.taken = span.stop
        tokens = sum(job.counts[span.start : span.stop])
        job.tokens_left -= tokens
        self.tokens -= tokens
        if not job.waiting:
            self._jobs.remove(job)
        return job, span


def _fitting(job: Job, turn: int, room: int, places: int | None, *, first: bool) -> int:
    """How many of the job's next pairs go into the batch in one turn: at least one, if it fits or is the first."""
    taken, tokens = 0, 0
    limit = job.waiting if places is None else min(job.waiting, places)
    for count in job.counts[job.taken : job.taken + limit]:
        if tokens + count > turn and not (taken == 0 and (first or count <= room)):
            break
        tokens += count
        taken += 1
    return taken
