"""The interface of engines. Loading, tokens, batches, truncation and activation lie above it, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["START_TOKENS", "Engine", "layer_numbers", "padded"]


START_TOKENS = 128
"""Of engines that pad, on a CPU."""


class Engine(Protocol):
    """A model that is ready to run. Called in one thread at a time.

    Attributes:
        name: ``reference``, ``packed`` or ``openvino``.
        precision: ``float32``, ``bfloat16``, ``float16`` or ``int8``.
        start_tokens: what starting a batch costs, in tokens that it could compute meanwhile, where it pads the
            sequences of a batch to the longest; ``None`` where it does not pad.
        token_bytes: memory that one token of a batch takes while it is computed, roughly.
        best_budget: tokens in a batch at which it runs best.
    """

    name: str
    precision: str
    start_tokens: int | None
    token_bytes: int
    best_budget: int

    def logits(self, token_ids: Sequence[list[int]], type_ids: Sequence[list[int]]) -> NDArray[np.float32]:
        """(sequences,): one logit a sequence; they come longest first."""


def padded(rows: Sequence[list[int]], width: int, value: int, *, left: bool = False) -> NDArray[np.int64]:
    """(rows, width) with ``value`` after each row, or before it."""
    result = np.full((len(rows), width), value, np.int64)
    for target, row in zip(result, rows, strict=True):
        if left:
            target[width - len(row) :] = row
        else:
            target[: len(row)] = row
    return result


def layer_numbers(hidden: int, wide: int, heads: int, positions: int = 512) -> int:
    """Numbers that one token of a batch takes at the widest point of a layer, roughly.

    Four tensors of the hidden and three of the feed-forward width, and attention scores with every position,
    four times: scores, their softmax and, for DeBERTa, two kinds of bias.
    """
    return 4 * hidden + 3 * wide + 4 * heads * positions
