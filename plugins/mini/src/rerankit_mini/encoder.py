"""all-MiniLM-L6-v2 on OpenVINO: windows of token ids -> their vectors, or their match with a query. One a process."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from rerankit.forking import computing, never_free_in_children

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["MODEL_SHA256", "Encoder", "Vectors", "encoder"]

Vectors = npt.NDArray[np.float32]
"""One row a token: shape (tokens, 384)."""

FOLDER = Path(__file__).parent / "model"
MODEL_SHA256 = "d681993522528c4b22a2d4fa8c816ae6015220540756e5e6f5f6a29e532223ab"
"""Of ``model.bin``, the weights in 8 bits; the script that made them is in the source archive."""

HIDDEN = 384
_CLS, _SEP = 101, 102
_PARTS = 2
"""Of a batch, for each thread: a thread that is held up leaves the rest to others, and parts need less padding."""

Between = Callable[[], None]
Read = TypeVar("Read")


class Encoder:
    """Tokenizer and compiled model. Safe to call from many threads; one computes at a time, on all ``threads``.

    Args:
        threads: processor threads; ``None`` for all cores.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the processor multiplies in it.

    Attributes:
        dtype: the one it computes in.
    """

    def __init__(self, threads: int | None, dtype: str) -> None:
        # The same bound for the kernels of OpenVINO's oneDNN, which reads it at its first use.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
        import openvino
        from tokenizers import Tokenizer

        core = openvino.Core()
        if dtype == "auto":
            dtype = "bfloat16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "float32"
        self.dtype = dtype
        options: dict[str, object] = {
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == "bfloat16" else "f32",
            # Shapes whose kernels are kept; with 5,000, as it comes, memory grows over thousands of mixed requests.
            "CPU_RUNTIME_CACHE_CAPACITY": "16",
            # A stream a thread: parts of a batch side by side, without a barrier after every layer.
            "NUM_STREAMS": threads or _cores(),
            "INFERENCE_NUM_THREADS": threads or _cores(),
        }
        # All inference runs in one thread of its own: OpenVINO ties its thread pool to the threads that call it, and
        # a child of a thread that has computed would wait for ever for workers that the fork did not copy.
        self._worker = ThreadPoolExecutor(1, "rerankit-mini")
        with computing():
            self._requests = self._worker.submit(self._compiled, core, options).result()
            never_free_in_children(self)
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def vectors(self, windows: Sequence[Sequence[int]], token_budget: int, between: Between) -> Iterator[Vectors]:
        """Of each window: the vectors of its tokens, ``[CLS]`` and ``[SEP]`` around them included. See ``compare``."""
        found = dict(self._batches(windows, token_budget, between, np.zeros((1, HIDDEN), np.float32), _read_vectors))
        return (found[position] for position in range(len(windows)))

    def compare(
        self, windows: Sequence[Sequence[int]], token_budget: int, between: Between, query: Vectors
    ) -> Iterator[tuple[int, tuple[Vectors, Vectors]]]:
        """Of each window, shortest first: its position; the best cosine to each row of ``query``; its vectors' sum.

        Args:
            windows: token ids without special tokens; ``[CLS]`` and ``[SEP]`` are put around them, and have vectors.
            token_budget: tokens computed at once, padding included.
            between: called before each batch; what it raises stops the work.
            query: unit vectors, (count, 384).
        """
        return self._batches(windows, token_budget, between, query, _read_match)

    def _batches(
        self,
        windows: Sequence[Sequence[int]],
        token_budget: int,
        between: Between,
        query: Vectors,
        read: Callable[[Any, int, int], Read],
    ) -> Iterator[tuple[int, Read]]:
        order = sorted(range(len(windows)), key=lambda position: len(windows[position]))
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * _width(windows[order[end]]) <= token_budget:
                end += 1
            between()
            batch = order[start:end]
            yield from zip(batch, self._forward([windows[position] for position in batch], query, read), strict=True)
            start = end

    def _forward(
        self, windows: Sequence[Sequence[int]], query: Vectors, read: Callable[[Any, int, int], Read]
    ) -> list[Read]:
        size = math.ceil(len(windows) / len(self._requests))
        parts = [windows[start : start + size] for start in range(0, len(windows), size)]
        with computing():
            return self._worker.submit(self._infer, parts, query, read).result()

    def _infer(
        self, parts: Sequence[Sequence[Sequence[int]]], query: Vectors, read: Callable[[Any, int, int], Read]
    ) -> list[Read]:
        for request, part in zip(self._requests, parts, strict=False):
            request.start_async([*_padded(part), query])
        found = []
        for request, part in zip(self._requests, parts, strict=False):
            request.wait()
            found += [read(request, row, len(window) + 2) for row, window in enumerate(part)]
        return found

    @staticmethod
    def _compiled(core: Any, options: dict[str, object]) -> list[Any]:
        model = core.read_model(FOLDER / "model.xml", FOLDER / "model.bin")
        _restore_weights(model)
        compiled = core.compile_model(model, "CPU", options)
        return [compiled.create_infer_request() for _ in range(_PARTS * compiled.get_property("NUM_STREAMS"))]


def _restore_weights(model: Any) -> None:
    """Replace 8-bit matrices by what they stand for: left to OpenVINO, each product would restore them again, which
    makes linear layers slower by half."""
    from openvino import opset14 as op

    for node in model.get_ops():
        source = node.input_value(1).get_node() if node.get_type_name() == "MatMul" else None
        if source is not None and source.get_type_name() == "Multiply":
            quantised, scale = (source.input_value(side).get_node() for side in (0, 1))
            weight = quantised.input_value(0).get_node().data.astype(np.float32) * scale.data
            node.input(1).replace_source_output(op.constant(weight).output(0))


def _width(window: Sequence[int]) -> int:
    """Tokens of a window's row: with the special ones, up to a multiple of 16, so that shapes are few."""
    return -(-(len(window) + 2) // 16) * 16


def _padded(windows: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    longest = max(_width(window) for window in windows)
    ids = np.zeros((len(windows), longest), np.int32)
    mask = np.zeros((len(windows), longest), np.int32)
    for row, window in enumerate(windows):
        ids[row, : len(window) + 2] = (_CLS, *window, _SEP)
        mask[row, : len(window) + 2] = 1
    return ids, mask


def _read_vectors(request: Any, row: int, length: int) -> Vectors:
    vectors: Vectors = request.get_output_tensor(0).data[row, :length].copy()
    return vectors


def _read_match(request: Any, row: int, length: int) -> tuple[Vectors, Vectors]:
    return request.get_output_tensor(1).data[row].copy(), request.get_output_tensor(2).data[row].copy()


def encoder(threads: int | None, dtype: str) -> Encoder:
    """The process's encoder for these arguments, made on first use; a forked child makes its own."""
    with _making:
        key = (os.getpid(), threads, dtype)
        if key not in _encoders:
            _encoders[key] = Encoder(threads, dtype)
        return _encoders[key]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_encoders: dict[tuple[int, int | None, str], Encoder] = {}
"""By process: what a forked child inherits is never used there, nor freed, since its threads are gone."""
_making = threading.Lock()


def _in_child() -> None:
    # The lock may have been held by a thread that did not survive the fork.
    global _making
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
