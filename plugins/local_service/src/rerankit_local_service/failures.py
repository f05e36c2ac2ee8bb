"""What went wrong between the client and a service, as rerankit's errors, each with the command that cures it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from rerankit.errors import (
    AuthenticationError,
    BackendError,
    InputError,
    NotFoundError,
    OverloadedError,
    ProtocolError,
    RerankitError,
    RerankTimeoutError,
    UnavailableError,
)
from rerankit_local_service.wire import error_from_wire

__all__ = ["from_response", "from_transport", "json_of", "not_ours", "unready"]

_MOST_SHOWN = 200


def from_transport(error: httpx.HTTPError | httpx.InvalidURL, url: str, service: str, timeout: float) -> RerankitError:
    """No answer came."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return UnavailableError(f"nothing answers at {url}", remedy=_start(url), value=url, service=service)
    if isinstance(error, httpx.TimeoutException):
        return RerankTimeoutError(
            f"{url} did not answer within {timeout:.3g} s",
            remedy="raise RERANKER_CLIENT_TIMEOUT, or send fewer documents",
            value=timeout,
            service=service,
        )
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return InputError(
            f"{url!r} is no URL of a service", remedy="export RERANKER_SERVICE_URL=http://127.0.0.1:10001"
        )
    return UnavailableError(
        f"the connection to {url} was lost: {type(error).__name__}",
        remedy=f"try again; if it goes on, look at the service's log, or start it anew: {_start(url)}",
        service=service,
    )


def from_response(response: httpx.Response, url: str, service: str) -> RerankitError:
    """The service answered, with an error: its own where it is rerankit's, else what its status says."""
    fields = _fields(response)
    ours = fields.get("error")
    if isinstance(ours, dict) and "remedy" in ours:
        error = error_from_wire(ours, service)
        if isinstance(error, AuthenticationError):
            error.remedy = "export RERANKER_API_KEY=<the service's key>"
        return error
    status = response.status_code
    said = _said(fields)
    message = f"{url} answered {status}{f': {said}' if said else ''}"
    for statuses, make in _BY_STATUS:
        if status in statuses:
            return make(message, service, _retry_after(response))
    return BackendError(message, remedy="look at the service's log", service=service, retryable=status >= 500)


def json_of(response: httpx.Response, url: str, service: str) -> Any:
    """The body of a 200.

    Raises:
        ProtocolError: it is no JSON.
    """
    try:
        return response.json()
    except ValueError:
        raise not_ours(url, service) from None


def not_ours(url: str, service: str) -> ProtocolError:
    """Something answers there, and it is no rerank service."""
    return ProtocolError(
        f"what answers at {url} is no rerank service",
        remedy=f"point RERANKER_SERVICE_URL at one, or start one: {_start(url, other_port=True)}",
        value=url,
        service=service,
    )


def unready(response: httpx.Response, url: str, service: str) -> RerankitError:
    """What ``GET /ready`` says that is not 200: the error of a model that could not be loaded, if there is one."""
    models = _fields(response).get("models")
    for name, state in models.items() if isinstance(models, dict) else ():
        if isinstance(state, dict) and isinstance(state.get("error"), dict):
            return error_from_wire(state["error"], name)
    return UnavailableError(f"{url} is not ready", remedy="wait for GET /ready to say so", service=service)


def _start(url: str, *, other_port: bool = False) -> str:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    command = f"rerankit serve --port {port + 1 if other_port else port}"
    if parts.hostname in ("127.0.0.1", "localhost", "::1"):
        return command
    return f"{command} on {parts.hostname}, or point RERANKER_SERVICE_URL elsewhere"


def _fields(response: httpx.Response) -> dict[str, Any]:
    try:
        fields = response.json()
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _said(fields: dict[str, Any]) -> str:
    for name in ("detail", "message", "error"):
        said = fields.get(name)
        if isinstance(said, str):
            return said[:_MOST_SHOWN]
    return ""


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None


def _authentication(message: str, service: str, after: float | None) -> RerankitError:
    return AuthenticationError(message, remedy="export RERANKER_API_KEY=<the service's key>", service=service)


def _not_found(message: str, service: str, after: float | None) -> RerankitError:
    return NotFoundError(message, remedy="ask for a model that the service has: GET /models", service=service)


def _input(message: str, service: str, after: float | None) -> RerankitError:
    return InputError(message, remedy="send what the service accepts; its limits are in its /info", service=service)


def _overloaded(message: str, service: str, after: float | None) -> RerankitError:
    return OverloadedError(message, service=service, retry_after=after)


def _unavailable(message: str, service: str, after: float | None) -> RerankitError:
    return UnavailableError(message, remedy="wait for GET /ready to say so", service=service, retry_after=after)


def _late(message: str, service: str, after: float | None) -> RerankitError:
    return RerankTimeoutError(message, service=service)


_BY_STATUS: tuple[tuple[tuple[int, ...], Callable[[str, str, float | None], RerankitError]], ...] = (
    ((401, 403), _authentication),
    ((404,), _not_found),
    ((400, 413, 422), _input),
    ((429,), _overloaded),
    ((502, 503), _unavailable),
    ((408, 504), _late),
)
