"""Published scores of models, to tell whether an installation computes what the model's authors' does.

Source: sentence-transformers' own tests (``tests/cross_encoder/test_pretrained.py``), float32, absolute tolerance 0.01,
each model with its own activation: values outside of [0, 1] are logits. They are kept as data: no weights could
be had where this was written, so **none of them has been checked here**; ``rerankit doctor`` checks the model that
it runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from rerankit.scoring import Pair

__all__ = ["GOLDEN", "PAIRS", "TOLERANCE", "is_logits"]

TOLERANCE = {"float32": 0.01, "bfloat16": 0.05, "float16": 0.02, "int8": 0.1}
"""Of scores in [0, 1]; the published one is float32's, the others allow for their rounding."""

_QUERY = "Which planet is known as the Red Planet?"
PAIRS: list[Pair] = [
    (_QUERY, "Venus is often called Earth's twin because of its similar size and proximity."),
    (_QUERY, "Mars, known for its reddish appearance, is often referred to as the Red Planet."),
    (_QUERY, "Jupiter, the largest planet in our solar system, has a prominent red spot."),
    (_QUERY, "Saturn, famous for its rings, is sometimes mistaken for the Red Planet."),
]

GOLDEN: dict[str, tuple[float, ...]] = {
    "Alibaba-NLP/gte-multilingual-reranker-base": (0.38663, 0.8524, 0.70409, 0.65237),
    "Alibaba-NLP/gte-reranker-modernbert-base": (0.80808, 0.95359, 0.88026, 0.91676),
    "BAAI/bge-reranker-base": (0.8755, 0.99813, 0.99625, 0.04914),
    "BAAI/bge-reranker-large": (0.69539, 0.99861, 0.97439, 0.81449),
    "BAAI/bge-reranker-v2-m3": (0.01928, 0.9987, 0.78573, 0.98696),
    "cross-encoder/ms-marco-MiniLM-L12-v2": (-7.18467, 9.50125, 5.7218, 6.84708),
    "cross-encoder/ms-marco-MiniLM-L4-v2": (-7.84192, 8.94789, 5.64702, 6.6588),
    "cross-encoder/ms-marco-MiniLM-L6-v2": (-6.52474, 9.69094, 6.92376, 6.66822),
    "cross-encoder/ms-marco-TinyBERT-L2-v2": (-10.87719, 6.95237, 5.87375, 5.6997),
    "jinaai/jina-reranker-v2-base-multilingual": (0.23745, 0.71458, 0.50653, 0.31483),
    "mixedbread-ai/mxbai-rerank-base-v1": (0.05387, 0.9709, 0.72163, 0.1705),
    "mixedbread-ai/mxbai-rerank-large-v1": (0.00708, 0.99039, 0.80938, 0.34638),
    "mixedbread-ai/mxbai-rerank-xsmall-v1": (0.21189, 0.93594, 0.57069, 0.72824),
}


def is_logits(values: Sequence[float]) -> bool:
    """Whether published values are logits rather than scores in [0, 1]."""
    return min(values) < 0 or max(values) > 1
