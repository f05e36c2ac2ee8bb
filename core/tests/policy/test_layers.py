"""Each part of the policy by itself: guard, dedup, split, deadline, retry, breaker, fallback."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankit import AbstractReranker, Attempt, Capabilities, PairReranker, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.adapters import as_pair_reranker
from rerankit.errors import (
    AuthenticationError,
    BackendError,
    CircuitOpenError,
    DeadlineExceededError,
    InputError,
    InvalidArgumentError,
    OutOfMemoryError,
    OverloadedError,
    PluginLoadError,
    ProtocolError,
    RerankitError,
    RerankTimeoutError,
    ScoringCancelledError,
    UnavailableError,
)
from rerankit.policy.batching import BatchingReranker
from rerankit.policy.breaker import BreakerReranker, Circuit
from rerankit.policy.deadline import DeadlineReranker, PartialReranker
from rerankit.policy.dedup import DedupReranker
from rerankit.policy.fallback import FallbackReranker, LazyReranker
from rerankit.policy.guard import GuardReranker
from rerankit.policy.retry import RetryReranker
from rerankit.policy.split import SplitReranker
from rerankit.testing import FakeReranker, not_finite, one_too_few


class PanicException(BaseException):
    """What a panic in a Rust extension raises: no Exception."""


LISTWISE = Capabilities(ScoreKind.PROBABILITY, listwise=True, max_documents=5)


def number(_: str, document: str) -> float:
    """The score of a document that is a number."""
    return float(document)


def fake(service: str = "fake", **arguments: Any) -> FakeReranker:
    """A backend of that name that scores numbers."""
    backend = FakeReranker(arguments.pop("score", number), **arguments)
    backend.service = service
    return backend


def pairs(documents: Sequence[object], query: str = "q") -> list[tuple[str, str]]:
    """Pairs of one query."""
    return [(query, str(document)) for document in documents]


def within(seconds: float) -> float:
    """A deadline."""
    return time.monotonic() + seconds


Call = Callable[[PairReranker, ScoreRequest], ScoreBatch]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Both ways to have a request scored."""
    if request.param == "sync":
        return lambda reranker, asked: reranker.score_pairs(asked)
    return lambda reranker, asked: asyncio.run(reranker.ascore_pairs(asked))


# --- adapter ---------------------------------------------------------------------------------------


class Plain(AbstractReranker):
    """A ten-line backend that counts its calls."""

    service = "plain"
    capabilities = Capabilities(ScoreKind.SIMILARITY)
    calls = 0

    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        self.calls += 1
        return [float(document) + float(query) for document in documents]


def test_a_plain_backend_scores_pairs_of_several_queries(call: Call) -> None:
    """One call a query, in order; name and capabilities are kept; a pair reranker stays itself."""
    plain = Plain()
    adapted = as_pair_reranker(plain)
    batch = call(adapted, ScoreRequest([("10", "1"), ("20", "1"), ("10", "2"), ("20", "3")]))
    assert (list(batch.scores), plain.calls) == ([11.0, 21.0, 12.0, 23.0], 2)
    assert (adapted.label, adapted.capabilities) == ("plain", plain.capabilities)
    assert as_pair_reranker(adapted) is adapted


# --- guard -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "typed"),
    [
        (KeyError("x"), BackendError),
        (TimeoutError("slow"), RerankTimeoutError),
        (ConnectionResetError("gone"), UnavailableError),
        (MemoryError(), OutOfMemoryError),
        (AuthenticationError("key"), AuthenticationError),
        (PanicException("in Rust"), BackendError),
    ],
)
def test_what_a_backend_raises_becomes_typed(call: Call, raised: BaseException, typed: type[RerankitError]) -> None:
    """The original is the cause; rerankit's own errors pass unchanged."""
    with pytest.raises(typed) as caught:
        call(GuardReranker(fake(faults=[raised])), ScoreRequest(pairs([1])))
    assert type(caught.value) is typed
    original = caught.value.__cause__ or caught.value
    assert (type(original), original.args) == (type(raised), raised.args)


