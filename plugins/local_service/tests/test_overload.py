"""Four times what the model can do: nothing crashes, what is accepted is in time, the rest is told to come back."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import httpx
import psutil
import pytest

from rerankit import Capabilities, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.testing import FakeReranker
from rerankit_local_service.testing import serving

PER_DOCUMENT_S = 0.002
DOCUMENTS = 25
DEADLINE_S = 1.0
SECONDS = 8.0


class Measured(FakeReranker):
    """Takes a known time a document, one batch at a time."""

    def __init__(self) -> None:
        super().__init__(capabilities=Capabilities(ScoreKind.PROBABILITY, max_concurrency=1))

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """As slow as a model."""
        for _ in range(0, len(request.pairs), DOCUMENTS):
            time.sleep(PER_DOCUMENT_S * DOCUMENTS)
            request.raise_if_stopped()
        return super().score_pairs(request)


@pytest.mark.slow
async def test_overload() -> None:
    """A minute of it, and the figures, are in benchmarks/load.py."""
    statuses: Counter[int] = Counter()
    unexplained = 0
    body = {"query": "q", "documents": ["word " * 20] * DOCUMENTS}
    capacity = 1 / (PER_DOCUMENT_S * DOCUMENTS)
    rng = random.Random(3)

    async def ask(http: httpx.AsyncClient) -> None:
        nonlocal unexplained
        answer = await http.post("/v2/rerank", json=body, headers={"x-rerankit-timeout": str(DEADLINE_S)})
        statuses[answer.status_code] += 1
        if answer.status_code in (429, 503):
            unexplained += "retry-after" not in answer.headers

    with serving(Measured, max_batch_tokens=2_000) as served:
        before = psutil.Process().memory_info().rss
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(base_url=served.url, timeout=30, limits=limits) as http,
            asyncio.TaskGroup() as group,
        ):
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                group.create_task(ask(http))
                await asyncio.sleep(rng.expovariate(4 * capacity))
        grown = psutil.Process().memory_info().rss - before
        assert served.post("/v2/rerank", body).status_code == 200
    assert set(statuses) <= {200, 429, 503, 504}, statuses
    assert unexplained == 0
    # A 200 came within its deadline by the service's clock, so a 504 is an accepted request that did not.
    assert statuses[504] <= 0.01 * statuses[200], statuses
    # A quarter of what came is all that can be done; a service that turns everybody away fails, too.
    assert statuses[200] > 0.1 * statuses.total(), statuses
    assert grown < 64 << 20
