"""Whether an engine gives the scores that the reference gives, on a small set of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerankit.scoring import Pair

__all__ = ["PAIRS", "Agreement", "compare"]

_QUERY = "Which planet is known as the Red Planet?"
_TEXTS = [
    "",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Die Planeten bewegen sich um die Sonne. Les planètes tournent autour du Soleil. 火星是红色的行星。",
    "def score(query, document): return model(tokenize(query, document)).logits  # 1,024 runs; 3.14 % failed",
    "We retrieve passages with a first stage, then score each with a cross-encoder that reads query and passage "
    "together. Reading them together is what makes it precise, and what makes it slow. " * 6,
]

PAIRS: list[Pair] = [(_QUERY, text) for text in _TEXTS]
"""What engines are compared on: from nothing to some 230 tokens, prose, code, several
scripts; few tokens in all, since large models take seconds for them on the reference."""

_TOLERANCE = {"float32": (1e-3, 0.0), "bfloat16": (0.1, 0.05), "float16": (0.05, 0.02), "int8": (0.3, 0.1)}
"""The largest difference that is still the precision's rounding: absolute, and a share of the largest logit."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two sets of logits compare.

    Attributes:
        difference: the largest.
        spearman: the correlation of their ranks.
        ok: the difference is what the precision's rounding explains.
    """

    difference: float
    spearman: float
    ok: bool

    def __str__(self) -> str:
        return f"largest logit difference {self.difference:.2g}, Spearman {self.spearman:.4f}"


def compare(reference: NDArray[np.float32], logits: NDArray[np.float32], precision: str) -> Agreement:
    """``logits``, computed at ``precision``, beside the reference's in float32."""
    difference = float(np.abs(reference - logits).max())
    absolute, relative = _TOLERANCE[precision]
    allowed = absolute + relative * float(np.abs(reference).max())
    return Agreement(
        difference, _spearman(reference, logits), bool(np.isfinite(logits).all()) and difference <= allowed
    )


def _spearman(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    if len(a) < 2:
        return 1.0
    first, second = (np.argsort(np.argsort(values, kind="stable")).astype(np.float64) for values in (a, b))
    return float(np.corrcoef(first, second)[0, 1])
