"""Around every request: its id, safe headers, one line in the log, and the counters."""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rerankit.errors import BackendError
from rerankit_local_service.server.metrics import Metrics
from rerankit_local_service.server.replies import dialect_of, failed

__all__ = ["Envelope"]

_log = logging.getLogger("rerankit.access")
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)
"""FastAPI's page starts Swagger UI by a script of its own, which has no hash to name here."""


class Envelope:
    """ASGI middleware, the outermost.

    Args:
        app: what is inside.
        metrics: told about each request.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        given = Headers(scope=scope).get("x-request-id", "")
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = given if _ID.fullmatch(given) else uuid.uuid4().hex
        status = 499

        async def send_enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = state["request_id"]
                if scope["path"] == "/docs":
                    headers["content-security-policy"] = _DOCS_POLICY
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        self._metrics.in_flight.inc()
        try:
            await self._app(scope, receive, send_enveloped)
        except Exception as error:
            _log.exception("a defect of the service", extra={"request_id": state["request_id"]})
            request = Request(scope)
            if status == 499:
                failure = BackendError(f"the service failed: {type(error).__name__}")
                await failed(request, failure, dialect_of(request))(scope, receive, send_enveloped)
        finally:
            self._metrics.in_flight.dec()
            self._report(scope, state, status, time.monotonic() - started)

    def _report(self, scope: Scope, state: dict[str, Any], status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        dialect = state.get("dialect", "none")
        self._metrics.requests.labels(route, dialect, str(status)).inc()
        if "error" in state:
            self._metrics.errors.labels(state["error"]).inc()
        # Probes come every few seconds and would bury what matters.
        level = logging.DEBUG if route in ("/health", "/ready", "/metrics") else logging.INFO
        names = ("request_id", "dialect", "model", "documents", "tokens", "truncated", "error")
        fields = {name: state[name] for name in names if name in state}
        line = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        _log.log(level, "request", extra=line | fields)
