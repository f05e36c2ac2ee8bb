"""The threads of ``BatchingReranker``: they take batches from the queue, have them scored, and hand out the parts."""

from __future__ import annotations

import threading
import time

from rerankit.errors import BackendError, DeadlineExceededError, RerankitError, UnavailableError
from rerankit.policy.admission import tokens_in_time, too_late_to_begin, too_late_to_wait
from rerankit.policy.figures import BatchingCounts, BatchingFigures
from rerankit.policy.job import Job
from rerankit.policy.merge import merge, same_source
from rerankit.policy.queue import FairQueue
from rerankit.policy.shared import SharedBatch
from rerankit.reranker import PairReranker
from rerankit.scoring import ScoreBatch, ScoreRequest, checked_batch

__all__ = ["BatchWorkers"]

_IDLE_S = 10.0
"""A worker without work ends after this time, so that a reranker nobody closed leaves no thread behind."""


class BatchWorkers:
    """The state of one process; a forked child begins with its own.

    Args:
        inner: scores the batches.
        queue: what waits; belongs to the workers from now on.
        limit: batches in flight at once, each in a thread.
        batch_tokens: tokens of a full batch.
        refuse_late: see ``rerankit.policy.admission``.
        accepting: take requests.
    """

    def __init__(
        self,
        inner: PairReranker,
        queue: FairQueue,
        *,
        limit: int,
        batch_tokens: int,
        refuse_late: bool,
        accepting: bool,
    ) -> None:
        self.accepting = accepting
        self._inner = inner
        self._queue = queue
        self._limit = limit
        self._batch_tokens = batch_tokens
        self._refuse_late = refuse_late
        self._lock = threading.RLock()
        # Two conditions on one lock: idle workers wait for work, and who drains waits for its end. On one they would
        # wake each other for ever.
        self._arrived = threading.Condition(self._lock)
        self._finished = threading.Condition(self._lock)
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._running: set[SharedBatch] = set()
        self._counts = BatchingCounts()

    # --- for callers ---------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Let ``job`` wait for its turn.

        Raises:
            UnavailableError: no more requests are taken.
            OverloadedError: the queue is full, or the job would be late.
            InputError: it is larger than the queue.
        """
        with self._lock:
            if not self.accepting:
                raise self._closed()
            try:
                self._refuse_if_late(job)
                self._queue.put(job, self._wait_estimate())
            except BackendError:
                self._counts.refused += 1
                raise
            self._counts.accepted += 1
            self._wake_one()

    def leave(self, job: Job) -> None:
        """Its caller goes, with its answer or without."""
        if job.future.done():
            return
        with self._lock:
            job.abandoned = True
            self._queue.remove(job)
            self._counts.dropped += 1
            for batch in self._running:
                if batch.abandoned:
                    batch.stop.set()
            self._finished.notify_all()

    def figures(self) -> BatchingFigures:
        """Of this moment."""
        with self._lock:
            queue = self._queue
            return self._counts.figures(
                requests=len(queue),
                documents=queue.documents,
                tokens=queue.tokens,
                running=len(self._running),
                workers=self._limit,
            )

    def drain(self, timeout: float | None) -> bool:
        """Take nothing more, and wait until all is done; whether it is."""
        with self._lock:
            self.accepting = False
            return self._finished.wait_for(lambda: not self._queue and not self._running, timeout)

    def close(self) -> None:
        """Take nothing more, fail what waits as unavailable, and wait for the batches that run."""
        with self._lock:
            self.accepting = False
            for job in self._queue.clear():
                job.fail(self._closed(), self._inner.label)
            threads = list(self._threads)
            self._arrived.notify_all()
            self._finished.notify_all()
        for thread in threads:
            thread.join()

    def _wake_one(self) -> None:
        if self._idle:
            self._arrived.notify()
        elif len(self._threads) < self._limit:
            thread = threading.Thread(target=self._work, name=f"rerankit-batching-{self._inner.label}", daemon=True)
            thread.start()
            self._threads.add(thread)

    def _speed(self) -> float | None:
        """Tokens a second, of all workers together; ``None`` before the first batch."""
        speed = self._counts.tokens_per_second
        return None if speed is None else speed * self._limit

    def _wait_estimate(self) -> float:
        speed = self._speed()
        return 1.0 if speed is None else max(0.1, self._queue.tokens / speed)

    def _refuse_if_late(self, job: Job) -> None:
        speed = self._speed()
        if not self._refuse_late or speed is None:
            return
        now = time.monotonic()
        each = speed / self._limit
        # A batch that takes longer than expected is as likely as not to take as long again.
        running = sum(max(b.tokens / 2, b.tokens - each * (now - b.started_at)) for b in self._running)
        late = too_late_to_wait(job, self._queue.ahead_of(job) + round(running), speed, self._inner.label)
        if late is not None:
            raise late

    def _refuse_hopeless(self) -> int | None:
        """Before a batch is taken; how large it may be, so that those in it are in time."""
        speed = self._speed()
        if not self._refuse_late or speed is None:
            return None
        for job in self._queue.not_begun():
            late = too_late_to_begin(job, self._queue.tokens - job.tokens_left, speed, self._inner.label)
            if late is not None:
                self._counts.refused += 1
                self._end(job, late)
        return tokens_in_time(self._queue.least_time(), speed / self._limit)

    def _closed(self) -> UnavailableError:
        label = self._inner.label
        return UnavailableError(f"{label} is closing and takes no more requests", service=label)

    # --- in the threads ------------------------------------------------------------------------------

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            try:
                self._run(batch)
            finally:
                with self._lock:
                    self._running.remove(batch)
                    self._finished.notify_all()

    def _next(self) -> SharedBatch | None:
        """Wait for a batch to run; ``None`` when this worker is not needed any more."""
        with self._lock:
            while True:
                for job, reason in self._queue.stopped():
                    self._counts.dropped += 1
                    job.fail(reason, self._inner.label)
                picks = self._queue.take(self._refuse_hopeless())
                if picks:
                    batch = SharedBatch(picks)
                    self._running.add(batch)
                    for job, _ in picks:
                        job.running += 1
                        job.started_at = job.started_at or batch.started_at
                    if self._queue:
                        self._wake_one()
                    return batch
                self._finished.notify_all()
                self._idle += 1
                awake = self.accepting and self._arrived.wait(_IDLE_S)
                self._idle -= 1
                if not awake and not self._queue:
                    self._threads.discard(threading.current_thread())
                    return None

    def _run(self, batch: SharedBatch) -> None:
        """Score one batch and give every request its part."""
        try:
            scored = batch.context.run(self._score, batch.request())
        except BaseException as error:
            self._run_apart(batch, error)
            return
        seconds = time.monotonic() - batch.started_at
        with self._lock:
            self._counts.add_batch(len(scored.scores), batch.tokens, seconds, self._batch_tokens)
        for job, span, part in batch.parts(scored):
            self._deliver(job, span, part)

    def _run_apart(self, batch: SharedBatch, error: BaseException) -> None:
        """The batch failed: find out whose fault it was, unless it cannot lie in a request."""
        shared = isinstance(error, RerankitError) and (error.retryable or isinstance(error, DeadlineExceededError))
        if len(batch.picks) == 1 or shared:
            for job, _ in batch.picks:
                self._end(job, error)
            return
        for job, span in batch.picks:
            reason = job.stop_reason()
            if reason is not None:
                self._end(job, reason)
                continue
            with self._lock:
                self._counts.reruns += 1
            pairs = [job.request.pairs[position] for position in span]
            try:
                own_request = ScoreRequest(pairs, job.request.deadline, job.request.cancelled or batch.stop)
                scored = job.context.copy().run(self._score, own_request)
            except BaseException as own:
                self._end(job, own)
            else:
                self._deliver(job, span, scored)

    def _score(self, request: ScoreRequest) -> ScoreBatch:
        return checked_batch(self._inner.score_pairs(request), len(request.pairs), self._inner.label)

    def _deliver(self, job: Job, span: range, batch: ScoreBatch) -> None:
        with self._lock:
            if job.future.done():
                return
            job.running -= 1
            job.parts.append((span, batch))
            if job.waiting or job.running:
                return
        try:
            whole = self._whole(job)
        except BaseException as error:
            self._end(job, error)
        else:
            job.finish(whole)

    def _whole(self, job: Job) -> ScoreBatch:
        first = job.parts[0][1]
        if len(job.parts) == 1:
            return first
        if all(same_source(first, batch) for _, batch in job.parts):
            return merge(job.parts, len(job.counts))
        # A fallback took over between two batches: scores of two models never mix, so the request is scored anew.
        return self._score(job.request)

    def _end(self, job: Job, error: BaseException) -> None:
        with self._lock:
            self._queue.remove(job)
            job.fail(error, self._inner.label)
