"""Batches by tokens, and what happens when memory runs out."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rerankit.errors import OutOfMemoryError

__all__ = ["Budget", "batch_sizes", "is_out_of_memory", "run_batches"]

LEAST = 16
_PHRASES = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc", "failed to allocate")

logger = logging.getLogger(__name__)


class Budget:
    """Tokens in one batch. It falls when memory runs out, and stays there for the life of the model."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def halve(self) -> None:
        """Half of it from now on.

        Raises:
            OutOfMemoryError: less would not be a batch any more.
        """
        if self.tokens // 2 < LEAST:
            raise OutOfMemoryError(f"memory ran out at batches of {self.tokens} tokens")
        self.tokens //= 2
        logger.warning("memory ran out; batches have %d tokens at most from now on", self.tokens)


def run_batches(
    lengths: Sequence[int],
    run: Callable[[list[int]], NDArray[np.float32]],
    budget: Budget,
    batch_size: int,
    *,
    start_tokens: int | None,
    between: Callable[[int], None],
) -> NDArray[np.float32]:
    """One number a sequence, in input order.

    Args:
        lengths: tokens a sequence.
        run: the numbers of a batch, given as indices of sequences, longest first.
        budget: halved, and the batch tried again in parts, when memory runs out.
        batch_size: sequences in a batch at most.
        start_tokens: as in ``batch_sizes``.
        between: called after each batch with the number of its sequences; may raise to stop.

    Raises:
        OutOfMemoryError: even one sequence alone did not fit.
    """
    result = np.empty(len(lengths), np.float32)
    waiting = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    sizes: list[int] = []
    while waiting:
        sizes = sizes or batch_sizes([lengths[index] for index in waiting], budget.tokens, batch_size, start_tokens)
        batch = waiting[: sizes.pop(0)]
        try:
            result[batch] = run(batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise OutOfMemoryError(
                    f"memory ran out on one sequence of {lengths[batch[0]]} tokens",
                    remedy="set max_length, choose a smaller model or dtype, or free memory",
                ) from error
        else:
            del waiting[: len(batch)]
            between(len(batch))
            continue
        # Outside of the handler, where the failed batch's tensors are no longer held by its traceback.
        budget.tokens = min(budget.tokens, sum(lengths[index] for index in batch))
        budget.halve()
        sizes.clear()
        _free()
    return result


def batch_sizes(lengths: Sequence[int], tokens: int, batch_size: int, start_tokens: int | None) -> list[int]:
    """How many of ``lengths``, longest first, each batch takes; one at least.

    Args:
        lengths: tokens a sequence.
        tokens: in a batch at most, padding included.
        batch_size: sequences in a batch at most.
        start_tokens: for engines that pad, what starting a batch costs, in tokens that could be computed meanwhile: the
            batches are those that cost least, padding and starts together (a shortest path over the ends of
            batches). ``None`` for engines that do not pad: batches are as large as they may be.
    """
    if start_tokens is None:
        sizes, cost = [0], 0
        for length in lengths:
            if sizes[-1] and (cost + length > tokens or sizes[-1] == batch_size):
                sizes.append(0)
                cost = 0
            sizes[-1] += 1
            cost += length
        return sizes
    least, taken = [0] * (len(lengths) + 1), [0] * len(lengths)
    for first in reversed(range(len(lengths))):
        width = lengths[first]
        most = max(1, min(batch_size, tokens // max(width, 1), len(lengths) - first))
        # Of equal costs the larger batch, so that there are fewer.
        least[first], size = min(
            (width * size + start_tokens + least[first + size], -size) for size in range(1, most + 1)
        )
        taken[first] = -size
    result, first = [], 0
    while first < len(lengths):
        result.append(taken[first])
        first += taken[first]
    return result


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out; torch has several ways to."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in text for phrase in _PHRASES)


def _free() -> None:
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
