"""Further tries after errors that may pass."""

from __future__ import annotations

import time
from dataclasses import replace

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from rerankit.errors import RerankitError
from rerankit.policy.steps import Layer, Pause, Score, Steps
from rerankit.reranker import PairReranker
from rerankit.scoring import Attempt, ScoreRequest

__all__ = ["RetryReranker"]


class RetryReranker(Layer):
    """Tries again after errors marked ``retryable``, with exponential waits and jitter, inside the deadline.

    ``retry_after`` is honoured: the wait is at least that. Where it is longer than ``max_wait_s``, or would end
    after the deadline, the error is raised at once, with every try in ``error.attempts``.

    Args:
        inner: what is tried.
        retries: further tries.
        wait_s: seconds before the first of them; doubles each time, and up to ``wait_s`` more at random.
        max_wait_s: the longest wait.
    """

    def __init__(self, inner: PairReranker, retries: int, *, wait_s: float = 0.1, max_wait_s: float = 5.0) -> None:
        super().__init__(inner)
        self._retries = retries
        self._max_wait_s = max_wait_s
        self._jitter = wait_random(0, wait_s)
        self._backoff = wait_exponential(multiplier=wait_s, max=max_wait_s) + self._jitter

    def _steps(self, request: ScoreRequest) -> Steps:
        attempts: list[Attempt] = []
        pauses: list[float] = []
        tries = Retrying(
            retry=retry_if_exception(_retryable),
            wait=self._wait,
            stop=lambda state: self._enough(state, request),
            sleep=pauses.append,  # the pause is a step, so that asynchronous callers do not block
            reraise=True,
        )
        batch = None
        for attempt in tries:
            if pauses:
                yield from Pause(pauses.pop(), request)
            started = time.monotonic()
            with attempt:
                try:
                    batch = yield from Score(self.inner, request)
                except RerankitError as error:
                    attempts.append(Attempt(self.label, time.monotonic() - started, error.code))
                    error.attempts = tuple(attempts)
                    raise
        assert batch is not None
        return replace(batch, attempts=(*attempts, *batch.attempts)) if attempts else batch

    def _wait(self, state: RetryCallState) -> float:
        asked = _retry_after(state)
        return self._backoff(state) if asked is None else asked + self._jitter(state)

    def _enough(self, state: RetryCallState, request: ScoreRequest) -> bool:
        remaining = request.remaining()
        return (
            stop_after_attempt(self._retries + 1)(state)
            or (_retry_after(state) or 0.0) > self._max_wait_s
            or (remaining is not None and state.upcoming_sleep >= remaining)
        )


def _retryable(error: BaseException) -> bool:
    return isinstance(error, RerankitError) and error.retryable


def _retry_after(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome is not None else None
    return error.retry_after if isinstance(error, RerankitError) else None
