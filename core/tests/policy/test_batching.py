"""BatchingReranker: shared batches, fair turns, bounded queue, isolated failures, clean ends."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankit import Capabilities, PairReranker, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.errors import (
    BackendError,
    DeadlineExceededError,
    InputError,
    OverloadedError,
    ProtocolError,
    ScoringCancelledError,
    UnavailableError,
)
from rerankit.policy.admission import tokens_in_time, too_late_to_begin, too_late_to_wait
from rerankit.policy.batching import BatchingReranker
from rerankit.policy.job import Job
from rerankit.policy.queue import FairQueue, Pick
from rerankit.scoring import Pair
from rerankit.testing import FakeReranker


class Gated(PairReranker):
    """Scores a document's number; each batch waits until ``gate`` is open. A token is a character."""

    capabilities = Capabilities(ScoreKind.PROBABILITY)

    def __init__(self, poison: Callable[[str], BaseException | None] = lambda _: None) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[str]] = []
        self.stops: list[threading.Event | None] = []
        self.poison = poison

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        self.batches.append([document for _, document in request.pairs])
        self.stops.append(request.cancelled)
        self.entered.release()
        self.gate.wait(10)
        for _, document in request.pairs:
            if (error := self.poison(document)) is not None:
                raise error
        counts = self.token_counts(request.pairs)
        return ScoreBatch([float(d.split()[0]) for _, d in request.pairs], [1.0] * len(counts), counts, model="gated")

    def token_counts(self, pairs: Sequence[Pair]) -> list[int]:
        return [len(document) for _, document in pairs]


def texts(start: int, count: int, length: int = 10) -> list[str]:
    """Documents of ``length`` characters that begin with their number."""
    return [str(number).ljust(length, " ") for number in range(start, start + count)]


def numbers(documents: Sequence[str]) -> list[float]:
    """The scores these documents must get."""
    return [float(document) for document in documents]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for synchronous callers."""
    with ThreadPoolExecutor(64) as threads:
        yield threads


def queued(reranker: BatchingReranker, requests: int) -> None:
    """Wait until so many requests are in the queue."""
    end = time.monotonic() + 5
    while reranker.figures().queued_requests != requests:
        assert time.monotonic() < end, reranker.figures()
        time.sleep(0.001)


def test_concurrent_requests_share_batches_and_keep_their_own_scores(pool: ThreadPoolExecutor) -> None:
    """What arrives while a batch runs is merged; every caller gets its own scores, in its own order."""
    backend = Gated()
    with BatchingReranker(backend, max_batch_tokens=1000) as reranker:
        asked = [texts(100 * caller, 5) for caller in range(11)]
        first = pool.submit(reranker.get_scores, "q", asked[0])
        backend.entered.acquire()
        others = [pool.submit(reranker.get_scores, "q", documents) for documents in asked[1:]]
        queued(reranker, 10)
        backend.gate.set()
        assert [future.result() for future in [first, *others]] == [numbers(documents) for documents in asked]
        assert [len(batch) for batch in backend.batches] == [5, 50]


async def test_one_reranker_serves_threads_and_event_loops_at_once(pool: ThreadPoolExecutor) -> None:
    """Tasks of two event loops and plain threads share one queue."""
    with BatchingReranker(FakeReranker(lambda _, d: float(d)), max_batch_tokens=50) as reranker:

        def other_loop() -> list[list[float]]:
            async def many() -> list[list[float]]:
                return await asyncio.gather(*[reranker.aget_scores("q", texts(n, 3)) for n in range(20)])

            return asyncio.run(many())

        elsewhere = [pool.submit(other_loop) for _ in range(2)]
        threads = [pool.submit(reranker.get_scores, "q", texts(n, 3)) for n in range(20)]
        here = await asyncio.gather(*[reranker.aget_scores("q", texts(n, 3)) for n in range(20)])
        wanted = [numbers(texts(n, 3)) for n in range(20)]
        assert here == wanted
        assert [future.result() for future in threads] == wanted
        assert [future.result() for future in elsewhere] == [wanted, wanted]


def test_a_big_request_is_interleaved_with_small_ones(pool: ThreadPoolExecutor) -> None:
    """Small requests that come after a big one are done long before it."""
    backend = Gated()
    with BatchingReranker(backend, max_batch_tokens=400) as reranker:
        big = pool.submit(reranker.get_scores, "q", texts(0, 1000))
        backend.entered.acquire()
        small = [pool.submit(reranker.get_scores, "q", texts(2000 + 10 * n, 8)) for n in range(4)]
        queued(reranker, 5)
        backend.gate.set()
        assert [future.result() for future in small] == [numbers(texts(2000 + 10 * n, 8)) for n in range(4)]
        done_after = max(i for i, batch in enumerate(backend.batches) if any(float(d) >= 2000 for d in batch))
        assert big.result() == numbers(texts(0, 1000))
        assert done_after <= 2
        assert len(backend.batches) >= 25


@given(
    sizes=st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=30), min_size=1, max_size=8),
    budget=st.integers(1, 100),
    documents=st.none() | st.integers(1, 10),
)
@settings(max_examples=200, deadline=None)
def test_batches_keep_the_budget_and_lose_nothing(sizes: list[list[int]], budget: int, documents: int | None) -> None:
    """Every pair is taken once, in its request's order; only a pair above the budget makes a batch above it."""
    queue = FairQueue(batch_tokens=budget, batch_documents=documents, max_tokens=10**6, whole=False)
    jobs = [Job(ScoreRequest([("q", "d")] * len(counts)), counts) for counts in sizes]
    for job in jobs:
        queue.put(job, 1.0)
    taken: dict[Job, list[int]] = {job: [] for job in jobs}
    while picks := queue.take():
        counts = [job.counts[place] for job, span in picks for place in span]
        assert sum(counts) <= budget or len(counts) == 1
        assert documents is None or len(counts) <= documents
        for job, span in picks:
            taken[job].extend(span)
    assert all(places == list(range(len(job.counts))) for job, places in taken.items())
    assert (queue.tokens, len(queue)) == (0, 0)