@pytest.mark.parametrize("fault", [one_too_few, not_finite])
def test_wrong_answers_are_errors(call: Call, fault: Callable[[list[float]], list[float]]) -> None:
    """One finite score a pair, or ProtocolError."""
    with pytest.raises(ProtocolError):
        call(GuardReranker(fake(faults=[fault])), ScoreRequest(pairs([1, 2])))


def test_a_late_or_cancelled_call_does_not_reach_the_backend(call: Call) -> None:
    """Nobody waits for its answer."""
    backend, gone = fake(), threading.Event()
    gone.set()
    with pytest.raises(DeadlineExceededError):
        call(GuardReranker(backend), ScoreRequest(pairs([1]), deadline=within(-1)))
    with pytest.raises(ScoringCancelledError):
        call(GuardReranker(backend), ScoreRequest(pairs([1]), cancelled=gone))
    assert backend.requests == []


def test_an_asynchronous_call_ends_at_the_deadline_whatever_the_backend_does() -> None:
    """Though the backend never looks at the time."""

    class Deaf(FakeReranker):
        async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
            await asyncio.sleep(30)
            raise AssertionError

    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        asyncio.run(GuardReranker(Deaf()).ascore_pairs(ScoreRequest(pairs([1]), deadline=within(0.05))))
    assert time.monotonic() - started < 5


# --- dedup -----------------------------------------------------------------------------------------


