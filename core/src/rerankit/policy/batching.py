"""Concurrent requests, merged into shared batches of a token budget."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Sequence

from rerankit.errors import DeadlineExceededError, RerankitError
from rerankit.policy.figures import BatchingFigures
from rerankit.policy.job import Job
from rerankit.policy.queue import FairQueue
from rerankit.policy.split import SplitReranker
from rerankit.policy.steps import Wrapper
from rerankit.policy.workers import BatchWorkers
from rerankit.reranker import PairReranker
from rerankit.scoring import ScoreBatch, ScoreRequest

__all__ = ["BatchingFigures", "BatchingReranker"]


class BatchingReranker(Wrapper):
    """Wears any ``PairReranker``; is one. Many threads and event loops may call it at once.

    ::

        BatchingReranker(inner, *, max_batch_tokens=8192, max_batch_documents=None,
                         max_queue_tokens=1_000_000, refuse_late=False, workers=None)
        .score_pairs(request), .ascore_pairs(request), get_scores, rerank and their asynchronous twins
        .figures() -> BatchingFigures        for metrics
        .drain(timeout=None) -> bool         accept nothing more, wait until all that was accepted is done
        .close(), .aclose()                  what still waits fails as unavailable; closes ``inner`` too

    What runs is one batch a worker; what arrives meanwhile is merged into the next ones. A batch has at most
    ``max_batch_tokens`` by the backend's ``token_counts``, taken in turns from the waiting requests, so that a
    big request does not hold up small ones. A request's scores are those of serving it alone.

    * The queue is bounded: beyond ``max_queue_tokens`` a request gets ``OverloadedError`` with ``retry_after``,
      estimated from the speed so far.
    * With ``refuse_late`` it gets the same when by that speed it would miss its deadline because of those before it:
      at once, or when the time has come to begin it and has been used up by others.
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
        refuse_late: refuse a request whose deadline would pass because of those before it, as ``OverloadedError``.
        workers: batches in flight at once; by default the backend's ``max_concurrency``.
    """

    def __init__(
        self,
        inner: PairReranker,
        *,
        max_batch_tokens: int = 8192,
        max_batch_documents: int | None = None,
        max_queue_tokens: int = 1_000_000,
        refuse_late: bool = False,
        workers: int | None = None,
    ) -> None:
        # A batch may be over the backend's limits where each request was not.
        super().__init__(SplitReranker(inner))
        self._limit = workers or inner.capabilities.max_concurrency
        self._batch_tokens = max_batch_tokens
        self._batch_documents = max_batch_documents
        self._queue_tokens = max_queue_tokens
        self._refuse_late = refuse_late
        self._workers = self._new_workers(accepting=True)
        _instances.add(self)

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """Wait for a place in the batches, and for the scores.

        Raises:
            OverloadedError: the queue is full, or the answer would be late; has ``retry_after``.
            InputError: the request alone is larger than the queue.
            DeadlineExceededError, ScoringCancelledError: nobody wants the answer any more.
            UnavailableError: closed, or closing.
            BackendError: what the backend raised for this request.
        """
        if not request.pairs:
            return ScoreBatch([])
        job = self._submitted(request, self.token_counts(request.pairs))
        try:
            return job.future.result(_seconds_left(request))
        except TimeoutError as error:
            raise self._late(request, error) from None
        finally:
            self._workers.leave(job)

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """``score_pairs`` for asynchronous callers; cancelling it takes the request out."""
        if not request.pairs:
            return ScoreBatch([])
        job = self._submitted(request, await asyncio.to_thread(self.token_counts, request.pairs))
        try:
            async with asyncio.timeout(_seconds_left(request)):
                return await asyncio.wrap_future(job.future)
        except TimeoutError as error:
            raise self._late(request, error) from None
        finally:
            self._workers.leave(job)

    def figures(self) -> BatchingFigures:
        """The figures of this moment."""
        return self._workers.figures()

    def drain(self, timeout: float | None = None) -> bool:
        """Accept nothing more, and wait until all that was accepted is done.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether all is done.
        """
        return self._workers.drain(timeout)

    def close(self) -> None:
        """Fail what waits as unavailable, wait for the batches that run, and close the backend."""
        self._workers.close()
        self.inner.close()

    async def aclose(self) -> None:
        """``close`` for asynchronous callers."""
        await asyncio.to_thread(self.close)

    def begin_anew(self) -> None:
        """In a forked child, which has neither the workers nor a usable lock, nobody waits for what was queued."""
        self._workers = self._new_workers(accepting=self._workers.accepting)

    def _new_workers(self, *, accepting: bool) -> BatchWorkers:
        queue = FairQueue(
            batch_tokens=self._batch_tokens,
            batch_documents=self._batch_documents,
            max_tokens=self._queue_tokens,
            whole=self.inner.capabilities.listwise,
        )
        return BatchWorkers(
            self.inner,
            queue,
            limit=self._limit,
            batch_tokens=self._batch_tokens,
            refuse_late=self._refuse_late,
            accepting=accepting,
        )

    def _submitted(self, request: ScoreRequest, counts: Sequence[int]) -> Job:
        request.raise_if_stopped()
        job = Job(request, counts)
        self._workers.submit(job)
        return job

    def _late(self, request: ScoreRequest, error: TimeoutError) -> TimeoutError:
        if request.deadline is None or isinstance(error, RerankitError):
            return error
        return DeadlineExceededError(
            f"the deadline passed before {len(request.pairs)} documents were scored", service=self.label
        )


def _seconds_left(request: ScoreRequest) -> float | None:
    remaining = request.remaining()
    return None if remaining is None else max(0.0, remaining)


_instances: weakref.WeakSet[BatchingReranker] = weakref.WeakSet()


def _after_fork() -> None:
    for instance in list(_instances):
        instance.begin_anew()


os.register_at_fork(after_in_child=_after_fork)