@given(smalls=st.lists(st.integers(1, 25), min_size=1, max_size=12), big=st.integers(50, 400))
@settings(max_examples=100, deadline=None)
def test_nobody_waits_longer_than_a_round(smalls: list[int], big: int) -> None:
    """A request of at most a quarter of a batch is taken within one round of turns, whoever else waits."""
    queue = FairQueue(batch_tokens=100, batch_documents=None, max_tokens=10**6, whole=False)
    queue.put(Job(ScoreRequest([("q", "d")] * big), [1] * big), 1.0)
    waiting = [Job(ScoreRequest([("q", "d")]), [tokens]) for tokens in smalls]
    for job in waiting:
        queue.put(job, 1.0)
    tokens = 0
    while any(job.waiting for job in waiting):
        tokens += sum(job.counts[place] for job, span in queue.take() for place in span)
    assert tokens <= 25 + sum(smalls) + 100


def test_a_full_queue_refuses_and_says_when_to_come_back(pool: ThreadPoolExecutor) -> None:
    """Beyond ``max_queue_tokens`` a request gets OverloadedError with ``retry_after``; what was accepted is served."""
    backend = Gated()
    with BatchingReranker(backend, max_batch_tokens=50, max_queue_tokens=100) as reranker:
        running = pool.submit(reranker.get_scores, "q", texts(0, 5))
        backend.entered.acquire()
        waiting = pool.submit(reranker.get_scores, "q", texts(10, 10))
        queued(reranker, 1)
        with pytest.raises(OverloadedError) as refused:
            reranker.get_scores("q", texts(20, 1))
        assert refused.value.retry_after is not None
        assert refused.value.retry_after > 0
        with pytest.raises(InputError, match="holds 100"):
            reranker.get_scores("q", texts(20, 11))
        backend.gate.set()
        assert (running.result(), waiting.result()) == (numbers(texts(0, 5)), numbers(texts(10, 10)))
        assert reranker.figures().refused == 1


