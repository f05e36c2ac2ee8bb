"""Model checking in the small: any policy, any faults, any order of calls, in virtual time.

What must hold whatever happens: a score is the one that its service gave for exactly that pair; order and count are
kept; scores of two services are never mixed; nobody waits longer than the deadline and one batch; nothing hangs; no
task or thread is left; a service whose circuit is open is not called.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import selectors
import threading
import time
import zlib
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

from hypothesis import HealthCheck, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from rerankit import Capabilities, PairReranker, Ranking, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.errors import (
    AuthenticationError,
    BackendError,
    OverloadedError,
    RerankitError,
    UnavailableError,
)
from rerankit.policy import compose
from rerankit.policy.breaker import Circuit
from rerankit.policy.settings import PolicySettings

T = TypeVar("T")

BATCH_SECONDS = 0.5
"""The longest that a backend here computes without looking at the deadline."""

FAULTS = ("none", "slow", "hang", "down", "busy", "refused", "bug", "flap", "one_too_few", "nan")
NAMES = ("first", "second", "third")

faults = st.sampled_from(["none", "slow"]) | st.sampled_from(FAULTS)
texts = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12)


class VirtualClock:
    """Stands in for ``time.monotonic`` and ``time.sleep``; event loops made by ``run`` jump to their next timer."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The virtual time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Virtual time for all who look at the clock through the ``time`` module."""
        with patch.object(time, "monotonic", self.monotonic), patch.object(time, "sleep", self.sleep):
            yield

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """``asyncio.run`` in virtual time; nothing may be left when ``main`` has ended."""

        async def checked() -> T:
            try:
                return await main
            finally:
                left = asyncio.all_tasks() - {asyncio.current_task()}
                assert not left, f"tasks left behind: {left}"

        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Jumping(self))) as runner:
            return runner.run(checked())


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting for a timer, moves the clock to it."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        building = any(thread.name.startswith("rerankit-build") for thread in threading.enumerate())
        ready = super().select(0.001 if building else 0)
        if ready or building or timeout == 0:
            return ready
        assert timeout is not None, "nothing will ever happen: a call hangs"
        self._clock.now += max(timeout, 1e-6)
        return ready


def score(service: str, query: str, document: str) -> float:
    """What this service gives this pair, and no other service gives any pair."""
    return zlib.crc32(f"{service}|{query}|{document}".encode()) / 2**32


class WatchedCircuit(Circuit):
    """A circuit beside a model of it: when it opened, and when it may be tried."""

    def __init__(self, failures: int, reset_s: float, clock: VirtualClock) -> None:
        super().__init__(failures, reset_s, clock=clock.monotonic)
        self.failures, self.reset_s, self.virtual = failures, reset_s, clock
        self.in_a_row = 0
        self.shut_until: float | None = None
        self.trying = 0

    def enter(self, label: str) -> bool:
        probe = super().enter(label)
        if self.shut_until is not None:
            assert self.virtual.now >= self.shut_until, "called though its circuit is open"
            self.trying += 1
            assert (probe, self.trying) == (True, 1), "a half-open circuit is tried by one call at a time"
        return probe

    def succeeded(self, *, probe: bool) -> None:
        super().succeeded(probe=probe)
        if probe or self.shut_until is None:
            self.in_a_row, self.shut_until, self.trying = 0, None, 0

    def failed(self, *, probe: bool) -> None:
        super().failed(probe=probe)
        self.in_a_row += 1
        if probe or (self.shut_until is None and self.in_a_row >= self.failures):
            self.shut_until, self.trying = self.virtual.now + self.reset_s, 0

    def left(self, *, probe: bool) -> None:
        super().left(probe=probe)
        self.trying -= probe


