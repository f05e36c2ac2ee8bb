"""The OpenVINO engine: a model converted once, kept on disk, and then run without torch or transformers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerankit.errors import MissingExtraError
from rerankit.forking import computing, never_free_in_children
from rerankit_crossencoder.engines.base import START_TOKENS, padded
from rerankit_crossencoder.shapes import rounded

__all__ = ["OpenVinoEngine", "has_bfloat16", "import_openvino"]

_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}
_WHOLE_ROW = str(2**64 - 1)


class OpenVinoEngine:
    """A converted model.

    Args:
        path: of the model's ``.xml``.
        precision: ``float32``, ``bfloat16`` or ``int8`` (the file then has 8-bit weights).
        pad: the padding token.
        token_bytes: see ``Engine``.
        max_length: tokens of a sequence at most; rounding up to a bounded number of shapes stops there.

    OpenVINO's threads do not survive a fork: a child compiles the file anew, when it first scores.
    """

    name = "openvino"
    start_tokens: int | None = START_TOKENS
    best_budget = 4096

    def __init__(self, path: Path, precision: str, pad: int, token_bytes: int, max_length: int) -> None:
        self._path, self._pad, self._max_length = path, pad, max_length
        self.precision, self.token_bytes = precision, token_bytes
        self._model = _Compiled(path, precision)

    def logits(self, token_ids: Sequence[list[int]], type_ids: Sequence[list[int]]) -> NDArray[np.float32]:
        if self._model.process != os.getpid():
            self._model = _Compiled(self._path, self.precision)
        width = min(rounded(len(token_ids[0])), self._max_length)
        return self._model.logits(
            {
                "input_ids": padded(token_ids, width, self._pad),
                "attention_mask": padded([[1] * len(row) for row in token_ids], width, 0),
                "token_type_ids": padded(type_ids, width, 0),
            }
        )


class _Compiled:
    """A model compiled in this process, of whose threads a forked child has none."""

    def __init__(self, path: Path, precision: str) -> None:
        openvino = import_openvino()
        hint = _HINTS[precision]
        settings = {
            "INFERENCE_PRECISION_HINT": hint if hint == "f32" or has_bfloat16() else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            # Shapes whose kernels are kept; with 5,000, as it comes, memory grows by half over 2,000 mixed requests.
            "CPU_RUNTIME_CACHE_CAPACITY": "128",
            # A scale a token, so that a pair's score does not depend on its companions; none without 8-bit weights.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": _WHOLE_ROW if precision == "int8" else "0",
        }
        self.process = os.getpid()
        with computing():
            compiled = openvino.Core().compile_model(str(path), "CPU", settings)
            self._request = compiled.create_infer_request()
            never_free_in_children(self)
        self._inputs = {name for port in compiled.inputs for name in port.get_names()}

    def logits(self, features: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """A row of logits a sequence, from the inputs that the model has."""
        with computing():
            self._request.infer({name: array for name, array in features.items() if name in self._inputs})
            return np.array(self._request.get_output_tensor(0).data, np.float32)


def import_openvino() -> Any:
    """The ``openvino`` module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError(
            "the openvino engine needs OpenVINO", remedy='pip install "rerankit-crossencoder[openvino]"'
        ) from error
    return openvino


def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 natively on this processor."""
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