def test_what_would_be_late_is_refused_at_once(pool: ThreadPoolExecutor) -> None:
    """By the speed so far, if asked for; who has the time, or has no deadline, waits."""
    backend = Gated()
    with BatchingReranker(backend, max_batch_tokens=50, refuse_late=True, workers=1) as reranker:
        first = pool.submit(reranker.get_scores, "q", texts(0, 5))
        backend.entered.acquire()
        time.sleep(0.2)  # 50 tokens in 0.2 seconds or more: at most 250 a second
        backend.gate.set()
        first.result()
        backend.gate.clear()
        asked = [texts(100 * n, 25) for n in range(1, 5)]
        waiting = [pool.submit(reranker.get_scores, "q", documents) for documents in asked]
        backend.entered.acquire()
        queued(reranker, 4)
        hurried = ScoreRequest([("q", d) for d in texts(0, 6)], deadline=time.monotonic() + 2)
        with pytest.raises(OverloadedError, match="would be late") as refused:
            reranker.score_pairs(hurried)
        assert refused.value.retry_after
        patient = pool.submit(reranker.score_pairs, ScoreRequest([("q", "7")], deadline=time.monotonic() + 600))
        queued(reranker, 5)
        backend.gate.set()
        assert [call.result() for call in waiting] == [numbers(documents) for documents in asked]
        assert patient.result().scores == [7.0]
        assert reranker.figures().refused == 1