@given(documents=st.lists(st.integers(0, 5), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_equal_documents_are_scored_once(documents: list[int]) -> None:
    """Every copy gets the score; the backend sees each text once, in order of first appearance."""
    backend = fake()
    batch = DedupReranker(backend).score_pairs(ScoreRequest(pairs(documents)))
    assert list(batch.scores) == [float(d) for d in documents]
    assert list(backend.requests[0].pairs) == pairs(list(dict.fromkeys(documents)))


def test_copies_cost_no_tokens() -> None:
    """Tokens are what was computed; coverage is every copy's."""

    class Counted(FakeReranker):
        def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
            count = len(request.pairs)
            return ScoreBatch([1.0] * count, coverage=[0.5] * count, tokens=[7] * count)

    batch = DedupReranker(Counted()).score_pairs(ScoreRequest(pairs([1, 2, 1])))
    assert (batch.tokens, batch.coverage) == ([7, 7, 0], [0.5] * 3)


def test_dedup_is_refused_for_listwise_backends() -> None:
    """Another document less would change the other scores."""
    with pytest.raises(InvalidArgumentError, match="listwise"):
        DedupReranker(fake(capabilities=LISTWISE))


# --- split -----------------------------------------------------------------------------------------


@given(
    documents=st.lists(st.integers(0, 10**9), min_size=1, max_size=40),
    most=st.none() | st.integers(1, 7),
    characters=st.none() | st.integers(1, 60),
    tokens=st.none() | st.integers(1, 20),
    concurrency=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_requests_keep_the_backends_limits_and_scores_their_order(
    documents: list[int], most: int | None, characters: int | None, tokens: int | None, concurrency: int
) -> None:
    """Only a pair that is too large all by itself is sent over a limit, alone."""
    limits = Capabilities(ScoreKind.LOGIT, False, most, characters, tokens, concurrency)
    backend = fake(capabilities=limits)
    batch = SplitReranker(backend).score_pairs(ScoreRequest(pairs(documents)))
    assert list(batch.scores) == [float(d) for d in documents]
    for request in backend.requests:
        sent = request.pairs
        assert most is None or len(sent) <= most
        assert characters is None or len(sent) == 1 or sum(len(q) + len(d) for q, d in sent) <= characters
        assert tokens is None or len(sent) == 1 or sum(backend.token_counts(sent)) <= tokens


def test_parts_run_in_parallel_up_to_the_declared_concurrency(call: Call) -> None:
    """And no more of them."""
    running = most = 0
    lock = threading.Lock()

    class Watched(FakeReranker):
        def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.03)
            with lock:
                running -= 1
            return super().score_pairs(request)

    backend = Watched(number, capabilities=Capabilities(ScoreKind.LOGIT, max_documents=1, max_concurrency=3))
    assert list(call(SplitReranker(backend), ScoreRequest(pairs(range(8)))).scores) == [float(n) for n in range(8)]
    assert most == 3


def test_one_failing_part_fails_the_request(call: Call) -> None:
    """With its error, and without beginning what had not begun."""
    backend = fake(faults=[None, UnavailableError("down")], capabilities=Capabilities(ScoreKind.LOGIT, max_documents=1))
    with pytest.raises(UnavailableError):
        call(SplitReranker(backend), ScoreRequest(pairs(range(8))))
    assert len(backend.requests) == 2


def test_parts_run_in_the_callers_context(call: Call) -> None:
    """Context variables, and with them traces, go into the threads."""
    trace: ContextVar[str] = ContextVar("trace", default="none")
    seen: set[str] = set()

    def score(query: str, document: str) -> float:
        seen.add(trace.get())
        return 0.0

    limits = Capabilities(ScoreKind.LOGIT, max_documents=1, max_concurrency=3)
    trace.set("mine")
    call(SplitReranker(fake(score=score, capabilities=limits)), ScoreRequest(pairs(range(6))))
    assert seen == {"mine"}


def test_a_listwise_call_over_the_limit_says_why_it_cannot_be_split(call: Call) -> None:
    """It is bad input: nothing was sent."""
    backend = fake(capabilities=LISTWISE)
    with pytest.raises(InputError, match=r"listwise.*5 documents"):
        call(SplitReranker(backend), ScoreRequest(pairs(range(6))))
    assert backend.requests == []


@pytest.mark.parametrize("wrap", [SplitReranker, BatchingReranker])
def test_a_backend_that_miscounts_its_tokens_is_told(call: Call, wrap: Callable[[PairReranker], PairReranker]) -> None:
    """Instead of losing a pair."""

    class Miscounting(FakeReranker):
        def token_counts(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
            return [1] * (len(pairs) - 1)

    reranker = wrap(Miscounting(capabilities=Capabilities(max_tokens=100)))
    with pytest.raises(ProtocolError, match="1 pairs out of 2"):
        call(reranker, ScoreRequest(pairs([1, 2])))
    reranker.close()


# --- a backend that has to ask what it can do -------------------------------------------------------


class Asking(FakeReranker):
    """A client that knows its server's limit once it has prepared itself; ``patience`` is how long that takes."""

    def __init__(self, patience: float = 0.0) -> None:
        super().__init__(number)
        self.patience = patience

    async def aprepare(self) -> None:
        await asyncio.sleep(self.patience)
        self.capabilities = Capabilities(ScoreKind.PROBABILITY, max_documents=3)


@pytest.mark.parametrize(
    "wrap", [SplitReranker, lambda b: SplitReranker(GuardReranker(b)), lambda b: PartialReranker(SplitReranker(b))]
)
async def test_an_asynchronous_call_lets_it_ask_first(wrap: Callable[[PairReranker], PairReranker]) -> None:
    """Awaited, through whatever lies between, before the limits are read."""
    backend = Asking()
    await wrap(backend).ascore_pairs(ScoreRequest(pairs(range(7)), deadline=within(60)))
    assert [len(request.pairs) for request in backend.requests] == [3, 3, 1]


async def test_asking_does_not_outlast_the_deadline() -> None:
    """The call goes on as far as it gets, and is late like any other."""
    backend = Asking(patience=60.0)
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        await SplitReranker(GuardReranker(backend)).ascore_pairs(ScoreRequest(pairs([1]), deadline=within(0.05)))
    assert time.monotonic() - started < 30
    assert backend.requests == []


# --- deadline --------------------------------------------------------------------------------------


def test_the_earlier_deadline_counts(call: Call) -> None:
    """A request's own deadline is never put off."""
    backend, own = fake(), within(0.5)
    call(DeadlineReranker(backend, 60.0), ScoreRequest(pairs([1]), deadline=own))
    call(DeadlineReranker(backend, 0.5), ScoreRequest(pairs([1]), deadline=within(60)))
    call(DeadlineReranker(backend, 0.5), ScoreRequest(pairs([1])))
    assert backend.requests[0].deadline == own
    for request in backend.requests[1:]:
        assert request.deadline is not None
        assert 0 < request.deadline - own < 10


def test_at_the_deadline_the_top_is_scored_and_the_rest_is_not(call: Call) -> None:
    """First-stage order: a prefix has its scores, the tail has none, and the batch says it is partial."""
    limits = Capabilities(ScoreKind.LOGIT, max_concurrency=1)
    partial = PartialReranker(GuardReranker(fake(delay=0.2, capabilities=limits)), 4)
    request = ScoreRequest(pairs(range(100)), deadline=within(1.1))
    batch = call(partial, request)
    assert time.monotonic() - (request.deadline or 0) < 0.8
    scored = next(place for place, score in enumerate(batch.scores) if score is None)
    assert batch.partial
    assert 4 <= scored <= 24
    assert list(batch.scores) == [float(n) for n in range(scored)] + [None] * (100 - scored)


def test_nothing_scored_in_time_is_an_error(call: Call) -> None:
    """A ranking in which nothing is scored would only look like one."""
    partial = PartialReranker(GuardReranker(fake(delay=5.0)), 4)
    with pytest.raises(DeadlineExceededError):
        call(partial, ScoreRequest(pairs(range(10)), deadline=within(0.05)))


def test_chunks_only_where_there_is_a_deadline(call: Call) -> None:
    """Without one, or for a listwise backend, the request stays whole."""
    backend, listwise = fake(), fake(capabilities=LISTWISE)
    call(PartialReranker(backend, 4), ScoreRequest(pairs(range(10))))
    call(PartialReranker(listwise, 4), ScoreRequest(pairs(range(10)), deadline=within(5)))
    assert [len(r.pairs) for r in (*backend.requests, *listwise.requests)] == [10, 10]


# --- retry -----------------------------------------------------------------------------------------


def test_errors_that_may_pass_are_tried_again(call: Call) -> None:
    """And the batch tells of the failed tries."""
    backend = fake(faults=[UnavailableError("x"), OverloadedError("y")])
    batch = call(RetryReranker(backend, 2, wait_s=0.001), ScoreRequest(pairs([3])))
    assert batch.scores == [3.0]
    assert [(a.service, a.error) for a in batch.attempts] == [("fake", "unavailable"), ("fake", "overloaded")]


@pytest.mark.parametrize("error", [AuthenticationError("key"), ProtocolError("nan"), InputError("bad")])
def test_other_errors_are_not(call: Call, error: RerankitError) -> None:
    """The same call would fail again."""
    backend = fake(faults=itertools.repeat(error))
    with pytest.raises(type(error)):
        call(RetryReranker(backend, 5, wait_s=0.001), ScoreRequest(pairs([3])))
    assert len(backend.requests) == 1


def test_the_last_error_is_raised_with_every_try(call: Call) -> None:
    """As it came from the backend."""
    backend = fake(faults=itertools.repeat(UnavailableError("down")))
    with pytest.raises(UnavailableError) as caught:
        call(RetryReranker(backend, 2, wait_s=0.001), ScoreRequest(pairs([3])))
    assert [attempt.error for attempt in caught.value.attempts] == ["unavailable"] * 3
    assert len(backend.requests) == 3


def test_retry_after_is_honoured(call: Call) -> None:
    """No earlier than the backend asked."""
    backend = fake(faults=[OverloadedError("busy", retry_after=0.15)])
    started = time.monotonic()
    call(RetryReranker(backend, 1, wait_s=0.001), ScoreRequest(pairs([3])))
    assert 0.15 <= time.monotonic() - started < 2


@pytest.mark.parametrize(("retry_after", "seconds"), [(60.0, None), (20.0, 5.0), (None, 5.0)])
def test_no_wait_that_is_too_long_or_ends_after_the_deadline(
    call: Call, retry_after: float | None, seconds: float | None
) -> None:
    """The error is raised at once: a fallback can use the time."""
    backend = fake(faults=itertools.repeat(OverloadedError("busy", retry_after=retry_after)))
    deadline = None if seconds is None else within(seconds)
    started = time.monotonic()
    with pytest.raises(OverloadedError):
        call(RetryReranker(backend, 3, wait_s=10.0, max_wait_s=30.0), ScoreRequest(pairs([3]), deadline=deadline))
    assert time.monotonic() - started < 4
    assert len(backend.requests) == 1


def test_a_cancelled_caller_is_not_retried_for() -> None:
    """The event ends the pause of a thread; cancelling the task ends that of a coroutine."""
    gone = threading.Event()
    backend = fake(faults=itertools.repeat(OverloadedError("busy", retry_after=4.0)))
    reranker = RetryReranker(backend, 3)
    threading.Timer(0.05, gone.set).start()
    started = time.monotonic()
    with pytest.raises(ScoringCancelledError):
        reranker.score_pairs(ScoreRequest(pairs([3]), cancelled=gone))

    async def cancelled() -> None:
        task = asyncio.create_task(reranker.ascore_pairs(ScoreRequest(pairs([3]))))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert time.monotonic() - started < 3
    assert len(backend.requests) == 2


# --- breaker ---------------------------------------------------------------------------------------


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_backend_that_keeps_failing_is_left_alone_and_tried_again_later(call: Call) -> None:
    """Closed, open, half open, closed; the error says when to come back."""
    clock = Clock()
    backend = fake(faults=[UnavailableError("x")] * 4)
    reranker = BreakerReranker(backend, Circuit(3, 30.0, clock=clock))
    for _ in range(3):
        with pytest.raises(UnavailableError):
            call(reranker, ScoreRequest(pairs([1])))
    clock.now = 10.0
    with pytest.raises(CircuitOpenError) as caught:
        call(reranker, ScoreRequest(pairs([1])))
    assert (caught.value.retry_after, len(backend.requests)) == (20.0, 3)
    clock.now = 30.0
    assert reranker.circuit.state == "half_open"
    with pytest.raises(UnavailableError):
        call(reranker, ScoreRequest(pairs([1])))
    assert reranker.circuit.state == "open"
    clock.now = 61.0
    assert call(reranker, ScoreRequest(pairs([1]))).scores == [1.0]
    assert reranker.circuit.state == "closed"


def test_only_failures_in_a_row_count_and_only_the_backends_own() -> None:
    """A success starts the count anew; bad input and cancelled callers say nothing about the backend."""
    down, others = UnavailableError("x"), [InputError("x"), ScoringCancelledError("x")]
    reranker = BreakerReranker(fake(faults=[down, None, down, *others, None, down]), Circuit(2))
    for error in (down, None, down, *others, None, down):
        with contextlib.nullcontext() if error is None else pytest.raises(type(error)):
            reranker.score_pairs(ScoreRequest(pairs([1])))
        assert reranker.circuit.state == "closed"


def test_one_caller_at_a_time_tries_a_half_open_circuit() -> None:
    """The others are told that it is open; a caller that is cancelled leaves the trial to the next one."""
    clock = Clock()
    circuit = Circuit(1, 30.0, clock=clock)
    circuit.failed(probe=circuit.enter("x"))
    clock.now = 31.0
    assert circuit.enter("x")
    with pytest.raises(CircuitOpenError):
        circuit.enter("x")
    circuit.left(probe=True)
    assert circuit.enter("x")
    circuit.succeeded(probe=True)
    assert (circuit.state, circuit.enter("x")) == ("closed", False)


def test_a_late_success_does_not_close_an_open_circuit() -> None:
    """It began before the failures that opened it."""
    circuit = Circuit(1)
    early = circuit.enter("x")
    circuit.failed(probe=circuit.enter("x"))
    circuit.succeeded(probe=early)
    assert circuit.state == "open"


# --- fallback --------------------------------------------------------------------------------------


def test_the_next_service_answers_and_the_batch_says_so(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    """served_by, degraded, every attempt; and the log says when it begins and when it is over."""
    chain = FallbackReranker(
        [fake("one", faults=[UnavailableError("x")]), fake("two", faults=[OverloadedError("y")]), fake("three")]
    )
    batch = call(chain, ScoreRequest(pairs([1, 2])))
    assert (list(batch.scores), batch.served_by, batch.degraded) == ([1.0, 2.0], "three", True)
    assert [(a.service, a.error) for a in batch.attempts] == [
        ("one", "unavailable"),
        ("two", "overloaded"),
        ("three", None),
    ]
    again = call(chain, ScoreRequest(pairs([1])))
    call(chain, ScoreRequest(pairs([1])))
    assert [record.getMessage() for record in caplog.records] == [
        "three answers for one (one: unavailable, two: overloaded)",
        "one answers again",
    ]
    assert (again.served_by, again.degraded, [a.error for a in again.attempts]) == (None, False, [None])


def test_a_fallback_is_built_when_it_is_needed_and_only_once(call: Call) -> None:
    """And closed only if it was built."""
    built: list[FakeReranker] = []

    def build() -> PairReranker:
        built.append(fake("late"))
        return built[-1]

    chain = FallbackReranker([fake("one", faults=[None, *[UnavailableError("x")] * 2]), LazyReranker("late", build)])
    call(chain, ScoreRequest(pairs([1])))
    assert built == []
    for _ in range(2):
        assert call(chain, ScoreRequest(pairs([1]))).served_by == "late"
    chain.close()
    assert [backend.closed for backend in built] == [1]


def test_a_fallback_that_cannot_be_built_is_an_attempt_like_others(call: Call) -> None:
    """The next one answers, and building is tried again at the next call."""
    tries = itertools.count()

    def build() -> PairReranker:
        if next(tries) == 0:
            raise OSError("no weights")
        return fake("broken")

    down = itertools.repeat(UnavailableError("x"))
    chain = FallbackReranker([fake("one", faults=down), LazyReranker("broken", build), fake("three")])
    batch = call(chain, ScoreRequest(pairs([1])))
    assert [(a.service, a.error) for a in batch.attempts][1:] == [("broken", PluginLoadError.code), ("three", None)]
    assert call(chain, ScoreRequest(pairs([1]))).served_by == "broken"


def test_closing_builds_nothing(call: Call) -> None:
    """A fallback that was never needed, or could not be built, is not built to be closed."""
    tries = itertools.count()

    def build() -> PairReranker:
        next(tries)
        raise OSError("no weights")

    down = itertools.repeat(UnavailableError("x"))
    chain = FallbackReranker([fake("one", faults=down), LazyReranker("broken", build), LazyReranker("idle", build)])
    chain.close()
    with pytest.raises(UnavailableError):
        call(chain, ScoreRequest(pairs([1])))
    built = next(tries)
    chain.close()
    asyncio.run(chain.aclose())
    assert next(tries) == built + 1


def test_nobody_waits_for_a_slow_build_beyond_the_deadline(call: Call) -> None:
    """It goes on being built, for the next call."""
    ready = threading.Event()

    def build() -> PairReranker:
        ready.wait(10)
        return fake("late")

    chain = FallbackReranker([fake("one", faults=itertools.repeat(UnavailableError("x"))), LazyReranker("late", build)])
    started = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        call(chain, ScoreRequest(pairs([1]), deadline=within(0.1)))
    assert time.monotonic() - started < 2
    assert [a.error for a in caught.value.attempts] == ["unavailable", "deadline_exceeded"]
    ready.set()
    assert call(chain, ScoreRequest(pairs([1]), deadline=within(5))).served_by == "late"


def test_when_all_fail_the_first_ones_error_tells_of_every_try(call: Call) -> None:
    """Also where a backend raises one and the same object every time."""
    down = [itertools.repeat(UnavailableError("x")), itertools.repeat(ProtocolError("y"))]
    chain = FallbackReranker([fake("one", faults=down[0]), fake("two", faults=down[1])])
    for _ in range(2):
        with pytest.raises(UnavailableError) as caught:
            call(chain, ScoreRequest(pairs([1])))
        assert [(a.service, a.error) for a in caught.value.attempts] == [
            ("one", "unavailable"),
            ("two", "backend_protocol"),
        ]


@pytest.mark.parametrize("error", [InputError("bad"), ScoringCancelledError("gone")])
def test_no_service_is_asked_for_what_none_can_better(call: Call, error: RerankitError) -> None:
    """Bad input stays bad; a caller that has gone needs no answer."""
    second = fake("two")
    with pytest.raises(type(error)):
        call(FallbackReranker([fake("one", faults=[error]), second]), ScoreRequest(pairs([1])))
    assert second.requests == []


def test_bare_scores_come_only_from_a_service_of_the_same_kind(call: Call) -> None:
    """The others are left out without being asked, and the attempts say why."""
    logits = fake("logits", capabilities=Capabilities(ScoreKind.LOGIT))
    down = fake("one", faults=itertools.repeat(UnavailableError("x")))
    chain = FallbackReranker([down, logits, fake("same")], same_score_kind=True)
    batch = call(chain, ScoreRequest(pairs([1])))
    assert batch.served_by == "same"
    assert [a.error for a in batch.attempts] == ["unavailable", "other_score_kind", None]
    assert logits.requests == []


def test_a_service_that_hangs_leaves_time_for_the_next_one(call: Call) -> None:
    """Half of the deadline, where somebody stands behind it."""
    chain = FallbackReranker([GuardReranker(fake("one", delay=30.0)), GuardReranker(fake("two"))])
    started = time.monotonic()
    batch = call(chain, ScoreRequest(pairs([1]), deadline=within(0.4)))
    assert batch.served_by == "two"
    assert 0.15 < time.monotonic() - started < 0.4


def test_a_slow_service_that_is_alive_keeps_the_time(call: Call) -> None:
    """What it scored by half time is not thrown away for a fallback, nor mixed with its scores."""
    limits = Capabilities(ScoreKind.LOGIT, max_concurrency=1)
    slow, second = fake("one", delay=0.1, capabilities=limits), fake("two")
    chain = FallbackReranker([PartialReranker(GuardReranker(slow), 2), second])
    batch = call(chain, ScoreRequest(pairs(range(12)), deadline=within(1.0)))
    assert list(batch.scores) == [float(n) for n in range(12)]
    assert (batch.served_by, batch.partial, second.requests) == (None, False, [])
    partial = call(chain, ScoreRequest(pairs(range(60)), deadline=within(1.0)))
    scored = [score for score in partial.scores if score is not None]
    assert (partial.partial, partial.degraded) == (True, False)
    assert scored == [float(n) for n in range(len(scored))]
    assert len(scored) > 10


def test_attempts_have_times() -> None:
    """Seconds, of the failed try and of the one that answered."""
    chain = FallbackReranker([fake("one", delay=0.03, faults=[UnavailableError("x")]), fake("two", delay=0.05)])
    first, second = chain.score_pairs(ScoreRequest(pairs([1]))).attempts
    assert isinstance(first, Attempt)
    assert first.seconds >= 0.03
    assert second.seconds >= 0.05
