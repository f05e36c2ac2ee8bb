"""Concurrent requests, merged into shared batches of a token budget."""

from __future__ import annotations

import asyncio
import copy
import os
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace

from rerankit.errors import BackendError, DeadlineExceededError, RerankitError, UnavailableError
from rerankit.policy.figures import BatchingCounts, BatchingFigures
from rerankit.policy.merge import merge, part_of, same_source
from rerankit.policy.queue import FairQueue, Job, Pick
from rerankit.policy.split import SplitReranker
from rerankit.policy.steps import Wrapper
from rerankit.reranker import PairReranker
from rerankit.scoring import ScoreBatch, ScoreRequest, checked_batch

__all__ = ["BatchingFigures", "BatchingReranker"]

_IDLE_S = 10.0
"""A worker without work ends after this time, so that a reranker nobody closed leaves no thread behind."""


class BatchingReranker(Wrapper):
    """Wears any ``PairReranker``; is one. Many threads and event loops may call it at once.

    ::

        BatchingReranker(inner, *, max_batch_tokens=8192, max_batch_documents=None,
                         max_queue_tokens=1_000_000, workers=None)
        .score_pairs(request), .ascore_pairs(request), get_scores, rerank and their asynchronous twins
        .figures() -> BatchingFigures        for metrics
        .drain(timeout=None) -> bool         accept nothing more, wait until all that was accepted is done
        .close(), .aclose()                  what still waits fails as unavailable; closes ``inner`` too

    What runs is one batch a worker; what arrives meanwhile is merged into the next ones. A batch has at most
    ``max_batch_tokens`` by the backend's ``token_counts``, taken in turns from the waiting requests, so that a
    big request does not hold up small ones. A request's scores are those of serving it alone.

    * The queue is bounded: beyond ``max_queue_tokens`` a request gets ``OverloadedError`` with ``retry_after``,
      estimated from the speed so far.
    * Cancelling an asynchronous caller, setting ``request.cancelled`` or reaching ``request.deadline`` takes the
      request out of the queue. A batch that nobody waits for any more is told to stop.
    * A batch that fails for a reason that may lie in a request (any error but a retryable one) is scored again,
      each request apart, so that only the one at fault fails.
    * A listwise backend gets each request whole, alone in its batch.

    Args:
        inner: scores the batches; it is called from at most ``workers`` threads.
        max_batch_tokens: token budget of a batch; the backend's own limits are kept besides.
        max_batch_documents: pairs in a batch at most.
        max_queue_tokens: tokens that may wait.
        workers: batches in flight at once; by default the backend's ``max_concurrency``.
    """

    def __init__(
        self,
        inner: PairReranker,
        *,
        max_batch_tokens: int = 8192,
        max_batch_documents: int | None = None,
        max_queue_tokens: int = 1_000_000,
        workers: int | None = None,
    ) -> None:
        # A batch may be over the backend's limits where each request was not.
        super().__init__(SplitReranker(inner))
        self._max_workers = workers or inner.capabilities.max_concurrency
        self._batch_tokens = max_batch_tokens
        self._batch_documents = max_batch_documents
        self._queue_tokens = max_queue_tokens
        self._open = True
        self._start()
        _instances.add(self)

    def _start(self) -> None:
        """The state of a process; a forked child starts with its own."""
        self._lock = threading.RLock()
        # Two conditions on one lock: idle workers wait for work, and who drains waits for its end. On one they would
        # wake each other for ever.
        self._arrived = threading.Condition(self._lock)
        self._finished = threading.Condition(self._lock)
        self._queue = FairQueue(
            batch_tokens=self._batch_tokens,
            batch_documents=self._batch_documents,
            max_tokens=self._queue_tokens,
            whole=self.inner.capabilities.listwise,
        )
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._running: dict[threading.Event, list[Job]] = {}
        self._counts = BatchingCounts()

    # --- callers -------------------------------------------------------------------------------------

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """Wait for a place in the batches, and for the scores.

        Raises:
            OverloadedError: the queue is full; has ``retry_after``.
            InputError: the request alone is larger than the queue.
            DeadlineExceededError, ScoringCancelledError: nobody wants the answer any more.
            UnavailableError: closed, or closing.
            BackendError: what the backend raised for this request.
        """
        if not request.pairs:
            return ScoreBatch([])
        job = self._submit(request, self.token_counts(request.pairs))
        try:
            return job.future.result(_seconds_left(request))
        except TimeoutError as error:
            raise self._late(request, error) from None
        finally:
            self._leave(job)

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """``score_pairs`` for asynchronous callers; cancelling it takes the request out."""
        if not request.pairs:
            return ScoreBatch([])
        job = self._submit(request, await asyncio.to_thread(self.token_counts, request.pairs))
        try:
            async with asyncio.timeout(_seconds_left(request)):
                return await asyncio.wrap_future(job.future)
        except TimeoutError as error:
            raise self._late(request, error) from None
        finally:
            self._leave(job)

    def figures(self) -> BatchingFigures:
        """The figures of this moment."""
        with self._lock:
            counts = self._counts
            speed = counts.tokens_per_second
            return BatchingFigures(
                queued_requests=len(self._queue),
                queued_documents=self._queue.documents,
                queued_tokens=self._queue.tokens,
                running_batches=len(self._running),
                batches=counts.batches,
                documents=counts.documents,
                tokens=counts.tokens,
                batch_fill=counts.fill / counts.batches if counts.batches else None,
                tokens_per_second=None if speed is None else speed * self._max_workers,
                accepted=counts.accepted,
                refused=counts.refused,
                dropped=counts.dropped,
                reruns=counts.reruns,
            )

    def drain(self, timeout: float | None = None) -> bool:
        """Accept nothing more, and wait until all that was accepted is done.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether all is done.
        """
        with self._lock:
            self._open = False
            return self._finished.wait_for(lambda: not self._queue and not self._running, timeout)

    def close(self) -> None:
        """Fail what waits as unavailable, wait for the batches that run, and close the backend."""
        with self._lock:
            self._open = False
            for job in self._queue.clear():
                self._fail(job, self._closed())
            threads = list(self._threads)
            self._arrived.notify_all()
            self._finished.notify_all()
        for thread in threads:
            thread.join()
        self.inner.close()

    async def aclose(self) -> None:
        """``close`` for asynchronous callers."""
        await asyncio.to_thread(self.close)

    def _submit(self, request: ScoreRequest, counts: Sequence[int]) -> Job:
        request.raise_if_stopped()
        job = Job(request, counts)
        with self._lock:
            if not self._open:
                raise self._closed()
            try:
                self._queue.put(job, self._wait_estimate())
            except BackendError:
                self._counts.refused += 1
                raise
            self._counts.accepted += 1
            self._wake_worker()
        return job

    def _wake_worker(self) -> None:
        if self._idle:
            self._arrived.notify()
        elif len(self._threads) < self._max_workers:
            thread = threading.Thread(target=self._work, name=f"rerankit-batching-{self.label}", daemon=True)
            thread.start()
            self._threads.add(thread)

    def _leave(self, job: Job) -> None:
        """The caller goes, with its answer or without."""
        if job.future.done():
            return
        with self._lock:
            job.abandoned = True
            self._queue.remove(job)
            self._counts.dropped += 1
            for stop, jobs in self._running.items():
                if all(other.abandoned for other in jobs):
                    stop.set()
            self._finished.notify_all()

    def _wait_estimate(self) -> float:
        speed = self._counts.tokens_per_second
        return 1.0 if speed is None else max(0.1, self._queue.tokens / speed / self._max_workers)

    def _late(self, request: ScoreRequest, error: TimeoutError) -> TimeoutError:
        if request.deadline is None or isinstance(error, RerankitError):
            return error
        return DeadlineExceededError(
            f"the deadline passed before {len(request.pairs)} documents were scored", service=self.label
        )

    def _closed(self) -> UnavailableError:
        return UnavailableError(f"{self.label} is closing and takes no more requests", service=self.label)

    # --- workers -------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            picks, stop = batch
            try:
                self._run(picks, stop)
            finally:
                with self._lock:
                    del self._running[stop]
                    self._finished.notify_all()

    def _next(self) -> tuple[list[Pick], threading.Event] | None:
        """Wait for a batch to run; ``None`` when this worker is not needed any more."""
        with self._lock:
            while True:
                for job, reason in self._queue.stopped():
                    self._counts.dropped += 1
                    self._fail(job, reason)
                picks = self._queue.take()
                if picks:
                    stop = threading.Event()
                    self._running[stop] = [job for job, _ in picks]
                    for job, _ in picks:
                        job.running += 1
                        job.started_at = job.started_at or time.monotonic()
                    if self._queue:
                        self._wake_worker()
                    return picks, stop
                self._finished.notify_all()
                self._idle += 1
                awake = self._open and self._arrived.wait(_IDLE_S)
                self._idle -= 1
                if not awake and not self._queue:
                    self._threads.discard(threading.current_thread())
                    return None

    def _run(self, picks: list[Pick], stop: threading.Event) -> None:
        """Score one batch and give every request its part."""
        pairs = [job.request.pairs[position] for job, span in picks for position in span]
        tokens = sum(sum(job.counts[span.start : span.stop]) for job, span in picks)
        deadlines = [job.request.deadline for job, _ in picks]
        latest = None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None)
        started = time.monotonic()
        try:
            # Several callers' work runs in one of their contexts: the first one's, as its copy.
            context = picks[0][0].context.copy()
            batch = context.run(self._score, ScoreRequest(pairs, latest, stop))
        except BaseException as error:
            self._run_apart(picks, stop, error)
            return
        with self._lock:
            self._counts.add_batch(len(pairs), tokens, time.monotonic() - started, self._batch_tokens)
        offset = 0
        for job, span in picks:
            self._deliver(job, span, part_of(batch, range(offset, offset + len(span))))
            offset += len(span)

    def _run_apart(self, picks: list[Pick], stop: threading.Event, error: BaseException) -> None:
        """The batch failed: find out whose fault it was, unless it cannot lie in a request."""
        shared = isinstance(error, RerankitError) and (error.retryable or isinstance(error, DeadlineExceededError))
        if len(picks) == 1 or shared:
            for job, _ in picks:
                self._end(job, error)
            return
        for job, span in picks:
            reason = job.stop_reason()
            if reason is not None:
                self._end(job, reason)
                continue
            with self._lock:
                self._counts.reruns += 1
            pairs = [job.request.pairs[position] for position in span]
            try:
                own_request = ScoreRequest(pairs, job.request.deadline, job.request.cancelled or stop)
                batch = job.context.copy().run(self._score, own_request)
            except BaseException as own:
                self._end(job, own)
            else:
                self._deliver(job, span, batch)

    def _score(self, request: ScoreRequest) -> ScoreBatch:
        return checked_batch(self.inner.score_pairs(request), len(request.pairs), self.label)

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
            return
        waited = (job.started_at or job.queued_at) - job.queued_at
        job.future.set_result(replace(whole, timings={"queue": waited, **whole.timings}))

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
            self._fail(job, error)

    def _fail(self, job: Job, error: BaseException) -> None:
        if job.future.done():
            return
        if not isinstance(error, Exception):
            # SystemExit and the like end the worker's batch, not the caller's program.
            error = BackendError(f"{self.label} raised {type(error).__name__}", service=self.label)
        # Each caller gets an error of its own: raising it writes a traceback into it.
        job.future.set_exception(copy.copy(error) if isinstance(error, RerankitError) else error)


def _seconds_left(request: ScoreRequest) -> float | None:
    remaining = request.remaining()
    return None if remaining is None else max(0.0, remaining)


_instances: weakref.WeakSet[BatchingReranker] = weakref.WeakSet()


def _after_fork() -> None:
    # The child has neither the workers nor a usable lock, and nobody there waits for what was queued.
    for instance in list(_instances):
        instance._start()


os.register_at_fork(after_in_child=_after_fork)