class TestAdmission:
    """Refused is only what others would make late; at 100 tokens a second."""

    @staticmethod
    def job(tokens: int, seconds: float, waited: float = 0.0) -> Job:
        now = time.monotonic()
        request = ScoreRequest([("q", "d")], deadline=now - waited + seconds)
        return Job(request, [tokens], queued_at=now - waited)

    @pytest.mark.parametrize(
        ("tokens", "ahead", "seconds", "refused"),
        [
            (100, 0, 1.1, False),  # nobody is before it
            (100, 300, 10.0, False),  # 4 seconds of 10
            (100, 500, 10.0, True),  # 6 of 10: too close
            (100, 5000, 0.9, False),  # too much for its time without any others: a retry would not help
        ],
    )
    def test_when_it_comes(self, tokens: int, ahead: int, seconds: float, refused: bool) -> None:
        """Half of its time may be planned."""
        error = too_late_to_wait(self.job(tokens, seconds), ahead, 100.0, "s")
        assert (error is not None) is refused
        assert error is None or error.retry_after == pytest.approx(1.0)

    @pytest.mark.parametrize(
        ("tokens", "waited", "refused"), [(100, 8.0, False), (100, 9.5, True), (2000, 9.5, False), (100, 11.0, True)]
    )
    def test_when_it_is_to_begin(self, tokens: int, waited: float, refused: bool) -> None:
        """Of ten seconds too few are left; not where ten would not have been enough."""
        error = too_late_to_begin(self.job(tokens, 10.0, waited), 300, 100.0, "s")
        assert (error is not None) is refused
        assert error is None or error.retry_after == pytest.approx(3.0)

    def test_without_a_deadline_nothing_is_late(self) -> None:
        """However much waits."""
        job = Job(ScoreRequest([("q", "d")]), [10])
        assert too_late_to_wait(job, 10**9, 1.0, "s") is None
        assert too_late_to_begin(job, 10**9, 1.0, "s") is None

    def test_a_batch_is_as_large_as_the_most_urgent_in_it_has_time_for(self) -> None:
        """Seven tenths of what is left; those that a full batch would not reach do not count."""
        queue = FairQueue(batch_tokens=400, batch_documents=None, max_tokens=10_000, whole=False)
        for seconds in (60.0, 2.0, 60.0, 60.0, 0.5):
            job = self.job(100, seconds)
            queue.put(job, 1.0)
        most = tokens_in_time(queue.least_time(), 100.0)
        assert most is not None
        assert 130 <= most <= 140
        assert [len(span) for _, span in queue.take(most)] == [1]
        assert tokens_in_time(None, 100.0) is None

    def test_what_is_ahead(self) -> None:
        """Of each other request as many turns as the new one needs, those of later ones too if it needs several."""
        queue = FairQueue(batch_tokens=400, batch_documents=None, max_tokens=10_000, whole=False)
        for count in (50, 1000):
            queue.put(Job(ScoreRequest([("q", "d")] * (count // 10)), [10] * (count // 10)), 1.0)
        assert queue.ahead_of(Job(ScoreRequest([("q", "d")]), [80])) == 50 + 100
        assert queue.ahead_of(Job(ScoreRequest([("q", "d")] * 2), [100, 100])) == 2 * (50 + 200)


@pytest.mark.parametrize("error", [ValueError("bad"), ProtocolError("NaN"), SystemExit(1)])
def test_a_poisoned_request_fails_alone(pool: ThreadPoolExecutor, error: BaseException) -> None:
    """The batch that failed is scored again, each request apart."""
    backend = Gated(lambda document: error if document.startswith("13") else None)
    with BatchingReranker(backend, max_batch_tokens=1000) as reranker:
        first = pool.submit(reranker.get_scores, "q", texts(500, 1))
        backend.entered.acquire()
        futures = [pool.submit(reranker.get_scores, "q", texts(10 * n, 5)) for n in range(4)]
        queued(reranker, 4)
        backend.gate.set()
        assert first.result() == [500.0]
        for n in (0, 2, 3):
            assert futures[n].result() == numbers(texts(10 * n, 5))
        with pytest.raises(BackendError if isinstance(error, SystemExit) else type(error)):
            futures[1].result()
        assert reranker.figures().reruns == 4


def test_a_backend_that_is_down_is_not_asked_once_more_for_every_request(pool: ThreadPoolExecutor) -> None:
    """An error that lies in no request fails the batch; each caller gets an error of its own."""
    backend = Gated(lambda _: UnavailableError("down"))
    with BatchingReranker(backend, max_batch_tokens=1000) as reranker:
        first = pool.submit(reranker.get_scores, "q", texts(0, 1))
        backend.entered.acquire()
        futures = [pool.submit(reranker.get_scores, "q", texts(10 * n, 5)) for n in range(4)]
        queued(reranker, 4)
        backend.gate.set()
        errors = [future.exception() for future in [first, *futures]]
        assert all(isinstance(error, UnavailableError) for error in errors)
        assert len({id(error) for error in errors}) == 5
        assert len(backend.batches) == 2


async def test_cancelling_a_caller_takes_its_request_out() -> None:
    """Nobody's work is computed for nobody; a batch that nobody waits for is told to stop."""
    backend = Gated()
    async with BatchingReranker(backend, max_batch_tokens=50) as reranker:
        running = asyncio.create_task(reranker.aget_scores("q", texts(0, 5)))
        await asyncio.to_thread(backend.entered.acquire)
        waiting = asyncio.create_task(reranker.aget_scores("q", texts(10, 50)))
        await asyncio.to_thread(queued, reranker, 1)
        waiting.cancel()
        running.cancel()
        for task in (waiting, running):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert reranker.figures().queued_tokens == 0
        assert reranker.figures().dropped == 2
        assert backend.stops[0] is not None
        assert backend.stops[0].is_set()
        backend.gate.set()
        assert await reranker.aget_scores("q", texts(7, 1)) == [7.0]
        assert len(backend.batches) == 2


def test_a_cancelled_event_takes_a_synchronous_request_out(pool: ThreadPoolExecutor) -> None:
    """``request.cancelled`` is looked at before a batch is made."""
    backend, gone = Gated(), threading.Event()
    with BatchingReranker(backend, max_batch_tokens=50) as reranker:
        running = pool.submit(reranker.get_scores, "q", texts(0, 5))
        backend.entered.acquire()
        waiting = pool.submit(reranker.score_pairs, ScoreRequest([("q", d) for d in texts(10, 5)], cancelled=gone))
        queued(reranker, 1)
        gone.set()
        backend.gate.set()
        with pytest.raises(ScoringCancelledError):
            waiting.result()
        assert running.result() == numbers(texts(0, 5))
        assert len(backend.batches) == 1


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_caller_does_not_wait_beyond_its_deadline(pool: ThreadPoolExecutor, asynchronous: bool) -> None:
    """Late in the queue or late at the backend: DeadlineExceededError at the deadline, and the work is dropped."""
    backend = Gated()
    with BatchingReranker(backend, max_batch_tokens=50) as reranker:
        running = pool.submit(reranker.get_scores, "q", texts(0, 5))
        backend.entered.acquire()
        request = ScoreRequest([("q", "1")], deadline=time.monotonic() + 0.05)
        late = (
            partial(asyncio.run, reranker.ascore_pairs(request))
            if asynchronous
            else partial(reranker.score_pairs, request)
        )
        with pytest.raises(DeadlineExceededError):
            late()
        assert time.monotonic() - (request.deadline or 0) < 1.0
        backend.gate.set()
        assert running.result() == numbers(texts(0, 5))
        assert len(backend.batches) == 1


def test_drain_finishes_what_was_accepted_and_accepts_nothing_more(pool: ThreadPoolExecutor) -> None:
    """For a graceful shutdown: new requests are refused as unavailable, a retryable error."""
    backend = Gated()
    with BatchingReranker(backend, max_batch_tokens=50) as reranker:
        futures = [pool.submit(reranker.get_scores, "q", texts(0, 5))]
        backend.entered.acquire()
        futures += [pool.submit(reranker.get_scores, "q", texts(10 * n, 5)) for n in range(1, 5)]
        queued(reranker, 4)
        assert not reranker.drain(timeout=0.01)
        with pytest.raises(UnavailableError) as refused:
            reranker.get_scores("q", ["1"])
        assert refused.value.retryable
        backend.gate.set()
        assert reranker.drain(timeout=5)
        assert [future.result() for future in futures] == [numbers(texts(10 * n, 5)) for n in range(5)]


def test_close_fails_what_waits_and_leaves_nothing(pool: ThreadPoolExecutor) -> None:
    """Closing ends the queue; the running batch is waited for, the backend closed, and closing twice is fine."""
    backend = FakeReranker(delay=0.1)
    reranker = BatchingReranker(backend, max_batch_tokens=10, workers=1)
    futures = [pool.submit(reranker.get_scores, "query", ["some document " * 3]) for _ in range(4)]
    queued(reranker, 3)
    reranker.close()
    outcomes = [type(future.exception()) for future in futures]
    assert sorted(outcomes, key=str) == sorted([type(None), *[UnavailableError] * 3], key=str)
    reranker.close()
    assert backend.closed >= 1


def test_a_listwise_backend_gets_requests_whole(pool: ThreadPoolExecutor) -> None:
    """Its scores depend on the other documents of the call, so calls are neither merged nor cut."""
    backend = Gated()
    backend.capabilities = Capabilities(ScoreKind.PROBABILITY, listwise=True)
    with BatchingReranker(backend, max_batch_tokens=20) as reranker:
        futures = [pool.submit(reranker.get_scores, "q", texts(10 * n, 5)) for n in range(4)]
        backend.gate.set()
        assert [future.result() for future in futures] == [numbers(texts(10 * n, 5)) for n in range(4)]
    assert sorted(backend.batches) == sorted(texts(10 * n, 5) for n in range(4))


def test_the_backends_limits_are_kept() -> None:
    """A shared batch is cut to what the backend takes in one request."""
    backend = FakeReranker(
        lambda _, d: float(d), capabilities=Capabilities(ScoreKind.PROBABILITY, max_documents=3, max_characters=40)
    )
    with BatchingReranker(backend) as reranker:
        assert reranker.get_scores("q", texts(0, 10)) == numbers(texts(0, 10))
    assert all(len(request.pairs) <= 3 for request in backend.requests)
    assert all(sum(len(q) + len(d) for q, d in request.pairs) <= 40 for request in backend.requests)


def test_workers_run_several_batches_at_once(pool: ThreadPoolExecutor) -> None:
    """As many as the backend says are worth having in flight, and no more."""
    backend = Gated()
    backend.capabilities = Capabilities(ScoreKind.PROBABILITY, max_concurrency=3)
    with BatchingReranker(backend, max_batch_tokens=50) as reranker:
        futures = []
        for n in range(3):
            futures.append(pool.submit(reranker.get_scores, "q", texts(10 * n, 5)))
            assert backend.entered.acquire(timeout=5)
        futures += [pool.submit(reranker.get_scores, "q", texts(10 * n, 5)) for n in range(3, 6)]
        queued(reranker, 3)
        assert reranker.figures().running_batches == 3
        backend.gate.set()
        assert [future.result() for future in futures] == [numbers(texts(10 * n, 5)) for n in range(6)]


def test_idle_workers_sleep(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several workers without work do not wake each other: an idle service costs no processor."""
    looks, take = [], FairQueue.take

    def counted(self: FairQueue, most: int | None = None) -> list[Pick]:
        looks.append(self)
        return take(self, most)

    monkeypatch.setattr(FairQueue, "take", counted)
    backend = Gated()
    with BatchingReranker(backend, max_batch_tokens=1, workers=3) as reranker:
        calls = [pool.submit(reranker.get_scores, "q", [f"{n}"]) for n in range(3)]
        assert all(backend.entered.acquire(timeout=10) for _ in calls)
        backend.gate.set()
        assert [call.result(10) for call in calls] == [[0.0], [1.0], [2.0]]
        time.sleep(0.3)
        # Each worker looked for its batch, and once more when that was done (a few times more, if calls overlapped).
        assert len(looks) < 30


def test_what_the_model_knows_reaches_every_caller() -> None:
    """Coverage, tokens, model and the time in the queue, also when a request was cut into several batches."""
    backend = Gated()
    backend.gate.set()
    with BatchingReranker(backend, max_batch_tokens=50) as reranker:
        batch = reranker.score_pairs(ScoreRequest([("q", d) for d in texts(0, 12)]))
    assert len(backend.batches) == 3
    assert (batch.tokens, batch.coverage, batch.model) == ([10] * 12, [1.0] * 12, "gated")
    assert batch.timings["queue"] >= 0
    assert not batch.partial


def test_scores_of_two_models_are_not_mixed_in_one_request() -> None:
    """Where the backend changes its model between two batches, the request is scored anew as a whole."""
    models = itertools.chain(["one", "two"], itertools.repeat("two"))

    class Changing(FakeReranker):
        def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
            return ScoreBatch([float(d) for _, d in request.pairs], model=next(models))

    with BatchingReranker(Changing(), max_batch_tokens=10, workers=1) as reranker:
        batch = reranker.score_pairs(ScoreRequest([("q", d) for d in texts(0, 5, length=20)]))
    assert (batch.scores, batch.model) == (numbers(texts(0, 5)), "two")


def test_the_callers_context_reaches_the_backend() -> None:
    """Context variables, and with them traces, go with a request into the worker's thread."""
    trace: ContextVar[str] = ContextVar("trace", default="none")
    seen: list[str] = []

    def score(query: str, document: str) -> float:
        seen.append(trace.get())
        return 0.0

    with BatchingReranker(FakeReranker(score)) as reranker:
        trace.set("mine")
        reranker.get_scores("q", ["d"])
    assert seen == ["mine"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_it_works_in_a_forked_child() -> None:
    """A child starts workers of its own, though the parent's were at work when it was forked."""
    with BatchingReranker(FakeReranker(lambda _, d: float(d))) as reranker:
        assert reranker.get_scores("q", ["1"]) == [1.0]
        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        child = context.Process(target=lambda: answers.put(reranker.get_scores("q", ["2"])))
        child.start()
        assert answers.get(timeout=10) == [2.0]
        child.join(10)
        assert child.exitcode == 0
