"""From a torch module to OpenVINO's format, by OpenVINO's own converter."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rerankit_crossencoder.choice import UnsupportedModelError
from rerankit_crossencoder.engines.openvino import import_openvino

__all__ = ["convert"]


class _Logits(nn.Module):
    """A transformers classifier as a function of tensors alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        logits: Tensor = self.model(**inputs).logits
        return logits.float().reshape(-1)


def convert(model: Any, path: Path, precision: str) -> None:
    """Write ``path`` (.xml) and its weights beside it.

    Args:
        model: a ``CrossEncoder`` of one encoder with a classification head, in float32 on the CPU.
        path: of the ``.xml``.
        precision: ``int8`` writes 8-bit weights; the others float32, from which OpenVINO rounds by itself.

    Raises:
        UnsupportedModelError: it cannot be converted.
    """
    if len(model) != 1:
        raise UnsupportedModelError("OpenVINO conversion of a model with more than one module")
    openvino = import_openvino()
    if getattr(model.config, "local_attention", None):
        # A window over padding alone has nothing to attend to, which is NaN in OpenVINO's fused attention. Eager
        # attention masks with a large negative number instead.
        model.model.set_attn_implementation("eager")
    example = {name: torch.ones(2, 9, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    example["attention_mask"][1, 5:] = 0
    if "token_type_ids" in model.preprocess([("a", "b")]):
        example["token_type_ids"] = torch.zeros(2, 9, dtype=torch.long)
    shape = openvino.PartialShape([-1, -1])
    inputs = [(name, shape, openvino.Type.i64) for name in example]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns of every Python branch; the result is compared instead
            converted = openvino.convert_model(_Logits(model.model), example_input=example, input=inputs)
    except Exception as error:
        raise UnsupportedModelError(f"OpenVINO cannot convert {type(model.model).__name__}: {error}") from error
    if precision == "int8":
        _compress(converted)
    openvino.save_model(converted, str(path), compress_to_fp16=False)


def _compress(model: Any) -> None:
    """Replace each matrix product's constant weights by int8 with a scale an output channel."""
    from openvino import Type
    from openvino import opset13 as ops

    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul" or not node.get_attributes()["transpose_b"]:
            continue
        source = node.input_value(1).get_node()
        if source.get_type_name() != "Constant" or len(source.shape) != 2 or min(source.shape) < 16:
            continue
        weight = source.data.astype(np.float32)
        scale = np.maximum(np.abs(weight).max(1, keepdims=True), 1e-12) / 127
        rounded = np.clip(np.round(weight / scale), -127, 127).astype(np.int8)
        restored = ops.multiply(ops.convert(ops.constant(rounded), Type.f32), ops.constant(scale.astype(np.float32)))
        node.input(1).replace_source_output(restored.output(0))
