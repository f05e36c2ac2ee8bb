"""Throughput and latency of one service, kept as JSON, and compared with a run that was kept before."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from rerankit.errors import ConfigFileError, InvalidArgumentError
from rerankit_eval.contenders import Contender
from rerankit_eval.machine import describe, reference_seconds
from rerankit_eval.plots import Panel, lines
from rerankit_eval.worker import Worker
from rerankit_eval.workload import Workload

__all__ = ["Move", "Run", "measure", "moves", "picture"]

_FORMAT = "rerankit-bench/1"
_RESAMPLES = 2_000
_NOISE = 0.05
"""What two runs of one program may differ by for no reason: memory layout, heat, neighbours."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        growth: seconds of each round, by the number of documents in a call.
        concurrency: seconds until all of so many simultaneous calls were answered, a value a round.
        call_documents: documents in each simultaneous call.
        reference: seconds of a fixed piece of work, a value a round: how fast the machine was.
        tokens: computed in the largest call; ``None`` where the backend does not tell.
    """

    service: str
    args: Mapping[str, Any]
    workload: Mapping[str, Any]
    cold_seconds: float
    peak_bytes: int | None
    tokens: int | None
    growth: dict[int, list[float]]
    concurrency: dict[int, list[float]]
    call_documents: int
    reference: list[float]
    machine: Mapping[str, str | int] = field(default_factory=describe)
    made: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    format: str = _FORMAT

    @classmethod
    def read(cls, path: Path) -> Self:
        """
        Raises:
            ConfigFileError: the file is absent, or no run.
        """
        try:
            kept = json.loads(path.read_bytes())
            if kept["format"] != _FORMAT:
                raise ValueError(f"its format is {kept['format']}, not {_FORMAT}")
            for name in ("growth", "concurrency"):
                kept[name] = {int(key): values for key, values in kept[name].items()}
            return cls(**kept)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigFileError(
                f"{path} is not a run of rerankit bench: {error}",
                remedy="keep one with `rerankit bench --output`",
                value=str(path),
            ) from error

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return asdict(self)

    def documents_per_second(self, size: int) -> float:
        """By the median of the rounds."""
        return size / statistics.median(self.growth[size])

    def throughput(self, clients: int) -> float:
        """Documents a second of so many simultaneous calls together, by the median of the rounds."""
        return clients * self.call_documents / statistics.median(self.concurrency[clients])


@dataclass(frozen=True, slots=True)
class Move:
    """How one figure of a run compares with the kept one.

    Attributes:
        ratio: seconds now over seconds then; below 1 is faster. ``low`` and ``high``: its 95 % interval (bootstrap).
        beyond_noise: neither 5 % nor what the machine's own speed changed by explains it.
    """

    name: str
    ratio: float
    low: float
    high: float
    beyond_noise: bool


def measure(
    contender: Contender,
    workload: Workload,
    *,
    sizes: Sequence[int],
    clients: Sequence[int],
    call_documents: int,
    rounds: int,
    advance: Callable[[], object] = lambda: None,
) -> Run:
    """Measure in rounds, each with every size and every number of clients, in a process of its own.

    Raises:
        RerankitError: the service cannot be loaded, or fails.
    """
    growth: dict[int, list[float]] = {size: [] for size in sizes}
    concurrency: dict[int, list[float]] = {number: [] for number in clients}
    reference: list[float] = []
    with Worker(contender, workload.query, workload.passages[: sizes[0]]) as worker:
        warm = worker.rerank(workload.query, workload.passages[: max(sizes)])
        advance()
        for _ in range(rounds):
            reference.append(reference_seconds())
            for size in sizes:
                growth[size].append(worker.rerank(workload.query, workload.passages[:size]).seconds)
            for number in clients:
                passages = workload.passages[:call_documents]
                concurrency[number].append(worker.together(workload.query, passages, number))
            advance()
        return Run(
            contender.service or contender.label,
            contender.shown_args(),
            workload.facts(),
            worker.cold_seconds,
            worker.peak_memory(),
            warm.tokens,
            growth,
            concurrency,
            call_documents,
            reference,
        )


def moves(now: Run, then: Run) -> list[Move]:
    """Every figure that both runs have.

    Raises:
        InvalidArgumentError: they were asked different things.
    """
    if (now.workload, now.call_documents) != (then.workload, then.call_documents):
        raise InvalidArgumentError(
            f"the kept run has another workload: {then.workload['name']}, {then.workload['passages']} passages",
            remedy="measure with the same --sizes, --file, --query and --call-documents as the kept run",
            value=then.workload["name"],
        )
    machine = statistics.median(now.reference) / statistics.median(then.reference)
    found = [
        _move(f"{size} documents", now.growth[size], then.growth[size], machine)
        for size in now.growth
        if size in then.growth
    ]
    found += [
        _move(f"{number} clients", now.concurrency[number], then.concurrency[number], machine)
        for number in now.concurrency
        if number in then.concurrency
    ]
    return found


def picture(now: Run, then: Run | None) -> str:
    """Seconds over the number of documents, and throughput over the number of clients, as SVG."""
    runs = {f"now, {now.service}": now} | ({} if then is None else {f"kept, {then.made[:10]}": then})
    growth = {
        label: [(size, statistics.median(seconds)) for size, seconds in run.growth.items()]
        for label, run in runs.items()
    }
    throughput = {
        label: [(number, run.throughput(number)) for number in run.concurrency] for label, run in runs.items()
    }
    title = f"Calls of {now.call_documents} documents at once"
    return lines(
        [
            Panel("Growth", "documents in a call (logarithmic)", "seconds, median", growth),
            Panel(title, "simultaneous calls (logarithmic)", "documents a second", throughput),
        ]
    )


def _move(name: str, now: Sequence[float], then: Sequence[float], machine: float) -> Move:
    dice = np.random.default_rng(0)
    medians = [np.median(dice.choice(np.asarray(values), (_RESAMPLES, len(values))), axis=1) for values in (now, then)]
    low, high = (float(value) for value in np.quantile(medians[0] / medians[1], [0.025, 0.975]))
    slower, faster = max(1.0, machine) * (1 + _NOISE), min(1.0, machine) / (1 + _NOISE)
    ratio = statistics.median(now) / statistics.median(then)
    return Move(name, ratio, low, high, low > slower or high < faster)