class Faulty(PairReranker):
    """A backend that can be made to fail in every way, and that must not be called while its circuit is open."""

    def __init__(self, service: str, clock: VirtualClock, kind: ScoreKind, most: int | None) -> None:
        self.service = service
        self.capabilities = Capabilities(kind, max_documents=most)
        self.fault = "none"
        self.broken: list[str] = []
        self.circuit: Circuit | None = None
        self.fingerprint_text = service
        self._clock = clock
        self._calls = itertools.count()

    @property
    def fingerprint(self) -> str:
        return self.fingerprint_text

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        self._begins(request)
        for seconds in self._batches():
            self._clock.sleep(seconds)
            request.raise_if_stopped()
        return self._answer(request)

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        self._begins(request)
        for seconds in self._batches():
            await asyncio.sleep(seconds)
        return self._answer(request)

    def _begins(self, request: ScoreRequest) -> None:
        # Remembered, not raised: what a backend raises becomes a BackendError.
        limit = self.capabilities.max_documents
        if self.circuit is not None and self.circuit.state == "open":
            self.broken.append("called past its circuit")
        if request.deadline is not None and self._clock.now >= request.deadline:
            self.broken.append("called when it was too late")
        if limit is not None and len(request.pairs) > limit:
            self.broken.append("called with more documents than it takes")

    def _batches(self) -> list[float]:
        return {"slow": [BATCH_SECONDS], "hang": [BATCH_SECONDS] * 100}.get(self.fault, [0.01])

    def _answer(self, request: ScoreRequest) -> ScoreBatch:
        scores = [score(self.label, query, document) for query, document in request.pairs]
        fault = self.fault
        if fault == "flap":
            fault = ("down", "none")[next(self._calls) % 2]
        match fault:
            case "down":
                raise UnavailableError("down")
            case "busy":
                raise OverloadedError("busy", retry_after=0.3)
            case "refused":
                raise AuthenticationError("refused")
            case "bug":
                raise KeyError("bug")
            case "one_too_few":
                return ScoreBatch(scores[1:], model=self.service)
            case "nan":
                return ScoreBatch([math.nan, *scores[1:]], model=self.service)
        return ScoreBatch(scores, model=self.service)


