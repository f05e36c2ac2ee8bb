"""HTTP connections that survive forks and event loops: one pool a process for synchronous callers, one a loop."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpx

__all__ = ["CONNECT_TIMEOUT_S", "Connection"]

CONNECT_TIMEOUT_S = 5.0
_LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=30.0)

_Loops: TypeAlias = weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, tuple[httpx.AsyncClient, AsyncGenerator[httpx.AsyncClient, None]]
]


class Connection:
    """POST and GET to one service, on kept connections.

    A forked child opens its own: a socket shared with the parent would mix their answers up. An event loop's
    connections are closed when the loop shuts its asynchronous generators down, as ``asyncio.run`` does.

    Args:
        url: of the service.
        headers: of every request; may hold a secret, so they stay out of the repr.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        # A proxy configured for the internet has no business between two processes of one machine.
        proxied = urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1")
        self._options: dict[str, Any] = {
            "base_url": url,
            "headers": dict(headers),
            "limits": _LIMITS,
            "trust_env": proxied,
        }
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._loops: _Loops = weakref.WeakKeyDictionary()
        _instances.add(self)

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"

    def send(self, method: str, path: str, seconds: float, **request: Any) -> httpx.Response:
        """One request, answered within ``seconds`` between two signs of life.

        Raises:
            httpx.HTTPError: no answer.
        """
        return self._sync().request(method, path, timeout=_timeout(seconds), **request)

    async def asend(self, method: str, path: str, seconds: float, **request: Any) -> httpx.Response:
        """``send`` for asynchronous callers."""
        client = await self._async()
        return await client.request(method, path, timeout=_timeout(seconds), **request)

    def close(self) -> None:
        """Close the synchronous pool. May be used again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close this loop's pool, and the synchronous one."""
        self.close()
        keeper = self._loops.pop(asyncio.get_running_loop(), None)
        if keeper is not None:
            await keeper[1].aclose()

    def forget(self) -> None:
        """Begin anew in a forked child; the parent's sockets are not closed, only left alone."""
        self._lock = threading.Lock()
        _left_to_the_parent.append((self._client, self._loops))
        self._client, self._loops = None, weakref.WeakKeyDictionary()

    def _sync(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(**self._options)
                # Applications make a reranker for every question and close none.
                weakref.finalize(self, self._client.close).atexit = False
            return self._client

    async def _async(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            client = httpx.AsyncClient(**self._options)
            keeper = _kept(client)
            self._loops[loop] = client, keeper
            await anext(keeper)
        return self._loops[loop][0]


async def _kept(client: httpx.AsyncClient) -> AsyncGenerator[httpx.AsyncClient, None]:
    """Closes ``client`` when the event loop shuts down: a loop tells its asynchronous generators, and nobody else."""
    try:
        yield client
    finally:
        await client.aclose()


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT_S))


_instances: weakref.WeakSet[Connection] = weakref.WeakSet()
_left_to_the_parent: list[object] = []
"""Pools inherited by a fork: were they collected in the child, they would close the parent's TLS connections."""


def _after_fork() -> None:
    for instance in list(_instances):
        instance.forget()


os.register_at_fork(after_in_child=_after_fork)
