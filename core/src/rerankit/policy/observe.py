"""Calls, as observers see them."""

from __future__ import annotations

import itertools
import time

from rerankit.observers.dispatch import observed, tell
from rerankit.observers.events import CallFailed, CallFinished, CallStarted
from rerankit.policy.steps import Layer, Score, Steps
from rerankit.scoring import ScoreRequest

__all__ = ["ObservedReranker"]

_call_ids = itertools.count(1)


class ObservedReranker(Layer):
    """Tells observers about every call: before it, and after it or its error. Costs next to nothing without any."""

    def _steps(self, request: ScoreRequest) -> Steps:
        if not observed():
            return (yield from Score(self.inner, request))
        call = CallStarted(next(_call_ids), self.label, request)
        tell("rerankit_before", call)
        started = time.perf_counter()
        try:
            batch = yield from Score(self.inner, request)
        except BaseException as error:
            tell("rerankit_error", CallFailed(call, error, time.perf_counter() - started))
            raise
        kind = batch.score_kind or self.capabilities.score_kind
        tell("rerankit_after", CallFinished(call, batch, kind, time.perf_counter() - started))
        return batch
