"""BatchingReranker under everything at once: poison, outages, cancellations, deadlines, overload, threads and loops."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from rerankit import Capabilities, PairReranker, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.errors import RerankitError, UnavailableError
from rerankit.policy.batching import BatchingReranker


def score(query: str, document: str) -> float:
    """Of exactly this pair."""
    return zlib.crc32(f"{query}|{document}".encode()) / 2**32


class Chaotic(PairReranker):
    """Fails by what is in a document, and now and then by itself."""

    capabilities = Capabilities(ScoreKind.PROBABILITY, max_concurrency=2)

    def __init__(self, seed: int, outage: float) -> None:
        self._random = random.Random(seed)
        self._outage = outage
        self._lock = threading.Lock()

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        with self._lock:
            fails = self._random.random() < self._outage
        time.sleep(0.0005)
        request.raise_if_stopped()
        if fails:
            raise UnavailableError("outage")
        documents = [document for _, document in request.pairs]
        if "poison" in documents:
            raise ValueError("poison")
        scores = [score(query, document) for query, document in request.pairs]
        if "nan" in documents:
            scores[documents.index("nan")] = math.nan
        return ScoreBatch(scores[:-1] if "short" in documents else scores)


call = st.tuples(
    st.sampled_from("xy"),
    st.lists(
        st.sampled_from("abcdef") | st.sampled_from(["poison", "nan", "short"] + ["g"] * 20), min_size=1, max_size=30
    ),
    st.sampled_from([None, None, 0.0, 0.0005, 0.003]),
)


@given(
    threads=st.lists(call, max_size=8),
    tasks=st.lists(call, max_size=8),
    budget=st.sampled_from([1, 8, 64]),
    queue=st.sampled_from([20, 200, 10_000]),
    outage=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_every_call_ends_with_its_own_scores_or_a_typed_error(
    threads: list[tuple[str, list[str], float | None]],
    tasks: list[tuple[str, list[str], float | None]],
    budget: int,
    queue: int,
    outage: float,
    seed: int,
) -> None:
    """Nobody hangs, nobody gets another one's score, healthy calls fail only by an outage, a deadline or overload."""
    reranker = BatchingReranker(Chaotic(seed, outage), max_batch_tokens=budget, max_queue_tokens=queue)

    def in_thread(query: str, documents: list[str], seconds: float | None) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            batch = reranker.score_pairs(ScoreRequest([(query, d) for d in documents], deadline))
        except (RerankitError, ValueError) as error:
            check_error(documents, error)
        else:
            assert list(batch.scores) == [score(query, d) for d in documents]

    async def in_task(query: str, documents: list[str], seconds: float | None) -> None:
        task = asyncio.ensure_future(reranker.aget_scores(query, documents))
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, task.cancel)
        try:
            scores = await task
        except asyncio.CancelledError:
            assert seconds is not None
        except (RerankitError, ValueError) as error:
            check_error(documents, error)
        else:
            assert scores == [score(query, d) for d in documents]

    async def all_tasks() -> None:
        await asyncio.gather(*[in_task(*one) for one in tasks])

    def check_error(documents: list[str], error: Exception) -> None:
        code = getattr(error, "code", "poison")
        own = {"poison", "backend_protocol"} if {"poison", "nan", "short"} & set(documents) else set()
        assert code in own | {"unavailable", "overloaded", "deadline_exceeded", "invalid_input"}, error
        assert code != "unavailable" or outage

    with ThreadPoolExecutor(9) as pool:
        futures = [pool.submit(in_thread, *one) for one in threads]
        futures.append(pool.submit(asyncio.run, all_tasks()))
        for future in futures:
            future.result(timeout=30)
    assert reranker.drain(timeout=5)
    figures = reranker.figures()
    assert (figures.queued_requests, figures.queued_tokens, figures.running_batches) == (0, 0, 0)
    reranker.close()
