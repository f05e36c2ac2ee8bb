"""The engine for GPUs: lengths in buckets, and torch.compile in the background with a bounded set of shapes.

The first batches of a shape are computed eagerly while the compiler works in a thread of its own. The compiled model
takes a shape over only after it gave the eager model's scores for it. A compiler, or a compiled model, that fails is
reported once and not asked again, unless memory ran out. Both run the same module: there is one copy of the weights.
"""

from __future__ import annotations

import logging
import queue
import threading
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rerankit_crossencoder.agreement import compare
from rerankit_crossencoder.batches import is_out_of_memory
from rerankit_crossencoder.choice import UnsupportedModelError
from rerankit_crossencoder.engines.reference import ReferenceEngine

__all__ = ["BUCKETS", "CompiledEngine"]

BUCKETS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Lengths that sequences are padded to; longer ones to multiples of 512."""

MOST_SHAPES = 48

logger = logging.getLogger(__name__)


class CompiledEngine(ReferenceEngine):
    """A ``CrossEncoder``, in few shapes, compiled.

    Args:
        model: on its device, in its precision.
        backend: torch.compile's.
        warm: (rows, length) shapes to compile without waiting for a request that has them.

    Raises:
        UnsupportedModelError: a model of several modules, or a causal one.
    """

    name = "packed"

    def __init__(self, model: Any, *, backend: str = "inductor", warm: Sequence[tuple[int, int]] = ()) -> None:
        if len(model) != 1 or model.tokenizer.padding_side == "left":
            raise UnsupportedModelError("compilation of anything but one encoder with a classification head")
        super().__init__(model)
        self._backend = backend
        self._ready: set[tuple[int, int]] = set()
        self._asked: set[tuple[int, int]] = set()
        self._failed = False
        self._waiting: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._compiled: Any = None
        self._thread: threading.Thread | None = None
        for shape in warm:
            self._ask(shape)

    def logits(self, token_ids: Sequence[list[int]], type_ids: Sequence[list[int]]) -> NDArray[np.float32]:
        rows, count = len(token_ids), 1 << (len(token_ids) - 1).bit_length()
        shape = count, _bucket(max(map(len, token_ids)), self.model.max_seq_length)
        # Rows up to the next power of two repeat the shortest sequence; what they give is dropped.
        fill = [*token_ids, *[token_ids[-1]] * (count - rows)], [*type_ids, *[type_ids[-1]] * (count - rows)]
        features = self.features(*fill, shape[1])
        if shape in self._ready:
            try:
                return self._run_compiled(features)[:rows].cpu().numpy()
            except Exception as error:
                if is_out_of_memory(error):
                    raise  # a smaller batch is the cure
                self._fail(error)
        self._ask(shape)
        return self.run(features)[:rows].cpu().numpy()

    @property
    def ready(self) -> frozenset[tuple[int, int]]:
        """Shapes, as (rows, length), that the compiled model serves."""
        return frozenset(self._ready)

    @property
    def failed(self) -> bool:
        """The compiler or its model failed, or the scores did not agree; everything is computed eagerly."""
        return self._failed

    def _ask(self, shape: tuple[int, int]) -> None:
        if self._failed or shape in self._asked or len(self._asked) >= MOST_SHAPES:
            return
        self._asked.add(shape)
        self._waiting.put(shape)
        if self._thread is None:
            self._thread = threading.Thread(target=self._compile_all, name="rerankit-compile", daemon=True)
            self._thread.start()

    def _compile_all(self) -> None:
        try:
            with torch.inference_mode():
                torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_SHAPES)
                self._compiled = torch.compile(self.model.model, backend=self._backend, dynamic=False)
            while not self._failed:
                self._compile(self._waiting.get())
        except Exception as error:  # a compiler may raise anything; scores do not depend on it
            self._fail(error)

    def _compile(self, shape: tuple[int, int]) -> None:
        try:
            features = self._example(*shape)
            eager, compiled = self.run(features).cpu().numpy(), self._run_compiled(features).cpu().numpy()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._asked.discard(shape)  # there may be more memory when the shape comes again
            return
        agreement = compare(eager, compiled, self.precision)
        if not agreement.ok:
            raise ArithmeticError(f"its scores differ: {agreement}")
        self._ready.add(shape)

    def _fail(self, error: Exception) -> None:
        self._failed = True
        self._ready.clear()
        logger.warning("torch.compile is not used: %s: %s", type(error).__name__, str(error).split("\n")[0])

    def _example(self, rows: int, width: int) -> dict[str, Any]:
        """Sequences of different lengths and tokens, the first of them full."""
        vocabulary = int(self.model.config.vocab_size)
        generator = np.random.default_rng(0)
        ids = [
            generator.integers(vocabulary // 8, vocabulary // 2, width - (width - 4) * row // rows).tolist()
            for row in range(rows)
        ]
        return self.features(ids, [[0] * len(row) for row in ids], width)

    @torch.inference_mode()
    def _run_compiled(self, features: dict[str, Any]) -> Tensor:
        inputs = {name: value for name, value in features.items() if isinstance(value, Tensor)}
        logits: Tensor = self._compiled(**inputs).logits
        return logits.float().reshape(-1)


def _bucket(length: int, most: int) -> int:
    position = bisect_left(BUCKETS, length)
    bucket = BUCKETS[position] if position < len(BUCKETS) else -(-length // 512) * 512
    return max(length, min(bucket, most))
