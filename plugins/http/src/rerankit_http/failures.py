"""What an endpoint's refusal means, as one of rerankit's errors."""

from __future__ import annotations

import email.utils
import time
from typing import Any

import httpx

from rerankit.errors import (
    AuthenticationError,
    BackendError,
    ModelNotFoundError,
    NotFoundError,
    OverloadedError,
    RerankTimeoutError,
    UnavailableError,
)

__all__ = ["failure_of"]

_LONGEST_MESSAGE = 300

_CLASSES: dict[int, type[BackendError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    408: RerankTimeoutError,
    429: OverloadedError,
    498: AuthenticationError,  # Cohere: invalid token
    504: RerankTimeoutError,
}
_REMEDIES: dict[type[BackendError], str] = {
    AuthenticationError: "set the key: RERANKER_ARGS__API_KEY, or the variable that api_key_env names",
    ModelNotFoundError: "correct the argument 'model'",
    NotFoundError: "check that url and dialect belong together",
    UnavailableError: "try again later, or configure reranker_policy.retries and fallback",
    BackendError: "correct the arguments of the service; max_documents, if the endpoint takes fewer",
}


def failure_of(response: httpx.Response, where: str, secret: str | None) -> BackendError:
    """The error of a response that is no success.

    Args:
        response: read whole.
        where: how the endpoint is called in the message.
        secret: the key, blotted out should the endpoint repeat it.
    """
    status = response.status_code
    said = _message(response)
    if secret:
        said = said.replace(secret, "***")
    kind = _CLASSES.get(status, UnavailableError if status >= 500 else BackendError)
    if kind is NotFoundError and "model" in said.lower():
        kind = ModelNotFoundError
    return kind(
        f"{where} answered {status} {response.reason_phrase}: {said[:_LONGEST_MESSAGE] or 'nothing more'}",
        remedy=_REMEDIES.get(kind),
        value=status,
        retry_after=_seconds(response.headers.get("retry-after")),
    )


def _message(response: httpx.Response) -> str:
    """Cohere says ``message``, Jina and Voyage ``detail``, vLLM ``error.message``, TEI ``error``."""
    try:
        body: Any = response.json()
    except ValueError:
        return response.text
    for key in ("message", "detail", "error"):
        if isinstance(body, dict) and body.get(key):
            said = body[key]
            return str(said.get("message", said) if isinstance(said, dict) else said)
    return response.text


def _seconds(header: str | None) -> float | None:
    """``Retry-After``: seconds, or a date."""
    if header is None:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except ValueError:
        return None
