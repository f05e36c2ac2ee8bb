"""A time limit for the whole call, and what was scored when it comes."""

from __future__ import annotations

import time
from dataclasses import replace

from rerankit.errors import DeadlineExceededError
from rerankit.policy.merge import merge
from rerankit.policy.parallel import Parallel
from rerankit.policy.steps import Layer, Prepare, Score, Steps
from rerankit.reranker import PairReranker
from rerankit.scoring import ScoreRequest

__all__ = ["DeadlineReranker", "PartialReranker"]


class DeadlineReranker(Layer):
    """Gives every request a deadline ``seconds`` from now, unless it has an earlier one."""

    def __init__(self, inner: PairReranker, seconds: float) -> None:
        super().__init__(inner)
        self._seconds = seconds

    def _steps(self, request: ScoreRequest) -> Steps:
        latest = time.monotonic() + self._seconds
        deadline = latest if request.deadline is None else min(latest, request.deadline)
        return (yield from Score(self.inner, replace(request, deadline=deadline)))


class PartialReranker(Layer):
    """With a deadline, scores in chunks from the top, and at the deadline gives what was scored.

    Its batch is then ``partial``: the scored documents are the first ones of the request, the others have ``None``.
    A listwise backend is asked once, for all or nothing.

    Args:
        inner: scores the chunks, up to its ``max_concurrency`` at once.
        chunk_documents: pairs in a chunk.

    Raises:
        DeadlineExceededError: not even the first chunk was scored in time.
    """

    def __init__(self, inner: PairReranker, chunk_documents: int = 32) -> None:
        super().__init__(inner)
        self._chunk_documents = chunk_documents

    def _steps(self, request: ScoreRequest) -> Steps:
        yield from Prepare(self.inner, request)
        count, limits = len(request.pairs), self.inner.capabilities
        size = min(self._chunk_documents, limits.max_documents or self._chunk_documents)
        if request.deadline is None or limits.listwise or count <= size:
            return (yield from Score(self.inner, request))
        spans = [range(start, min(start + size, count)) for start in range(0, count, size)]
        requests = [replace(request, pairs=request.pairs[span.start : span.stop]) for span in spans]
        batches, error = yield from Parallel(self.inner, requests, limits.max_concurrency)
        if error is not None and not (batches and isinstance(error, DeadlineExceededError)):
            raise error
        return merge(zip(spans, batches, strict=False), count)
