"""How one piece of code serves synchronous and asynchronous callers.

A layer is a generator that yields what it needs done (score this, pause, wait) and is sent the answer, or is thrown
the error. It is written once; ``score_pairs`` runs the steps in the caller's thread, ``ascore_pairs`` awaits them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import abstractmethod
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from rerankit.errors import DeadlineExceededError, ProtocolError
from rerankit.reranker import PairReranker
from rerankit.scoring import Capabilities, Pair, ScoreBatch, ScoreRequest

__all__ = ["Blocking", "Layer", "Pause", "Prepare", "Score", "Step", "Steps", "Wait", "Wrapper"]


class Step(Protocol):
    """Something a layer needs done: ``answer = yield from step``."""

    def run(self) -> Any: ...

    async def arun(self) -> Any: ...


Steps: TypeAlias = Generator[Step, Any, ScoreBatch]


@dataclass(frozen=True, slots=True)
class Score:
    """Have ``reranker`` score ``request``."""

    reranker: PairReranker
    request: ScoreRequest

    def __iter__(self) -> Generator[Step, Any, ScoreBatch]:
        answer: ScoreBatch = yield self
        return answer

    def run(self) -> ScoreBatch:
        return self.reranker.score_pairs(self.request)

    async def arun(self) -> ScoreBatch:
        return await self.reranker.ascore_pairs(self.request)


@dataclass(frozen=True, slots=True)
class Prepare:
    """Let ``reranker`` learn what its ``capabilities`` and ``fingerprint`` tell, before they are read."""

    reranker: PairReranker
    request: ScoreRequest

    def __iter__(self) -> Generator[Step, Any, None]:
        yield self

    def run(self) -> None:
        """Nothing: reading them does it, in the caller's own thread."""

    async def arun(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.request.remaining()):
                await self.reranker.aprepare()


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before going on; the deadline is the layer's business. Ends early when the caller cancels."""

    seconds: float
    request: ScoreRequest

    def __iter__(self) -> Generator[Step, Any, None]:
        yield self

    def run(self) -> None:
        if self.request.cancelled is None:
            time.sleep(self.seconds)
        else:
            self.request.cancelled.wait(self.seconds)
        self.request.raise_if_stopped()

    async def arun(self) -> None:
        await asyncio.sleep(self.seconds)
        self.request.raise_if_stopped()


@dataclass(frozen=True, slots=True)
class Blocking:
    """Do ``work``, which may block: on behalf of asynchronous callers in a thread, so that their loop goes on.

    Once begun it is done to its end, whatever becomes of the caller.
    """

    work: Callable[[], Any]

    def __iter__(self) -> Generator[Step, Any, Any]:
        answer = yield self
        return answer

    def run(self) -> Any:
        return self.work()

    async def arun(self) -> Any:
        return await asyncio.shield(asyncio.to_thread(self.work))


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until somebody else's ``future`` is done, whatever became of it."""

    future: Future[Any]
    request: ScoreRequest

    def __iter__(self) -> Generator[Step, Any, None]:
        yield self

    def run(self) -> None:
        while not self.future.done():
            self.request.raise_if_stopped()
            # Short turns only where there is an event to look at: nothing wakes a thread for two things at once.
            turn = None if self.request.cancelled is None else 0.05
            remaining = self.request.remaining()
            if remaining is not None:
                turn = remaining if turn is None else min(turn, remaining)
            try:
                self.future.exception(turn)
            except TimeoutError:
                continue

    async def arun(self) -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        # Not wrap_future: cancelling this waiter must not reach the future, nor its error go unretrieved here.
        self.future.add_done_callback(lambda _: _tell(loop, done))
        try:
            async with asyncio.timeout(self.request.remaining()):
                await done.wait()
        except TimeoutError:
            raise DeadlineExceededError("the deadline passed while waiting for another caller's work") from None


def _tell(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(done.set)


class Wrapper(PairReranker):
    """A ``PairReranker`` around another one, whose name, limits and identity it keeps."""

    def __init__(self, inner: PairReranker) -> None:
        self.inner = inner
        self.service = inner.service

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """What the inner reranker can do at this moment: a client may learn its server's limits late."""
        return self.inner.capabilities

    @property
    def fingerprint(self) -> str | None:
        return self.inner.fingerprint

    @property
    def label(self) -> str:
        return self.service or self.inner.label

    async def aprepare(self) -> None:
        await self.inner.aprepare()

    def token_counts(self, pairs: Sequence[Pair]) -> list[int]:
        """
        Raises:
            ProtocolError: the backend does not count every pair.
        """
        counts = self.inner.token_counts(pairs)
        if len(counts) != len(pairs):
            raise ProtocolError(
                f"{self.label} counted the tokens of {len(counts)} pairs out of {len(pairs)}", service=self.label
            )
        return counts

    def close(self) -> None:
        self.inner.close()

    async def aclose(self) -> None:
        await self.inner.aclose()


class Layer(Wrapper):
    """A wrapper that is told apart only by what its ``_steps`` do."""

    @abstractmethod
    def _steps(self, request: ScoreRequest) -> Steps:
        """Yield steps, be sent their answers, return the batch."""

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        steps = self._steps(request)
        try:
            step = next(steps)
            while True:
                try:
                    answer = step.run()
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            batch: ScoreBatch = end.value
            return batch

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        steps = self._steps(request)
        try:
            step = next(steps)
            while True:
                try:
                    answer = await step.arun()
                except BaseException as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            batch: ScoreBatch = end.value
            return batch
