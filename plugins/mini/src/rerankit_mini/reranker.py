"""The ``mini`` service."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from rerankit import Capabilities, PairReranker, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.arguments import validated
from rerankit.errors import ProtocolError
from rerankit_mini.arguments import MiniArguments
from rerankit_mini.encoder import MODEL_SHA256, Encoder, Vectors, encoder
from rerankit_mini.recipe import DocumentMatch, Query, logit, probability, windows

__all__ = ["MiniReranker"]

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_RECIPE = "int8-2"
"""Rises with everything in weights or recipe that changes a score."""


class MiniReranker(PairReranker):
    """Reranks by a small embedding model inside the wheel; no torch, no network, nothing to configure.

    Cheap to make: the model is loaded once a process, at the first call. Long documents are scored in windows, never
    cut. A score depends on its pair alone, up to the rounding of the precision (docs/mini.md says how much).

    Args:
        threads: processor threads; by default all cores.
        token_budget: tokens computed at once, padding included.
        dtype: ``auto`` (bfloat16 where the processor multiplies in it), ``float32`` or ``bfloat16``.
        normalize: scores in [0, 1]; ``False`` gives the logit under them.

    Raises:
        InvalidArgumentError: an argument is unknown or wrong.
    """

    def __init__(self, **arguments: Any) -> None:
        self._arguments = validated(MiniArguments, arguments, service="mini")
        kind = ScoreKind.PROBABILITY if self._arguments.normalize else ScoreKind.LOGIT
        self.capabilities = Capabilities(score_kind=kind)

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """Score each pair; a query and a document are encoded once, however many pairs they are in."""
        request.raise_if_stopped()
        model = self._encoder()
        started = time.perf_counter()
        queries = _positions([query for query, _ in request.pairs])
        documents = _positions([document for _, document in request.pairs])
        query_ids, document_ids = model.tokenize(list(queries)), model.tokenize(list(documents))
        tokenized = time.perf_counter()
        known = dict(zip(queries, self._queries(model, query_ids, request), strict=True))
        matches = [DocumentMatch(known[query]) for query, _ in request.pairs]
        # One flat list of windows over all documents, so that batches are of windows of like length.
        flat = [
            (pairs, window)
            for pairs, ids in zip(documents.values(), document_ids, strict=True)
            for window in windows(ids)
        ]
        budget = self._arguments.token_budget
        for some in _groups(known):
            spans, tokens = _joined(some)
            wanted = [
                (mine, window) for pairs, window in flat if (mine := [p for p in pairs if request.pairs[p][0] in some])
            ]
            compared = model.compare([window for _, window in wanted], budget, request.raise_if_stopped, tokens)
            for position, (best, total) in compared:
                for pair in wanted[position][0]:
                    matches[pair].add(best[spans[request.pairs[pair][0]]], total)
        logits = [logit(match.similarity()) for match in matches]
        lengths = dict(zip(queries, map(len, query_ids), strict=True))
        costs = [0] * len(request.pairs)
        for pairs, window in flat:
            for pair in pairs:
                costs[pair] += len(window) + 2
        return ScoreBatch(
            scores=[probability(score) for score in logits] if self._arguments.normalize else logits,
            coverage=[1.0] * len(logits),
            tokens=[cost + lengths[query] + 2 for cost, (query, _) in zip(costs, request.pairs, strict=True)],
            model=MODEL,
            revision=_RECIPE,
            timings={"tokenize": tokenized - started, "forward": time.perf_counter() - tokenized},
        )

    @property
    def fingerprint(self) -> str:
        """Model, recipe and precision: the precision is the processor's choice."""
        kind = self.capabilities.score_kind
        return f"mini/{_RECIPE}/{MODEL_SHA256[:16]}/{self._encoder().dtype}/{kind}"

    def diagnose(self) -> Mapping[str, str]:
        """
        Raises:
            ProtocolError: a pair of known score does not get it.
        """
        model = self._encoder()
        query, document, golden = _GOLDEN
        found = MiniReranker(**{**self._arguments.model_dump(), "normalize": True}).get_scores(query, [document])[0]
        if abs(found - golden) > _GOLDEN_TOLERANCE:
            raise ProtocolError(
                f"mini scored its test pair {found:.4f}, not {golden:.4f}",
                remedy="pip install --force-reinstall rerankit-mini",
                value=found,
                service="mini",
            )
        return {"model": MODEL, "revision": _RECIPE, "dtype": model.dtype, "golden value": f"{found:.4f}"}

    def _encoder(self) -> Encoder:
        return encoder(self._arguments.threads, self._arguments.dtype)

    def _queries(self, model: Encoder, ids: Sequence[Sequence[int]], request: ScoreRequest) -> list[Query]:
        flat = [(number, window) for number, one in enumerate(ids) for window in windows(one)]
        parts: list[list[tuple[Sequence[int], Vectors]]] = [[] for _ in ids]
        budget = self._arguments.token_budget
        found = model.vectors([window for _, window in flat], budget, request.raise_if_stopped)
        for (number, window), vectors in zip(flat, found, strict=True):
            parts[number].append((window, vectors))
        return [Query.of(part) for part in parts]


_GOLDEN = ("how do I catch an exception", "The try statement catches exceptions by its except clause.", 0.27)
_GOLDEN_TOLERANCE = 0.03
"""Between float32 and bfloat16 the score of the test pair may differ by this much."""


_QUERY_TOKENS = 512
"""Query tokens compared at once; that many cost a fiftieth of the encoding of a document token."""


def _groups(queries: Mapping[str, Query]) -> Iterator[dict[str, Query]]:
    """``queries`` in groups of some 512 tokens, so that many callers' queries share the documents' batches."""
    group: dict[str, Query] = {}
    for text, query in queries.items():
        if group and sum(len(one.tokens) for one in group.values()) + len(query.tokens) > _QUERY_TOKENS:
            yield group
            group = {}
        group[text] = query
    if group:
        yield group


def _joined(queries: Mapping[str, Query]) -> tuple[dict[str, slice], Vectors]:
    """Where each query's tokens stand, and the tokens of all."""
    ends = accumulate(len(query.tokens) for query in queries.values())
    spans = {
        text: slice(end - len(query.tokens), end) for (text, query), end in zip(queries.items(), ends, strict=True)
    }
    return spans, np.concatenate([query.tokens for query in queries.values()])


def _positions(texts: Sequence[str]) -> dict[str, list[int]]:
    """Where each different text stands."""
    found: dict[str, list[int]] = {}
    for position, text in enumerate(texts):
        found.setdefault(text, []).append(position)
    return found
