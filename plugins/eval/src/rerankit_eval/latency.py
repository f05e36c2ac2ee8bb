"""Latency of several contenders, measured fairly: in turns, in rounds, each in a process of its own."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from rerankit.errors import RerankitError
from rerankit_eval.contenders import Contender
from rerankit_eval.judged import JudgedSet
from rerankit_eval.worker import Worker

__all__ = ["Latency", "measure_latency", "quantile"]


@dataclass(slots=True)
class Latency:
    """One contender's.

    Attributes:
        cold_seconds: from starting a process to the first scores.
        rounds: seconds of each query's call, a list a round, warm.
        documents: documents of each query, in the same order.
        peak_bytes: memory its process needed at most; ``None`` where the system does not tell.
    """

    cold_seconds: float
    documents: list[int]
    rounds: list[list[float]] = field(default_factory=list)
    peak_bytes: int | None = None

    @property
    def seconds(self) -> list[float]:
        """All warm calls."""
        return [seconds for calls in self.rounds for seconds in calls]

    @property
    def median(self) -> float:
        """Of the warm calls, in seconds."""
        return statistics.median(self.seconds)

    @property
    def p95(self) -> float:
        """Of the warm calls, in seconds."""
        return quantile(self.seconds, 0.95)

    @property
    def spread(self) -> float:
        """How far the rounds' medians lie apart, as a share of the median: what the machine's unrest does."""
        medians = [statistics.median(calls) for calls in self.rounds]
        return (max(medians) - min(medians)) / self.median

    @property
    def documents_per_second(self) -> float:
        """Documents of all warm calls, by their time."""
        return sum(self.documents) * len(self.rounds) / sum(self.seconds)


def measure_latency(
    judged: JudgedSet,
    contenders: Sequence[Contender],
    *,
    queries: int,
    rounds: int,
    advance: Callable[[], object] = lambda: None,
) -> tuple[Mapping[str, Latency], Mapping[str, RerankitError]]:
    """Each contender's latency, and the errors of those that failed, by label.

    Every round asks every contender each query, the contenders in turns and another one first every time, so that
    what slows the machine down slows all of them down. The first call of each is its cold start and is told apart;
    one more call warms it up.

    Args:
        queries: so many of the judged queries, spread evenly over them.
        rounds: how often each is asked, warm.
    """
    step = max(len(judged.queries) // queries, 1)
    sample = [query for query in judged.queries if query.candidates][::step][:queries]
    calls = [(query.text, judged.corpus.texts(query)) for query in sample]
    measured: dict[str, Latency] = {}
    failed: dict[str, RerankitError] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for contender in contenders:
            try:
                worker = stack.enter_context(Worker(contender, *calls[0]))
                worker.rerank(*calls[0])
            except RerankitError as error:
                failed[contender.label] = error
                continue
            workers[contender.label] = worker
            measured[contender.label] = Latency(worker.cold_seconds, [len(texts) for _, texts in calls])
            advance()
        for number in range(rounds):
            for latency in measured.values():
                latency.rounds.append([])
            for position, call in enumerate(calls):
                labels = list(workers)
                first = (number + position) % len(labels) if labels else 0
                for label in labels[first:] + labels[:first]:
                    try:
                        measured[label].rounds[-1].append(workers[label].rerank(*call).seconds)
                    except RerankitError as error:
                        failed[label] = error
                        del workers[label], measured[label]
                    advance()
        for label, worker in workers.items():
            measured[label].peak_bytes = worker.peak_memory()
    return measured, failed


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
