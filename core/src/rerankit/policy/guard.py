"""Closest to the backend: its errors typed, its answer checked, the deadline kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rerankit.errors import (
    BackendError,
    DeadlineExceededError,
    OutOfMemoryError,
    RerankitError,
    RerankTimeoutError,
    UnavailableError,
)
from rerankit.policy.steps import Layer, Score, Steps
from rerankit.scoring import ScoreBatch, ScoreRequest, checked_batch

__all__ = ["GuardReranker"]

_TYPED: tuple[tuple[type[Exception], type[BackendError]], ...] = (
    (TimeoutError, RerankTimeoutError),
    (ConnectionError, UnavailableError),
    (MemoryError, OutOfMemoryError),
)


class GuardReranker(Layer):
    """What the other layers rely on. A call that is already late or cancelled does not reach the backend.

    An asynchronous call ends at ``request.deadline``, and so does one of a plain backend (see ``as_pair_reranker``).
    Another synchronous one runs in the caller's thread and ends when the backend has finished the batch it is at:
    backends look at ``request.raise_if_stopped()`` between batches.

    Raises:
        BackendError: also for whatever else the backend raises, with the original as its cause.
        ProtocolError: not one finite score a pair.
        DeadlineExceededError, ScoringCancelledError: late, or nobody waits.
    """

    def _steps(self, request: ScoreRequest) -> Steps:
        request.raise_if_stopped()
        try:
            batch = yield from _UntilDeadline(self.inner, request)
        except (RerankitError, asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of a Rust extension is no Exception
            cls = next((typed for kind, typed in _TYPED if isinstance(error, kind)), BackendError)
            raise cls(f"{self.label} raised {type(error).__name__}: {error}", service=self.label) from error
        return checked_batch(batch, len(request.pairs), self.label)


@dataclass(frozen=True, slots=True)
class _UntilDeadline(Score):
    async def arun(self) -> ScoreBatch:
        try:
            async with asyncio.timeout(self.request.remaining()) as scope:
                return await self.reranker.ascore_pairs(self.request)
        except TimeoutError as error:
            if isinstance(error, RerankitError) or not scope.expired():
                raise
            raise DeadlineExceededError(
                "the deadline passed before the answer came", service=self.reranker.label
            ) from None
