"""Cohere v1 and v2, Jina, Voyage, Infinity, vLLM and Xinference: bodies with ``documents``.

Their requests do not contradict each other and one answer satisfies all of their clients, so they are one
dialect here, whichever path it comes by. What differs is the echo of documents: on ``/rerank`` some clients
accept only strings and others only objects, so nothing is echoed there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from rerankit.documents import texts_of
from rerankit.errors import InputError
from rerankit_local_service.server.dialects.call import Answer, Call, Dialect, Failure
from rerankit_local_service.server.dialects.fields import Body, Count, Documents, Query, pairs_of

__all__ = ["DOCUMENTS", "DOCUMENTS_BARE", "DocumentsError", "DocumentsRequest", "DocumentsResponse", "ranked_texts"]

_DOCUMENTS_PER_SEARCH_UNIT = 100


class DocumentsRequest(Body):
    """A query and documents to rank."""

    query: Query
    documents: Documents
    model: str | None = None
    top_n: Count | None = None
    top_k: Count | None = Field(None, description="Voyage's name of top_n.")
    return_documents: bool | None = Field(None, description="Echo documents as {text}; not on /rerank.")
    rank_fields: list[str] | None = Field(None, description="The fields of a document that are ranked; default text.")
    raw_scores: bool | None = Field(None, description="Infinity: logits instead of scores in [0, 1].")
    use_activation: bool | None = Field(None, description="vLLM: false asks for logits.")
    truncation: bool | None = Field(None, description="Jina, Voyage: false refuses documents that do not fit.")
    max_tokens_per_doc: int | None = None
    max_chunks_per_doc: int | None = None
    truncate_prompt_tokens: int | None = None

    def call(self) -> Call:
        """The request in no dialect.

        Raises:
            InputError: no documents, or one without text.
        """
        ignored = ("max_tokens_per_doc", "max_chunks_per_doc", "truncate_prompt_tokens")
        return Call(
            pairs_of(self.query, ranked_texts(self.documents, self.rank_fields)),
            model=self.model or None,
            top_n=self.top_n or self.top_k,
            raw=bool(self.raw_scores) or self.use_activation is False,
            may_truncate=self.truncation is not False,
            ignored=tuple(name for name in ignored if getattr(self, name) is not None),
        )


class DocumentsResult(TypedDict):
    """One document's place; ``document`` only where it was asked for."""

    index: int
    relevance_score: float
    document: NotRequired[dict[str, Any]]


class DocumentsResponse(TypedDict):
    """What the clients of all these services parse; ``data`` is ``results`` under Voyage's name."""

    id: str
    object: str
    model: str
    results: list[DocumentsResult]
    data: list[DocumentsResult]
    meta: dict[str, Any]
    usage: dict[str, int]


class DocumentsError(TypedDict):
    """Cohere reads ``message``, Jina and Voyage ``detail``, vLLM and Infinity ``error``."""

    id: str
    message: str
    detail: str
    error: dict[str, Any]


def ranked_texts(documents: list[Any], rank_fields: list[str] | None) -> list[str]:
    """The texts that are ranked: of a mapping, its ``rank_fields``, a line each.

    Raises:
        InputError: a document has none of them.
    """
    if not rank_fields:
        return texts_of(documents)
    return texts_of([_joined(document, position, rank_fields) for position, document in enumerate(documents)])


def _joined(document: Any, position: int, fields: list[str]) -> Any:
    if not isinstance(document, Mapping):
        return document
    values = [document[name] for name in fields if isinstance(document.get(name), str)]
    if not values:
        raise InputError(
            f"document {position} has none of the rank_fields {', '.join(fields)} as a string",
            value=fields,
            remedy="name fields that every document has",
        )
    return "\n".join(values)


def _answer(body: DocumentsRequest, answer: Answer, *, echo: bool) -> DocumentsResponse:
    results: list[DocumentsResult] = []
    for position in answer.order:
        result: DocumentsResult = {"index": position, "relevance_score": answer.scores[position]}
        if echo:
            result["document"] = _echoed(body.documents[position], answer.call.pairs[position][1])
        results.append(result)
    units = math.ceil(len(answer.scores) / _DOCUMENTS_PER_SEARCH_UNIT)
    meta: dict[str, Any] = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": units},
        "tokens": {"input_tokens": answer.tokens, "output_tokens": 0},
    }
    if warnings := _warnings(answer):
        meta["warnings"] = warnings
    return {
        "id": answer.request_id,
        "object": "rerank",
        "model": answer.model,
        "results": results,
        "data": results,
        "meta": meta,
        "usage": {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens},
    }


def _echoed(document: Any, text: str) -> dict[str, Any]:
    return {**document, "text": text} if isinstance(document, Mapping) else {"text": text}


def _warnings(answer: Answer) -> list[str]:
    warnings = [f"{name} has no effect: documents are cut where the model ends" for name in answer.call.ignored]
    if answer.truncated:
        warnings.append(f"{answer.truncated} of {len(answer.scores)} documents were longer than the model reads")
    return warnings


def _error(failure: Failure, status: int) -> dict[str, Any]:
    error = failure.error
    text = f"{error.message}. {error.remedy}"
    return {
        "id": failure.request_id,
        "message": text,
        "detail": text,
        "error": {"message": text, "type": error.code, "param": None, "code": status},
    }


DOCUMENTS = Dialect(
    "documents", lambda body, answer: _answer(body, answer, echo=bool(body.return_documents)), error=_error
)
"""On ``/v1/rerank`` and ``/v2/rerank``."""

DOCUMENTS_BARE = Dialect("documents", lambda body, answer: _answer(body, answer, echo=False), error=_error)
"""On ``/rerank``."""
