"""CacheReranker: known pairs are not scored again, and nothing else is taken for them."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankit import Capabilities, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.errors import DeadlineExceededError, InvalidArgumentError, UnavailableError
from rerankit.policy.cache import ENTRY_BYTES, CacheReranker, ScoreCache, keys_of
from rerankit.testing import FakeReranker

TEXT = st.text(st.characters(), max_size=4)


def number(_: str, document: str) -> float:
    """The score of a document that is a number."""
    return float(document)


def request(*documents: object, query: str = "q", deadline: float | None = None) -> ScoreRequest:
    """Pairs of one query."""
    return ScoreRequest([(query, str(document)) for document in documents], deadline)


def asked(backend: FakeReranker) -> list[list[str]]:
    """The documents of each request the backend got."""
    return [[document for _, document in r.pairs] for r in backend.requests]


def test_a_known_pair_is_not_scored_again() -> None:
    """Only what is new goes to the backend, in order; found scores take no tokens."""
    backend = FakeReranker(number, fingerprint="m@1")
    cached = CacheReranker(backend, ScoreCache(1 << 20))
    cached.score_pairs(request(1, 2, 3))
    assert cached.score_pairs(request(4, 2, 1, 5, 4)).scores == [4.0, 2.0, 1.0, 5.0, 4.0]
    assert cached.score_pairs(request(3, 4)).scores == [3.0, 4.0]
    assert asked(backend) == [["1", "2", "3"], ["4", "5"]]


def test_what_is_known_about_a_score_is_kept_with_it() -> None:
    """Coverage, model, revision and kind come back with a score from the cache; its tokens are 0."""

    class Rich(FakeReranker):
        def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
            count = len(request.pairs)
            return ScoreBatch([1.0] * count, [0.25] * count, [9] * count, "m", "r", ScoreKind.LOGIT)

    cached = CacheReranker(Rich(fingerprint="m@r"), ScoreCache(1 << 20))
    cached.score_pairs(request(1))
    batch = cached.score_pairs(request(1, 2))
    assert (batch.coverage, batch.tokens) == ([0.25, 0.25], [0, 9])
    assert (batch.model, batch.revision, batch.score_kind) == ("m", "r", ScoreKind.LOGIT)
    assert cached.score_pairs(request(1, 2)).model == "m"


@given(st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), min_size=2, max_size=2, unique=True))
@settings(max_examples=300, deadline=None)
def test_no_two_pairs_share_a_key(fields: list[tuple[str, str, str, str]]) -> None:
    """However the texts of backend, fingerprint, query and document are divided between them."""
    one, other = (next(iter(keys_of((label, mark), [(query, document)]))) for label, mark, query, document in fields)
    assert one != other


def test_every_field_is_part_of_the_key() -> None:
    """Moving a letter from one field to the next makes another key."""
    fields = [("ab", "cd", "ef", "gh"), ("abc", "d", "ef", "gh"), ("ab", "cde", "f", "gh"), ("ab", "cd", "efg", "h")]
    keys = {next(iter(keys_of((a, b), [(c, d)]))) for a, b, c, d in fields}
    assert len(keys) == 4


def test_another_fingerprint_is_another_score() -> None:
    """Two rerankers may share a cache."""
    store = ScoreCache(1 << 20)
    first = CacheReranker(FakeReranker(lambda q, d: 1.0, fingerprint="one"), store)
    second = CacheReranker(FakeReranker(lambda q, d: 2.0, fingerprint="two"), store)
    twin = FakeReranker(lambda q, d: 3.0, fingerprint="one")
    assert [r.score_pairs(request(7)).scores for r in (first, second)] == [[1.0], [2.0]]
    assert CacheReranker(twin, store).score_pairs(request(7)).scores == [1.0]
    assert twin.requests == []


def test_without_a_fingerprint_nothing_is_kept() -> None:
    """Nobody knows what the score depends on."""
    backend = FakeReranker(number)
    cached = CacheReranker(backend, ScoreCache(1 << 20))
    cached.score_pairs(request(1))
    cached.score_pairs(request(1))
    assert len(backend.requests) == 2


def test_listwise_backends_are_refused() -> None:
    """Their scores depend on the other documents."""
    backend = FakeReranker(fingerprint="x", capabilities=Capabilities(listwise=True))
    with pytest.raises(InvalidArgumentError, match="listwise"):
        CacheReranker(backend, ScoreCache(1 << 20))


def test_memory_stays_within_the_bound_and_the_least_recently_used_go() -> None:
    """Measured, not only counted: what the full cache holds is no more than it was given."""
    bound = 1 << 20
    store = ScoreCache(bound)
    cached = CacheReranker(FakeReranker(number, fingerprint="x"), store)
    texts = [str(n) for n in range(20_000)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for start in range(0, len(texts), 100):
            cached.inner.requests.clear()  # type: ignore[attr-defined]
            cached.score_pairs(request(*texts[start : start + 100]))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(store) == bound // ENTRY_BYTES
    assert grown <= bound
    cached.score_pairs(request(*texts[-100:]))
    assert len(cached.inner.requests) == 1  # type: ignore[attr-defined]


def test_a_request_larger_than_the_cache_is_answered() -> None:
    """Also where nothing fits in at all."""
    for room in (0, 3 * ENTRY_BYTES):
        cached = CacheReranker(FakeReranker(number, fingerprint="x"), ScoreCache(room))
        assert cached.score_pairs(request(*range(50), 3)).scores == [*map(float, range(50)), 3.0]


def test_a_pair_in_flight_is_scored_once_for_all_who_want_it() -> None:
    """Threads and tasks that ask meanwhile wait for the first one."""
    backend = FakeReranker(number, delay=0.1, fingerprint="x")
    cached = CacheReranker(backend, ScoreCache(1 << 20))

    async def many() -> list[ScoreBatch]:
        return await asyncio.gather(*[cached.ascore_pairs(request(1, 2)) for _ in range(10)])

    with ThreadPoolExecutor(11) as pool:
        threads = [pool.submit(cached.score_pairs, request(2, 1)) for _ in range(10)]
        tasks = pool.submit(asyncio.run, many())
        assert [future.result().scores for future in threads] == [[2.0, 1.0]] * 10
        assert [batch.scores for batch in tasks.result()] == [[1.0, 2.0]] * 10
    assert sorted(itertools.chain.from_iterable(asked(backend))) == ["1", "2"]


def test_who_waits_for_a_failing_or_cancelled_call_scores_for_itself() -> None:
    """One caller's trouble is not another's."""
    entered, go = threading.Event(), threading.Event()

    class FirstFails(FakeReranker):
        def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
            first = not entered.is_set()
            entered.set()
            if first:
                go.wait(5)
                raise UnavailableError("only this one")
            return super().score_pairs(request)

    cached = CacheReranker(FirstFails(number, fingerprint="x"), ScoreCache(1 << 20))
    with ThreadPoolExecutor(2) as pool:
        fails = pool.submit(cached.score_pairs, request(1))
        entered.wait(5)
        waits = pool.submit(cached.score_pairs, request(1, 2))
        time.sleep(0.02)
        go.set()
        assert isinstance(fails.exception(), UnavailableError)
        assert waits.result().scores == [1.0, 2.0]


def test_two_calls_that_want_each_others_pairs_do_not_wait_for_ever() -> None:
    """Each scores its own first, then waits."""
    backend = FakeReranker(number, delay=0.01, fingerprint="x")
    cached = CacheReranker(backend, ScoreCache(0))
    with ThreadPoolExecutor(8) as pool:
        orders = [list(range(20))[n:] + list(range(20))[:n] for n in range(8)] * 5
        answers = [pool.submit(cached.score_pairs, request(*order)) for order in orders]
        assert [list(future.result(20).scores) for future in answers] == [[float(n) for n in o] for o in orders]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_who_waits_for_another_caller_keeps_its_own_deadline(asynchronous: bool) -> None:
    """The other one may have all the time in the world."""
    backend = FakeReranker(number, delay=0.5, fingerprint="x")
    cached = CacheReranker(backend, ScoreCache(1 << 20))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(cached.score_pairs, request(1))
        while not backend.requests:
            time.sleep(0.001)
        hurried = request(1, deadline=time.monotonic() + 0.05)
        with pytest.raises(DeadlineExceededError):
            asyncio.run(cached.ascore_pairs(hurried)) if asynchronous else cached.score_pairs(hurried)
        assert time.monotonic() - (hurried.deadline or 0) < 0.3
        assert slow.result().scores == [1.0]


def test_scores_of_two_models_are_never_mixed() -> None:
    """Where the model behind a service changed unannounced, the whole call is scored by the new one."""
    model = "old"

    class Server(FakeReranker):
        def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
            self.requests.append(request)
            return ScoreBatch([1.0 if model == "old" else 2.0] * len(request.pairs), model=model)

    cached = CacheReranker(Server(fingerprint="x"), ScoreCache(1 << 20))
    cached.score_pairs(request(1, 2))
    model = "new"
    batch = cached.score_pairs(request(1, 2, 3))
    assert (batch.scores, batch.model) == ([2.0] * 3, "new")


def test_a_fallbacks_scores_are_not_kept() -> None:
    """They are not the backend's."""

    class Degraded(FakeReranker):
        def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
            self.requests.append(request)
            return ScoreBatch([0.5] * len(request.pairs), served_by="other", degraded=True)

    backend = Degraded(fingerprint="x")
    store = ScoreCache(1 << 20)
    batch = CacheReranker(backend, store).score_pairs(request(1, 2))
    assert (batch.served_by, batch.degraded, len(store)) == ("other", True, 0)


def test_a_partial_answer_keeps_what_was_scored() -> None:
    """The next call scores only the rest."""

    class Half(FakeReranker):
        def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
            self.requests.append(request)
            scores: list[float | None] = [float(d) for _, d in request.pairs[:2]]
            missing = len(request.pairs) - len(scores)
            return ScoreBatch(scores + [None] * missing, partial=missing > 0)

    backend = Half(fingerprint="x")
    cached = CacheReranker(backend, ScoreCache(1 << 20))
    first = cached.score_pairs(request(1, 2, 3))
    assert (first.scores, first.partial) == ([1.0, 2.0, None], True)
    second = cached.score_pairs(request(1, 2, 3))
    assert (second.scores, second.partial) == ([1.0, 2.0, 3.0], False)
    assert asked(backend) == [["1", "2", "3"], ["3"]]
