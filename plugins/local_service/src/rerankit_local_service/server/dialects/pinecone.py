"""Pinecone's inference: ``documents`` are mappings, results are ``data`` with ``score``."""

from __future__ import annotations

from typing import Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from rerankit_local_service.server.dialects.call import Answer, Call, Dialect, Failure
from rerankit_local_service.server.dialects.documents import ranked_texts
from rerankit_local_service.server.dialects.fields import Body, Count, Documents, Query, pairs_of

__all__ = ["PINECONE", "PineconeError", "PineconeRequest", "PineconeResponse"]


class PineconeRequest(Body):
    """A query and documents to rank by their ``rank_fields``."""

    query: Query
    documents: Documents
    model: str | None = None
    top_n: Count | None = None
    return_documents: bool | None = Field(None, description="Echo documents; true unless it is false.")
    rank_fields: list[str] | None = None
    parameters: dict[str, Any] | None = Field(None, description="truncate: NONE refuses documents that do not fit.")

    def call(self) -> Call:
        """The request in no dialect.

        Raises:
            InputError: no documents, or one without text.
        """
        truncate = (self.parameters or {}).get("truncate")
        return Call(
            pairs_of(self.query, ranked_texts(self.documents, self.rank_fields)),
            model=self.model or None,
            top_n=self.top_n,
            may_truncate=not (isinstance(truncate, str) and truncate.upper() == "NONE"),
        )


class PineconeResult(TypedDict):
    """One document's place."""

    index: int
    score: float
    document: NotRequired[Any]


class PineconeResponse(TypedDict):
    """``usage`` counts requests."""

    model: str
    data: list[PineconeResult]
    usage: dict[str, int]


class PineconeError(TypedDict):
    """``error`` has ``code`` and ``message``."""

    error: dict[str, Any]
    status: int


def _answer(body: PineconeRequest, answer: Answer) -> PineconeResponse:
    data: list[PineconeResult] = []
    for position in answer.order:
        result: PineconeResult = {"index": position, "score": answer.scores[position]}
        if body.return_documents is not False:
            document = body.documents[position]
            result["document"] = document if isinstance(document, dict) else {"text": answer.call.pairs[position][1]}
        data.append(result)
    return {"model": answer.model, "data": data, "usage": {"rerank_units": 1}}


def _error(failure: Failure, status: int) -> dict[str, Any]:
    error = failure.error
    return {"error": {"code": error.code.upper(), "message": f"{error.message}. {error.remedy}"}, "status": status}


PINECONE = Dialect("pinecone", _answer, _error)
