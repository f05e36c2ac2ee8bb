"""vLLM's ``/score``: pairs of texts, scored in the order they were sent. (Its ``/rerank`` is in ``documents``.)"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, Field, WithJsonSchema
from typing_extensions import TypedDict

from rerankit.documents import check_query
from rerankit.errors import InputError
from rerankit_local_service.server.dialects.call import Answer, Call, Dialect
from rerankit_local_service.server.dialects.documents import DOCUMENTS
from rerankit_local_service.server.dialects.fields import Body, strings

__all__ = ["VLLM_SCORE", "VllmScoreRequest", "VllmScoreResponse"]

_TEXT = {"type": "string", "minLength": 1, "pattern": r"\S"}
_Texts = Annotated[Any, WithJsonSchema({"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]})]


class VllmScoreRequest(Body):
    """One query with many texts, or two lists of equal length, paired."""

    text_1: _Texts = Field(validation_alias=AliasChoices("text_1", "queries", "data_1"))
    text_2: _Texts = Field(validation_alias=AliasChoices("text_2", "documents", "data_2"))
    model: str | None = None
    use_activation: bool | None = None

    def call(self) -> Call:
        """The request in no dialect.

        Raises:
            InputError: nothing to score, an empty query, or lists of different lengths.
        """
        queries = strings(_listed(self.text_1), "text_1")
        texts = strings(_listed(self.text_2), "text_2")
        if len(queries) == 1:
            queries *= len(texts)
        if not texts or len(queries) != len(texts):
            raise InputError(
                f"text_1 has {len(queries)} texts and text_2 {len(texts)}",
                value=len(queries),
                remedy="send one text_1 for all of text_2, or as many of one as of the other",
            )
        pairs = [(check_query(query), text) for query, text in zip(queries, texts, strict=True)]
        return Call(pairs, model=self.model or None, raw=self.use_activation is False)


class VllmScore(TypedDict):
    """The score of one pair."""

    index: int
    object: str
    score: float


class VllmScoreResponse(TypedDict):
    """Scores in input order."""

    id: str
    object: str
    model: str
    data: list[VllmScore]
    usage: dict[str, int]


def _listed(texts: Any) -> list[Any]:
    return texts if isinstance(texts, list) else [texts]


def _answer(body: VllmScoreRequest, answer: Answer) -> VllmScoreResponse:
    return {
        "id": answer.request_id,
        "object": "list",
        "model": answer.model,
        "data": [{"index": n, "object": "score", "score": score} for n, score in enumerate(answer.scores)],
        "usage": {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens},
    }


VLLM_SCORE = Dialect("vllm_score", _answer, DOCUMENTS.error)
