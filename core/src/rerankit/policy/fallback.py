"""When a service cannot answer, the next one does, and the answer says so."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from typing import Any

from rerankit.errors import InputError, PluginLoadError, RerankitError, ScoringCancelledError
from rerankit.policy.merge import merge, part_of, same_source
from rerankit.policy.steps import Layer, Prepare, Score, Step, Steps, Wait
from rerankit.reranker import PairReranker
from rerankit.scoring import Attempt, ScoreBatch, ScoreRequest

__all__ = ["OTHER_SCORE_KIND", "FallbackReranker", "LazyReranker"]

_log = logging.getLogger(__name__)

OTHER_SCORE_KIND = "other_score_kind"
"""The code of an attempt that was not made, since its scores would mean something else."""


class LazyReranker(Layer):
    """Built when it is first needed, in a thread of its own, so that no caller waits for it beyond its deadline.

    Args:
        service: its name, known before it is built.
        build: gives the reranker. If it raises, the callers that wait get the error, and the next call tries again.
    """

    def __init__(self, service: str, build: Callable[[], PairReranker]) -> None:
        self.service = service
        self._build = build
        self._lock = threading.Lock()
        self._building: Future[PairReranker] | None = None

    @property
    def inner(self) -> PairReranker:  # type: ignore[override]
        """The reranker itself; waits until it is built."""
        return self._start().result()

    def built(self, request: ScoreRequest) -> Generator[Step, Any, None]:
        """The steps of waiting until it is built, or until the request's deadline."""
        building = self._start()
        yield from Wait(building, request)
        error = building.exception()
        if isinstance(error, RerankitError):
            raise copy.copy(error) from error
        if error is not None:
            raise PluginLoadError(
                f"{self.service} could not be made: {type(error).__name__}: {error}", service=self.service
            ) from error

    def _steps(self, request: ScoreRequest) -> Steps:
        yield from self.built(request)
        return (yield from Score(self.inner, request))

    def _start(self) -> Future[PairReranker]:
        with self._lock:
            building = self._building
            if building is None or (building.done() and building.exception() is not None):
                building = self._building = Future()
                building.set_running_or_notify_cancel()
                name = f"rerankit-build-{self.service}"
                threading.Thread(target=self._run, args=(building,), name=name, daemon=True).start()
            return building

    def _run(self, building: Future[PairReranker]) -> None:
        try:
            building.set_result(self._build())
        except BaseException as error:
            building.set_exception(error)

    def close(self) -> None:
        if (built := self._outcome()) is not None:
            built.close()

    async def aclose(self) -> None:
        if (built := self._outcome()) is not None:
            await built.aclose()

    def _outcome(self) -> PairReranker | None:
        """What was built, once a build that runs has ended; ``None`` where none was begun, or it failed."""
        building = self._building
        return None if building is None or building.exception() is not None else building.result()


class FallbackReranker(Layer):
    """The first of ``services`` answers; where it fails, the next one does, and the answer is ``degraded``.

    One service scores all documents of a call: scores of two are never mixed. With a deadline, a service that has
    others behind it may use half of what is left; if it has scored a part by then (see ``PartialReranker``), it is
    alive, and gets the rest of the time for the other documents.

    Args:
        services: the one that was asked first, then those that stand in for it.
        same_score_kind: leave out services whose scores mean something else than the first one's.

    Raises:
        RerankitError: the first service's error, with every try in ``error.attempts``, when all have failed.
        InputError, ScoringCancelledError: at once; no other service would make it better.
    """

    def __init__(self, services: Sequence[PairReranker], *, same_score_kind: bool = False) -> None:
        super().__init__(services[0])
        self._services = tuple(services)
        self._same_score_kind = same_score_kind
        self._answering: PairReranker = services[0]

    def _steps(self, request: ScoreRequest) -> Steps:
        attempts: list[Attempt] = []
        first_error: RerankitError | None = None
        for service in self._services:
            started = time.monotonic()
            try:
                if isinstance(service, LazyReranker):
                    yield from service.built(request)
                if service is not self.inner:
                    yield from Prepare(service, request)
                    if self._other_kind(service):
                        attempts.append(Attempt(service.label, 0.0, OTHER_SCORE_KIND))
                        continue
                batch = yield from self._try(service, request)
            except (InputError, ScoringCancelledError):
                raise
            except RerankitError as error:
                seconds = time.monotonic() - started
                attempts.extend(error.attempts or (Attempt(service.label, seconds, error.code),))
                first_error = first_error or error
                continue
            failed = tuple(attempts) + tuple(attempt for attempt in batch.attempts if attempt.error is not None)
            answered = Attempt(service.label, time.monotonic() - started)
            batch = replace(batch, attempts=(*failed, answered))
            self._log_change(service, failed)
            return batch if service is self.inner else _degraded(service, batch)
        assert first_error is not None
        failure = copy.copy(first_error)  # some backends raise one and the same object every time
        failure.attempts = tuple(attempts)
        raise failure from first_error

    def close(self) -> None:
        with ExitStack() as all_of_them:
            for service in self._services:
                all_of_them.callback(service.close)

    async def aclose(self) -> None:
        async with AsyncExitStack() as all_of_them:
            for service in self._services:
                all_of_them.push_async_callback(service.aclose)

    def _try(self, service: PairReranker, request: ScoreRequest) -> Steps:
        remaining = request.remaining()
        if remaining is None or service is self._services[-1]:
            return (yield from Score(service, request))
        share = replace(request, deadline=time.monotonic() + remaining / 2)
        batch = yield from Score(service, share)
        if not batch.partial:
            return batch
        unscored = [position for position, score in enumerate(batch.scores) if score is None]
        try:
            rest = yield from Score(service, replace(request, pairs=[request.pairs[i] for i in unscored]))
        except RerankitError:
            return batch
        return _joined(batch, unscored, rest)

    def _other_kind(self, service: PairReranker) -> bool:
        return self._same_score_kind and service.capabilities.score_kind != self.inner.capabilities.score_kind

    def _log_change(self, service: PairReranker, failed: Sequence[Attempt]) -> None:
        """One line when another service begins to answer, not one a call: outages last for many calls."""
        before, self._answering = self._answering, service
        if before is service:
            return
        if service is self.inner:
            _log.warning("%s answers again", self.label)
        else:
            failures = ", ".join(f"{attempt.service}: {attempt.error}" for attempt in failed)
            _log.warning("%s answers for %s (%s)", service.label, self.label, failures)


def _degraded(service: PairReranker, batch: ScoreBatch) -> ScoreBatch:
    return replace(
        batch,
        served_by=batch.served_by or service.label,
        degraded=True,
        score_kind=batch.score_kind or service.capabilities.score_kind,
    )


def _joined(batch: ScoreBatch, unscored: list[int], rest: ScoreBatch) -> ScoreBatch:
    """A partial batch and the batch of its unscored pairs, from one service."""
    if not same_source(batch, rest):
        return batch
    scored = [position for position, score in enumerate(batch.scores) if score is not None]
    return merge([(scored, part_of(batch, scored)), (unscored, rest)], len(batch.scores))
