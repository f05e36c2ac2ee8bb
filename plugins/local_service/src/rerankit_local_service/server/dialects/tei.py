"""Hugging Face's text-embeddings-inference: ``texts`` in, a bare array out, one entry a text."""

from __future__ import annotations

from typing import Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from rerankit.errors import InputError, OverloadedError, RerankitError, UnavailableError
from rerankit_local_service.server.dialects.call import (
    Answer,
    Call,
    Dialect,
    Failure,
    LimitError,
    MalformedError,
    status_of,
)
from rerankit_local_service.server.dialects.fields import Body, Query, Texts, pairs_of, strings

__all__ = ["TEI", "TeiError", "TeiRequest", "TeiResult"]


class TeiRequest(Body):
    """A query and texts to score. There is no model to choose, and all texts come back."""

    query: Query
    texts: Texts
    raw_scores: bool | None = None
    return_text: bool | None = None
    truncate: bool | None = Field(None, description="false refuses texts that do not fit the model.")

    def call(self) -> Call:
        """The request in no dialect.

        Raises:
            InputError: no texts, or one that is no string.
        """
        return Call(
            pairs_of(self.query, strings(self.texts, "texts"), "texts"),
            raw=bool(self.raw_scores),
            may_truncate=self.truncate is not False,
        )


class TeiResult(TypedDict):
    """One text's place."""

    index: int
    score: float
    text: NotRequired[str]


class TeiError(TypedDict):
    """``error_type`` is Validation, Tokenizer, Backend, Overloaded, Unhealthy or Empty."""

    error: str
    error_type: str


def _answer(body: TeiRequest, answer: Answer) -> list[TeiResult]:
    results: list[TeiResult] = []
    for position in answer.order:
        result: TeiResult = {"index": position, "score": answer.scores[position]}
        if body.return_text:
            result["text"] = answer.call.pairs[position][1]
        results.append(result)
    return results


def _headers(answer: Answer) -> dict[str, str]:
    queued = answer.batch.timings.get("queue", 0.0)
    milliseconds = {
        "x-total-time": answer.seconds,
        "x-tokenization-time": answer.batch.timings.get("tokenize", 0.0),
        "x-queue-time": queued,
        "x-inference-time": max(0.0, answer.seconds - queued),
    }
    characters = sum(len(query) + len(text) for query, text in answer.call.pairs)
    counts = {"x-compute-tokens": str(answer.tokens), "x-compute-characters": str(characters)}
    return counts | {name: str(round(seconds * 1000)) for name, seconds in milliseconds.items()}


def _error(failure: Failure, status: int) -> dict[str, Any]:
    return {"error": f"{failure.error.message}. {failure.error.remedy}", "error_type": _type(failure.error)}


def _type(error: RerankitError) -> str:
    if isinstance(error, (LimitError, MalformedError)):
        return "Validation"
    if isinstance(error, InputError):
        return "Empty" if "empty" in error.message else "Validation"
    if isinstance(error, OverloadedError):
        return "Overloaded"
    return "Unhealthy" if isinstance(error, UnavailableError) else "Backend"


def _status(error: RerankitError) -> int:
    if isinstance(error, InputError) and _type(error) == "Validation":
        return 413 if status_of(error) == 413 else 422
    # TEI's own status for a failed backend: a 424 is not retried, so only what will fail again gets it.
    return 424 if status_of(error) == 500 else status_of(error)


TEI = Dialect("tei", _answer, _error, status=_status, headers=_headers)
