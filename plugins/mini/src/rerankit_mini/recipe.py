"""How token vectors become a score: pooled cosine and late interaction from one forward, then a fitted logistic.

* *pooled*: the cosine of the mean vectors of query and document, as the model was trained.
* *MaxSim*: the mean over query tokens of the best cosine to any document token (late interaction, as in ColBERT,
  Khattab & Zaharia 2020), weighted by how rare the token is.
* The logit is a line through ``pooled + 3 * MaxSim``; its two parameters were fitted on judged pairs.

A document of several windows is pooled over all of them, and matched by the best token of any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rerankit_mini.encoder import Vectors

__all__ = ["WINDOW", "DocumentMatch", "Query", "logit", "probability", "windows"]

WINDOW = 126
"""Tokens of a window; with the two special ones, the 128 the model was trained with. Attention costs their square."""
_OVERLAP = 16

_MAXSIM = 3.0
_SLOPE, _INTERCEPT = 2.037, -6.126
"""Fitted by ``scripts/fit.py`` on the judged pairs of NovelEval and TREC DL 2021; docs/mini.md has the error."""

_FIRST_WORD = 1994
"""WordPiece ids below it are special tokens, punctuation, letters and marks; words follow, the most frequent first."""
_COMMON = math.sqrt(math.log(30))


def windows(ids: Sequence[int]) -> list[Sequence[int]]:
    """``ids`` in the fewest overlapping windows that cover them, evenly spread; one, even if empty."""
    if len(ids) <= WINDOW:
        return [ids]
    count = math.ceil((len(ids) - _OVERLAP) / (WINDOW - _OVERLAP))
    step = (len(ids) - WINDOW) / (count - 1)
    return [ids[(start := round(i * step)) : start + WINDOW] for i in range(count)]


@dataclass(frozen=True, slots=True)
class Query:
    """What of a query is compared: its unit tokens (count, 384), their weights (sum 1), its unit mean."""

    tokens: Vectors
    weights: Vectors
    mean: Vectors

    @classmethod
    def of(cls, parts: Sequence[tuple[Sequence[int], Vectors]]) -> Query:
        """From the query's windows: token ids without, and vectors with, the special tokens."""
        inner = np.concatenate([vectors[1:-1] for _, vectors in parts])
        weights = np.array([_weight(token) for ids, _ in parts for token in ids], np.float32)
        whole = np.concatenate([vectors for _, vectors in parts])
        if not len(inner):  # a query of characters the tokenizer drops: what is left are the special tokens
            inner, weights = whole, np.ones(len(whole), np.float32)
        return cls(_unit(inner), weights / weights.sum(), _unit(whole.mean(0)))


@dataclass(slots=True)
class DocumentMatch:
    """One document against one query, gathered window by window."""

    query: Query
    best: Vectors = field(init=False)
    total: Vectors = field(init=False)

    def __post_init__(self) -> None:
        self.best = np.full(len(self.query.tokens), -1.0, np.float32)
        self.total = np.zeros(self.query.mean.shape, np.float32)

    def add(self, best: Vectors, total: Vectors) -> None:
        """One more window: the best cosine of each query token, (count,), and the sum of its vectors, (384,)."""
        self.best = np.maximum(self.best, best)
        self.total += total

    def similarity(self) -> float:
        """Pooled cosine plus weighted MaxSim, in [-4, 4]."""
        return float(_unit(self.total) @ self.query.mean + _MAXSIM * (self.best @ self.query.weights))


def logit(similarity: float) -> float:
    """The log-odds that a document of that similarity is relevant."""
    return _SLOPE * similarity + _INTERCEPT


def probability(logit: float) -> float:
    """The logistic of ``logit``, in float64, so that scores near 1 do not collapse into ties."""
    return 1.0 / (1.0 + math.exp(-logit))


def _weight(token: int) -> float:
    """Rare tokens weigh more. The vocabulary is in order of frequency, so the id stands in for a background IDF
    (Zipf: the rank's logarithm grows as the inverse document frequency does); its root is the weight."""
    if token < _FIRST_WORD + 2:
        return _COMMON
    return math.sqrt(math.log(token - _FIRST_WORD))


def _unit(vectors: Vectors) -> Vectors:
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Vectors = vectors / np.maximum(norm, 1e-9)
    return unit