class AnyPolicy(RuleBasedStateMachine):
    """A random policy around random backends, called in both ways while faults come and go."""

    @initialize(
        policy=st.fixed_dictionaries(
            {
                "retries": st.integers(0, 2),
                "retry_wait_s": st.sampled_from([0.05, 0.4]),
                "breaker_failures": st.sampled_from([None, 0, 1, 3]),
                "breaker_reset_s": st.sampled_from([0.5, 5.0]),
                "deadline_s": st.sampled_from([None, 0.3, 1.0, 4.0]),
                "on_deadline": st.sampled_from(["raise", "partial"]),
                "chunk_documents": st.integers(1, 5),
                "cache_bytes": st.sampled_from([0, 2000, 1 << 20]),
                "deduplicate": st.booleans(),
                "on_failure": st.sampled_from(["raise", "input_order"]),
                "fallback_score_kinds": st.sampled_from(["same", "any"]),
                "fallback": st.sampled_from([(), NAMES[1:2], NAMES[1:]]),
            }
        ),
        kinds=st.tuples(*[st.sampled_from([ScoreKind.PROBABILITY, ScoreKind.LOGIT])] * 3),
        most=st.tuples(*[st.sampled_from([None, 1, 3])] * 3),
        begin=st.tuples(faults, faults, faults),
    )
    def build(
        self, policy: dict[str, Any], kinds: Sequence[ScoreKind], most: Sequence[int | None], begin: Sequence[str]
    ) -> None:
        """A policy, and up to three services."""
        self.clock = VirtualClock()
        self.services = {n: Faulty(n, self.clock, k, m) for n, k, m in zip(NAMES, kinds, most, strict=True)}
        for service, fault in zip(self.services.values(), begin, strict=True):
            service.fault = fault
        self.policy = PolicySettings(**policy)
        self.making = threading.local()
        with patch.object(compose, "Circuit", self._circuit):
            first = self._make("first", {})
            self.reranker = compose.apply_policy(first, self.policy, self._make)

    def _make(self, service: str, _: Mapping[str, Any]) -> Faulty:
        # The layers are put around it in the same thread, just after.
        self.making.service = self.services[service]
        return self.services[service]

    def _circuit(self, failures: int, reset_s: float) -> Circuit:
        circuit = self.making.service.circuit = WatchedCircuit(failures, reset_s, self.clock)
        return circuit

    @rule(service=st.sampled_from(NAMES), fault=faults)
    def break_or_repair(self, service: str, fault: str) -> None:
        """A service changes its behaviour."""
        self.services[service].fault = fault

    @rule(seconds=st.sampled_from([0.2, 1.0, 6.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.sleep(seconds)

    @rule(query=st.sampled_from("xy"), documents=texts, method=st.sampled_from(["rerank", "get_scores"]))
    def call(self, query: str, documents: list[str], method: str) -> None:
        """One synchronous call: late by one batch at most."""
        if self.policy.deadline_s is None:
            self._nobody_hangs()
        with self.clock.installed(), patch.object(compose, "Circuit", self._circuit):
            started = self.clock.now
            try:
                answer: Any = getattr(self.reranker, method)(query, documents)
            except RerankitError as error:
                answer = error
            self._check(query, documents, answer, self.clock.now - started, late=BATCH_SECONDS)

    @rule(
        calls=st.lists(
            st.tuples(
                st.sampled_from("xy"),
                texts,
                st.sampled_from(["arerank", "aget_scores"]),
                st.sampled_from([0.0, 0.1, 0.6]),
                st.none() | st.sampled_from([0.0, 0.05, 0.3, 0.7]),
            ),
            min_size=1,
            max_size=4,
        )
    )
    def call_concurrently(self, calls: list[tuple[str, list[str], str, float, float | None]]) -> None:
        """Several asynchronous calls, some of them cancelled: never late."""
        if self.policy.deadline_s is None:
            self._nobody_hangs()

        async def one(query: str, documents: list[str], method: str, begin: float, cancel: float | None) -> None:
            await asyncio.sleep(begin)
            started = self.clock.now
            task = asyncio.ensure_future(getattr(self.reranker, method)(query, documents))
            if cancel is not None:
                asyncio.get_running_loop().call_later(cancel, task.cancel)
            try:
                answer: Any = await task
            except RerankitError as error:
                answer = error
            except asyncio.CancelledError:
                assert cancel is not None
                return
            self._check(query, documents, answer, self.clock.now - started, late=0.0)

        async def all_of_them() -> None:
            await asyncio.gather(*[one(*call) for call in calls])

        with self.clock.installed(), patch.object(compose, "Circuit", self._circuit):
            self.clock.run(all_of_them())

    def _nobody_hangs(self) -> None:
        """Without a deadline a service that hangs is waited for, as asked."""
        for service in self.services.values():
            service.fault = "slow" if service.fault == "hang" else service.fault

    def _check(self, query: str, documents: list[str], answer: Any, seconds: float, *, late: float) -> None:
        note(f"{answer!r} after {seconds}")
        event(_outcome(answer))
        assert [service.broken for service in self.services.values()] == [[], [], []]
        if self.policy.deadline_s is not None:
            assert seconds <= self.policy.deadline_s + late + 1e-3
        if isinstance(answer, RerankitError):
            assert isinstance(answer, BackendError)
        elif isinstance(answer, Ranking):
            self._check_ranking(query, documents, answer)
        else:
            given = [name for name in NAMES if answer == [score(name, query, d) for d in documents]]
            assert given, "scores that no one service gave"
            kinds = {self.services[name].capabilities.score_kind for name in given}
            same = self.policy.fallback_score_kinds == "any"
            assert same or self.services["first"].capabilities.score_kind in kinds

    def _check_ranking(self, query: str, documents: list[str], ranking: Ranking[str]) -> None:
        assert sorted(d.index for d in ranking) == list(range(len(documents)))
        assert all(d.document == documents[d.index] for d in ranking)
        scored = [d for d in ranking if d.score is not None]
        unscored = [d.index for d in ranking if d.score is None]
        assert [d.index for d in ranking] == [d.index for d in scored] + sorted(unscored)
        if ranking.served_by is None:
            assert (self.policy.on_failure, ranking.degraded, scored) == ("input_order", True, [])
            return
        assert ranking.degraded == (ranking.served_by != "first")
        assert all(d.score == score(ranking.served_by, query, d.document) for d in scored)
        assert [d.score for d in scored] == sorted([d.score for d in scored], reverse=True)  # type: ignore[type-var]
        assert ranking.partial == bool(unscored)
        if ranking.partial:
            assert self.policy.on_deadline == "partial"
            assert scored
            # The top of the first stage; a twin or a cached pair further down may have its score too.
            if not self.policy.deduplicate and not self.policy.cache_bytes:
                assert sorted(d.index for d in scored) == list(range(len(scored)))

    def teardown(self) -> None:
        """Nothing is left: closing ends what the policy began."""
        if hasattr(self, "reranker"):
            self.reranker.close()


def _outcome(answer: object) -> str:
    if isinstance(answer, Ranking):
        marks = [name for name in ("degraded", "partial") if getattr(answer, name)]
        return f"ranking {' '.join(marks)} {answer.served_by}"
    return getattr(answer, "code", "scores")


TestAnyPolicy = AnyPolicy.TestCase
TestAnyPolicy.settings = settings(
    max_examples=400,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
