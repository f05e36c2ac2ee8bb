"""Several parts of one request, some of them at once."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from rerankit.policy.steps import Step
from rerankit.reranker import PairReranker
from rerankit.scoring import ScoreBatch, ScoreRequest

__all__ = ["Parallel"]

Parts: TypeAlias = tuple[list[ScoreBatch], Exception | None]


@dataclass(frozen=True, slots=True)
class Parallel:
    """Score ``requests`` in their order, at most ``limit`` at once; nothing new begins after an error.

    Gives the batches up to the first one that failed, and its error (``None`` if none did).
    """

    reranker: PairReranker
    requests: Sequence[ScoreRequest]
    limit: int

    def __iter__(self) -> Generator[Step, Any, Parts]:
        answer: Parts = yield self
        return answer

    def run(self) -> Parts:
        if self.limit == 1:
            return _until_error([partial(self.reranker.score_pairs, request) for request in self.requests])
        with ThreadPoolExecutor(min(self.limit, len(self.requests)), "rerankit-split") as pool:
            # Each runs in a copy of the caller's context, so that spans nest in the caller's trace.
            futures = [
                pool.submit(contextvars.copy_context().run, self.reranker.score_pairs, request)
                for request in self.requests
            ]
            try:
                return _until_error([future.result for future in futures])
            finally:
                for future in futures:
                    future.cancel()

    async def arun(self) -> Parts:
        places = asyncio.Semaphore(self.limit)

        async def one(request: ScoreRequest) -> ScoreBatch:
            await places.acquire()
            batch = await self.reranker.ascore_pairs(request)
            places.release()  # not after an error: nothing new begins then
            return batch

        tasks = [asyncio.create_task(one(request)) for request in self.requests]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [result for result in ended if isinstance(result, Exception)]
        done = [result for result in ended[: _prefix(ended)] if isinstance(result, ScoreBatch)]
        return done, failed[0] if failed else None


def _until_error(results: Sequence[Callable[[], ScoreBatch]]) -> Parts:
    done: list[ScoreBatch] = []
    for result in results:
        try:
            done.append(result())
        except Exception as error:
            return done, error
    return done, None


def _prefix(ended: Sequence[object]) -> int:
    """How many of ``ended`` are batches, from the start."""
    return next((i for i, result in enumerate(ended) if not isinstance(result, ScoreBatch)), len(ended))
