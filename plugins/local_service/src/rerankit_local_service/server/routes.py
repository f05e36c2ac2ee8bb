"""The paths of the scoring dialects."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import APIRouter, Body, Header
from starlette.requests import Request
from starlette.responses import Response

from rerankit.errors import DeadlineExceededError, RerankitError, ScoringCancelledError
from rerankit_local_service.server.dialects import AnyRequest, dialect_of_body
from rerankit_local_service.server.dialects.call import Answer, Call, Dialect, MalformedError
from rerankit_local_service.server.dialects.documents import (
    DOCUMENTS,
    DocumentsError,
    DocumentsRequest,
    DocumentsResponse,
)
from rerankit_local_service.server.dialects.native import NATIVE, NativeError, ScorePairsRequest
from rerankit_local_service.server.dialects.pinecone import PINECONE, PineconeError, PineconeRequest, PineconeResponse
from rerankit_local_service.server.dialects.solaceai import SolaceError, SolaceResponse
from rerankit_local_service.server.dialects.tei import TeiError, TeiResult
from rerankit_local_service.server.dialects.vllm import VLLM_SCORE, VllmScoreRequest, VllmScoreResponse
from rerankit_local_service.server.replies import Json, failed
from rerankit_local_service.server.service import RerankService
from rerankit_local_service.wire import SCORE_PATH, TIMEOUT_HEADER, WireBatch

__all__ = ["scoring_router"]

T = TypeVar("T")
_log = logging.getLogger("rerankit.texts")
_FAILURES = (400, 401, 404, 413, 422, 424, 429, 499, 500, 503, 504)

Seconds = Annotated[
    str | None,
    Header(
        alias=TIMEOUT_HEADER,
        description="Seconds the caller waits; the work is dropped after that.",
        json_schema_extra={"type": "number"},
    ),
]


class ScoringBody(Protocol):
    """A request's body in any dialect."""

    def call(self) -> Call: ...


def scoring_router(service: RerankService) -> APIRouter:
    """The routes, answered by ``service``."""
    router = APIRouter()

    def post(path: str, answer: Any, error: Any, summary: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        return router.post(
            path,
            summary=summary,
            response_class=Json,
            responses={200: {"model": answer}, **{status: {"model": error} for status in _FAILURES}},
        )

    @post(
        "/rerank",
        DocumentsResponse | list[TeiResult] | SolaceResponse | PineconeResponse,
        DocumentsError | TeiError | SolaceError | PineconeError,
        "TEI (texts), SolaceAI (passages), Infinity, vLLM and Pinecone (documents), told apart by the body",
    )
    async def rerank(request: Request, body: Annotated[AnyRequest, Body()], seconds: Seconds = None) -> Response:
        dialect = dialect_of_body(body, api_key_header="api-key" in request.headers)
        if dialect is PINECONE and isinstance(body, DocumentsRequest):
            body = PineconeRequest.model_validate(body.model_dump())
        return await _reply(service, request, dialect, body, seconds)

    @post("/v1/rerank", DocumentsResponse, DocumentsError, "Cohere v1, Jina, Voyage, vLLM, Xinference")
    @post("/v2/rerank", DocumentsResponse, DocumentsError, "Cohere v2, vLLM")
    async def rerank_documents(request: Request, body: DocumentsRequest, seconds: Seconds = None) -> Response:
        return await _reply(service, request, DOCUMENTS, body, seconds)

    @post("/score", VllmScoreResponse, DocumentsError, "vLLM's scores of pairs, in input order")
    @post("/v1/score", VllmScoreResponse, DocumentsError, "vLLM's scores of pairs, in input order")
    async def score(request: Request, body: VllmScoreRequest, seconds: Seconds = None) -> Response:
        return await _reply(service, request, VLLM_SCORE, body, seconds)

    @post(SCORE_PATH, WireBatch, NativeError, "rerankit's own: all a model knows about its scores")
    async def score_pairs(request: Request, body: ScorePairsRequest, seconds: Seconds = None) -> Response:
        return await _reply(service, request, NATIVE, body, seconds)

    return router


async def _reply(
    service: RerankService, request: Request, dialect: Dialect, body: ScoringBody, asked: str | None
) -> Response:
    state = request.state
    state.dialect = dialect.name
    try:
        seconds = _seconds(asked, service.settings.timeout)
        call = body.call()
        state.documents = len(call.pairs)
        if service.settings.log_texts:
            _log.info("texts", extra={"request_id": state.request_id, "pairs": list(call.pairs)})
        work = service.answer(call, seconds=seconds, request_id=state.request_id)
        answer: Answer = await _while_connected(request, work)
    except RerankitError as error:
        return failed(request, error, dialect)
    state.model, state.tokens, state.truncated = answer.model, answer.tokens, answer.truncated
    return Json(dialect.answer(body, answer), headers=dialect.headers(answer))


def _seconds(asked: str | None, most: float) -> float:
    if asked is None:
        return most
    try:
        seconds = float(asked)
    except ValueError:
        seconds = math.nan
    if math.isnan(seconds):
        raise MalformedError(f"{TIMEOUT_HEADER} is no number of seconds", remedy="send a number such as 2.5")
    if seconds <= 0:
        raise DeadlineExceededError("the caller's deadline had passed when the request came")
    return min(seconds, most)


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the caller hangs up.

    Raises:
        ScoringCancelledError: it did.
    """
    scoring = asyncio.create_task(work)
    gone = asyncio.create_task(_hung_up(request.receive))
    try:
        await asyncio.wait((scoring, gone), return_when=asyncio.FIRST_COMPLETED)
        if scoring.done():
            return scoring.result()
        raise ScoringCancelledError("the caller has gone")
    finally:
        scoring.cancel()
        gone.cancel()


async def _hung_up(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
