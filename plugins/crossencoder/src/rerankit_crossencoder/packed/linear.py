"""Linear layers with weights laid out once for the processor: float32, bfloat16, int8.

On CPU the weights are reordered for oneDNN when they are loaded. PyTorch's ordinary linear does that anew at
every call, or hands float32 to a library that is slower on many processors; the results are the same.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - what everybody calls it
from torch import Tensor

from rerankit_crossencoder.choice import cpu_has_bfloat16

__all__ = ["PRECISIONS", "Linear", "make_linear"]

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "int8": torch.bfloat16 if cpu_has_bfloat16() else torch.float32,
}
"""The type activations have at each precision: int8 is what matrices are multiplied in, not what is kept. bfloat16
needs a processor that computes in it: elsewhere oneDNN refuses its layout."""

_BATCH = 1024  # rows that the layout is chosen for; any number may come
_ZERO_POINT = 128  # oneDNN's fast int8 kernels take unsigned activations
_GELU_MINIMUM = 0.17  # gelu(x) >= -0.16997


class Linear(Protocol):
    """``x @ weight.T + bias``, then its activation, or plus ``add``; rows of ``x`` are tokens."""

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor: ...


def make_linear(
    weight: Tensor, bias: Tensor, precision: str, activation: str = "none", *, after_gelu: bool = False
) -> Linear:
    """A linear layer that owns a copy of its weights.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,).
        precision: one of ``PRECISIONS``.
        activation: ``none``, ``relu``, ``gelu`` or ``gelu_tanh``, applied to the result.
        after_gelu: the input is a gelu's output, so that int8 can spend its range on what that can be.
    """
    weight, bias = weight.detach(), bias.detach()
    if precision == "int8":
        return _Int8Linear(weight.float(), bias.float(), activation, 0.0 if not after_gelu else _GELU_MINIMUM)
    dtype = PRECISIONS[precision]
    if weight.device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return _PrepackedLinear(weight.to(dtype), bias.to(dtype), activation)
    return _PlainLinear(weight.to(dtype), bias.to(dtype), activation)


class _PrepackedLinear:
    def __init__(self, weight: Tensor, bias: Tensor, activation: str) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _BATCH)
        self._bias = bias.clone()
        # oneDNN's name of the activation, then its parameters, then which kind of it.
        self._post: tuple[str, list[float], str] = (activation, [], "")
        if activation.startswith("gelu"):
            self._post = ("gelu", [], "tanh" if activation == "gelu_tanh" else "none")

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        linear = torch.ops.mkldnn._linear_pointwise
        result: Tensor
        if add is None:
            result = linear.default(x, self._weight, self._bias, *self._post)
        else:
            result = linear.binary(x, add, self._weight, self._bias, "add")
        return result


class _PlainLinear:
    def __init__(self, weight: Tensor, bias: Tensor, activation: str) -> None:
        self._weight, self._bias, self._activation = weight.clone(), bias.clone(), activation

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        result = _activated(F.linear(x, self._weight, self._bias), self._activation)
        return result if add is None else result.add_(add)


class _Int8Linear:
    """Weights in int8 with a scale an output channel, activations in int8 with a scale a token.

    A scale a batch, which is what dynamic quantisation usually means, would let a pair's score depend on its
    companions, and costs most of the agreement with float32.
    """

    def __init__(self, weight: Tensor, bias: Tensor, activation: str, shift: float) -> None:
        self._scale = weight.abs().amax(1).clamp_(min=1e-12) / 127
        rounded = torch.round(weight / self._scale[:, None]).clamp_(-127, 127)
        # Activations of a gelu lie above a known minimum: shifted by it they use all 256 steps instead of half.
        self._shift, self._zero = shift, 0 if shift else _ZERO_POINT
        self._bias = bias - shift * (rounded.sum(1) * self._scale)
        self._weight = torch.ops.onednn.qlinear_prepack(rounded.to(torch.int8), [_BATCH, weight.shape[1]])
        self._zeros = torch.zeros(len(bias), dtype=torch.long)
        self._activation = activation

    def __call__(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        dtype = x.dtype
        if self._shift:
            x = x + self._shift
        scale = x.abs().amax(-1, keepdim=True).float().clamp_(min=1e-12).div_(255 if self._shift else 127)
        steps = (x * scale.reciprocal().to(dtype)).round_()
        if self._shift:
            steps.sub_(128)
        # Signed conversion is several times as fast as unsigned; flipping the top bit adds the 128.
        unsigned = steps.clamp_(-128, 127).to(torch.int8).view(torch.uint8).bitwise_xor_(128)
        product = torch.ops.onednn.qlinear_pointwise.default(
            unsigned,
            1.0,
            self._zero,
            self._weight,
            self._scale,
            self._zeros,
            None,
            1.0,
            0,
            dtype,
            "none",
            [],
            "",
        )
        result = torch.addcmul(self._bias.to(dtype), product, scale.to(dtype))
        result = _activated(result, self._activation)
        return result if add is None else result.add_(add)


def _activated(x: Tensor, activation: str) -> Tensor:
    match activation:
        case "none":
            return x
        case "relu":
            return x.relu_()
        case "gelu":
            return F.gelu(x)
        case "gelu_tanh":
            return F.gelu(x, approximate="tanh")
    raise ValueError(f"no activation {activation!r}")
