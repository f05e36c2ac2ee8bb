"""Before a request reaches a route: who may ask, from where, and how many bytes are read for it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rerankit.errors import AuthenticationError, InputError, OverloadedError, RerankitError, RerankTimeoutError
from rerankit_local_service.server.dialects.call import TooLargeError
from rerankit_local_service.server.metrics import Metrics
from rerankit_local_service.server.replies import dialect_of, failed
from rerankit_local_service.server.settings import ServerSettings

__all__ = ["Gate"]

_OPEN = ("/health", "/ready", "/openapi.json", "/docs", "/static-offline-docs/")
"""Asked without a key: they tell nothing about requests, and orchestrators have none."""

_LINGER_S = 2.0
"""A refused body is read and thrown away this long: a peer that is still sending would lose the refusal."""


class Gate:
    """ASGI middleware. Bodies are read here whole, within limits, before anything is parsed.

    Args:
        app: what is behind it.
        settings: keys and limits.
        metrics: told how many bytes are held.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._keys = [_digest(key.get_secret_value()) for key in settings.api_keys]
        self._hosts = {"localhost", "127.0.0.1", "[::1]", settings.host, f"[{settings.host}]"}
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(self, receive)
        try:
            self._admit(scope["path"], Headers(scope=scope))
            await body.read(Headers(scope=scope).get("content-length"))
        except RerankitError as error:
            await body.discard()
            request = Request(scope)
            await failed(request, error, dialect_of(request))(scope, receive, send)
            return
        else:
            await self._app(scope, body.replay, send)
        finally:
            self.hold(-body.held)

    def hold(self, count: int) -> None:
        """Account for ``count`` more bytes of bodies.

        Raises:
            OverloadedError: that would be too many at once.
        """
        if count > 0 and self._held + count > self._settings.max_waiting_bytes:
            raise OverloadedError(f"{self._held} bytes of requests are being worked on", retry_after=1.0)
        self._held += count
        self._metrics.body_bytes.set(self._held)

    @property
    def settings(self) -> ServerSettings:
        """The limits."""
        return self._settings

    def _admit(self, path: str, headers: Headers) -> None:
        # A page on the internet whose name is made to resolve to 127.0.0.1 reaches this port, but under its own name.
        if self._settings.loopback and _host(headers.get("host", "")) not in self._hosts:
            raise InputError(
                "this service answers only to its own machine's name",
                remedy=f"use http://127.0.0.1:{self._settings.port}, or start it with --host and a key",
            )
        # Browsers send a page's origin along with what changes something; a page elsewhere may change nothing here.
        origin = headers.get("origin")
        if self._settings.loopback and origin is not None and _host(origin.partition("://")[2]) not in self._hosts:
            raise InputError(
                "this service answers no page of another origin",
                remedy="use its own page, or start it with --host and a key behind a proxy that lets your page in",
                value=origin,
            )
        if self._keys and path != "/" and not path.startswith(_OPEN) and not _known(_given(headers), self._keys):
            raise AuthenticationError(
                "the API key is missing or wrong", remedy="send 'Authorization: Bearer <key>'; set RERANKER_API_KEY"
            )


class _Body:
    """The body of one request: read once, then given to the application in one piece."""

    def __init__(self, gate: Gate, receive: Receive) -> None:
        self._gate = gate
        self._receive = receive
        self._parts: list[bytes] = []
        self._ended = False
        self._given = False
        self.held = 0

    async def read(self, declared: str | None) -> None:
        """Read to the end.

        Raises:
            TooLargeError: longer than allowed; known before reading where its length is declared.
            OverloadedError: too many bytes of other requests are held.
            RerankTimeoutError: it did not arrive in time.
        """
        settings = self._gate.settings
        if declared is not None and declared.isdigit():
            self._hold(int(declared))
        size = 0
        try:
            async with asyncio.timeout(settings.body_timeout):
                while (part := await self._next()) is not None:
                    size += len(part)
                    self._hold(size)
                    self._parts.append(part)
        except TimeoutError:
            raise RerankTimeoutError(
                f"the body did not arrive within {settings.body_timeout} s", remedy="send it faster, or in parts"
            ) from None

    async def discard(self) -> None:
        """Read what still comes, for a moment, and keep none of it."""
        self._parts.clear()
        try:
            async with asyncio.timeout(_LINGER_S):
                while await self._next() is not None:
                    pass
        except TimeoutError:
            return

    async def replay(self) -> Message:
        """The body, then whatever the connection says."""
        if self._given:
            return await self._receive()
        self._given = True
        body = b"".join(self._parts)
        self._parts.clear()
        return {"type": "http.request", "body": body, "more_body": False}

    def _hold(self, size: int) -> None:
        if size > self._gate.settings.max_body_bytes:
            raise TooLargeError(
                f"the body has more than {self._gate.settings.max_body_bytes} bytes",
                value=size,
                remedy="send fewer documents in one request",
            )
        if size > self.held:
            self._gate.hold(size - self.held)
            self.held = size

    async def _next(self) -> bytes | None:
        if self._ended:
            return None
        message = await self._receive()
        # A peer that went away while sending has ended its body, too; what comes of it is sent to nobody.
        self._ended = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _given(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("api-key") or headers.get("x-api-key") or ""


def _known(key: str, keys: Sequence[bytes]) -> bool:
    # Every key is compared, each in constant time: the time taken tells nothing about any of them.
    digest = _digest(key)
    return sum([hmac.compare_digest(digest, known) for known in keys]) > 0


def _host(header: str) -> str:
    return header.rpartition(":")[0] if header.rpartition(":")[2].isdigit() else header
