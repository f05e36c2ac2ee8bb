"""sentence-transformers' own execution: every architecture, and what the other engines are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rerankit_crossencoder.engines.base import START_TOKENS, layer_numbers, padded
from rerankit_crossencoder.shapes import rounded

__all__ = ["ReferenceEngine", "activation_bytes"]


class ReferenceEngine:
    """A ``CrossEncoder``'s forward pass, on batches that were sorted and bounded here."""

    name = "reference"

    def __init__(self, model: Any) -> None:
        _keep_head_exact(model)
        self.model = model
        self.precision = str(model.dtype).removeprefix("torch.")
        self.token_bytes = activation_bytes(model.config, model.dtype.itemsize)
        on_cpu = model.device.type == "cpu"
        self.best_budget = 4096 if on_cpu else 32768
        self.start_tokens: int | None = START_TOKENS if on_cpu else 4096  # a GPU is soon idle; not measured on one
        tokenizer = model.tokenizer
        self._pad, self._left = tokenizer.pad_token_id or 0, tokenizer.padding_side == "left"
        sample = model.preprocess([("a", "b")])
        self._typed = "token_type_ids" in sample
        self._settings = {name: value for name, value in sample.items() if not isinstance(value, Tensor)}

    def logits(self, token_ids: Sequence[list[int]], type_ids: Sequence[list[int]]) -> NDArray[np.float32]:
        longest = max(map(len, token_ids))
        width = max(longest, min(rounded(longest), self.model.max_seq_length or longest))
        return self.run(self.features(token_ids, type_ids, width)).cpu().numpy()

    def features(self, token_ids: Sequence[list[int]], type_ids: Sequence[list[int]], width: int) -> dict[str, Any]:
        """The model's inputs on its device, padded to ``width`` tokens."""
        ones = [[1] * len(row) for row in token_ids]
        arrays = {
            "input_ids": padded(token_ids, width, self._pad, left=self._left),
            "attention_mask": padded(ones, width, 0, left=self._left),
        }
        if self._typed:
            arrays["token_type_ids"] = padded(type_ids, width, 0, left=self._left)
        if self._left:
            # Counted from the first real token, or absolute positions would be other ones beside longer companions.
            positions = [list(range(len(row))) for row in token_ids]
            arrays["position_ids"] = padded(positions, width, 0, left=True)
        tensors = {name: torch.from_numpy(array).to(self.model.device) for name, array in arrays.items()}
        return {**tensors, **self._settings}

    @torch.inference_mode()
    def run(self, features: Mapping[str, Any]) -> Tensor:
        """(sequences,) in float32."""
        scores: Tensor = self.model(dict(features))["scores"]
        return scores.float().reshape(-1)


def _keep_head_exact(model: Any) -> None:
    """Let the classification head compute in float32: a logit of 8 in bfloat16 is in steps of 0.06, and ties arise."""
    inner = getattr(model, "model", None)
    head = getattr(inner, "classifier", getattr(inner, "score", None))
    if isinstance(head, torch.nn.Module) and model.dtype != torch.float32:
        head.float().register_forward_pre_hook(lambda _, inputs: tuple(value.float() for value in inputs))


def activation_bytes(config: Any, itemsize: int) -> int:
    """Memory that one token of a batch takes at the widest point of a layer, roughly."""
    config = getattr(config, "text_config", config)
    hidden = int(config.hidden_size)
    wide = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    return layer_numbers(hidden, wide, int(config.num_attention_heads)) * itemsize
