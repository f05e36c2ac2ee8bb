"""all-MiniLM-L6-v2 on OpenVINO: windows of token ids -> the vector of each token. One copy a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rerankit_mini.forking import computing, never_free_in_children

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["MODEL_SHA256", "Encoder", "Vectors", "encoder"]

Vectors = npt.NDArray[np.float32]
"""One row a token: shape (tokens, 384)."""

FOLDER = Path(__file__).parent / "model"
MODEL_SHA256 = "380190df28f47eac0bc2ff3fdbdaa85906a7ab6858f15c49ba24541d8adf0abb"
"""Of ``model.bin``, the weights in 8 bits; the script that made them is in the source archive."""

_CLS, _SEP = 101, 102


class Encoder:
    """Tokenizer and compiled model. Safe to call from many threads; one computes at a time, on all ``threads``.

    Args:
        threads: processor threads; ``None`` for all cores.
        dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the processor multiplies in it.

    Attributes:
        dtype: the one it computes in.
    """

    def __init__(self, threads: int | None, dtype: str) -> None:
        import openvino
        from tokenizers import Tokenizer

        core = openvino.Core()
        if dtype == "auto":
            dtype = "bfloat16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "float32"
        self.dtype = dtype
        options: dict[str, object] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == "bfloat16" else "f32",
            # Activations stay unquantised: a scale shared by several tokens would let batch company move a score.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        }
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        # All inference runs in one thread of its own: OpenVINO ties its thread pool to the threads that call it, and
        # a child of a thread that has computed would wait for ever for workers that the fork did not copy.
        self._worker = ThreadPoolExecutor(1, "rerankit-mini")
        with computing():
            self._request = self._worker.submit(self._compiled, core, options).result()
        never_free_in_children(self._request)
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        return [found.ids for found in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode(
        self, windows: Sequence[Sequence[int]], token_budget: int, between: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[int, Vectors]]:
        """The vectors of each window's tokens, with its position; shortest windows first.

        Args:
            windows: token ids without special tokens; ``[CLS]`` and ``[SEP]`` are put around them, and have vectors.
            token_budget: tokens computed at once, padding included.
            between: called before each batch; what it raises stops the work.
        """
        order = sorted(range(len(windows)), key=lambda position: len(windows[position]))
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * (len(windows[order[end]]) + 2) <= token_budget:
                end += 1
            between()
            batch = order[start:end]
            yield from zip(batch, self._forward([windows[position] for position in batch]), strict=True)
            start = end

    def _forward(self, windows: Sequence[Sequence[int]]) -> list[Vectors]:
        longest = max(len(window) for window in windows) + 2
        ids = np.zeros((len(windows), longest), np.int32)
        mask = np.zeros((len(windows), longest), np.int32)
        for row, window in enumerate(windows):
            ids[row, : len(window) + 2] = (_CLS, *window, _SEP)
            mask[row, : len(window) + 2] = 1
        with computing():
            hidden = self._worker.submit(self._infer, ids, mask).result()
        return [hidden[row, : len(window) + 2] for row, window in enumerate(windows)]

    @staticmethod
    def _compiled(core: Any, options: dict[str, object]) -> Any:
        model = core.read_model(FOLDER / "model.xml", FOLDER / "model.bin")
        return core.compile_model(model, "CPU", options).create_infer_request()

    def _infer(self, ids: npt.NDArray[np.int32], mask: npt.NDArray[np.int32]) -> Vectors:
        self._request.infer([ids, mask])
        return np.array(self._request.get_output_tensor(0).data, np.float32)


def encoder(threads: int | None, dtype: str) -> Encoder:
    """The process's encoder for these arguments, made on first use; a forked child makes its own."""
    with _making:
        key = (os.getpid(), threads, dtype)
        if key not in _encoders:
            _encoders[key] = Encoder(threads, dtype)
        return _encoders[key]


_encoders: dict[tuple[int, int | None, str], Encoder] = {}
"""By process: what a forked child inherits is never used there, nor freed, since its threads are gone."""
_making = threading.Lock()


def _in_child() -> None:
    # The lock may have been held by a thread that did not survive the fork.
    global _making
    _making = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
