"""Batches, budgets, windows: what holds for any lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rerankit.errors import OutOfMemoryError
from rerankit_crossencoder.batches import Budget, batch_sizes, run_batches
from rerankit_crossencoder.tokens import windows

lengths_strategy = st.lists(st.integers(1, 512), min_size=1, max_size=60)


@given(lengths_strategy, st.integers(16, 2000), st.integers(1, 40), st.sampled_from([None, 0, 128, 10_000]))
def test_batches_keep_to_their_limits(
    lengths: list[int], tokens: int, batch_size: int, start_tokens: int | None
) -> None:
    """Each sequence once, answers in input order; no batch over its limits unless it is one sequence."""
    batches: list[list[int]] = []

    def run(batch: list[int]) -> NDArray[np.float32]:
        batches.append(batch)
        return np.array(batch, np.float32)

    done: list[int] = []
    result = run_batches(lengths, run, Budget(tokens), batch_size, start_tokens=start_tokens, between=done.append)
    assert result.tolist() == list(range(len(lengths)))
    assert sum(done) == len(lengths)
    for batch in batches:
        taken = [lengths[index] for index in batch]
        assert taken == sorted(taken, reverse=True)
        cost = len(taken) * taken[0] if start_tokens is not None else sum(taken)
        assert len(batch) == 1 or (cost <= tokens and len(batch) <= batch_size)


@given(
    st.lists(st.integers(0, 64), min_size=1, max_size=7), st.integers(16, 300), st.integers(1, 9), st.integers(0, 99)
)
def test_padded_batches_cost_least(lengths: list[int], tokens: int, batch_size: int, start_tokens: int) -> None:
    """No other division into batches within the limits has less padding and starts together."""
    lengths = sorted(lengths, reverse=True)

    def cost(sizes: Sequence[int]) -> int:
        starts = [0, *accumulate(sizes)][:-1]
        return sum(start_tokens + size * lengths[start] for start, size in zip(starts, sizes, strict=True))

    def divisions(start: int) -> Iterator[list[int]]:
        if start == len(lengths):
            yield []
        for size in range(1, min(batch_size, len(lengths) - start) + 1):
            if size == 1 or size * lengths[start] <= tokens:
                yield from ([size, *rest] for rest in divisions(start + size))

    chosen = batch_sizes(lengths, tokens, batch_size, start_tokens)
    assert sum(chosen) == len(lengths)
    assert cost(chosen) == min(map(cost, divisions(0)))


@given(lengths_strategy, st.integers(60, 600))
def test_memory_that_runs_out_halves_the_budget(lengths: list[int], capacity: int) -> None:
    """Batches shrink until they fit and stay small; what does not fit alone is a typed error."""
    budget = Budget(4096)

    def run(batch: list[int]) -> NDArray[np.float32]:
        if sum(lengths[index] for index in batch) > capacity:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return np.array(batch, np.float32)

    def go() -> NDArray[np.float32]:
        return run_batches(lengths, run, budget, 32, start_tokens=None, between=lambda done: None)

    if max(lengths) > capacity:
        with pytest.raises(OutOfMemoryError):
            go()
        return
    try:
        assert go().tolist() == list(range(len(lengths)))
    except OutOfMemoryError:
        assert budget.tokens < 32, "given up only where hardly anything fits"
        return
    before = budget.tokens
    go()
    assert budget.tokens == before, "the safe budget is remembered"


def test_other_failures_are_not_swallowed() -> None:
    """Only memory is tried again."""

    def run(batch: list[int]) -> NDArray[np.float32]:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        run_batches([3, 4], run, Budget(100), 4, start_tokens=None, between=lambda done: None)


@given(st.integers(0, 3000), st.integers(1, 600))
def test_windows_cover_everything(length: int, room: int) -> None:
    """Windows fit, overlap, and leave no token out."""
    spans = windows(length, room, "window")
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert all(end - start <= room for start, end in spans)
    assert all(after[0] <= before[1] for before, after in pairwise(spans))
    assert windows(length, room, "truncate") == [(0, min(length, room))]
