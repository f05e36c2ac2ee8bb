"""The dialects as data: where a request goes, what it carries, where the scores are in the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerankit.errors import ProtocolError
from rerankit.scoring import ScoreKind

__all__ = ["DIALECTS", "Dialect"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One family of endpoints.

    Attributes:
        path: below the base URL.
        score_kind: what its scores mean; ``unknown`` where that differs by model or is not documented.
        documents: the request's key of the texts.
        results: the answer's key of the results; ``None``: the answer is the list itself.
        score: a result's key of the score.
        constants: what every request carries beside query, texts and model.
        max_documents: documents in one request.
        max_tokens: tokens in one request, the query counted once a document.
        url: base URL of the hosted API.
        key_variable: the environment variable the hosted API's own client reads its key from.
    """

    path: str
    score_kind: ScoreKind
    documents: str = "documents"
    results: str | None = "results"
    score: str = "relevance_score"
    constants: Mapping[str, Any] = field(default_factory=dict)
    max_documents: int | None = None
    max_tokens: int | None = None
    url: str | None = None
    key_variable: str | None = None

    @property
    def needs_model(self) -> bool:
        """TEI serves one model and takes no name."""
        return self.results is not None

    def body(self, query: str, documents: Sequence[str], model: str | None) -> dict[str, Any]:
        """The request; it asks for all results, without an echo of the documents."""
        named = {} if model is None or not self.needs_model else {"model": model}
        return {**named, "query": query, self.documents: documents, **self.constants}

    def scores(self, answer: Any, count: int) -> list[Any]:
        """The scores of an answer, put back in input order; whether they are finite numbers is not looked at.

        Raises:
            ProtocolError: not one result for each of ``count`` documents.
        """
        try:
            results = answer if self.results is None else answer[self.results]
            found = {result["index"]: result[self.score] for result in results}
            return [found[position] for position in range(count)] if len(results) == count else _refuse(results, count)
        except (KeyError, TypeError) as error:
            raise ProtocolError(
                f"the answer has no {error} where this dialect has one",
                remedy="check that url and dialect belong together",
                value=answer if isinstance(answer, str) else type(answer).__name__,
            ) from None


def _refuse(results: Sequence[Any], count: int) -> list[Any]:
    raise ProtocolError(f"{len(results)} results for {count} documents", value=len(results))


DIALECTS: Mapping[str, Dialect] = {
    # Limits: docs.cohere.com/docs/reranking-best-practices. Scores are "normalized to be in the range [0, 1]".
    "cohere": Dialect(
        "/v2/rerank",
        ScoreKind.PROBABILITY,
        max_documents=10_000,
        url="https://api.cohere.com",
        key_variable="CO_API_KEY",
    ),
    "jina": Dialect(
        "/v1/rerank",
        ScoreKind.UNKNOWN,
        constants={"return_documents": False, "truncation": True},
        url="https://api.jina.ai",
        key_variable="JINA_API_KEY",
    ),
    # Limits: of voyageai's client; the lowest count of tokens of its models (rerank-1).
    "voyage": Dialect(
        "/v1/rerank",
        ScoreKind.UNKNOWN,
        results="data",
        constants={"truncation": True},
        max_documents=1_000,
        max_tokens=100_000,
        url="https://api.voyageai.com",
        key_variable="VOYAGE_API_KEY",
    ),
    # 32 is the default of text-embeddings-router's --max-client-batch-size.
    "tei": Dialect(
        "/rerank",
        ScoreKind.PROBABILITY,
        documents="texts",
        results=None,
        score="score",
        constants={"truncate": True, "raw_scores": False},
        max_documents=32,
    ),
    # -1: as many tokens as the model takes; without it a pair too long is a 400.
    "vllm": Dialect("/v1/rerank", ScoreKind.PROBABILITY, constants={"truncate_prompt_tokens": -1}),
}
