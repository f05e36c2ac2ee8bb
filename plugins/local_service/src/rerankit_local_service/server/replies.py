"""Answers and failures as HTTP: in the caller's dialect, with its headers, never with a request's text."""

from __future__ import annotations

import json
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rerankit.errors import AuthenticationError, BackendError, InputError, NotFoundError, RerankitError
from rerankit_local_service.server.dialects import dialect_of_body
from rerankit_local_service.server.dialects.call import Dialect, Failure, MalformedError
from rerankit_local_service.server.dialects.documents import DOCUMENTS
from rerankit_local_service.server.dialects.native import NATIVE
from rerankit_local_service.server.dialects.vllm import VLLM_SCORE
from rerankit_local_service.wire import SCORE_PATH

__all__ = ["DIALECT_OF_PATH", "Json", "dialect_of", "failed", "from_framework"]

DIALECT_OF_PATH = {"/score": VLLM_SCORE, "/v1/score": VLLM_SCORE, SCORE_PATH: NATIVE}


class Json(JSONResponse):
    """UTF-8 JSON; a lone surrogate, which is no UTF-8, leaves as a question mark."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )


def dialect_of(request: Request, body: object = None) -> Dialect:
    """The dialect of a request by its path and, on ``/rerank``, its body."""
    if request.url.path == "/rerank":
        return dialect_of_body(body, api_key_header="api-key" in request.headers)
    return DIALECT_OF_PATH.get(request.url.path, DOCUMENTS)


def failed(request: Request, error: RerankitError, dialect: Dialect, status: int | None = None) -> Json:
    """The reply to a request that failed.

    Args:
        request: gets the error's code, for the log and the metrics.
        error: why.
        dialect: the caller's.
        status: instead of the dialect's own for this error.
    """
    request.state.error = error.code
    failure = Failure(error, request.state.request_id)
    status = status or dialect.status(error)
    headers = failure.headers
    if isinstance(error, AuthenticationError):
        headers["www-authenticate"] = "Bearer"
    return Json(dialect.error(failure, status), status, headers)


def from_framework(request: Request, error: Exception) -> Response:
    """What FastAPI found wrong before our code was asked, as one of our failures."""
    if isinstance(error, RequestValidationError):
        return failed(request, _invalid(error), dialect_of(request, error.body))
    if isinstance(error, HTTPException):
        text = f"{request.method} {request.url.path}: {error.detail}"
        known = NotFoundError(text, remedy="see /docs for what there is") if error.status_code != 400 else None
        response = failed(
            request, known or InputError(text, remedy="send JSON"), dialect_of(request), status=error.status_code
        )
        response.headers.update(error.headers or {})
        return response
    return failed(request, BackendError(f"the service failed: {type(error).__name__}"), dialect_of(request))


def _invalid(error: RequestValidationError) -> RerankitError:
    problem = error.errors()[0]
    reason = problem.get("ctx", {}).get("error")
    if isinstance(reason, RerankitError):
        return reason
    place = ".".join(str(part) for part in problem["loc"] if part not in ("body", "documents", "tei", "solaceai"))
    if problem["type"] == "json_invalid":
        return InputError(f"the body is no JSON: {problem['msg']}", remedy="send a JSON object as application/json")
    return MalformedError(
        f"{place or 'the body'}: {problem['msg']}",
        remedy="see /docs for the fields of a request, and send it as application/json",
    )
