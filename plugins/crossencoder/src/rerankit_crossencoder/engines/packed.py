"""The packed engine: our own execution of common encoders on CPU, without padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rerankit_crossencoder.engines.base import layer_numbers
from rerankit_crossencoder.packed.encoder import PackedEncoder
from rerankit_crossencoder.packed.linear import PRECISIONS
from rerankit_crossencoder.packed.weights import EncoderWeights

__all__ = ["PackedEngine"]

_CACHE_FRIENDLY = 16 << 20
"""Bytes of a batch's widest tensor. Larger ones are given back to the system and faulted in anew at every
operation, which costs more than the operation itself."""


class PackedEngine:
    """An encoder, laid out anew.

    Args:
        weights: its layers are dropped one by one as they are laid out.
        precision: ``float32``, ``bfloat16`` or ``int8``.
    """

    name = "packed"
    start_tokens: int | None = None

    def __init__(self, weights: EncoderWeights, precision: str) -> None:
        itemsize = PRECISIONS[precision].itemsize
        wide, hidden = weights.layers[0].up[0].shape
        self.precision = precision
        self.token_bytes = layer_numbers(hidden, wide, weights.heads) * itemsize
        self.best_budget = max(1024, _CACHE_FRIENDLY // (wide * itemsize))
        self._encoder = PackedEncoder(weights, precision)

    def logits(self, token_ids: Sequence[list[int]], type_ids: Sequence[list[int]]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return self._encoder.logits(token_ids, type_ids).reshape(-1).numpy()
