"""What the policy costs, and what its cache and removal of duplicates save. ``python benchmarks/policy.py``.

Three tables: the time rerankit adds to a backend that does nothing, without a policy; the time of each part for 256
documents; and how many pairs reach the backend on a workload in which questions and passages come back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from rerankit import AbstractReranker, Capabilities, PairReranker, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.policy.compose import apply_policy
from rerankit.policy.settings import PolicySettings

ROUNDS = 60


class Trivial(AbstractReranker):
    """A plain backend that computes nothing, with the scores made beforehand."""

    service = "trivial"
    capabilities = Capabilities(ScoreKind.PROBABILITY)

    def __init__(self, most: int = 10_000) -> None:
        self._scores = [0.5] * most

    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        return self._scores[: len(documents)]


class Counting(PairReranker):
    """Counts what reaches it, and can be cached."""

    service = "counting"
    capabilities = Capabilities(ScoreKind.PROBABILITY, max_concurrency=4)
    fingerprint = "counting@1"

    def __init__(self) -> None:
        self.pairs = 0

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        self.pairs += len(request.pairs)
        return ScoreBatch([0.5] * len(request.pairs))

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        return self.score_pairs(request)


def around(backend: AbstractReranker, **policy: Any) -> PairReranker:
    """As ``load_reranker`` gives it."""

    def no_fallback(service: str, arguments: Mapping[str, Any]) -> AbstractReranker:
        raise LookupError(service)

    return apply_policy(backend, PolicySettings(**policy), no_fallback)


def microseconds(*calls: Callable[[], object]) -> list[float]:
    """The time of each call in its fastest round, of interleaved ones: what else the machine does only adds to it."""
    seconds: list[list[float]] = [[] for _ in calls]
    repeats = []
    for call in calls:
        started = time.perf_counter()
        call()
        repeats.append(max(1, int(0.001 / max(time.perf_counter() - started, 1e-7))))
    for _ in range(ROUNDS):
        for place, (call, repeat) in enumerate(zip(calls, repeats, strict=True)):
            started = time.perf_counter()
            for _ in range(repeat):
                call()
            seconds[place].append((time.perf_counter() - started) / repeat)
    return [min(times) * 1e6 for times in seconds]


def without_a_policy() -> Table:
    """The time added to a trivial backend, beside its bounds."""
    table = Table(title="Added without a policy, µs a call", title_justify="left")
    for column in ("documents", "get_scores", "bound: 50 + 0.2 n", "rerank", "bound: 50 + 1 n"):
        table.add_column(column, justify="right")
    for count in (1, 10, 100, 1000):
        documents = [f"{n} " + "passage " * 60 for n in range(count)]
        backend = Trivial()
        held = around(backend)
        alone, scores, ranking = microseconds(
            partial(backend.get_scores, "q", documents),
            partial(held.get_scores, "q", documents),
            partial(held.rerank, "q", documents),
        )
        row = (scores - alone, 50 + 0.2 * count, ranking - alone, 50 + count)
        table.add_row(str(count), *(f"{figure:.1f}" for figure in row))
    return table


def each_part(count: int = 256) -> Table:
    """What a part adds to a call of ``count`` documents, synchronous and asynchronous."""
    parts: dict[str, dict[str, Any]] = {
        "nothing": {"deduplicate": False},
        "deduplicate (default)": {},
        "deadline": {"deduplicate": False, "deadline_s": 30},
        "deadline, partial": {"deduplicate": False, "deadline_s": 30, "on_deadline": "partial"},
        "retries": {"deduplicate": False, "retries": 2},
        "circuit breaker": {"deduplicate": False, "breaker_failures": 5},
        "fallback": {"deduplicate": False, "fallback": "other"},
        "cache, all known": {"deduplicate": False, "cache_bytes": "64MiB"},
        "batching": {"deduplicate": False, "batch_tokens": 100_000},
    }
    documents = [f"{n} " + "passage " * 60 for n in range(count)]
    held = {name: around(Counting(), **policy) for name, policy in parts.items()}
    sync = microseconds(*[partial(h.get_scores, "q", documents) for h in held.values()])
    with asyncio.Runner() as runner:
        concurrent = microseconds(*[lambda h=h: runner.run(h.aget_scores("q", documents)) for h in held.values()])
    table = Table(title=f"Whole call of {count} documents on a trivial backend, µs", title_justify="left")
    for column in ("part", "get_scores", "aget_scores"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, one, other in zip(held, sync, concurrent, strict=True):
        table.add_row(name, f"{one:.0f}", f"{other:.0f}")
    for reranker in held.values():
        reranker.close()
    return table


def repeated_workload(calls: int = 500, passages: int = 20_000, seed: int = 7) -> Table:
    """Pairs that reach the backend: 150 questions by Zipf's law, 100 candidates each, a tenth of them found twice."""
    chance = random.Random(seed)
    texts = [f"passage {n} " + "word " * 80 for n in range(passages)]
    candidates = []
    for _ in range(150):
        found = chance.sample(range(passages), 90)
        candidates.append([texts[n] for n in found + found[:10]])
    weights = [1 / (rank + 1) for rank in range(150)]
    asked = chance.choices(range(150), weights, k=calls)
    table = Table(title=f"{calls} calls of 100 documents, questions by Zipf's law", title_justify="left")
    for column in ("policy", "pairs scored", "saved", "ms a call"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    everything = calls * 100
    policies: dict[str, dict[str, Any]] = {
        "none": {"deduplicate": False},
        "deduplicate": {},
        "and cache of 1 MiB": {"cache_bytes": "1MiB"},
        "and cache of 16 MiB": {"cache_bytes": "16MiB"},
    }
    for name, policy in policies.items():
        backend = Counting()
        held = around(backend, **policy)
        started = time.perf_counter()
        for question in asked:
            held.get_scores(f"question {question}", candidates[question])
        took = (time.perf_counter() - started) / calls * 1e3
        table.add_row(name, f"{backend.pairs:,}", f"{1 - backend.pairs / everything:.0%}", f"{took:.2f}")
    return table


def main() -> None:
    console = Console()
    for table in (without_a_policy(), each_part(), repeated_workload()):
        console.print(table)


if __name__ == "__main__":
    main()
