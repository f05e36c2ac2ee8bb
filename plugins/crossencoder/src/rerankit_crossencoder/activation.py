"""Logits to scores, in more than the model's precision, so that scores near 1 do not collapse into ties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_plain", "own_activation", "sigmoid"]


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 / (1 + exp(-logit)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))


def is_plain(activation: Any) -> bool:
    """Whether a model's own activation is one that ``sigmoid`` of the logit stands for: a sigmoid, or none.

    Models trained on binary relevance are saved with either; for both, the sigmoid is the probability.
    """
    return type(activation).__name__ in ("Sigmoid", "Identity")


def own_activation(activation: Any) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """A model's own activation, in float32, where its values lie in [0, 1]; else the sigmoid, of the same order."""
    import torch

    def apply(logits: NDArray[np.float32]) -> NDArray[np.float64]:
        with torch.inference_mode():
            result: NDArray[np.float64] = (
                activation(torch.from_numpy(logits).unsqueeze(-1)).double().reshape(-1).numpy()
            )
        return result

    extremes = apply(np.array([-50.0, -1.0, 0.0, 1.0, 50.0], np.float32))
    return apply if extremes.min() >= 0 and extremes.max() <= 1 else sigmoid
