"""The first application's own service: ``passages`` in, ``scores`` in input order out, whole, also with ``top_k``."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from rerankit.errors import InputError, OverloadedError, RerankitError
from rerankit_local_service.server.dialects.call import Answer, Call, Dialect, Failure, LimitError, status_of
from rerankit_local_service.server.dialects.fields import Body, Count, Query, Texts, strings

__all__ = ["MAX_PASSAGES", "SOLACEAI", "SolaceError", "SolaceRequest", "SolaceResponse"]

MAX_PASSAGES = 1_000
_MAX_QUERY = 10_000


class SolaceRequest(Body):
    """A query of at most 10,000 characters and 1 to 1,000 passages, none of them blank."""

    query: Query
    passages: Texts
    model_name_or_path: str | None = None
    reranker_type: str | None = None
    batch_size: int | None = Field(None, description="Has no effect: batches are made by tokens.")
    top_k: Count | None = Field(None, description="Cuts ranked_indices; scores stay whole and in input order.")

    def call(self) -> Call:
        """The request in no dialect.

        Raises:
            InputError: outside the dialect's limits.
        """
        passages = strings(self.passages, "passages")
        if len(self.query) > _MAX_QUERY:
            raise LimitError(f"the query has {len(self.query)} characters", remedy=f"send at most {_MAX_QUERY}")
        if not 1 <= len(passages) <= MAX_PASSAGES:
            raise LimitError(f"there are {len(passages)} passages", remedy=f"send 1 to {MAX_PASSAGES}")
        for position, passage in enumerate(passages):
            if not passage or passage.isspace():
                raise LimitError(f"passages[{position}] is blank", remedy="leave blank passages out")
        return Call(
            [(self.query, passage) for passage in passages],
            model=self.model_name_or_path or None,
            reranker_type=self.reranker_type or None,
            top_n=self.top_k,
        )


class SolaceResponse(TypedDict):
    """``scores`` has one score a passage, in input order; ``ranked_indices`` says the order."""

    scores: list[float]
    ranked_indices: list[int]
    model_used: str
    device: str
    processing_time_ms: float
    top_k_applied: int | None


class SolaceError(TypedDict):
    """One sentence, as FastAPI's ``HTTPException`` writes it."""

    detail: str


def _answer(body: SolaceRequest, answer: Answer) -> SolaceResponse:
    return {
        "scores": list(answer.scores),
        "ranked_indices": answer.order,
        "model_used": answer.model,
        "device": answer.device,
        "processing_time_ms": round(answer.seconds * 1000, 3),
        "top_k_applied": body.top_k,
    }


def _error(failure: Failure, status: int) -> dict[str, Any]:
    return {"detail": f"{failure.error.message}. {failure.error.remedy}"}


def _status(error: RerankitError) -> int:
    if isinstance(error, OverloadedError):
        return 503
    return 422 if isinstance(error, InputError) and status_of(error) == 400 else status_of(error)


SOLACEAI = Dialect("solaceai", _answer, _error, status=_status)
