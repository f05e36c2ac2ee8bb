"""Requests larger than a backend takes, cut to its limits and put together again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rerankit.errors import InputError
from rerankit.policy.merge import merge
from rerankit.policy.parallel import Parallel
from rerankit.policy.steps import Layer, Prepare, Score, Steps
from rerankit.scoring import Capabilities, ScoreRequest

__all__ = ["SplitReranker"]


class SplitReranker(Layer):
    """Keeps the limits of the backend's capabilities: documents, characters, tokens.

    Parts are sent in order, up to ``max_concurrency`` at once. A pair that is over a limit all by itself is sent
    alone, for the backend to cut or refuse.

    Raises:
        InputError: the backend is listwise, and the request is over a limit.
    """

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """Without the limits, which are kept here; a listwise backend's stay."""
        limits = self.inner.capabilities
        if limits.listwise:
            return limits
        return replace(limits, max_documents=None, max_characters=None, max_tokens=None)

    def _steps(self, request: ScoreRequest) -> Steps:
        yield from Prepare(self.inner, request)
        limits = self.inner.capabilities
        spans = list(self._spans(request, limits))
        if len(spans) <= 1:
            return (yield from Score(self.inner, request))
        if limits.listwise:
            raise InputError(
                f"{self.label} is listwise: each score depends on the other documents, so the call cannot be split, "
                f"and it is over the limit of {_shown(limits)} in one call",
                value=len(request.pairs),
                remedy="send fewer documents: the top of the first stage",
            )
        requests = [replace(request, pairs=request.pairs[span.start : span.stop]) for span in spans]
        batches, error = yield from Parallel(self.inner, requests, limits.max_concurrency)
        if error is not None:
            raise error
        return merge(zip(spans, batches, strict=True), len(request.pairs))

    def _spans(self, request: ScoreRequest, limits: Capabilities) -> Iterator[range]:
        pairs = request.pairs
        documents = limits.max_documents or len(pairs)
        characters = limits.max_characters
        if limits.max_tokens is None and characters is None:
            for start in range(0, len(pairs), documents):
                yield range(start, min(start + documents, len(pairs)))
            return
        tokens = None if limits.max_tokens is None else self.token_counts(pairs)
        start = size = count = 0
        for position, (query, document) in enumerate(pairs):
            length = len(query) + len(document)
            cost = 0 if tokens is None else tokens[position]
            if position > start and (
                position - start == documents
                or (characters is not None and size + length > characters)
                or (limits.max_tokens is not None and count + cost > limits.max_tokens)
            ):
                yield range(start, position)
                start, size, count = position, 0, 0
            size += length
            count += cost
        yield range(start, len(pairs))


def _shown(limits: Capabilities) -> str:
    named = {
        "documents": limits.max_documents,
        "characters": limits.max_characters,
        "tokens": limits.max_tokens,
    }
    return ", ".join(f"{limit} {unit}" for unit, limit in named.items() if limit is not None)
